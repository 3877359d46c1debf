"""MariaDB, with real servers: dumps, physical backups, and recovery to a named second."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    LogConflictError,
    LogGapError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
    ToolVersionError,
)
from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.backup import BackupOptions, BackupResult
from holdfast.operations.backup_database import backup_database
from holdfast.operations.binlog import PushedBinlogs, push_binlogs
from holdfast.operations.stored_database import StoredDatabase
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.sources import mariadb
from holdfast.sources.base import (
    STREAM_META,
    DatabaseOptions,
    DatabaseSource,
    FileMeta,
    FileWriter,
    Method,
    ReadInto,
    RestoreTo,
    StreamSink,
)
from holdfast.sources.mariadb.binlog_server import BinlogServer
from support.mariadb import MariaServer, is_missing, mariadb_server
from support.processes import kill_children
from support.repos import HOST, new_store, open_repository

pytestmark = [
    pytest.mark.xdist_group("mariadb"),  # one server for all
    pytest.mark.skipif(is_missing() is not None, reason=is_missing() or ""),
]

SHOP = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT, data BLOB);
INSERT INTO orders (text, data) SELECT REPEAT(CONCAT(seq, 'ä😀'), 5), UNHEX(MD5(seq)) FROM seq_1_to_5000;
INSERT INTO orders (text, data) VALUES ('tab\\tnew\\nline\\\\', X'00270A1A22'), (NULL, NULL);
CREATE TABLE log (at INT, KEY (at));
CREATE TRIGGER logged AFTER INSERT ON orders FOR EACH ROW INSERT INTO log VALUES (NEW.id);
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log;
CREATE DATABASE `we ird/"``%x` CHARACTER SET latin1;
CREATE VIEW `we ird/"``%x`.few AS SELECT id FROM shop.orders WHERE id < 10;
DELIMITER //
CREATE PROCEDURE forged() BEGIN
SELECT 'x
--
-- Current Database: `we ird/"``%x`
--

CREATE DATABASE ';
END//
DELIMITER ;
CREATE ROLE boss;
CREATE USER app@localhost IDENTIFIED BY 'secret';
GRANT SELECT ON shop.* TO app@localhost;
"""
ODD = 'we ird/"`%x'
COUNTS = "SELECT COUNT(*), COUNT(text), SUM(CRC32(text)), SUM(CRC32(data)), MAX(id) FROM {}.orders"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaServer]:
    with mariadb_server("--log-bin=mysql-bin", "--server-id=3") as running:
        running.sql(SHOP)
        yield running


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(new_store(), tmp_path / "cache") as opened:
        yield opened


def options_of(server: MariaServer, **changes: object) -> DatabaseOptions:
    made = DatabaseOptions(environment=server.environment, host=server.socket, user=server.user)
    return replace(made, **changes)  # type: ignore[arg-type]


def save(repository: Repository, source: DatabaseSource) -> BackupResult:
    return backup_database(repository, source, BackupOptions(host=HOST, user="u"), instance="main")


def saved(repository: Repository, options: DatabaseOptions) -> BackupResult:
    return save(repository, mariadb.open_source(options))


@dataclass
class Restored:
    steps: Sequence[str]
    plan: Sequence[str]


def restore(repository: Repository, snapshot: Snapshot, to: RestoreTo) -> Restored:
    assert snapshot.database is not None
    method = Method(snapshot.database.method)
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, snapshot)
        target = mariadb.open_target(to, method)
        target.check(files)
        plan = target.plan(files)
        return Restored(target.restore(files, lambda _label, _size: None), plan)


def push(repository: Repository, options: DatabaseOptions, *, flush: bool = False) -> PushedBinlogs:
    return push_binlogs(repository, BinlogServer(options), flush=flush)


def streams(result: BackupResult) -> dict[str, tuple[int, int]]:
    assert result.kept is not None
    assert result.kept.database is not None
    return {one.label: (one.logical_bytes, one.new_bytes) for one in result.kept.database.streams}


def properties(result: BackupResult) -> dict[str, str]:
    assert result.kept is not None
    assert result.kept.database is not None
    return result.kept.database.properties


