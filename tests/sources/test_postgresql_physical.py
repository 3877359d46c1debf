"""Physical backups of real PostgreSQL servers: busy, damaged and refusing ones, and moments in time."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import read_key_file
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
    ToolVersionError,
)
from holdfast.errors import ConfigurationError, HoldfastError, IntegrityError
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.operations.backup import BackupOptions
from holdfast.operations.backup_database import backup_database
from holdfast.operations.stored_database import StoredDatabase
from holdfast.operations.verify_database import Assertion, verify_database
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.sources.base import DatabaseOptions, Method, RestoreTo, StoredFiles
from holdfast.sources.postgresql import open_scratch, open_source, open_target
from holdfast.sources.postgresql.data_directory import STAGE
from holdfast_cli.exit_codes import ExitCode
from support import postgres
from support.postgres import PostgresServer, postgres_server
from support.repos import new_store, open_repository
from support.wal_relay import WalRelay

pytestmark = [
    pytest.mark.xdist_group("postgresql_physical"),  # one server for all
    pytest.mark.skipif(postgres.is_missing() is not None, reason=str(postgres.is_missing())),
]

CHECKSUMS = ("--data-checksums",)
WAIT_S = 30.0


# -- servers, repositories, backups -------------------------------------------------------------


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory that the servers' user owns and can reach."""
    shared = shutil.disk_usage("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    # Restores make a thousand files durable, which costs nothing in memory.
    roomy = shared is not None and shared.free > 1 << 30
    base = Path(tempfile.mkdtemp(prefix="hf-phys-", dir="/dev/shm" if roomy else "/tmp"))
    base.chmod(0o755)
    give_to_server(base)
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def give_to_server(path: Path) -> None:
    user = postgres.system_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        for each in (path, *path.rglob("*")):
            os.lchown(each, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Place:
    """A repository on disk that servers archive to by the command line."""

    backend: Backend
    key_file: str
    relay: WalRelay

    @property
    def archiving(self) -> dict[str, str]:
        return {"archive_mode": "on", "archive_command": self.relay.archive_command()}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with short_directory() as base:
        key_file, repo = str(base / "key"), str(base / "repo")
        options = ["-r", repo, "--key-file", key_file, "--cache-dir", str(base / "cache")]
        user = postgres.system_user()
        entry = pwd.getpwnam(user) if user is not None else None
        owner = None if entry is None else (entry.pw_uid, entry.pw_gid)
        with WalRelay(base, options, owner) as relay:
            assert relay.run("init") == 0
            yield Place(open_backend(repo), key_file, relay)


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[PostgresServer]:
    """A server with page checksums that archives its log, and a table whose sum never changes."""
    with postgres_server(initdb=CHECKSUMS, settings=place.archiving) as server:
        server.psql(
            "postgres",
            "CREATE TABLE account AS SELECT n AS id, 100 AS balance, repeat(md5(n::text), 8) AS note"
            "  FROM generate_series(1, 40000) n;"
            "ALTER TABLE account ADD PRIMARY KEY (id);"
            "CREATE TABLE event (name text, at timestamptz DEFAULT clock_timestamp());"
            "CHECKPOINT",
        )
        yield server


TRANSFERS = """
    DO $$ BEGIN FOR i IN 1..1000000 LOOP
        UPDATE account SET balance = balance - 1 WHERE id = 1 + i::bigint * 7919 % 40000;
        UPDATE account SET balance = balance + 1 WHERE id = 1 + i::bigint * 104729 % 40000;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP; END $$"""


@contextmanager
def busy(server: PostgresServer) -> Iterator[None]:
    """Move money between accounts all the time."""
    words = [str(server.bin / "psql"), "-X", "-q", "-h", server.host, "-U", server.user, "postgres"]
    worker = subprocess.Popen([*words, "-c", TRANSFERS], env=server.environment)
    try:
        while server.psql("postgres", "SELECT count(*) FROM account WHERE balance <> 100") == "0":
            time.sleep(0.02)
        yield
        assert worker.poll() is None
    finally:
        # The server's side would go on without its client.
        server.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOOP%' "
            "AND pid <> pg_backend_pid()",
        )
        worker.kill()
        worker.wait()


def options_for(server: PostgresServer, **changed: Any) -> DatabaseOptions:
    options = DatabaseOptions(
        environment=server.environment,
        host=server.host,
        port=server.port,
        user=server.user,
        method=Method.PHYSICAL,
        tools=str(server.bin),
    )
    return replace(options, **changed)


def back_up(repository: Repository, options: DatabaseOptions) -> Snapshot:
    made = backup_database(
        repository, open_source(options), BackupOptions(host="h", user="u"), instance="main"
    )
    assert made.kept is not None
    return made.kept


def record_of(snapshot: Snapshot) -> DatabaseRecord:
    assert snapshot.database is not None
    return snapshot.database


@contextmanager
def stored(repository: Repository, snapshot: Snapshot) -> Iterator[StoredDatabase]:
    repository.load_index()
    with BlobReader(repository) as reader:
        yield StoredDatabase(repository, reader, snapshot)


def restore_to(files: StoredFiles, to: RestoreTo) -> str:
    target = open_target(to, Method.PHYSICAL)
    target.check(files)
    return "\n".join(target.restore(files, lambda label, size: None))


# -- a busy server ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """A physical backup that was made while the server was busy."""

    snapshot: Snapshot
    older: Snapshot
    """The one before."""
    repository: Repository


@pytest.fixture(scope="module")
def base(server: PostgresServer, place: Place) -> Iterator[Base]:
    with (
        tempfile.TemporaryDirectory() as cache,
        open_key(place, cache) as repository,
    ):
        with busy(server):
            older = back_up(repository, options_for(server))
            newer = back_up(repository, options_for(server, settings={"max-rate": "900M"}))
        yield Base(newer, older, repository)


def open_key(place: Place, cache: str) -> Repository:
    return open_repository(place.backend, cache, read_key_file(place.key_file))


def test_a_backup_of_a_busy_server_is_whole(base: Base, server: PostgresServer) -> None:
    record, notes = record_of(base.snapshot), record_of(base.snapshot).properties
    assert base.snapshot.findings == ()
    assert (record.kind, record.method) == ("postgresql", "physical")
    assert (
        record.server_version
        == "PostgreSQL " + server.psql("postgres", "SHOW server_version").split()[0]
    )
    identity = server.psql("postgres", "SELECT system_identifier FROM pg_control_system()")
    assert (notes["log_kind"], notes["log_identity"]) == ("wal", identity)
    assert (notes["timeline"], notes["page_checksums"]) == ("1", "on")
    file_of = "SELECT pg_walfile_name({!r}::pg_lsn + {})"
    assert notes["log_start"] == server.psql("postgres", file_of.format(notes["start_lsn"], 1))
    assert notes["log_stop"] == server.psql("postgres", file_of.format(notes["stop_lsn"], 0))
    # The end is when no more of the log is needed; it lies between the backup and now.
    now_ns = int(server.psql("postgres", "SELECT (extract(epoch FROM now()) * 1e9)::bigint"))
    assert base.older.time_ns < int(notes["end_time_ns"]) <= now_ns
    # No slot is left to hold the log for ever.
    assert server.psql("postgres", "SELECT count(*) FROM pg_replication_slots") == "0"

    data, log = record.streams
    assert (data.label, log.label) == ("data directory", "write-ahead log")
    assert data.files > 500
    first = record_of(base.older).streams[0]
    assert first.new_bytes > 10 << 20
    # Some hundred pages have changed since.
    assert data.new_bytes < 0.6 * first.new_bytes


def test_what_was_busy_is_restored_consistent(base: Base) -> None:
    with short_directory() as place:
        target = place / "data"
        with stored(base.repository, base.snapshot) as files:
            manifest = json.loads(b"".join(files.read(b"backup_manifest")))
            to = RestoreTo(options=DatabaseOptions(), directory=str(target))
            said = restore_to(files, to)
        assert f"start PostgreSQL {postgres.find_bin().parent.name} on {target}" in said  # type: ignore[union-attr]
        assert stat.S_IMODE(target.stat().st_mode) == 0o700
        assert not (target / STAGE).exists()
        for listed in manifest["Files"]:
            if listed["Path"] != "postgresql.auto.conf":
                assert (target / listed["Path"]).stat().st_size == listed["Size"], listed
        assert (target / "pg_replslot").is_dir()
        if postgres.system_user() is not None:
            owners = {path.stat().st_uid for path in (target, *target.rglob("*"))}
            assert owners == {pwd.getpwnam(postgres.system_user() or "").pw_uid}
        with postgres_server(data_directory=target, settings={"archive_mode": "off"}) as restored:
            assert restored.psql("postgres", "SELECT count(*), sum(balance) FROM account") == (
                "40000|4000000"
            )
            changed = restored.psql("postgres", "SELECT count(*) FROM account WHERE balance <> 100")
            assert int(changed) > 0
            assert (
                restored.psql("postgres", "SELECT timeline_id FROM pg_control_checkpoint()") == "1"
            )


# -- moments ------------------------------------------------------------------------------------


def moment(server: PostgresServer) -> int:
    """The server's time in nanoseconds, with a second's distance to what was committed before."""
    time.sleep(0.05)
    now = server.psql("postgres", "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint")
    time.sleep(0.05)
    return int(now) * 1000


def archive_all(server: PostgresServer) -> None:
    """Archive what was written, and wait for it."""
    name = server.psql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")
    server.psql("postgres", "SELECT pg_switch_wal()")
    deadline = time.monotonic() + WAIT_S
    while server.psql("postgres", "SELECT last_archived_wal FROM pg_stat_archiver") < name:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)


