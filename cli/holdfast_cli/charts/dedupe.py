"""The page of charts of a scan for duplicates: what to show to whoever pays for the storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import BinaryIO, Final

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from holdfast.benchmark.grid import WholeFiles
from holdfast.benchmark.report import DedupeReport, Estimate, Setting
from holdfast.chunking.cutting import Cutting
from holdfast.units import format_size
from holdfast_cli.charts.bars import Bar, draw_bars
from holdfast_cli.charts.figure import DARK, FAINT, INK, LIGHT, MIDDLE, Panel, draw_page
from holdfast_cli.charts.growth import Growth, draw_forecast, draw_nights
from holdfast_cli.charts.library import ChartFormat
from holdfast_cli.output.dedupe_figures import (
    base_settings,
    format_ratio,
    format_share,
    is_estimated,
    settings_like,
)
from holdfast_cli.output.names import count

_KINDS: Final = (
    ("gear", "cut by content", DARK, "o", "-"),
    ("fixed", "aligned", MIDDLE, "s", (0, (5, 2))),
)

_LABEL_FACTOR: Final = 1.5


def draw_dedupe(report: DedupeReport, file: BinaryIO, form: ChartFormat) -> None:
    """Draw the charts of a report.

    Args:
        report: what was found; one without figures gives a page that says so.
        file: gets the picture; stays open.
        form: of the picture.
    """
    panels: list[Panel] = [partial(_draw_ratios, report=report)]
    chosen = report.recommendation
    if chosen is not None:
        panels.append(partial(_draw_stages, report=report, setting=chosen.setting))
    if chosen is not None and report.is_series:
        growth = Growth(
            "version",
            [version.name for version in report.versions],
            chosen.setting.added_bytes,
            report.forecast,
        )
        panels.append(partial(draw_nights, growth=growth))
        if report.forecast is not None:
            full_copy = report.versions[-1].logical_bytes
            panels.append(
                partial(draw_forecast, growth=growth, forecast=report.forecast, full_copy=full_copy)
            )
    draw_page(
        file,
        form,
        panels,
        title=_title(report),
        subtitle=chosen.sentence.replace("`", "")
        if chosen is not None
        else "There was nothing to measure.",
        note=_note(report),
    )


def _title(report: DedupeReport) -> str:
    what = f"{format_size(report.logical_bytes)} in {count(report.files, 'file')}"
    if report.is_series:
        what += f" of {count(len(report.versions), 'version')}"
    return f"What deduplication saves: {what}"


def _note(report: DedupeReport) -> str:
    parts = [f"Prices: {report.prices_of}."]
    if report.sample_share < 1:
        parts.append(f"{format_share(report.sample_share)} of the data was read.")
    if is_estimated(report):
        parts.append("Error bars hold the true figure in 19 of 20 cases.")
    return " ".join(parts)


def _draw_ratios(axes: Axes, *, report: DedupeReport) -> None:
    """Draw the total ratio of each candidate against the size of its chunks."""
    chosen = report.recommendation
    settings = base_settings(report) if chosen is None else settings_like(report, chosen.setting)
    sizes: set[int] = set()
    for kind, label, color, marker, line in _KINDS:
        points = sorted(
            (one.candidate.size, one.total_ratio.value, one.total_ratio.error)
            for one in settings
            if isinstance(one.candidate, Cutting) and one.candidate.kind == kind
        )
        if not points:
            continue
        places, ratios, errors = zip(*points, strict=True)
        sizes.update(places)
        axes.errorbar(
            places,
            ratios,
            yerr=errors if any(errors) else None,
            color=color,
            marker=marker,
            linestyle=line,
            linewidth=2,
            markersize=6,
            capsize=3,
            elinewidth=1,
            label=label,
        )
    for one in settings:
        if isinstance(one.candidate, WholeFiles):
            axes.axhline(
                one.total_ratio.value,
                color=FAINT,
                linestyle=":",
                linewidth=1.5,
                label="equal files only",
            )
    _ring_recommended(axes, report, settings)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(_labelled(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_chunk_label))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} x"))
    highest = max((one.total_ratio.value + one.total_ratio.error for one in settings), default=1)
    axes.set_ylim(0, highest * 1.15)
    axes.set_xlabel("bytes in a chunk" + _where(settings))
    axes.set_ylabel("source per stored byte")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="best", fontsize=9)
    axes.set_title("How much smaller it gets, by size of chunks")


def _labelled(sizes: Iterable[int]) -> list[int]:
    """Return the sizes that have room for a label: none less than half as large again as another."""
    labelled: list[int] = []
    for size in sorted(sizes):
        if not labelled or size >= _LABEL_FACTOR * labelled[-1]:
            labelled.append(size)
    return labelled


def _chunk_label(size: float, _place: int | None) -> str:
    """Return "128K", as the option --chunker has it."""
    whole = round(size)
    return f"{whole >> 20}M" if whole >= 1 << 20 else f"{whole / 1024:g}K"


def _where(settings: Sequence[Setting]) -> str:
    """Return which slice size and level the settings have; all have the same."""
    if not settings:
        return ""
    return f" (in slices of {format_size(settings[0].slice_size)}, zstd level {settings[0].level})"


def _ring_recommended(axes: Axes, report: DedupeReport, settings: Sequence[Setting]) -> None:
    chosen = report.recommendation
    for one in settings:
        if chosen is None or one.candidate != chosen.setting.candidate:
            continue
        if isinstance(one.candidate, Cutting):
            point = (one.candidate.size, one.total_ratio.value)
            axes.plot(*point, "o", markersize=13, markerfacecolor="none", markeredgecolor=INK)
            axes.annotate(
                f"{one.candidate.name}: {format_ratio(one.total_ratio.value)}",
                point,
                (10, 9),
                textcoords="offset points",
                weight="bold",
            )


def _draw_stages(axes: Axes, *, report: DedupeReport, setting: Setting) -> None:
    """Draw what is left after deduplication, and after compression."""
    unique = next(cut.unique_bytes for cut in report.cuts if cut.candidate == setting.candidate)
    dedupe, total = (
        format_ratio(setting.dedupe_ratio.value),
        format_ratio(setting.total_ratio.value),
    )
    stages = (
        Bar("source", Estimate(report.logical_bytes), LIGHT),
        Bar("deduplicated", unique, MIDDLE, f"({dedupe})"),
        Bar("and compressed", setting.stored_bytes, DARK, f"({total})"),
    )
    title = f"What is left with {setting.candidate.name}, zstd level {setting.level}"
    draw_bars(axes, stages, title)
