"""What stored data grow to if they go on as they did. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, hypot, sqrt
from statistics import median, stdev
from typing import Final

from holdfast.benchmark.report import Estimate, Forecast

HORIZONS: Final = (7, 30, 90, 365)
"""Versions more; days, if there is one a night."""
_LEAST_VERSIONS: Final = 3
_MEDIAN_DEVIATIONS: Final = 2 * sqrt(1.5708)
"""Half the width of the interval of a median, in standard errors of the mean: a median varies by
sqrt(pi / 2) more than the mean does, if values are normal."""


def forecast(stored: Estimate, added: Sequence[Estimate]) -> Forecast | None:
    """Return what further versions make of the stored bytes, if each adds as much as the median.

    Nothing is forgotten in it. The error grows in proportion to the number of versions, since it is
    mostly that of what one version adds.

    Args:
        stored: bytes of all versions together.
        added: stored bytes that each version brought, in order; the first brought everything, so
            it is not looked at.

    Returns:
        None with fewer than three versions: one step is no trend.
    """
    steps = added[1:]
    if len(added) < _LEAST_VERSIONS:
        return None
    values = [step.value for step in steps]
    spread = _MEDIAN_DEVIATIONS * stdev(values) / sqrt(len(values))
    measured = fsum(step.error for step in steps) / len(steps)
    per_version = Estimate(median(values), hypot(spread, measured))
    after = tuple(
        (
            count,
            Estimate(
                stored.value + count * per_version.value,
                hypot(stored.error, count * per_version.error),
            ),
        )
        for count in HORIZONS
    )
    return Forecast(per_version=per_version, after=after)