def put_event(server: PostgresServer, name: str) -> None:
    server.psql("postgres", f"INSERT INTO event (name) VALUES ('{name}')")


@contextmanager
def recovered(base: Base, place: Place, **wanted: Any) -> Iterator[PostgresServer]:
    """A server on a restored data directory, once it has recovered and accepts writes."""
    with short_directory() as scratch:
        identity = record_of(base.snapshot).properties["log_identity"]
        to = RestoreTo(
            options=DatabaseOptions(),
            directory=str(scratch / "data"),
            log_command=place.relay.words("wal-fetch"),
            log_absent_code=ExitCode.NO_SEGMENT,
            logs=LogArchive(base.repository, "wal", identity),
            **wanted,
        )
        with stored(base.repository, base.snapshot) as files:
            restore_to(files, to)
        with postgres_server(data_directory=scratch / "data", settings=place.archiving) as server:
            deadline = time.monotonic() + WAIT_S
            while server.psql("postgres", "SELECT pg_is_in_recovery()") == "t":
                assert time.monotonic() < deadline, server.log
                time.sleep(0.05)
            yield server


EVENTS = "SELECT string_agg(name, ' ' ORDER BY at) FROM event"
TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"


def test_a_named_second_is_restored_and_another_on_the_timeline_after_it(
    base: Base, server: PostgresServer, place: Place
) -> None:
    put_event(server, "first")
    balance = server.psql(
        "postgres", "SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM account a"
    )
    before = moment(server)
    put_event(server, "mistake")
    server.psql("postgres", "DELETE FROM account")
    archive_all(server)

    with recovered(base, place, target_time_ns=before) as second:
        assert second.psql("postgres", EVENTS) == "first"
        assert balance == second.psql(
            "postgres", "SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM account a"
        )
        second.psql("postgres", "CHECKPOINT")
        assert second.psql("postgres", TIMELINE) == "2"
        put_event(second, "second")
        later = moment(second)
        put_event(second, "late")
        archive_all(second)

    with recovered(base, place, target_time_ns=later) as third:
        # Along the timeline that was begun, not the one that was left.
        assert third.psql("postgres", EVENTS) == "first second"
        third.psql("postgres", "CHECKPOINT")
        assert third.psql("postgres", TIMELINE) == "3"

    with recovered(base, place) as fourth:
        # Without a target nothing later than the backup, and a timeline that nobody else has.
        assert fourth.psql("postgres", EVENTS) == ""
        assert fourth.psql("postgres", "SELECT sum(balance) FROM account") == "4000000"
        fourth.psql("postgres", "CHECKPOINT")
        assert fourth.psql("postgres", TIMELINE) == "4"

    # The old server has gone on. None of those timelines leads on from what is saved of it now.
    newer = back_up(base.repository, options_for(server))
    put_event(server, "further")
    archive_all(server)
    with recovered(replace(base, snapshot=newer), place, target={"timeline": "latest"}) as fifth:
        assert fifth.psql("postgres", EVENTS) == "first mistake further"


