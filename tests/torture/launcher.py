"""`holdfast` with a clock that is wrong and a process that falls asleep or dies at a given moment.

    python launcher.py --skew-s 31536000 --stop-at 17 --events FILE -- prune --wait 0s

Moments are operations of the storage: each begins one, and each that changes something ends in
another. Steps of the protocol have names: "commit" lies between a commit and the look whether it
stays, "before close" and "after close" are around that entry of the log. What the log of prune goes
through is written to FILE, one event a line, and nothing else of the program is changed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.backends.local import LocalBackend
from holdfast.clock import SystemClock
from holdfast.format.gc import Seal
from holdfast.repository import settling
from holdfast.repository.gc_log import GcLog
from holdfast_cli.main import main

_READING = ("read", "list", "size", "get", "head", "list_page")
_CHANGING = ("publish", "delete", "put", "complete_upload")


class Moments:
    """Counts operations of the storage, and sleeps or dies where it was told to.

    Args:
        stops: operations and steps, each of which stops the process.
        dies: the one that ends it; empty for none.
    """

    def __init__(self, stops: Sequence[str], dies: str) -> None:
        self._stops = list(stops)
        self._dies = dies
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def count(self) -> None:
        """Note the next operation."""
        with self._lock:
            number = next(self._numbers)
        self.reach(str(number))

    def reach(self, moment: str) -> None:
        """Stop or die if this is a moment for it; each stops once."""
        if moment == self._dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if moment in self._stops:
            self._stops.remove(moment)
            os.kill(os.getpid(), signal.SIGSTOP)


def run(arguments: Sequence[str] | None = None) -> int:
    """Patch what was asked for and run the command line after `--`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skew-s", type=float, default=0.0)
    parser.add_argument("--patience-s", type=float, default=settling.PATIENCE_S)
    parser.add_argument("--stop-at", action="append", default=[])
    parser.add_argument("--die-at", default="")
    parser.add_argument("--events", required=True)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args(arguments)
    skew_ns = int(options.skew_s * 1e9)
    SystemClock.now_ns = lambda self: time.time_ns() + skew_ns  # type: ignore[method-assign]
    settling.PATIENCE_S = options.patience_s  # type: ignore[misc]
    moments = Moments(options.stop_at, options.die_at)
    _watch_log(options.events, moments)
    _count_operations(moments, any(word.startswith("s3://") for word in options.words))
    return main(options.words)


def _count_operations(moments: Moments, is_s3: bool) -> None:
    storage: type = LocalBackend
    if is_s3:
        from holdfast.backends.s3_client import S3Client

        storage = S3Client
    for name in (*_READING, *_CHANGING):
        if hasattr(storage, name):
            setattr(storage, name, _counted(getattr(storage, name), name, moments))


def _counted(function: Callable[..., Any], name: str, moments: Moments) -> Callable[..., Any]:
    @functools.wraps(function)
    def counted(*values: Any, **words: Any) -> Any:
        moments.count()
        result = function(*values, **words)
        if name in _CHANGING:
            moments.count()
        return result

    return counted


def _watch_log(path: str, moments: Moments) -> None:
    append, is_committed = GcLog.append, settling.Settler.is_committed

    def note(word: str) -> None:
        with open(path, "a", encoding="ascii") as file:
            file.write(f"{word} {os.getpid()}\n")

    def noted_append(self: GcLog, state: Any, entry: Any) -> bool:
        step = type(entry).__name__.lower()
        moments.reach(f"before {step}")
        is_ours = append(self, state, entry)
        is_empty = isinstance(entry, Seal) and not entry.host
        word = "emptied" if is_empty else step
        note(f"{word if is_ours else 'beaten'} {state.next}")
        moments.reach(f"after {step}")
        return is_ours

    def noted_is_committed(self: settling.Settler, commit_id: str, view: int) -> bool:
        moments.reach("commit")
        stays = is_committed(self, commit_id, view)
        if not stays:
            note(f"void {commit_id}")
        return stays

    GcLog.append = noted_append  # type: ignore[method-assign]
    settling.Settler.is_committed = noted_is_committed  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(run())
