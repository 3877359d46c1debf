"""From a scan to settings: figures that belong together agree."""

from __future__ import annotations

import datetime

import pytest

from holdfast.benchmark.costs import (
    CHUNK_STORED_BYTES,
    FILE_STORED_BYTES,
    PACK_STORED_BYTES,
)
from holdfast.benchmark.grid import WHOLE_FILES, Candidate, Grid, parse_candidate
from holdfast.benchmark.measured import LaneResult, Region, Squeezed, Tally
from holdfast.benchmark.report import Version
from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.scan import ScanResult
from holdfast.benchmark.settings import Assessment, assess
from holdfast.benchmark.sketch import Sketch
from holdfast.policy.prices import PriceTable

MIB = 1 << 20
GRID = Grid((WHOLE_FILES, parse_candidate("files")), (MIB, 4 * MIB), (1, 3))
PRICES = PriceTable(
    provider="here", date=datetime.date(2026, 1, 1), currency="EUR", stored_month=1.0
)
ADDED = (800, 50, 30)
"""Chunks of 64 KiB that each version brings; of each, half compresses away."""
LENGTH = 64 << 10


def lane(candidate: Candidate, added: tuple[int, ...]) -> LaneResult:
    sketch = Sketch()
    references = [[Tally() for _ in range(GROUPS)] for _ in added]
    name = 0
    for version, count in enumerate(added):
        for _ in range(count):
            name += 1
            sketch.add(
                (name << 40,), ((0, LENGTH),), (name % 32,), lambda a, b: (b - a) / 3, version
            )
        for group in range(GROUPS):
            references[version][group] = Tally(800 // GROUPS, 800 * LENGTH // GROUPS)
    squeezed = {
        (size, level): Squeezed(500_000 - 10_000 * level - size // 100, 0.01 * level)
        for size in GRID.slice_sizes
        for level in GRID.levels
    }
    regions = [
        Region(version=0, length=MIB, quick_length=MIB / 3, weight=1.0, squeezed=squeezed)
        for _ in range(5)
    ]
    return LaneResult(
        candidate=candidate,
        sketch=sketch,
        references=references,
        regions=regions,
        decoded_per_byte={MIB: 2.0, 4 * MIB: 5.0},
        decoded_last=1.5,
        core_seconds=1.0,
        cut_bytes=1 << 30,
    )


def measured(
    *, added: tuple[int, ...] = ADDED, is_series: bool = True, share: float = 1.0
) -> ScanResult:
    versions = tuple(
        Version(name=str(number), files=100, logical_bytes=800 * LENGTH, read_bytes=1)
        for number in range(len(added))
    )
    return ScanResult(
        versions=versions,
        lanes=tuple(lane(candidate, added) for candidate in GRID.candidates),
        is_series=is_series,
        share=share,
        unreadable=0,
        vanished=0,
    )


def assessed(scan: ScanResult, threads: int = 2) -> Assessment:
    return assess(scan, GRID, PRICES, threads)


def test_settings_come_in_the_order_of_the_grid() -> None:
    found = assessed(measured())

    assert [cut.candidate for cut in found.cuts] == list(GRID.candidates)
    assert [(one.candidate, one.slice_size, one.level) for one in found.settings] == [
        (candidate, size, level)
        for candidate in GRID.candidates
        for size in GRID.slice_sizes
        for level in GRID.levels
    ]


def test_stored_bytes_are_boxes_ids_trees_and_packs() -> None:
    setting = assessed(measured()).settings[0]

    rate = (500_000 - 10_000 - MIB // 100) / (MIB / 3)
    boxes = 800 * LENGTH / 3 * rate
    expected = boxes + 800 * CHUNK_STORED_BYTES + 100 * FILE_STORED_BYTES + PACK_STORED_BYTES
    assert setting.added_bytes[0].value == pytest.approx(expected)
    assert setting.stored_bytes.error == 0


def test_figures_agree() -> None:
    scan = measured()

    for one in assessed(scan).settings:
        assert one.stored_bytes.value == pytest.approx(sum(a.value for a in one.added_bytes))
        assert one.total_ratio.value == pytest.approx(
            one.dedupe_ratio.value * one.compression_ratio.value
        )
        assert one.dedupe_ratio.value == pytest.approx(scan.logical_bytes / (880 * LENGTH))
        assert one.index_bytes == 880 * 75
        assert one.put_requests > one.objects >= 2 * len(ADDED)
        assert one.price_month == pytest.approx(one.stored_bytes.value / (1 << 30))


def test_restore_is_by_the_setting_s_slice_and_cuts_by_the_default() -> None:
    found = assessed(measured())

    assert {(one.slice_size, one.restore_decoded_per_byte) for one in found.settings} == {
        (MIB, 2.0),
        (4 * MIB, 5.0),
    }
    assert {(cut.decoded_per_byte, cut.decoded_last) for cut in found.cuts} == {(2.0, 1.5)}
    assert found.cuts[0].core_seconds_per_gib == pytest.approx(1.0)


def test_higher_levels_and_fewer_threads_are_slower() -> None:
    fast, slow = assessed(measured()).settings[:2]
    alone = assessed(measured(), threads=1).settings[0]

    assert fast.mb_s > slow.mb_s
    assert fast.mb_s == pytest.approx(2 * alone.mb_s)
    seconds = 1 / (1 << 30) + 880 / 2400 * 0.01 / MIB
    assert alone.mb_s == pytest.approx(1 / seconds / 1e6)


def test_sample_gives_ratios_an_error() -> None:
    setting = assessed(measured(share=0.5)).settings[0]

    assert 0 < setting.dedupe_ratio.relative_error < 0.2
    size, ratio = setting.stored_bytes, setting.total_ratio
    logical = 3 * 800 * LENGTH
    assert ratio.value + ratio.error == pytest.approx(logical / (size.value - size.error))


def test_only_a_series_of_three_has_a_forecast() -> None:
    assert assessed(measured()).forecast is not None
    assert assessed(measured(is_series=False)).forecast is None
    assert assessed(measured(added=(800, 50))).forecast is None


def test_forecast_is_of_the_recommended_setting() -> None:
    found = assessed(measured())

    assert found.recommendation is not None
    assert found.forecast is not None
    recent = [one.value for one in found.recommendation.setting.added_bytes[1:]]
    assert found.forecast.per_version.value == pytest.approx(sum(recent) / 2)


def test_empty_source_has_figures_and_no_recommendation() -> None:
    empty = ScanResult(
        versions=(Version(name="v", files=0, logical_bytes=0, read_bytes=0),),
        lanes=tuple(
            LaneResult(
                candidate=candidate,
                sketch=Sketch(),
                references=[[Tally() for _ in range(GROUPS)]],
            )
            for candidate in GRID.candidates
        ),
        is_series=False,
        share=1.0,
        unreadable=0,
        vanished=0,
    )

    found = assessed(empty)

    assert found.recommendation is None
    assert found.forecast is None
    assert {one.total_ratio.value for one in found.settings} == {1.0}
    assert {one.stored_bytes.value for one in found.settings} == {0.0}
