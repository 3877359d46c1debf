"""One backup run, whatever its source: options in, parent, blobs, commits, result out."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from holdfast.chunking import CUTTINGS, Cutting, Profile
from holdfast.compression import DEFAULT_LEVEL
from holdfast.errors import BackendError, CommitVoidError
from holdfast.findings import Finding
from holdfast.format.snapshot import (
    MAX_XATTR_NAMES,
    DatabaseRecord,
    Snapshot,
    SnapshotStats,
)
from holdfast.ids import ObjectId, new_object_id
from holdfast.operations.backup_files import FileReader
from holdfast.operations.forget import forget_id
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.selection import SnapshotFilter, choose_parent, resolve
from holdfast.progress import NullProgress, Progress
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import delete_quietly
from holdfast.repository.writer import Writer
from holdfast.version import VERSION

CHECKPOINT_S: Final = 30 * 60
"""A partial snapshot is committed this often, so that an interruption costs at most that."""
CHECKPOINT_BLOBS: Final = 200_000
"""… and after this many new blobs, so that memory stays flat: 110 bytes a blob."""
_MOST_FINDINGS: Final = 1000
"""Findings kept in a snapshot; all are reported while the backup runs."""
_PROGRESS_S: Final = 0.2
_MOST_ATTEMPTS: Final = 5
"""Each needs a whole cycle of prune that did not wait for this backup."""


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
    cutting: Cutting = CUTTINGS[Profile.FILES]
    """How files are cut; its name is the snapshot's profile."""
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
    kept: Snapshot | None = None
    """What the source's newest snapshot is now: the one that was made, or the parent that nothing
    differed from; None for a dry run."""
    index_ids: tuple[str, ...] = ()
    """Index objects that the commit brought."""


