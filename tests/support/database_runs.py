"""Sources run into real repositories, watched and disturbed on the way, and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from holdfast.chunking import Profile
from holdfast.findings import Finding
from holdfast.format.snapshot import Snapshot
from holdfast.operations.backup import BackupOptions
from holdfast.operations.backup_database import backup_database
from holdfast.operations.stored_database import StoredDatabase
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.sources.base import (
    STREAM_META,
    DatabaseSource,
    FileMeta,
    FileWriter,
    Method,
    ReadInto,
    StreamSink,
)
from support.repos import HOST

Hook = Callable[[bytes, int], None]
"""Called with a file's path and the bytes read of it, before each piece that is read."""


def save(repository: Repository, source: DatabaseSource, hook: Hook | None = None) -> Snapshot:
    """Back a source up and return the snapshot."""
    used = source if hook is None else Disturbed(source, hook)
    options = BackupOptions(host=HOST, user="user")
    result = backup_database(repository, used, options, instance="main")
    assert result.kept is not None
    return result.kept


@contextmanager
def stored(repository: Repository, snapshot: Snapshot) -> Iterator[StoredDatabase]:
    """Open what a snapshot holds."""
    repository.load_index()
    with BlobReader(repository) as reader:
        yield StoredDatabase(repository, reader, snapshot)


class Disturbed:
    """A source whose reader does something else now and then."""

    def __init__(self, source: DatabaseSource, hook: Hook) -> None:
        self._source = source
        self._hook = hook
        self.kind = source.kind
        self.method: Method = source.method

    def check(self) -> str:
        return self._source.check()

    def paths(self) -> tuple[bytes, ...]:
        return self._source.paths()

    def plan(self) -> Sequence[str]:
        return self._source.plan()

    def backup(self, sink: StreamSink) -> None:
        self._source.backup(_HookedSink(sink, self._hook))


class _HookedSink:
    def __init__(self, sink: StreamSink, hook: Hook) -> None:
        self._sink = sink
        self._hook = hook

    def stream(self, label: str) -> AbstractContextManager[None]:
        return self._sink.stream(label)

    def add(
        self, path: bytes, readinto: ReadInto, profile: Profile, meta: FileMeta = STREAM_META
    ) -> int:
        count = 0

        def watched(view: memoryview) -> int:
            nonlocal count
            self._hook(path, count)
            length = readinto(view)
            count += length
            return length

        return self._sink.add(path, watched, profile, meta)

    def add_entry(self, path: bytes, meta: FileMeta) -> None:
        self._sink.add_entry(path, meta)

    def open(self, path: bytes, profile: Profile, meta: FileMeta = STREAM_META) -> FileWriter:
        return self._sink.open(path, profile, meta)

    def finding(self, finding: Finding) -> None:
        self._sink.finding(finding)

    def note(self, name: str, value: str) -> None:
        self._sink.note(name, value)
