"""What wrappers have in common: everything goes to the wrapped backend until they say otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.backends.base import Backend, ObjectInfo, ObjectWriter
from holdfast.hashing import Bytes


class BackendWrapper:
    """A `Backend` that passes every call on to `inner`; base of those that add behaviour.

    A wrapper that overrides one way to do something overrides all of them: `create` and
    `open_writer`, `read` and `read_range`.
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

    @property
    def parallelism(self) -> int:
        """That of the wrapped backend."""
        return self._inner.parallelism

    def protect(self, days: int) -> None:
        """Have `inner` protect what is created from now on."""
        self._inner.protect(days)

    def create(self, name: str, data: Bytes) -> None:
        """Create an object."""
        self._inner.create(name, data)

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        """Begin an object."""
        return self._inner.open_writer(name, is_hot=is_hot)

    def read(self, name: str) -> bytes:
        """Return a whole object."""
        return self._inner.read(name)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object."""
        return self._inner.read_range(name, offset, length)

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix."""
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._inner.delete(name)

    def initialize(self) -> None:
        """Prepare the location."""
        self._inner.initialize()

    def close(self) -> None:
        """Close the wrapped backend."""
        self._inner.close()
