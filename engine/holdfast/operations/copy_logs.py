"""Copy the archived logs of databases along with their base backups.

Segments have the same name wherever they are, so unlike a pack one that prune has deleted could come
back under its name, and be hit by a deletion that arrives late. So what the log of prune lets expire,
in the view of the copy, is not brought back. What the view does not know, a later cycle decides: it
keeps what the copied snapshots need, or the copy is void and begins again with a newer view.

Source: docs/prune.md#logs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Final, cast

from holdfast.database_errors import LogConflictError, LogSegmentNotFoundError
from holdfast.errors import IntegrityError
from holdfast.format.gc import LogHorizon
from holdfast.format.snapshot import Snapshot
from holdfast.operations.log_expiry import archive_of
from holdfast.policy.log_retention import LogBase, bases_of, horizon_of, is_expired
from holdfast.repository.log_archive import LogArchive, LogSegment
from holdfast.repository.repository import Repository
from holdfast.repository.view import View

_IN_MEMORY: Final = 20 << 20
"""Bytes of a segment that is not written to a temporary file on its way."""
_MOST_AT_ONCE: Final = 4


@dataclass(slots=True)
class LogCopy:
    """What was copied of logs, or would be."""

    segments: int = 0
    stored_bytes: int = 0
    """At the source."""
    expired: int = 0
    """Segments of copied base backups that prune of the destination has given up, so that they can
    only be recovered from the source."""
    problems: list[IntegrityError | LogConflictError] = field(default_factory=list)
    """Segments that cannot be read, or are at the destination with other content."""


def copy_logs(
    source: Repository,
    destination: Repository,
    view: View,
    snapshots: Iterable[Snapshot],
    *,
    dry_run: bool = False,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> LogCopy:
    """Copy what base backups need of logs and the destination lacks; durable on return.

    To be called before the snapshots are committed.

    Args:
        source: opened; nothing is written to it.
        destination: opened.
        view: of the copy at the destination, for writing.
        snapshots: that are being copied, or are visible at the destination.
        dry_run: only count.
        on_bytes: told of stored bytes that are done.

    Raises:
        BackendError: a storage failed.
    """
    result = LogCopy()
    horizons = _horizons_of(view)
    bases: dict[tuple[str, str], list[LogBase]] = {}
    for base in bases_of(snapshots):
        bases.setdefault(base.server, []).append(base)
    for (kind, identity), found in sorted(bases.items()):
        one, other = (
            archive_of(repository, kind, identity) for repository in (source, destination)
        )
        if one is None or other is None:
            continue
        wanted = _missing(one, other, found)
        expired = horizons.get(other.id, [])
        left = [
            segment
            for segment in wanted
            if not any(is_expired(kind, first, segment.name) for first in expired)
        ]
        result.expired += len(wanted) - len(left)
        if dry_run:
            result.segments += len(left)
            result.stored_bytes += sum(segment.stored_size for segment in left)
        else:
            _Carrier(one, other, destination.cache.directory).carry_all(left, result, on_bytes)
    return result


def _horizons_of(view: View) -> dict[str, list[str]]:
    """Return what a view knows to expire, or to be about to, by archive."""
    found: dict[str, list[str]] = {}
    for log in (view.before, view.log):
        entries: tuple[LogHorizon, ...] = log.seal.logs if log.seal is not None else ()
        entries += log.condemn.logs if log.condemn is not None else ()
        for entry in entries:
            found.setdefault(entry.archive.hex(), []).append(entry.first)
    return found


def _missing(one: LogArchive, other: LogArchive, bases: Iterable[LogBase]) -> list[LogSegment]:
    """Return what bases need of the archive `one` and `other` lacks."""
    first = horizon_of(one.kind, (base.start for base in bases))
    there = {segment.name for segment in other.segments()}
    return [
        segment
        for segment in one.segments()
        if segment.name not in there
        and (first is None or not is_expired(one.kind, first, segment.name))
    ]


class _Carrier:
    """Copies segments from one archive to another. Safe for many threads."""

    def __init__(self, one: LogArchive, other: LogArchive, directory: str) -> None:
        self._one = one
        self._other = other
        self._directory = directory

    def carry_all(
        self, segments: list[LogSegment], result: LogCopy, on_bytes: Callable[[int], object]
    ) -> None:
        """Copy segments, some at once; what cannot be copied is noted and left out."""
        with ThreadPoolExecutor(_MOST_AT_ONCE, "holdfast-copy") as pool:
            for segment, done in zip(segments, pool.map(self._carry, segments), strict=True):
                on_bytes(segment.stored_size)
                if isinstance(done, bool):
                    result.segments += done
                    result.stored_bytes += segment.stored_size * done
                else:
                    result.problems.append(done)

    def _carry(self, segment: LogSegment) -> IntegrityError | LogConflictError | bool:
        """Copy a segment; False if it is not at the source any more."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=self._directory) as file:
            try:
                size = self._one.fetch(segment.name, file.write)
                file.seek(0)
                self._other.push(segment.name, cast(BinaryIO, file), size)
            except LogSegmentNotFoundError:
                return False
            except (IntegrityError, LogConflictError) as error:
                return error
        return True
