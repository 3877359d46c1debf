"""Progress without a terminal: a line to standard error every half minute, as logs like it."""

from __future__ import annotations

import time
from typing import Final

from holdfast.findings import Finding
from holdfast.units import format_duration, format_size
from holdfast_cli.output.names import printable
from holdfast_cli.output.streams import write_error

_INTERVAL_S: Final = 30.0


class PlainProgress:
    """Writes how far the operation is, what goes wrong, and nothing if it is over at once."""

    def __init__(self, *, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._phase = ""
        self._totals: tuple[int | None, int | None] = (None, None)
        self._begun_s = self._next_s = 0.0

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Start counting the time."""
        self._phase, self._totals = phase, (total_items, total_bytes)
        self._begun_s = time.monotonic()
        self._next_s = self._begun_s + self._interval_s

    def update(self, items: int, size: int, current: str = "") -> None:  # noqa: ARG002
        """Write a line if the last one is half a minute ago."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + self._interval_s
        seconds = now - self._begun_s
        write_error(describe_progress(self._phase, items, size, self._totals, seconds))

    def expect(self, total_items: int, total_bytes: int) -> None:
        """Use better totals from now on."""
        self._totals = (total_items, total_bytes)

    def finding(self, finding: Finding) -> None:
        """Write the problem."""
        write_error(f"holdfast: {printable(finding.path)}: {printable(finding.problem)}")

    def message(self, text: str) -> None:
        """Write the sentence."""
        write_error(printable(text))

    def end(self) -> None:
        """Do nothing: the command's summary follows."""


def describe_progress(
    phase: str, items: int, size: int, totals: tuple[int | None, int | None], seconds: float
) -> str:
    """Return "backup: 1200 of 5000 items, 1.20 GiB of 4.00 GiB, 110 MiB/s, 0:26 min left"."""
    total_items, total_bytes = totals
    parts = []
    if items or total_items:
        parts.append(f"{items}" + (f" of {total_items}" if total_items else "") + " items")
    parts.append(format_size(size) + (f" of {format_size(total_bytes)}" if total_bytes else ""))
    rate = size / seconds if seconds > 0 else 0.0
    parts.append(f"{format_size(rate)}/s")
    if total_bytes and rate and total_bytes > size:
        parts.append(f"{format_duration((total_bytes - size) / rate)} left")
    return f"{phase}: {', '.join(parts)}"
