"""A file of a snapshot on the whole screen: as text, as hex, compared with the version before."""

from __future__ import annotations

from enum import Enum, auto
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from holdfast_cli.browse import palette
from holdfast_cli.browse.base_screen import BaseScreen, keys
from holdfast_cli.browse.entries import Entry
from holdfast_cli.browse.preview import (
    COMPARE_SIZE,
    VIEW_SIZE,
    Line,
    Tone,
    compare_lines,
    content_lines,
)
from holdfast_cli.browse.rows import size_text
from holdfast_cli.browse.text import moment, screen_name
from holdfast_cli.browse.widgets import Bar, KeyBar, LinesView


class _Mode(Enum):
    """How the file is shown."""

    CONTENT = auto()
    """As text, or as hex where it is no text."""
    OTHER = auto()
    """As hex, or as text where it is no text."""
    COMPARED = auto()


class ViewerScreen(BaseScreen):
    """Shows the beginning of a file.

    Args:
        entry: the file.
        compare: begin with the differences.
    """

    KEYS = (
        ("Esc", "back"), ("↑↓←→", "scroll"), ("x", "hex or text"), ("d", "diff"),
        ("v", "versions"), ("r", "restore"), ("?", "keys"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        keys("escape,backspace", "back"),
        keys("x", "other"),
        keys("d", "compare"),
        keys("v", "versions"),
        keys("r", "restore"),
    ]

    def __init__(self, entry: Entry, *, compare: bool = False) -> None:
        super().__init__()
        self._entry = entry
        self._mode = _Mode.COMPARED if compare else _Mode.CONTENT
        self._is_hex = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Bar(id="title")
        yield LinesView(id="lines")
        yield Bar(id="status")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        """Begin to read."""
        entry = self._entry
        title = [("holdfast", palette.MARK), (" › ", palette.FAINT)]
        title += [(moment(entry.snapshot.time_ns), palette.PLAIN), (" › ", palette.FAINT)]
        title += [(screen_name(entry.path), palette.BOLD)]
        self.query_one("#title", Bar).show(title)
        self.query_one("#keys", KeyBar).show(self.KEYS)
        self.set_focus(self.query_one(LinesView))
        self.ready = True
        self._load()

    def _load(self) -> None:
        self.query_one(LinesView).show([Line("reading …", Tone.DIM)])
        mode = self._mode

        self.in_thread(lambda: self._make(mode), lambda made: self._show(mode, *made))

    def tell(self, sentence: str) -> None:
        """Show a sentence instead of the file."""
        self.query_one(LinesView).show([Line(sentence, Tone.BAD)])

    def _make(self, mode: _Mode) -> tuple[list[Line], bool]:
        """Return the lines for a mode, and whether they are hex; in a thread."""
        library, entry = self.browser.library, self._entry
        if mode == _Mode.COMPARED:
            return self._compare(), False
        head = library.head(entry, VIEW_SIZE)
        lines, is_hex = content_lines(head)
        if mode == _Mode.OTHER:
            return content_lines(head, as_hex=not is_hex)
        return lines, is_hex

    def _compare(self) -> list[Line]:
        library, entry = self.browser.library, self._entry
        before = self.browser.series.previous(entry.snapshot)
        old = None if before is None else library.find_like(entry, before)
        if before is None:
            return [Line("there is no earlier snapshot to compare with", Tone.NOTE)]
        then = f"the snapshot of {moment(before.time_ns)}"
        if old is None or not old.is_file:
            return [Line(f"this file is not in {then}", Tone.NOTE)]
        if old.node.content == entry.node.content and old.node.size == entry.node.size:
            return [Line(f"the same as in {then}; v lists all versions", Tone.NOTE)]
        titles = (moment(before.time_ns), moment(entry.snapshot.time_ns))
        heads = (library.head(old, COMPARE_SIZE), library.head(entry, COMPARE_SIZE))
        return compare_lines(*heads, titles)

    def _show(self, mode: _Mode, lines: list[Line], is_hex: bool) -> None:
        if mode == self._mode:
            self._is_hex = is_hex
            self.query_one(LinesView).show(lines)
            self._show_status()

    @on(LinesView.Scrolled)
    def _show_status(self) -> None:
        first, end, total = self.query_one(LinesView).position
        what = "hex" if self._is_hex else "text"
        if self._mode == _Mode.COMPARED:
            what = "changes since the snapshot before"
        text = f"{what} · {size_text(self._entry)} · modified {moment(self._entry.node.mtime_ns)}"
        place = f"lines {first + 1:,} to {end:,} of {total:,} "
        self.query_one("#status", Bar).show([(text, palette.FAINT)], [(place, palette.FAINT)])

    def action_other(self) -> None:
        """Show hex instead of text, or the reverse."""
        self._mode = _Mode.OTHER if self._mode == _Mode.CONTENT else _Mode.CONTENT
        self._load()

    def action_compare(self) -> None:
        """Show what changed since the snapshot before; once more: the content."""
        compared = self._mode == _Mode.COMPARED
        self._mode = _Mode.CONTENT if compared else _Mode.COMPARED
        self._load()

    def action_versions(self) -> None:
        """List the versions of this file."""
        self.browser.show_versions(self._entry)

    def action_restore(self) -> None:
        """Restore this file."""
        self.browser.ask_restore([self._entry])

    def action_back(self) -> None:
        """Leave the file."""
        self.browser.pop_screen()
