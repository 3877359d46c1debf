"""Redis: a real server's dataset, saved and loaded again, and everything that goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources import redis
from holdfast.sources.base import DatabaseOptions, DatabaseTarget, Method, RestoreTo
from support.processes import kill_children
from support.redis import RedisServer, is_missing, redis_server
from support.sinks import MemoryFiles, MemorySink

pytestmark = [
    pytest.mark.xdist_group("redis"),  # one server for all
    pytest.mark.skipif(is_missing() is not None, reason=str(is_missing())),
]
PASSWORD = "a secret, with spaces"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server({"databases": "40"}, password=PASSWORD) as server:
        fill = "for i = 1, 30000 do redis.call('SET', 'key:' .. i, string.rep('v' .. i, 10)) end"
        server.run("EVAL", fill, "0")
        server.run("-n", "2", "RPUSH", "list", "first", "sec\nond", 'thi"rd')
        server.run("-n", "37", "SETEX", "expires", "100000", "later")
        yield server


@pytest.fixture(scope="module")
def saved(server: RedisServer) -> MemorySink:
    sink = MemorySink(buffer_size=777)
    redis.open_source(options_of(server)).backup(sink)
    return sink


def options_of(server: RedisServer, **environment: str) -> DatabaseOptions:
    return DatabaseOptions(host=server.socket, environment={**server.environment, **environment})


def ignore(_: str, __: int) -> None:
    pass


def target_of(directory: Path, *, overwrite: bool = False) -> DatabaseTarget:
    to = RestoreTo(options=DatabaseOptions(), directory=str(directory), overwrite=overwrite)
    return redis.open_target(to, Method.PHYSICAL)


def test_a_dataset_is_saved_without_the_mark_behind_it(
    server: RedisServer, saved: MemorySink, tmp_path: Path
) -> None:
    source = redis.open_source(options_of(server))
    assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+", source.check())
    assert source.paths() == (b"",)
    assert "db37: keys=1" in "\n".join(source.plan())
    file = saved.files[redis.FILE]
    assert file.profile is Profile.DUMP
    assert saved.labels == ["dataset"]
    assert saved.properties["rdb_version"] == str(int(file.data[5:9]))
    assert not saved.findings
    (tmp_path / "dump.rdb").write_bytes(file.data)
    words = ["redis-check-rdb", str(tmp_path / "dump.rdb")]
    checked = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "RDB looks OK" in checked
    assert f"[offset {len(file.data)}]" in checked, "nothing is behind the dataset"
    assert PASSWORD.encode() not in file.data


def test_sizes_known_beforehand_and_buffers_of_any_length(server: RedisServer) -> None:
    server.run("CONFIG", "SET", "repl-diskless-sync", "no")
    try:
        for buffer_size in (1, 48, 1 << 20):
            sink = MemorySink(buffer_size=buffer_size)
            if buffer_size == 1:
                with redis_server() as small:
                    redis.open_source(options_of(small)).backup(sink)
            else:
                redis.open_source(options_of(server)).backup(sink)
            data = sink.files[redis.FILE].data
            assert data[-9] == 0xFF
            assert data.startswith(b"REDIS")
    finally:
        server.run("CONFIG", "SET", "repl-diskless-sync", "yes")


def test_a_server_started_on_the_restored_directory_has_everything(
    saved: MemorySink, tmp_path: Path
) -> None:
    target = target_of(tmp_path / "new" / "data")
    assert "dump.rdb" in target.plan(saved.stored())[0]
    told = target.restore(saved.stored(), ignore)
    assert "appendonly no" in told[0]
    with redis_server({"databases": "40"}, directory=tmp_path / "new" / "data") as restored:
        assert restored.run("DBSIZE") == "30000"
        assert restored.run("GET", "key:77") == "v77" * 10
        assert restored.run("-n", "2", "LRANGE", "list", "0", "-1") == 'first\nsec\nond\nthi"rd'
        assert 0 < int(restored.run("-n", "37", "TTL", "expires")) <= 100000
    with redis_server(
        {"appendonly": "yes", "databases": "40"}, directory=tmp_path / "new" / "data"
    ) as wrong:
        assert wrong.run("DBSIZE") == "0", "what people are told about this is true"


def test_a_directory_with_data_is_refused_and_its_log_set_aside(
    saved: MemorySink, tmp_path: Path
) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"old")
    with pytest.raises(DatabaseNotEmptyError, match=r"dump\.rdb.*--overwrite"):
        target_of(tmp_path).check(saved.stored())
    (tmp_path / "dump.rdb").unlink()
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "log").write_bytes(b"precious")
    (tmp_path / "appendonlydir.before-restore").mkdir()
    (tmp_path / "redis.conf").touch()
    with pytest.raises(DatabaseNotEmptyError, match="appendonlydir"):
        target_of(tmp_path).restore(saved.stored(), ignore)
    told = target_of(tmp_path, overwrite=True).restore(saved.stored(), ignore)
    assert (tmp_path / "appendonlydir.before-restore-2" / "log").read_bytes() == b"precious"
    assert "appendonlydir.before-restore-2" in told[0]
    assert (tmp_path / "dump.rdb").read_bytes() == saved.files[redis.FILE].data
    assert (tmp_path / "redis.conf").exists()
    with pytest.raises(DatabaseDamagedError, match=r"no dump\.rdb"):
        target_of(tmp_path, overwrite=True).check(MemoryFiles({}))


def test_a_scratch_server_answers_questions(
    server: RedisServer, saved: MemorySink, tmp_path: Path
) -> None:
    # Longer than the path of a socket may be.
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    options = options_of(server)
    with redis.open_scratch(options, Method.PHYSICAL, str(deep)) as scratch:
        scratch.target().restore(saved.stored(), ignore)
        scratch.begin()
        assert scratch.databases() == ["0", "2", "37"]
        assert scratch.ask("0", "DBSIZE") == "30000"
        assert scratch.ask("db0", "GET key:5") == "v5" * 10
        assert scratch.ask("2", "LRANGE list 1 2") == "sec\nond"
        assert scratch.ask("2", "GET 'no such key'") == ""
        assert scratch.ask("2", "KEYS nothing*") == ""
        for database, statement in (
            ("0", "BOGUS"), ("2", "INCR list"), ("10000", "DBSIZE"), ("shop", "DBSIZE"),
            ("0", "GET 'unfinished"),
        ):  # fmt: skip
            with pytest.raises(ToolFailedError):
                scratch.ask(database, statement)
        assert scratch.verify() == []
        running = scratch._running  # type: ignore[attr-defined]
    assert not running.is_running


def test_a_scratch_server_ends_with_the_program_that_started_it(
    saved: MemorySink, tmp_path: Path
) -> None:
    (tmp_path / "dump.rdb").write_bytes(saved.files[redis.FILE].data)
    program = (
        "import os, sys\n"
        "from holdfast.sources import redis\n"
        "from holdfast.sources.base import DatabaseOptions, Method\n"
        "options = DatabaseOptions(environment={'PATH': os.defpath})\n"
        "scratch = redis.open_scratch(options, Method.PHYSICAL, sys.argv[1])\n"
        "scratch.begin()\n"
        "print(scratch._running._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ran.returncode == -9
    deadline = time.monotonic() + 10
    while is_running(int(ran.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_damaged_dataset_is_not_loaded(saved: MemorySink, tmp_path: Path) -> None:
    data = bytearray(saved.files[redis.FILE].data)
    data[len(data) // 2] ^= 0x55
    options = DatabaseOptions(environment={"PATH": os.defpath})
    with redis.open_scratch(options, Method.PHYSICAL, str(tmp_path)) as scratch:
        scratch.target().restore(MemoryFiles({redis.FILE: bytes(data)}), ignore)
        assert scratch.verify()[0].endswith("(exit code 1)")
        with pytest.raises(DatabaseDamagedError, match=r"cannot load it: .*(CRC|checksum|RDB)"):
            scratch.begin()


def test_who_may_not_log_in(server: RedisServer) -> None:
    for environment in ({"REDISCLI_AUTH": "wrong"}, {"REDISCLI_AUTH": ""}):
        source = redis.open_source(options_of(server, **environment))
        with pytest.raises(LoginError) as caught:
            source.check()
        assert "wrong" not in caught.value.reason.lower().replace("wrongpass", "")
        sink = MemorySink()
        with pytest.raises(LoginError):
            source.backup(sink)
        assert not sink.files
    server.run("ACL", "SETUSER", "backup", "on", ">pw", "+info", "+ping")
    limited = DatabaseOptions(
        host=server.socket, user="backup", environment={**server.environment, "REDISCLI_AUTH": "pw"}
    )
    redis.open_source(limited).check()
    sink = MemorySink()
    with pytest.raises(LoginError, match="NOPERM"):
        redis.open_source(limited).backup(sink)
    assert not sink.files
    # What docs/databases.md tells people to grant is enough.
    server.run("ACL", "SETUSER", "backup", "+sync", "+psync", "+replconf")
    redis.open_source(limited).backup(sink)
    assert sink.files


def test_no_server_and_no_tool(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath}
    for options in (
        DatabaseOptions(host=str(tmp_path / "none"), environment=environment),
        DatabaseOptions(host="127.0.0.1", port=1, environment=environment),
    ):
        source = redis.open_source(options)
        with pytest.raises(ServerUnreachableError, match="start it"):
            source.check()
        with pytest.raises(ServerUnreachableError):
            source.backup(MemorySink())
    bare = DatabaseOptions(tools=str(tmp_path), environment=environment)
    with pytest.raises(ToolNotFoundError, match="redis-tools"):
        redis.open_source(bare).check()
    with pytest.raises(ToolNotFoundError, match="redis-server"):
        redis.open_scratch(bare, Method.PHYSICAL, str(tmp_path))


@pytest.mark.parametrize("victim", ["server", "tool"])
def test_what_is_killed_in_the_middle_is_an_error(victim: str, tmp_path: Path) -> None:
    with redis_server() as server:
        fill = "for i = 1, 400 do redis.call('SET', i, string.rep(tostring(i), 50000)) end"
        server.run("CONFIG", "SET", "rdbcompression", "no")
        server.run("EVAL", fill, "0")
        killed: list[int] = []

        def kill(_: bytes, place: int) -> None:
            if place > 3_000_000 and not killed:
                killed.append(place)
                if victim == "server":
                    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
                    for forked in Path(children).read_text().split():
                        os.kill(int(forked), 9)
                    server.process.kill()
                else:
                    kill_children("redis-cli")

        sink = MemorySink(before_read=kill)
        with pytest.raises(ToolFailedError, match=r"redis-cli failed"):
            redis.open_source(options_of(server)).backup(sink)
        assert killed
        assert not sink.files


def test_a_tool_that_ends_early_with_success_is_not_believed(
    saved: MemorySink, tmp_path: Path
) -> None:
    whole = saved.files[redis.FILE].data
    tool = tmp_path / "redis-cli"
    output = tmp_path / "output"
    tool.write_text(f'#!/bin/sh\ncat {output}; echo "$SAID" >&2\n')
    tool.chmod(0o755)
    options = DatabaseOptions(
        tools=str(tmp_path), environment={"PATH": os.defpath, "SAID": "Transfer finished"}
    )

    def backed_up(data: bytes) -> bytes:
        output.write_bytes(data)
        sink = MemorySink()
        redis.open_source(options).backup(sink)
        return sink.files[redis.FILE].data

    assert backed_up(whole) == whole
    assert backed_up(whole + b"0123456789abcdef" * 2 + b"01234567") == whole
    for wrong in (b"", whole[:5], whole[: len(whole) // 2], b"-ERR no dataset today\r\n" * 9):
        with pytest.raises(ToolFailedError):
            backed_up(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DatabaseOptions(names=("0",)), "give no names"),
        (DatabaseOptions(method=Method.LOGICAL), "no logical backups"),
        (DatabaseOptions(settings={"password": "x"}), "no setting 'password'"),
    ],
)
def test_options_that_make_no_sense(options: DatabaseOptions, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        redis.open_source(options)


def test_targets_that_make_no_sense(tmp_path: Path) -> None:
    nothing = DatabaseOptions()
    for to in (
        RestoreTo(options=nothing),
        RestoreTo(options=nothing, directory=str(tmp_path), target_time_ns=5),
        RestoreTo(options=nothing, directory=str(tmp_path), renamed={"a": "b"}),
    ):
        with pytest.raises(ConfigurationError):
            redis.open_target(to, Method.PHYSICAL)


def test_the_password_is_in_no_argument(server: RedisServer, tmp_path: Path) -> None:
    real = shutil.which("redis-cli")
    wrapper = tmp_path / "redis-cli"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/seen\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    options = DatabaseOptions(
        host=server.socket, tools=str(tmp_path), environment=server.environment
    )
    source = redis.open_source(options)
    source.check()
    source.backup(MemorySink())
    assert "--rdb -" in (tmp_path / "seen").read_text()
    assert PASSWORD not in (tmp_path / "seen").read_text()
    assert PASSWORD not in repr(options)
