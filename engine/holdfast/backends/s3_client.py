"""Requests to an S3 server: one method each, counted, throttled, with errors of our own.

Everything that talks to a bucket goes through an `S3Client`. It repeats nothing. Each HTTP
request is announced to the meter right before it is sent, whatever made the library send it.

Bodies are verified by the server: each upload carries its MD5, which every server checks, while
some accept newer checksums without looking at them. Bodies that are received are verified by
whoever reads objects, since every object ends with a hash.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.backends import s3_parameters
from holdfast.backends.base import ObjectInfo
from holdfast.backends.location import Location
from holdfast.backends.meter import Meter, RequestKind
from holdfast.backends.options import DEFAULT_OPTIONS, StorageOptions
from holdfast.backends.s3_body import Body, SentBody
from holdfast.backends.s3_parameters import DEFAULT_PUT, PutOptions
from holdfast.backends.throttle import Throttle
from holdfast.clock import Clock, SystemClock
from holdfast.errors import HoldfastError, TransientBackendError

PAGE_LENGTH: Final = 1000
"""Keys of one page of a listing: the most that servers give."""
_LAST_BYTE: Final = 2**63 - 1
_RANGE_NOT_SATISFIABLE: Final = 416

_KINDS: Final = {
    "put_object": RequestKind.PUT,
    "create_multipart_upload": RequestKind.PUT,
    "upload_part": RequestKind.PUT,
    "complete_multipart_upload": RequestKind.PUT,
    "get_object": RequestKind.GET,
    "head_object": RequestKind.HEAD,
    "head_bucket": RequestKind.HEAD,
    "list_objects_v2": RequestKind.LIST,
    "list_object_versions": RequestKind.LIST,
    "list_multipart_uploads": RequestKind.LIST,
    "list_parts": RequestKind.LIST,
    "delete_object": RequestKind.DELETE,
    "delete_objects": RequestKind.DELETE,
    "abort_multipart_upload": RequestKind.DELETE,
}
"""Method of the library's client -> kind of request; all others are OTHER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHead:
    """What a server says about an object."""

    size: int
    etag: str
    """Without quotes; the MD5 of objects that were uploaded at once and are not encrypted."""
    modified_s: float
    version_id: str
    """Empty where there are no versions."""
    locked_until: datetime | None
    """End of its protection by Object Lock; None if there is none or it is not said."""
    storage_class: str


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing."""

    objects: list[ObjectInfo]
    """Names are keys below the location's prefix, and may be anything."""
    next_token: str
    """For the next page; empty if this was the last."""


def open_s3_client(location: Location, options: StorageOptions = DEFAULT_OPTIONS) -> S3Client:
    """Return the client of an `s3` location, for what `Backend` has no words for."""
    return S3Client(location, options)


