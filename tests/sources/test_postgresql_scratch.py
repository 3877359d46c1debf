"""Scratch servers on restored data directories: they start wherever the original was at home."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import SystemClock
from holdfast.operations.verify_database import Assertion, verify_database
from holdfast.repository.repository import Repository
from holdfast.sources.base import DatabaseOptions, Method
from holdfast.sources.postgresql import open_scratch, open_source
from support import postgres
from support.database_runs import save, stored
from support.postgres import postgres_server
from support.repos import new_store, open_repository

pytestmark = [
    pytest.mark.xdist_group("postgresql_scratch"),  # one server for all
    pytest.mark.skipif(postgres.is_missing() is not None, reason=str(postgres.is_missing())),
]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(new_store(), tmp_path / "cache") as repository:
        yield repository


def test_a_physical_backup_starts_without_its_configuration(repository: Repository) -> None:
    marker = Path(tempfile.gettempdir()) / f"holdfast-archived-{os.getpid()}"
    with postgres_server() as server:
        # Nothing of this is true where the backup is looked at, and none of it may happen there.
        server.psql("postgres", "CREATE ROLE boss SUPERUSER LOGIN REPLICATION")
        server.user = "boss"
        server.psql("postgres", 'ALTER ROLE postgres RENAME TO "odd \'admin"')
        for setting in (
            "shared_buffers TO '4TB'",
            "shared_preload_libraries TO 'no_such_library'",
            f"archive_command TO 'touch {marker}'",
            "archive_mode TO 'on'",
            "ssl TO 'on'",
        ):
            server.psql("postgres", f"ALTER SYSTEM SET {setting}")
        server.psql("postgres", "CREATE DATABASE shop")
        server.psql("shop", "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) AS i")
        options = DatabaseOptions(
            environment=server.environment,
            method=Method.PHYSICAL,
            host=server.host,
            port=server.port,
            user=server.user,
        )
        snapshot = save(repository, open_source(options))
    with (
        tempfile.TemporaryDirectory(prefix="hf-", dir=postgres.fast_place()) as directory,
        stored(repository, snapshot) as files,
    ):
        Path(directory).chmod(0o755)
        result = verify_database(
            files,
            open_scratch(options, Method.PHYSICAL, directory),
            [
                Assertion("shop", "SELECT sum(i) = 500500 FROM t"),
                Assertion("shop", "SELECT current_user = 'odd ''admin'"),
                Assertion("shop", "SELECT count(*) = 7 FROM t"),
            ],
            clock=SystemClock(),
            on_progress=lambda what, count: None,
        )
        assert result.databases == ("postgres", "shop")
        assert result.problems == ()
        assert [outcome.holds for outcome in result.outcomes] == [True, True, False]
        assert not (Path(directory) / "data" / "postmaster.pid").exists()
    assert not marker.exists()


def test_a_scratch_server_dies_with_who_started_it() -> None:
    program = """
import sys, time
from holdfast.sources.base import DatabaseOptions, Method
from holdfast.sources.postgresql import open_scratch
options = DatabaseOptions(environment={"PATH": sys.argv[2]})
with open_scratch(options, Method.LOGICAL, sys.argv[1]) as scratch:
    print(scratch.ask("postgres", "SELECT 'ready'"), flush=True)
    time.sleep(60)
"""
    engine = Path(postgres.__file__).parents[2] / "engine"
    with tempfile.TemporaryDirectory(prefix="hf-", dir=postgres.fast_place()) as directory:
        Path(directory).chmod(0o755)
        path = postgres.new_environment()["PATH"]
        with subprocess.Popen(
            [sys.executable, "-c", program, directory, path],
            env={"PYTHONPATH": str(engine), "PATH": path},
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            pid = int((Path(directory) / "data" / "postmaster.pid").read_text().split()[0])
            assert is_alive(pid)
            child.kill()
        deadline = time.monotonic() + 10
        while is_alive(pid):
            assert time.monotonic() < deadline, "the server goes on alone"
            time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
