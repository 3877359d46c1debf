"""What prune is told and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.compression import DEFAULT_LEVEL
from holdfast.errors import IntegrityError
from holdfast.operations.object_lock import LockReport
from holdfast.policy.prune_plan import DEFAULT_UNUSED, UnusedLimit, parse_unused


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """How prune works."""

    max_unused: UnusedLimit = field(default_factory=lambda: parse_unused(DEFAULT_UNUSED))
    """Space in packs that may stay although nobody needs it."""
    max_repack: int | None = None
    """Stored bytes of packs that are rewritten at the most."""
    wait_s: float | None = None
    """How long to wait for backups that began earlier, then go on without them. None: do not go
    on while there are any; the next prune does."""
    level: int = DEFAULT_LEVEL
    """zstd level of what is rewritten."""
    host: str = ""
    """Where this runs: for people, and compared with the maintainer's name where there is one."""
    as_maintainer: bool = False
    """Prune although another host maintains the repository; that host will never do so again."""
    dry_run: bool = False
    assume_forgotten: frozenset[str] = frozenset()
    """For a dry run: snapshots to be taken for forgotten."""


class Outcome(StrEnum):
    """How a prune ended."""

    DONE = "done"
    NOTHING = "nothing"
    """There was nothing to remove."""
    WAITING = "waiting"
    """What is to be removed is marked; backups that began earlier must end first."""
    PLANNED = "planned"
    """A dry run."""


@dataclass(frozen=True, slots=True)
class WaitedFor:
    """A session that prune waits for."""

    host: str
    started_ns: int


@dataclass(slots=True, kw_only=True)
class PruneResult:
    """What prune did, or would do."""

    outcome: Outcome = Outcome.NOTHING
    snapshots_kept: int = 0
    snapshots_removed: int = 0
    """Forgotten ones."""
    packs_before: int = 0
    bytes_before: int = 0
    """Stored bytes of all packs."""
    packs_removed: int = 0
    """Repacked ones among them."""
    packs_repacked: int = 0
    packs_orphaned: int = 0
    """Packs that interrupted runs left behind."""
    packs_needed_again: int = 0
    """Packs that were to be removed and are needed: backups have built upon them meanwhile."""
    packs_undeletable: int = 0
    """Packs that the storage does not let us delete; later prunes try again."""
    packs_locked: int = 0
    """Packs that Object Lock protects; a prune after its end deletes them."""
    locked_until_ns: int | None = None
    """End of the last of these locks; None if it is not known."""
    bytes_removed: int = 0
    bytes_repacked: int = 0
    """Stored bytes of packs that were copied from."""
    bytes_written: int = 0
    bytes_unused: int = 0
    """Stored bytes that stay in packs although nobody needs them."""
    index_objects_removed: int = 0
    log_segments_removed: int = 0
    """Archived log segments that no base backup needs; not counted in any other figure."""
    log_bytes_removed: int = 0
    """Stored bytes of these."""
    waited_for: list[WaitedFor] = field(default_factory=list)
    problems: list[IntegrityError] = field(default_factory=list)
    """Damage met while copying; those packs stay."""
    locks: LockReport | None = None
    """What was done afterwards to keep locked what is needed; None without Object Lock."""
    seconds: float = 0.0

    @property
    def bytes_freed(self) -> int:
        """By how much the packs have shrunk altogether."""
        return self.bytes_removed - self.bytes_written
