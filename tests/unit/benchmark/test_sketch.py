"""The sample of distinct chunks: exact while they are few, unbiased beyond."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.sketch import Kept, Sketch

Chunk = tuple[int, int, int, int]
"""Id, length, version, group."""

chunk_lists = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda number: number * 0x9E3779B97F4A7C15 % 2**64),
        st.just(0),
        st.integers(0, 2),
        st.integers(0, 31),
    ).map(lambda drawn: (drawn[0], 1 + drawn[0] % 100_000, drawn[2], drawn[3])),
    max_size=120,
).map(lambda chunks: sorted(chunks, key=lambda chunk: chunk[2]))


def add(sketch: Sketch, chunks: Sequence[Chunk]) -> None:
    for chunk_id, length, version, group in chunks:
        sketch.add((chunk_id,), ((7, 7 + length),), (group,), lambda a, b: (b - a) / 4, version)


def chunks_of(count: int, seed: int, length: int = 0) -> list[Chunk]:
    draw = random.Random(seed)
    return [
        (draw.getrandbits(64), length or draw.randint(1, 20_000), 0, draw.randrange(32))
        for _ in range(count)
    ]


@given(chunk_lists)
def test_few_chunks_are_all_kept(chunks: list[Chunk]) -> None:
    sketch = Sketch(most_kept=64)
    add(sketch, chunks)
    expected: dict[int, Kept] = {}
    for chunk_id, length, version, group in chunks:
        known = expected.get(chunk_id)
        first = version if known is None else known.first_version
        groups = 1 << group | (0 if known is None else known.groups)
        expected[chunk_id] = Kept(length, length / 4, first, groups, 1.0)
    assert sorted(sketch) == sorted(expected.values())
    assert sketch.is_exact
    assert len(sketch) == len(expected)


@given(chunk_lists, st.randoms(use_true_random=False))
def test_what_is_kept_depends_on_the_set_only(chunks: list[Chunk], draw: random.Random) -> None:
    one, other = Sketch(most_kept=8), Sketch(most_kept=8)
    flat = [(chunk_id, length, 0, group) for chunk_id, length, _, group in chunks]
    add(one, flat)
    shuffled = list(flat)
    draw.shuffle(shuffled)
    add(other, shuffled + flat)
    assert one.rate == other.rate
    assert {(kept.length, kept.weight) for kept in one} == {
        (kept.length, kept.weight) for kept in other
    }


@pytest.mark.parametrize("length", [100, 0, 300_000])
def test_sums_over_many_chunks_are_estimated(length: int) -> None:
    chunks = chunks_of(20_000, 1, length)
    sketch = Sketch(most_kept=2000)
    ids, lengths, _, groups = zip(*chunks, strict=True)
    spans = [(0, length) for length in lengths]
    sketch.add(ids, spans, groups, lambda a, b: (b - a) / 4, 0)
    assert not sketch.is_exact
    assert 500 < len(sketch) <= 2000
    assert sum(kept.weight for kept in sketch) == pytest.approx(20_000, rel=0.1)
    estimated = sum(kept.weight * kept.length for kept in sketch)
    assert estimated == pytest.approx(sum(lengths), rel=0.1)
    of_group = sum(kept.weight for kept in sketch if kept.groups == 1 << 5)
    assert of_group == pytest.approx(groups.count(5), rel=0.5)


def test_what_is_known_from_elsewhere_corrects_the_weights() -> None:
    first, second = chunks_of(20_000, 4), [(c, n, 1, g) for c, n, _, g in chunks_of(9000, 5)]
    first.append((2**64 - 1, 10**7, 0, 0))
    sketch = Sketch(most_kept=500)
    add(sketch, first + second)
    totals = [sum(length for _, length, _, _ in chunks) for chunks in (first, second)]
    sketch.calibrate(totals)
    for version, total in enumerate(totals):
        kept = [chunk for chunk in sketch if chunk.first_version == version]
        assert sum(chunk.weight * chunk.length for chunk in kept) == pytest.approx(total)
        assert min(chunk.weight for chunk in kept) >= 1.0
    assert max(sketch).weight == 1.0


def test_a_huge_chunk_is_never_lost() -> None:
    sketch = Sketch(most_kept=100)
    add(sketch, [(2**64 - 1, 10**12, 0, 3)])
    add(sketch, chunks_of(5000, 2))
    assert max(sketch) == Kept(10**12, 10**12 / 4, 0, 8, 1.0)


def test_a_chunk_that_was_dropped_stays_away() -> None:
    sketch = Sketch(most_kept=16)
    chunks = chunks_of(1000, 3)
    add(sketch, chunks)
    before = sorted(sketch)
    add(sketch, [(chunk_id, length, 1, group) for chunk_id, length, _, group in chunks])
    assert sorted(sketch) == before


def test_a_sketch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Sketch(most_kept=0)
