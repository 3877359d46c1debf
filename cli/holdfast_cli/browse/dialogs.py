"""What lies over the other screens: the question where to restore to, its progress, help."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from holdfast.operations.restore import Overwrite
from holdfast.units import format_duration, format_size
from holdfast_cli.browse import palette
from holdfast_cli.browse.base_screen import Field
from holdfast_cli.browse.entries import Entry
from holdfast_cli.browse.marks import RestorePart, plan_restore
from holdfast_cli.browse.preview import Tone
from holdfast_cli.browse.restoring import RestoreJob, RestoreState, is_occupied
from holdfast_cli.browse.text import clip_path, moment, screen_name, screen_text
from holdfast_cli.browse.widgets import KeyBar
from holdfast_cli.output.names import count

_MOST_PLACES = 4
_MOST_PROBLEMS = 5
_BAR = 40
_UPDATE_S = 0.2

EXISTING = (
    ("stays; what is missing is added", Overwrite.NEVER),
    ("is replaced where it differs", Overwrite.ALWAYS),
    ("is replaced where it is older", Overwrite.IF_NEWER),
)
"""What may happen to entries that exist: in words, and to the restore."""
SHORT, FULL, OWN = range(3)
LAYOUTS = (
    "in the directory, by short paths",
    "in the directory, by full paths",
    "in their own places",
)
"""Where restored entries lie: in words, for each of the numbers above."""


class DialogScreen(ModalScreen[None]):
    """A box over the screen."""

    def room(self) -> int:
        """Return how many cells a line of the box has."""
        return max(20, min(76, self.app.size.width) - 6)


class Choice(Widget, can_focus=True):
    """One of several values; space and the arrows go through them."""

    DEFAULT_CSS = "Choice { height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,right", "turn(1)", show=False),
        Binding("left", "turn(-1)", show=False),
    ]

    class Turned(Message):
        """Another value was chosen."""

    def __init__(self, label: str, values: Sequence[str], *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._label = label
        self._values = values
        self.chosen = 0

    def action_turn(self, step: int) -> None:
        """Choose the next value, or the one before."""
        self.chosen = (self.chosen + step) % len(self._values)
        self.refresh()
        self.post_message(self.Turned())

    def render(self) -> Text:
        """Draw it."""
        text = Text(f" {self._label:<16}", palette.FAINT, no_wrap=True)
        style = palette.BOLD + palette.ON_CURSOR if self.has_focus else palette.BOLD
        text.append(f" ‹ {self._values[self.chosen]} › ", style)
        return text


class RestoreScreen(DialogScreen):
    """Asks where to restore to.

    Args:
        entries: to restore; at least one.
        target: proposed.
        start: called with the parts and what may happen to what is there.
    """

    KEYS = (("Enter", "restore"), ("Tab", "next field"), ("Space", "change"), ("Esc", "cancel"))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("enter", "start", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(
        self,
        entries: Sequence[Entry],
        target: str,
        start: Callable[[list[RestorePart], Overwrite], None],
    ) -> None:
        super().__init__()
        self._entries = entries
        self._target = target
        self._start = start

    def compose(self) -> ComposeResult:
        """Lay the box out."""
        with Vertical(id="dialog"):
            yield Static(Text(self._headline(), palette.BOLD), id="headline")
            yield Static(id="places")
            yield Field(self._target, id="target", placeholder="directory to restore into")
            yield Choice("What is there", [text for text, _ in EXISTING], id="existing")
            yield Choice("They will lie", LAYOUTS, id="layout")
            yield Static(id="warning")
            yield KeyBar(id="keys")

    def _headline(self) -> str:
        size = sum(entry.node.size for entry in self._entries)
        has_folder = any(entry.is_directory for entry in self._entries)
        amount = "" if has_folder else f", {format_size(size)}"
        things = "1 entry" if len(self._entries) == 1 else f"{len(self._entries):,} entries"
        snapshots = {entry.snapshot.id: entry.snapshot for entry in self._entries}
        if len(snapshots) > 1:
            return f"Restore {things} of {len(snapshots)} snapshots{amount}"
        (snapshot,) = snapshots.values()
        return f"Restore {things}{amount} of {moment(snapshot.time_ns)}"

    def on_mount(self) -> None:
        """Begin with the directory."""
        self.query_one(KeyBar).show(self.KEYS)
        self.set_focus(self.query_one(Field))
        self._show_places()

    def plan(self) -> list[RestorePart]:
        """Return what would be restored where; empty without a directory."""
        layout = self.query_one("#layout", Choice).chosen
        if layout == OWN:
            return plan_restore(self._entries, b"/", full_paths=True)
        target = self.query_one(Field).value.strip()
        if not target:
            return []
        full = os.fsencode(os.path.abspath(os.path.expanduser(target)))
        return plan_restore(self._entries, full, full_paths=layout == FULL)

    @on(Field.Changed)
    @on(Choice.Turned)
    def _show_places(self) -> None:
        parts, room = self.plan(), self.room()
        places = [(path, part.place_of(path)) for part in parts for path in part.paths]
        text = Text()
        for _, place in places[:_MOST_PLACES]:
            text.append("→ " + clip_path(screen_name(place), room - 2) + "\n", palette.PLAIN)
        if len(places) > _MOST_PLACES:
            text.append(f"  … and {len(places) - _MOST_PLACES:,} more\n", palette.FAINT)
        self.query_one("#places", Static).update(text)
        self.query_one("#warning", Static).update(self._warning(parts))

    def _warning(self, parts: Sequence[RestorePart]) -> Text:
        if not parts:
            return Text("type the directory to restore into", palette.MARK)
        if not any(is_occupied(part.target) for part in parts):
            return Text("nothing is overwritten: there is nothing yet", palette.FAINT)
        _, overwrite = EXISTING[self.query_one("#existing", Choice).chosen]
        if overwrite == Overwrite.NEVER:
            return Text("the directory is not empty; what is there stays", palette.FAINT)
        return Text("the directory is not empty: entries with these names change", palette.MARK)

    @on(Field.Submitted)
    def _submitted(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        """Begin to restore."""
        parts = self.plan()
        if parts:
            _, overwrite = EXISTING[self.query_one("#existing", Choice).chosen]
            self.dismiss()
            self._start(parts, overwrite)

    def action_cancel(self) -> None:
        """Restore nothing."""
        self.dismiss()


class ProgressScreen(DialogScreen):
    """Shows how far a restore is, and then how it ended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", show=False),
        Binding("enter", "close", show=False),
    ]

    def __init__(self, job: RestoreJob, ended: Callable[[RestoreState], None]) -> None:
        super().__init__()
        self._job = job
        self._ended = ended
        self._told = False

    def compose(self) -> ComposeResult:
        """Lay the box out."""
        with Vertical(id="dialog"):
            yield Static(id="state")
            yield KeyBar(id="keys")

    def on_mount(self) -> None:
        """Look a few times a second."""
        self.set_interval(_UPDATE_S, self._look)
        self._look()

    def _look(self) -> None:
        state = self._job.state
        self.query_one("#state", Static).update(progress_text(self._job, state, self.room()))
        keys = (("Enter", "close"),) if state.done else (("Esc", "stop"),)
        self.query_one(KeyBar).show(keys)
        if state.done and not self._told:
            self._told = True
            self._ended(state)

    def action_stop(self) -> None:
        """Stop the restore; once it has ended, close."""
        if self._job.state.done:
            self.dismiss()
        else:
            self._job.stop()

    def action_close(self) -> None:
        """Close, once it has ended."""
        if self._job.state.done:
            self.dismiss()