# -- damaged pages ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refusing() -> Iterator[PostgresServer]:
    """A server for what goes wrong: it knows users by their passwords, and pages by checksums."""
    with postgres_server(initdb=CHECKSUMS) as server:
        server.psql(
            "postgres",
            "CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 2000) n;"
            "CREATE ROLE weak LOGIN; CREATE ROLE copier LOGIN REPLICATION PASSWORD 'geheim';"
            "CHECKPOINT",
        )
        hba = server.data_directory / "pg_hba.conf"
        hba.write_text(
            "local all postgres,weak trust\nlocal replication postgres,weak trust\n"
            "local all,replication copier scram-sha-256\n"
        )
        server.reload()
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(new_store(), tmp_path / "cache") as repository:
        yield repository


def test_damaged_pages_are_findings_and_the_rest_is_saved(
    refusing: PostgresServer, repository: Repository
) -> None:
    path = refusing.psql("postgres", "SELECT pg_relation_filepath('t')")
    file = refusing.data_directory / path
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[3 * 8192 + 4000] ^= 1
    file.write_bytes(damaged)
    try:
        snapshot = back_up(repository, options_for(refusing))
    finally:
        file.write_bytes(whole)
    (finding,) = snapshot.findings
    assert finding.path == path
    assert "block 3" in finding.problem
    with stored(repository, snapshot) as files, short_directory() as directory:
        assert b"".join(files.read(path.encode())) == damaged
        verified = verify_database(
            files,
            open_scratch(options_for(refusing), Method.PHYSICAL, str(directory)),
            [
                Assertion("postgres", "SELECT count(*) = 2000 FROM t"),
                Assertion("postgres", "SELECT count(*) > 0 FROM pg_class"),
            ],
            clock=SystemClock(),
            on_progress=lambda label, size: None,
        )
    assert [outcome.holds for outcome in verified.outcomes] == [False, True]
    assert "invalid page in block 3" in verified.outcomes[0].answer
    assert verified.databases == ("postgres",)
    assert back_up(repository, options_for(refusing)).findings == ()


