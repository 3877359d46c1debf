"""What a server says, or does not say, becomes one error with one sentence."""

from __future__ import annotations

import datetime
import email.utils
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.backends.location import parse_location
from holdfast.backends.s3 import S3Backend
from holdfast.backends.s3_client import S3Client
from holdfast.clock import SystemClock
from holdfast.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    BackendError,
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
from support.broken_server import Break, BrokenServer, Fault, broken_server
from support.moto_server import SECRET_KEY, set_credentials


@pytest.fixture(scope="module")
def shared() -> Iterator[BrokenServer]:
    with broken_server() as server:
        yield server


@pytest.fixture
def server(shared: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> BrokenServer:
    """A server that does what it is told to, with nothing behind it."""
    set_credentials(monkeypatch)
    shared.faults.clear()
    shared.seen.clear()
    return shared


def now_s() -> float:
    return SystemClock().now_ns() / 1e9


def backend_at(endpoint: str, options: str = "") -> S3Backend:
    text = f"s3://bucket/prefix?endpoint={endpoint}{options}"
    return S3Backend(S3Client(parse_location(text)))


def failed(backend: S3Backend, method: str = "GET") -> HoldfastError:
    """Return the error of one request, after a look at its text."""
    name = "packs/aa/1"
    requests: dict[str, Callable[[], object]] = {
        "GET": partial(backend.read, name),
        "HEAD": partial(backend.size, name),
        "PUT": partial(backend.create, name, b"data"),
        "DELETE": partial(backend.delete, name),
    }
    with pytest.raises(HoldfastError) as caught:
        requests[method]()
    backend.close()
    text = str(caught.value)
    assert "<" not in text
    assert "\n" not in text
    assert SECRET_KEY not in text
    return caught.value


CODES: list[tuple[str, int, str, type[BackendError]]] = [
    ("GET", 404, "NoSuchKey", NotFoundError),
    ("GET", 404, "NoSuchBucket", BucketNotFoundError),
    ("PUT", 412, "PreconditionFailed", AlreadyExistsError),
    ("GET", 403, "InvalidAccessKeyId", CredentialsError),
    ("GET", 403, "SignatureDoesNotMatch", CredentialsError),
    ("GET", 400, "ExpiredToken", CredentialsError),
    ("GET", 400, "InvalidToken", CredentialsError),
    ("GET", 403, "AccessDenied", AccessDeniedError),
    ("PUT", 400, "AuthorizationHeaderMalformed", WrongRegionError),
    ("GET", 301, "PermanentRedirect", WrongRegionError),
    ("GET", 400, "IllegalLocationConstraintException", WrongRegionError),
    ("GET", 403, "RequestTimeTooSkewed", ClockSkewError),
    ("GET", 403, "InvalidObjectState", ArchivedError),
    ("PUT", 403, "QuotaExceeded", OutOfSpaceError),
    ("PUT", 507, "InsufficientStorage", OutOfSpaceError),
    ("PUT", 507, "", OutOfSpaceError),
    ("PUT", 400, "EntityTooLarge", OutOfSpaceError),
    ("PUT", 409, "ConditionalRequestConflict", TransientBackendError),
    ("PUT", 409, "OperationAborted", TransientBackendError),
    ("PUT", 400, "BadDigest", TransientBackendError),
    ("PUT", 400, "RequestTimeout", TransientBackendError),
    ("GET", 503, "SlowDown", TransientBackendError),
    ("GET", 429, "", TransientBackendError),
    ("GET", 500, "InternalError", TransientBackendError),
    ("GET", 502, "", TransientBackendError),
    ("HEAD", 403, "", AccessDeniedError),
    ("HEAD", 404, "", NotFoundError),
    ("HEAD", 503, "", TransientBackendError),
    ("DELETE", 403, "AccessDenied", AccessDeniedError),
    ("PUT", 501, "NotImplemented", BackendError),
    ("PUT", 400, "InvalidStorageClass", BackendError),
]


@pytest.mark.parametrize(("method", "status", "code", "kind"), CODES)
def test_answers(
    server: BrokenServer, method: str, status: int, code: str, kind: type[BackendError]
) -> None:
    server.faults.append(Fault(method, Break.ANSWER, status=status, code=code))
    error = failed(backend_at(server.endpoint), method)
    assert type(error) is kind
    assert isinstance(error, BackendError)
    assert error.location == f"s3://bucket/prefix?endpoint={server.endpoint}"
    assert error.name == ("bucket" if kind is BucketNotFoundError else "packs/aa/1")
    assert len(server.seen) == 1, "nothing is repeated down here"


def test_an_unknown_code_is_told_with_its_message(server: BrokenServer) -> None:
    message = "The  storage\nclass is &lt;odd&gt; " + "long " * 100
    fault = Fault("PUT", Break.ANSWER, status=400, code="InvalidStorageClass", message=message)
    server.faults.append(fault)
    error = failed(backend_at(server.endpoint), "PUT")
    assert isinstance(error, BackendError)
    assert error.reason.startswith("InvalidStorageClass: The storage class is long long")
    assert len(error.reason) < 250


@pytest.mark.parametrize(
    ("fault", "region"),
    [
        (
            Fault(
                "GET",
                Break.ANSWER,
                status=301,
                code="PermanentRedirect",
                headers={"x-amz-bucket-region": "eu-west-1"},
            ),
            "eu-west-1",
        ),
        (
            Fault(
                "GET",
                Break.ANSWER,
                status=400,
                code="AuthorizationHeaderMalformed",
                extra="<Region>ap-south-1</Region>",
            ),
            "ap-south-1",
        ),
        (
            Fault(
                "HEAD",
                Break.ANSWER,
                status=400,
                code="",
                headers={"x-amz-bucket-region": "eu-west-1"},
            ),
            "eu-west-1",
        ),
        (Fault("HEAD", Break.ANSWER, status=301, code=""), ""),
    ],
)
def test_the_region_that_the_server_names(server: BrokenServer, fault: Fault, region: str) -> None:
    server.faults.append(fault)
    error = failed(backend_at(server.endpoint), fault.method)
    assert isinstance(error, WrongRegionError)
    assert error.reason == region
    assert f"region={region or 'REGION'}" in str(error)
    assert len(server.seen) == 1, "the library looks for the region itself"


@pytest.mark.parametrize(
    ("ahead_s", "expected"),
    [(-3600 * 25, "1 d 1 h"), (1000, "16 min"), (7290, "2 h 1 min"), (7230, "2 h")],
)
def test_the_difference_of_the_clocks(server: BrokenServer, ahead_s: int, expected: str) -> None:
    date = email.utils.formatdate(now_s() + ahead_s, usegmt=True)
    fault = Fault(
        "GET", Break.ANSWER, status=403, code="RequestTimeTooSkewed", headers={"Date": date}
    )
    server.faults.append(fault)
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, ClockSkewError)
    assert error.reason.startswith(expected)


