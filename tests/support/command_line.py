"""Run command lines in process and, where it matters, as real processes."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast_cli.main import main

SOURCE_ROOT = Path(__file__).parents[2]
NOISE = random.Random(1).randbytes(128_000)
"""Bytes that cannot be compressed: the content of the fixture `source`'s inner/b.bin."""


@dataclass(frozen=True)
class Outcome:
    """How a command line ended and what it wrote."""

    code: int
    out_bytes: bytes
    err_bytes: bytes

    @property
    def out(self) -> str:
        return self.out_bytes.decode("utf-8", "surrogateescape")

    @property
    def err(self) -> str:
        return self.err_bytes.decode("utf-8", "surrogateescape")

    @property
    def document(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The JSON line on standard error."""
        (line,) = self.err.splitlines()
        value = json.loads(line)
        assert isinstance(value, dict)
        return value

    def check(self, code: int = 0) -> Outcome:
        """Assert how it ended, and that no traceback was seen whatever happened."""
        assert "Traceback" not in self.err
        assert self.code == code, self.err
        return self


class Runner:
    """Runs command lines in process; `base` arguments come before all others."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], base: Sequence[str] = ()) -> None:
        self._capture = capture
        self.base = list(base)

    def __call__(self, *arguments: str | Path, code: int = 0) -> Outcome:
        """Run one and assert its exit code."""
        self._capture.readouterr()
        ended = main([*self.base, *(str(argument) for argument in arguments)])
        out, err = self._capture.readouterr()
        return Outcome(ended, out, err).check(code)

    def with_base(self, *base: str | Path) -> Runner:
        """Return a runner with more arguments in front."""
        return Runner(self._capture, [*self.base, *(str(argument) for argument in base)])


def environment_for_processes(**changes: str) -> Mapping[str, str]:
    """Return the tests' environment with the bare checkout on the path."""
    roots = [str(SOURCE_ROOT / "engine"), str(SOURCE_ROOT / "cli")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots), **changes}  # noqa: TID251


def run_process(*arguments: str | Path, **options: Any) -> Outcome:
    """Run `holdfast` as a process of its own to its end."""
    command = [sys.executable, "-m", "holdfast_cli", *(str(argument) for argument in arguments)]
    options.setdefault("env", environment_for_processes())
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run(command, timeout=120, check=False, **options)
    return Outcome(done.returncode, done.stdout or b"", done.stderr or b"")


def run_on_terminal(arguments: list[str], answers: list[bytes]) -> tuple[int, bytes]:
    """Run holdfast on a terminal of its own and type an answer at each prompt."""
    child, terminal = pty.fork()
    if child == 0:
        command = [sys.executable, "-m", "holdfast_cli", *arguments]
        os.execve(sys.executable, command, dict(environment_for_processes()))
    seen = b""
    waiting = list(answers)
    while True:
        try:
            piece = os.read(terminal, 1024)
        except OSError:
            break  # the terminal ends with the process
        if not piece:
            break
        seen += piece
        if waiting and piece.rstrip(b" ").endswith(b":"):
            os.write(terminal, waiting.pop(0))
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), seen


def damage(path: Path) -> None:
    """Flip a bit in the middle of an object."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def largest_pack(repository: Path) -> Path:
    """Return the pack that holds most of the data."""
    return max((repository / "packs").glob("*/*"), key=lambda path: path.stat().st_size)
