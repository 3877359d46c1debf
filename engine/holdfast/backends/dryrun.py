"""A wrapper whose writes vanish, for `--dry-run`: everything runs, nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.backends import names
from holdfast.backends.base import Backend, ObjectInfo
from holdfast.hashing import Bytes


class DiscardingBackend:
    """Reads from `inner`; accepts every creation and deletion and forgets it.

    What was created cannot be read, listed or found to exist, and nothing is checked against
    `inner`: no request is made for a write.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def location(self) -> str:
        """That of the wrapped backend."""
        return self._inner.location

    @property
    def is_remote(self) -> bool:
        """That of the wrapped backend."""
        return self._inner.is_remote

    def create(self, name: str, data: Bytes) -> None:
        """Accept and forget."""
        del data
        names.check_name(name)

    def open_writer(self, name: str) -> DiscardingWriter:
        """Return a writer that keeps nothing."""
        names.check_name(name)
        return DiscardingWriter()

    def read(self, name: str) -> bytes:
        """Return a whole object of `inner`."""
        return self._inner.read(name)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object of `inner`."""
        return self._inner.read_range(name, offset, length)

    def size(self, name: str) -> int:
        """Return the size in bytes of an object of `inner`."""
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects of `inner`."""
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Accept and forget."""
        names.check_name(name)

    def initialize(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close `inner`."""
        self._inner.close()


class DiscardingWriter:
    """A writer that keeps nothing."""

    __slots__ = ()

    def write(self, data: Bytes) -> None:
        """Accept and forget."""

    def commit(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""