def progress_text(job: RestoreJob, state: RestoreState, room: int) -> Text:
    """Return what the box tells of a restore."""
    target = screen_name(os.path.commonpath([part.target for part in job.parts]))
    text = Text()
    if not state.done:
        text.append("Restoring\n", palette.BOLD)
        text.append("→ " + clip_path(target, room - 2) + "\n\n", palette.PLAIN)
        text.append_text(_bar(state))
        text.append(clip_path(screen_name(state.current), room) + "\n", palette.FAINT)
        return text
    if state.error:
        text.append("The restore failed\n", palette.TONE_STYLES[Tone.BAD])
        text.append(screen_text(state.error) + "\n\n", palette.PLAIN)
    elif state.stopped:
        text.append("Stopped: what was complete stays\n", palette.MARK)
    elif state.problem_count:
        text.append(f"Restored, with {count(state.problem_count, 'problem')}\n", palette.MARK)
    else:
        text.append("Restored\n", palette.TONE_STYLES[Tone.GOOD])
    text.append("→ " + clip_path(target, room - 2) + "\n\n", palette.PLAIN)
    text.append(outcome_text(state) + "\n", palette.PLAIN)
    for problem in state.problems[:_MOST_PROBLEMS]:
        text.append(clip_path(screen_text(problem), room) + "\n", palette.TONE_STYLES[Tone.BAD])
    if state.problem_count > _MOST_PROBLEMS:
        text.append(f"… and {state.problem_count - _MOST_PROBLEMS:,} more\n", palette.FAINT)
    return text


