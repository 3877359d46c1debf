"""Which archived log segments prune deletes: what it writes into the log of prune, and what of that.

A segment has one name for ever, unlike everything else that prune deletes. So only what the last
SEAL lets expire is deleted, and what visible snapshots need at that moment is kept all the same:
of a server whose log began anew at lower positions, or of a base that was copied here.

Source: docs/prune.md#logs.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.format.gc import LogHorizon
from holdfast.format.snapshot import Snapshot
from holdfast.policy.log_retention import (
    LogBase,
    bases_of,
    horizon_of,
    is_expired,
    lower_horizon,
)
from holdfast.repository import layout
from holdfast.repository.log_archive import LogArchive, LogSegment, list_segments
from holdfast.repository.log_state import LogState
from holdfast.repository.repository import Repository


def find_horizons(repository: Repository, snapshots: Iterable[Snapshot]) -> tuple[LogHorizon, ...]:
    """Return where what snapshots need of each log begins; logs of which all is needed are left out."""
    starts: dict[tuple[str, str], list[str]] = {}
    for base in bases_of(snapshots):
        starts.setdefault(base.server, []).append(base.start)
    horizons = []
    for (kind, identity), needed in sorted(starts.items()):
        archive = archive_of(repository, kind, identity)
        first = horizon_of(kind, needed)
        if archive is not None and first is not None:
            horizons.append(LogHorizon(archive=bytes.fromhex(archive.id), kind=kind, first=first))
    return tuple(horizons)


def archive_of(repository: Repository, kind: str, identity: str) -> LogArchive | None:
    """Return the archive that a snapshot says it belongs to; None if there can be none."""
    try:
        return LogArchive(repository, kind, identity)
    except ValueError:
        return None


def decided_horizons(
    repository: Repository, log: LogState, snapshots: Iterable[Snapshot]
) -> tuple[LogHorizon, ...]:
    """Return what a SEAL says of logs.

    Args:
        repository: opened.
        log: with a closed cycle.
        snapshots: that were visible after the CLOSE.

    Returns:
        Of each archive the lower one of what the CONDEMN says and what is needed now. If one of
        the two says nothing, what the SEAL before said: nothing more expires.
    """
    condemned = log.condemn.logs if log.condemn is not None else ()
    found = _lower(condemned, find_horizons(repository, snapshots))
    before = {one.archive: one for one in log.seal.logs} if log.seal is not None else {}
    return tuple(one for _, one in sorted({**before, **found}.items()))


def newly_expired(
    repository: Repository, horizons: Iterable[LogHorizon], log: LogState | None = None
) -> dict[str, LogSegment]:
    """Return what horizons let expire, and the last SEAL of a log does not.

    What that lets expire and is there still could not be deleted, and needs no new cycle.
    """
    before = log.seal.logs if log is not None and log.seal is not None else ()
    known = {one.archive: one for one in before}
    return {
        name: segment
        for horizon in horizons
        for name, segment in _expired(repository, horizon).items()
        if (old := known.get(horizon.archive)) is None
        or not is_expired(old.kind, old.first, segment.name)
    }


def expired_objects(repository: Repository, log: LogState) -> dict[str, LogSegment]:
    """Return the objects of segments that are to be deleted, by name.

    Segments are listed first, snapshots then: who brings a base with lower positions than others
    commits it after the segments that it needs.

    Cost: a LIST for each archive that the SEAL names; if there is anything to delete, those of a
    view.
    """
    horizons = log.seal.logs if log.seal is not None else ()
    listed = {horizon: _expired(repository, horizon) for horizon in horizons}
    if not any(listed.values()):
        return {}
    snapshots = repository.take_view().snapshots
    if any(problem.kind in ("snapshot", "gc entry") for problem in repository.problems):
        return {}  # nobody knows what a damaged snapshot needs
    now = _lower(horizons, find_horizons(repository, snapshots))
    return {
        name: segment
        for horizon, segments in listed.items()
        if (lower := now.get(horizon.archive)) is not None
        for name, segment in segments.items()
        if is_expired(lower.kind, lower.first, segment.name)
    }


def needed_objects(repository: Repository, snapshots: Iterable[Snapshot]) -> dict[str, LogSegment]:
    """Return the objects of all segments that snapshots need, histories included, by name.

    Cost: a LIST for each server of which there is a base among the snapshots.
    """
    bases: dict[tuple[str, str], list[LogBase]] = {}
    for base in bases_of(snapshots):
        bases.setdefault(base.server, []).append(base)
    needed = {}
    for (kind, identity), found in sorted(bases.items()):
        archive = archive_of(repository, kind, identity)
        if archive is None:
            continue
        first = horizon_of(kind, (base.start for base in found))
        for segment in archive.segments():
            if first is None or not is_expired(kind, first, segment.name):
                needed[archive.object_name(segment.name)] = segment
    return needed


def _expired(repository: Repository, horizon: LogHorizon) -> dict[str, LogSegment]:
    """Return what an archive holds that a horizon lets expire, by the name of its object."""
    archive_id = horizon.archive.hex()
    found = {}
    for segment in list_segments(repository, archive_id):
        if is_expired(horizon.kind, horizon.first, segment.name):
            name = layout.log_name(archive_id, segment.name)
            assert name is not None  # it was listed
            found[name] = segment
    return found


def _lower(some: Iterable[LogHorizon], others: Iterable[LogHorizon]) -> dict[bytes, LogHorizon]:
    """Return the lower horizon of each archive that both name."""
    theirs = {one.archive: one for one in others}
    lower = {}
    for one in some:
        other = theirs.get(one.archive)
        if other is None or other.kind != one.kind:
            continue
        first = lower_horizon(one.kind, one.first, other.first)
        if first is not None:
            lower[one.archive] = LogHorizon(archive=one.archive, kind=one.kind, first=first)
    return lower
