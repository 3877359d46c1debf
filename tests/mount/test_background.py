"""Mounts that stay behind: passwords are asked for first, problems go to the log."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.command_line import run_on_terminal, run_process
from support.mounting import Store, mounted_at, unmount_at, wait_until


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    unmount_at(path)


def has_ended(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"  # nobody has waited for it yet


def test_it_returns_once_it_can_be_used(store: Store, source: Path, mountpoint: Path) -> None:
    (source / "rotten").write_bytes(random.Random(1).randbytes(500_000))
    store.back_up(source)
    for path in store.path.glob("packs/*/*"):
        if path.stat().st_size > 300_000:
            path.unlink()
    outcome = run_process(*store.base, "--json", "mount", mountpoint).check(0)
    (event,) = outcome.events
    assert event["event"] == "mounted"
    assert event["mountpoint"] == str(mountpoint)
    log = Path(event["log"])
    assert log.parent == store.directory / "cache"
    assert outcome.err == ""
    seen = mountpoint / "latest" / str(source)[1:]
    with pytest.raises(OSError, match="Input/output error"):
        (seen / "rotten").read_bytes()
    assert os.getsid(event["pid"]) == event["pid"]  # the end of a terminal is not its end
    assert os.stat(f"/proc/{event['pid']}/fd/0").st_rdev == os.makedev(1, 3)
    subprocess.run(["fusermount3", "-u", mountpoint], check=True)
    assert wait_until(has_ended, event["pid"])
    lines = log.read_text().splitlines()
    assert lines
    assert all(f"{source}/rotten" in json.loads(line)["message"] for line in lines)
    assert log.stat().st_mode & 0o777 == 0o600


def test_signals_and_a_second_one_in_the_same_log(
    store: Store, source: Path, mountpoint: Path, tmp_path: Path
) -> None:
    store.back_up(source)
    log = tmp_path / "problems.log"
    for number in (signal.SIGTERM, signal.SIGINT):
        outcome = run_process(*store.base, "mount", "--log", log, mountpoint).check(0)
        assert outcome.err == ""
        assert outcome.out == f"mounted on {mountpoint}; `umount {mountpoint}` ends it\n"
        pid = pid_of(mountpoint)
        os.kill(pid, number)
        assert wait_until(lambda: not mounted_at(mountpoint))
        assert wait_until(has_ended, pid)
    assert log.read_text() == ""


def pid_of(mountpoint: Path) -> int:
    """The process that serves; the one that guards it has the directory's name as well."""
    wanted = {b"holdfast_cli", bytes(mountpoint)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if wanted <= set((process / "cmdline").read_bytes().split(b"\0")):
                return int(process.name)
    raise AssertionError("nobody serves")


def test_the_password_is_asked_for_on_the_terminal(
    tmp_path: Path, source: Path, mountpoint: Path
) -> None:
    base = ["-r", str(tmp_path / "locked"), "--cache-dir", str(tmp_path / "cache")]
    (tmp_path / "password").write_text("secret")
    given = [*base, "--password-file", str(tmp_path / "password")]
    run_process(*given, "init").check(0)
    run_process(*given, "backup", source).check(0)
    words = [*base, "mount", str(mountpoint)]
    code, seen = run_on_terminal(words, [b"wrong\n"])
    assert code == 12
    assert b"wrong password" in seen
    assert not mounted_at(mountpoint)
    code, seen = run_on_terminal(words, [b"secret\n"])
    assert code == 0, seen
    assert b"mounted on" in seen
    assert (mountpoint / "latest" / str(source)[1:] / "a.txt").read_bytes() == b"alpha\n"
