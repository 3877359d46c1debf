"""What is archived of the logs of database servers, and how far each base backup reaches with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.database_errors import LogSegmentNotFoundError
from holdfast.errors import IntegrityError, NotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.log_expiry import archive_of
from holdfast.policy.log_order import (
    WAL,
    Switch,
    history_of,
    is_segment,
    parse_history,
    position_of,
)
from holdfast.policy.log_reach import LogGap, Reach, find_gaps, reach_of
from holdfast.policy.log_retention import LogBase, base_of, bases_of
from holdfast.repository.log_archive import LogArchive, LogSegment, list_archives, read_head
from holdfast.repository.repository import Repository

_USUAL_SIZE: Final = 16 << 20
"""Bytes of a WAL segment, where neither a base backup nor a segment tells."""


@dataclass(frozen=True, slots=True)
class BaseReach:
    """How far a base backup can be recovered."""

    base: LogBase
    reach: Reach
    until_s: float | None
    """When the last segment of its reach was archived by the storage's clock, seconds since 1970
    UTC; for people. None if it reaches nothing but its own end."""


@dataclass(frozen=True, slots=True)
class ServerLog:
    """The archived log of one server."""

    kind: str
    identity: str
    archive_id: str
    segments: Sequence[LogSegment]
    """Everything, histories and the like too; ascending by name."""
    complete: Sequence[str]
    """Names of the complete segments in their order, oldest first."""
    gaps: Sequence[LogGap]
    bases: Sequence[BaseReach]
    """Of visible snapshots, ascending by time."""
    problems: Sequence[IntegrityError] = field(default=())
    """Histories that cannot be read; reaches are those without them."""

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of everything."""
        return sum(segment.stored_size for segment in self.segments)

    @property
    def has_gap(self) -> bool:
        """Whether a base backup could reach further if nothing were missing."""
        return any(one.reach.gap is not None for one in self.bases)


def survey_logs(
    repository: Repository,
    snapshots: Sequence[Snapshot] | None = None,
    problems: list[IntegrityError] | None = None,
) -> list[ServerLog]:
    """Look at the logs of all servers of which there is an archive or a base backup.

    Args:
        repository: opened.
        snapshots: the visible ones; None to list them.
        problems: takes damage of archives that nobody can tell the server of; None to raise.

    Raises:
        IntegrityError: see `problems`.

    Cost: two LISTs of each thousand segments, and for each server a GET or two and one for each timeline.
    """
    # Segments first: what prune deletes later was needed by no base that is visible then.
    archives = {
        (archive.kind, archive.identity): (archive, archive.segments())
        for archive in list_archives(repository, problems)
    }
    bases: dict[tuple[str, str], list[LogBase]] = {}
    for base in bases_of(repository.snapshots() if snapshots is None else snapshots):
        bases.setdefault(base.server, []).append(base)
    for kind, identity in bases.keys() - archives.keys():
        archive = archive_of(repository, kind, identity)
        if archive is not None:
            archives[kind, identity] = (archive, [])
    return [
        survey_log(repository, archive, segments, bases.get(server, ()))
        for server, (archive, segments) in sorted(archives.items())
    ]


def survey_log(
    repository: Repository,
    archive: LogArchive,
    segments: Sequence[LogSegment],
    bases: Iterable[LogBase],
    *,
    timeline: int | None = None,
) -> ServerLog:
    """Look at the log of one server.

    Args:
        repository: opened.
        archive: of the server.
        segments: that it holds.
        bases: of the same server.
        timeline: to recover along; None for the newest one that came from each base's own.
    """
    bases = sorted(bases, key=lambda base: (base.time_ns, base.snapshot_id))
    names = {segment.name: segment for segment in segments}
    size = _segment_size(repository, archive, bases, segments)
    histories, problems = _read_histories(archive, segments)
    reaches = []
    for base in bases:
        reach = reach_of(base, names, histories, size, timeline=timeline)
        last = names.get(reach.last) if reach.last is not None else None
        reaches.append(BaseReach(base, reach, last.modified_s if last is not None else None))
    return ServerLog(
        archive.kind,
        archive.identity,
        archive.id,
        segments,
        _in_order(archive.kind, names),
        find_gaps(archive.kind, names, size),
        reaches,
        problems,
    )


def reach_of_snapshot(
    repository: Repository, snapshot: Snapshot, *, timeline: int | None = None
) -> BaseReach | None:
    """Return how far one snapshot can be recovered; None if it is no base of any log."""
    base = base_of(snapshot)
    archive = archive_of(repository, base.kind, base.identity) if base is not None else None
    if base is None or archive is None:
        return None
    segments = archive.segments()
    return survey_log(repository, archive, segments, [base], timeline=timeline).bases[0]


def _in_order(kind: str, names: Iterable[str]) -> list[str]:
    """Return complete segments by timeline and number; binary logs past 999999 have longer names."""
    found = [(position_of(kind, name), name) for name in names if is_segment(kind, name)]
    return [name for _, name in sorted((at, name) for at, name in found if at is not None)]


def _segment_size(
    repository: Repository,
    archive: LogArchive,
    bases: Iterable[LogBase],
    segments: Iterable[LogSegment],
) -> int:
    """Return the bytes of a WAL segment, by which names are counted."""
    if archive.kind != WAL:
        return _USUAL_SIZE
    sizes = [base.segment_size for base in bases if base.segment_size]
    if not sizes:
        for segment in segments:
            if is_segment(WAL, segment.name):
                try:
                    sizes.append(read_head(repository, archive.object_name(segment.name)).size)
                except (NotFoundError, IntegrityError):
                    continue
                break
    is_power = bool(sizes) and sizes[0].bit_count() == 1
    return sizes[0] if is_power and 1 << 20 <= sizes[0] <= 1 << 30 else _USUAL_SIZE


def _read_histories(
    archive: LogArchive, segments: Iterable[LogSegment]
) -> tuple[dict[int, tuple[Switch, ...]], list[IntegrityError]]:
    """Read where timelines came from."""
    histories: dict[int, tuple[Switch, ...]] = {}
    problems: list[IntegrityError] = []
    for segment in segments if archive.kind == WAL else ():
        timeline = history_of(segment.name)
        if timeline is None:
            continue
        pieces: list[bytes] = []
        try:
            archive.fetch(segment.name, pieces.append)
        except LogSegmentNotFoundError:
            continue
        except IntegrityError as error:
            problems.append(error)
            continue
        switches = parse_history(b"".join(pieces))
        if switches is not None:
            histories[timeline] = switches
    return histories, problems
