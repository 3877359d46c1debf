"""Tables of text.

On a terminal rich draws them, folded to the window. Into a pipe or file they are aligned plainly,
one row a line, whatever the width: such output is searched and cut by other programs, and rich
need not be loaded for it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Final, Literal, TextIO

from holdfast_cli.output.names import printable

_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `fold` marks the ones that may take several lines in a narrow window."""

    title: str
    align: Literal["left", "right"] = "left"
    fold: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is being filled; every row has a text for each column."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Append a row; control characters are made visible."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(tuple(printable(cell) for cell in cells))

    def write(self, stream: TextIO) -> None:
        """Write the table with its titles."""
        if stream.isatty():
            _write_fitted(self, stream)
        else:
            _write_plain(self, stream)


def text_width(text: str) -> int:
    """Return how many cells of a terminal a text takes: wide ones two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def _write_plain(table: Table, stream: TextIO) -> None:
    rows = [tuple(column.title for column in table.columns), *table.rows]
    widths = [max(text_width(row[at]) for row in rows) for at in range(len(table.columns))]
    for row in rows:
        cells = []
        for column, cell, width in zip(table.columns, row, widths, strict=True):
            padding = " " * (width - text_width(cell))
            cells.append(padding + cell if column.align == "right" else cell + padding)
        stream.write(_GAP.join(cells).rstrip() + "\n")


def _write_fitted(table: Table, stream: TextIO) -> None:
    import rich.console
    import rich.table
    import rich.text

    drawn = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        drawn.add_column(
            column.title,
            justify=column.align,
            no_wrap=not column.fold,
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*(rich.text.Text(cell) for cell in row))
    rich.console.Console(file=stream, highlight=False, emoji=False, markup=False).print(drawn)
