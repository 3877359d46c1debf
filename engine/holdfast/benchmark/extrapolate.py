"""From what a lane measured of a sample to figures of all data, each with its error. Pure.

Distinct chunks: what each version brings is multiplied by its size over what was read of it (ratio
estimator; Cochran, "Sampling Techniques", 1977, chapter 6), and by what there are fewer because some
chunks are in several clusters (see `unseen`). The error is put together from

- how much the figures change when one group of clusters is left out (jackknife; Efron and Stein,
  "The jackknife estimate of variance", Annals of Statistics 9, 1981), as far as not everything was
  read;
- what the lane's sketch does not keep (Horvitz and Thompson, 1952);
- that of the unseen, and a little for what no sample shows.

Of a source that was read whole only the second remains, and nothing if the sketch is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum, hypot, sqrt
from typing import Final, TypeAlias

from holdfast.benchmark.measured import LaneResult, Region
from holdfast.benchmark.report import Estimate
from holdfast.benchmark.sample import GROUPS, cell_length
from holdfast.benchmark.sketch import Kept
from holdfast.benchmark.unseen import MOST_GROUPS, share_of_proportional
from holdfast.chunking.cutting import Cutting

_DEVIATIONS: Final = 2.04
"""Half the width of the interval in standard deviations: Student's t for 31 degrees of freedom."""
_HEAVY_TAIL: Final = 1.2
"""How much more than the jackknife sees is expected, since few large files decide much."""
_LONG_CHUNKS: Final = 0.1
"""Of a value: how far off it may be if chunks are as long as cells, which cut most of them."""
_NEIGHBOURS: Final = 0.05
"""How much more a slice of a sample may take than one of all data."""
_UNNOTICED: Final = 0.02
"""Of a value: how far off it may be by what a sample does not show, like the ends of cells and what
is too rare to be met. Both by the experiment `benchmarks/sampling.py`."""

Figure: TypeAlias = Callable[[Kept], float]
"""What is summed over distinct chunks."""


@dataclass(frozen=True, slots=True)
class Distinct:
    """A figure of the distinct chunks of all data."""

    total: Estimate
    added: tuple[Estimate, ...]
    """What each version is the first to have; the values add up to the total."""


@dataclass(frozen=True, slots=True)
class LaneEstimate:
    """What a lane says of all data."""

    bytes: Distinct
    chunks: Distinct
    quick_bytes: Distinct
    """Sums of quick lengths; see `measured`."""
    references: Estimate
    """Chunks as files count them."""


def estimate_lane(lane: LaneResult, logical: Sequence[int], share: float) -> LaneEstimate:
    """Return what a lane says of all data.

    Args:
        lane: what was measured.
        logical: bytes of each version.
        share: of the bytes that was to be read, as `Sample.share_of` returned it; 1 is all.

    Cost: 5 us for each chunk that the sketch keeps.
    """
    chunks = list(lane.sketch)
    read = _Read(lane, logical, share)
    of_bytes = read.proportion(chunks, _length)
    return LaneEstimate(
        read.distinct(chunks, _length, of_bytes),
        read.distinct(chunks, _one, read.proportion(chunks, _one)),
        read.distinct(chunks, _quick_length, of_bytes),
        read.references(lane),
    )


def stored_per_quick_byte(
    regions: Sequence[Region], setting: tuple[int, int], share: float
) -> Estimate:
    """Return bytes in slices, compressed and sealed, for each quick byte of the stream.

    The error is that of a ratio estimator (Cochran, section 6.4), and in a sample what slices lose
    by files that are not neighbours in all data.

    Args:
        regions: of a lane; without any the answer is 1.
        setting: slice size and level.
        share: of the bytes that was to be read.
    """
    quick = fsum(region.weight * region.quick_length for region in regions)
    if quick <= 0:
        return Estimate(1.0)
    ratio = fsum(r.weight * r.squeezed[setting].stored_bytes for r in regions) / quick
    length = fsum(region.length for region in regions)
    stream = fsum(region.weight * region.length for region in regions)
    count = len(regions)
    neighbours = _NEIGHBOURS * ratio * (1 - share)
    if count < 2 or stream <= length:
        return Estimate(ratio, neighbours)
    squares = fsum(
        (r.weight * (r.squeezed[setting].stored_bytes - ratio * r.quick_length)) ** 2
        for r in regions
    )
    variance = squares * count / (count - 1) / quick**2 * (1 - length / stream)
    return Estimate(ratio, hypot(_DEVIATIONS * sqrt(variance), neighbours))


def seconds_per_byte(regions: Sequence[Region], setting: tuple[int, int]) -> float:
    """Return processor time to compress and seal a byte of the stream; 0 without regions."""
    length = sum(region.length for region in regions)
    return fsum(r.squeezed[setting].seconds for r in regions) / length if length else 0.0


