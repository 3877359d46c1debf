"""The snapshots as a person walks through them: by host, along time. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.format.snapshot import Snapshot
from holdfast.operations.diff import previous_snapshot


@dataclass(frozen=True, slots=True)
class Host:
    """One host and its snapshots."""

    name: str
    snapshots: tuple[Snapshot, ...]
    """Ascending by time, at least one."""

    @property
    def newest(self) -> Snapshot:
        """The last one."""
        return self.snapshots[-1]

    @property
    def paths(self) -> list[bytes]:
        """All paths that were ever backed up, in order."""
        return sorted({path for snapshot in self.snapshots for path in snapshot.raw_paths})


class Series:
    """All snapshots that are shown.

    Args:
        snapshots: ascending by time.
    """

    def __init__(self, snapshots: Sequence[Snapshot] = ()) -> None:
        self.snapshots = tuple(snapshots)
        by_host: dict[str, list[Snapshot]] = {}
        for snapshot in self.snapshots:
            by_host.setdefault(snapshot.host, []).append(snapshot)
        self.hosts = tuple(Host(name, tuple(by_host[name])) for name in sorted(by_host))

    def of_host(self, name: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a host, ascending by time; none of an unknown one."""
        return next((host.snapshots for host in self.hosts if host.name == name), ())

    def line_of(self, snapshot: Snapshot) -> list[Snapshot]:
        """Return the snapshots of the same host and paths, ascending by time."""
        paths = set(snapshot.raw_paths)
        return [
            other
            for other in self.snapshots
            if other.host == snapshot.host and set(other.raw_paths) == paths
        ]

    def neighbour(self, snapshot: Snapshot, step: int) -> Snapshot | None:
        """Return the snapshot that is `step` later (earlier if negative) in its line, if any."""
        line = self.line_of(snapshot)
        ids = [other.id for other in line]
        if snapshot.id not in ids:
            return None
        at = ids.index(snapshot.id) + step
        return line[at] if 0 <= at < len(line) else None

    def previous(self, snapshot: Snapshot) -> Snapshot | None:
        """Return what a snapshot is compared with: the one before, of the same host and paths.

        Partial ones count only where there is no whole one.
        """
        if all(other.id != snapshot.id for other in self.snapshots):
            return None
        return previous_snapshot(self.snapshots, snapshot)


def deepest_common(paths: Sequence[bytes]) -> bytes:
    """Return the path that all absolute paths begin with: where there is first something to see."""
    absolute = [path for path in paths if path.startswith(b"/")]
    if not absolute or len(absolute) < len(paths):
        return b"/"
    return b"/" + os.path.commonpath(absolute).strip(b"/")
