"""The browser as a textual program: its screens and what they share."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.worker import WorkerFailed

from holdfast.errors import HoldfastError
from holdfast.operations.restore import Overwrite
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast_cli.browse import palette
from holdfast_cli.browse.browser_screen import BrowserScreen
from holdfast_cli.browse.dialogs import HelpScreen, ProgressScreen, RestoreScreen, outcome_text
from holdfast_cli.browse.entries import Entry
from holdfast_cli.browse.library import Library
from holdfast_cli.browse.marks import Marks, RestorePart
from holdfast_cli.browse.restoring import RestoreJob, RestoreState
from holdfast_cli.browse.results_screen import ResultsScreen
from holdfast_cli.browse.searches import Search, VersionSearch
from holdfast_cli.browse.series import Series
from holdfast_cli.browse.terminal import TerminalDriver
from holdfast_cli.browse.text import screen_name, screen_text
from holdfast_cli.browse.viewer_screen import ViewerScreen
from holdfast_cli.exit_codes import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PROPOSED = "restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where the browser begins."""

    snapshot: str | None = None
    """Name as on the command line; None for the list of hosts or snapshots."""
    path: bytes = b"/"
    wanted: SnapshotFilter


class BrowseApp(App[int]):
    """The program; ends with an exit code.

    Args:
        library: reads the repository.
        start: where to begin.
    """

    CSS = palette.CSS
    ENABLE_COMMAND_PALETTE = False
    TITLE = "holdfast"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "leave", show=False, priority=True)
    ]

    def __init__(self, library: Library, start: Start) -> None:
        super().__init__(driver_class=TerminalDriver)
        self.library = library
        self.series = Series()
        self.marks = Marks()
        self.reports: list[str] = []
        """What was restored, for the terminal after the program's end."""
        self.error: Exception | None = None
        """Why it could not go on."""
        self._start = start
        self._job: RestoreJob | None = None
        self._code = ExitCode.SUCCESS
        self._main = BrowserScreen()

    def on_mount(self) -> None:
        """Begin; signals end the program as its key does, so that the terminal is set right."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._interrupted)
        self.push_screen(self._main)

    def _interrupted(self) -> None:
        self._code = ExitCode.INTERRUPTED
        self.action_leave()

    def action_leave(self) -> None:
        """End the program; a restore stops after the entry it is at."""
        if self._job is not None:
            self._job.stop()
        self.workers.cancel_all()
        self.exit(self._code)

    def fail(self, error: HoldfastError) -> None:
        """End the program since it cannot go on."""
        self.error = error
        self.action_leave()

    def _handle_exception(self, error: Exception) -> None:
        """End the program for a defect, which is reported as those of other commands are.

        Textual would print a traceback with the values of all variables, keys among them.
        """
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            error = error.error
        if self.error is None:
            self.error = error
        self._close_messages_no_wait()

    def wait(self) -> None:
        """Return when no thread needs the repository any more; after the end of the program."""
        if self._job is not None:
            self._job.wait()
            self._note_end(self._job)
        self.library.close()

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with: damage that was seen counts."""
        if self._code == ExitCode.SUCCESS and self.library.damage:
            return ExitCode.DAMAGED
        return self._code

    def find_start(self, series: Series) -> tuple[Entry, bytes] | None:
        """Return the folder to begin in and the path for the cursor, if one was named.

        To be called in a thread.

        Raises:
            SnapshotNotFoundError, AmbiguousSnapshotError, PathNotFoundError: it is not there.
        """
        if self._start.snapshot is None:
            return None
        snapshot = resolve(series.snapshots, self._start.snapshot, self._start.wanted)
        if self._start.path == b"/":
            return self.library.start_of(snapshot), b""
        entry = self.library.find(snapshot, self._start.path)
        folder = entry if entry.is_directory else self.library.find(snapshot, entry.parent)
        return folder, entry.path

    # -- what the screens ask for ----------------------------------------------------------------

    def view(self, entry: Entry, *, compare: bool = False) -> None:
        """Show a file."""
        self.push_screen(ViewerScreen(entry, compare=compare))

    def show_results(self, search: Search, base: bytes) -> None:
        """Run a search and show what it finds."""
        self.push_screen(ResultsScreen(search, base))

    def show_versions(self, entry: Entry) -> None:
        """List the versions of an entry."""
        line = self.series.line_of(entry.snapshot)
        self.show_results(VersionSearch(self.library, entry, line), entry.parent)

    def show_entry(self, entry: Entry) -> None:
        """Show an entry in its folder."""
        while self.screen is not self._main:
            self.pop_screen()
        self._main.show_entry(entry)

    def show_help(self) -> None:
        """Explain the keys."""
        self.push_screen(HelpScreen())

    def ask_restore(self, entries: Sequence[Entry]) -> None:
        """Ask where to restore entries to, and do it."""
        self.push_screen(RestoreScreen(entries, os.path.abspath(_PROPOSED), self._restore))

    def _restore(self, parts: list[RestorePart], overwrite: Overwrite) -> None:
        self._job = RestoreJob(self.library, parts, overwrite)
        self._job.start()
        self.push_screen(ProgressScreen(self._job, self._restored))

    def _restored(self, state: RestoreState) -> None:
        """Go on after a restore: what was restored need not be marked any more."""
        if self._job is not None:
            self._note_end(self._job)
            self._job = None
        if not state.error and not state.stopped:
            self.marks.clear()
            self._main.marks_changed()

    def _note_end(self, job: RestoreJob) -> None:
        """Remember how a restore ended, for the end of the program."""
        state = job.state
        target = screen_name(os.path.commonpath([part.target for part in job.parts]))
        if state.error or state.damaged:
            self._code = ExitCode.DAMAGED if state.damaged else ExitCode.FAILURE
        elif state.problem_count and self._code == ExitCode.SUCCESS:
            self._code = ExitCode.FINDINGS
        ended = "failed" if state.error else "stopped" if state.stopped else "restored"
        self.reports.append(f"{ended}: {target}: {state.error or outcome_text(state)}")
        self.reports += [f"  {screen_text(problem)}" for problem in state.problems]
