"""Back up directory trees, streams and the output of commands.

Data flow: walk -> unchanged? -> read -> cut -> id -> known? -> open slice -> threads: zstd and
seal -> pack -> backend; then index objects, then the snapshot. docs/architecture.md draws it.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Final

from holdfast.chunking import Profile, chunker, whole_file_limit
from holdfast.compression import DEFAULT_LEVEL
from holdfast.errors import (
    BackendError,
    CommandFailedError,
    ConfigurationError,
    IntegrityError,
    PathNotFoundError,
    SourceError,
)
from holdfast.findings import Finding
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot, SnapshotStats
from holdfast.fs.source import describe, display
from holdfast.ids import ObjectId, new_object_id
from holdfast.operations.backup_files import FileReader
from holdfast.operations.backup_tree import SourceNode, TreeBackup, WalkOptions
from holdfast.operations.tree_walk import find_node
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.selection import SnapshotFilter, choose_parent, resolve
from holdfast.progress import NullProgress, Progress
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import CommittedSnapshot, Repository
from holdfast.repository.writer import Writer
from holdfast.version import VERSION

CHECKPOINT_S: Final = 30 * 60
"""A partial snapshot is committed this often, so that an interruption costs at most that."""
CHECKPOINT_BLOBS: Final = 400_000
"""… and after this many new blobs, so that memory stays flat: 110 bytes a blob."""
_MOST_FINDINGS: Final = 1000
"""Findings kept in a snapshot; all are reported while the backup runs."""
_PROGRESS_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """What a backup records and how it works."""

    host: str
    user: str = ""
    tags: tuple[str, ...] = ()
    time_ns: int | None = None
    """Recorded as the snapshot's time; now if None."""
    parent: str | None = None
    """Snapshot to compare with; None chooses the newest of this host and these paths."""
    force: bool = False
    """Read every file, whatever the parent says."""
    level: int | None = DEFAULT_LEVEL
    """zstd level; None stores as is."""
    profile: Profile = Profile.FILES
    exclude: ExcludeFilter | None = None
    exclude_caches: bool = False
    exclude_if_present: tuple[bytes, ...] = ()
    exclude_larger_than: int | None = None
    one_file_system: bool = False
    with_atime: bool = False
    excludes_text: tuple[str, ...] = ()
    """The exclude patterns as given, recorded in the snapshot."""
    skip_if_unchanged: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupResult:
    """What a backup did."""

    snapshot: str | None
    """None for a dry run, and where nothing had changed and that was to be skipped."""
    parent: str | None
    stats: SnapshotStats
    findings: tuple[Finding, ...]
    finding_count: int
    seconds: float


@dataclass(slots=True)
class _Session:
    """What the parts of one backup share."""

    repository: Repository
    options: BackupOptions
    progress: Progress
    raw_paths: tuple[bytes, ...]
    started_ns: int
    started_s: float
    own_last: CommittedSnapshot | None
    parent: Snapshot | None
    findings: list[Finding] = field(default_factory=list)
    finding_count: int = 0
    partial: ObjectId | None = None

    def on_finding(self, finding: Finding) -> None:
        self.finding_count += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(finding)
        self.progress.finding(finding)


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
    session = _begin(repository, absolute, options, progress or NullProgress())
    present = _existing(absolute, session.on_finding)
    walk_options = WalkOptions(
        exclude=options.exclude,
        exclude_caches=options.exclude_caches,
        exclude_if_present=options.exclude_if_present,
        exclude_larger_than=options.exclude_larger_than,
        one_file_system=options.one_file_system,
        with_atime=options.with_atime,
        force=options.force,
        check_reused=bool(repository.problems) or repository.index.has_absent_packs,
    )
    with _writing(session) as (writer, files, reader):
        watch = _Watch(session, writer, files)
        walk = TreeBackup(
            writer,
            files,
            reader,
            walk_options,
            started_ns=session.started_ns,
            tick=watch.tick,
            on_finding=session.on_finding,
        )
        watch.walk = walk
        parent_pages = session.parent.root_pages if session.parent is not None else ()
        root = walk.run(SourceNode.of(present), parent_pages)
        return _finish(
            session, writer, files, walk.stats, root, _names(session, walk.uids, walk.gids)
        )


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
    shown = " ".join(command)
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints)
        except OSError as error:
            raise CommandFailedError(shown, describe(error)) from error

        def check() -> None:
            code = process.wait()
            if code == 0:
                return
            complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 500))
            last = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            ended = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise CommandFailedError(shown, ": ".join([ended, *last]))

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
    session = _begin(repository, (path,), options, progress or NullProgress())
    descriptor = stream.fileno()
    with _writing(session) as (writer, files, reader):
        watch = _Watch(session, writer, files)

        def readinto(view: memoryview) -> int:
            watch.tick(path)
            return os.readv(descriptor, (view,))

        try:
            content, size = files.read_all(readinto)
        except OSError as error:
            raise SourceError(display(path), describe(error)) from error
        check()
        stats = SnapshotStats(logical_bytes=size)
        root = _stream_root(session, writer, reader, path, content, size, stats)
        return _finish(session, writer, files, stats, root, ({}, {}))


