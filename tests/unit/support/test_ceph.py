"""The cluster that tests share: one for all who ask, and gone when the last of them is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support import ceph
from support.command_line import SOURCE_ROOT

USER = """
import sys, time
from pathlib import Path
from support.ceph import shared_cluster
with shared_cluster(Path(sys.argv[1])) as cluster:
    print(cluster.directory, cluster.port, flush=True)
    time.sleep(300)
"""


@contextmanager
def user(directory: Path) -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """Run a process that uses the cluster until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)],
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT / "tests")},  # noqa: TID251
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        home, port = process.stdout.readline().split()
        yield process, Path(home), int(port)
    finally:
        process.kill()
        process.communicate()


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(bool(ceph.is_missing()), reason=ceph.is_missing())
def test_all_share_one_and_the_last_takes_it_away_even_when_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, home, port = stack.enter_context(user(tmp_path))
        second, same_home, same_port = stack.enter_context(user(tmp_path))
        assert (same_home, same_port) == (home, port)
        used = sum(path.lstat().st_blocks * 512 for path in home.rglob("*"))
        assert used < 100 << 20
        first.kill()
        first.wait()
        time.sleep(1)
        assert is_open(port)
        second.kill()
    wait_until(lambda: not home.exists())
    assert not is_open(port)
    assert not (tmp_path / "state.json").exists()


def test_a_start_that_fails_is_told_to_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is no reason to skip."""
    for program in ("ceph-authtool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho no {program} today; exit 3\n")
        path.chmod(0o755)
    variables = [str(tmp_path / "bin"), os.environ["PATH"]]  # noqa: TID251
    monkeypatch.setenv("PATH", os.pathsep.join(variables))
    assert ceph.is_missing() == ""
    for _ in range(2):
        with (
            pytest.raises(ceph.CephError, match="no ceph-authtool today"),
            ceph.shared_cluster(tmp_path / "place"),
        ):
            pass


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: name if name == "ceph" else None)
    assert ceph.is_missing().startswith("no ceph-mon ceph-osd radosgw radosgw-admin setpriv here")
