"""Progress on a terminal: a bar with rate, time left and the file being worked on."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from holdfast.findings import Finding
from holdfast_cli.output.names import printable
from holdfast_cli.output.plain_progress import describe_progress
from holdfast_cli.output.streams import write_error

_INTERVAL_S: Final = 0.2
_BAR_WIDTH: Final = 24


class ProgressBar:
    """Draws at the bottom of the terminal's standard error; wiped when the phase ends.

    It draws only when the operation reports, at most five times a second, so it needs no thread.
    """

    def __init__(self, console: Console | None = None, *, interval_s: float = _INTERVAL_S) -> None:
        self._console = console or Console(stderr=True, highlight=False, emoji=False, markup=False)
        self._interval_s = interval_s
        self._live: Live | None = None
        self._phase = ""
        self._totals: tuple[int | None, int | None] = (None, None)
        self._begun_s = self._next_s = 0.0

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Start drawing."""
        self.end()
        self._phase, self._totals = phase, (total_items, total_bytes)
        self._begun_s = self._next_s = time.monotonic()
        # The streams are not redirected: results written meanwhile belong to standard output.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def update(self, items: int, size: int, current: str = "") -> None:
        """Draw again if the last time is long enough ago."""
        now = time.monotonic()
        if self._live is None or now < self._next_s:
            return
        self._next_s = now + self._interval_s
        self._live.update(self._draw(items, size, current, now - self._begun_s), refresh=True)

    def expect(self, total_items: int, total_bytes: int) -> None:
        """Use better totals from now on."""
        self._totals = (total_items, total_bytes)

    def finding(self, finding: Finding) -> None:
        """Write the problem above the bar."""
        self._say(f"holdfast: {printable(finding.path)}: {printable(finding.problem)}")

    def message(self, text: str) -> None:
        """Write the sentence above the bar."""
        self._say(printable(text))

    def end(self) -> None:
        """Wipe the bar."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, items: int, size: int, current: str, seconds: float) -> Group:
        total = self._totals[1]
        status = Text(describe_progress(self._phase, items, size, self._totals, seconds))
        if total:
            line = Table.grid(padding=(0, 1))
            line.add_row(Bar(total=total, completed=min(size, total), width=_BAR_WIDTH), status)
            return Group(line, _one_line(current))
        return Group(status, _one_line(current))

    def _say(self, text: str) -> None:
        if self._live is None:
            write_error(text)
        else:
            self._console.print(Text(text))


def _one_line(name: str) -> Text:
    """Return a name that is cut to the width of the window instead of wrapped."""
    return Text(printable(name), style="dim", no_wrap=True, overflow="ellipsis")
