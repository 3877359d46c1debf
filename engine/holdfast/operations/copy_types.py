"""What a copy is asked for and what it tells; and what its parts tell one another."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.compression import DEFAULT_LEVEL
from holdfast.errors import IntegrityError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.copy_logs import LogCopy


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How a copy works."""

    host: str = ""
    """Told to whoever prunes the destination meanwhile."""
    level: int | None = DEFAULT_LEVEL
    """zstd level of what is packed anew; None stores as is."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CopiedSnapshot:
    """A snapshot that was copied."""

    old_id: str
    new_id: str | None
    """None in a dry run."""


@dataclass(slots=True)
class CopyResult:
    """What a copy did, or would do."""

    mirror: bool = False
    """Whether both repositories have the same keys."""
    copied: list[CopiedSnapshot] = field(default_factory=list)
    skipped: int = 0
    """Snapshots that the destination has, or has forgotten."""
    vanished: int = 0
    """Snapshots that were forgotten at the source while they were being copied."""
    damaged: list[tuple[str, IntegrityError]] = field(default_factory=list)
    """Snapshots that cannot be read, each with the first thing that cannot."""
    blobs_read: int = 0
    """Blobs fetched one by one; for a dry run those that might have to be."""
    bytes_read: int = 0
    """Plaintext bytes of these."""
    packs_copied: int = 0
    """Packs taken over as they are."""
    pack_bytes_copied: int = 0
    bytes_stored: int = 0
    """Bytes of all packs stored."""
    logs: LogCopy = field(default_factory=LogCopy)
    """What was done with the archived logs of databases."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.damaged and not self.logs.problems


class UnreadableError(Exception):
    """A part of the source cannot be read. Never leaves the operation."""

    def __init__(self, error: IntegrityError) -> None:
        super().__init__(str(error))
        self.error = error


def origin_of(snapshot: Snapshot) -> str:
    """Return the id by which copies of a snapshot are recognised, wherever they are."""
    return snapshot.original or snapshot.id
