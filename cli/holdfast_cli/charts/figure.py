"""A page of charts: its size, its type, its title, and how it becomes a file.

Charts are to be read by people who did not make them: few colours that differ in grey too, a unit
on every axis, values written beside what they belong to rather than in a legend. Equal figures
give equal files.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from holdfast_cli.charts.library import ChartFormat
from holdfast_cli.output.names import printable

DARK: Final = "#1b4b7a"
"""What the chart is about."""
MIDDLE: Final = "#6f9fc8"
"""What it is compared with."""
LIGHT: Final = "#cfd8e3"
"""What is there for completeness."""
INK: Final = "#20262e"
FAINT: Final = "#68717d"

Panel: TypeAlias = Callable[[Axes], None]
"""Draws one chart."""

_WIDTH: Final = 12.0
_ROW_HEIGHT: Final = 4.1
_TOP: Final = 1.15
_BOTTOM: Final = 0.45
"""Inches; the last two are for the title and the footnote."""
_DOTS_PER_INCH: Final = 150
_LINE_LETTERS: Final = 125
_STYLE: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a dollar sign
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e6e9ee",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "ytick.major.size": 0,
    "svg.hashsalt": "holdfast",
}


def draw_page(
    file: BinaryIO,
    form: ChartFormat,
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str,
    note: str,
) -> None:
    """Draw panels two in a row below a title, and write the picture.

    Args:
        file: gets it; stays open.
        form: what kind of picture.
        panels: at least one; the last of an odd number has a row of its own.
        title: in one line.
        subtitle: the answer in a sentence or two; wrapped.
        note: in small type at the bottom.
    """
    rows = (len(panels) + 1) // 2
    height = _TOP + rows * _ROW_HEIGHT + _BOTTOM
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names may have any letters
        figure = Figure(
            figsize=(_WIDTH, height),
            dpi=_DOTS_PER_INCH,
            layout=ConstrainedLayoutEngine(
                rect=(0.01, _BOTTOM / height, 0.98, 1 - (_BOTTOM + _TOP) / height),
                wspace=0.06,
                hspace=0.1,
            ),
        )
        figure.text(0.02, 1 - 0.2 / height, plain_text(title), size=16, weight="bold", va="top")
        wrapped = "\n".join(textwrap.wrap(plain_text(subtitle), _LINE_LETTERS, max_lines=2))
        figure.text(0.02, 1 - 0.58 / height, wrapped, size=11, va="top", linespacing=1.4)
        figure.text(0.02, 0.15 / height, plain_text(note), size=8.5, color=FAINT, va="bottom")
        grid = figure.add_gridspec(rows, 2)
        for number, panel in enumerate(panels):
            row, column = divmod(number, 2)
            is_alone = number == len(panels) - 1 and column == 0 and number > 0
            panel(figure.add_subplot(grid[row, :] if is_alone else grid[row, column]))
        picture = io.BytesIO()
        metadata = {"Date": None} if form is ChartFormat.SVG else {"Software": None}
        figure.savefig(picture, format=form.value, metadata=metadata)
    file.write(picture.getvalue())


def plain_text(text: str) -> str:
    """Return a text that any font can show: bytes of names that are no letters as escapes."""
    return printable(text).encode("utf-8", "backslashreplace").decode()


def size_unit(largest: float) -> tuple[float, str]:
    """Return the unit of an axis on which `largest` bytes is a number below 1024."""
    factor, units = 1.0, ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while largest >= 1024 * factor and len(units) > 1:
        factor *= 1024
        units.pop(0)
    return factor, units[0]
