"""backup-db, restore-db and verify-db with real databases, as a person uses them."""

from __future__ import annotations

import pwd
import re
import shlex
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import postgres
from support.command_line import Runner
from support.postgres import PostgresServer, postgres_server
from support.wal_relay import WalRelay


def test_a_round_with_sqlite(hold: Runner, tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode = wal")
        live.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, text)")
        live.executemany("INSERT INTO orders (text) VALUES (?)", [("x" * 99,)] * 5000)
        hold("backup-db", "sqlite", path)
        live.execute("UPDATE orders SET text = 'late' WHERE id = 77")
        done = hold("backup-db", "sqlite", path, "--json").events[-1]
    (stream,) = done["streams"]
    assert stream["saved_share"] > 0.9
    assert (done["kind"], done["method"]) == ("sqlite", "physical")

    first = hold("snapshots", "--json").document[0]["id"]
    hold("restore-db", first, "--target", tmp_path / "old.db")
    hold("restore-db", "latest", "--target", tmp_path / "new.db")
    for name, expected in (("old.db", "x" * 99), ("new.db", "late")):
        with closing(sqlite3.connect(tmp_path / name)) as restored:
            assert restored.execute("SELECT text FROM orders WHERE id = 77").fetchone() == (
                expected,
            )
    assert "not empty" in hold("restore-db", first, code=36).err
    hold("restore-db", first, "--overwrite")
    with closing(sqlite3.connect(path)) as restored:
        assert restored.execute("SELECT count(*) FROM orders WHERE text = 'late'").fetchone() == (
            0,
        )
    asked = "app.db: SELECT count(*) = 5000 FROM orders"
    assert "1 of 1 assertion held" in hold("verify-db", "latest", "--assert", asked).out
    bad = hold(
        "verify-db", first, "--assert", "app.db: SELECT count(*) > 9999 FROM orders", code=37
    )
    assert "answered '0'" in bad.out
    (tmp_path / "text").write_text("not a database" * 100)
    before = len(hold("snapshots", "--json").document)
    for name in ("text", "absent"):
        assert "Traceback" not in hold("backup-db", "sqlite", tmp_path / name, code=33).err
    assert len(hold("snapshots", "--json").document) == before


def tools_with(tools: Path, directory: Path, name: str, script: str) -> Path:
    """Make a directory of tools of which one is a script; it finds the real one in $REAL."""
    directory.mkdir()
    for tool in tools.iterdir():
        if tool.name != name:
            (directory / tool.name).symlink_to(tool)
    path = directory / name
    version = f'[ "$1" = --version ] && exec {tools / name} --version'
    path.write_text(f"#!/bin/sh\nREAL={tools / name}\n{version}\n{script}\n")
    path.chmod(0o755)
    return directory


