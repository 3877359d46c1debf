"""wal-push and wal-fetch as a server calls them: what is taken, what refused, and the exit codes.

A real server calls them in tests/sources/test_postgresql_wal.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.operations import wal
from holdfast_cli.exit_codes import ExitCode, code_for_server
from support.command_line import Runner, damage, environment_for_processes
from support.json_keys import WAL_FETCH, WAL_PUSH
from support.wal import SYSTEM_ID, make_data_directory, make_segment, name_of

HISTORY = b"1\t0/30000A0\tno recovery target specified\n"
BACKUP = b"START WAL LOCATION: 0/300028 (file %s)\nSTOP WAL LOCATION: 0/300100 (file %s)\n"


@pytest.fixture
def pg_wal(tmp_path: Path) -> Path:
    """The log's directory of a server."""
    return make_data_directory(tmp_path / "data")


def write(directory: Path, name: str, content: bytes) -> Path:
    path = directory / name
    path.write_bytes(content)
    return path


def test_every_kind_of_file_goes_and_comes_back(
    hold: Runner, pg_wal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        name_of(3): make_segment(3),
        name_of(4096): make_segment(4096),  # the first one of the second 4 GiB
        f"{name_of(5)}.partial": make_segment(5),
        # The first one of a timeline begins with a page of the one before.
        name_of(5, timeline=2): make_segment(5, timeline=1, seed=1),
        f"{name_of(3)}.00000028.backup": BACKUP % (name_of(3).encode(), name_of(3).encode()),
        "00000002.history": HISTORY,
    }
    assert name_of(4096)[8:] == "0000000100000000"
    monkeypatch.chdir(pg_wal.parent)  # relative paths, as PostgreSQL gives them
    for name, content in files.items():
        write(pg_wal, name, content)
        for is_new in (True, False):
            pushed = hold("--json", "wal-push", f"pg_wal/{name}").document
            assert list(pushed) == WAL_PUSH
            assert pushed == {
                "name": name,
                "system_id": str(SYSTEM_ID),
                "logical_bytes": len(content),
                "is_new": is_new,
            }
    for name, content in files.items():
        done = hold("wal-fetch", name, "pg_wal/RECOVERYXLOG")
        assert (done.out, done.err) == ("", "")
        target = pg_wal / "RECOVERYXLOG"
        assert target.read_bytes() == content
        assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(pg_wal)) == sorted([*files, "RECOVERYXLOG"]), "no rests"
    done = hold("-v", "wal-push", pg_wal / name_of(3))
    assert "archived already" in done.out


def test_other_bytes_are_refused_and_nothing_is_overwritten(hold: Runner, pg_wal: Path) -> None:
    path = write(pg_wal, name_of(3), make_segment(3))
    assert hold("wal-push", path).out == "", "the server's log stays short"
    path.write_bytes(make_segment(3, seed=1))
    error = hold("--json", "wal-push", path, code=38).error
    assert (error["error"], error["exit_code"]) == ("LogConflictError", 38)
    hold("wal-fetch", name_of(3), pg_wal / "x")
    assert (pg_wal / "x").read_bytes() == make_segment(3)
    history = write(pg_wal, "00000002.history", HISTORY)
    hold("wal-push", history)
    history.write_bytes(HISTORY.replace(b"no", b"a"))
    hold("wal-push", history, code=38)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (name_of(3), make_segment(4), f"it holds segment {name_of(4)}"),
        (name_of(3), make_segment(3, system_id=5), "it belongs to server 5"),
        (name_of(3), make_segment(3, timeline=2), "it holds timeline 2"),
        (name_of(3), make_segment(3)[:-8192], "and segments of this server 1048576"),
        (name_of(3), bytes(1 << 20), "does not begin like"),
        (name_of(3), make_segment(3, magic=0x1234), "does not begin like"),
        (name_of(3), make_segment(3, size=3 << 20), "its header says"),
        (name_of(3), b"", "0 bytes"),
        (f"{name_of(3)}.partial", make_segment(2), f"it holds segment {name_of(2)}"),
        ("00000002.history", b"2\t0/3000\tx\n", "not the history"),
        ("00000002.history", make_segment(3)[:900], "not the history"),
        ("00000002.history", b"\n", "names no ancestor"),
        ("00000002.history", b"#" * (2 << 20), "2097152 bytes"),
        (f"{name_of(3)}.00000028.backup", BACKUP % (b"0" * 24, b"0" * 24), "not the history"),
    ],
)
def test_what_is_not_what_its_name_says(
    hold: Runner, pg_wal: Path, name: str, content: bytes, reason: str
) -> None:
    done = hold("wal-push", write(pg_wal, name, content), code=38)
    assert done.err.startswith(f"holdfast: {name} was not archived: ")
    assert reason in done.err
    hold("wal-fetch", name, pg_wal / "x", code=40 if "." in name else 126)
    assert not (pg_wal / "x").exists()


