"""SQLite files: saved while others write, restored, verified, and everything that goes wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources import sqlite, sqlite_restore
from holdfast.sources.base import DatabaseOptions, Method, RestoreTo
from support.sinks import MemoryFiles, MemorySink

# One transaction moves an amount, and adds a row: whatever is torn has another sum, or count.
WRITER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
number = 0
while True:
    number += 1
    database.execute("BEGIN IMMEDIATE")
    one, other = number * 7919 % 2000, number * 104729 % 2000
    database.execute("UPDATE account SET amount = amount - 5 WHERE id = ?", (one,))
    database.execute("UPDATE account SET amount = amount + 5 WHERE id = ?", (other,))
    database.execute("INSERT INTO moved VALUES (?, ?, zeroblob(700))", (one, other))
    database.execute("UPDATE total SET moved = moved + 1")
    database.execute("COMMIT")
    time.sleep(0.002)
    if number == 3:
        print("ready", flush=True)
"""


def make(path: Path, *, wal: bool = False, page_size: int = 4096, rows: int = 2000) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA page_size = {page_size}")
        if wal:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER, note TEXT)")
        database.execute("CREATE INDEX by_note ON account (note)")
        database.execute("CREATE TABLE moved (one INTEGER, other INTEGER, filler BLOB)")
        database.execute("CREATE TABLE total AS SELECT 0 AS moved")
        database.executemany(
            "INSERT INTO account VALUES (?, 100, ?)",
            ((i, f"account {i} " * 20) for i in range(rows)),
        )
    return path


def source_of(*paths: Path, **settings: str) -> sqlite.SqliteSource:
    names = tuple(map(str, paths))
    return sqlite.SqliteSource(DatabaseOptions(names=names, settings=settings))


def saved(*paths: Path, **settings: str) -> MemorySink:
    sink = MemorySink()
    source_of(*paths, **settings).backup(sink)
    return sink


