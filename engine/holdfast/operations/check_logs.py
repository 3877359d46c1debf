"""Check archived logs: can each segment be opened, and does each base backup reach as far as it could?

Without reading data, what a listing tells is compared: sizes that no segment can have show objects
that were cut off, and names show what is missing. A gap is no damage to what is there, but what
lies behind it cannot be reached; so it is a finding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from holdfast.database_errors import LogSegmentNotFoundError
from holdfast.errors import IntegrityError
from holdfast.findings import Finding
from holdfast.format.log_segment import is_possible_size
from holdfast.format.snapshot import Snapshot
from holdfast.hashing import trailer
from holdfast.ids import ObjectId
from holdfast.operations.log_expiry import archive_of
from holdfast.operations.logs import ServerLog, survey_logs
from holdfast.policy.subset import DataSubset, choose_packs
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository


@dataclass(slots=True)
class LogCheck:
    """What was found."""

    segments: int = 0
    segments_read: int = 0
    bytes_read: int = 0
    damage: list[IntegrityError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_logs(
    repository: Repository,
    snapshots: Sequence[Snapshot],
    subset: DataSubset | None,
    chance: random.Random,
    on_read: Callable[[int, int], None],
) -> LogCheck:
    """Check the logs of all servers.

    Args:
        repository: opened.
        snapshots: the visible ones.
        subset: of the segments that are read whole; None for none.
        chance: decides where the subset does not.
        on_read: told how many segments and bytes have been read.
    """
    result = LogCheck()
    servers = survey_logs(repository, snapshots, result.damage)
    chosen: list[tuple[LogArchive, str, int]] = []
    for server in servers:
        archive = archive_of(repository, server.kind, server.identity)
        assert archive is not None
        result.segments += len(server.segments)
        result.damage += server.problems
        result.findings += describe_gaps(server)
        for segment in server.segments:
            name = archive.object_name(segment.name)
            if not is_possible_size(segment.stored_size):
                reason = f"no segment has {segment.stored_size} bytes: it was cut off, or something was added"
                result.damage.append(IntegrityError("log segment", name, reason))
            chosen.append((archive, segment.name, segment.stored_size))
    if subset is not None:
        _read(repository, _choose(chosen, subset, chance), result, on_read)
    return result


def describe_gaps(server: ServerLog) -> list[Finding]:
    """Return what is missing between base backups and the end of the log, for people."""
    name = f"{server.kind} log of {server.identity}"
    findings = {}
    for one in server.bases:
        gap = one.reach.gap
        if gap is not None:
            missing = gap.first if gap.count == 1 else f"{gap.first} to {gap.last}"
            are = "is" if gap.count == 1 else "are"
            findings[gap.first] = Finding(
                name,
                f"{missing} {are} missing: base backups before that can be recovered only up to "
                f"{one.reach.last or 'their own end'}; take a new base backup",
            )
    return list(findings.values())


def _discard(_data: bytes) -> None:
    """Take what was opened; that it could be is all that counts."""


def _choose(
    segments: Sequence[tuple[LogArchive, str, int]], subset: DataSubset, chance: random.Random
) -> list[tuple[LogArchive, str, int]]:
    """Return the segments to read; a part n/m is the same ones each time."""
    ids = {
        ObjectId(trailer(archive.object_name(name).encode())[:16].hex()): (archive, name, size)
        for archive, name, size in segments
    }
    wanted = choose_packs([(one, found[2]) for one, found in ids.items()], subset, chance)
    return [found for one, found in ids.items() if one in wanted]


def _read(
    repository: Repository,
    segments: Sequence[tuple[LogArchive, str, int]],
    result: LogCheck,
    on_read: Callable[[int, int], None],
) -> None:
    def read(one: tuple[LogArchive, str, int]) -> IntegrityError | None:
        archive, name, _ = one
        try:
            archive.fetch(name, _discard)
        except LogSegmentNotFoundError:
            return None  # prune has just deleted it
        except IntegrityError as error:
            return error
        return None

    with ThreadPoolExecutor(repository.backend.parallelism, "holdfast-verify") as pool:
        for one, problem in zip(segments, pool.map(read, segments), strict=True):
            result.segments_read += 1
            result.bytes_read += one[2]
            on_read(result.segments_read, result.bytes_read)
            if problem is not None and str(problem) not in map(str, result.damage):
                result.damage.append(problem)
