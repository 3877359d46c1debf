"""Charts of growth: what each version or day adds to a repository, and where that leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from holdfast.benchmark.report import Estimate, Forecast
from holdfast.units import format_size
from holdfast_cli.charts.figure import DARK, FAINT, INK, LIGHT, plain_text, size_unit
from holdfast_cli.output.dedupe_figures import format_number

_MOST_LABELS: Final = 6
"""Bars up to which each has its value and its name."""
_FEW_LABELS: Final = 4
_NAME_LETTERS: Final = 16
_LEAST_PLACES: Final = 4
"""Room for so many bars is there always: two as wide as a page look like a mistake."""
_BAR_WIDTH: Final = 0.7


@dataclass(frozen=True, slots=True)
class Growth:
    """States of the same data, one after another."""

    noun: str
    """What one of them is: "version", "day"."""
    names: Sequence[str]
    added: Sequence[Estimate]
    """Stored bytes that each brings."""
    forecast: Forecast | None

    @property
    def stored(self) -> float:
        """Return the stored bytes of all together."""
        return sum(each.value for each in self.added)


def draw_nights(axes: Axes, growth: Growth) -> None:
    """Draw a bar for each version: what was stored before it, and what it adds on top."""
    after = list(accumulate(each.value for each in growth.added))
    factor, unit = size_unit(max(after, default=0))
    places = range(1, len(after) + 1)
    added = [each.value / factor for each in growth.added]
    before = [total / factor - new for total, new in zip(after, added, strict=True)]
    errors = [each.error / factor for each in growth.added]
    axes.bar(places, before, color=LIGHT, width=_BAR_WIDTH)
    axes.bar(
        places,
        added,
        bottom=before,
        color=DARK,
        width=_BAR_WIDTH,
        yerr=errors if any(errors) else None,
        error_kw={"ecolor": FAINT, "capsize": 3, "elinewidth": 1},
    )
    if len(after) <= _MOST_LABELS:
        for place, total, each in zip(places, after, growth.added, strict=True):
            axes.annotate(
                f"+{format_size(each.value)}",
                (place, (total + each.error) / factor),
                (0, 4),
                textcoords="offset points",
                ha="center",
                size=9,
            )
        axes.set_xticks(list(places), [_short(name) for name in growth.names])
        if sum(len(_short(name)) for name in growth.names) > 4 * _NAME_LETTERS:
            axes.tick_params("x", rotation=30)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_FEW_LABELS, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(partial(_name_at, growth.names)))
    axes.tick_params("x", length=0)
    axes.set_ylabel(f"stored {unit}")
    axes.margins(y=0.12)
    axes.set_xlim(0.4, max(len(after), _LEAST_PLACES) + 0.6)
    axes.set_title(f"Stored before (light), and added by {growth.noun}")


def draw_forecast(axes: Axes, growth: Growth, forecast: Forecast, full_copy: float | None) -> None:
    """Draw the stored bytes so far and, if it goes on so, up to a year of versions later.

    Args:
        axes: where to.
        growth: up to now.
        forecast: from now on.
        full_copy: bytes of one version, to tell what full copies of all would take; None: do not.
    """
    now = len(growth.added)
    later = [(now + more, stored) for more, stored in forecast.after]
    factor, unit = size_unit(max((each.value + each.error for _, each in later), default=0))
    past = [total / factor for total in accumulate(each.value for each in growth.added)]
    axes.plot(range(1, now + 1), past, color=DARK, linewidth=2.5)
    places = [now, *(place for place, _ in later)]
    values = [growth.stored / factor, *(each.value / factor for _, each in later)]
    errors = [0.0, *(each.error / factor for _, each in later)]
    axes.fill_between(
        places,
        [value - error for value, error in zip(values, errors, strict=True)],
        [value + error for value, error in zip(values, errors, strict=True)],
        color=LIGHT,
        linewidth=0,
    )
    axes.plot(places, values, color=DARK, linewidth=1.5, linestyle=(0, (4, 2)))
    axes.plot(places[1:], values[1:], "o", color=DARK, markersize=4)
    axes.plot([now], values[:1], "o", color=DARK, markersize=7)
    for place, each in later[-2:]:
        axes.annotate(
            format_size(each.value),
            (place, each.value / factor),
            (-6, 6),
            textcoords="offset points",
            ha="right",
            size=10,
            weight="bold",
        )
    if full_copy is not None and later:
        last = later[-1][0]
        text = f"{last} full copies: {format_size(full_copy * last)} before compression"
        axes.text(0.02, 0.95, text, transform=axes.transAxes, va="top", color=INK)
    axes.set_ylim(0, max(value + error for value, error in zip(values, errors, strict=True)) * 1.15)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value)))
    axes.set_xlabel(f"{growth.noun}s")
    axes.set_ylabel(f"stored {unit}")
    per = f"{format_size(forecast.per_version.value)} per {growth.noun}"
    axes.set_title(f"If it goes on like this: {per}")


def _name_at(names: Sequence[str], place: float, _tick: int | None) -> str:
    """Return the name of the bar at a place from 1 on; nothing beside the bars."""
    number = round(place) - 1
    return _short(names[number]) if 0 <= number < len(names) else ""


def _short(name: str) -> str:
    """Return the end of a name, which is what differs between paths of a series."""
    text = plain_text(name.rstrip("/"))
    return text if len(text) <= _NAME_LETTERS else "…" + text[1 - _NAME_LETTERS :]