@pytest.mark.skipif(postgres.is_missing() is not None, reason=str(postgres.is_missing()))
def test_a_round_with_postgresql(hold: Runner, tmp_path: Path) -> None:
    with postgres_server() as server:
        server.psql("postgres", "CREATE DATABASE shop")
        server.psql("postgres", "CREATE ROLE backup LOGIN PASSWORD 'geheim'")
        server.psql(
            "shop",
            "CREATE TABLE orders (id int PRIMARY KEY, text text); INSERT INTO orders "
            "SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
        )
        at = ("--db-host", server.host, "--db-user", server.user)
        tools = ("--tools", server.bin)
        hold("backup-db", "postgresql", *at, *tools)
        server.psql("shop", "UPDATE orders SET text = 'late' WHERE id = 77")
        done = hold("backup-db", "pg", *at, *tools, "--json").events[-1]
        data = next(one for one in done["streams"] if one["label"] == "shop data")
        assert data["saved_share"] > 0.9
        assert data["previous_bytes"] > 600_000

        # Whatever goes wrong has its own code and leaves no snapshot.
        killed = tools_with(
            server.bin, tmp_path / "killed", "pg_dump", '"$REAL" "$@" | head -c 9999; kill -9 $$'
        )
        for words, code, said in (
            ((*at, "--tools", killed), 35, r"pg_dump failed \(killed by SIGKILL"),
            ((*at, "--tools", tmp_path), 32, "was not found; install"),
            (("--db-host", tmp_path, *tools), 33, "correct --db-host and --db-port"),
            (("--db-host", server.host, "--db-user", "nobody7", *tools), 34, "refused the login"),
            (("blog", *at, *tools), 33, "there is no database blog"),
        ):
            outcome = hold("backup-db", "postgresql", *words, "-q", code=code)
            assert re.search(said, outcome.err), outcome.err
            assert outcome.err.count("\n") == 1
        assert len(hold("snapshots", "--json").document) == 2

        logical = ("latest", "--kind", "postgres", "--method", "logical")
        assert "not empty" in hold("restore-db", *logical, "shop", *at, *tools, code=36).err
        renamed = ("--rename", "shop=shop_before")
        plan = hold("restore-db", *logical, "shop", *renamed, *at, *tools, "-n").out
        assert "shop_before" in plan
        hold("restore-db", *logical, "shop", *renamed, *at, *tools)
        late = "SELECT count(*) || text FROM orders WHERE text = 'late' GROUP BY text"
        assert server.psql("shop_before", late) == "1late"
        server.psql("shop", "DROP TABLE orders")
        hold("restore-db", *logical, "shop", "--overwrite", *at, *tools)
        assert server.psql("shop", late) == "1late"

    count = "shop: SELECT count(*) = 20000 FROM orders"
    wrong = ("--assert", "shop: SELECT text FROM orders WHERE id = 77")
    result = hold("verify-db", *logical, *tools, "--assert", count, *wrong, "--json", code=37)
    summary = result.events[-1]
    assert (summary["problems"], summary["databases"]) == ([], ["postgres", "shop"])
    assert [one["answer"] for one in summary["assertions"]] == ["t", "late"]
    assert "geheim" not in str(hold("snapshots", "--json").document)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that servers of another user reach, with a short path."""
    directory = Path(tempfile.mkdtemp(prefix="hf-cli-", dir=postgres.fast_place()))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def wait_for(server: PostgresServer, condition: str) -> None:
    """Wait until a server says that something is so."""
    deadline = time.monotonic() + 30
    while server.psql("postgres", f"SELECT {condition}") != "t":
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)


def archive_all(server: PostgresServer) -> None:
    """Switch to a new segment and wait until the one before is archived."""
    name = server.psql("postgres", "SELECT pg_walfile_name(pg_switch_wal())")
    wait_for(server, f"last_archived_wal >= '{name}' FROM pg_stat_archiver")


@pytest.mark.skipif(postgres.is_missing() is not None, reason=str(postgres.is_missing()))
def test_postgresql_to_a_named_second(
    hold: Runner, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What restore-db writes into the configuration is what the server runs, word by word."""
    user = postgres.system_user()
    owner = None if user is None else (pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    rows = "SELECT string_agg(text, ' ' ORDER BY text) FROM orders"
    with WalRelay(place, [], owner) as relay:
        monkeypatch.setattr("sys.argv", [relay.words()[0]])
        push = shlex.join(relay.words(*hold.base, "wal-push"))
        settings = {"archive_mode": "on", "archive_command": f"'{push} \"%p\"'"}
        with postgres_server(settings=settings) as server:
            server.psql("postgres", "CREATE TABLE orders (text text)")
            at = ("--db-host", server.host, "--db-user", server.user, "--tools", server.bin)
            hold("backup-db", "postgresql", "--method", "physical", *at)
            server.psql("postgres", "INSERT INTO orders VALUES ('good')")
            moment = server.psql("postgres", "SELECT date_trunc('second', now()) + '1 second'")
            server.psql("postgres", "SELECT pg_sleep(1.2)")
            server.psql("postgres", "INSERT INTO orders VALUES ('mistake')")
            archive_all(server)

        to = ("restore-db", "latest", "--kind", "postgresql", "--tools", postgres.find_bin() or "")
        steps = hold(*to, "--target", place / "then", "--target-time", moment).out
        assert "the server's user must be able to read" in steps
        with postgres_server(data_directory=place / "then") as server:
            wait_for(server, "NOT pg_is_in_recovery()")
            assert server.psql("postgres", rows) == "good", server.log
            archive_all(server)
        timelines = hold("logs", "--json").document
        assert "00000002" in str(timelines), "it archives a timeline of its own"
        old = ("--recovery-target", "timeline=1")
        hold(*to, "--target", place / "end", "--to-end", *old)
        with postgres_server(data_directory=place / "end") as server:
            wait_for(server, "NOT pg_is_in_recovery()")
            assert server.psql("postgres", rows) == "good mistake", server.log
        early = hold(*to, "--target", place / "no", "--target-time", "2020-01-01", code=1).err
        assert "complete by 2020-01-01" in early
        assert not (place / "no").exists()
