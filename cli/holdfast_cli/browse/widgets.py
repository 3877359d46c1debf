"""The widgets of all screens: a list of rows, a pager for lines, bars.

The list and the pager draw only the lines that are on the screen, so that their cost does not
depend on how long they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from holdfast_cli.browse import palette
from holdfast_cli.browse.preview import Line
from holdfast_cli.browse.rows import Column, Describe, Row
from holdfast_cli.browse.text import clip, clip_path

_GAP = "  "
_LEFT = 4
"""Cells in front of a row: the edge of the cursor, the mark, the sign, a gap."""
_LABEL_WIDTH = 10
_WHEEL = 3


def _thumb(height: int, top: int, total: int) -> range:
    """Return the lines of a scroll bar that are its thumb; none if everything is visible."""
    if total <= height or height < 1:
        return range(0)
    size = max(1, height * height // total)
    at = round((height - size) * top / (total - height))
    return range(at, at + size)


def _with_bar(segments: list[Segment], width: int, line: int, thumb: range) -> Strip:
    """Return a line of `width` cells whose last one is the scroll bar.

    Each segment has a style: textual's filter for NO_COLOR does not know others.
    """
    strip = Strip(segments).adjust_cell_length(width - 1, palette.PLAIN)
    if not thumb:
        return strip.adjust_cell_length(width, palette.PLAIN)
    sign = Segment("█", palette.THUMB) if line in thumb else Segment("│", palette.TRACK)
    return Strip([*strip, sign], width)


class RowList(Widget, can_focus=True):
    """A list of which one row is under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False, priority=True),
        Binding("down,j", "move(1)", show=False, priority=True),
        Binding("pageup,ctrl+b", "page(-1)", show=False, priority=True),
        Binding("pagedown,ctrl+f", "page(1)", show=False, priority=True),
        Binding("home,g", "jump(False)", show=False, priority=True),
        Binding("end,G", "jump(True)", show=False, priority=True),
        Binding("enter,right,l", "choose", show=False, priority=True),
    ]

    class Moved(Message):
        """Another row is under the cursor, or there are other rows."""

        def __init__(self, *, by_person: bool) -> None:
            super().__init__()
            self.by_person = by_person

    class Chosen(Message):
        """The row under the cursor was chosen."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._columns: Sequence[Column] = ()
        self._items: Sequence[Any] = ()
        self._describe: Describe = _no_row
        self._empty = ""
        self.cursor = 0
        self._top = 0

    @property
    def current(self) -> Any:
        """The item under the cursor; None if there is none."""
        return self._items[self.cursor] if self._items else None

    @property
    def items(self) -> Sequence[Any]:
        """What the rows are made of."""
        return self._items

    def show(
        self,
        columns: Sequence[Column],
        items: Sequence[Any],
        describe: Describe,
        *,
        cursor: int = 0,
        empty: str = "",
    ) -> None:
        """Show other rows.

        Args:
            columns: of all rows.
            items: what the rows are made of, when they are drawn.
            describe: makes a row.
            cursor: the row under it.
            empty: shown where there are no rows.
        """
        self._columns, self._items, self._describe = columns, items, describe
        self._empty = empty
        self._put(cursor)
        self.post_message(self.Moved(by_person=False))

    def move_to(self, cursor: int) -> None:
        """Put the cursor on a row, the first or last one if there is no such row."""
        before = self.cursor
        self._put(cursor)
        if self.cursor != before:
            self.post_message(self.Moved(by_person=True))

    def _put(self, cursor: int) -> None:
        self.cursor = max(0, min(cursor, len(self._items) - 1))
        height = max(1, self._height)
        self._top = min(self._top, max(0, len(self._items) - height))
        if self.cursor < self._top:
            self._top = self.cursor
        elif self.cursor >= self._top + height:
            self._top = self.cursor - height + 1
        self.refresh()

    @property
    def _height(self) -> int:
        """Lines for rows: all but the heading."""
        return self.size.height - 1

    def on_resize(self, _event: events.Resize) -> None:
        """Keep the cursor visible."""
        self._put(self.cursor)

    def action_move(self, step: int) -> None:
        """Go some rows down or up."""
        self.move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """Go a screen down or up."""
        self.move_to(self.cursor + step * max(1, self._height - 1))

    def action_jump(self, to_end: bool) -> None:
        """Go to the last or the first row."""
        self.move_to(len(self._items) if to_end else 0)

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self._items:
            self.post_message(self.Chosen())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go down."""
        event.stop()
        self.action_move(_WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Go up."""
        event.stop()
        self.action_move(-_WHEEL)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a double click chooses."""
        row = self._top + event.y - 1
        if event.y < 1 or row >= len(self._items):
            return
        self.move_to(row)
        if event.chain >= 2:
            self.action_choose()

    def render_line(self, y: int) -> Strip:
        """Draw one line: the heading, or a row."""
        return self._draw(y).apply_style(self.rich_style)

    def _draw(self, y: int) -> Strip:
        width = self.size.width
        columns = [column for column in self._columns if width >= column.least]
        widths = self._widths(columns)
        if y == 0:
            return self._heading(columns, widths)
        number = self._top + y - 1
        if not self._items:
            text = self._empty if y == 2 else ""
            return Strip([Segment(clip(_GAP + _GAP + text, width), palette.FAINT)])
        thumb = _thumb(self._height, self._top, len(self._items))
        if number >= len(self._items):
            return _with_bar([], width, y - 1, thumb)
        row = self._describe(self._items[number])
        cells = [
            cell for cell, column in zip(row.cells, self._columns, strict=True) if column in columns
        ]
        segments = self._segments(row, cells, columns, widths)
        if number == self.cursor:
            segments = list(Segment.apply_style(segments, None, palette.ON_CURSOR))
            segments[0] = Segment("▌", palette.KEY + palette.ON_CURSOR)
            filled = Strip(segments).extend_cell_length(width - 1, palette.ON_CURSOR)
            segments = list(filled)
        return _with_bar(segments, width, y - 1, thumb)

    def _widths(self, columns: Sequence[Column]) -> list[int]:
        fixed = sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)
        left = max(4, self.size.width - _LEFT - fixed - 2)
        return [column.width or left for column in columns]

    def _heading(self, columns: Sequence[Column], widths: Sequence[int]) -> Strip:
        titles = (
            clip(column.title, width, right=column.right)
            for column, width in zip(columns, widths, strict=True)
        )
        text = " " * _LEFT + _GAP.join(titles)
        return Strip([Segment(clip(text, self.size.width), palette.FAINT)])

    def _segments(
        self, row: Row, cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]
    ) -> list[Segment]:
        segments = [
            Segment(" ", palette.PLAIN),
            Segment(row.mark, palette.MARK),
            Segment(str(row.sign), palette.SIGN_STYLES[row.sign]),
            Segment(" ", palette.PLAIN),
        ]
        for number, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
            if number:
                segments.append(Segment(_GAP, palette.PLAIN))
            style = palette.ROW_STYLES[row.tone] if not number else palette.PLAIN
            segments.append(Segment(clip(cell, width, right=column.right), style))
        return segments


