"""A lane finds what cutting every file by itself, and remembering every chunk, would find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.benchmark.batch import BLOCK, Batch, Piece
from holdfast.benchmark.grid import WHOLE_FILES, Candidate
from holdfast.benchmark.lane import new_lane
from holdfast.benchmark.measured import LaneResult
from holdfast.benchmark.naming import ChunkNamer
from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.slices import Stream
from holdfast.benchmark.squeezer import Squeezer
from holdfast.chunking.cutting import Cutting
from support.lanes import KEY, SLICE, count, measure, pieces

CANDIDATES: tuple[Candidate, ...] = (
    WHOLE_FILES,
    Cutting("fixed", 4096),
    Cutting("gear", 1024),
    Cutting("gear", 4096, zero_runs=True),
    Cutting("gear", 32768),
)
PARTS = [random.Random(seed).randbytes(1 << 18) for seed in range(3)] + [bytes(1 << 18)]

file_contents = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1 << 18), st.integers(1, 1 << 18)), max_size=3
).map(lambda parts: b"".join(PARTS[number][start : start + n] for number, start, n in parts))
version_lists = st.lists(st.lists(file_contents, max_size=4), min_size=1, max_size=3)


def assert_counted(result: LaneResult, versions: list[list[bytes]]) -> None:
    expected = count(result.candidate, versions)
    kept = list(result.sketch)
    assert result.sketch.is_exact
    assert sorted(chunk.length for chunk in kept) == sorted(map(len, expected.chunks))
    added = [0] * len(versions)
    for chunk in kept:
        added[chunk.first_version] += chunk.length
    assert added == expected.added(len(versions))
    tallies = [tally for groups in result.references for tally in groups]
    assert sum(tally.chunks for tally in tallies) == expected.references
    assert sum(tally.bytes for tally in tallies) == expected.bytes


@settings(max_examples=15)
@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
@given(versions=version_lists)
def test_whole_sources_are_counted_exactly(
    candidate: Candidate, versions: list[list[bytes]]
) -> None:
    assert_counted(measure(candidate, versions), versions)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
def test_files_far_longer_than_a_batch(candidate: Candidate) -> None:
    long = PARTS[0] + PARTS[3] + PARTS[1] + PARTS[0]
    versions = [[long, b"x", long], [b"y" + long, PARTS[2] + bytes(600_000)]]
    assert_counted(measure(candidate, versions), versions)


def test_new_data_make_up_the_regions() -> None:
    versions = [[PARTS[0], PARTS[0], b"short"], [PARTS[0] + PARTS[1]]]
    result = measure(Cutting("gear", 4096), versions)
    new = count(result.candidate, versions).added(2)
    for version in range(2):
        regions = [region for region in result.regions if region.version == version]
        assert sum(region.length for region in regions) == new[version]
        assert [region.length for region in regions[:-1]] == [SLICE] * (len(regions) - 1)
        for region in regions:
            squeezed = region.squeezed[SLICE, 1]
            assert region.weight == 1.0
            assert squeezed.stored_bytes == region.length + 17  # a codec byte and a tag
    quick = sum(chunk.quick_length for chunk in result.sketch)
    assert quick == pytest.approx(sum(region.quick_length for region in result.regions), rel=1e-6)


def test_quick_lengths_tell_text_from_noise() -> None:
    result = measure(Cutting("fixed", BLOCK), [[b"all the same " * 10_000 + PARTS[0]]])
    by_density = sorted(chunk.quick_length / chunk.length for chunk in result.sketch)
    assert by_density[0] < 0.1
    assert by_density[-1] == pytest.approx(1.0, abs=0.01)


def test_more_chunks_than_a_sketch_keeps_add_up_all_the_same() -> None:
    long = random.Random(9).randbytes(9 << 20)
    versions = [[long, long[: 1 << 20]], [], [b"!" + long[: 2 << 20], long]]
    for candidate in (Cutting("fixed", 256), WHOLE_FILES):
        result = measure(candidate, versions)
        assert result.sketch.is_exact == (candidate is WHOLE_FILES)
        added = [0.0] * 3
        for chunk in result.sketch:
            added[chunk.first_version] += chunk.weight * chunk.length
        assert added == pytest.approx(count(candidate, versions).added(3))


def test_the_middle_of_a_file_counts_without_cut_off_chunks() -> None:
    data = PARTS[0]
    for candidate, start in ((Cutting("gear", 1024), 50_000), (Cutting("fixed", 4096), 50_001)):
        stop = start + 70_000
        batch = Batch(0, 4 * BLOCK)
        batch.view[: len(data)] = data
        batch.used = len(data)
        batch.pieces = [
            Piece(start, stop, 7, start, is_clean_start=False, is_clean_end=False, is_sampled=True)
        ]
        with Squeezer((SLICE,), (1,), 1) as squeezer:
            stream = Stream((SLICE,), squeezer, 0, take_all=True)
            lane = new_lane(candidate, ChunkNamer(KEY), stream, 1)
            lane.take(batch)
            result = lane.finish(take_all=True)
        whole = {len(b"".join(pieces(candidate, data)[:n])) for n in range(300)}
        tally = result.references[0][7]
        assert tally.chunks == len(result.sketch) > 10
        assert 60_000 < tally.bytes == sum(chunk.length for chunk in result.sketch) < 70_000
        # Cuts depend on what is near, so nearly all are those of the whole file.
        inner = [end for end in sorted(whole) if start < end < stop]
        assert tally.chunks == pytest.approx(len(inner) - 1, abs=2)


def test_a_whole_file_that_is_sampled_is_one_chunk_with_its_copies() -> None:
    data = b"".join(PARTS[:3]) * 9  # 7 MiB
    result = measure(WHOLE_FILES, [[data], [data], [data[:-1]]], share=0.4)
    chunks = sorted(result.sketch)
    assert len(chunks) == 2  # copies are one, whatever was read of them; another size is another
    read = [sum(tally.bytes for tally in groups) for groups in result.references]
    assert 0 < read[0] == read[1] < len(data)
    assert [sum(tally.chunks for tally in groups) for groups in result.references] == [1, 1, 1]
    assert {chunk.first_version for chunk in chunks} == {0, 2}


def test_groups_of_a_sample_are_noted() -> None:
    files = [random.Random(seed).randbytes(3000) for seed in range(400)]
    result = measure(Cutting("gear", 32768), [files, files], share=0.5)
    groups = [chunk.groups for chunk in result.sketch]
    assert 100 < len(groups) < 300
    assert all(mask.bit_count() == 1 for mask in groups)
    assert len(set(groups)) == GROUPS
    assert all(
        [tally.chunks for tally in version] == [groups.count(1 << g) for g in range(GROUPS)]
        for version in result.references
    )
