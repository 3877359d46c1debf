"""How cost grows with size: the arithmetic and the tables. Pure.

A work's cost is taken for `base + factor * size ** exponent`. The base is measured, not fitted: it
is the cost of the same work on next to nothing (the start of Python, opening the repository). The
exponent is the slope of a straight line through the logarithms of size and of cost less the base
(least squares; Knuth, "Empirical analysis of algorithms" calls it the log-log test): 0 for a work
that does not depend on size, 1 for one that is linear, 2 for a quadratic one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from measure import Sample

LINEAR_UP_TO: Final = 1.2
"""Exponents up to here count as linear: a sorted structure is log n deeper, and figures scatter."""
_LEAST_PART: Final = 0.15
"""Of the base that a cost must exceed it by, so that the difference is more than noise."""
_LEAST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Point:
    """What a work cost at one size."""

    size: int
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One work over sizes."""

    work: str
    base: Sample
    """What it cost on next to nothing."""
    points: tuple[Point, ...]
    """Ascending by size; one at the least."""
    items: int | None = None
    """How many items the work handles, whatever the size; None if all of them."""

    @property
    def exponent(self) -> float | None:
        """Of processor time; see `exponent`."""
        return exponent(
            [point.size for point in self.points],
            [point.sample.cpu_s for point in self.points],
            self.base.cpu_s,
        )

    @property
    def last_exponent(self) -> float | None:
        """The same between the two largest sizes alone: what is to be expected beyond them."""
        last = self.points[-2:]
        return exponent(
            [point.size for point in last], [point.sample.cpu_s for point in last], self.base.cpu_s
        )

    @property
    def cpu_us_each(self) -> float:
        """Microseconds of processor time above the base for each item, at the largest size."""
        last = self.points[-1]
        return max(0.0, last.sample.cpu_s - self.base.cpu_s) * 1e6 / (self.items or last.size)

    @property
    def bytes_each(self) -> float:
        """Bytes of peak memory for each item more, between the two largest sizes; not below 0."""
        if len(self.points) < 2:
            return 0.0
        one, other = self.points[-2:]
        return max(0.0, (other.sample.peak_rss - one.sample.peak_rss) / (other.size - one.size))

    @property
    def is_faster_than_linear(self) -> bool:
        """Whether the largest sizes cost more for each item than smaller ones."""
        return any(
            slope is not None and slope > LINEAR_UP_TO
            for slope in (self.exponent, self.last_exponent)
        )


def exponent(sizes: Sequence[int], costs: Sequence[float], base: float) -> float | None:
    """Return the slope of log(cost - base) over log(size), by least squares.

    Args:
        sizes: ascending and positive.
        costs: of each size, in seconds.
        base: of a size of next to nothing.

    Returns:
        The slope; None if fewer than two costs can be told from the base, which means that the
        work has not begun to depend on size.
    """
    least = max(_LEAST_S, _LEAST_PART * base)
    kept = [
        (math.log(size), math.log(cost - base))
        for size, cost in zip(sizes, costs, strict=True)
        if cost - base >= least
    ]
    if len(kept) < 2:
        return None
    x_mean = sum(x for x, _ in kept) / len(kept)
    y_mean = sum(y for _, y in kept) / len(kept)
    spread = sum((x - x_mean) ** 2 for x, _ in kept)
    return sum((x - x_mean) * (y - y_mean) for x, y in kept) / spread


def less(work: str, curve: Curve, other: Curve, *, items: int) -> Curve:
    """Return what one work costs beyond another: of the same sizes, in the same order.

    The base of both is the same, so that of the difference is nothing. Memory is that of `curve`:
    a peak cannot be subtracted.

    Args:
        work: how the difference is called.
        curve: of the work that does more.
        other: of the work that does less.
        items: how many items the difference handles.
    """
    return Curve(
        work=work,
        base=Sample(wall_s=0.0, cpu_s=0.0, peak_rss=curve.base.peak_rss),
        points=tuple(
            Point(one.size, _less(one.sample, two.sample))
            for one, two in zip(curve.points, other.points, strict=True)
        ),
        items=items,
    )


def _less(one: Sample, other: Sample) -> Sample:
    return Sample(
        wall_s=max(0.0, one.wall_s - other.wall_s),
        cpu_s=max(0.0, one.cpu_s - other.cpu_s),
        peak_rss=one.peak_rss,
    )


def as_json(curve: Curve) -> dict[str, Any]:
    """Return a curve with its exponents; seconds and bytes."""
    return {
        "work": curve.work,
        "base": asdict(curve.base),
        "points": [{"size": point.size, **asdict(point.sample)} for point in curve.points],
        "exponent": curve.exponent,
        "last_exponent": curve.last_exponent,
        "cpu_us_each": curve.cpu_us_each,
        "bytes_each": curve.bytes_each,
        "is_faster_than_linear": curve.is_faster_than_linear,
    }


def format_table(unit: str, curves: Sequence[Curve], *, markdown: bool) -> str:
    """Return a row for each curve; all of them must have the same sizes.

    A cell is processor seconds, wall seconds and peak memory. The column "grows" has both
    exponents, of all sizes and of the two largest; "–" where cost is not to be told from the base.
    "us each" is `Curve.cpu_us_each`, and "bytes each" is `Curve.bytes_each`.
    """
    sizes = [point.size for point in curves[0].points]
    head = ["work: CPU s / wall s / MB", "base", *(f"{size:,} {unit}" for size in sizes)]
    head += ["grows", "us each", "bytes each"]
    rows = [
        [
            curve.work,
            _cell(curve.base),
            *(_cell(point.sample) for point in curve.points),
            _growth(curve, markdown=markdown),
            f"{curve.cpu_us_each:.1f}",
            f"{curve.bytes_each:.0f}",
        ]
        for curve in curves
    ]
    return _markdown(head, rows) if markdown else _plain(head, rows)


def _cell(sample: Sample) -> str:
    return f"{_seconds(sample.cpu_s)} / {_seconds(sample.wall_s)} / {sample.peak_rss / 1e6:.0f}"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _growth(curve: Curve, *, markdown: bool) -> str:
    if curve.exponent is None:
        return "–"
    text = f"{curve.exponent:.2f}"
    if curve.last_exponent is not None:
        text += f", {curve.last_exponent:.2f}"
    if not curve.is_faster_than_linear:
        return text
    return f"**{text}**" if markdown else f"{text} !"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines.extend("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join(lines)


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            (
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            )
        )
        for row in table
    )
