"""Back up a database: many streams of its tools, one snapshot.

Everything goes straight from the tools into the chunker. The tree above is kept in memory until
the source has returned, since files may come in any order: 400 bytes a file. A source that fails,
or is interrupted, leaves no snapshot; what was stored by then is found again by the next run.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.chunking import CUTTINGS, Chunker, Cutting, Profile
from holdfast.errors import CommitVoidError, ConfigurationError, IntegrityError, PathNotFoundError
from holdfast.findings import Finding
from holdfast.format.node import Node, NodeExtra, NodeType, split_pages
from holdfast.format.snapshot import DatabaseRecord, StreamRecord
from holdfast.fs.source import display
from holdfast.operations.backup_files import FileReader
from holdfast.operations.backup_session import BackupOptions, BackupResult, BackupSession
from holdfast.operations.content_builder import ContentBuilder
from holdfast.operations.tree_walk import find_node
from holdfast.progress import Progress
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from holdfast.sources.base import (
    STREAM_META,
    DatabaseSource,
    FileMeta,
    FileWriter,
    Method,
    ReadInto,
)

_MOST_RUNS: Final = 3
"""Runs of a source whose backup prune overtakes."""
_CUT_AT: Final = 256 << 10
"""Bytes of a file that is written piece by piece, before it is cut: little, since many are open."""
_LONGEST_NAME: Final = 255
_DIRECTORY_META: Final = FileMeta(kind=NodeType.DIRECTORY, mode=0o700)


def snapshot_path(kind: str, instance: str, method: str) -> bytes:
    """Return where a server's databases lie in its snapshots: b"/postgresql/main/logical".

    The method is a part of it, so that policies of retention count dumps and base backups apart.

    Raises:
        ConfigurationError: the name of the instance cannot be a part of a path.
    """
    name = os.fsencode(instance)
    if not name or b"/" in name or b"\0" in name or name in (b".", b"..") or len(name) > 200:
        raise ConfigurationError(
            f"{instance!r} cannot name an instance", "use one short word, like main"
        )
    return b"/".join((b"", os.fsencode(kind), name, os.fsencode(method)))


def backup_database(
    repository: Repository,
    source: DatabaseSource,
    options: BackupOptions,
    *,
    instance: str,
    progress: Progress | None = None,
) -> BackupResult:
    """Back up what a source produces, as one snapshot.

    Args:
        repository: opened.
        source: to be run; again if prune overtakes the backup.
        options: what to record; what concerns a walk has no effect.
        instance: names the server in the snapshot's paths.
        progress: watches.

    Returns:
        The result; `kept.database` says what each stream cost.

    Raises:
        DatabaseError: the source failed; no snapshot is made.
        BackendError, CacheError: storing failed; likewise.
        CommitVoidError: prune was faster every time.
    """
    base = snapshot_path(source.kind, instance, source.method)
    paths = tuple(sorted(posixpath.join(base, path).rstrip(b"/") for path in source.paths()))
    profile = Profile.PAGES if source.method is Method.PHYSICAL else Profile.DUMP
    options = replace(options, cutting=CUTTINGS[profile])
    version = source.check()
    for attempt in range(1, _MOST_RUNS + 1):
        try:
            with BackupSession(repository, paths, options, progress) as session:
                sink = _Sink(session, base)
                source.backup(sink)
                root = sink.finish()
                session.writer.flush()
                session.database = DatabaseRecord(
                    kind=source.kind,
                    method=source.method.value,
                    instance=instance,
                    server_version=version,
                    streams=sink.records(),
                    properties=sink.properties,
                )
                return session.finish(root)
        except CommitVoidError:
            if attempt == _MOST_RUNS:
                raise
    raise AssertionError  # the loop returns or raises


@dataclass(slots=True)
class _Directory:
    """A directory of the snapshot that is being made."""

    meta: FileMeta = _DIRECTORY_META
    files: dict[bytes, Node] = field(default_factory=dict)
    directories: dict[bytes, _Directory] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    """A stream that is being read, or has been."""

    label: str
    started_s: float
    start: int
    end: int = 0
    files: int = 0
    logical_bytes: int = 0
    seconds: float = 0.0


class _Sink:
    """Stores what a source hands over; see `StreamSink`. For one thread.

    Args:
        session: entered.
        base: absolute path of the server in the snapshot.
    """

    def __init__(self, session: BackupSession, base: bytes) -> None:
        self._session = session
        self._base = base
        self._top = _Directory()
        self._readers = {session.options.cutting: session.files}
        self._streams: list[_Stream] = []
        self._stream: _Stream | None = None
        self._unfinished = 0
        self.properties: dict[str, str] = {}

    @contextmanager
    def stream(self, label: str) -> Iterator[None]:
        """Count what is added inside together."""
        if self._stream is not None:
            raise ValueError("streams do not nest")
        clock, data = self._session.repository.clock, self._session.writer.data
        self._stream = stream = _Stream(label, clock.monotonic_s(), data.position)
        self._streams.append(stream)
        try:
            yield
        finally:
            self._stream = None
        stream.end = data.position
        stream.seconds = clock.monotonic_s() - stream.started_s

    def add(
        self, path: bytes, readinto: ReadInto, profile: Profile, meta: FileMeta = STREAM_META
    ) -> int:
        """Read to the end and store as one file; return the bytes read."""
        session = self._session
        shown = display(path)
        reader = self._reader(CUTTINGS[profile])

        def watched(view: memoryview) -> int:
            session.tick(shown)
            return readinto(view)

        builder, size = reader.read_all(watched, is_pipe=True)
        if reader is not session.files:
            session.files.bytes_read += size
        self._put_file(path, builder, size, meta)
        return size

    def add_entry(self, path: bytes, meta: FileMeta) -> None:
        """Store a directory, or a symbolic link."""
        if meta.kind is NodeType.DIRECTORY:
            self._directory(path).meta = meta
            return
        directory, name = self._free_place(path)
        extra = NodeExtra(target=meta.target)
        directory.files[name] = self._node(name, meta, 0, b"", extra)

    def open(self, path: bytes, profile: Profile, meta: FileMeta = STREAM_META) -> FileWriter:
        """Begin a file whose pieces come between those of others."""
        session = self._session
        cutter = CUTTINGS[profile].chunker(session.repository.keys.chunker)
        self._place(path)

        def note(size: int) -> None:
            session.files.bytes_read += size
            session.tick(display(path))

        def end(builder: ContentBuilder, size: int) -> None:
            self._unfinished -= 1
            self._put_file(path, builder, size, meta)

        self._unfinished += 1
        return _PieceWriter(session.writer, cutter, note, end)

    def finding(self, finding: Finding) -> None:
        """Note a problem that the backup survives."""
        self._session.on_finding(finding)

    def note(self, name: str, value: str) -> None:
        """Record a property of this backup."""
        self.properties[name] = value

    def finish(self) -> bytes:
        """Store the tree; return the root's content."""
        if self._unfinished:
            raise ValueError(f"{self._unfinished} files were begun and never closed")
        session = self._session
        session.differs = True
        content = self._store(self._top, self._base)
        now = session.started_ns
        for name in reversed(self._base.split(b"/")[1:]):
            node = self._node(name, replace(_DIRECTORY_META, mtime_ns=now), 0, content, None)
            content = session.writer.add_page([node])
        return content

    def records(self) -> tuple[StreamRecord, ...]:
        """Return what each stream cost; after the writer was flushed."""
        data = self._session.writer.data
        return tuple(
            StreamRecord(
                label=stream.label,
                files=stream.files,
                logical_bytes=stream.logical_bytes,
                new_bytes=stream.end - stream.start,
                stored_bytes=data.stored_between(stream.start, stream.end),
                duration_ns=int(stream.seconds * 1e9),
            )
            for stream in self._streams
        )

    def _reader(self, cutting: Cutting) -> FileReader:
        reader = self._readers.get(cutting)
        if reader is None:
            session = self._session
            reader = FileReader(session.writer, cutting, session.repository.keys.chunker)
            self._readers[cutting] = reader
        return reader

    def _put_file(self, path: bytes, builder: ContentBuilder, size: int, meta: FileMeta) -> None:
        content, depth = builder.finish()
        directory, name = self._free_place(path)
        extra = NodeExtra(depth=depth) if depth else None
        directory.files[name] = self._node(name, meta, size, content, extra)
        self._session.stats.logical_bytes += size
        if self._stream is not None:
            self._stream.files += 1
            self._stream.logical_bytes += size

    def _node(
        self, name: bytes, meta: FileMeta, size: int, content: bytes, extra: NodeExtra | None
    ) -> Node:
        session = self._session
        uid = os.getuid() if meta.uid is None else meta.uid
        gid = os.getgid() if meta.gid is None else meta.gid
        session.uids.add(uid)
        session.gids.add(gid)
        mtime_ns = session.started_ns if meta.mtime_ns is None else meta.mtime_ns
        kind = meta.kind.value
        return Node(name, kind, meta.mode, uid, gid, size, mtime_ns, 0, 0, 0, content, extra)

    def _place(self, path: bytes) -> tuple[_Directory, bytes]:
        head, _, name = path.rpartition(b"/")
        if not name or name in (b".", b"..") or b"\0" in path or len(name) > _LONGEST_NAME:
            raise ValueError(f"not a path of a stored file: {path!r}")
        return self._directory(head), name

    def _free_place(self, path: bytes) -> tuple[_Directory, bytes]:
        """Return a place where nothing is yet: what lies there must not vanish without a word."""
        directory, name = self._place(path)
        if name in directory.files or name in directory.directories:
            raise ValueError(f"stored twice: {path!r}")
        return directory, name

    def _directory(self, path: bytes) -> _Directory:
        directory = self._top
        for name in path.split(b"/"):
            if name in (b".", b"..") or len(name) > _LONGEST_NAME:
                raise ValueError(f"not a path of a stored directory: {path!r}")
            if name in directory.files:
                raise ValueError(f"below a file: {path!r}")
            if name:
                directory = directory.directories.setdefault(name, _Directory())
        return directory

    def _store(self, directory: _Directory, path: bytes) -> bytes:
        """Store a directory and what is below; return its content."""
        session = self._session
        nodes = dict(directory.files)
        for name, below in directory.directories.items():
            content = self._store(below, posixpath.join(path, name))
            nodes[name] = self._node(name, below.meta, 0, content, None)
            session.stats.directories += 1
        self._compare(nodes, path)
        pages = split_pages([nodes[name] for name in sorted(nodes)], final=True)
        return b"".join(session.writer.add_page(list(page)) for page in pages)

    def _compare(self, nodes: dict[bytes, Node], path: bytes) -> None:
        """Count new, changed and unmodified files; only statistics depend on the parent."""
        stats, old = self._session.stats, self._old_nodes(path)
        for name, node in nodes.items():
            if node.type == NodeType.DIRECTORY:
                continue
            before = old.get(name)
            if node.type != NodeType.FILE:
                stats.others += 1
            elif before is None:
                stats.files_new += 1
            elif before.content == node.content:
                stats.files_unmodified += 1
            else:
                stats.files_changed += 1

    def _old_nodes(self, path: bytes) -> dict[bytes, Node]:
        session = self._session
        if session.parent is None:
            return {}
        try:
            node = find_node(session.reader, session.parent.root, path, snapshot=session.parent.id)
            pages = (session.reader.read_page(page_id) for page_id in node.blob_ids)
            return {entry.name: entry for page in pages for entry in page}
        except (PathNotFoundError, IntegrityError):
            return {}


class _PieceWriter:
    """A file that comes in pieces, cut as it would be in one; see `FileWriter`."""

    def __init__(
        self,
        writer: Writer,
        cutter: Chunker,
        note: Callable[[int], None],
        end: Callable[[ContentBuilder, int], None],
    ) -> None:
        self._add = writer.add_chunks
        self._builder = ContentBuilder(writer.add_ids)
        self._cutter = cutter
        self._note = note
        self._end = end
        self._most = max(_CUT_AT, 2 * cutter.max_size)
        self._buffer = bytearray()
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self._buffer += data
        self._size += len(data)
        self._note(len(data))
        if len(self._buffer) >= self._most:
            self._cut(final=False)

    def close(self) -> None:
        """The file is complete."""
        self._cut(final=True)
        self._end(self._builder, self._size)

    def _cut(self, *, final: bool) -> None:
        with memoryview(self._buffer) as view:
            ends = self._cutter.cuts(view, len(view), final)
            self._builder.extend(self._add(view, ends))
        if ends:
            del self._buffer[: ends[-1]]
