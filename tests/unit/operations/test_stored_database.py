"""The files of a database in a snapshot, as a restore sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.chunking import Profile
from holdfast.errors import (
    ConfigurationError,
    IntegrityError,
    PathNotFoundError,
    TargetError,
    TargetNotEmptyError,
)
from holdfast.format.node import NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.backup_database import backup_database
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.stored_database import StoredDatabase
from holdfast.operations.tree_walk import root_node
from holdfast.progress import NullProgress
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.sources.base import FileMeta, StreamSink
from support.faults import bit_flipped, corrupt
from support.repos import back_up, new_store, open_repository
from support.scripted_database import OPTIONS, ScriptedSource, reading
from support.sessions import names_in, random_bytes
from support.snapshots import snapshot_at

LARGE = random_bytes(3_000_000)


@pytest.fixture
def store() -> MemoryBackend:
    return new_store()


@pytest.fixture
def repository(store: MemoryBackend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(store, tmp_path / "cache") as opened:
        yield opened


def script(sink: StreamSink, run: int) -> None:
    sink.add(
        b"base/16384/1259", reading(LARGE), Profile.PAGES, FileMeta(mode=0o640, mtime_ns=10**18)
    )
    sink.add(b"base/odd\xff\n", reading(b"odd"), Profile.DUMP)
    sink.add(b"empty", reading(b""), Profile.DUMP)
    sink.add_entry(b"pg_wal", FileMeta(kind=NodeType.DIRECTORY, mode=0o700))
    sink.add_entry(b"base/link", FileMeta(kind=NodeType.SYMLINK, target=b"/spaces/1"))
    sink.note("identity", "77")


def saved(repository: Repository) -> Snapshot:
    kept = backup_database(repository, ScriptedSource(script), OPTIONS, instance="main").kept
    assert kept is not None
    return kept


def test_names_sizes_and_contents(repository: Repository) -> None:
    snapshot = saved(repository)
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, snapshot)
        assert files.properties == {"identity": "77"}
        assert sorted(files.names(b"")) == [b"base", b"empty", b"pg_wal"]
        assert sorted(files.names(b"base")) == [b"16384", b"link", b"odd\xff\n"]
        for path in (b"pg_wal", b"empty", b"absent", b"empty/below"):
            assert list(files.names(path)) == []
        assert [files.has(path) for path in (b"", b"base", b"empty", b"no", b"empty/x")] == [
            True, True, True, False, False,
        ]  # fmt: skip
        assert files.size(b"base/16384/1259") == len(LARGE)
        assert b"".join(files.read(b"base/16384/1259")) == LARGE
        assert b"".join(files.read(b"empty")) == b""
        for path in (b"absent", b"base", b"base/link"):
            with pytest.raises(PathNotFoundError):
                files.size(path)
            with pytest.raises(PathNotFoundError):
                list(files.read(path))


def test_a_directory_comes_back_as_it_was(repository: Repository, tmp_path: Path) -> None:
    snapshot = saved(repository)
    target = tmp_path / "data"
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, snapshot)
        files.extract(b"", str(target))
        assert sorted(os.listdir(os.fsencode(target))) == [b"base", b"empty", b"pg_wal"]
        relation = target / "base" / "16384" / "1259"
        assert relation.read_bytes() == LARGE
        assert (relation.stat().st_mode & 0o777, relation.stat().st_mtime_ns) == (0o640, 10**18)
        assert (target / "pg_wal").stat().st_mode & 0o777 == 0o700
        assert os.readlink(target / "base" / "link") == "/spaces/1"
        with pytest.raises(TargetNotEmptyError):
            files.extract(b"", str(target))
        (tmp_path / "empty").mkdir()
        files.extract(b"base", str(tmp_path / "empty"))
        assert (tmp_path / "empty" / "16384" / "1259").read_bytes() == LARGE
        (tmp_path / "file").touch()
        with pytest.raises(TargetError):
            files.extract(b"", str(tmp_path / "file"))
        with pytest.raises(PathNotFoundError):
            files.extract(b"absent", str(tmp_path / "absent"))


def test_who_may_not_set_owners_gets_the_files_as_his_own(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's own user restores its data directory: pg_basebackup's manifest has a strange owner."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "chown", refuse)

    def foreign(sink: StreamSink, run: int) -> None:
        sink.add(b"manifest", reading(b"{}"), Profile.FILES, FileMeta(uid=2048, gid=1024))

    kept = backup_database(repository, ScriptedSource(foreign), OPTIONS, instance="main").kept
    assert kept is not None
    with BlobReader(repository) as reader:
        StoredDatabase(repository, reader, kept).extract(b"", str(tmp_path / "data"))
        assert (tmp_path / "data" / "manifest").read_bytes() == b"{}"
        assert (tmp_path / "data" / "manifest").stat().st_uid == os.getuid()
        result = restore(
            reader,
            root_node(kept.root),
            RestoreOptions(target=os.fsencode(tmp_path / "files")),
            hash_data=repository.keys.data_hash(),
            clock=repository.clock,
            progress=NullProgress(),
        )
    assert ["owner not restored" in one.problem for one in result.findings] == [True]


def test_what_is_damaged_is_never_taken_for_whole(
    repository: Repository, store: MemoryBackend, tmp_path: Path
) -> None:
    snapshot = saved(repository)
    largest = max(names_in(store, layout.PACKS), key=store.size)
    corrupt(store, largest, bit_flipped(store.size(largest) // 2))
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, snapshot)
        with pytest.raises(IntegrityError):
            list(files.read(b"base/16384/1259"))
        with pytest.raises((IntegrityError, TargetError)):
            files.extract(b"", str(tmp_path / "data"))


def test_other_snapshots_are_refused(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    made = back_up(repository, tmp_path / "source").kept
    assert made is not None
    database = saved(repository).database
    with BlobReader(repository) as reader:
        for snapshot in (made, snapshot_at(1, database=database, partial=True)):
            with pytest.raises(ConfigurationError, match="is none of a database"):
                StoredDatabase(repository, reader, snapshot)
