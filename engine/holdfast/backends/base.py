"""The contract of a backend: a dumb store of named, immutable objects.

A backend knows nothing of packs or snapshots. Names are relative paths of lower-case ASCII
letters, digits, "-" and "/" ("packs/3f/3f…", "config"). An object is created once and deleted
at most once; nothing is ever overwritten, so no reader sees half an object and no two writers
can destroy each other's work.

Every implementation passes `tests/conformance/backend_contract.py`. Retries, caches, limits and
faults are wrappers around this same protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from holdfast.errors import ConfigurationError
from holdfast.hashing import Bytes


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing."""

    name: str
    size: int
    """Bytes as stored."""
    modified_s: float
    """When it was created by the storage's clock, seconds since 1970 UTC. For efficiency and
    display only: no decision about safety may rest on it."""


class ObjectWriter(Protocol):
    """An object that is being written; invisible until `commit`."""

    def write(self, data: Bytes) -> None:
        """Append bytes; the buffer may be reused when the call returns.

        Raises:
            OutOfSpaceError: the storage is full; the writer must be aborted.
        """

    def commit(self) -> None:
        """Make the object durable and visible, both or neither.

        On return it survives a power cut and every later `open`, `list` and `create` sees it.

        Raises:
            AlreadyExistsError: the name is taken; the other object is untouched.
            OutOfSpaceError: the storage is full; nothing became visible.
        """

    def abort(self) -> None:
        """Drop what was written; harmless after `commit`. Never raises a BackendError."""


class Backend(Protocol):
    """Named immutable objects at one location. Methods may be called from many threads."""

    @property
    def location(self) -> str:
        """How a person names this store; free of secrets."""

    @property
    def is_remote(self) -> bool:
        """Whether a request costs milliseconds, so that tree packs are worth caching."""

    @property
    def parallelism(self) -> int:
        """How many requests at once make sense: few on a disk, many where each waits long."""

    def protect(self, days: int) -> None:
        """Have the storage refuse to delete the objects that are created from now on.

        It concerns this `Backend` alone and is said once, before the first object is created; the
        objects that a repository takes back itself (forget marks, sessions, probes) stay free.

        Args:
            days: each object's protection, from its creation on; 0 for none.

        Raises:
            ConfigurationError: the storage has no Object Lock, and `days` is not 0.
        """

    def create(self, name: str, data: Bytes) -> None:
        """Create an object, durable and visible on return.

        Raises:
            AlreadyExistsError: the name is taken; the other object is untouched. Of several
                concurrent creations of one name exactly one succeeds.
            OutOfSpaceError: the storage is full; nothing became visible.
        """

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        """Begin an object whose bytes come piece by piece.

        Args:
            name: of the object.
            is_hot: it will be read often; a store with cheaper, slower classes keeps it out of
                them. Objects that `create` makes are always kept so.
        """

    def read(self, name: str) -> bytes:
        """Return a whole object.

        Raises:
            NotFoundError: there is none.
        """

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only where the object ends.

        Raises:
            NotFoundError: there is none.
        """

    def size(self, name: str) -> int:
        """Return an object's size in bytes.

        Raises:
            NotFoundError: there is none.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose name begins with `prefix`, in no particular order.

        `prefix` is empty or ends with "/". An object created before the call began and not
        deleted meanwhile is always among them.
        """

    def delete(self, name: str) -> None:
        """Delete an object, durably on return.

        Raises:
            NotFoundError: there is none, where the storage says so: on S3 a deletion of nothing
                succeeds, and asking first would cost a request and still be no proof.
            AccessDeniedError: the storage protects it, or does not allow deletions.
        """

    def initialize(self) -> None:
        """Prepare an empty or absent location for its first object.

        Raises:
            RepositoryExistsError: the location holds something already.
        """

    def close(self) -> None:
        """Release connections and handles; the backend is not used afterwards."""


def refuse_protection(days: int) -> None:
    """Be the `protect` of a store without Object Lock.

    Raises:
        ConfigurationError: `days` is not 0.
    """
    if days:
        hint = "give a location in S3 whose bucket has it, or leave --object-lock out"
        raise ConfigurationError("this storage has no Object Lock", hint)
