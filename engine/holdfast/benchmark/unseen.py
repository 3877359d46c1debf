"""How many distinct chunks all data have, when a part was read. Pure.

Were every chunk in one cluster of data (see `sample`), twice the clusters would have twice the distinct
chunks. But some are in several: the more is read, the more of what comes is known. How common that is
shows in how many groups of the sample each chunk is in. The mixture of multiplicities that makes what was
seen most likely is found, and says how many chunks of each multiplicity were not seen.

Source: the estimation of unseen species from incidences, by a nonparametric mixture (Norris and Pollock,
"Non-parametric MLE for Poisson species abundance models allowing for heterogeneity between species",
Environmental and Ecological Statistics 5, 1998); for deduplication Harnik, Khaitzin and Sotnikov,
"Estimating unseen deduplication: from theory to practice", FAST 2016. The mixture is found by
expectation maximisation (Dempster, Laird and Rubin, 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb, fsum
from typing import Final

from holdfast.benchmark.report import Estimate

MOST_GROUPS: Final = 8
"""A chunk in so many groups, or more, is common enough to be seen in every sample."""
_STEPS: Final = 300
_FIRST_DECLINE: Final = 2.0
_GROWTH: Final = 1.4
"""Multiplicities that are tried are 1, 2, 3 and further ones in such steps."""


def share_of_proportional(histogram: Sequence[float], share: float, groups: int) -> Estimate:
    """Return distinct chunks of all data, per those that there were if they grew with what is read.

    The likeliest mixture varies from sample to sample by as much as it corrects, and without it
    the answer were 1: the value is half-way between both, and either is within the error.

    Args:
        histogram: item m: weight (number, or bytes) of distinct chunks in m + 1 groups; the last
            of MOST_GROUPS items is of MOST_GROUPS groups and more.
        share: of all clusters that is in the sample, in (0, 1].
        groups: into so many the sample is divided at random.

    Returns:
        A value in (share, 1]; 1 if every chunk is in one group, or nothing was seen.

    Cost: 30 ms.
    """
    seen = fsum(histogram)
    if share >= 1 or seen == histogram[0]:
        return Estimate(1.0)
    table = _likelihoods(share, groups)
    weights = _fit(histogram, [chances for chances, _ in table])
    total = fsum(weight / chance for weight, (_, chance) in zip(weights, table, strict=True))
    likeliest = min(max(total * share / seen, share), 1.0)
    return Estimate((1 + likeliest) / 2, 1 - likeliest)


def _fit(histogram: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """Return how much of the histogram is of each multiplicity, nearly the likeliest.

    Most is believed to be of small multiplicities at first, so that what the histogram cannot
    tell apart is not taken for common.
    """
    weights = [number**-_FIRST_DECLINE for number in range(1, len(rows) + 1)]
    bins = range(len(histogram))
    for _ in range(_STEPS):
        expected = [
            fsum(weight * row[m] for weight, row in zip(weights, rows, strict=True)) for m in bins
        ]
        ratios = [histogram[m] / expected[m] if expected[m] > 0 else 0.0 for m in bins]
        weights = [
            weight * fsum(row[m] * ratios[m] for m in bins)
            for weight, row in zip(weights, rows, strict=True)
        ]
    return weights


@cache
def _likelihoods(share: float, groups: int) -> tuple[tuple[tuple[float, ...], float], ...]:
    """Return for each multiplicity: chances to be in m groups, if seen, and the chance to be seen."""
    rows = []
    multiplicity = 1
    while True:
        chances = [_chance(m, multiplicity, share, groups) for m in range(1, MOST_GROUPS)]
        chance = 1 - (1 - share) ** multiplicity
        rest = max(chance - fsum(chances), 0.0)
        rows.append((tuple(c / chance for c in (*chances, rest)), chance))
        if rest > 0.9 * chance:
            return tuple(rows)
        multiplicity = max(multiplicity + 1, int(multiplicity * _GROWTH))


def _chance(m: int, multiplicity: int, share: float, groups: int) -> float:
    """Return the chance that clusters, each sampled with a chance of `share`, are in m groups.

    By inclusion and exclusion over which of the m groups stay empty.
    """
    each = share / groups
    terms = (
        (-1) ** empty * comb(m, empty) * (1 - share + (m - empty) * each) ** multiplicity
        for empty in range(m + 1)
    )
    return max(comb(groups, m) * fsum(terms), 0.0)
