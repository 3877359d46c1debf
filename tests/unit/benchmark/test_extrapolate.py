"""Estimates from samples of made-up populations, whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.benchmark.extrapolate import (
    LaneEstimate,
    estimate_lane,
    seconds_per_byte,
    stored_per_quick_byte,
)
from holdfast.benchmark.grid import WHOLE_FILES
from holdfast.benchmark.measured import LaneResult, Region, Squeezed, Tally
from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.sketch import Sketch

Chunk = tuple[int, int, int, int]
"""Id, length, version, group."""
SETTING = (1 << 20, 3)


def lane_of(chunks: Iterable[Chunk], versions: int, most_kept: int = 32768) -> LaneResult:
    sketch = Sketch(most_kept)
    references = [[Tally() for _ in range(GROUPS)] for _ in range(versions)]
    for chunk_id, length, version, group in sorted(chunks, key=lambda chunk: chunk[2]):
        sketch.add((chunk_id,), ((0, length),), (group,), lambda a, b: (b - a) / 2, version)
        references[version][group].chunks += 1
        references[version][group].bytes += length
    return LaneResult(candidate=WHOLE_FILES, sketch=sketch, references=references)


class Population:
    """Clusters of chunks in two versions; one chunk in ten of a cluster is in two others too."""

    def __init__(self, clusters: int) -> None:
        draw = random.Random(1)
        everywhere = [(draw.getrandbits(64), draw.randint(1000, 9000)) for _ in range(clusters)]
        self.clusters = [
            [
                draw.choice(everywhere)
                if draw.random() < 0.1
                else (draw.getrandbits(64), draw.randint(1000, 9000))
                for _ in range(draw.randint(5, 30))
            ]
            for _ in range(clusters)
        ]
        self.changed = [
            [
                (draw.getrandbits(64), length) if draw.random() < 0.05 else (chunk, length)
                for chunk, length in cluster
            ]
            for cluster in self.clusters
        ]
        self.logical = [self._size(self.clusters), self._size(self.changed)]
        first = {chunk for cluster in self.clusters for chunk in cluster}
        second = {chunk for cluster in self.changed for chunk in cluster} - first
        self.added = [sum(length for _, length in some) for some in (first, second)]
        self.count = len(first) + len(second)

    def sample(self, share: float, seed: int) -> list[Chunk]:
        draw = random.Random(seed)
        chunks: list[Chunk] = []
        for old, new in zip(self.clusters, self.changed, strict=True):
            group = draw.randrange(GROUPS)
            if draw.random() < share:
                chunks += [(chunk, length, 0, group) for chunk, length in old]
                chunks += [(chunk, length, 1, group) for chunk, length in new]
        return chunks

    def _size(self, clusters: list[list[tuple[int, int]]]) -> int:
        return sum(length for cluster in clusters for _, length in cluster)


POPULATION = Population(1500)


def estimate(share: float, seed: int, most_kept: int = 32768) -> LaneEstimate:
    lane = lane_of(POPULATION.sample(share, seed), 2, most_kept)
    return estimate_lane(lane, POPULATION.logical, share)


def test_whole_source_is_counted() -> None:
    found = estimate(1.0, 0)

    assert [one.value for one in found.bytes.added] == POPULATION.added
    assert found.bytes.total.value == sum(POPULATION.added)
    assert found.chunks.total.value == POPULATION.count
    assert found.quick_bytes.total.value == pytest.approx(sum(POPULATION.added) / 2)
    assert found.references.value == sum(map(len, POPULATION.clusters + POPULATION.changed))
    assert {one.total.error for one in (found.bytes, found.chunks, found.quick_bytes)} == {0.0}


def test_whole_source_with_a_thinned_sketch_has_the_sketch_s_error() -> None:
    found = estimate(1.0, 0, most_kept=1000).bytes.total

    assert 0 < found.error < 0.15 * found.value
    assert abs(found.value - sum(POPULATION.added)) <= found.error


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_estimates_from_samples_lie_near_the_truth_and_hold_it(share: float) -> None:
    found = [estimate(share, seed) for seed in range(10)]

    truth = sum(POPULATION.added)
    totals = [one.bytes.total for one in found]
    assert all(abs(one.value / truth - 1) < 0.1 for one in totals)
    assert sum(abs(one.value - truth) <= one.error for one in totals) >= 9
    later = [one.bytes.added[1] for one in found]
    assert sum(abs(one.value - POPULATION.added[1]) <= one.error for one in later) >= 8
    counts = [one.chunks.total for one in found]
    assert sum(abs(one.value - POPULATION.count) <= one.error for one in counts) >= 9
    assert max(one.relative_error for one in totals) < 0.2  # and not by being huge


def test_larger_samples_have_smaller_errors() -> None:
    assert estimate(0.5, 1).bytes.total.error < estimate(0.05, 1).bytes.total.error


chunk_lists = st.lists(
    st.tuples(
        st.integers(0, 1 << 64), st.integers(1, 1 << 20), st.integers(0, 2), st.integers(0, 31)
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(chunk_lists, st.sampled_from([0.01, 0.4, 1.0]))
def test_whatever_was_read_gives_figures(chunks: list[Chunk], share: float) -> None:
    logical = [10**9, 10**9, 0]

    found = estimate_lane(lane_of(chunks, 3), logical, share)

    for one in (found.bytes, found.chunks, found.quick_bytes):
        assert one.total.value == pytest.approx(sum(added.value for added in one.added))
        for figure in (one.total, *one.added):
            assert 0 <= figure.value < float("inf")
            assert 0 <= figure.error < float("inf")


def region(quick: float, stored: int, *, length: int = 1000, weight: float = 1.0) -> Region:
    squeezed: Mapping[tuple[int, int], Squeezed] = {SETTING: Squeezed(stored, 2.0)}
    return Region(version=0, length=length, quick_length=quick, weight=weight, squeezed=squeezed)


def test_compression_without_regions_is_none() -> None:
    assert stored_per_quick_byte([], SETTING, 1.0).value == 1.0
    assert seconds_per_byte([], SETTING) == 0.0


def test_compression_of_the_whole_stream_is_counted() -> None:
    found = stored_per_quick_byte([region(500, 300), region(100, 90)], SETTING, 1.0)

    assert found.value == pytest.approx(390 / 600)
    assert found.error == 0
    assert seconds_per_byte([region(500, 300), region(100, 90)], SETTING) == 4 / 2000


def test_compression_of_a_part_is_weighted_and_unsure_as_far_as_regions_differ() -> None:
    alike = stored_per_quick_byte(
        [region(500, 300, weight=5), region(50, 30, weight=9)], SETTING, 1.0
    )
    unlike = stored_per_quick_byte(
        [region(500, 300, weight=5), region(50, 60, weight=9)], SETTING, 1.0
    )

    assert alike.value == pytest.approx(0.6)
    assert alike.error == pytest.approx(0)
    assert unlike.value == pytest.approx((5 * 300 + 9 * 60) / (5 * 500 + 9 * 50))
    assert unlike.error > 0.05


def test_compression_of_a_sample_is_less_sure() -> None:
    regions = [region(500, 300), region(100, 60)]

    assert stored_per_quick_byte(regions, SETTING, 0.1).error > 0.02
    assert stored_per_quick_byte(regions, SETTING, 0.1).value == pytest.approx(0.6)