class BackupSession:
    """A backup run; a context manager that opens what the run needs. For one thread.

    Args:
        repository: opened.
        raw_paths: recorded in the snapshot, and what its parent is chosen by.
        options: what to record and how to work.
        progress: watches.
    """

    def __init__(
        self,
        repository: Repository,
        raw_paths: tuple[bytes, ...],
        options: BackupOptions,
        progress: Progress | None,
    ) -> None:
        self.repository = repository
        self.options = options
        self.progress: Progress = progress or NullProgress()
        self.started_ns = repository.clock.now_ns()
        self._raw_paths = raw_paths
        self._clock = repository.clock
        self._started_s = self._reported_s = self._checkpoint_s = self._clock.monotonic_s()
        self._stack = ExitStack()
        self._findings: list[Finding] = []
        self._finding_count = 0
        self._partial: ObjectId | None = None
        self._attempts = 0
        self.parent: Snapshot | None
        self.stats: SnapshotStats
        self.differs: bool
        """Whether anything at or below the sources is not as the parent has it."""
        self.uids: set[int] = set()
        self.gids: set[int] = set()
        self.xattr_names: set[bytes] = set()
        self.database: DatabaseRecord | None = None
        self.writer: Writer
        self.reader: BlobReader
        self.files: FileReader
        self._take_view()

    def __enter__(self) -> Self:
        self._open()
        self._begin_progress()
        return self

    def begin_again(self, error: CommitVoidError) -> None:
        """Start over with a new view, since prune went on without the last commit.

        What is left of the packs stored so far is taken over from the journal, so only what is
        missing is stored again.

        Raises:
            CommitVoidError: `error`, if that happened too often.
        """
        self._attempts += 1
        if self._attempts >= _MOST_ATTEMPTS:
            raise error
        self._stack.__exit__(type(error), error, None)
        self._findings.clear()
        self._finding_count = 0
        self._take_view()
        self._open()

    def _take_view(self) -> None:
        """Read what counts now, choose the parent by it, and count from nothing."""
        view = self.repository.load_view(for_writing=True, settle=not self.options.dry_run)
        self._own_last = view.last_of(self.options.host)
        self.parent = self._choose_parent(view.snapshots)
        self.stats = SnapshotStats()
        raw_paths = self._raw_paths
        self.differs = self.parent is None or set(self.parent.raw_paths) != set(raw_paths)

    def _open(self) -> None:
        repository, options = self.repository, self.options
        self._stack = ExitStack()
        self.reader = self._stack.enter_context(BlobReader(repository))
        self.writer = self._stack.enter_context(
            Writer(repository, level=options.level, dry_run=options.dry_run, host=options.host)
        )
        self.files = FileReader(self.writer, options.cutting, repository.keys.chunker)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.end()
        self._stack.__exit__(kind, error, trace)

    def on_finding(self, finding: Finding) -> None:
        """Note a problem that the run survives."""
        self._finding_count += 1
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(finding)
        self.progress.finding(finding)

    def tick(self, current: str, partial_root: Callable[[], bytes] | None = None) -> None:
        """Report, or commit a partial snapshot, if it is time to. Cost: 0.2 us when it is not.

        Args:
            current: what is being read.
            partial_root: gives the root of what has been read so far; None for streams.

        Raises:
            CommitVoidError: prune went on without what a long stream has stored.
        """
        now_s = self._clock.monotonic_s()
        crowded = len(self.writer.new) >= CHECKPOINT_BLOBS
        if now_s - self._reported_s < _PROGRESS_S and not crowded:
            return
        self._reported_s = now_s
        self.writer.renew_session()
        stats = self.stats
        items = stats.files_new + stats.files_changed + stats.files_unmodified
        self.progress.update(items, max(stats.logical_bytes, self.files.bytes_read), current)
        if partial_root is None:
            if crowded and not self.options.dry_run:
                # No part of a stream is worth a snapshot, but memory must stay flat, and the next
                # run finds what this one has stored.
                self.writer.commit_index()
        elif crowded or now_s - self._checkpoint_s >= CHECKPOINT_S:
            self._checkpoint_s = now_s
            self._commit(partial_root(), partial=True)

    def finish(self, root: bytes) -> BackupResult:
        """Commit the snapshot, unless that is not wanted, and sum up.

        Args:
            root: concatenated ids of the pages of "/".

        Raises:
            CommitVoidError: prune went on without the snapshot; begin again.
        """
        options, parent = self.options, self.parent
        snapshot_id: str | None = None
        if options.dry_run or (options.skip_if_unchanged and not self.differs):
            self.writer.flush()
            self._count()
            if self._partial is not None and not options.dry_run:
                # Others may build upon what the partial snapshot brought: it must stay named.
                self.writer.commit_index()
                self._delete_partial(self._partial)
        else:
            snapshot_id = self._commit(root, partial=False)
            self.writer.close_journal()
        return BackupResult(
            snapshot=snapshot_id,
            parent=parent.id if parent is not None else None,
            stats=self.stats,
            findings=tuple(self._findings),
            finding_count=self._finding_count,
            seconds=self._clock.monotonic_s() - self._started_s,
            kept=self._kept(snapshot_id),
            index_ids=self._own_last.commit.index_ids if snapshot_id and self._own_last else (),
        )

    def _kept(self, snapshot_id: str | None) -> Snapshot | None:
        if self.options.dry_run:
            return None
        last = self._own_last
        return last.snapshot if snapshot_id and last is not None else self.parent

    def _choose_parent(self, snapshots: list[Snapshot]) -> Snapshot | None:
        options = self.options
        if options.parent is not None:
            parent: Snapshot | None = resolve(snapshots, options.parent, SnapshotFilter())
        else:
            parent = choose_parent(snapshots, options.host, self._raw_paths)
        if parent is not None and parent.profile != options.cutting.name:
            return None  # other cuts: every file must be read
        return parent

    def _begin_progress(self) -> None:
        if self.parent is None:
            self.progress.begin("backup")
            return
        stats = self.parent.stats
        self.progress.begin(
            "backup",
            total_items=stats.files_new + stats.files_changed + stats.files_unmodified,
            total_bytes=stats.logical_bytes,
        )

    def _commit(self, root: bytes, *, partial: bool) -> str:
        """Commit a snapshot; a partial one before it is deleted once this one is durable."""
        options, parent = self.options, self.parent
        self.writer.flush()
        self._count()
        users, groups = self._names()
        snapshot = Snapshot(
            id=new_object_id(),
            time_ns=self.started_ns if options.time_ns is None else options.time_ns,
            host=_storable(options.host),
            user=_storable(options.user),
            raw_paths=self._raw_paths,
            root=root,
            tags=tuple(map(_storable, options.tags)),
            excludes=tuple(map(_storable, options.excludes_text)),
            parent=parent.id if parent is not None else None,
            partial=partial,
            profile=options.cutting.name,
            program_version=VERSION,
            user_names=users,
            group_names=groups,
            stats=self.stats,
            findings=tuple(self._findings),
            xattr_names=self._all_xattr_names(),
            database=self.database,
        )
        self._own_last = self.writer.commit(snapshot, self._own_last)
        superseded, self._partial = self._partial, ObjectId(snapshot.id) if partial else None
        if superseded is not None and not options.dry_run:
            self._delete_partial(superseded)
        return snapshot.id

    def _delete_partial(self, snapshot_id: ObjectId) -> None:
        """Delete a partial snapshot whose successor is durable; hide it where it is protected."""
        if self.repository.locks is None:
            delete_quietly(self.repository.backend, layout.snapshot_name(snapshot_id))
            return
        try:
            forget_id(self.repository, snapshot_id, host=self.options.host)
        except BackendError:
            pass  # who may not forget leaves it to a policy

    def _count(self) -> None:
        stats, writer = self.stats, self.writer
        stats.bytes_read = self.files.bytes_read
        stats.bytes_added = writer.bytes_added
        stats.bytes_stored = writer.bytes_stored
        stats.blobs_added = writer.blobs_added
        stats.duration_ns = int((self._clock.monotonic_s() - self._started_s) * 1e9)

    def _all_xattr_names(self) -> tuple[bytes, ...] | None:
        """Return the names of all extended attributes; unchanged files may have the parent's."""
        if self.parent is None:
            names = self.xattr_names
        elif self.parent.xattr_names is None:
            return None
        else:
            names = self.xattr_names.union(self.parent.xattr_names)
        return tuple(sorted(names)) if len(names) <= MAX_XATTR_NAMES else None

    def _names(self) -> tuple[dict[int, str], dict[int, str]]:
        """Return the names of owners and groups; those of unchanged files come from the parent."""
        users = dict(self.parent.user_names) if self.parent is not None else {}
        groups = dict(self.parent.group_names) if self.parent is not None else {}
        for uid in self.uids:
            try:
                users[uid] = _storable(pwd.getpwuid(uid).pw_name)
            except KeyError:
                users.pop(uid, None)
        for gid in self.gids:
            try:
                groups[gid] = _storable(grp.getgrgid(gid).gr_name)
            except KeyError:
                groups.pop(gid, None)
        return users, groups


def _storable(text: str) -> str:
    """Return text that can be encoded: bytes that were no UTF-8 become escapes.

    An exclude pattern or a tag with such a byte must not end a backup at its commit.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