def _no_row(_item: object) -> Row:
    return Row(())


class LinesView(Widget, can_focus=True):
    """Shows lines and scrolls both ways; long ones are not wrapped."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", show=False, priority=True),
        Binding("down,j", "scroll_by(1)", show=False, priority=True),
        Binding("pageup,ctrl+b,b", "scroll_pages(-1)", show=False, priority=True),
        Binding("pagedown,ctrl+f,space", "scroll_pages(1)", show=False, priority=True),
        Binding("home,g", "jump(False)", show=False, priority=True),
        Binding("end,G", "jump(True)", show=False, priority=True),
        Binding("left,h", "scroll_aside(-8)", show=False, priority=True),
        Binding("right,l", "scroll_aside(8)", show=False, priority=True),
    ]

    def __init__(self, *, id: str | None = None, focusable: bool = True) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = focusable
        self._lines: Sequence[Line] = ()
        self._top = 0
        self._left = 0

    def show(self, lines: Sequence[Line], *, keep_place: bool = False) -> None:
        """Show other lines, from the first one on."""
        self._lines = lines
        if not keep_place:
            self._top = self._left = 0
        self.refresh()

    @property
    def position(self) -> tuple[int, int, int]:
        """The first line that is visible, the one behind the last, and how many there are."""
        end = min(len(self._lines), self._top + self.size.height)
        return self._top, end, len(self._lines)

    class Scrolled(Message):
        """Other lines are visible."""

    def _go(self, top: int, left: int) -> None:
        self._top = max(0, min(top, len(self._lines) - self.size.height))
        self._left = max(0, left)
        self.refresh()
        self.post_message(self.Scrolled())

    def on_resize(self, _event: events.Resize) -> None:
        """Stay within the lines."""
        self._go(self._top, self._left)

    def action_scroll_by(self, step: int) -> None:
        """Go some lines down or up."""
        self._go(self._top + step, self._left)

    def action_scroll_pages(self, step: int) -> None:
        """Go a screen down or up."""
        self._go(self._top + step * max(1, self.size.height - 1), self._left)

    def action_jump(self, to_end: bool) -> None:
        """Go to the last or the first line."""
        self._go(len(self._lines) if to_end else 0, 0)

    def action_scroll_aside(self, step: int) -> None:
        """Go some cells right or left."""
        self._go(self._top, self._left + step)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go down."""
        event.stop()
        self.action_scroll_by(_WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Go up."""
        event.stop()
        self.action_scroll_by(-_WHEEL)

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        return self._draw(y).apply_style(self.rich_style)

    def _draw(self, y: int) -> Strip:
        width, height = self.size
        number = self._top + y
        thumb = _thumb(height, self._top, len(self._lines))
        if number >= len(self._lines):
            return _with_bar([], width, y, thumb)
        line = self._lines[number]
        segments = []
        if line.label and not self._left:
            segments.append(Segment(clip(line.label, _LABEL_WIDTH), palette.FAINT))
        text = line.text[self._left :] if self._left else line.text
        room = max(0, width - 1 - sum(segment.cell_length for segment in segments))
        shown = clip(text, room) if cell_len(text) > room else text
        segments.append(Segment(shown, palette.TONE_STYLES[line.tone]))
        return _with_bar(segments, width, y, thumb)


class Bar(Widget):
    """One line: parts at its left, of which the last is cut first, and parts at its right."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._left: Sequence[tuple[str, Style]] = ()
        self._right: Sequence[tuple[str, Style]] = ()

    def show(
        self, left: Sequence[tuple[str, Style]], right: Sequence[tuple[str, Style]] = ()
    ) -> None:
        """Show other text; none of it has control characters."""
        self._left, self._right = left, right
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - it has one line
        """Draw it."""
        return self._draw().apply_style(self.rich_style)

    def _draw(self) -> Strip:
        width = self.size.width
        room = width - sum(cell_len(text) for text, _ in self._right) - 3
        segments = [Segment(" ", palette.PLAIN)]
        for text, style in self._left:
            shown = clip_path(text, room) if "/" in text else text
            shown = shown if cell_len(shown) <= room else clip(shown, room)
            segments.append(Segment(shown, style))
            room -= cell_len(shown)
        segments.append(Segment(" " * max(0, room + 2), palette.PLAIN))
        segments += [Segment(text, style) for text, style in self._right]
        return Strip(segments).adjust_cell_length(width, palette.PLAIN)


class KeyBar(Widget):
    """The keys that work here; as many as there is room for, the last one always."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._keys: Sequence[tuple[str, str]] = ()

    def show(self, keys: Sequence[tuple[str, str]]) -> None:
        """Show other keys, the most useful first: (key, what it does)."""
        self._keys = keys
        self.refresh()

    def render(self) -> Text:
        """Draw it."""
        room = self.size.width - 1
        if not self._keys:
            return Text()
        *others, last = self._keys
        room -= len(last[0]) + len(last[1]) + 3
        shown = []
        for key, word in others:
            room -= len(key) + len(word) + 3
            if room < 0:
                break
            shown.append((key, word))
        text = Text(" ", no_wrap=True)
        for key, word in (*shown, last):
            text.append(key, palette.KEY)
            text.append(f" {word}  ", palette.FAINT)
        return text