# -- what does not work -------------------------------------------------------------------------


def failing(
    repository: Repository, server: PostgresServer, error: type[HoldfastError], **changed: Any
) -> str:
    """Back up, which fails; return the message. No snapshot is left."""
    with pytest.raises(error) as caught:
        back_up(repository, options_for(server, **changed))
    assert list(repository.snapshots()) == []
    assert "geheim" not in str(caught.value)
    return str(caught.value)


def test_a_server_or_user_that_cannot_be_saved_is_refused(
    refusing: PostgresServer, repository: Repository, tmp_path: Path
) -> None:
    server = refusing
    failing(repository, server, ServerUnreachableError, port=5999)
    said = failing(repository, server, LoginError, user="weak")
    assert "weak may not copy the server" in said
    assert "ALTER ROLE" in said
    failing(repository, server, LoginError, user="copier")
    wrong = {**server.environment, "PGPASSWORD": "falsch"}
    failing(repository, server, LoginError, user="copier", environment=wrong)
    said = failing(repository, server, ConfigurationError, names=("postgres",))
    assert "all databases" in said
    failing(repository, server, ConfigurationError, settings={"max-rate": "much"})
    failing(repository, server, ConfigurationError, settings={"checkpoint": "now"})
    failing(repository, server, ConfigurationError, settings={"jobs": "2"})
    failing(repository, server, ToolNotFoundError, tools=str(tmp_path))

    with short_directory() as tablespace:
        server.psql("postgres", f"CREATE TABLESPACE fast LOCATION '{tablespace}'")
        said = failing(repository, server, ConfigurationError)
        server.psql("postgres", "DROP TABLESPACE fast")
    assert "tablespaces (fast)" in said
    assert "--method logical" in said

    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:copier:geheim\n")
    passwords.chmod(0o600)
    right = {**server.environment, "PGPASSFILE": str(passwords)}
    source = open_source(options_for(server, user="copier", environment=right))
    assert (
        source.check() == "PostgreSQL " + server.psql("postgres", "SHOW server_version").split()[0]
    )
    assert source.paths() == (b"",)
    assert "page checksums are verified while reading" in source.plan()
    assert back_up(repository, options_for(server, user="copier", environment=right)).findings == ()


