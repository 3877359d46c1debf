"""The page of charts of a repository: what its snapshots take, and how it grows."""

from __future__ import annotations

import datetime
import os
from functools import partial
from typing import BinaryIO, Final

from holdfast.benchmark.report import Estimate
from holdfast.benchmark.sharing_report import SharingReport
from holdfast.units import format_size
from holdfast_cli.charts.bars import Bar, draw_bars
from holdfast_cli.charts.figure import DARK, LIGHT, MIDDLE, Panel, draw_page, plain_text
from holdfast_cli.charts.growth import Growth, draw_forecast, draw_nights
from holdfast_cli.charts.library import ChartFormat
from holdfast_cli.output.dedupe_figures import format_ratio
from holdfast_cli.output.names import count

_MOST_DIRECTORIES: Final = 6
_NAME_LETTERS: Final = 26
_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()


def draw_sharing(report: SharingReport, file: BinaryIO, form: ChartFormat) -> None:
    """Draw the charts of a report.

    Args:
        report: what was found.
        file: gets the picture; stays open.
        form: of the picture.
    """
    growth = Growth(
        "day",
        [_day(night.day) for night in report.nights],
        [Estimate(night.added.stored) for night in report.nights],
        report.forecast,
    )
    panels: list[Panel] = [
        partial(draw_bars, bars=_stages(report), title="What is left of all snapshots"),
        partial(draw_nights, growth=growth),
    ]
    if report.forecast is not None:
        panels.append(
            partial(draw_forecast, growth=growth, forecast=report.forecast, full_copy=None)
        )
    if report.directories:
        title = "What directories bring, and in how many snapshots"
        panels.append(partial(draw_bars, bars=_directories(report), title=title))
    logical = sum(one.logical_bytes for one in report.snapshots)
    draw_page(
        file,
        form,
        panels,
        title=f"What {count(len(report.snapshots), 'snapshot')} of "
        f"{count(len(report.hosts), 'host')} take: {format_size(report.needed.stored)}",
        subtitle=f"Restored one by one they would be {format_size(logical)}.",
        note="Stored bytes are compressed and encrypted. Days are those of UTC.",
    )


def _stages(report: SharingReport) -> list[Bar]:
    logical = sum(one.logical_bytes for one in report.snapshots)
    needed = report.needed
    return [
        Bar("all snapshots", Estimate(logical), LIGHT),
        Bar("deduplicated", Estimate(needed.plain), MIDDLE, _ratio(logical, needed.plain)),
        Bar("and compressed", Estimate(needed.stored), DARK, _ratio(logical, needed.stored)),
    ]


def _directories(report: SharingReport) -> list[Bar]:
    return [
        Bar(
            _name(one.path),
            Estimate(one.added.stored),
            DARK,
            f"({one.changed} of {one.snapshots})",
        )
        for one in report.directories[:_MOST_DIRECTORIES]
    ]


def _name(path: bytes) -> str:
    """Return a path, or its end if it is long."""
    text = plain_text(os.fsdecode(path))
    return text if len(text) <= _NAME_LETTERS else "…" + text[1 - _NAME_LETTERS :]


def _ratio(whole: int, part: int) -> str:
    return f"({format_ratio(whole / part)})" if part else ""


def _day(day: int) -> str:
    """Return a number of days since 1970 as "2026-11-21"; days beyond the calendar as its ends."""
    ordinal = min(max(_EPOCH_DAY + day, 1), datetime.date.max.toordinal())
    return datetime.date.fromordinal(ordinal).isoformat()
