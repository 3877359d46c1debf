"""Which snapshot is meant: by id prefix, `latest`, filters; and which one is the parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import AmbiguousSnapshotError, ConfigurationError, SnapshotNotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.ids import is_id_prefix

LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFilter:
    """Which snapshots are considered; an empty part lets all pass."""

    hosts: tuple[str, ...] = ()
    """Any of these."""
    tags: tuple[str, ...] = ()
    """All of these."""
    paths: tuple[str, ...] = ()
    """All of these among the snapshot's paths."""

    def matches(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot passes."""
        return (
            (not self.hosts or snapshot.host in self.hosts)
            and set(self.tags) <= set(snapshot.tags)
            and set(self.paths) <= set(snapshot.paths)
        )

    def __str__(self) -> str:
        parts = [*(f"host {h}" for h in self.hosts), *(f"tag {t}" for t in self.tags)]
        return ", ".join([*parts, *(f"path {p}" for p in self.paths)])


def select(snapshots: Sequence[Snapshot], condition: SnapshotFilter) -> list[Snapshot]:
    """Return the snapshots that pass, in the given order."""
    return [snapshot for snapshot in snapshots if condition.matches(snapshot)]


def resolve(snapshots: Sequence[Snapshot], name: str, condition: SnapshotFilter) -> Snapshot:
    """Return the snapshot a person means.

    Args:
        snapshots: all, ascending by time.
        name: "latest" or the beginning of an id.
        condition: limits "latest"; an id means one snapshot whatever the filters say.

    Raises:
        SnapshotNotFoundError: none fits.
        AmbiguousSnapshotError: several ids begin so.
    """
    if name == LATEST:
        fitting = select(snapshots, condition)
        whole = [snapshot for snapshot in fitting if not snapshot.partial]
        if not fitting:
            raise SnapshotNotFoundError(name, str(condition))
        return (whole or fitting)[-1]
    prefix = name.lower()
    if not is_id_prefix(prefix):
        raise ConfigurationError(
            f"{name!r} names no snapshot", "give `latest` or the first digits of an id"
        )
    found = [snapshot for snapshot in snapshots if snapshot.id.startswith(prefix)]
    if not found:
        raise SnapshotNotFoundError(name)
    if len(found) > 1:
        raise AmbiguousSnapshotError(name, tuple(snapshot.id for snapshot in found))
    return found[0]


def choose_parent(
    snapshots: Sequence[Snapshot], host: str, raw_paths: Sequence[bytes]
) -> Snapshot | None:
    """Return the snapshot to compare a new backup with.

    The newest of the same host with the same paths; failing that the newest of the host that
    has one of the paths. Whole ones come before partial ones, which know only what was read
    until they ended.
    """
    wanted = set(raw_paths)
    own = [snapshot for snapshot in snapshots if snapshot.host == host]
    same = [snapshot for snapshot in own if set(snapshot.raw_paths) == wanted]
    fitting = same or [snapshot for snapshot in own if wanted & set(snapshot.raw_paths)]
    whole = [snapshot for snapshot in fitting if not snapshot.partial]
    return next(reversed(whole or fitting), None)
