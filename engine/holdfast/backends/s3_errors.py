"""Which of our errors an answer of an S3 server, or the lack of one, means.

One table by the codes that servers name in their answers, one by HTTP status for answers without
a body, like those to HEAD, and one by the classes of the library. Texts of servers are shortened
to one line without markup; credentials, signatures and whole answers never get into an error.

Source: "Error responses" of the Amazon S3 API Reference; the codes of Ceph and MinIO from their
sources.
"""

from __future__ import annotations

import email.utils
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from holdfast.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    BackendError,
    ConfigurationError,
    HoldfastError,
    NotFoundError,
    OutOfSpaceError,
    TransientBackendError,
)
from holdfast.storage_errors import (
    ArchivedError,
    BucketNotFoundError,
    ClockSkewError,
    CredentialsError,
    LockedError,
    WrongRegionError,
)

_MOST_TEXT: Final = 200
_BAD_REQUEST: Final = 400
_MARKUP = re.compile(r"<[^>]*>?")
_CUSTOMER_KEY = re.compile(
    r"customer.provided|encryption with customer|hash of the key|form of server side encryption",
    re.IGNORECASE,
)
_CUSTOMER_KEY_REASON: Final = (
    "it is encrypted with a key of yours (SSE-C), and the one given is missing or wrong; check "
    "sse-c-key-file in the location"
)
_LOCKED = re.compile(r"object.?lock|worm.protected|retention", re.IGNORECASE)