class _Read:
    """What was read of each version and group, against what there is."""

    def __init__(self, lane: LaneResult, logical: Sequence[int], share: float) -> None:
        self._logical = logical
        self._share = share
        size = lane.candidate.size if isinstance(lane.candidate, Cutting) else 0
        cell = cell_length(share, sum(logical))
        self._unnoticed = _UNNOTICED + _LONG_CHUNKS * min(size / cell, 1.0)
        self._read = [[tally.bytes for tally in groups] for groups in lane.references]
        self._scales = [
            1.0 if share >= 1 else size / sum(read) if any(read) else 0.0
            for size, read in zip(logical, self._read, strict=True)
        ]
        """Bytes that there are in each version for each that was read."""

    def proportion(self, chunks: Sequence[Kept], figure: Figure) -> Estimate:
        """Return what there is of a figure, per what there was if it grew with what is read."""
        histogram = [0.0] * MOST_GROUPS
        if self._share < 1:
            for chunk in chunks:
                count = min(chunk.groups.bit_count(), MOST_GROUPS)
                histogram[count - 1] += chunk.weight * figure(chunk)
        return share_of_proportional(histogram, self._share, GROUPS)

    def distinct(self, chunks: Sequence[Kept], figure: Figure, proportion: Estimate) -> Distinct:
        """Return a figure of the distinct chunks of all data."""
        versions = range(len(self._logical))
        seen = [0.0 for _ in versions]
        variances = [0.0 for _ in versions]
        alone = [[0.0] * GROUPS for _ in versions]
        for chunk in chunks:
            value = chunk.weight * figure(chunk)
            version, groups = chunk.first_version, chunk.groups
            seen[version] += value
            variances[version] += (chunk.weight - 1) * value * figure(chunk)
            if groups & (groups - 1) == 0:
                alone[version][groups.bit_length() - 1] += value
        values = [sum_ * scale for sum_, scale in zip(seen, self._scales, strict=True)]
        without = self._without_each(seen, alone)
        added = [
            self._estimate(
                values[v],
                proportion,
                [row[v] for row in without],
                variances[v] * self._scales[v] ** 2,
            )
            for v in versions
        ]
        total = self._estimate(
            fsum(values),
            proportion,
            [fsum(row) for row in without],
            fsum(variances[v] * self._scales[v] ** 2 for v in versions),
        )
        return Distinct(total, tuple(added))

    def references(self, lane: LaneResult) -> Estimate:
        """Return how many chunks files count."""
        counts = [[float(tally.chunks) for tally in groups] for groups in lane.references]
        seen = [fsum(groups) for groups in counts]
        value = fsum(sum_ * scale for sum_, scale in zip(seen, self._scales, strict=True))
        without = [fsum(row) for row in self._without_each(seen, counts)]
        return self._estimate(value, Estimate(1.0), without, 0.0)

    def _estimate(
        self, value: float, proportion: Estimate, without: Sequence[float], sketch_variance: float
    ) -> Estimate:
        """Return a figure and its error.

        Args:
            value: of all data, if it grows with what is read.
            proportion: how much of that there is.
            without: the same from all groups but one, for each group that something was read of;
                empty if all was read.
            sketch_variance: of `value`, for what the sketch did not keep.
        """
        error = hypot(
            _DEVIATIONS * sqrt(max(sketch_variance, 0.0)),
            self._unnoticed * value * sqrt(1 - self._share),
        )
        if len(without) > 1:
            mean = fsum(without) / len(without)
            squares = fsum((other - mean) ** 2 for other in without)
            variance = squares * (len(without) - 1) / len(without) * (1 - self._share)
            error = hypot(error, _HEAVY_TAIL * _DEVIATIONS * sqrt(variance))
        return Estimate(
            value * proportion.value, hypot(error * proportion.value, value * proportion.error)
        )

    def _without_each(
        self, seen: Sequence[float], alone: Sequence[Sequence[float]]
    ) -> list[list[float]]:
        """Return for each group what each version has of a figure by all other groups."""
        if self._share >= 1:
            return []
        groups = [g for g in range(GROUPS) if any(read[g] for read in self._read)]
        return [
            [
                (seen[v] - alone[v][group]) * self._logical[v] / (sum(read) - read[group])
                if sum(read) > read[group]
                else seen[v] * self._scales[v]  # all that is known of the version is of this group
                for v, read in enumerate(self._read)
            ]
            for group in groups
        ]


def _length(chunk: Kept) -> float:
    return chunk.length


def _one(_chunk: Kept) -> float:
    return 1.0


def _quick_length(chunk: Kept) -> float:
    return chunk.quick_length
