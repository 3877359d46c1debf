"""Archives files of PostgreSQL's write-ahead log, and brings them back.

`push_wal` is what the server calls as archive_command: once it has returned, the server may remove
its own file, so nothing is believed of the file but what its content says, and it returns only when
the segment is durable. `fetch_wal` is what a recovering server calls as restore_command: its file
is whole and durable before it has its name.

Source: PostgreSQL's documentation, "Continuous Archiving and Point-in-Time Recovery".
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import BinaryIO, Final

from holdfast.clock import Clock
from holdfast.database_errors import LogSegmentInvalidError, LogSegmentNotFoundError
from holdfast.errors import ConfigurationError, TargetError
from holdfast.operations.wal_ahead import AHEAD, MOST_BYTES, SegmentsAhead
from holdfast.operations.wal_identity import choose_system_id, require_name, require_system_id
from holdfast.repository import layout
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository
from holdfast.sources.postgresql.wal import (
    HEADER_LENGTH,
    MAX_TEXT_LENGTH,
    WalKind,
    WalName,
    check_segment,
    check_text,
    decode_header,
    following_names,
)

LOG_KIND: Final = "wal"
_THREADS: Final = 4
_PART: Final = ".part"
_STALE_AFTER_S: Final = 3600.0
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedSegment:
    """What became of a file."""

    name: str
    system_id: str
    size: int
    """Bytes of the file."""
    is_new: bool
    """False: the same bytes were archived already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How a file is fetched."""

    ahead: SegmentsAhead | None = None
    """Where what follows is kept; None to fetch nothing ahead."""
    count: int = AHEAD
    """How many segments are fetched ahead, at the most."""


def push_wal(repository: Repository, path: str, *, system_id: str | None = None) -> PushedSegment:
    """Archive a file of the log; durable on return.

    Args:
        repository: of which only config and key are used.
        path: of the file, in pg_wal of its data directory.
        system_id: of the server; None to ask its control file and the segment itself.

    Raises:
        LogSegmentInvalidError: it is not what its name says; nothing was stored.
        LogConflictError: other bytes are archived under its name; nothing was overwritten.
        ConfigurationError: the name is none of the log's, or nobody knows which server's it is.
        BackendError: the storage failed; calling again is safe.
    """
    name = require_name(os.path.basename(path))
    server = choose_system_id(path, system_id)
    file, size = _open(name, path)
    with file:
        if name.has_segment_header:
            header = decode_header(name.text, file.read(HEADER_LENGTH))
            check_segment(name, header, size, server)
            server = header.system_id
        else:
            if size > MAX_TEXT_LENGTH:
                raise LogSegmentInvalidError(name.text, f"it has {size} bytes")
            check_text(name, file.read(size))
        file.seek(0)
        archive = LogArchive(repository, LOG_KIND, require_system_id(server))
        is_new = archive.push(name.text, file, size)
    return PushedSegment(name=name.text, system_id=archive.identity, size=size, is_new=is_new)


def fetch_wal(
    repository: Repository, system_id: str, name: WalName, target: str, options: FetchOptions
) -> int:
    """Fetch a file of the log; whole on return, its bytes durable.

    Args:
        repository: of which only config and key are used.
        system_id: of the server that wrote it.
        name: of the file.
        target: where it is to lie; what lies there is replaced.
        options: what is fetched besides.

    Returns:
        Its size in bytes.

    Raises:
        LogSegmentNotFoundError: it is not in the archive, which has others of this server.
        ConfigurationError: nothing of this server is archived here.
        IntegrityError: it is damaged.
        TargetError: it cannot be written.
        BackendError: the storage failed.
    """
    archive = LogArchive(repository, LOG_KIND, system_id)
    _remove_stale_parts(target, repository.clock)
    try:
        size = write_whole(target, lambda write: archive.fetch(name.text, write))
    except LogSegmentNotFoundError:
        _require_some(repository, archive, name, options.ahead)
        raise
    if options.ahead is not None and name.kind is WalKind.SEGMENT:
        _fetch_ahead(archive, options.ahead, name, size, options.count)
    return size


def write_whole(target: str, fill: Callable[[Callable[[bytes], object]], int]) -> int:
    """Make a file by calling `fill` with what takes its bytes; nothing is seen of it before its end.

    Returns:
        What `fill` returns.

    Raises:
        TargetError: it cannot be written.
    """
    part = f"{target}.{secrets.token_hex(4)}{_PART}"
    try:
        with open(part, "xb") as file:
            os.chmod(file.fileno(), 0o600)
            result = fill(file.write)
            file.flush()
            # The server syncs the name, not the bytes.
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        _remove(part)
        raise TargetError(target, (error.strerror or "unknown error").lower()) from error
    except BaseException:
        _remove(part)
        raise
    return result


def _remove_stale_parts(target: str, clock: Clock) -> None:
    """Remove what calls that were killed have left beside a target; they have segments' size."""
    folder, base = os.path.split(target)
    before_s = clock.now_ns() / 1e9 - _STALE_AFTER_S
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                is_part = entry.name.startswith(f"{base}.") and entry.name.endswith(_PART)
                if is_part and entry.stat(follow_symlinks=False).st_mtime < before_s:
                    _remove(entry.path)
    except OSError:
        pass


def _open(name: WalName, path: str) -> tuple[BinaryIO, int]:
    """Open a regular file and return its size too."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError as error:
        reason = f"it cannot be read: {(error.strerror or 'unknown error').lower()}"
        raise LogSegmentInvalidError(name.text, reason) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise LogSegmentInvalidError(name.text, "it is no regular file")
    return open(descriptor, "rb"), status.st_size


def _require_some(
    repository: Repository, archive: LogArchive, name: WalName, ahead: SegmentsAhead | None
) -> None:
    """Tell an archive that has come to its end from one that is not there at all.

    A recovery ends where the next segment is absent; with the location of another repository it
    would end at once, and whatever was archived would be lost. Asked only as long as nothing was
    ever fetched, so that a standby that waits for its next segment costs one request.
    """
    if name.kind is not WalKind.SEGMENT or (ahead is not None and ahead.exists):
        return
    if next(iter(repository.backend.list(layout.log_prefix(archive.id))), None) is None:
        raise ConfigurationError(
            f"nothing of server {archive.identity} is archived in {repository.backend.location}",
            "`holdfast logs` shows what is; correct restore_command, or leave it out",
        )


def _fetch_ahead(
    archive: LogArchive, ahead: SegmentsAhead, name: WalName, size: int, count: int
) -> None:
    """Fetch what follows a segment, as far as it is there.

    The next one alone comes first: at the archive's end, where a standby always is, one request
    is made in vain and not eight.
    """
    if size < 1:
        return
    wanted = following_names(name, size, min(count, MOST_BYTES // size))
    ahead.clean(wanted)
    missing = [one for one in wanted if one not in ahead.names()]
    if not missing or not ahead.add(missing[0], archive.fetch):
        return
    at_end = threading.Event()

    def add(one: str) -> None:
        if not at_end.is_set() and not ahead.add(one, archive.fetch):
            at_end.set()

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            wait([pool.submit(add, one) for one in missing[1:]])
        except BaseException:
            # The server is shut down, and waits for this process.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