class S3Client:
    """Requests to one bucket. Safe for many threads, which share its connections.

    Names are those of objects below the location's prefix. Every method raises the errors of
    `s3_errors`, among them TransientBackendError for what may be repeated, and RequestLimitError.

    Args:
        location: of scheme "s3".
        options: limits, and who counts.
        clock: for limits, and to tell how far this machine's time is from the server's.
    """

    def __init__(
        self,
        location: Location,
        options: StorageOptions = DEFAULT_OPTIONS,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._location = location
        self.clock = clock or SystemClock()
        self._meter = options.meter or Meter()
        self._upload = _throttle(options.upload_bytes_per_s, self.clock)
        self._download = _throttle(options.download_bytes_per_s, self.clock)
        self._lock = threading.Lock()
        self._client: Any = None
        self._current = threading.local()
        self._common: dict[str, Any] = s3_parameters.of_every_request(location)
        self._customer_key: dict[str, Any] = s3_parameters.customer_key(location)

    @property
    def location(self) -> Location:
        """The location it was made for."""
        return self._location

    @property
    def text(self) -> str:
        """The location as it was given."""
        return self._location.text or f"s3://{self._location.bucket}/{self._location.path}"

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self._location.bucket

    def key(self, name: str) -> str:
        """Return the key of an object, or the prefix of keys that a prefix of names means."""
        return f"{self._location.path}/{name}" if self._location.path else name

    # -- objects --------------------------------------------------------------------------------

    def put(self, name: str, body: bytes | Body, md5: bytes, how: PutOptions = DEFAULT_PUT) -> None:
        """Create an object by one request."""
        parameters = s3_parameters.of_creation(self._location, self._customer_key, how)
        if how.if_absent:
            parameters["IfNoneMatch"] = "*"
        parameters |= {"Body": body, "ContentMD5": _base64(md5)}
        answer = self.call("put_object", name, Key=self.key(name), **parameters)
        self._element(answer, "ETag", name)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> tuple[bytes, int]:
        """Return bytes of an object, and the whole object's size.

        Args:
            name: of the object.
            offset: of the first byte.
            length: how many bytes, at least 1; None for the whole object from byte 0 on.
        """
        wanted = {}
        if length is not None:
            last = min(offset + length - 1, _LAST_BYTE)
            wanted["Range"] = f"bytes={offset}-{last}"
        with self._request("get_object", name) as send:
            try:
                answer = send(Key=self.key(name), **wanted, **self._customer_key)
            except Exception as error:
                if _is_past_end(error):
                    return b"", 0
                raise
            present = int(self._element(answer, "ContentLength", name))
            if length is None:
                size, expected = present, present
            else:
                size = self._size_of_range(answer, name, offset)
                expected = min(length, size - offset)
            data = self._receive(answer["Body"])
            if len(data) != expected:
                reason = f"{len(data)} bytes came instead of {expected}"
                raise TransientBackendError(self.text, name, reason)
            return data, size

    def head(self, name: str) -> ObjectHead:
        """Return what the server says about an object."""
        answer = self.call("head_object", name, Key=self.key(name), **self._customer_key)
        modified: datetime = self._element(answer, "LastModified", name)
        return ObjectHead(
            size=int(self._element(answer, "ContentLength", name)),
            etag=str(answer.get("ETag", "")).strip('"'),
            modified_s=modified.timestamp(),
            version_id=str(answer.get("VersionId", "")),
            locked_until=_aware(answer.get("ObjectLockRetainUntilDate")),
            storage_class=str(answer.get("StorageClass", "STANDARD")),
        )

    def list_page(
        self, prefix: str, token: str = "", *, most: int | None = None, after: str = ""
    ) -> Page:
        """Return a page of the objects whose names begin with `prefix`, in the order of keys.

        Args:
            prefix: of names.
            token: `next_token` of the page before; empty for the first.
            most: objects of the page; None for as many as servers give.
            after: a name; only those behind it are listed.
        """
        parameters: dict[str, Any] = {"Prefix": self.key(prefix), "MaxKeys": most or PAGE_LENGTH}
        if token:
            parameters["ContinuationToken"] = token
        if after:
            parameters["StartAfter"] = self.key(after)
        answer = self.call("list_objects_v2", prefix, **parameters)
        is_last = not self._element(answer, "IsTruncated", prefix)
        next_token = "" if is_last else self._element(answer, "NextContinuationToken", prefix)
        skipped = len(self.key(""))
        objects = [
            ObjectInfo(one["Key"][skipped:], int(one["Size"]), one["LastModified"].timestamp())
            for one in answer.get("Contents", ())
        ]
        return Page(objects, next_token)

    def delete(self, name: str, version_id: str = "") -> None:
        """Delete an object, or one version of it for good; nothing there is a success."""
        version = {"VersionId": version_id} if version_id else {}
        self.call("delete_object", name, Key=self.key(name), **version)

    # -- uploads in parts -----------------------------------------------------------------------

    def begin_upload(self, name: str, how: PutOptions = DEFAULT_PUT) -> str:
        """Begin an upload in parts, and return its id."""
        parameters = s3_parameters.of_creation(self._location, self._customer_key, how)
        answer = self.call("create_multipart_upload", name, Key=self.key(name), **parameters)
        return str(self._element(answer, "UploadId", name))

    def put_part(self, name: str, upload_id: str, number: int, body: Body, md5: bytes) -> str:
        """Upload part `number`, counted from 1, and return its ETag."""
        answer = self.call(
            "upload_part",
            name,
            Key=self.key(name),
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentMD5=_base64(md5),
            **self._customer_key,
        )
        return str(self._element(answer, "ETag", name))

    def complete_upload(self, name: str, upload_id: str, etags: list[str]) -> None:
        """Make an object of the parts, if the name is free; some servers do not look."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        self.call(
            "complete_multipart_upload",
            name,
            Key=self.key(name),
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
            **self._customer_key,
        )

    def abort_upload(self, name: str, upload_id: str) -> None:
        """Drop an upload and its parts."""
        self.call("abort_multipart_upload", name, Key=self.key(name), UploadId=upload_id)

    # -- anything else --------------------------------------------------------------------------

    def call(self, method: str, name: str, **parameters: Any) -> dict[str, Any]:
        """Send a request about the bucket and return the answer.

        Args:
            method: of botocore's client: "get_bucket_versioning".
            name: what errors name: an object's, or empty for the bucket.
            parameters: of the method, beside Bucket and RequestPayer.
        """
        storage_class = str(parameters.get("StorageClass", ""))
        with self._request(method, name, storage_class) as send:
            return send(**parameters)

    def close(self) -> None:
        """Close the connections; harmless when repeated."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _element(self, answer: dict[str, Any], element: str, name: str) -> Any:
        """Return what every answer of S3 has; others answer 200 too, proxies that are lost."""
        found = answer.get(element)
        if found is None:
            raise TransientBackendError(self.text, name, f"its answer has no {element}")
        return found

    def _size_of_range(self, answer: dict[str, Any], name: str, offset: int) -> int:
        """Return the object's size from the answer to a ranged request."""
        unit, _, rest = str(answer.get("ContentRange", "")).partition(" ")
        span, _, total = rest.partition("/")
        first = span.partition("-")[0]
        if unit == "bytes" and first == str(offset) and total.isascii() and total.isdigit():
            return int(total)
        answer["Body"].close()
        reason = f"bytes from {offset} on were asked for, others came"
        raise TransientBackendError(self.text, name, reason)

    def _receive(self, body: Any) -> bytes:
        """Return all of a body, no faster than the limit; a broken one costs its connection."""
        pieces: list[bytes] = []
        try:
            if self._download is None:
                pieces.append(body.read())
            else:
                while piece := body.read(self._download.piece):
                    pieces.append(piece)
                    self._download.take(len(piece))
        except BaseException:
            body.close()
            raise
        finally:
            received = sum(len(piece) for piece in pieces)
            self._meter.add_bytes(RequestKind.GET, received=received)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @contextmanager
    def _request(
        self, method: str, name: str, storage_class: str = ""
    ) -> Iterator[Callable[..., dict[str, Any]]]:
        """Give what sends a request; errors of it, and of receiving the answer, become ours."""
        host = ""
        try:
            client = self._connected()
            host = urlsplit(client.meta.endpoint_url).netloc
            self._current.request = (_KINDS.get(method, RequestKind.OTHER), name)
            yield partial(getattr(client, method), Bucket=self.bucket, **self._common)
        except HoldfastError:
            raise
        except Exception as error:
            from holdfast.backends import s3_errors

            request = s3_errors.Request(
                location=self.text,
                bucket=self.bucket,
                name=name,
                host=host,
                now_s=self.clock.now_ns() / 1e9,
                storage_class=storage_class,
                has_customer_key=bool(self._customer_key),
            )
            raise s3_errors.translated(error, request) from error

    def _connected(self) -> Any:
        """Return the library's client, which the first request makes."""
        with self._lock:
            if self._client is None:
                from holdfast.backends.s3_session import make_client

                client = make_client(self._location)
                client.meta.events.register("before-send.s3", self._before_send)
                client.meta.events.register("before-parse.s3", self._before_parse)
                self._client = client
            return self._client

    def _before_send(self, request: Any, **_: Any) -> None:
        """Count a signed request and have its body sent at our pace; called by the library."""
        kind, name = self._current.request
        self._meter.begin(kind, self.text, name)
        body = request.body
        if body is None:
            return
        is_memory = isinstance(body, bytes | bytearray)
        if is_memory and self._upload is None:
            self._meter.add_bytes(kind, sent=len(body))
            return
        request.body = SentBody(body, self._upload, partial(self._count_sent, kind))

    def _count_sent(self, kind: RequestKind, count: int) -> None:
        self._meter.add_bytes(kind, sent=count)

    def _before_parse(self, response_dict: dict[str, Any], **_: Any) -> None:
        """Count the body of an answer that is not an object; called by the library."""
        body = response_dict.get("body")
        if isinstance(body, bytes):
            self._meter.add_bytes(self._current.request[0], received=len(body))


def _is_past_end(error: Exception) -> bool:
    """Tell whether an answer says that a range begins at or behind the end of the object."""
    answer: dict[str, Any] = getattr(error, "response", None) or {}
    status: object = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == _RANGE_NOT_SATISFIABLE


def _throttle(bytes_per_s: int | None, clock: Clock) -> Throttle | None:
    return None if bytes_per_s is None else Throttle(bytes_per_s, clock)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