def stand_in(tools: Path, real: Path, script: str) -> None:
    """Make a directory of tools whose pg_basebackup is a script; REAL in it is the real one."""
    tools.mkdir()
    (tools / "psql").symlink_to(real / "psql")
    path = tools / "pg_basebackup"
    version = f'[ "$1" = --version ] && exec {real}/pg_basebackup --version\n'
    path.write_text(f"#!/bin/sh\n{version}{script.replace('REAL', str(real / path.name))}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo $$ > "$0.pid"; exec REAL "$@"', "killed by SIGKILL"),
        ('REAL "$@" | head -c 3000000', "ends in the middle of a file|ends too early"),
        ('REAL "$@" | tail -c 3000001', "no tar stream|lacks a"),
        ('REAL "$@" | sed "s,\\"Path\\": \\"base/5/PG_VERSION,&x,"', "differ in"),
        ('REAL "$@"; echo no room >&2; exit 1', "exit code 1.*no room"),
    ],
)
def test_a_stream_that_is_not_whole_leaves_no_snapshot(
    refusing: PostgresServer,
    repository: Repository,
    tmp_path: Path,
    script: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools = tmp_path / "tools"
    stand_in(tools, refusing.bin, script)
    pid = tools / "pg_basebackup.pid"
    tick = repository.clock.monotonic_s

    def kill_then_tick() -> float:
        # The clock is read for every piece of the stream: so it dies in the middle.
        if pid.exists() and (number := pid.read_text()).endswith("\n"):
            os.kill(int(number), signal.SIGKILL)
            pid.unlink()
        return tick()

    monkeypatch.setattr(repository.clock, "monotonic_s", kill_then_tick)
    said = failing(repository, refusing, ToolFailedError, tools=str(tools))
    assert re.search(message, said), said
    # Nothing is in the way of the next one.
    back_up(repository, options_for(refusing))


def test_an_older_tool_than_the_server_is_refused(
    refusing: PostgresServer, repository: Repository, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    stand_in(tools, refusing.bin, "")
    (tools / "pg_basebackup").write_text("#!/bin/sh\necho 'pg_basebackup (PostgreSQL) 12.3'\n")
    said = failing(repository, refusing, ToolVersionError, tools=str(tools))
    assert "pg_basebackup 12" in said


# -- restores that do not work ------------------------------------------------------------------


class Changed:
    """Files of a snapshot, one of them changed on the way out."""

    def __init__(self, files: StoredDatabase, path: str, error: bool = False) -> None:
        self.properties: Mapping[str, str] = files.properties
        self.names, self.has, self.size, self.read = files.names, files.has, files.size, files.read
        self._files, self._path, self._error = files, path, error

    def extract(self, path: bytes, target: str) -> None:
        self._files.extract(path, target)
        file = Path(target) / self._path
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        if self._error:
            raise IntegrityError("blob", "0")


def test_a_directory_in_use_is_refused_and_replaced_only_by_a_whole_one(
    refusing: PostgresServer, repository: Repository
) -> None:
    snapshot = back_up(repository, options_for(refusing))
    with short_directory() as place, stored(repository, snapshot) as files:
        check_replacing(files, refusing, place / "data")


def check_replacing(files: StoredDatabase, refusing: PostgresServer, target: Path) -> None:
    to = RestoreTo(options=DatabaseOptions(), directory=str(target))
    forced = replace(to, overwrite=True)
    running = replace(forced, directory=str(refusing.data_directory))
    with pytest.raises(DatabaseNotEmptyError, match="a server runs on it"):
        restore_to(files, running)
    with pytest.raises(ConfigurationError, match="--target"):
        restore_to(files, replace(to, directory=None))
    with pytest.raises(ConfigurationError, match="all its databases"):
        restore_to(files, replace(to, renamed={"a": "b"}))
    with pytest.raises(ConfigurationError, match="before the end"):
        restore_to(files, replace(to, target_time_ns=1, log_command=("x",)))
    assert not target.exists()

    target.mkdir()
    (target / "precious").write_text("old")
    (target / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseNotEmptyError, match=r"PG_VERSION.*--overwrite"):
        restore_to(files, to)
    # What the manifest does not confirm replaces nothing.
    with pytest.raises(DatabaseDamagedError, match="pg_xact/0000"):
        restore_to(Changed(files, "pg_xact/0000"), forced)
    with pytest.raises(IntegrityError):
        restore_to(Changed(files, "pg_xact/0000", error=True), forced)
    assert sorted(os.listdir(target)) == ["PG_VERSION", "precious"]
    # A restore that was killed is no obstacle.
    (target / STAGE / "base").mkdir(parents=True)
    plan = open_target(forced, Method.PHYSICAL).plan(files)
    assert plan[0] == f"replace what is in {target}"
    restore_to(files, forced)
    assert not (target / "precious").exists()
    assert not (target / STAGE).exists()
    assert (target / "PG_VERSION").read_text() != "9\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