def _stream_root(
    session: _Session,
    writer: Writer,
    reader: BlobReader,
    path: bytes,
    content: bytes,
    size: int,
    stats: SnapshotStats,
) -> bytes:
    """Store the tree that leads to a streamed file; return the root's content."""
    now, uid, gid = session.started_ns, os.getuid(), os.getgid()
    old: Node | None = None
    if session.parent is not None:
        try:
            old = find_node(reader, session.parent.root, path, snapshot=session.parent.id)
        except (PathNotFoundError, IntegrityError):
            old = None  # only a statistic depends on it
    if old is None:
        stats.files_new = 1
    elif old.content == content:
        stats.files_unmodified = 1
    else:
        stats.files_changed = 1
    names = path.split(b"/")[1:]
    node = Node(names[-1], NodeType.FILE.value, 0o600, uid, gid, size, now, 0, 0, 0, content)
    for name in reversed(names[:-1]):
        page = writer.add_page([node])
        node = Node(name, NodeType.DIRECTORY.value, 0o700, uid, gid, 0, now, 0, 0, 0, page)
    return writer.add_page([node])


def _begin(
    repository: Repository, paths: tuple[bytes, ...], options: BackupOptions, progress: Progress
) -> _Session:
    clock = repository.clock
    started_ns, started_s = clock.now_ns(), clock.monotonic_s()
    commits = repository.committed_snapshots()
    repository.load_index()
    own = [item for item in commits if item.snapshot.host == options.host]
    own_last = max(own, key=lambda item: item.commit.host_sequence, default=None)
    snapshots = [item.snapshot for item in commits]
    parent: Snapshot | None
    if options.parent is not None:
        parent = resolve(snapshots, options.parent, SnapshotFilter())
    else:
        parent = choose_parent(snapshots, options.host, paths)
    if parent is not None and parent.profile != options.profile.value:
        parent = None  # other cuts: every file must be read
    totals = parent.stats if parent is not None else None
    progress.begin(
        "backup",
        total_items=totals.files_new + totals.files_changed + totals.files_unmodified
        if totals
        else None,
        total_bytes=totals.logical_bytes if totals else None,
    )
    return _Session(repository, options, progress, paths, started_ns, started_s, own_last, parent)


@contextmanager
def _writing(session: _Session) -> Iterator[tuple[Writer, FileReader, BlobReader]]:
    repository, options = session.repository, session.options
    profile = options.profile
    with (
        Writer(repository, level=options.level, dry_run=options.dry_run) as writer,
        BlobReader(repository) as reader,
    ):
        cutter = chunker(profile, repository.keys.chunker)
        yield writer, FileReader(writer, cutter, whole_file_limit(profile)), reader


class _Watch:
    """Reports progress and commits partial snapshots; called every few files or MiB."""

    def __init__(self, session: _Session, writer: Writer, files: FileReader) -> None:
        self._session = session
        self._writer = writer
        self._files = files
        self._clock = session.repository.clock
        self._reported_s = session.started_s
        self._checkpoint_s = session.started_s
        self.walk: TreeBackup | None = None

    def tick(self, path: bytes) -> None:
        """Report or commit if it is time to. Cost: 0.2 us when it is not."""
        now = self._clock.monotonic_s()
        if now - self._reported_s < _PROGRESS_S and len(self._writer.new) < CHECKPOINT_BLOBS:
            return
        self._reported_s = now
        walk = self.walk
        if walk is None:
            self._session.progress.update(0, self._files.bytes_read, display(path))
            return
        stats = walk.stats
        items = stats.files_new + stats.files_changed + stats.files_unmodified
        self._session.progress.update(items, stats.logical_bytes, display(path))
        due = now - self._checkpoint_s >= CHECKPOINT_S
        if due or len(self._writer.new) >= CHECKPOINT_BLOBS:
            self._checkpoint_s = now
            names = _names(self._session, walk.uids, walk.gids)
            root = walk.partial_root()
            _commit(self._session, self._writer, self._files, walk.stats, root, names, partial=True)


