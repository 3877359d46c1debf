"""Counting requests to a storage, and ending a command that makes too many.

A meter belongs to one command. Backends that talk to a server count every request they send,
repetitions and pages of listings included; for the others `MeteredBackend` counts operations.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from holdfast.backends.base import Backend, ObjectInfo, ObjectWriter
from holdfast.backends.wrapper import BackendWrapper
from holdfast.hashing import Bytes
from holdfast.storage_errors import RequestLimitError


class RequestKind(Enum):
    """What providers set prices for; the values are names in reports."""

    PUT = "put"
    """Objects, and each of the steps of a multipart upload."""
    GET = "get"
    HEAD = "head"
    LIST = "list"
    DELETE = "delete"
    OTHER = "other"
    """Settings of buckets, locks and the like."""


@dataclass(slots=True)
class Count:
    """Requests of one kind."""

    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Meter:
    """Counts requests. Safe for many threads.

    Args:
        most_requests: how many may be made; None for any number.
    """

    def __init__(self, most_requests: int | None = None) -> None:
        self._most = most_requests
        self._requests = 0
        self._counts = {kind: Count() for kind in RequestKind}
        self._lock = threading.Lock()

    def begin(self, kind: RequestKind, location: str, name: str) -> None:
        """Count a request that is about to be sent.

        Raises:
            RequestLimitError: it would be one too many; it must not be sent.
        """
        with self._lock:
            if self._most is not None and self._requests >= self._most:
                raise RequestLimitError(location, name, str(self._most))
            self._requests += 1
            self._counts[kind].requests += 1

    def add_bytes(self, kind: RequestKind, *, sent: int = 0, received: int = 0) -> None:
        """Count bytes of bodies."""
        with self._lock:
            count = self._counts[kind]
            count.bytes_sent += sent
            count.bytes_received += received

    @property
    def requests(self) -> int:
        """All requests so far."""
        return self._requests

    def counts(self) -> dict[RequestKind, Count]:
        """Return a copy of the counts by kind."""
        with self._lock:
            return {
                kind: Count(count.requests, count.bytes_sent, count.bytes_received)
                for kind, count in self._counts.items()
            }


class MeteredBackend(BackendWrapper):
    """Counts the operations of `inner`, a store that makes no requests of its own.

    One operation is one request of the kind that it would be at a server, so that the figures of
    a directory say what the same command would cost there: a listing is one LIST however long it
    is, a writer one PUT at its commit, `initialize` one LIST. What fails is counted too. Bytes
    are those of the objects; listings count none.

    Every operation raises RequestLimitError before it does anything if it would be one too many.
    `abort` and `close` are free, so that cleaning up is always possible.
    """

    def __init__(self, inner: Backend, meter: Meter) -> None:
        super().__init__(inner)
        self._meter = meter

    def create(self, name: str, data: Bytes) -> None:
        """Create an object: a PUT."""
        self._begin(RequestKind.PUT, name)
        self._meter.add_bytes(RequestKind.PUT, sent=memoryview(data).nbytes)
        self._inner.create(name, data)

    def open_writer(self, name: str, *, is_hot: bool = False) -> MeteredWriter:
        """Begin an object; its commit will be a PUT."""
        writer = self._inner.open_writer(name, is_hot=is_hot)
        return MeteredWriter(writer, self._meter, self.location, name)

    def read(self, name: str) -> bytes:
        """Return a whole object: a GET."""
        self._begin(RequestKind.GET, name)
        return self._received(self._inner.read(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object: a GET."""
        self._begin(RequestKind.GET, name)
        return self._received(self._inner.read_range(name, offset, length))

    def size(self, name: str) -> int:
        """Return an object's size in bytes: a HEAD."""
        self._begin(RequestKind.HEAD, name)
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix: a LIST, counted by the call."""
        self._begin(RequestKind.LIST, prefix or "the listing of all objects")
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Delete an object: a DELETE."""
        self._begin(RequestKind.DELETE, name)
        self._inner.delete(name)

    def initialize(self) -> None:
        """Prepare the location: a LIST, as somebody must see whether it is empty."""
        self._begin(RequestKind.LIST, "the listing of all objects")
        self._inner.initialize()

    def _begin(self, kind: RequestKind, name: str) -> None:
        self._meter.begin(kind, self._inner.location, name)

    def _received(self, data: bytes) -> bytes:
        self._meter.add_bytes(RequestKind.GET, received=len(data))
        return data


class MeteredWriter:
    """A writer whose commit is counted as one PUT of all its bytes."""

    __slots__ = ("_inner", "_location", "_meter", "_name", "_size")

    def __init__(self, inner: ObjectWriter, meter: Meter, location: str, name: str) -> None:
        self._inner = inner
        self._meter = meter
        self._location = location
        self._name = name
        self._size = 0

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        self._inner.write(data)
        self._size += memoryview(data).nbytes

    def commit(self) -> None:
        """Count the PUT, then make the object durable and visible.

        Raises:
            RequestLimitError: it would be one too many; nothing became visible.
        """
        self._meter.begin(RequestKind.PUT, self._location, self._name)
        self._meter.add_bytes(RequestKind.PUT, sent=self._size)
        self._inner.commit()

    def abort(self) -> None:
        """Drop what was written; never counted."""
        self._inner.abort()
