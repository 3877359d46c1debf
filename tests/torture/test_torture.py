"""A short torture: whatever is stopped and killed, what was acknowledged is there at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.ceph import Cluster

SCRIPT = Path(__file__).with_name("torture.py")
SECONDS = 5


def run_torture(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--seconds", str(SECONDS), "--seed", "1", *options]
    return subprocess.run(
        [*command, "--directory", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def figures(output: str) -> dict[str, str]:
    return {line[:13].strip(): line[14:] for line in output.splitlines()}


def test_nothing_is_lost_on_a_server_that_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    options = ["--hosts", "3", "--patience", "1", "--longest-stop", "2", "--awake", "3"]
    ran = run_torture(tmp_path, *options, "--seconds", "8", "--ceph", cluster.meeting_place)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = figures(ran.stdout)
    assert "done" in table["backup"]
    assert int(table["gateway"].split()[1]) > 0
    assert "--ceph" in table["again"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    ran = run_torture(tmp_path, "--hosts", "3", "--patience", "1", "--longest-stop", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = figures(ran.stdout)
    assert "done" in table["backup"]
    assert int(table["compared"].split()[0]) > 0
    assert "--seed 1" in table["again"]
    assert list(tmp_path.iterdir()) == []
