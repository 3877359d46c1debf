"""What the screens with a list have in common: preview, marks, keys, work in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.timer import Timer

from holdfast.format.snapshot import Snapshot
from holdfast.units import format_size
from holdfast_cli.browse import palette
from holdfast_cli.browse.base_screen import BaseScreen, Field, keys
from holdfast_cli.browse.entries import Entry
from holdfast_cli.browse.preview import (
    BLANK,
    PREVIEW_SIZE,
    Line,
    Tone,
    content_lines,
    describe_entry,
    describe_host,
    describe_snapshot,
    listing_lines,
)
from holdfast_cli.browse.series import Host
from holdfast_cli.browse.widgets import Bar, KeyBar, LinesView, RowList

_WIDE = 110
"""Columns from which the preview stands beside the list without being asked for."""
_PREVIEW_DELAY_S = 0.08
_MOST_PREVIEWED = 200


class ListScreen(BaseScreen):
    """A list, a preview of what is under the cursor, and what can be done with it."""

    KEYS: ClassVar[Sequence[tuple[str, str]]] = ()
    """What the last line shows."""
    BINDINGS: ClassVar[list[BindingType]] = [
        keys("space", "mark"),
        keys("a", "mark_all"),
        keys("u", "unmark"),
        keys("r", "restore"),
        keys("p", "preview"),
        keys("v", "versions"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._preview_wanted: bool | None = None
        self._preview_timer: Timer | None = None
        self._note = ""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Bar(id="title")
        with Container(id="body"):
            yield RowList(id="list")
            yield LinesView(id="preview", focusable=False)
        yield Bar(id="status")
        yield Field(id="ask", compact=True)
        yield KeyBar(id="keys")

    @property
    def rows(self) -> RowList:
        """The list."""
        return self.query_one("#list", RowList)

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one("#keys", KeyBar).show(self.KEYS)
        self.set_focus(self.rows)
        self._lay_out()
        self.ready = True

    def on_resize(self, _event: events.Resize) -> None:
        """Put the preview where there is room."""
        self._lay_out()
        self.show_title()

    def _lay_out(self) -> None:
        wide = self.size.width >= _WIDE
        wanted = wide if self._preview_wanted is None else self._preview_wanted
        self.set_class(wanted and wide, "wide")
        self.set_class(wanted and not wide, "low")

    # -- the bars --------------------------------------------------------------------------------

    def tell(self, sentence: str) -> None:
        """Show a sentence until something else happens."""
        self._note = sentence
        self.show_status()

    def show_title(self) -> None:
        """Draw the first line."""

    def show_status(self) -> None:
        """Draw the line below the list."""
        text, style = self.status_text(), palette.FAINT
        if self._note:
            text, style = self._note, palette.MARK
        self.query_one("#status", Bar).show([(text, style)], [(self._marks_text(), palette.MARK)])

    def status_text(self) -> str:
        """Return what the line below the list tells."""
        return ""

    def _marks_text(self) -> str:
        marks = self.browser.marks
        if not len(marks):
            return ""
        size = "" if marks.size is None else f", {format_size(marks.size)}"
        return f"● {len(marks):,} marked{size} "

    # -- what is under the cursor ----------------------------------------------------------------

    def entry_of(self, item: object) -> Entry | None:
        """Return what a mark on an item of the list marks."""
        return item if isinstance(item, Entry) else None

    @on(RowList.Moved)
    def _moved(self, message: RowList.Moved) -> None:
        message.stop()
        if message.by_person:
            self._note = ""
        self.show_status()
        self.refresh_preview()

    def refresh_preview(self) -> None:
        """Show what is under the cursor, once it has stopped."""
        if self._preview_timer is not None:
            self._preview_timer.stop()
        if self.has_class("wide") or self.has_class("low"):
            self._preview_timer = self.set_timer(_PREVIEW_DELAY_S, self._preview)

    def _preview(self) -> None:
        view, item = self.query_one("#preview", LinesView), self.rows.current
        if isinstance(item, Host):
            view.show(describe_host(item))
        elif isinstance(item, Snapshot):
            view.show(describe_snapshot(item))
        elif isinstance(item, Entry):
            view.show([*describe_entry(item), BLANK, Line("…", Tone.DIM)])
            self.in_thread(lambda: self._preview_lines(item), view.show, group="preview")
        else:
            view.show([])

    def _preview_lines(self, entry: Entry) -> list[Line]:
        library, lines = self.browser.library, [*describe_entry(entry), BLANK]
        if entry.is_file:
            return lines + content_lines(library.head(entry, PREVIEW_SIZE))[0]
        if not entry.is_directory:
            return lines
        page = next(iter(library.pages(entry)), ())
        inner = [Entry(entry.snapshot, entry.path, node) for node in page[:_MOST_PREVIEWED]]
        return lines + listing_lines(inner, len(page))

    # -- actions ---------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Mark what is under the cursor, or take the mark away; go on to the next row."""
        entry = self.entry_of(self.rows.current)
        if entry is None:
            self.tell("mark files, folders or snapshots: they can be restored")
            return
        self.browser.marks.toggle(entry)
        self.rows.action_move(1)
        self.marks_changed()

    def action_mark_all(self) -> None:
        """Mark everything in the list; if it is marked already, nothing."""
        entries = [self.entry_of(item) for item in self.rows.items]
        self.browser.marks.toggle_all(entry for entry in entries if entry is not None)
        self.marks_changed()

    def action_unmark(self) -> None:
        """Take all marks away, also those of other folders and snapshots."""
        self.browser.marks.clear()
        self.marks_changed()

    def marks_changed(self) -> None:
        """Draw what depends on marks."""
        self._note = ""
        self.rows.refresh()
        self.show_status()

    def action_restore(self) -> None:
        """Ask where to restore what is marked; without marks, what is under the cursor."""
        entries = list(self.browser.marks)
        if not entries:
            entry = self.entry_of(self.rows.current)
            if entry is None:
                self.tell("there is nothing to restore here: go to a snapshot first")
                return
            entries = [entry]
        self.browser.ask_restore(entries)

    def action_preview(self) -> None:
        """Show the preview, or hide it."""
        self._preview_wanted = not (self.has_class("wide") or self.has_class("low"))
        self._lay_out()
        self.refresh_preview()

    def action_versions(self) -> None:
        """List the versions of what is under the cursor."""
        item = self.rows.current
        if isinstance(item, Entry):
            self.browser.show_versions(item)
        else:
            self.tell("choose a file or folder: its versions are listed")
