"""Every way in which a mount ends leaves nothing mounted, and says why if need be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.mounting import MountProcess, Store, mounted_at, wait_until


@pytest.fixture
def mounted(store: Store, source: Path) -> MountProcess:
    store.back_up(source)
    return store.mount()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal(mounted: MountProcess, source: Path, number: int) -> None:
    with mounted:
        held = os.open(mounted.at(source) / "a.txt", os.O_RDONLY)
        outcome = mounted.end(number).check(0)
        assert (outcome.out, outcome.err) == ("", "")
        assert not mounted_at(mounted.mountpoint)
        with pytest.raises(OSError, match=r"connected|aborted"):
            os.pread(held, 1 << 20, 0)
        with suppress(OSError):
            os.close(held)
        assert os.listdir(mounted.mountpoint) == []


def test_a_signal_that_is_ignored(store: Store, source: Path) -> None:
    """`nohup` has SIGHUP ignored."""
    store.back_up(source)
    with store.mount(prefix=["nohup"]) as mounted:
        mounted.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert (mounted.at(source) / "a.txt").read_bytes() == b"alpha\n"
        mounted.end().check(0)


def test_umount(mounted: MountProcess) -> None:
    with mounted:
        program = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
        subprocess.run([*program, str(mounted.mountpoint)], check=True, timeout=10)
        outcome = mounted.wait().check(0)
        assert (outcome.out, outcome.err) == ("", "")


def test_umount_while_a_file_is_open(mounted: MountProcess, source: Path) -> None:
    """It is refused, and nothing is lost; a lazy one waits for the last reader."""
    with mounted:
        with (mounted.at(source) / "a.txt").open("rb") as held:
            words = ["fusermount3", "-u", str(mounted.mountpoint)]
            assert subprocess.run(words, capture_output=True, check=False).returncode != 0
            words[1:1] = ["-z"]
            subprocess.run(words, check=True, timeout=10)
            assert held.read() == b"alpha\n"
            assert mounted.process.poll() is None
        mounted.wait().check(0)


def test_kill_9(mounted: MountProcess) -> None:
    """fusermount3 watches and unmounts."""
    with mounted:
        mounted.process.kill()
        mounted.process.wait()
        assert wait_until(lambda: not mounted_at(mounted.mountpoint))
        assert os.listdir(mounted.mountpoint) == []


@pytest.mark.parametrize("way", ["removed", "moved away"])
def test_the_repository_goes_away(
    mounted: MountProcess, store: Store, source: Path, way: str
) -> None:
    with mounted:
        os.listdir(mounted.at(source))
        if way == "removed":
            shutil.rmtree(store.path)
        else:
            store.path.rename(store.directory / "elsewhere")
        outcome = mounted.wait().check(10)
        assert outcome.error["error"] == "RepositoryVanishedError"
        assert str(store.path) in outcome.error["message"]
        assert not mounted_at(mounted.mountpoint)


def test_readers_that_give_up(mounted: MountProcess, source: Path) -> None:
    """Programs that are killed in the middle of a read, and storms of short ones."""
    with mounted:
        path = mounted.at(source) / "a.txt"
        for seconds in ("0.01", "0.03", "0.1"):
            words = [
                "timeout",
                "-s",
                "KILL",
                seconds,
                "sh",
                "-c",
                'while cat "$0"; do :; done',
                path,
            ]
            subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
        storm = [subprocess.Popen(["stat", path], stdout=subprocess.DEVNULL) for _ in range(60)]
        assert [one.wait(timeout=20) for one in storm] == [0] * 60
        assert path.read_bytes() == b"alpha\n"
        assert mounted.errors == ""
        mounted.end().check(0)
