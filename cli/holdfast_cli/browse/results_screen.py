"""Results of a search, while it goes on: names, changes, versions."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.worker import get_current_worker

from holdfast.errors import HoldfastError
from holdfast_cli.browse import palette, rows
from holdfast_cli.browse.base_screen import Report, keys
from holdfast_cli.browse.entries import SIGN_WORDS, Entry, Sign
from holdfast_cli.browse.list_screen import ListScreen
from holdfast_cli.browse.searches import MOST_RESULTS, Search, VersionSearch
from holdfast_cli.browse.widgets import Bar, RowList
from holdfast_cli.output.names import count

_SHOW_EVERY_S = 0.2


class ResultsScreen(ListScreen):
    """Lists what a search finds.

    Args:
        search: runs as long as the screen is there.
        base: folder that was searched; paths are shown as they are below it.
    """

    KEYS = (
        ("Enter", "view"), ("Space", "mark"), ("r", "restore"), ("g", "go to its folder"),
        ("v", "versions"), ("Esc", "back"), ("?", "keys"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        keys("escape,backspace,left,h", "back"),
        keys("g", "show_folder"),
    ]

    def __init__(self, search: Search, base: bytes) -> None:
        super().__init__()
        self._search = search
        self._base = base
        self._found: list[Entry] = []
        self._more = False
        self._done = False
        self._columns = rows.RESULT_COLUMNS
        if isinstance(search, VersionSearch):
            self._columns = rows.VERSION_COLUMNS

    def on_mount(self) -> None:
        """Begin to search."""
        super().on_mount()
        title = [("holdfast", palette.MARK), (" › ", palette.FAINT)]
        self.query_one("#title", Bar).show([*title, (self._search.title, palette.BOLD)])
        self._show()
        self.run_worker(self._run, thread=True)

    def _run(self) -> None:
        worker = get_current_worker()
        next_s = time.monotonic() + _SHOW_EVERY_S
        try:
            for entry in self._search.run():
                if worker.is_cancelled:
                    return
                if entry is not None and len(self._found) == MOST_RESULTS:
                    self._more = True
                    break
                if entry is not None:
                    self._found.append(entry)
                if time.monotonic() > next_s:
                    self.post_message(Report(self._show))
                    next_s = time.monotonic() + _SHOW_EVERY_S
        except HoldfastError as error:
            failure = error
            self.post_message(Report(lambda: self.tell_error(failure)))
        self._done = True
        self.post_message(Report(self._show))

    def _show(self) -> None:
        self.rows.show(
            self._columns,
            list(self._found),
            self._row,
            cursor=self.rows.cursor,
            empty="nothing" if self._done else "searching …",
        )

    def _row(self, entry: Entry) -> rows.Row:
        if isinstance(self._search, VersionSearch):
            return rows.version_row(entry, self.browser.marks)
        return rows.result_row(entry, self.browser.marks, self._base)

    def status_text(self) -> str:
        """Tell how many there are, and what the sign of the current one means."""
        words = [count(len(self._found), "result")]
        if self._more:
            words = [f"the first {MOST_RESULTS:,} results; there are more"]
        elif not self._done:
            words.append("searching …")
        elif self._search.summary():
            words = [self._search.summary()]
        current = self.rows.current
        if isinstance(current, Entry) and current.sign != Sign.SAME:
            note = f" ({current.note})" if current.note else ""
            words.append(f"this one: {SIGN_WORDS[current.sign]}{note}")
        return " · ".join(words)

    @on(RowList.Chosen)
    def _choose(self, message: RowList.Chosen) -> None:
        message.stop()
        entry = self.rows.current
        if not isinstance(entry, Entry):
            return
        if entry.is_file:
            self.browser.view(entry, compare=entry.sign == Sign.CONTENT)
        else:
            self.action_show_folder()

    def action_show_folder(self) -> None:
        """Leave the results for the folder of the current one."""
        entry = self.rows.current
        if isinstance(entry, Entry):
            self.browser.show_entry(entry)

    def action_back(self) -> None:
        """Leave the results."""
        self.browser.pop_screen()
