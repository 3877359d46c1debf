"""One `holdfast` process, and what is done to it while it runs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
OPERATIONS: Final = (30, 60, 120)
"""Of the storage in one process, about; a moment drawn beyond its last does nothing."""
_LOG_STEPS: Final = tuple(
    f"{when} {step}" for step in ("condemn", "close", "seal") for when in ("before", "after")
)
STEPS: Final = {"backup": ("commit",), "tag": ("commit",), "prune": _LOG_STEPS}
"""Steps of the protocol that a kind of command goes through."""
LIMIT_S: Final = 150.0
"""How long a process may run, not counting when it is stopped: five times a writer's patience."""
SHORT_S: Final = 1.5
"""A short stop: a cycle of prune takes less."""
SHORTEST_LIFE_S: Final = 0.1
LONGEST_LIFE_S: Final = 1.0


@dataclass(slots=True)
class Faults:
    """What is planned against one process."""

    stop_at: list[str] = field(default_factory=list)
    """Moments at which it stops itself, as `launcher.py` calls them."""
    die_at: str = ""
    """When it dies; empty for never."""
    stops_s: list[float] = field(default_factory=list)
    """Seconds after its start at which it is stopped."""
    kill_s: float | None = None
    sleeps_s: list[float] = field(default_factory=list)
    """How long each stop lasts."""

    @property
    def may_kill(self) -> bool:
        return bool(self.die_at) or self.kill_s is not None


def draw_faults(chance: random.Random, longest_s: float, kind: str) -> Faults:
    """Draw what is done to a process; about half are left alone.

    Args:
        chance: decides.
        longest_s: that a stop lasts.
        kind: of command.
    """
    faults = Faults()
    if chance.random() < 0.5:
        return faults
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        if chance.random() < 0.7:
            faults.stop_at.append(_draw_moment(chance, kind))
        else:
            faults.stops_s.append(chance.uniform(SHORTEST_LIFE_S, LONGEST_LIFE_S))
        is_long = chance.random() < 0.4
        faults.sleeps_s.append(chance.uniform(0.2, longest_s if is_long else SHORT_S))
    kind_of_end = chance.random()
    if kind_of_end < 0.3:
        faults.die_at = _draw_moment(chance, kind)
    elif kind_of_end < 0.45:
        faults.kill_s = chance.uniform(SHORTEST_LIFE_S, 2 * LONGEST_LIFE_S + longest_s)
    faults.stops_s.sort()
    return faults


def _draw_moment(chance: random.Random, kind: str) -> str:
    steps = STEPS.get(kind, ())
    if steps and chance.random() < 0.4:
        return chance.choice(steps)
    return str(chance.randrange(1, chance.choice(OPERATIONS)))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def error(self) -> str:
        """The name of the error it reported; empty if there was none."""
        for line in reversed(self.err.splitlines()):
            if line.startswith('{"event": "error"'):
                return str(json.loads(line)["error"])
        return ""

    @property
    def document(self) -> Any:
        """The JSON value that it wrote; None if it was not finished."""
        try:
            return json.loads(self.out)
        except json.JSONDecodeError:
            return None

    @property
    def summary(self) -> dict[str, Any]:
        """The event that says what was done; empty if it was not written."""
        for line in reversed(self.out.splitlines(keepends=True)):
            if line.startswith('{"event": "summary"') and line.endswith("}\n"):
                summary: dict[str, Any] = json.loads(line)
                return summary
        return {}


class Process:
    """A running `holdfast`.

    Args:
        words: the command line.
        faults: what is planned.
        launcher: options of `launcher.py`; the program is started directly if None.
        logs: directory for what it writes.
        stdin: a file, or nothing.
    """

    _count = 0

    def __init__(
        self,
        words: Sequence[str],
        faults: Faults,
        *,
        launcher: Sequence[str] | None,
        logs: Path,
        stdin: Path | None = None,
    ) -> None:
        Process._count += 1
        self.number = Process._count
        self.words = list(words)
        self.stops = 0
        self.started_s = time.monotonic()
        self.may_kill = faults.may_kill
        self.faults = str(faults)
        """As planned at the start, for people."""
        self._faults = faults
        self._stopped_s = 0.0
        self._awake_at_s: float | None = None
        self._out, self._err = logs / f"{self.number}.out", logs / f"{self.number}.err"
        command = [sys.executable, "-m", "holdfast_cli"]
        if launcher is not None:
            moments = [word for stop in faults.stop_at for word in ("--stop-at", stop)]
            moments += ["--die-at", faults.die_at]
            command = [sys.executable, str(HERE / "launcher.py"), *launcher, *moments, "--"]
        with (
            open(stdin or os.devnull, "rb") as source,
            self._out.open("wb") as out,
            self._err.open("wb") as err,
        ):
            self._process = subprocess.Popen(
                [*command, *words],
                stdin=source,
                stdout=out,
                stderr=err,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_stopped(self) -> bool:
        return self._awake_at_s is not None

    def poll(self) -> Ended | None:
        """Do to it what is due; return how it ended if it has."""
        code = self._process.poll()
        if code is not None:
            return Ended(code, _text(self._out), _text(self._err))
        now_s = time.monotonic()
        faults, age_s = self._faults, now_s - self.started_s
        if faults.kill_s is not None and age_s >= faults.kill_s:
            self.kill()
        elif self._awake_at_s is not None:
            if now_s >= self._awake_at_s:
                self._wake(now_s)
        elif faults.stops_s and age_s - self._stopped_s >= faults.stops_s[0]:
            faults.stops_s.pop(0)
            self._process.send_signal(signal.SIGSTOP)
            self._fall_asleep(now_s)
        elif self._has_stopped_itself():
            self._fall_asleep(now_s)
        elif age_s - self._stopped_s > LIMIT_S:
            self._process.send_signal(signal.SIGABRT)
        return None

    def leave_alone(self) -> None:
        """Do nothing to it any more."""
        faults = self._faults
        faults.stops_s.clear()
        faults.kill_s = None
        faults.sleeps_s = [0.0] * len(faults.sleeps_s)
        if self._awake_at_s is not None:
            self._awake_at_s = 0.0

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def delete_logs(self) -> None:
        """Delete what it has written."""
        self._out.unlink()
        self._err.unlink()

    def _fall_asleep(self, now_s: float) -> None:
        self.stops += 1
        sleeps_s = self._faults.sleeps_s
        self._awake_at_s = now_s + (sleeps_s.pop() if sleeps_s else 0.0)
        self._stopped_s -= now_s

    def _wake(self, now_s: float) -> None:
        self._awake_at_s = None
        self._stopped_s += now_s
        self._process.send_signal(signal.SIGCONT)

    def _has_stopped_itself(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is not None
        except ChildProcessError:
            return False


def _environment() -> dict[str, str]:
    """Return the environment of a process: our sources, and details of defects."""
    kept = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251
        if not name.startswith(("HOLDFAST_", "_HOLDFAST_", "XDG_"))
    }
    path = os.pathsep.join(str(ROOT / part) for part in ("engine", "cli"))
    return {**kept, "PYTHONPATH": path, "HOLDFAST_DEBUG": "1", "LANG": "C.UTF-8", "TZ": "UTC"}


def _text(path: Path) -> str:
    return path.read_text("utf-8", "backslashreplace")
