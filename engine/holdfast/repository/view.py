"""What one reading of the repository found to count: the view of a reader or a writer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from holdfast.format.snapshot import Snapshot
from holdfast.ids import ObjectId
from holdfast.repository.commits import StoredCommit
from holdfast.repository.log_state import LogState


@dataclass(frozen=True)
class View:
    """Commits, and what the log of prune said before and after they were listed.

    A writer reads the log, then forget marks, then commits, then the log again. A commit that the
    second reading calls decided was there before anybody could decide against it. A reader leaves
    out the first reading.
    """

    for_writing: bool
    """Whether blobs that this view calls known will be referred to by a new commit."""
    before: LogState
    """For reading the same as `log`."""
    log: LogState
    """As read after the commits."""
    hidden: frozenset[str]
    """Snapshots with a forget mark."""
    commits: tuple[StoredCommit, ...]
    """Those that count, hidden ones too."""
    void: tuple[StoredCommit, ...] = ()
    """Those that do not."""

    @property
    def number(self) -> int:
        """What a writer with this view gives as its commit's view."""
        return self.before.last

    @cached_property
    def bad(self) -> frozenset[ObjectId]:
        """Packs that do not count as a place: doomed ones, for writing condemned ones too."""
        return self.before.bad | self.log.bad if self.for_writing else self.log.doomed

    @property
    def is_unsettled(self) -> bool:
        """Whether what visible snapshots refer to may be about to move."""
        return self.before.is_open or self.log.is_open

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """Snapshots that nobody has forgotten, ascending by time."""
        return _by_time(item.snapshot for item in self.commits if item.id not in self.hidden)

    @property
    def decided(self) -> list[Snapshot]:
        """Those of `snapshots` that stay whatever the next SEAL says."""
        views = {item.id: item.commit.view for item in self.commits}
        return [one for one in self.snapshots if self.log.is_decided(views[ObjectId(one.id)])]

    @cached_property
    def forgotten(self) -> list[Snapshot]:
        """Snapshots that are hidden and can be brought back, ascending by time."""
        return _by_time(item.snapshot for item in self.commits if item.id in self.hidden)

    def index_ids(self) -> set[str]:
        """Return the index objects that count.

        For writing, those of undecided commits do not: their commits may turn out void.
        """
        return self.log.trusted_index(
            (item.id, item.commit.index_ids)
            for item in self.commits
            if not self.for_writing or self.log.is_decided(item.commit.view)
        )

    def last_of(self, host: str) -> StoredCommit | None:
        """Return a host's newest commit, or None if this would be its first."""
        own = (item for item in self.commits if item.snapshot and item.commit.host == host)
        return max(
            own,
            key=lambda item: (item.commit.host_sequence, item.id not in self.hidden),
            default=None,
        )


def make_view(
    before: LogState,
    log: LogState,
    hidden: frozenset[str],
    commits: Iterable[StoredCommit],
    *,
    for_writing: bool,
) -> View:
    """Sort commits into those that count and those that do not."""
    valid: list[StoredCommit] = []
    void: list[StoredCommit] = []
    for item in commits:
        (valid if log.is_valid(item.id, item.commit.view) else void).append(item)
    return View(for_writing, before, log, hidden, tuple(valid), tuple(void))


def _by_time(snapshots: Iterable[Snapshot | None]) -> list[Snapshot]:
    found = [snapshot for snapshot in snapshots if snapshot is not None]
    return sorted(found, key=lambda snapshot: (snapshot.time_ns, snapshot.id))
