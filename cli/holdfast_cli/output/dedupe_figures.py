"""Figures of a dedupe report, picked and put into words for tables and charts. Pure."""

from __future__ import annotations

from typing import Final

from holdfast.benchmark.grid import Candidate, WholeFiles
from holdfast.benchmark.report import DedupeReport, Estimate, Setting
from holdfast.compression import DEFAULT_LEVEL
from holdfast.format.config import DEFAULT_SLICE_SIZE
from holdfast.units import format_size

_THOUSANDS: Final = ("", " k", " M", " G", " T")
_MOST_PLAIN: Final = 9999


def base_settings(report: DedupeReport) -> list[Setting]:
    """Return one setting of each candidate: all with the same slice size and level.

    These are the defaults of `init` and `backup` where the grid has them, else what the grid has
    first.
    """
    if not report.settings:
        return []
    first = report.settings[0]
    grid = {(one.slice_size, one.level) for one in settings_of(report, first.candidate)}
    sizes, levels = {size for size, _ in grid}, {level for _, level in grid}
    size = DEFAULT_SLICE_SIZE if DEFAULT_SLICE_SIZE in sizes else first.slice_size
    level = DEFAULT_LEVEL if DEFAULT_LEVEL in levels else first.level
    return [one for one in report.settings if (one.slice_size, one.level) == (size, level)]


def settings_like(report: DedupeReport, model: Setting) -> list[Setting]:
    """Return the setting of each candidate that has the slice size and level of another setting."""
    wanted = (model.slice_size, model.level)
    return [one for one in report.settings if (one.slice_size, one.level) == wanted]


def settings_of(report: DedupeReport, candidate: Candidate) -> list[Setting]:
    """Return the settings of one candidate, in the order of the grid."""
    return [one for one in report.settings if one.candidate == candidate]


def is_recommended(report: DedupeReport, candidate: Candidate) -> bool:
    """Tell whether the recommended setting cuts like this."""
    chosen = report.recommendation
    return chosen is not None and chosen.setting.candidate == candidate


def is_estimated(report: DedupeReport) -> bool:
    """Tell whether any figure has an error: whether less than everything was counted."""
    return any(one.stored_bytes.error for one in report.settings)


def format_chunk_size(candidate: Candidate) -> str:
    """Return "128 KiB", or "file" where every file is one chunk."""
    return "file" if isinstance(candidate, WholeFiles) else format_size(candidate.size)


def format_error(estimate: Estimate) -> str:
    """Return the error as a share of the value: "2.1 %", "31 %"; nothing if it was counted."""
    return format_share(estimate.relative_error) if estimate.error else ""


def format_estimate(estimate: Estimate) -> str:
    """Return a size with its error: "1.20 GiB ± 31.0 MiB"."""
    text = format_size(estimate.value)
    return f"{text} ± {format_size(estimate.error)}" if estimate.error else text


def format_ratio(ratio: float) -> str:
    """Return a ratio in three digits: "1.39 x", "13.9 x", "139 x"."""
    return f"{ratio:.{_decimals(ratio)}f} x"


def format_number(number: float) -> str:
    """Return a number in at most four digits: "9999", "12.3 k", "4.56 M"."""
    value = round(number)
    if value <= _MOST_PLAIN:
        return str(value)
    scaled, unit = float(number), 0
    while scaled >= 999.5 and unit < len(_THOUSANDS) - 1:
        scaled /= 1000
        unit += 1
    return f"{scaled:.{_decimals(scaled)}f}{_THOUSANDS[unit]}"


def format_price(price: float) -> str:
    """Return an amount of money to the cent, a large one without cents."""
    if 0 < price < 0.01:
        return "<0.01"
    return f"{price:.2f}" if price < 999.995 else f"{price:.0f}"


def format_speed(mb_s: float) -> str:
    """Return MB/s as a whole number, of slow ones with a digit after the point."""
    return f"{mb_s:.0f}" if mb_s >= 9.95 else f"{mb_s:.1f}"


def format_share(share: float) -> str:
    """Return "24 %", "2.4 %", or "<0.1 %" of next to nothing."""
    percent = share * 100
    if percent < 0.05:
        return "<0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"


def _decimals(number: float) -> int:
    """Return how many digits after the point make three in all."""
    return 2 if number < 9.995 else 1 if number < 99.95 else 0