def test_dumps_come_back_into_servers_old_and_new(
    server: MariaServer, repository: Repository, tmp_path: Path
) -> None:
    options = options_of(server)
    source = mariadb.open_source(options)
    assert "MariaDB" in source.check()
    assert source.plan() == ["users, roles and grants", "database shop", f"database {ODD}"]
    first = save(repository, source)
    assert set(streams(first)) == {
        "globals", "shop/tables.sql", "shop/views.sql", "we ird%2F\"`%25x/tables.sql",
        "we ird%2F\"`%25x/views.sql",
    }  # fmt: skip
    assert properties(first)["binlog_file"].startswith("mysql-bin.")
    assert all(new == 0 for _, new in streams(save(repository, source)).values())  # stable output

    kept = first.kept
    assert kept is not None
    before = server.sql(COUNTS.format("shop"))
    with pytest.raises(DatabaseNotEmptyError, match="shop"):
        restore(repository, kept, RestoreTo(options=options))
    to = RestoreTo(options=replace(options, names=("shop",)), renamed={"shop": "copy`of"})
    assert restore(repository, kept, to).plan[0].startswith("restore database shop as copy`of")
    assert server.sql(COUNTS.format("`copy``of`")) == before
    server.sql("INSERT INTO `copy``of`.orders (text) VALUES ('new')")
    assert server.sql("SELECT COUNT(*) FROM `copy``of`.log") == "1", "the trigger works"
    assert server.sql("SHOW EVENTS FROM `copy``of`").split("\t")[1] == "nightly"
    assert server.sql("SHOW CREATE PROCEDURE `copy``of`.forged").count("Current Database") == 1
    with pytest.raises(DatabaseNotEmptyError):
        restore(repository, kept, to)
    restore(repository, kept, replace(to, overwrite=True))
    assert server.sql(COUNTS.format("`copy``of`")) == before
    server.sql("DROP DATABASE `copy``of`")
    with pytest.raises(DatabaseNotFoundError, match="nowhere"):
        restore(repository, kept, RestoreTo(options=replace(options, names=("nowhere",))))
    with pytest.raises(ConfigurationError, match="mysql"):
        restore(repository, kept, replace(to, renamed={"shop": "mysql"}))
    with pytest.raises(ConfigurationError, match="physical"):
        mariadb.open_target(replace(to, target_time_ns=1), Method.LOGICAL)

    with mariadb_server() as other:  # another machine, without any of it
        other.sql("CREATE USER app@localhost IDENTIFIED BY 'of its own'")
        done = restore(repository, kept, RestoreTo(options=options_of(other)))
        (left,) = done.steps
        assert left.startswith("accounts that existed were left as they are: app@localhost, ")
        assert "boss" not in left
        its_own = "SELECT authentication_string = PASSWORD('of its own') FROM mysql.user"
        assert other.sql(f"{its_own} WHERE User = 'app'") == "1"
        assert "shop" not in other.sql("SHOW GRANTS FOR app@localhost")
        assert other.sql(COUNTS.format("shop")) == before
        assert other.sql(f"SELECT COUNT(*) FROM `{ODD.replace('`', '``')}`.few") == "9"
        assert other.sql("SELECT is_role FROM mysql.user WHERE User = 'boss'") == "Y"
        assert other.sql("SELECT @@character_set_database", "shop") == "utf8mb4"

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, kept)
        with mariadb.open_scratch(options, Method.LOGICAL, str(scratch)) as made:
            made.target().check(files)
            made.target().restore(files, lambda _label, _size: None)
            made.begin()
            assert sorted(made.databases()) == ["shop", ODD]
            assert made.ask("shop", "SELECT COUNT(*) FROM orders") == "5002"
            assert made.ask("shop", "SELECT 1 FROM orders WHERE id = 0") == ""
            assert made.verify() == []
            for statement in ("SELECT * FROM nothing", "SELECT 1 INTO OUTFILE '/tmp/nothing'"):
                with pytest.raises(DatabaseError, match=r"nothing|secure"):
                    made.ask("shop", statement)