def test_a_date_that_is_none_is_no_difference(server: BrokenServer) -> None:
    fault = Fault(
        "GET", Break.ANSWER, status=403, code="RequestTimeTooSkewed", headers={"Date": "today"}
    )
    server.faults.append(fault)
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, ClockSkewError)
    assert error.reason == ""


def test_the_class_of_an_archived_object(server: BrokenServer) -> None:
    extra = "<StorageClass>DEEP_ARCHIVE</StorageClass>"
    server.faults.append(
        Fault("GET", Break.ANSWER, status=403, code="InvalidObjectState", extra=extra)
    )
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, ArchivedError)
    assert error.reason == "DEEP_ARCHIVE"


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", "Access Denied because object protected by object lock."),
        (403, "AccessDenied", "forbidden by object lock"),
        (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten"),
        (400, "ObjectLocked", "locked"),
    ],
)
def test_refused_by_object_lock(server: BrokenServer, status: int, code: str, message: str) -> None:
    fault = Fault("DELETE", Break.ANSWER, status=status, code=code, message=message)
    server.faults.append(fault)
    assert isinstance(failed(backend_at(server.endpoint), "DELETE"), LockedError)


@pytest.mark.parametrize(
    ("code", "message"), [("InvalidStorageClass", "No such class."), ("InvalidArgument", "")]
)
def test_a_storage_class_that_the_server_lacks(
    server: BrokenServer, code: str, message: str
) -> None:
    backend = backend_at(server.endpoint, "&class=STANDARD_IA")
    fault = Fault("PUT", Break.ANSWER, status=400, code=code, message=message)
    server.faults += [fault, fault]
    writer = backend.open_writer("packs/aa/1")
    with pytest.raises(BackendError, match="the storage class STANDARD_IA is not known there"):
        writer.commit()
    assert "storage class" not in str(failed(backend, "PUT")), "none was asked for"