def _finish(
    session: _Session,
    writer: Writer,
    files: FileReader,
    stats: SnapshotStats,
    root: bytes,
    names: tuple[dict[int, str], dict[int, str]],
) -> BackupResult:
    """Commit, unless that is not wanted, and sum up."""
    options = session.options
    unchanged = session.parent is not None and session.parent.root == root
    snapshot_id: str | None = None
    if options.dry_run or (options.skip_if_unchanged and unchanged):
        writer.flush()
        _count(session, writer, files, stats)
    else:
        snapshot_id = _commit(session, writer, files, stats, root, names, partial=False)
        writer.close_journal()
    session.progress.end()
    return BackupResult(
        snapshot=snapshot_id,
        parent=session.parent.id if session.parent is not None else None,
        stats=stats,
        findings=tuple(session.findings),
        finding_count=session.finding_count,
        seconds=session.repository.clock.monotonic_s() - session.started_s,
    )


def _commit(
    session: _Session,
    writer: Writer,
    files: FileReader,
    stats: SnapshotStats,
    root: bytes,
    names: tuple[dict[int, str], dict[int, str]],
    *,
    partial: bool,
) -> str | None:
    """Commit a snapshot; a partial one before it is deleted once this one is durable."""
    options = session.options
    writer.flush()
    _count(session, writer, files, stats)
    snapshot = Snapshot(
        id=new_object_id(),
        time_ns=options.time_ns if options.time_ns is not None else session.started_ns,
        host=options.host,
        user=options.user,
        raw_paths=session.raw_paths,
        root=root,
        tags=options.tags,
        excludes=options.excludes_text,
        parent=session.parent.id if session.parent is not None else None,
        partial=partial,
        profile=options.profile.value,
        program_version=VERSION,
        user_names=names[0],
        group_names=names[1],
        stats=stats,
        findings=tuple(session.findings),
    )
    session.own_last = writer.commit(snapshot, session.own_last)
    if options.dry_run:
        return None
    superseded, session.partial = session.partial, ObjectId(snapshot.id) if partial else None
    if superseded is not None:
        _delete_quietly(session.repository, superseded)
    return snapshot.id


def _delete_quietly(repository: Repository, snapshot_id: ObjectId) -> None:
    """Delete a partial snapshot whose successor is durable; a store may forbid that."""
    try:
        repository.backend.delete(layout.snapshot_name(snapshot_id))
    except BackendError:
        pass


def _count(session: _Session, writer: Writer, files: FileReader, stats: SnapshotStats) -> None:
    clock = session.repository.clock
    stats.bytes_read = files.bytes_read
    stats.bytes_added = writer.bytes_added
    stats.bytes_stored = writer.bytes_stored
    stats.blobs_added = writer.blobs_added
    stats.duration_ns = int((clock.monotonic_s() - session.started_s) * 1e9)


def _existing(paths: Iterable[bytes], on_finding: Callable[[Finding], None]) -> list[bytes]:
    """Return the sources that exist; the others are findings.

    Raises:
        SourceError: none exists.
    """
    present: list[bytes] = []
    problem = SourceError("", "")
    for path in paths:
        try:
            os.lstat(path)
            present.append(path)
        except OSError as error:
            problem = SourceError(display(path), describe(error))
            on_finding(Finding(display(path), describe(error)))
    if not present:
        raise problem
    return present


def _names(
    session: _Session, uids: set[int], gids: set[int]
) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of owners; those of unchanged files come from the parent."""
    users = dict(session.parent.user_names) if session.parent is not None else {}
    groups = dict(session.parent.group_names) if session.parent is not None else {}
    for uid in uids:
        try:
            users[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            users.pop(uid, None)
    for gid in gids:
        try:
            groups[gid] = grp.getgrgid(gid).gr_name
        except KeyError:
            groups.pop(gid, None)
    return users, groups