def test_some_databases_and_tables_without_transactions(
    server: MariaServer, repository: Repository
) -> None:
    server.sql("CREATE DATABASE old; CREATE TABLE old.t (a INT) ENGINE = MyISAM")
    try:
        options = options_of(server, names=("old",))
        result = saved(repository, options)
        assert result.kept is not None
        assert result.kept.paths == ("/mariadb/main/logical/old",)
        (found,) = [one for one in result.findings if one.path == "old"]
        assert "table t has no transactions" in found.problem
        locked = saved(repository, replace(options, settings={"lock-tables": "yes"}))
        assert not [one for one in locked.findings if one.path == "old"]
    finally:
        server.sql("DROP DATABASE old")
    with pytest.raises(DatabaseNotFoundError, match="old"):
        mariadb.open_source(options).check()
    for names in (("mysql",), ("Information_Schema",)):
        with pytest.raises(ConfigurationError, match="own database"):
            mariadb.open_source(options_of(server, names=names))
    with pytest.raises(ConfigurationError, match="no setting"):
        mariadb.open_source(options_of(server, settings={"lock-table": "yes"}))


# -- physical, and between ------------------------------------------------------------------------


class Failing:
    """An archive that is damaged from a number of reads on."""

    def __init__(self, archive: LogArchive, after: int) -> None:
        self.segments = archive.segments
        self._fetch = archive.fetch
        self._left = after

    def fetch(self, name: str, write: Callable[[bytes], object]) -> int:
        self._left -= 1
        if self._left < 0:
            raise IntegrityError("log segment", name)
        return self._fetch(name, write)


