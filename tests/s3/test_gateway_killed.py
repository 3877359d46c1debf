"""The gateway is killed (-9) and comes back in the middle of a command, or does not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from s3.conftest import options
from s3.test_round import restored
from support.buckets import Bucket
from support.ceph import Gateway
from support.command_line import Outcome, Runner, environment_for_processes
from support.repos import write_tree
from support.trees import read_tree

AWAY_S = 1.0
"""How long a gateway is gone: several waits of a command that repeats its requests."""
SIZE = 12_000_000
LIMIT = "5M"
"""Of bandwidth, so that a command takes a while."""
PACKS = "repository/packs/"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A tree of 12 MB in 24 files."""
    chance = random.Random(7)
    files = {b"d%d/f%d" % (n % 4, n): chance.randbytes(SIZE // 24) for n in range(24)}
    return write_tree(tmp_path / "large", files)


@pytest.fixture
def mortal(bucket: Bucket, gateway: Gateway, tmp_path: Path) -> list[str]:
    """Global options for the repository by the gateway that is killed."""
    return options(bucket.location(endpoint=gateway.endpoint), tmp_path, "mortal-cache")


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast_cli", *(str(argument) for argument in arguments)],
        env=environment_for_processes(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[bytes]) -> Outcome:
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def wait_until(is_true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert process.poll() is None, end(process)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_and_restart(gateway: Gateway, process: subprocess.Popen[bytes]) -> Outcome:
    """Kill the gateway, let it be away for a while, and wait for the command's end."""
    gateway.kill()
    assert process.poll() is None, "it was too fast to be disturbed"
    time.sleep(AWAY_S)
    assert process.poll() is None, end(process)
    gateway.start()
    return end(process)


def test_a_backup_goes_on(
    hold: Runner, bucket: Bucket, gateway: Gateway, mortal: list[str], large: Path, tmp_path: Path
) -> None:
    process = start(*mortal, "--limit-upload", LIMIT, "backup", large)
    wait_until(lambda: len(bucket.keys(PACKS)) > 2, process)
    kill_and_restart(gateway, process).check()
    assert len(bucket.keys(PACKS)) < 2 * SIZE >> 20  # packs were not stored twice
    restored(hold, "latest", large, tmp_path / "target")
    hold("check", "--read-data")


def test_a_restore_goes_on(
    hold: Runner, gateway: Gateway, mortal: list[str], large: Path, tmp_path: Path
) -> None:
    hold("backup", large)
    target = tmp_path / "target"
    words = ("--limit-download", LIMIT, "restore", f"latest:{large}", "--target", target)
    process = start(*mortal, *words)
    wait_until(target.exists, process)
    time.sleep(0.5)  # of 2.4 that the packs take, all at once
    kill_and_restart(gateway, process).check()
    assert read_tree(os.fsencode(target)) == read_tree(os.fsencode(large))


@pytest.mark.parametrize("moment", ["gc/", "packs/"])
def test_a_prune_goes_on(
    hold: Runner,
    bucket: Bucket,
    gateway: Gateway,
    mortal: list[str],
    large: Path,
    tmp_path: Path,
    moment: str,
) -> None:
    """Killed after it has condemned, and after it has begun to delete or to repack."""
    gone = hold("backup", large, "--json", "-q").events[-1]["snapshot"]
    for number in range(0, 24, 2):
        (large / f"d{number % 4}" / f"f{number}").write_bytes(b"changed")
    hold("backup", large)
    hold("forget", gone)
    before = bucket.keys(f"repository/{moment}").keys()
    process = start(*mortal, "prune", "--max-unused", "0", "--wait", "0s", "--json", "-q")
    wait_until(lambda: bucket.keys(f"repository/{moment}").keys() != before, process)
    event = kill_and_restart(gateway, process).check().events[-1]
    assert (event["outcome"], event["snapshots_removed"]) == ("done", 1)
    assert sum(bucket.keys(PACKS).values()) < 0.6 * SIZE
    restored(hold, "latest", large, tmp_path / "target")
    (found,) = [e for e in hold("check", "--read-data", "--json", "-q").events if "ok" in e]
    assert (found["ok"], found["unused_packs"]) == (True, 0)


def test_a_gateway_that_stays_away_ends_a_backup_cleanly(
    hold: Runner,
    run: Runner,
    bucket: Bucket,
    gateway: Gateway,
    mortal: list[str],
    large: Path,
    tmp_path: Path,
    impatient: None,
) -> None:
    def kill() -> None:
        while len(bucket.keys(PACKS)) < 3 and gateway.is_running:
            time.sleep(0.01)
        gateway.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    error = run(*mortal, "--limit-upload", LIMIT, "--json", "backup", large, code=26)
    killer.join()
    assert f"connection refused by 127.0.0.1:{gateway.port}" in error.err.splitlines()[-1]
    stored = sum(bucket.keys(PACKS).values())
    assert 2_000_000 < stored < SIZE
    assert hold("snapshots", "--json").document == []
    gateway.start()
    again = run(*mortal, "backup", large, "--json", "-q").events[-1]
    assert again["bytes_added"] < SIZE - stored / 2
    restored(hold, "latest", large, tmp_path / "target")
    hold("check", "--read-data")


def test_a_backup_that_was_killed_is_taken_over(
    hold: Runner, base: list[str], bucket: Bucket, large: Path, tmp_path: Path
) -> None:
    process = start(*base, "--limit-upload", LIMIT, "backup", large)
    wait_until(lambda: len(bucket.keys(PACKS)) > 8, process)
    process.send_signal(signal.SIGKILL)
    assert end(process).code == -signal.SIGKILL
    assert hold("snapshots", "--json").document == []
    again = hold("backup", large, "--json", "-q").events[-1]
    # Eight may be on their way, of which nobody knew yet that they had arrived.
    assert again["bytes_added"] < SIZE - 900_000
    restored(hold, "latest", large, tmp_path / "target")
    hold("check", "--read-data")
