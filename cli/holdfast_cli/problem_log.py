"""What a mount or a server tells about files that it cannot read: one line each on standard error."""

from __future__ import annotations

import threading
import time
from typing import Final

from holdfast.errors import HoldfastError
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import printable
from holdfast_cli.times import format_local

_SILENCE_S: Final = 60.0
"""A program that reads a damaged file tries many times; a line a minute says it."""
_MOST_REMEMBERED: Final = 1000


class ProblemLog:
    """Writes problems as they come, each once a minute at the most. For any thread.

    Args:
        output: standard error, as lines for people or as events.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], float] = {}

    def __call__(self, path: str, error: HoldfastError) -> None:
        """Tell what went wrong with a path."""
        key, now = (path, str(error)), time.monotonic()
        with self._lock:
            if now - self._told.get(key, -_SILENCE_S) < _SILENCE_S:
                return
            if len(self._told) >= _MOST_REMEMBERED:
                self._told.clear()
            self._told[key] = now
            moment = format_local(time.time_ns())
            self._output.warn(f"{moment} {printable(path)}: {error}")
