"""A wrapper whose writes vanish, for `--dry-run`: everything runs, nothing is stored."""

from __future__ import annotations

from holdfast.backends import names
from holdfast.backends.wrapper import BackendWrapper
from holdfast.hashing import Bytes


class DiscardingBackend(BackendWrapper):
    """Reads from `inner`; accepts every creation and deletion and forgets it.

    What was created cannot be read, listed or found to exist, and nothing is checked against
    `inner`: no request is made for a write.
    """

    def protect(self, days: int) -> None:
        """Do nothing: what does not exist needs no protection."""

    def create(self, name: str, data: Bytes) -> None:
        """Accept and forget."""
        del data
        names.check_name(name)

    def open_writer(self, name: str, *, is_hot: bool = False) -> DiscardingWriter:
        """Return a writer that keeps nothing."""
        del is_hot
        names.check_name(name)
        return DiscardingWriter()

    def delete(self, name: str) -> None:
        """Accept and forget."""
        names.check_name(name)

    def initialize(self) -> None:
        """Do nothing."""


class DiscardingWriter:
    """A writer that keeps nothing."""

    __slots__ = ()

    def write(self, data: Bytes) -> None:
        """Accept and forget."""

    def commit(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""
