"""Which errors a kernel is given, and what of them is written to the log."""

from __future__ import annotations

import errno
import json
import time
from types import SimpleNamespace

import pytest

from holdfast.errors import HoldfastError, IntegrityError, PathNotFoundError, TransientBackendError
from holdfast.mount.problems import translated
from holdfast_cli import problem_log
from holdfast_cli.output.console import Output
from holdfast_cli.problem_log import ProblemLog


class Told:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, HoldfastError]] = []

    def report(self, path: str, error: HoldfastError) -> None:
        self.problems.append((path, error))


@pytest.mark.parametrize(
    ("error", "number", "reports"),
    [
        (PathNotFoundError("", "/x"), errno.ENOENT, 0),
        (IntegrityError("data", "ab"), errno.EIO, 1),
        (TransientBackendError("s3://b", "packs/x", "reset"), errno.EIO, 1),
    ],
)
def test_errors_of_the_engine(error: HoldfastError, number: int, reports: int) -> None:
    files = Told()
    found = None
    try:
        with translated(files, b"/\xff"):  # type: ignore[arg-type]
            raise error
    except OSError as caught:
        found = caught.errno
    assert found == number
    assert [path for path, _ in files.problems] == ["/\udcff"] * reports


def test_a_problem_is_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns)
    monkeypatch.setattr(problem_log, "time", clock)
    log = ProblemLog(Output(json=True))
    error = IntegrityError("data", "ab")

    def lines() -> list[str]:
        return [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]

    for _ in range(100):
        log("/a", error)
    (line,) = lines()
    assert line.endswith("/a: " + str(error))
    log("/b\x1b\n", error)
    (line,) = lines()
    assert "\x1b" not in line
    assert "\n" not in line
    now[0] += 59
    log("/a", error)
    assert lines() == []
    now[0] += 2
    log("/a", error)
    assert len(lines()) == 1
    for number in range(3000):
        log(f"/{number}", error)
    assert len(lines()) == 3000
