"""A chart of sizes as bars that lie below one another, each with its name and its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes

from holdfast.benchmark.report import Estimate
from holdfast.units import format_size
from holdfast_cli.charts.figure import INK, size_unit

_ROOM: Final = 1.35
"""Width of the axes, in longest bars: the rest is for what is written behind them."""

_LEAST_PLACES: Final = 3
"""Room for so many bars is there always."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One size in bytes."""

    name: str
    size: Estimate
    color: str
    remark: str = ""
    """Stands behind the value."""


def draw_bars(axes: Axes, bars: Sequence[Bar], title: str) -> None:
    """Draw bars from top to bottom; at least one."""
    longest = max(bar.size.value + bar.size.error for bar in bars)
    factor, unit = size_unit(longest)
    for place, bar in enumerate(bars):
        size, error = bar.size.value / factor, bar.size.error / factor
        axes.barh(
            place,
            size,
            color=bar.color,
            height=0.6,
            xerr=error or None,
            error_kw={"ecolor": INK, "capsize": 3, "elinewidth": 1},
        )
        axes.annotate(
            f"{format_size(bar.size.value)}  {bar.remark}".rstrip(),
            (size + error, place),
            (6, 0),
            textcoords="offset points",
            va="center",
            weight="bold",
        )
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axes.set_ylim(max(len(bars), _LEAST_PLACES) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params("y", labelcolor=INK)
    axes.set_xlim(0, (longest or 1) / factor * _ROOM)
    axes.set_xlabel(unit)
    axes.set_title(title)
