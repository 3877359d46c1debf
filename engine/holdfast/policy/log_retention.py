"""Which archived log segments nobody needs any more.

A base backup needs the log from its `log_start` on, for as long as it is kept. So a segment is
expired if it is older than the first one that any visible base of its server needs, and is not of
a timeline newer than all of theirs: a server that was restored to an earlier moment goes on from
there with a timeline of its own, below positions that others have reached. Without a base nothing
expires, and what cannot be understood is kept.

Source: docs/prune.md#logs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.format.snapshot import Snapshot
from holdfast.policy.log_order import BINLOG, WAL, Position, is_segment, position_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBase:
    """A base backup: what a log can be applied to."""

    snapshot_id: str
    time_ns: int
    """Of the snapshot."""
    kind: str
    identity: str
    start: str
    """First segment that it needs; may be empty or nonsense."""
    stop: str
    """Last segment that it needs to be consistent."""
    segment_size: int
    """Bytes of a segment as the server said; 0 if it is not known."""

    @property
    def server(self) -> tuple[str, str]:
        """Kind and identity: what its log archive is named by."""
        return self.kind, self.identity


def base_of(snapshot: Snapshot) -> LogBase | None:
    """Return what a snapshot says of the log it belongs to; None if it belongs to none."""
    record = snapshot.database
    if record is None:
        return None
    found = record.properties
    kind, identity = found.get("log_kind", ""), found.get("log_identity", "")
    if not kind or not identity:
        return None
    size = found.get("wal_segment_size", "")
    return LogBase(
        snapshot_id=snapshot.id,
        time_ns=snapshot.time_ns,
        kind=kind,
        identity=identity,
        start=found.get("log_start", ""),
        stop=found.get("log_stop", ""),
        segment_size=int(size) if size.isascii() and size.isdigit() else 0,
    )


def bases_of(snapshots: Iterable[Snapshot]) -> list[LogBase]:
    """Return the bases among snapshots, in their order."""
    return [base for snapshot in snapshots if (base := base_of(snapshot)) is not None]


def horizon_of(kind: str, starts: Iterable[str]) -> str | None:
    """Return the name at which what is needed begins; None if nothing expires.

    Args:
        kind: of the log.
        starts: first segments of all visible bases of one server.

    Returns:
        The least position under the greatest timeline, written as the name of a segment: what
        `is_expired` takes. That segment need not exist.
    """
    positions = []
    for start in starts:
        position = position_of(kind, start) if is_segment(kind, start) else None
        if position is None:
            return None  # nobody knows what that base needs
        positions.append(position)
    if not positions:
        return None
    timeline = max(position.timeline for position in positions)
    return _written(kind, Position(timeline, min(position.number for position in positions)))


def lower_horizon(kind: str, one: str, other: str) -> str | None:
    """Return the horizon by which only that expires which both let expire; None for nothing."""
    first, second = position_of(kind, one), position_of(kind, other)
    if first is None or second is None:
        return None
    timeline = min(first.timeline, second.timeline)
    return _written(kind, Position(timeline, min(first.number, second.number)))


def is_expired(kind: str, horizon: str, name: str) -> bool:
    """Tell whether a segment, or what belongs to one, is needed by nobody.

    False for histories of timelines, which are small and needed by every later one, and for
    names that say nothing.
    """
    first, position = position_of(kind, horizon), position_of(kind, name)
    if first is None or position is None:
        return False
    return position.number < first.number and position.timeline <= first.timeline


def _written(kind: str, position: Position) -> str | None:
    if kind == WAL:
        return f"{position.timeline:08X}{position.number:016X}"
    return f"{position.number:06d}" if kind == BINLOG else None
