"""Back up files and directories.

Data flow: walk -> unchanged? -> read -> cut -> id -> known? -> open slice -> threads: zstd and
seal -> pack -> backend; then index objects, then the snapshot. docs/architecture.md draws it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from holdfast.errors import CommitVoidError, ConfigurationError, SourceError
from holdfast.findings import Finding
from holdfast.fs.read_ahead import ReadAhead
from holdfast.fs.source import describe, display
from holdfast.operations.backup_session import BackupOptions, BackupResult, BackupSession
from holdfast.operations.backup_tree import SourceNode, TreeBackup, WalkOptions
from holdfast.progress import Progress
from holdfast.repository.repository import Repository

__all__ = ["BackupOptions", "BackupResult", "backup_paths"]


def backup_paths(
    repository: Repository,
    paths: Sequence[bytes],
    options: BackupOptions,
    *,
    progress: Progress | None = None,
) -> BackupResult:
    """Back up files and directories.

    Args:
        repository: opened.
        paths: absolute or relative to the working directory; at least one.
        options: what to record and leave out.
        progress: watches.

    Returns:
        The result; when it names a snapshot, that snapshot and all it needs are durable.

    Raises:
        SourceError: none of the paths exists.
        BackendError, CacheError: storing failed; nothing acknowledged before is affected.
    """
    if not paths:
        raise ConfigurationError("nothing to back up", "name at least one path")
    absolute = tuple(sorted({os.path.abspath(path) for path in paths}))
    session = BackupSession(repository, absolute, options, progress)
    present = _existing(absolute, session)
    with session, ReadAhead() as ahead:
        while True:
            try:
                return session.finish(_walk(session, present, ahead))
            except CommitVoidError as error:
                session.begin_again(error)
                present = _existing(absolute, session)


def _walk(session: BackupSession, present: Sequence[bytes], ahead: ReadAhead) -> bytes:
    """Walk the sources; return the root."""
    options, repository = session.options, session.repository
    walk = TreeBackup(
        session,
        WalkOptions(
            exclude=options.exclude,
            exclude_caches=options.exclude_caches,
            exclude_if_present=options.exclude_if_present,
            exclude_larger_than=options.exclude_larger_than,
            one_file_system=options.one_file_system,
            with_atime=options.with_atime,
            force=options.force,
            check_reused=bool(repository.problems) or session.writer.meets_damage,
        ),
        ahead,
    )
    parent_pages = session.parent.root_pages if session.parent is not None else ()
    return walk.run(SourceNode.of(present), parent_pages)


def _existing(paths: Iterable[bytes], session: BackupSession) -> list[bytes]:
    """Return the sources that exist; the others are findings.

    Raises:
        SourceError: none exists.
    """
    present: list[bytes] = []
    problem = SourceError("", "")
    for path in paths:
        try:
            os.lstat(path)
        except OSError as error:
            problem = SourceError(display(path), describe(error))
            session.on_finding(Finding(display(path), describe(error)))
            session.differs = True
        else:
            present.append(path)
    if not present:
        raise problem
    return present
