"""How far base backups can be recovered with the log that is archived, and where it has gaps.

PostgreSQL goes on along the newest timeline that came from the base's own, if nothing else is asked
for: at each position it wants the segment of the newest timeline that had begun there. The segment
in which a timeline begins is archived under its own name and holds all that its parent had there.

Source: PostgreSQL documentation, "Timelines"; docs/prune.md#logs for what is kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from holdfast.policy.log_order import (
    WAL,
    Position,
    Switch,
    is_segment,
    position_of,
    wal_index,
    wal_name,
)
from holdfast.policy.log_retention import LogBase

Histories = Mapping[int, tuple[Switch, ...]]
"""Timeline -> those that it came from, oldest first."""


@dataclass(frozen=True, slots=True)
class LogGap:
    """Segments that are missing between others."""

    first: str
    """The first one that is missing, as it would be named."""
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one base can be recovered."""

    last: str | None
    """The last segment that can be applied to it; None if its first one is not there."""
    gap: LogGap | None
    """What is missing although something behind it is there; nothing behind can be reached."""
    timeline: int
    """That it is recovered along; 0 for binary logs."""


def find_gaps(kind: str, names: Iterable[str], segment_size: int) -> list[LogGap]:
    """Return what is missing between the first and the last segment of each timeline.

    Args:
        kind: of the log.
        names: what is archived.
        segment_size: bytes of a WAL segment.

    Returns:
        Gaps by timeline and position.
    """
    names = list(names)
    pattern = next((name for name in names if is_segment(kind, name)), "")
    by_timeline: dict[int, list[int]] = {}
    for timeline, index in _indexes(kind, names, segment_size):
        by_timeline.setdefault(timeline, []).append(index)
    gaps = []
    for timeline, indexes in sorted(by_timeline.items()):
        indexes.sort()
        for before, after in pairwise(indexes):
            if after > before + 1:
                gaps.append(_gap(kind, pattern, timeline, before + 1, after - 1, segment_size))
    return gaps


def reach_of(
    base: LogBase,
    names: Collection[str],
    histories: Histories,
    segment_size: int,
    *,
    timeline: int | None = None,
) -> Reach:
    """Return how far a base can be recovered.

    Args:
        base: whose `start` names a segment.
        names: what is archived of its server.
        histories: of the timelines that are archived.
        segment_size: bytes of a WAL segment.
        timeline: to go along; None for the newest one that came from the base's own.

    Returns:
        Nothing at all is reached if `start` names no segment.
    """
    start = position_of(base.kind, base.start) if is_segment(base.kind, base.start) else None
    at = _index(base.kind, start, segment_size) if start is not None else None
    if start is None or at is None:
        return Reach(None, None, 0)
    wanted = start.timeline
    if base.kind == WAL:
        wanted = newest_timeline(start.timeline, at, histories, segment_size)
        wanted = wanted if timeline is None else timeline
    path = _path(start.timeline, wanted, histories, segment_size)
    there = set(_indexes(base.kind, names, segment_size))
    first = at
    while (_owner(path, at), at) in there:
        at += 1
    pattern = base.start
    last = None
    if at > first:
        last = _name(base.kind, pattern, _owner(path, at - 1), at - 1, segment_size)
    behind = sorted(index for owner, index in there if index > at and _owner(path, index) == owner)
    gap = None
    if behind:
        # Only the first run of missing ones: one is enough to stop.
        gap = _gap(base.kind, pattern, _owner(path, at), at, behind[0] - 1, segment_size)
    return Reach(last, gap, wanted)


def newest_timeline(timeline: int, index: int, histories: Histories, segment_size: int) -> int:
    """Return the newest timeline that left `timeline` at or after a segment; itself if none."""
    children = [
        child
        for child, switches in histories.items()
        if any(one.timeline == timeline and one.lsn // segment_size >= index for one in switches)
    ]
    return max([timeline, *children])


def _path(
    own: int, wanted: int, histories: Histories, segment_size: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the timelines from the base's own to the wanted one, and where each begins."""
    timelines, begins = [own], [0]
    switches = histories.get(wanted, ())
    if all(switch.timeline != own for switch in switches):
        return (own,), (0,)
    for number, switch in enumerate(switches):
        after = switches[number + 1].timeline if number + 1 < len(switches) else wanted
        if switch.timeline >= own and after != own:
            timelines.append(after)
            begins.append(switch.lsn // segment_size)
    return tuple(timelines), tuple(begins)


def _owner(path: tuple[tuple[int, ...], tuple[int, ...]], index: int) -> int:
    """Return the timeline whose segment is wanted at a position: the newest that had begun."""
    timelines, begins = path
    at = bisect_left(begins, index + 1) - 1
    return timelines[max(at, 0)]


def _indexes(kind: str, names: Iterable[str], segment_size: int) -> Iterable[tuple[int, int]]:
    """Yield timeline and count of each complete segment."""
    for name in names:
        position = position_of(kind, name) if is_segment(kind, name) else None
        index = _index(kind, position, segment_size) if position is not None else None
        if position is not None and index is not None:
            yield position.timeline, index


def _index(kind: str, position: Position, segment_size: int) -> int | None:
    return wal_index(position.number, segment_size) if kind == WAL else position.number


def _gap(
    kind: str, pattern: str, timeline: int, first: int, last: int, segment_size: int
) -> LogGap:
    return LogGap(
        _name(kind, pattern, timeline, first, segment_size),
        _name(kind, pattern, timeline, last, segment_size),
        last - first + 1,
    )


def _name(kind: str, pattern: str, timeline: int, index: int, segment_size: int) -> str:
    """Return the name of a segment; binary logs are named like another one of the server."""
    if kind == WAL:
        return wal_name(timeline, index, segment_size)
    stem, dot, digits = pattern.rpartition(".")
    return f"{stem}{dot}{index:0{len(digits)}d}"
