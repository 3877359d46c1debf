"""Draws curves of growth: processor time and memory over size, as SVG or PNG.

The same figures give the same file, byte for byte, with the same version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

from growth import Curve

_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "holdfast",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_DASHES: Final = ("-", "--", ":", "-.")
_MARKERS: Final = ("o", "s", "^", "v", "D", "P", "X")
_WIDTH: Final = 5.0
_HEIGHT: Final = 9.5
"""Inches of a column."""


def draw(columns: Sequence[tuple[str, Sequence[Curve]]], path: Path) -> None:
    """Draw a column for each axis: time above, memory below, and between them what is what.

    Differences of works are left out: they are small, and scatter.

    Args:
        columns: the unit of an axis, and its curves, which have the same sizes.
        path: ends in .svg or .png.
    """
    with mpl.rc_context():
        mpl.rcParams.update(_STYLE)
        figure, panels = pyplot.subplots(
            2, len(columns), squeeze=False, figsize=(_WIDTH * len(columns), _HEIGHT)
        )
        for number, (unit, all_curves) in enumerate(columns):
            curves = [curve for curve in all_curves if curve.items is None]
            time, memory = panels[0][number], panels[1][number]
            for curve, colour, marker, dash in zip(
                curves, cycle(f"C{n}" for n in range(10)), cycle(_MARKERS), cycle(_DASHES)
            ):
                sizes = [point.size for point in curve.points]
                look = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4}
                seconds = [max(point.sample.cpu_s, 0.001) for point in curve.points]
                megabytes = [point.sample.peak_rss / 1e6 for point in curve.points]
                time.plot(sizes, seconds, label=_label(curve), **look)
                memory.plot(sizes, megabytes, **look)
            _add_slope(time, curves)
            _finish(time, memory, unit)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def _label(curve: Curve) -> str:
    return curve.work if curve.exponent is None else f"{curve.work} ({curve.exponent:.2f})"


def _add_slope(panel: Any, curves: Sequence[Curve]) -> None:
    """Draw what linear looks like, through the dearest work of the largest size."""
    sizes = [point.size for point in curves[0].points]
    top = max(curve.points[-1].sample.cpu_s for curve in curves)
    line = [top * size / sizes[-1] for size in sizes]
    panel.plot(sizes, line, color="0.75", linewidth=5, zorder=0, label="linear")


def _finish(time: Any, memory: Any, unit: str) -> None:
    for panel in (time, memory):
        panel.set_xscale("log")
        panel.set_xlabel(unit)
    time.set_yscale("log")
    time.set_ylabel("processor seconds")
    time.set_title(f"Time over {unit} (exponent)")
    memory.set_ylim(bottom=0)
    memory.set_ylabel("peak memory, MB")
    memory.set_title(f"Memory over {unit}")
    time.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=7, frameon=False)
