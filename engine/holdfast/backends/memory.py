"""A store in memory, for tests and for trying things out; it ends with the process.

Nothing survives a power cut, so "durable" means here: visible to every user of this object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from holdfast.backends import names
from holdfast.backends.base import ObjectInfo, refuse_protection
from holdfast.clock import Clock, SystemClock
from holdfast.errors import AlreadyExistsError, NotFoundError, RepositoryExistsError
from holdfast.hashing import Bytes


class MemoryBackend:
    """Objects in a dictionary; safe for many threads.

    `close` keeps the objects: opening a repository again means handing over the same backend.

    Args:
        location: how errors name it.
        clock: dates the objects.
    """

    def __init__(self, location: str = "memory", *, clock: Clock | None = None) -> None:
        self._location = location
        self._clock = clock or SystemClock()
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """The text given to the constructor."""
        return self._location

    @property
    def is_remote(self) -> bool:
        """False."""
        return False

    @property
    def parallelism(self) -> int:
        """As a disk."""
        return 2

    def protect(self, days: int) -> None:
        """Refuse: nothing here is protected."""
        refuse_protection(days)

    def create(self, name: str, data: Bytes) -> None:
        """Create an object from a copy of `data`."""
        names.check_name(name)
        entry = (bytes(data), self._clock.now_ns() / 1e9)
        with self._lock:
            if name in self._objects:
                raise AlreadyExistsError(self._location, name)
            self._objects[name] = entry

    def open_writer(self, name: str, *, is_hot: bool = False) -> MemoryWriter:
        """Begin an object in a buffer."""
        del is_hot
        names.check_name(name)
        return MemoryWriter(self, name)

    def read(self, name: str) -> bytes:
        """Return a whole object, without a copy."""
        names.check_name(name)
        with self._lock:
            entry = self._objects.get(name)
        if entry is None:
            raise NotFoundError(self._location, name)
        return entry[0]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object."""
        names.check_range(offset, length)
        return self.read(name)[offset : offset + length]

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        return len(self.read(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects there were at the moment of the call."""
        names.check_prefix(prefix)
        with self._lock:
            present = [item for item in self._objects.items() if item[0].startswith(prefix)]
        return (ObjectInfo(name, len(data), created_s) for name, (data, created_s) in present)

    def delete(self, name: str) -> None:
        """Delete an object."""
        names.check_name(name)
        with self._lock:
            if self._objects.pop(name, None) is None:
                raise NotFoundError(self._location, name)

    def initialize(self) -> None:
        """Check that there is no object yet."""
        if self._objects:
            raise RepositoryExistsError(self._location, "it holds objects already")

    def close(self) -> None:
        """Do nothing."""


class MemoryWriter:
    """An object in a buffer, for one thread at a time; ValueError when used after its end."""

    __slots__ = ("_backend", "_buffer", "_name")

    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self._backend = backend
        self._name = name
        self._buffer: bytearray | None = bytearray()

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        if self._buffer is None:
            raise ValueError(f"the writer of {self._name} is closed")
        self._buffer += data

    def commit(self) -> None:
        """Create the object."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            raise ValueError(f"the writer of {self._name} is closed")
        self._backend.create(self._name, buffer)

    def abort(self) -> None:
        """Drop the buffer."""
        self._buffer = None