NO_KEY = "Requests specifying Server Side Encryption with Customer provided keys must provide"
WRONG_KEY = "The calculated MD5 hash of the key did not match the hash that was provided."
OTHER_KEY = "The object was stored using a form of Server Side Encryption. The correct parameters"


@pytest.mark.parametrize(
    ("method", "code", "message", "has_key"),
    [
        ("GET", "InvalidArgument", NO_KEY, False),
        ("GET", "InvalidRequest", OTHER_KEY, False),
        ("GET", "InvalidArgument", WRONG_KEY, True),
        ("HEAD", "", "", True),
    ],
)
def test_a_customers_key_that_is_missing_or_wrong(
    server: BrokenServer, tmp_path: Path, method: str, code: str, message: str, has_key: bool
) -> None:
    file = tmp_path / "key"
    file.write_bytes(bytes(32))
    backend = backend_at(server.endpoint, f"&sse-c-key-file={file}" if has_key else "")
    server.faults.append(Fault(method, Break.ANSWER, status=400, code=code, message=message))
    assert "check sse-c-key-file in the location" in str(failed(backend, method))


# -- no answer ----------------------------------------------------------------------------------


def test_a_reset_connection_may_pass(server: BrokenServer) -> None:
    server.faults.append(Fault("GET", Break.RESET))
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, TransientBackendError)
    assert error.reason == f"{server.endpoint[7:]} broke the connection"


def test_a_closed_connection_may_pass(server: BrokenServer) -> None:
    server.faults.append(Fault("GET", Break.SILENT))
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, TransientBackendError)
    assert server.endpoint[7:] in error.reason or error.reason == "the answer broke off"


def test_nobody_listens(server: BrokenServer) -> None:
    with broken_server() as gone:
        endpoint = gone.endpoint
    error = failed(backend_at(endpoint))
    assert isinstance(error, TransientBackendError)
    assert error.reason == f"connection refused by {endpoint[7:]}"


def test_a_host_that_is_not_known(server: BrokenServer) -> None:
    error = failed(backend_at("http://no-such-host.invalid:9000"))
    assert isinstance(error, TransientBackendError)
    assert error.reason == "the name no-such-host.invalid is not known"


def test_a_server_that_is_silent(server: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.backends.s3_session.READ_TIMEOUT_S", 0.2)
    server.faults.append(Fault("GET", Break.SILENT, delay_s=0.6))
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, TransientBackendError)
    assert error.reason == f"{server.endpoint[7:]} did not answer in time"


# -- configuration ------------------------------------------------------------------------------


def test_no_credentials(server: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failed(backend_at(server.endpoint))
    assert isinstance(error, CredentialsError)
    assert error.reason == "none were found"
    assert server.seen == []


def test_half_of_the_credentials(server: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert isinstance(failed(backend_at(server.endpoint)), CredentialsError)
    assert server.seen == []


def test_a_profile_that_does_not_exist(server: BrokenServer) -> None:
    error = failed(backend_at(server.endpoint, "&profile=nobody"))
    assert isinstance(error, CredentialsError)
    assert "nobody" in error.reason


def test_a_profile_gives_credentials(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[nightly]\naws_access_key_id = OTHERKEY\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    backend = backend_at(server.endpoint, "&profile=nightly&region=eu-north-1")
    backend.create("a", b"data")
    backend.close()
    authorization = server.seen[0].headers["authorization"]
    assert "Credential=OTHERKEY/" in authorization
    assert "/eu-north-1/s3/" in authorization


# -- TLS ----------------------------------------------------------------------------------------


def self_signed(directory: Path) -> Path:
    """Write a certificate for 127.0.0.1 and its key, as PEM in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.fromtimestamp(now_s(), datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_a_certificate_that_nobody_trusts(server: BrokenServer, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    httpd = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler, bind_and_activate=True)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        error = failed(backend_at(f"https://127.0.0.1:{httpd.server_port}"))
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
    assert type(error) is BackendError
    assert "is not trusted" in error.reason
    assert "AWS_CA_BUNDLE" in error.reason


def test_a_server_without_tls(server: BrokenServer) -> None:
    error = failed(backend_at(server.endpoint.replace("http:", "https:")))
    assert type(error) is BackendError
    assert "does not speak TLS" in error.reason