def test_a_server_is_recovered_to_a_named_second(
    server: MariaServer, repository: Repository, tmp_path: Path
) -> None:
    # Times are those of the archive, wherever the person sits.
    far_away = {**server.environment, "TZ": "Asia/Tokyo"}
    options = options_of(server, method=Method.PHYSICAL, environment=far_away)
    server.sql("CREATE TABLE shop.pitr (what TEXT); INSERT INTO shop.pitr VALUES ('base')")
    result = saved(repository, options)
    base = result.kept
    assert base is not None
    assert result.findings == ()
    noted = properties(result)
    assert noted["log_kind"] == "binlog"
    assert noted["log_start"] == noted["log_stop"]
    server.sql(
        "INSERT INTO shop.pitr VALUES ('after'); ALTER EVENT shop.nightly DISABLE;"
        "CREATE USER late@localhost IDENTIFIED BY 'x';"
        "FLUSH BINARY LOGS; START TRANSACTION; INSERT INTO shop.pitr VALUES ('second log');"
        "CREATE TEMPORARY TABLE shop.tmp AS SELECT 'temporary' AS what;"
        "INSERT INTO shop.pitr SELECT * FROM shop.tmp;"
        "COMMIT"
    )
    position = server.sql("SHOW MASTER STATUS").split("\t")
    time.sleep(1.01)
    moment = int(server.sql("SELECT UNIX_TIMESTAMP()"))
    server.sql("DROP TABLE shop.pitr")

    def to(directory: str, second: int | None = moment, **changes: object) -> RestoreTo:
        made = RestoreTo(
            options=options,
            directory=str(tmp_path / directory),
            target_time_ns=None if second is None else second * 10**9 + 999,
            logs=LogArchive(repository, "binlog", noted["log_identity"]),
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    with pytest.raises(LogGapError, match=r"the base backup needs it"):
        restore(repository, base, to("early"))
    pushed = push(repository, options)
    with pytest.raises(LogGapError, match="ends at"):  # the drop is in the log that is written
        restore(repository, base, to("early"))
    assert not (tmp_path / "early").exists()
    again = push(repository, options, flush=True)
    assert again.already == len(pushed.pushed)
    assert len(again.pushed) == 1
    assert again.missing is None
    with pytest.raises(ConfigurationError, match="choose an earlier backup"):
        restore(repository, base, to("early", int(noted["end_time_ns"]) // 10**9))

    done = restore(repository, base, to("second"))
    assert done.plan[-1].startswith("replay up to 2 binary logs")
    assert [step for step in done.steps if "start the server" in step]
    at = f"{position[0]}:{position[1]}"
    restore(repository, base, to("position", None, target={"position": at}))
    broken = Failing(LogArchive(repository, "binlog", noted["log_identity"]), after=2)
    with pytest.raises(IntegrityError):
        restore(repository, base, to("all", None, logs=broken))
    with pytest.raises(DatabaseNotEmptyError, match="all"):
        restore(repository, base, to("all", None))
    restore(repository, base, to("all", None, overwrite=True))
    assert not (tmp_path / "all.before-restore").exists(), "only what a failed restore had left"
    restore(repository, base, to("base", None, logs=None))
    expected = {
        "second": "base\nafter\nsecond log\ntemporary",
        "position": "base\nafter\nsecond log\ntemporary",
        "base": "base",
    }
    for name, rows in expected.items():
        with mariadb_server(data=tmp_path / name) as other:
            assert other.sql("SELECT what FROM shop.pitr") == rows
            assert other.sql(COUNTS.format("shop")) == server.sql(COUNTS.format("shop"))
            assert other.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'holdfast%'") == "0"
            users = other.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'late'")
            assert users == ("0" if name == "base" else "1")
            if name == "base":  # a directory in use is not replaced, whoever asks
                with pytest.raises(DatabaseNotEmptyError, match="a server is running"):
                    restore(repository, base, to("base", None, logs=None, overwrite=True))
    with mariadb_server(data=tmp_path / "all") as other:
        assert "pitr" not in other.sql("SHOW TABLES FROM shop")

    with pytest.raises(DatabaseNotEmptyError, match="second"):
        restore(repository, base, to("second"))
    again_done = restore(repository, base, to("second", None, logs=None, overwrite=True))
    assert again_done.steps[0].endswith("second.before-restore now: delete it when you are sure")
    assert (tmp_path / "second.before-restore" / "ibdata1").exists()

    logs = LogArchive(repository, "binlog", noted["log_identity"])
    logs.remove([pushed.pushed[-1]])  # a gap between the base and what is wanted
    for wanted in (
        to("gap"),
        to("gap", None),
        to("gap", None, target={"position": f"{again.pushed[0]}:4"}),
    ):
        with pytest.raises(LogGapError, match=pushed.pushed[-1].replace(".", r"\.")):
            restore(repository, base, wanted)
    assert not (tmp_path / "gap").exists()


def test_an_archive_that_another_server_has_filled_is_not_replayed(
    repository: Repository, tmp_path: Path
) -> None:
    with mariadb_server("--log-bin=mysql-bin") as one:
        options = options_of(one, method=Method.PHYSICAL, settings={"log-name": "shop"})
        result = saved(repository, options)
        base = result.kept
        assert base is not None
        assert properties(result)["log_identity"] == "shop:mysql-bin"
        time.sleep(1.01)  # logs are told apart by the second in which they begin
        one.sql("RESET MASTER TO 1; CREATE DATABASE new; FLUSH BINARY LOGS")
        time.sleep(1.01)
        one.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS; FLUSH BINARY LOGS")
        first = push(repository, options)
        assert len(first.pushed) == 4
        to = RestoreTo(
            options=options,
            directory=str(tmp_path / "data"),
            logs=LogArchive(repository, "binlog", "shop:mysql-bin"),
        )
        with pytest.raises(DatabaseDamagedError, match="began anew"):
            restore(repository, base, to)

        # Through the network the same bytes come, so nothing is pushed twice.
        remote = replace(options, host="127.0.0.1", port=one.port)
        assert push(repository, remote, flush=True).pushed == ("mysql-bin.000005",)
        archive = LogArchive(repository, "binlog", "shop:mysql-bin")
        data = bytearray()
        archive.fetch("mysql-bin.000005", data.extend)
        assert bytes(data) == (one.data_directory / "mysql-bin.000005").read_bytes()

        one.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
        one.purge_logs("mysql-bin.000007")
        gap = push(repository, options)
        assert gap.missing == "mysql-bin.000006"
        assert gap.pushed == ("mysql-bin.000007",)
        assert push(repository, options).missing is None, "told once"

        one.sql("RESET MASTER")
        with pytest.raises(LogConflictError, match=r"mysql-bin\.000007"):
            push(repository, options, flush=True)
        one.sql("".join("FLUSH BINARY LOGS;" for _ in range(8)))
        with pytest.raises(LogConflictError, match=r"mysql-bin\.000007"):
            push(repository, options)
        assert len(archive.segments()) == 6

        one.sql(
            "CREATE TABLE new.t (a INT); INSERT INTO new.t VALUES (1); FLUSH TABLES new.t FOR EXPORT"
        )
        table = one.data_directory / "new" / "t.ibd"
        with table.open("r+b") as file:
            file.seek(3 * 16384 + 200)
            file.write(b"\xff" * 8)
        before = len(repository.load_view().snapshots)
        with pytest.raises(ToolFailedError, match=r"mariadb-backup failed \(exit code"):
            saved(repository, options)
        assert len(repository.load_view().snapshots) == before

    with mariadb_server() as silent, pytest.raises(ConfigurationError, match="no binary logs"):
        push(repository, options_of(silent))


def test_a_physical_backup_of_changing_tables_can_be_questioned(
    server: MariaServer, repository: Repository, tmp_path: Path
) -> None:
    options = options_of(server, method=Method.PHYSICAL)
    server.sql(
        "USE shop; CREATE TABLE plain (a INT) ENGINE = MyISAM; INSERT INTO plain VALUES (1), (2);"
        "CREATE TABLE one SELECT 1 AS a; CREATE TABLE two SELECT 2 AS a; CREATE TABLE gone (a INT)"
    )

    def change_tables() -> None:
        server.sql("USE shop; RENAME TABLE one TO tmp, two TO one, tmp TO two; DROP TABLE gone")

    result = save(repository, Interrupting(mariadb.open_source(options), change_tables))
    assert result.kept is not None
    with BlobReader(repository) as reader:
        files = StoredDatabase(repository, reader, result.kept)
        with mariadb.open_scratch(options, Method.PHYSICAL, str(tmp_path)) as made:
            made.target().check(files)
            made.target().restore(files, lambda _label, _size: None)
            rows = tmp_path / "data" / "shop" / "plain.MYD"
            rows.write_bytes(rows.read_bytes()[:-7])  # what the server finds, we tell
            made.begin()
            assert made.ask("shop", "SELECT COUNT(*) FROM orders") == "5002"
            assert "shop.plain: Corrupt" in made.verify()
            assert made.ask("shop", "SELECT CONCAT(one.a, two.a) FROM one, two") == "21"
            assert made.ask("shop", "SHOW TABLES LIKE 'gone'") == ""
    server.sql("USE shop; DROP TABLE plain, one, two")
    with pytest.raises(ConfigurationError, match="whole server"):
        mariadb.open_source(replace(options, names=("shop",)))
    with pytest.raises(ConfigurationError, match="--target"):
        mariadb.open_target(RestoreTo(options=options), Method.PHYSICAL)


# -- bad input ------------------------------------------------------------------------------------


class Interrupting:
    """A source to which something happens once its first large file has begun."""

    def __init__(self, source: DatabaseSource, action: Callable[[], None]) -> None:
        self.kind, self.method = source.kind, source.method
        self.check, self.paths, self.plan = source.check, source.paths, source.plan
        self._source = source
        self._action = action

    def backup(self, sink: StreamSink) -> None:
        self._source.backup(_Sink(sink, self._action))


class _Sink:
    def __init__(self, sink: StreamSink, action: Callable[[], None]) -> None:
        self._sink = sink
        self._action: Callable[[], None] | None = action
        self.stream, self.add_entry = sink.stream, sink.add_entry
        self.finding, self.note = sink.finding, sink.note

    def add(
        self, path: bytes, readinto: ReadInto, profile: Profile, meta: FileMeta = STREAM_META
    ) -> int:
        def watched(view: memoryview) -> int:
            size = readinto(view)
            if path.endswith(b"tables.sql"):
                self._act()
            return size

        return self._sink.add(path, watched, profile, meta)

    def open(self, path: bytes, profile: Profile, meta: FileMeta = STREAM_META) -> FileWriter:
        self._act()
        return self._sink.open(path, profile, meta)

    def _act(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()


def test_what_goes_wrong_in_the_middle_leaves_no_snapshot(
    server: MariaServer, repository: Repository
) -> None:
    server.sql(
        "CREATE DATABASE big; CREATE TABLE big.a (id INT PRIMARY KEY, t TEXT);"
        "USE big; INSERT INTO a SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_12000;"
        "CREATE TABLE big.z (a INT)"
    )
    dump = mariadb.open_source(options_of(server, names=("big",)))
    copy = mariadb.open_source(options_of(server, method=Method.PHYSICAL))

    def drop_table() -> None:
        server.sql("DROP TABLE big.z")

    try:
        with pytest.raises(ToolFailedError, match=r"mariadb-dump failed.*z"):
            save(repository, Interrupting(dump, drop_table))
        with pytest.raises(ToolFailedError, match=r"mariadb-dump failed \(killed by SIGKILL\)"):
            save(repository, Interrupting(dump, lambda: kill_children("mariadb-dump")))
        with pytest.raises(ToolFailedError, match=r"mariadb-backup failed \(killed by SIGKILL\)"):
            save(repository, Interrupting(copy, lambda: kill_children("mariadb-backup")))
        assert list(repository.load_view().snapshots) == []
        assert save(repository, dump).kept is not None
    finally:
        server.sql("DROP DATABASE big")


def test_servers_and_tools_that_cannot_be_used(server: MariaServer, tmp_path: Path) -> None:
    options = options_of(server)
    wrong = replace(options, environment={**server.environment, "MYSQL_PWD": "no such password"})
    for method in Method:
        with pytest.raises(LoginError, match="refused the login") as refused:
            mariadb.open_source(replace(wrong, method=method)).check()
        assert "no such password" not in str(refused.value)
    for place in ({"host": str(tmp_path)}, {"host": "127.0.0.1", "port": 1}):
        with pytest.raises(ServerUnreachableError, match="answers at"):
            mariadb.open_source(replace(options, **place)).check()
    with pytest.raises(ToolNotFoundError, match="mariadb-client"):
        mariadb.open_source(replace(options, tools=str(tmp_path))).check()

    for name in ("mariadb", "mariadb-dump", "mariadb-backup"):
        real = shutil.which(name)
        assert real is not None
        (tmp_path / name).symlink_to(real)
    for name, method in (("mariadb-dump", Method.LOGICAL), ("mariadb-backup", Method.PHYSICAL)):
        tool = tmp_path / name
        tool.unlink()
        tool.write_text(f"#!/bin/sh\necho '{name}  Ver 10.19 Distrib 10.3.39-MariaDB, for Linux'\n")
        tool.chmod(0o755)
        with pytest.raises(ToolVersionError, match=r"it is version 10\.3 and the server 10\.11"):
            mariadb.open_source(replace(options, tools=str(tmp_path), method=method)).check()

    server.sql(
        "CREATE USER poor@localhost IDENTIFIED BY 'p'; GRANT SELECT ON shop.* TO poor@localhost"
    )
    poor = replace(options, user="poor", environment={**server.environment, "MYSQL_PWD": "p"})
    try:
        with pytest.raises(ToolFailedError, match="Access denied"):
            BinlogServer(poor).names()
    finally:
        server.sql("DROP USER poor@localhost")


def test_a_user_with_few_privileges_saves_what_it_may(
    server: MariaServer, repository: Repository
) -> None:
    server.sql(
        "CREATE USER saver@localhost IDENTIFIED BY 'p';"
        "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO saver@localhost;"
        "REVOKE SELECT ON *.* FROM saver@localhost; GRANT SELECT ON shop.* TO saver@localhost"
    )
    options = options_of(server, user="saver", names=("shop",))
    options = replace(options, environment={**server.environment, "MYSQL_PWD": "p"})
    try:
        result = saved(repository, options)
        assert "binlog_file" not in properties(result), "it may not see the binary log"
        (found,) = [one for one in result.findings if one.path == "users and grants"]
        assert "denied" in found.problem
    finally:
        server.sql("DROP USER saver@localhost")