def target_of(
    directory: Path | str | None = None,
    *names: str,
    renamed: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> sqlite_restore.SqliteTarget:
    return sqlite_restore.SqliteTarget(
        RestoreTo(
            options=DatabaseOptions(names=names),
            directory=None if directory is None else str(directory),
            renamed=renamed or {},
            overwrite=overwrite,
        )
    )


def ignore(_: str, __: int) -> None:
    pass


def value(path: Path, statement: str) -> object:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchone()[0]


def assert_whole(path: Path) -> int:
    """See that a copy is the state of one moment, and return how many transfers it knows."""
    assert value(path, "PRAGMA integrity_check") == "ok"
    assert value(path, "SELECT sum(amount) FROM account") == 200_000
    moved = value(path, "SELECT moved FROM total")
    assert moved == value(path, "SELECT count(*) FROM moved")
    assert isinstance(moved, int)
    return moved


@contextmanager
def writing(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None, "the writer must outlive the backup"
        finally:
            process.kill()


@pytest.mark.parametrize("wal", [True, False], ids=["wal", "rollback"])
def test_what_is_saved_while_others_write_is_the_state_of_one_moment(
    tmp_path: Path, wal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small steps, so that writers come in between.
    monkeypatch.setattr(sqlite, "_STEP_BYTES", 64 << 10)
    path = make(tmp_path / "app data?.db", wal=wal)
    seen: list[int] = []
    with writing(path):
        for _ in range(4):
            sink = MemorySink(buffer_size=200_000)
            # A slow storage: the writer goes on for long while the file is read.
            sink.before_read = lambda _, __: time.sleep(0.01)
            source_of(path, scratch=str(tmp_path)).backup(sink)
            (target_of(tmp_path / f"copy{len(seen)}.db")).restore(sink.stored(), ignore)
            seen.append(assert_whole(tmp_path / f"copy{len(seen)}.db"))
    assert sorted(set(seen)) == seen, "each later one has seen more"
    assert sink.files[sqlite.stored_path(str(path))].profile is Profile.PAGES
    left = {name for name in os.listdir(tmp_path) if "holdfast" in name or ".part" in name}
    assert not left


def test_with_a_log_nobody_waits_for_a_backup(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", wal=True)
    committed: list[float] = []

    def commit(_: bytes, place: int) -> None:
        if place:
            with closing(sqlite3.connect(path, timeout=0)) as other, other:
                other.execute("UPDATE total SET moved = moved + 1")
                other.execute("INSERT INTO moved VALUES (1, 2, zeroblob(70000))")
            committed.append(place)
            with closing(sqlite3.connect(path, timeout=0)) as other:
                other.execute("PRAGMA wal_checkpoint(PASSIVE)")

    sink = MemorySink(before_read=commit)
    source_of(path, scratch="/no/such/directory").backup(sink)
    assert len(committed) > 5
    (target_of(tmp_path / "copy.db")).restore(sink.stored(), ignore)
    assert assert_whole(tmp_path / "copy.db") == 0
    assert assert_whole(path) == len(committed)


def test_what_is_only_in_a_log_that_others_read_is_saved(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM total").fetchall()
        with closing(sqlite3.connect(path)) as other, other:
            # Not in the file yet, which keeps its size: only the log has it.
            other.execute("UPDATE account SET amount = amount + 5 WHERE id = 1")
            other.execute("UPDATE account SET amount = amount - 5 WHERE id = 2")
        sink = saved(path, scratch=str(tmp_path))
        with pytest.raises(ConfigurationError, match="another directory with --set scratch"):
            saved(path, scratch="/no/such/directory")
    (target_of(tmp_path / "copy.db")).restore(sink.stored(), ignore)
    assert assert_whole(tmp_path / "copy.db") == 0
    assert value(tmp_path / "copy.db", "SELECT amount FROM account WHERE id = 1") == 105


def test_who_writes_for_long_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_ATTEMPTS", 2)
    path = make(tmp_path / "app.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE account SET amount = 0")
        sink = saved(path, scratch=str(tmp_path))
    target_of(tmp_path / "copy.db").restore(sink.stored(), ignore)
    assert assert_whole(tmp_path / "copy.db") == 0


def test_the_pages_are_the_file_byte_for_byte_and_keep_its_mode(tmp_path: Path) -> None:
    for page_size in (512, 8192, 65536):
        path = make(tmp_path / f"p{page_size}.db", page_size=page_size)
        path.chmod(0o640)
        file = saved(path).files[sqlite.stored_path(str(path))]
        assert len(file.data) == path.stat().st_size
        # Which program wrote it last is all that a copy changes: bytes 24..28 and 92..100.
        original = path.read_bytes()
        assert file.data[100:] == original[100:]
        assert file.meta.mode == 0o640
        assert file.meta.uid == path.stat().st_uid
        assert file.label == str(path)
    wal = make(tmp_path / "wal.db", wal=True)
    assert saved(wal).files[sqlite.stored_path(str(wal))].data == wal.read_bytes()


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    sink = saved(path)
    target_of(tmp_path / "copy.db").restore(sink.stored(), ignore)
    assert value(tmp_path / "copy.db", "SELECT count(*) FROM sqlite_master") == 0


def test_files_go_back_to_their_places_or_elsewhere_and_replace_nothing(tmp_path: Path) -> None:
    first, second = make(tmp_path / "first.db"), make(tmp_path / "second.db", wal=True)
    first.chmod(0o604)
    source = source_of(second, first)
    assert source.paths() == tuple(os.fsencode(p).lstrip(b"/") for p in (first, second))
    assert source.check().startswith("SQLite 3.")
    assert "journal mode wal" in source.plan()[1]
    sink = saved(first, second)
    files = sink.stored()
    with pytest.raises(DatabaseNotEmptyError, match=r"--overwrite"):
        target_of().restore(files, ignore)
    first.unlink()
    with pytest.raises(DatabaseNotEmptyError):
        target_of().restore(files, ignore)
    assert not first.exists(), "nothing is restored if something cannot be"
    target_of(None, "first.db").restore(files, ignore)
    assert assert_whole(first) == 0
    assert first.stat().st_mode & 0o777 == 0o604
    elsewhere = tmp_path / "new" / "place"
    target = target_of(f"{elsewhere}/", renamed={"second.db": "other.db"})
    assert f"restore {second} to {elsewhere}/other.db" in target.plan(files)[1]
    told: list[tuple[str, int]] = []
    target.restore(files, lambda name, count: told.append((name, count)))
    assert sorted(os.listdir(elsewhere)) == ["first.db", "other.db"]
    assert sum(count for name, count in told if name == str(first)) == first.stat().st_size
    with pytest.raises(DatabaseNotFoundError):
        target_of(elsewhere, "third.db").check(files)
    with pytest.raises(ConfigurationError, match="same path"):
        target_of(elsewhere, renamed={"second.db": "first.db"}).check(files)


def test_a_log_that_is_left_of_another_file_does_not_get_into_the_restored_one(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "app.db", wal=True)
    sink = saved(path)
    with closing(sqlite3.connect(path)) as other:
        with other:
            other.execute("UPDATE account SET amount = 1")
        log = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    with pytest.raises(DatabaseNotEmptyError, match=r"app\.db-wal"):
        target_of(path).check(sink.stored())
    target_of(path, overwrite=True).restore(sink.stored(), ignore)
    assert assert_whole(path) == 0


@pytest.mark.parametrize("wal", [True, False], ids=["wal", "rollback"])
def test_a_file_in_use_is_not_replaced_and_one_that_is_not_is(
    tmp_path: Path, wal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_restore, "_LOCK_S", 0.1)
    path = make(tmp_path / "app.db", wal=wal)
    sink = saved(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE account SET amount = 99")
        other.execute("BEGIN")
        other.execute("SELECT * FROM account").fetchone()
        before = path.read_bytes()
        with pytest.raises(TargetError, match="a program is using it"):
            target_of(path, overwrite=True).restore(sink.stored(), ignore)
        assert path.read_bytes() == before
        other.execute("COMMIT")
    target_of(path, overwrite=True).restore(sink.stored(), ignore)
    assert assert_whole(path) == 0
    assert os.listdir(tmp_path) == ["app.db"]
    path.write_bytes(b"not a database" * 1000)
    target_of(path, overwrite=True).restore(sink.stored(), ignore)
    assert assert_whole(path) == 0


def test_a_restore_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    sink = saved(path)
    before = path.read_bytes()

    class Damaged(MemoryFiles):
        def read(self, path: bytes) -> Iterator[bytes]:
            yield from [next(iter(super().read(path)))]
            raise DatabaseDamagedError("pack", "bad")

    stored = Damaged(sink.stored().files, sink.properties)
    with pytest.raises(DatabaseDamagedError):
        target_of(path, overwrite=True).restore(stored, ignore)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["app.db"]


def test_assertions_and_the_check_of_a_restored_file(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", wal=True)
    sink = saved(path)
    files = sink.stored()
    scratch_directory = tmp_path / "scratch"
    scratch_directory.mkdir()
    options = DatabaseOptions()
    with sqlite.open_scratch(options, Method.PHYSICAL, str(scratch_directory)) as scratch:
        scratch.target().restore(files, ignore)
        scratch.begin()
        assert scratch.databases() == [str(path)]
        assert scratch.verify() == []
        assert scratch.ask("app.db", "SELECT count(*) FROM account") == "2000"
        assert scratch.ask(str(path), "SELECT NULL") == ""
        assert scratch.ask(str(path), "SELECT * FROM account WHERE id < 0") == ""
        for statement in ("SELECT * FROM nothing", "SELECT 1; SELECT 2", "DELETE FROM account"):
            with pytest.raises(ToolFailedError):
                scratch.ask("app.db", statement)
        with pytest.raises(DatabaseNotFoundError):
            scratch.ask("other.db", "SELECT 1")
    damaged = bytearray(files.files[sqlite.stored_path(str(path))])
    damaged[4096 * 3 : 4096 * 5] = b"\xa5" * 8192
    files.files[sqlite.stored_path(str(path))] = bytes(damaged)
    with sqlite.open_scratch(options, Method.PHYSICAL, str(scratch_directory)) as scratch:
        scratch.target().restore(files, ignore)
        assert scratch.verify()


def test_a_database_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFoundError, match="check the name"):
        source_of(tmp_path / "absent.db").check()
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, long enough to be taken for a header of a hundred bytes " * 9)
    with pytest.raises(DatabaseNotFoundError, match="no SQLite database"):
        source_of(text).check()
    with pytest.raises(DatabaseNotFoundError, match="no file"):
        source_of(tmp_path).check()
    assert not (tmp_path / "absent.db").exists(), "looking must not create it"
    sink = MemorySink()
    with pytest.raises(DatabaseNotFoundError):
        source_of(make(tmp_path / "a.db"), tmp_path / "absent.db").backup(sink)


def test_a_locked_database_is_an_error_after_a_while(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ToolFailedError, match=r"was locked for 0\.2 seconds"):
            saved(path, timeout="0.2")
        other.execute("ROLLBACK")
    release = threading.Timer(0.3, lambda: None)
    release.start()
    assert saved(path, timeout="5").files
    release.join()


def test_a_program_that_ignores_the_locks_is_noticed(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", wal=True)

    def scribble(_: bytes, place: int) -> None:
        if place > 200_000:
            with path.open("r+b") as file:
                file.seek(8192)
                file.write(b"x")

    with pytest.raises(ToolFailedError, match="changed while it was read"):
        source_of(path).backup(MemorySink(before_read=scribble))


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: DatabaseOptions(), "none was named"),
        (lambda: DatabaseOptions(names=("a",), host="h"), "not reached over a connection"),
        (lambda: DatabaseOptions(names=("a",), method=Method.LOGICAL), "no logical backups"),
        (lambda: DatabaseOptions(names=("a",), settings={"speed": "9"}), "no setting 'speed'"),
        (lambda: DatabaseOptions(names=("a",), settings={"timeout": "-1"}), "no time to wait"),
    ],
)
def test_options_that_make_no_sense(make_it: Callable[[], DatabaseOptions], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sqlite.open_source(make_it())


def test_moments_cannot_be_chosen(tmp_path: Path) -> None:
    to = RestoreTo(options=DatabaseOptions(), directory=str(tmp_path), target_time_ns=1)
    with pytest.raises(ConfigurationError, match="no log that could be replayed"):
        sqlite.open_target(to, Method.PHYSICAL)