def outcome_text(state: RestoreState) -> str:
    """Return "3 files written (12 KiB), 1 entry was there already; 0.12 s"."""
    took = format_duration(state.seconds)
    if not state.results:  # it did not come to its end, so only progress is known
        entries = "1 entry" if state.items == 1 else f"{state.items:,} entries"
        return f"{entries} and {format_size(state.bytes_written)} so far; {took}"
    words = f"{count(state.files, 'file')} written ({format_size(state.bytes_written)})"
    if state.kept:
        kept = "1 entry was" if state.kept == 1 else f"{state.kept:,} entries were"
        words += f", {kept} there already"
    if state.damaged:
        words += f", {state.damaged:,} DAMAGED in the repository"
    return f"{words}; {took}"


def _bar(state: RestoreState) -> Text:
    text = Text()
    done = format_size(state.bytes_written)
    if state.total_bytes:
        part = min(1.0, state.bytes_written / state.total_bytes)
        full = round(part * _BAR)
        text.append("━" * full, palette.KEY)
        text.append("━" * (_BAR - full), palette.TRACK)
        text.append(f" {part:4.0%}\n", palette.BOLD)
        done += f" of {format_size(state.total_bytes)}"
    entries = "1 entry" if state.items == 1 else f"{state.items:,} entries"
    rate = state.bytes_written / state.seconds if state.seconds > 0 else 0
    text.append(f"{state.phase}: {entries}, {done}, {format_size(rate)}/s\n", palette.PLAIN)
    return text


HELP = (
    ("Move", (
        ("↑ ↓ PgUp PgDn", "move; also Home End, j k g G"),
        ("Enter → l", "open a host, a snapshot, a folder, a file"),
        ("Backspace ← h", "up: the folder above, the snapshots, the hosts"),
        ("[ ]", "the same folder in the snapshot before, after"),
        ("q Ctrl-C", "quit"),
    )),
    ("Look", (
        ("/", "list only names with what is typed, like *.odt"),
        ("f", "find names in this folder and all below"),
        ("d", "what changed since the snapshot before"),
        ("v", "versions of a file or folder in all snapshots"),
        ("o p", "sort by name, size, time; preview on or off"),
        ("F5", "look for new snapshots"),
    )),
    ("Restore", (
        ("Space a u", "mark an entry; all entries; unmark everything"),
        ("r", "restore what is marked, else what is under the cursor"),
    )),
    ("In front of names", (
        ("● ○", "marked; inside of a marked folder"),
        ("+ M U", "added, modified, metadata: since the snapshot before"),
        ("- T R", "removed, other type, renamed: in lists of changes"),
    )),
)  # fmt: skip
"""Keys and signs by topic."""


class HelpScreen(DialogScreen):
    """Explains keys and signs."""

    DEFAULT_CSS = "HelpScreen #dialog { width: 80; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,f1,space,backspace", "dismiss", show=False)
    ]

    def compose(self) -> ComposeResult:
        """Lay the box out."""
        with Vertical(id="dialog"):
            yield Static(help_text())

    def on_click(self, _event: events.Click) -> None:
        """Close."""
        self.dismiss()


def help_text() -> Text:
    """Return the explanation of all keys."""
    width = max(cell_len(keys) for _, group in HELP for keys, _ in group)
    text = Text(no_wrap=True)
    for title, group in HELP:
        text.append(f"{title}\n", palette.BOLD)
        for keys, meaning in group:
            text.append("  " + keys + " " * (width + 2 - cell_len(keys)), palette.KEY)
            text.append(f"{meaning}\n", palette.PLAIN)
    text.rstrip()
    return text