def test_paths_that_are_no_segments(hold: Runner, pg_wal: Path) -> None:
    assert "no such file" in hold("wal-push", pg_wal / name_of(1), code=38).err
    (pg_wal / name_of(2)).mkdir()
    assert "no regular file" in hold("wal-push", pg_wal / name_of(2), code=38).err
    os.mkfifo(pg_wal / name_of(3))
    assert "no regular file" in hold("wal-push", pg_wal / name_of(3), code=38).err
    for name in ("xlogtemp.1", "0" * 24, f"{name_of(1)}.backup", name_of(1).lower()[:-1] + "a"):
        assert "%p" in hold("wal-push", write(pg_wal, name, b"x"), code=2).err


def test_a_repository_that_cannot_be_used(
    hold: Runner, run: Runner, pg_wal: Path, tmp_path: Path
) -> None:
    """Each ends with its own code, none above 125, and the server keeps its file."""
    path = write(pg_wal, name_of(3), make_segment(3))
    key = ("--key-file", tmp_path / "key")
    assert "no repository was named" in run(*key, "wal-push", path, code=2).err
    assert "no terminal" in run("-r", tmp_path / "repository", "wal-push", path, code=2).err
    run("-r", tmp_path / "none", *key, "wal-push", path, code=10)
    run("-r", tmp_path / "other", "--key-file", tmp_path / "key2", "init")
    hold("--key-file", tmp_path / "key2", "wal-push", path, code=12)
    damage(tmp_path / "repository" / "config")
    hold("wal-push", path, code=13)
    assert path.read_bytes() == make_segment(3)


