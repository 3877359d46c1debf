"""Progress for programs: one JSON line an event, on standard output."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from holdfast.findings import Finding
from holdfast_cli.output.console import format_event

_INTERVAL_S: Final = 1.0


class JsonProgress:
    """Writes events "phase", "progress", "finding" and "message"; with `quiet` findings only.

    A reader that went away must not end a backup: writing stops, the operation goes on.
    """

    def __init__(self, *, quiet: bool = False, interval_s: float = _INTERVAL_S) -> None:
        self._quiet = quiet
        self._interval_s = interval_s
        self._writable = True
        self._phase = ""
        self._totals: tuple[int | None, int | None] = (None, None)
        self._begun_s = self._next_s = 0.0

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Write the event "phase"."""
        self._phase, self._totals = phase, (total_items, total_bytes)
        self._begun_s = time.monotonic()
        self._next_s = self._begun_s + self._interval_s
        if not self._quiet:
            self._write(
                "phase", {"phase": phase, "total_items": total_items, "total_bytes": total_bytes}
            )

    def update(self, items: int, size: int, current: str = "") -> None:
        """Write the event "progress", once a second at the most."""
        now = time.monotonic()
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + self._interval_s
        fields = {
            "phase": self._phase,
            "items": items,
            "bytes": size,
            "total_items": self._totals[0],
            "total_bytes": self._totals[1],
            "seconds": round(now - self._begun_s, 3),
            "current": current,
        }
        self._write("progress", fields)

    def expect(self, total_items: int, total_bytes: int) -> None:
        """Use better totals from now on."""
        self._totals = (total_items, total_bytes)

    def finding(self, finding: Finding) -> None:
        """Write the event "finding"."""
        self._write("finding", {"path": finding.path, "problem": finding.problem})

    def message(self, text: str) -> None:
        """Write the event "message"."""
        if not self._quiet:
            self._write("message", {"message": text})

    def end(self) -> None:
        """Do nothing: the command's summary follows."""

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        if not self._writable:
            return
        try:
            sys.stdout.write(format_event(event, fields) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self._writable = False
