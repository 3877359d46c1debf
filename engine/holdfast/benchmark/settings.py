"""From what was measured to what each setting stores and costs, and which one to use. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum, hypot
from typing import Final

from holdfast.benchmark import costs
from holdfast.benchmark.extrapolate import (
    LaneEstimate,
    estimate_lane,
    seconds_per_byte,
    stored_per_quick_byte,
)
from holdfast.benchmark.forecast import forecast
from holdfast.benchmark.grid import Grid
from holdfast.benchmark.measured import LaneResult
from holdfast.benchmark.recommend import recommend
from holdfast.benchmark.report import Cut, Estimate, Forecast, Recommendation, Setting
from holdfast.benchmark.scan import ScanResult
from holdfast.policy.prices import PriceTable

_GIB: Final = 1 << 30
_MB: Final = 1_000_000
_MOST_ERROR: Final = 0.9
"""Greater relative errors of a size say no more than this of a ratio."""
_REPORTED_SLICE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is made of a scan; the fields are those of a `DedupeReport`."""

    cuts: tuple[Cut, ...]
    settings: tuple[Setting, ...]
    recommendation: Recommendation | None
    forecast: Forecast | None


def assess(measured: ScanResult, grid: Grid, prices: PriceTable, threads: int) -> Assessment:
    """Return figures of all data for each setting of the grid, and which one to use.

    Args:
        measured: what a scan with this grid found.
        grid: what it was made with.
        prices: of the storage.
        threads: that would compress, at least 1.

    Cost: a second.
    """
    logical = [version.logical_bytes for version in measured.versions]
    cuts: list[Cut] = []
    settings: list[Setting] = []
    for lane in measured.lanes:
        estimate = estimate_lane(lane, logical, measured.share)
        cuts.append(_cut(lane, estimate))
        lane_settings = _LaneSettings(measured, lane, estimate, prices, threads)
        settings += [
            lane_settings.setting(slice_size, level)
            for slice_size in grid.slice_sizes
            for level in grid.levels
        ]
    best = recommend(settings, sum(logical), prices.currency, is_exact=measured.share >= 1)
    trend = forecast(best.setting.stored_bytes, best.setting.added_bytes) if best else None
    return Assessment(
        cuts=tuple(cuts),
        settings=tuple(settings),
        recommendation=best,
        forecast=trend if measured.is_series else None,
    )


def _cut(lane: LaneResult, estimate: LaneEstimate) -> Cut:
    return Cut(
        candidate=lane.candidate,
        unique_bytes=estimate.bytes.total,
        chunks=estimate.chunks.total,
        references=estimate.references,
        added_bytes=estimate.bytes.added,
        decoded_per_byte=lane.decoded_per_byte.get(_REPORTED_SLICE, 1.0),
        decoded_last=lane.decoded_last,
        core_seconds_per_gib=_seconds_per_read_byte(lane) * _GIB,
    )


class _LaneSettings:
    """Makes the settings of one way to cut."""

    def __init__(
        self,
        measured: ScanResult,
        lane: LaneResult,
        estimate: LaneEstimate,
        prices: PriceTable,
        threads: int,
    ) -> None:
        self._lane = lane
        self._estimate = estimate
        self._prices = prices
        self._threads = threads
        self._logical = measured.logical_bytes
        self._share = measured.share
        self._files = self._new_files(measured)

    def setting(self, slice_size: int, level: int) -> Setting:
        """Return what one slice size and level cost."""
        estimate = self._estimate
        chunks = estimate.chunks.total.value
        unique = estimate.bytes.total
        rate = stored_per_quick_byte(self._lane.regions, (slice_size, level), self._share)
        added = tuple(self._stored(rate, version) for version in range(len(self._files)))
        total = _sum(estimate.quick_bytes.total, rate, fsum(one.value for one in added))
        objects = costs.count_objects(
            [one.value for one in added], [one.value for one in estimate.chunks.added]
        )
        requests = costs.count_put_requests(objects, len(added))
        price = costs.price(total.value, requests, self._prices)
        return Setting(
            candidate=self._lane.candidate,
            slice_size=slice_size,
            level=level,
            stored_bytes=total,
            added_bytes=added,
            dedupe_ratio=_ratio(self._logical, unique),
            compression_ratio=_compression(unique, total, rate),
            total_ratio=_ratio(self._logical, total),
            index_bytes=costs.index_bytes(chunks),
            memory_bytes=costs.memory_bytes(
                self._lane.candidate, slice_size, level, chunks, self._threads
            ),
            objects=objects,
            put_requests=requests,
            price_once=price.once,
            price_month=price.month,
            restore_decoded_per_byte=self._lane.decoded_per_byte.get(slice_size, 1.0),
            mb_s=self._mb_s((slice_size, level)),
        )

    def _stored(self, rate: Estimate, version: int) -> Estimate:
        """Return the stored bytes that a version brings."""
        quick = self._estimate.quick_bytes.added[version]
        chunks = self._estimate.chunks.added[version].value
        boxes = quick.value * rate.value
        return _sum(
            quick,
            rate,
            boxes
            + chunks * costs.CHUNK_STORED_BYTES
            + self._files[version] * costs.FILE_STORED_BYTES
            + costs.count_packs(boxes) * costs.PACK_STORED_BYTES,
        )

    def _new_files(self, measured: ScanResult) -> list[float]:
        """Return how many files of each version are new or changed, about.

        Trees of other files are stored already. Of a later version of a series the share of new
        files is taken for that of new bytes.
        """
        files = [float(version.files) for version in measured.versions]
        if measured.is_series:
            for number, version in enumerate(measured.versions[1:], 1):
                new = self._estimate.bytes.added[number].value
                files[number] *= new / version.logical_bytes if version.logical_bytes else 0.0
        return files

    def _mb_s(self, setting: tuple[int, int]) -> float:
        unique = self._estimate.bytes.total.value / self._logical if self._logical else 0.0
        seconds = _seconds_per_read_byte(self._lane) + unique * seconds_per_byte(
            self._lane.regions, setting
        )
        return self._threads / seconds / _MB if seconds else 0.0


def _seconds_per_read_byte(lane: LaneResult) -> float:
    return lane.core_seconds / lane.cut_bytes if lane.cut_bytes else 0.0


def _sum(quick: Estimate, rate: Estimate, value: float) -> Estimate:
    """Return a stored size with the errors of both factors; what comes on top has none."""
    return Estimate(value, hypot(quick.error * rate.value, quick.value * rate.error))


def _ratio(logical: int, size: Estimate) -> Estimate:
    """Return logical bytes for each byte of a size; 1 of nothing.

    The error reaches to the ratio of the least size that is believed possible.
    """
    if size.value <= 0:
        return Estimate(1.0)
    ratio = logical / size.value
    error = min(size.relative_error, _MOST_ERROR)
    return Estimate(ratio, ratio * error / (1 - error))


def _compression(unique: Estimate, stored: Estimate, rate: Estimate) -> Estimate:
    """Return unique bytes for each stored byte.

    Both are of the same chunks, so only the rate is uncertain.
    """
    if stored.value <= 0:
        return Estimate(1.0)
    ratio = unique.value / stored.value
    return Estimate(ratio, ratio * rate.relative_error)