def test_which_server_it_is(
    hold: Runner, pg_wal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    history = write(elsewhere, "00000002.history", HISTORY)
    assert "--system-id" in hold("wal-push", history, code=2).err
    hold("wal-push", history, "--system-id", "17")
    segment = write(elsewhere, name_of(3), make_segment(3))
    hold("wal-push", segment, "--system-id", "17", code=38)
    hold("wal-push", segment, "--system-id", "x", code=2)
    assert hold("--json", "wal-push", segment).document["system_id"] == str(SYSTEM_ID)
    # Where pg_wal is a symbolic link, the directory that PostgreSQL works in tells.
    hold("wal-fetch", "00000002.history", elsewhere / "x", "--system-id", "17")
    monkeypatch.chdir(pg_wal.parent)
    hold("wal-fetch", name_of(3), elsewhere / "x")
    assert (elsewhere / "x").read_bytes() == make_segment(3)
    (pg_wal.parent / "global" / "pg_control").write_bytes(b"\xff" * 512)
    assert "nobody knows" in hold("wal-fetch", name_of(3), elsewhere / "x", code=126).err


def test_only_an_absent_file_looks_absent_to_a_server(
    hold: Runner, run: Runner, pg_wal: Path, tmp_path: Path
) -> None:
    """PostgreSQL takes 1 to 125 for the end of the log, and goes on without the rest."""
    target = pg_wal / "RECOVERYXLOG"
    done = hold("wal-fetch", name_of(3), target, code=126)
    assert "nothing of server" in done.err, "perhaps the wrong repository"
    done = hold("wal-fetch", "00000002.history", target, code=40)
    assert (done.out, done.err) == ("", ""), "that one is asked for by every recovery"
    hold("wal-push", write(pg_wal, name_of(3), make_segment(3)))
    done = hold("wal-fetch", name_of(4), target, code=40)
    assert (done.out, done.err) == ("", "")
    absent = hold("--json", "wal-fetch", name_of(4), target, code=40).document
    assert list(absent) == WAL_FETCH
    assert absent["logical_bytes"] is None

    good = ("wal-fetch", name_of(3), target)
    failures = {
        "UsageError": hold("--json", *good, "--no-such-option", code=126),
        "ConfigurationError": hold("--json", "wal-fetch", "x", target, code=126),
        "RepositoryNotFoundError": run(
            "--json", "-r", tmp_path / "none", "--key-file", tmp_path / "key", *good, code=126
        ),
        "KeyFileError": hold("--json", "--key-file", tmp_path / "none", *good, code=126),
        "TargetError": hold(
            "--json", "wal-fetch", name_of(3), pg_wal / "a" / "b", "--system-id", str(SYSTEM_ID),
            code=126,
        ),
    }  # fmt: skip
    for name, ended in failures.items():
        assert (ended.error["error"], ended.error["exit_code"]) == (name, 126)
    assert not target.exists()
    (stored,) = (tmp_path / "repository" / "logs").glob("*/*")
    damage(stored)
    assert hold("--json", *good, code=126).error["error"] == "AuthenticationError"
    assert sorted(os.listdir(pg_wal)) == [name_of(3)], "nothing is left of what was damaged"


def test_a_defect_does_not_look_like_the_end_of_the_log(
    hold: Runner, pg_wal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(wal, "fetch_wal", break_down)
    assert "defect" in hold("wal-fetch", name_of(3), pg_wal / "x", code=126).err
    assert code_for_server(["wal-push", "x"], ExitCode.INTERRUPTED) == ExitCode.FAILURE
    assert code_for_server(["wal-push", "x"], ExitCode.LOG_CONFLICT) == ExitCode.LOG_CONFLICT
    assert code_for_server(["wal-fetch"], ExitCode.INTERRUPTED) == ExitCode.INTERRUPTED
    assert code_for_server(["backup"], ExitCode.FAILURE) == ExitCode.FAILURE


def ahead_files(tmp_path: Path) -> dict[str, Path]:
    return {path.name[:24]: path for path in (tmp_path / "cache" / "wal").glob("*/*")}


def test_what_follows_is_fetched_ahead(hold: Runner, pg_wal: Path, tmp_path: Path) -> None:
    for number in (*range(3, 16), 20):
        hold("wal-push", write(pg_wal, name_of(number), make_segment(number)))
    target = pg_wal / "RECOVERYXLOG"

    def fetch(number: int) -> bool:
        got = hold("--json", "wal-fetch", name_of(number), target).document
        assert target.read_bytes() == make_segment(number)
        return bool(got["was_ahead"])

    assert not fetch(3)
    assert set(ahead_files(tmp_path)) == {name_of(number) for number in range(4, 12)}
    for path in ahead_files(tmp_path).values():
        assert path.stat().st_mode & 0o777 == 0o600
    # They are handed out without the repository, once each, and only as they were stored.
    shutil.move(tmp_path / "repository", tmp_path / "away")
    assert fetch(4)
    hold("wal-fetch", name_of(4), target, code=126)
    shutil.move(tmp_path / "away", tmp_path / "repository")
    damage(ahead_files(tmp_path)[name_of(5)])
    assert not fetch(5)
    old = ahead_files(tmp_path)[name_of(6)]
    an_hour_ago = old.stat().st_mtime - 3700
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert not fetch(6)
    assert fetch(7)
    # Another place in the log: what is not wanted from there goes, and gaps end it.
    assert set(ahead_files(tmp_path)) == {name_of(number) for number in range(8, 15)}
    assert not fetch(15)
    assert ahead_files(tmp_path) == {}
    assert not fetch(3)
    hold("wal-fetch", name_of(8), target, "--ahead", "0")
    assert len(ahead_files(tmp_path)) == 8, "left alone"
    for number in (4, 5):
        os.utime(ahead_files(tmp_path)[name_of(number)], (an_hour_ago, an_hour_ago))
    hold("wal-push", pg_wal / name_of(3))
    assert set(ahead_files(tmp_path)) == {name_of(number) for number in range(6, 12)}


def test_a_fetch_over_file_systems(hold: Runner, pg_wal: Path) -> None:
    """What lies ahead is copied where it cannot be renamed."""
    for number in (3, 4):
        hold("wal-push", write(pg_wal, name_of(number), make_segment(number)))
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no second file system")
    target = Path("/dev/shm") / f"holdfast-test-{os.getpid()}"
    try:
        for number in (3, 4):
            words = ("wal-fetch", name_of(number), target, "--system-id", str(SYSTEM_ID))
            assert hold("--json", *words).document["was_ahead"] is (number == 4)
            assert target.read_bytes() == make_segment(number)
    finally:
        target.unlink(missing_ok=True)


def test_rests_of_killed_fetches_go(hold: Runner, pg_wal: Path) -> None:
    hold("wal-push", write(pg_wal, name_of(3), make_segment(3)))
    old, young = pg_wal / "RECOVERYXLOG.12345678.part", pg_wal / "RECOVERYXLOG.87654321.part"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    hold("wal-fetch", name_of(3), pg_wal / "RECOVERYXLOG")
    assert not old.exists()
    assert young.exists()


def test_no_room_for_a_cache_is_needed(hold: Runner, pg_wal: Path, tmp_path: Path) -> None:
    """A server whose disk is full of its own log must be able to archive it."""
    path = write(pg_wal, name_of(3), make_segment(3))
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    hold("wal-push", path)
    assert [path.name for path in (tmp_path / "cache").glob("**/*") if path.is_file()] == ["slot"]
    in_the_way = tmp_path / "no directory"
    in_the_way.write_bytes(b"")
    hold("--cache-dir", in_the_way, "wal-push", path)
    hold("--cache-dir", in_the_way, "wal-fetch", name_of(3), pg_wal / "x")
    assert (pg_wal / "x").read_bytes() == make_segment(3)


def test_interrupted_by_a_shutdown(hold: Runner, pg_wal: Path, tmp_path: Path) -> None:
    """SIGTERM while it waits for a password command: one line, and the code that fits."""
    path = write(pg_wal, name_of(3), make_segment(3))
    hold("wal-push", path)
    base = [sys.executable, "-m", "holdfast_cli", "-r", str(tmp_path / "repository")]
    base += ["--cache-dir", str(tmp_path / "cache2"), "--password-command"]
    calls = {1: ["wal-push", str(path)], 130: ["wal-fetch", name_of(3), str(pg_wal / "x")]}
    running = {}
    for code, words in calls.items():
        command = f"sh -c 'touch {tmp_path}/waits-{code}; exec sleep 20'"
        # To a file: the command may outlive who started it, and keep a pipe open.
        with (tmp_path / f"err-{code}").open("wb") as err:
            running[code] = subprocess.Popen(
                [*base, command, *words], env=environment_for_processes(), stderr=err
            )
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("waits-*"))) < len(calls):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for code, process in running.items():
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == code
        assert (tmp_path / f"err-{code}").read_bytes() == b"holdfast: interrupted\n"
