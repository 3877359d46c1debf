"""Backups of databases: what goes into the sink comes out again, or there is no snapshot."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backends.memory import MemoryBackend
from holdfast.chunking import Profile
from holdfast.database_errors import ToolFailedError
from holdfast.errors import CommitVoidError, ConfigurationError
from holdfast.findings import Finding
from holdfast.format.node import NodeType
from holdfast.operations.backup import BackupResult
from holdfast.operations.backup_database import backup_database, snapshot_path
from holdfast.operations.stored_database import StoredDatabase
from holdfast.repository import layout, settling
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.sources.base import FileMeta, Method, StreamSink
from support.faults import CrashingBackend, SimulatedCrash
from support.pruning import Interrupting, forget, prune_all
from support.repos import (
    MEMORY_DIRECTORY,
    back_up,
    check_all,
    leave_mark_of_dead_process,
    new_store,
    open_repository,
    random_files,
    write_tree,
)
from support.scripted_database import OPTIONS, ScriptedSource, iter_files, reading, storing
from support.sessions import names_in, nodes_of, random_bytes

NAMES = st.sampled_from([b"a", b"b", b"shop", b"\xff", b"a b", b"%2f", "ü".encode()])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
DATA = st.one_of(
    st.binary(max_size=30),
    st.tuples(st.integers(0, 9), st.integers(1, 200_000)).map(
        lambda of: random_bytes(of[1], of[0])
    ),
)


@pytest.fixture
def store() -> MemoryBackend:
    return new_store()


@pytest.fixture
def repository(store: MemoryBackend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(store, tmp_path / "cache") as opened:
        yield opened


def save(repository: Repository, source: ScriptedSource) -> BackupResult:
    return backup_database(repository, source, OPTIONS, instance="main")


def read_back(repository: Repository, result: BackupResult) -> dict[bytes, bytes]:
    assert result.kept is not None
    with BlobReader(repository) as reader:
        return dict(iter_files(StoredDatabase(repository, reader, result.kept)))


# -- what goes in comes out ---------------------------------------------------------------------


@st.composite
def ways(draw: st.DrawFn) -> list[tuple[bytes, bytes, bool, Profile]]:
    """Files that do not lie below each other: path, content, whether in pieces, profile."""
    paths = sorted(draw(st.sets(PATHS, max_size=5)))
    paths = [one for one in paths if not any(other.startswith(one + b"/") for other in paths)]
    profiles = st.sampled_from([Profile.DUMP, Profile.PAGES])
    return [(path, draw(DATA), draw(st.booleans()), draw(profiles)) for path in paths]


@given(ways(), st.sampled_from(list(Method)), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_what_goes_in_comes_out(
    files: list[tuple[bytes, bytes, bool, Profile]], method: Method, chance: object
) -> None:
    """Files at once and files in pieces that come between those of others; twice, by other ways."""
    whole = [(path, data, profile) for path, data, pieces, profile in files if not pieces]
    pieces = [(path, data, profile) for path, data, pieces, profile in files if pieces]
    expected = {path: data for path, data, _, _ in files}

    def write_whole(sink: StreamSink, these: list[tuple[bytes, bytes, Profile]]) -> None:
        for path, data, profile in these:
            with sink.stream("whole"):
                assert sink.add(path, reading(data, 7001), profile) == len(data)

    def write_pieces(sink: StreamSink, these: list[tuple[bytes, bytes, Profile]]) -> None:
        with sink.stream("pieces"):
            writers = [sink.open(path, profile) for path, _, profile in these]
            for at in range(0, 200_000, 33_333):
                for writer, (_, data, _) in zip(writers, these, strict=True):
                    writer.write(memoryview(bytearray(data[at : at + 33_333])))
            for writer in writers:
                writer.close()

    def script(sink: StreamSink, run: int) -> None:
        write_whole(sink, whole)
        write_pieces(sink, pieces)

    def the_other_way(sink: StreamSink, run: int) -> None:
        write_whole(sink, pieces)
        write_pieces(sink, whole)

    with (
        tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as cache,
        open_repository(new_store(), cache) as repository,
    ):
        result = save(repository, ScriptedSource(script, method=method))
        assert read_back(repository, result) == expected
        assert (
            result.stats.logical_bytes
            == result.stats.bytes_read
            == sum(map(len, expected.values()))
        )
        assert result.kept is not None
        assert result.kept.database is not None
        streams = result.kept.database.streams
        assert sum(one.logical_bytes for one in streams) == result.stats.logical_bytes
        assert sum(one.files for one in streams) == len(files) == result.stats.files_new
        assert sum(one.stored_bytes for one in streams) <= result.stats.bytes_stored
        again = save(repository, ScriptedSource(the_other_way, method=method))
        assert read_back(repository, again) == expected
        assert again.kept is not None
        assert again.kept.database is not None
        assert [one.new_bytes for one in again.kept.database.streams] == [0] * (len(pieces) + 1)
        assert again.stats.files_unmodified == len(files)
        assert check_all(repository).damage == []


def test_a_snapshot_says_what_it_is_of(repository: Repository) -> None:
    first, second = random_bytes(600_000, 1), random_bytes(300_000, 2)

    def script(sink: StreamSink, run: int) -> None:
        with sink.stream("one"):
            sink.add(b"shop/data", reading(first + second), Profile.DUMP)
        with sink.stream("again"):
            sink.add(b"shop/copy", reading(first + second), Profile.DUMP)
        sink.add(b"outside", reading(b"of any stream"), Profile.DUMP)
        sink.add_entry(b"shop", FileMeta(kind=NodeType.DIRECTORY, mode=0o750, uid=7, mtime_ns=5))
        sink.add_entry(b"empty/below", FileMeta(kind=NodeType.DIRECTORY))
        sink.add_entry(b"link", FileMeta(kind=NodeType.SYMLINK, target=b"/elsewhere"))
        sink.finding(Finding("shop", "no grants"))
        sink.note("position", "17")
        sink.note("position", "18")

    result = save(repository, ScriptedSource(script, paths=(b"shop", b"crm")))
    snapshot = result.kept
    assert snapshot is not None
    assert snapshot.raw_paths == (b"/sqlite/main/logical/crm", b"/sqlite/main/logical/shop")
    record = snapshot.database
    assert record is not None
    assert (record.kind, record.method, record.instance) == ("sqlite", "logical", "main")
    assert (record.server_version, record.properties) == ("1.2", {"position": "18"})
    one, again = record.streams
    assert (one.label, one.files, one.logical_bytes) == ("one", 1, 900_000)
    assert one.new_bytes == 900_000 <= one.stored_bytes
    assert (again.new_bytes, again.stored_bytes, again.logical_bytes) == (0, 0, 900_000)
    assert (snapshot.profile, result.finding_count) == ("dump", 1)
    assert snapshot.findings == (Finding("shop", "no grants"),)
    nodes = nodes_of(repository, snapshot)
    shop = nodes[b"/sqlite/main/logical/shop"]
    assert (shop.mode, shop.uid, shop.mtime_ns) == (0o750, 7, 5)
    assert nodes[b"/sqlite/main/logical/empty/below"].type == NodeType.DIRECTORY
    assert nodes[b"/sqlite/main/logical/link"].extra.target == b"/elsewhere"  # type: ignore[union-attr]
    assert nodes[b"/sqlite/main/logical/shop/data"].mode == 0o600


def test_each_method_and_each_set_of_paths_has_its_own_parent(repository: Repository) -> None:
    script = storing({b"shop": random_bytes(200_000)})
    logical = save(repository, ScriptedSource(script))
    physical = save(repository, ScriptedSource(script, method=Method.PHYSICAL))
    assert (physical.parent, physical.kept and physical.kept.profile) == (None, "pages")
    assert save(repository, ScriptedSource(script, paths=(b"shop",))).parent is None
    assert save(repository, ScriptedSource(script)).parent in (logical.snapshot, None)


# -- what must not be ---------------------------------------------------------------------------


def close_nothing(sink: StreamSink) -> None:
    sink.open(b"a", Profile.DUMP).write(b"lost?")


BAD_SCRIPTS: dict[str, Callable[[StreamSink], object]] = {
    "a file that is never closed": close_nothing,
    "a path twice": lambda sink: [sink.add(b"a", reading(b""), Profile.DUMP) for _ in range(2)],
    "a file over a directory": lambda sink: [
        sink.add(path, reading(b""), Profile.DUMP) for path in (b"a/b", b"a")
    ],
    "a file below a file": lambda sink: [
        sink.add(path, reading(b""), Profile.DUMP) for path in (b"a", b"a/b")
    ],
    "a way up": lambda sink: sink.add(b"../../etc", reading(b""), Profile.DUMP),
    "a way up in the middle": lambda sink: sink.add(b"a/../b", reading(b""), Profile.DUMP),
    "no name": lambda sink: sink.add(b"a/", reading(b""), Profile.DUMP),
    "a zero byte": lambda sink: sink.open(b"a\0b", Profile.DUMP),
    "a long name": lambda sink: sink.add_entry(b"n" * 256, FileMeta(kind=NodeType.DIRECTORY)),
}


@pytest.mark.parametrize("what", BAD_SCRIPTS)
def test_a_source_that_breaks_the_rules_makes_no_snapshot(
    what: str, repository: Repository
) -> None:
    with pytest.raises(ValueError, match=r"stored|closed|below"):
        save(repository, ScriptedSource(lambda sink, run: BAD_SCRIPTS[what](sink)))
    assert repository.snapshots() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "n" * 201])
def test_names_of_instances(name: str, repository: Repository) -> None:
    with pytest.raises(ConfigurationError, match="cannot name an instance"):
        snapshot_path("sqlite", name, "logical")


@pytest.mark.parametrize("error", [ToolFailedError("pg_dump", "exit code 1"), KeyboardInterrupt()])
def test_a_source_that_ends_in_the_middle_leaves_nothing_but_what_helps_the_next(
    error: BaseException, repository: Repository
) -> None:
    data = random_bytes(5_000_000)

    def script(sink: StreamSink, run: int) -> None:
        with sink.stream("shop"):
            sink.add(b"shop", reading(data), Profile.DUMP)
        if run == 1:
            raise error

    source = ScriptedSource(script)
    with pytest.raises(type(error)):
        save(repository, source)
    assert repository.snapshots() == []
    assert names_in(repository.backend, layout.SNAPSHOTS) == []
    assert names_in(repository.backend, layout.INDEX) == []
    result = save(repository, source)
    assert read_back(repository, result) == {b"shop": data}
    assert result.stats.bytes_stored < len(data) / 2, "most of it was there"


def test_a_process_that_dies_at_any_write(tmp_path: Path) -> None:
    """Each change of the storage is the last one once: no snapshot, and the next run is whole."""
    files = random_files(1, [150_000, 3000, 0])
    source = ScriptedSource(storing(files))
    for number in itertools.count(1):
        store, cache = new_store(), tmp_path / f"cache{number}"
        dying = CrashingBackend(store, number)
        try:
            with open_repository(dying, cache) as repository:
                save(repository, source)
            break
        except SimulatedCrash:
            leave_mark_of_dead_process(cache)
        with open_repository(store, cache) as repository:
            repository.load_index()
            for snapshot in repository.snapshots():
                with BlobReader(repository) as reader:
                    assert dict(iter_files(StoredDatabase(repository, reader, snapshot))) == files
            assert read_back(repository, save(repository, source)) == files
    assert number > 8, "the store did not die often enough to tell"


# -- beside prune -------------------------------------------------------------------------------


def overtake(store: MemoryBackend, tmp_path: Path, times: list[int]) -> Interrupting:
    """Return a store where a prune goes on without each commit, as often as there are `times`."""

    def meanwhile() -> None:
        with open_repository(store, tmp_path / "other") as other:
            made = back_up(
                other, write_tree(tmp_path / f"tree{len(times)}", random_files(9, [9999]))
            )
            assert made.snapshot is not None
            forget(other, {made.snapshot})
            prune_all(other, wait_s=0)
        times.pop()
        inner.happened = not times

    inner = Interrupting(store, "create", layout.SNAPSHOTS, meanwhile)
    return inner


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_void_backup_is_run_again(
    times: int, store: MemoryBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PATIENCE_S", 0.1)

    def script(sink: StreamSink, run: int) -> None:
        sink.add(b"shop", reading(random_bytes(100_000, run)), Profile.DUMP)
        sink.note("run", str(run))
        sink.finding(Finding("shop", f"run {run}"))

    source = ScriptedSource(script)
    with open_repository(overtake(store, tmp_path, [0] * times), tmp_path / "cache") as repository:
        if times == 3:
            with pytest.raises(CommitVoidError):
                save(repository, source)
            assert repository.snapshots() == []
            return
        result = save(repository, source)
        assert source.runs == times + 1
        assert read_back(repository, result) == {b"shop": random_bytes(100_000, source.runs)}
        assert result.kept is not None
        assert result.kept.database is not None
        assert result.kept.database.properties == {"run": str(source.runs)}
        assert result.kept.findings == (Finding("shop", f"run {source.runs}"),)
        assert [one.id for one in repository.snapshots()] == [result.snapshot]
        assert check_all(repository).damage == []
