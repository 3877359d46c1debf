"""What a sample consists of: clusters come whole, every byte has the same chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.sample import GROUPS, Extent, Sample, Sampler

MIB = 1 << 20
SHARES = st.sampled_from([0.003, 0.1, 0.5, 1.0])
NAMES = st.binary(max_size=20)


def nothing(_offset: int, _length: int) -> bytes:
    return b""


def sampler(
    share: float, *, is_series: bool = True, seed: int = 0, total: int = 1 << 30
) -> Sampler:
    return Sampler(share, total, is_series=is_series, seed=b"%d" % seed)


def extents(one: Sampler, name: bytes, size: int) -> tuple[Extent, ...]:
    return tuple(one.extents(name, size, nothing))


@pytest.mark.parametrize(
    ("sample", "total", "share"),
    [
        (Sample(None, None), 10**12, 1.0),
        (Sample(0.25, None), 10, 0.25),
        (Sample(0.25, 1), 10, 0.25),
        (Sample(7.0, None), 10, 1.0),
        (Sample(None, 100), 100, 1.0),
        (Sample(None, 100), 400, 0.25),
        (Sample(None, 100), 0, 1.0),
    ],
)
def test_share_follows_from_what_was_asked_for(sample: Sample, total: int, share: float) -> None:
    assert sample.share_of(total) == share


@given(NAMES, st.integers(0, 1 << 40), st.booleans())
def test_everything_is_one_extent_for_each_file(name: bytes, size: int, is_series: bool) -> None:
    one = sampler(1.0, is_series=is_series)

    found = extents(one, name, size)

    assert [(e.offset, e.length, e.is_start, e.is_end) for e in found] == (
        [(0, size, True, True)] if size else []
    )
    assert one.planned(name, size) == size


@given(NAMES, st.integers(0, 200 * MIB), SHARES, st.integers(0, 5))
def test_extents_are_disjoint_parts_of_the_file(
    name: bytes, size: int, share: float, seed: int
) -> None:
    one = sampler(share, seed=seed)

    found = extents(one, name, size)

    done = 0
    for extent in found:
        assert extent.offset >= done
        assert extent.length >= 1
        assert 0 <= extent.group < GROUPS
        assert extent.is_start == (extent.offset == 0)
        done = extent.offset + extent.length
        assert extent.is_end == (done == size)
    assert done <= size
    assert one.planned(name, size) == sum(extent.length for extent in found)


@pytest.mark.parametrize("size", [1, 3 * MIB, 5 * MIB, 50 * MIB, 53 * MIB + 1])
def test_share_is_met_on_average_for_files_of_any_length(size: int) -> None:
    read = [
        sum(e.length for e in extents(sampler(0.1, seed=seed), b"f", size)) for seed in range(2000)
    ]

    assert sum(read) / len(read) == pytest.approx(0.1 * size, rel=0.15)


@pytest.mark.parametrize("position", [0, 5 * MIB, 10 * MIB - 1])
def test_no_byte_of_a_long_file_is_preferred(position: int) -> None:
    hits = sum(
        any(
            e.offset <= position < e.offset + e.length
            for e in extents(sampler(0.2, seed=seed), b"f", 10 * MIB)
        )
        for seed in range(2000)
    )

    assert hits / 2000 == pytest.approx(0.2, rel=0.15)


def test_versions_of_a_path_come_in_together() -> None:
    one = sampler(0.3)

    for number in range(200):
        name = b"dir/%d" % number
        first, later = extents(one, name, 1000), extents(one, name, 2000)
        assert bool(first) == bool(later)
        assert {e.group for e in first} == {e.group for e in later}


def test_copies_in_one_tree_come_in_together_and_other_files_by_themselves() -> None:
    one = sampler(0.3, is_series=False)
    together = [bool(extents(one, b"a/f%d" % n, 1000)) for n in range(300)]

    assert together == [bool(extents(one, b"b/c/f%d" % n, 1000)) for n in range(300)]
    assert together != [bool(extents(one, b"a/f%d" % n, 1001)) for n in range(300)]


def test_small_files_of_a_directory_come_in_together_and_large_ones_by_themselves() -> None:
    one = sampler(0.5)

    small = [bool(extents(one, b"d/f%d" % n, 1000)) for n in range(50)]
    numbered = [bool(extents(one, b"d/%d" % n, 1000)) for n in range(50)]
    large = [bool(extents(one, b"d/%d" % n, MIB)) for n in range(50)]

    assert len(set(small)) == 1
    assert len(set(numbered)) == 2
    assert len(set(large)) == 2


def test_paths_of_a_series_that_end_alike_are_clusters_of_their_own() -> None:
    one = sampler(0.5)

    chosen = [bool(extents(one, b"%d/Makefile" % n, 1000)) for n in range(200)]

    assert 60 < sum(chosen) < 140


def test_long_files_whose_names_differ_in_digits_share_their_cells_in_one_tree() -> None:
    one = sampler(0.1, is_series=False)

    monday = extents(one, b"a/dump-2026-11-20.sql", 90 * MIB)
    tuesday = extents(one, b"b/dump-2026-11-21.sql", 90 * MIB)

    assert monday == tuesday != ()


def test_another_seed_draws_another_sample() -> None:
    names = [b"%d" % number for number in range(100)]

    drawn = {tuple(bool(extents(sampler(0.5, seed=s), n, 9)) for n in names) for s in range(5)}

    assert len(drawn) == 5


def test_groups_get_equal_shares() -> None:
    one = sampler(1.0)
    counts = [0] * GROUPS
    for number in range(200 * GROUPS):
        counts[extents(one, b"%d" % number, 1)[0].group] += 1

    assert min(counts) > 130
    assert max(counts) < 280


def test_cells_grow_with_what_is_read_so_that_their_number_is_bounded() -> None:
    huge = 1 << 50

    found = extents(sampler(0.5, total=huge), b"disk", huge)

    assert 250 <= len(found) <= 260
