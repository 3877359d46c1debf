"""Archive the binary logs of MariaDB and MySQL that are complete.

A file is complete when the server has begun the next. Files are archived in their order, each
durable before the next, and never overwritten, so that a run that was interrupted is simply run
again. Files that are older than everything in the archive are not archived again: prune has
removed them, since no base backup needs them.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.database_errors import LogConflictError
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository
from holdfast.sources.mariadb.binlog import (
    first_event,
    in_order,
    name_after,
    number_of,
)
from holdfast.sources.mariadb.binlog_server import BinlogServer

LOG_KIND: Final = "binlog"
_HEAD: Final = 4096
"""Bytes of a file that tell it from others of its name: times, and the position in the GTIDs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedBinlogs:
    """What a run has archived."""

    identity: str
    """Of the server, as the archive knows it."""
    pushed: tuple[str, ...]
    already: int
    """Complete files of the server that were archived before."""
    size: int
    """Bytes of the files that were pushed."""
    missing: str | None
    """The first file that the server had removed before this run; None if none."""
    active: str
    """The file that the server writes now; its changes are not archived yet."""


def push_binlogs(
    repository: Repository,
    server: BinlogServer,
    *,
    flush: bool = False,
    scratch: str | None = None,
    on_pushed: Callable[[str, int], None] | None = None,
) -> PushedBinlogs:
    """Archive each complete file that is not archived; all durable on return.

    Args:
        repository: of which only config and key are used.
        server: whose files.
        flush: make the server begin a new file first.
        scratch: directory for a copy of one file, if the server is another machine.
        on_pushed: told each file and its size.

    Raises:
        LogConflictError: the archive holds another server's files under the same names.
        LogSegmentInvalidError: a file is none of a binary log.
        DatabaseError: the server failed.
        BackendError: the storage failed; those that were told of are safe.
    """
    identity = server.identity()
    archive = LogArchive(repository, LOG_KIND, identity)
    if flush:
        server.flush()
    # Listed before the archive: a file that another run archives meanwhile is then no gap.
    complete, active = server.names()
    archived = in_order(segment.name for segment in archive.segments())
    there = set(archived)
    oldest = number_of(archived[0]) if archived else None
    waiting = [
        name
        for name in complete
        if name not in there and (oldest is None or (number_of(name) or 0) > oldest)
    ]
    if archived:
        _require_later(archived[-1], active)
    pushed, size = [], 0
    with tempfile.TemporaryDirectory(prefix="holdfast-", dir=scratch) as directory:
        if waiting and archived and archived[-1] in complete:
            _require_same(archive, server, archived[-1], complete[archived[-1]], directory)
        for name in waiting:
            with server.open(name, complete[name], directory) as (file, length):
                first_event(file, name)
                file.seek(0)
                archive.push(name, file, length)
            pushed.append(name)
            size += length
            if on_pushed is not None:
                on_pushed(name, length)
    return PushedBinlogs(
        identity=identity,
        pushed=tuple(pushed),
        already=sum(name in there for name in complete),
        size=size,
        missing=_first_missing([*archived[-1:], *pushed]),
        active=active,
    )


def _require_later(last: str, active: str) -> None:
    """Refuse a server that numbers its files anew: it was reset or restored."""
    if (number_of(active) or 0) <= (number_of(last) or 0):
        raise LogConflictError(last, f"the server writes {active} now")


class _EnoughError(Exception):
    """The beginning of a segment was read."""


def _require_same(
    archive: LogArchive, server: BinlogServer, name: str, size: int, scratch: str
) -> None:
    """Refuse a server whose newest archived file is another one than the archive's."""
    head = bytearray()

    def collect(data: bytes) -> None:
        head.extend(data[: _HEAD - len(head)])
        if len(head) >= _HEAD:
            raise _EnoughError

    try:
        archive.fetch(name, collect)
    except _EnoughError:
        pass
    with server.open(name, size, scratch) as (file, _):
        if file.read(_HEAD) != bytes(head):
            raise LogConflictError(name)


def _first_missing(names: list[str]) -> str | None:
    """Return the first file that is missing between others."""
    ordered = in_order(names)
    for before, after in itertools.pairwise(ordered):
        if number_of(after) != (number_of(before) or 0) + 1:
            return name_after(before)
    return None
