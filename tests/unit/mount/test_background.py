"""A process that stays behind, and one that waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from holdfast_cli.background import run_in_background
from support.command_line import environment_for_processes
from support.mounting import wait_until

PROGRAM = """
import os, sys, time
from holdfast_cli.background import run_in_background
from holdfast_cli.signals import interruptible

def work(ready):
    open(sys.argv[2], "w").write(str(os.getpid()))
    {body}

with interruptible():
    try:
        code = run_in_background(work, sys.argv[1], lambda pid: print("ready", pid, flush=True))
    except KeyboardInterrupt:
        code = 130
sys.exit(code)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "below" / "log"


def start(body: str, log: Path, tmp_path: Path) -> subprocess.Popen[str]:
    program = PROGRAM.replace("{body}", body.replace("\n", "\n    "))
    return subprocess.Popen(
        [sys.executable, "-c", program, str(log), str(tmp_path / "pid")],
        env=environment_for_processes(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_returns_when_the_other_one_is_ready(log: Path, tmp_path: Path) -> None:
    """Words before that are for the terminal, words after that for the log."""
    body = (
        "print('early', file=sys.stderr, flush=True); ready();"
        " print('late', file=sys.stderr, flush=True); time.sleep(1); return 7"
    )
    process = start(body, log, tmp_path)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "early\n")
    word, pid = out.split()
    assert (word, pid) == ("ready", (tmp_path / "pid").read_text())
    assert wait_until(lambda: log.read_text() == "late\n")
    assert wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists())


@pytest.mark.parametrize(("body", "code"), [("return 12", 12), ("os._exit(30)", 30)])
def test_it_ends_as_the_other_one_has_ended(
    log: Path, tmp_path: Path, body: str, code: int
) -> None:
    process = start(body, log, tmp_path)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, "", "")


def test_who_gives_up_waiting_ends_the_other_one(log: Path, tmp_path: Path) -> None:
    process = start("time.sleep(60)", log, tmp_path)
    assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="--log"):
        run_in_background(lambda _: 0, str(tmp_path / "file" / "log"), lambda _: None)
