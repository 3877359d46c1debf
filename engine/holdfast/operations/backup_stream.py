"""Back up a stream or the output of a command as one file.

A stream is cut while it is read; nothing is kept on disk in between.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import IO, Final

from holdfast.errors import (
    CommandFailedError,
    CommitVoidError,
    ConfigurationError,
    IntegrityError,
    PathNotFoundError,
    SourceError,
)
from holdfast.format.node import Node, NodeExtra, NodeType, list_ids
from holdfast.fs.source import describe, display
from holdfast.operations.backup_session import BackupOptions, BackupResult, BackupSession
from holdfast.operations.references import iter_references
from holdfast.operations.tree_walk import find_node
from holdfast.progress import Progress
from holdfast.repository.repository import Repository

_LONGEST_NAME: Final = 255
_MOST_RUNS: Final = 3
"""Runs of a command whose backup prune overtakes."""


def backup_stream(
    repository: Repository,
    stream: IO[bytes],
    filename: bytes,
    options: BackupOptions,
    *,
    progress: Progress | None = None,
) -> BackupResult:
    """Back up a stream, read to its end, as one file.

    Args:
        repository: opened.
        stream: unbuffered or buffered binary stream.
        filename: path of the file in the snapshot; a relative one lies in "/".
        options: what to record; what concerns the walk has no effect.
        progress: watches.

    Raises:
        SourceError: the stream cannot be read; no snapshot is made.
        CommitVoidError: prune removed what the stream was found to have in common with other
            snapshots, and the stream cannot be read twice; no snapshot is made.
    """
    return _backup_stream(repository, stream, filename, options, progress, check=lambda: None)


def backup_command(
    repository: Repository,
    command: Sequence[str],
    filename: bytes,
    options: BackupOptions,
    *,
    progress: Progress | None = None,
) -> BackupResult:
    """Back up what a command writes to its standard output.

    Args:
        repository: opened.
        command: program and arguments, run without a shell.
        filename: path of the file in the snapshot.
        options: as for `backup_stream`.
        progress: watches.

    Raises:
        CommandFailedError: it cannot be started or fails; no snapshot is made.
    """
    for attempt in range(1, _MOST_RUNS + 1):
        try:
            return _run_command(repository, command, filename, options, progress)
        except CommitVoidError:
            if attempt == _MOST_RUNS:
                raise
    raise AssertionError  # the loop returns or raises


def _run_command(
    repository: Repository,
    command: Sequence[str],
    filename: bytes,
    options: BackupOptions,
    progress: Progress | None,
) -> BackupResult:
    """Run the command once; as `backup_command`."""
    shown = " ".join(command)
    try:
        # Its standard error stays the caller's: warnings must be seen while it works.
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    except OSError as error:
        raise CommandFailedError(shown, describe(error)) from error

    def check() -> None:
        code = process.wait()
        if code:
            ended = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise CommandFailedError(shown, ended)

    with process:
        assert process.stdout is not None
        try:
            return _backup_stream(
                repository, process.stdout, filename, options, progress, check=check
            )
        except BaseException:
            process.kill()
            raise


def _backup_stream(
    repository: Repository,
    stream: IO[bytes],
    filename: bytes,
    options: BackupOptions,
    progress: Progress | None,
    *,
    check: Callable[[], None],
) -> BackupResult:
    path = os.path.normpath(b"/" + filename.lstrip(b"/"))
    if path == b"/":
        raise ConfigurationError("the stream needs a file name", "give one with --stdin-filename")
    if b"\0" in path or max(map(len, path.split(b"/"))) > _LONGEST_NAME:
        raise ConfigurationError(
            f"{display(path)!r} is no file name", f"use at most {_LONGEST_NAME} bytes for each part"
        )
    descriptor = stream.fileno()
    with BackupSession(repository, (path,), options, progress) as session:

        def readinto(view: memoryview) -> int:
            session.tick(display(path))
            return os.readv(descriptor, (view,))

        try:
            builder, size = session.files.read_all(readinto, is_pipe=True)
        except OSError as error:
            raise SourceError(display(path), describe(error)) from error
        check()
        session.stats.logical_bytes = size
        content, depth = builder.finish()
        root = _store_path(session, path, content, depth, size)
        while True:
            try:
                return session.finish(root)
            except CommitVoidError as error:
                _salvage(session, root, error)


def _salvage(session: BackupSession, root: bytes, error: CommitVoidError) -> None:
    """Begin again without the stream, which is gone: what it was made of may all be there.

    Raises:
        CommitVoidError: `error`, if something is missing.
    """
    stats, bytes_read = session.stats, session.files.bytes_read
    session.begin_again(error)
    session.stats, session.files.bytes_read = stats, bytes_read
    writer = session.writer
    writer.commit_index()  # now the packs that were taken over can be read
    try:
        for page_id, blobs in iter_references(session.reader, list_ids(root)):
            if not (writer.knows(page_id) and all(map(writer.knows, blobs))):
                raise error
    except IntegrityError:
        raise error from None


def _store_path(
    session: BackupSession, path: bytes, content: bytes, depth: int, size: int
) -> bytes:
    """Store the tree that leads to a streamed file; return the root's content."""
    now, uid, gid = session.started_ns, os.getuid(), os.getgid()
    session.uids.add(uid)
    session.gids.add(gid)
    old = _old_node(session, path)
    session.differs = old is None or old.content != content
    if old is None:
        session.stats.files_new = 1
    elif old.content == content:
        session.stats.files_unmodified = 1
    else:
        session.stats.files_changed = 1
    names = path.split(b"/")[1:]
    extra = NodeExtra(depth=depth) if depth else None
    node = Node(names[-1], NodeType.FILE.value, 0o600, uid, gid, size, now, 0, 0, 0, content, extra)
    for name in reversed(names[:-1]):
        page = session.writer.add_page([node])
        node = Node(name, NodeType.DIRECTORY.value, 0o700, uid, gid, 0, now, 0, 0, 0, page)
    return session.writer.add_page([node])


def _old_node(session: BackupSession, path: bytes) -> Node | None:
    """Return the parent's node of that path; only a statistic depends on it."""
    if session.parent is None:
        return None
    try:
        return find_node(session.reader, session.parent.root, path, snapshot=session.parent.id)
    except (PathNotFoundError, IntegrityError):
        return None