_BY_CODE: Final[dict[str, type[BackendError]]] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "NoSuchUpload"), NotFoundError),
    "NoSuchBucket": BucketNotFoundError,
    "PreconditionFailed": AlreadyExistsError,
    **dict.fromkeys(
        (
            *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
            *("ExpiredTokenException", "TokenRefreshRequired", "InvalidClientTokenId"),
            *("UnrecognizedClientException", "AuthFailure", "NotSignedUp", "InvalidSecurity"),
        ),
        CredentialsError,
    ),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "MethodNotAllowed"), AccessDeniedError),
    "ObjectLocked": LockedError,
    **dict.fromkeys(
        (
            *("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"),
            *("Redirect", "IllegalLocationConstraintException"),
        ),
        WrongRegionError,
    ),
    "RequestTimeTooSkewed": ClockSkewError,
    "InvalidObjectState": ArchivedError,
    **dict.fromkeys(
        (
            *("QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "EntityTooLarge"),
            *("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"),
        ),
        OutOfSpaceError,
    ),
    **dict.fromkeys(
        (
            *("ConditionalRequestConflict", "OperationAborted", "SlowDown", "Throttling"),
            *("ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "ServerBusy"),
            *("RequestTimeout", "RequestTimeoutException", "InternalError", "InternalFailure"),
            *("ServiceUnavailable", "ServiceUnavailableException", "IncompleteBody", "BadDigest"),
            *("XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "SlowDownWrite"),
            *("SlowDownRead", "BandwidthLimitExceeded", "PriorRequestNotComplete"),
        ),
        TransientBackendError,
    ),
}
_BY_STATUS: Final[dict[int, type[BackendError]]] = {
    **dict.fromkeys((301, 302, 307), WrongRegionError),
    401: CredentialsError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: TransientBackendError,
    412: AlreadyExistsError,
    **dict.fromkeys((408, 425, 429), TransientBackendError),
    501: BackendError,
    507: OutOfSpaceError,
}
_CREDENTIALS: Final = (
    *(boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError),
    *(boto.ProfileNotFound, boto.ConfigParseError, boto.ConfigNotFound, boto.NoAuthTokenError),
    *(boto.TokenRetrievalError, boto.SSOError, boto.MetadataRetrievalError),
    *(boto.InvalidConfigError, boto.UnknownCredentialError, boto.RefreshWithMFAUnsupportedError),
)
_CREDENTIAL_CALLS: Final = ("AssumeRole", "GetRoleCredentials", "GetSessionToken", "CreateToken")
_BROKEN: Final = (
    *(boto.IncompleteReadError, boto.ResponseStreamingError, boto.ConnectionClosedError),
    *(boto.FlexibleChecksumError, boto.ChecksumError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked when the error happened."""

    location: str
    bucket: str
    name: str
    """Of the object; empty if the request was about the bucket."""
    host: str
    """Host and port that it was sent to, empty if nobody knows."""
    now_s: float
    """By this machine's clock, seconds since 1970 UTC."""
    storage_class: str = ""
    """That was asked for, empty if none was."""
    has_customer_key: bool = False
    """Whether a key of SSE-C went with it."""


def translated(error: Exception, request: Request) -> HoldfastError:
    """Return the error of ours that says what `error` means."""
    if isinstance(error, HoldfastError):
        return error
    if isinstance(error, boto.ClientError):
        return _of_answer(error, request)
    return _of_failure(error, request)


def _of_answer(error: boto.ClientError, request: Request) -> HoldfastError:
    """Translate an answer that is an error."""
    answer: dict[str, Any] = error.response
    details: dict[str, Any] = answer.get("Error", {})
    metadata: dict[str, Any] = answer.get("ResponseMetadata", {})
    headers: dict[str, str] = metadata.get("HTTPHeaders", {})
    code = str(details.get("Code", ""))
    status = int(metadata.get("HTTPStatusCode", 0))
    message = _one_line(str(details.get("Message") or ""))
    region = headers.get("x-amz-bucket-region") or str(details.get("Region", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is None:
        kind = TransientBackendError if status >= 500 else BackendError
        if status == _BAD_REQUEST and region and code in ("", "400", "BadRequest"):
            kind = WrongRegionError  # HEAD in another region
    if error.operation_name.startswith(_CREDENTIAL_CALLS):
        kind = CredentialsError
    if _LOCKED.search(message) and (kind is AccessDeniedError or code == "InvalidRequest"):
        kind = LockedError
    name, reason = request.name, _reason(code, status, message)
    if kind is BucketNotFoundError:
        name = request.bucket
    elif kind is WrongRegionError:
        reason = _one_line(region)
    elif kind is ClockSkewError:
        reason = _skew(headers.get("date", ""), request.now_s)
    elif kind is ArchivedError:
        reason = _one_line(str(answer.get("StorageClass") or details.get("StorageClass") or ""))
    elif kind is LockedError:
        reason = ""
    elif kind is BackendError and status == _BAD_REQUEST:
        reason = _bad_request(code, message, request) or reason
    return kind(request.location, name, reason)


def _of_failure(error: Exception, request: Request) -> HoldfastError:
    """Translate a failure without an answer."""
    location, name, host = request.location, request.name, request.host or "the server"
    if isinstance(error, boto.NoRegionError):
        hint = "add region=REGION to the options of the location, or set AWS_DEFAULT_REGION"
        return ConfigurationError("no region is given for the storage", hint)
    if isinstance(error, _CREDENTIALS):
        return CredentialsError(location, name, _credentials_reason(error))
    if isinstance(error, boto.ProxyConnectionError | boto.InvalidProxiesConfigError):
        return TransientBackendError(location, name, "the proxy cannot be reached")
    is_foreign = isinstance(error, ResponseParserError | LookupError | ValueError)
    if request.host and is_foreign and not isinstance(error, boto.BotoCoreError):
        reason = f"{host} answers, but not as S3 does; check the endpoint"
        return TransientBackendError(location, name, reason)
    causes = tuple(_causes(error))
    text = " ".join(str(cause) for cause in causes)
    if "CERTIFICATE_VERIFY_FAILED" in text or ("certificate" in text and "match" in text):
        reason = f"the certificate of {host} is not trusted; set AWS_CA_BUNDLE to its authority's"
        return BackendError(location, name, reason)
    if isinstance(error, boto.SSLError) and "WRONG_VERSION_NUMBER" in text.upper():
        reason = f"{host} does not speak TLS; is the endpoint an http:// one?"
        return BackendError(location, name, reason)
    if isinstance(error, (*_BROKEN, boto.HTTPClientError, boto.ConnectionError, OSError)):
        return TransientBackendError(location, name, _connection_reason(error, causes, host))
    if type(error).__module__.startswith("urllib3"):
        return TransientBackendError(location, name, _connection_reason(error, causes, host))
    if isinstance(error, boto.ValidationError | boto.EndpointProviderError | ValueError):
        return ConfigurationError(_one_line(str(error)), "check the options of the location")
    return BackendError(location, name, _one_line(str(error)))


def _bad_request(code: str, message: str, request: Request) -> str:
    """Return what an answer 400 is likely about, or nothing."""
    is_bare = code in ("", str(_BAD_REQUEST))
    if _CUSTOMER_KEY.search(message) or (is_bare and request.has_customer_key):
        return _CUSTOMER_KEY_REASON
    is_unknown = code == "InvalidStorageClass" or (code == "InvalidArgument" and not message)
    if request.storage_class and is_unknown:
        return (
            f"the storage class {request.storage_class} is not known there; change class= in the "
            "location, or have the class set up"
        )
    return ""


def _reason(code: str, status: int, message: str) -> str:
    code = _one_line(code)
    if not code or code == str(status):
        return f"answer {status}"
    return f"{code}: {message}" if message else code


def _credentials_reason(error: Exception) -> str:
    if isinstance(error, boto.NoCredentialsError):
        return "none were found"
    return _one_line(str(error))


def _skew(date: str, now_s: float) -> str:
    """Return the difference of the clocks for people, or nothing if it is not known."""
    try:
        server_s = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return ""
    minutes, seconds = divmod(round(abs(now_s - server_s)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that is wrapped in it."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = getattr(one, "kwargs", None)
        pending += wrapped.values() if isinstance(wrapped, dict) else ()
        pending += (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)


def _connection_reason(error: Exception, causes: tuple[BaseException, ...], host: str) -> str:
    """Say in few words why there is no whole answer."""
    for cause in causes:
        if isinstance(cause, ConnectionRefusedError):
            return f"connection refused by {host}"
        if isinstance(cause, socket.gaierror):
            return f"the name {urlsplit(f'//{host}').hostname} is not known"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return f"{host} broke the connection"
    if isinstance(error, boto.ConnectTimeoutError):
        return f"{host} cannot be reached"
    if isinstance(error, boto.ReadTimeoutError | TimeoutError):
        return f"{host} did not answer in time"
    if isinstance(error, (*_BROKEN,)):
        return "the answer broke off"
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{host}: {_one_line(cause.strerror)}"
    return f"no connection to {host}"


def _one_line(text: str) -> str:
    """Return a server's text without markup and line breaks, at most 200 characters."""
    line = " ".join(_MARKUP.sub(" ", text).split())
    return line if len(line) <= _MOST_TEXT else f"{line[: _MOST_TEXT - 1]}…"
