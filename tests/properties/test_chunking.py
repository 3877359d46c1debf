"""What holds for every stream, key and size."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.chunking import _gear_py
from support.chunking import FIND_CUTS_C, IMPLEMENTATIONS, NEEDS_C, FindCuts, gear, noise, pieces

RELAXED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

parts = st.one_of(
    st.builds(noise, st.text("abc", max_size=3), st.integers(0, 3000)),
    st.builds(bytes, st.integers(0, 5000)),
    st.builds(lambda unit, count: unit * count, st.binary(max_size=20), st.integers(0, 150)),
    st.binary(max_size=200),
)
streams = st.lists(parts, max_size=6).map(b"".join)
tails = st.builds(noise, st.text("xyz"), st.just(20_000))
averages = st.sampled_from([256, 260, 512, 1000, 2048])
keys = st.binary(min_size=32, max_size=32)


@pytest.fixture(params=IMPLEMENTATIONS)
def find_cuts(request: pytest.FixtureRequest) -> FindCuts:
    implementation: FindCuts = request.param
    return implementation


@RELAXED
@given(data=streams, average=averages, key=keys, zero_runs=st.booleans())
def test_pieces_join_to_the_input_and_keep_the_sizes(
    find_cuts: FindCuts, data: bytes, average: int, key: bytes, zero_runs: bool
) -> None:
    chunker = gear(find_cuts, average, key, zero_runs=zero_runs)
    ends = chunker.cuts(data, len(data), True)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert b"".join(pieces(data, ends)) == data
    assert all(0 < size <= 4 * average for size in sizes)
    for end, size in zip(ends[:-1], sizes[:-1], strict=True):
        before_zeros = zero_runs and data[end : end + 4 * average] == bytes(4 * average)
        assert size >= average // 4 or before_zeros


@NEEDS_C
@settings(RELAXED, max_examples=300)
@given(
    data=streams,
    average=averages,
    key=keys,
    zero_runs=st.booleans(),
    final=st.booleans(),
    length=st.integers(0),
    thresholds=st.none() | st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
)
def test_c_equals_python(
    data: bytes,
    average: int,
    key: bytes,
    zero_runs: bool,
    final: bool,
    length: int,
    thresholds: tuple[int, int] | None,
) -> None:
    assert FIND_CUTS_C is not None
    length = min(length, len(data))
    p = gear(FIND_CUTS_C, average, key, zero_runs=zero_runs).parameters
    arguments = (data, length, final, p.sizes, thresholds or p.thresholds, p.key, p.zero_runs)
    assert FIND_CUTS_C(*arguments) == _gear_py.find_cuts(*arguments)


@NEEDS_C
@settings(RELAXED, max_examples=100)
@given(
    data=streams,
    sizes=st.tuples(st.integers(64, 300), st.integers(0, 40_000), st.integers(0, 3000)),
    key=st.binary(min_size=22, max_size=22),
    zero_runs=st.booleans(),
)
def test_c_equals_python_for_any_sizes(
    data: bytes, sizes: tuple[int, int, int], key: bytes, zero_runs: bool
) -> None:
    assert FIND_CUTS_C is not None
    minimum, more, most = sizes
    sizes = (minimum, minimum + more, minimum + more + most)
    arguments = (data, len(data), True, sizes, (2**62, 2**63), key, zero_runs)
    assert FIND_CUTS_C(*arguments) == _gear_py.find_cuts(*arguments)


@RELAXED
@given(
    data=streams,
    average=averages,
    key=keys,
    zero_runs=st.booleans(),
    reads=st.lists(st.integers(1, 4000), min_size=1, max_size=10),
)
def test_reads_of_any_size_give_the_same_cuts(
    find_cuts: FindCuts,
    data: bytes,
    average: int,
    key: bytes,
    zero_runs: bool,
    reads: list[int],
) -> None:
    chunker = gear(find_cuts, average, key, zero_runs=zero_runs)
    found: list[int] = []
    start = filled = turn = 0
    while filled < len(data):
        filled = min(filled + reads[turn % len(reads)], len(data))
        turn += 1
        found += (start + end for end in chunker.cuts(data[start:], filled - start, False))
        start = found[-1] if found else 0
    found += (start + end for end in chunker.cuts(data[start:], filled - start, True))
    assert found == chunker.cuts(data, len(data), True)


def test_bytes_one_by_one_give_the_same_cuts(find_cuts: FindCuts) -> None:
    data = noise("one", 900) + bytes(1100) + noise("by one", 600)
    for zero_runs in (False, True):
        chunker = gear(find_cuts, zero_runs=zero_runs)
        found: list[int] = []
        for filled in range(1, len(data) + 1):
            start = found[-1] if found else 0
            ends = chunker.cuts(data[start:filled], filled - start, filled == len(data))
            found += (start + end for end in ends)
        assert found == chunker.cuts(data, len(data), True)


@RELAXED
@given(
    before=streams,
    run=st.integers(1024, 6000),
    after=streams,
    key=keys,
)
def test_zero_runs_are_the_same_chunks_whatever_surrounds_them(
    find_cuts: FindCuts, before: bytes, run: int, after: bytes, key: bytes
) -> None:
    before, after = before.rstrip(b"\0"), after.lstrip(b"\0")
    data = before + bytes(run) + after
    ends = gear(find_cuts, key=key, zero_runs=True).cuts(data, len(data), True)
    borders = [end for end in [0, *ends] if len(before) <= end <= len(before) + run // 1024 * 1024]
    assert borders == [len(before) + 1024 * i for i in range(run // 1024 + 1)]


@RELAXED
@given(
    head=streams, other=streams, tail=st.builds(noise, st.text("xyz"), st.just(20_000)), key=keys
)
def test_streams_that_end_alike_end_in_the_same_chunks(
    find_cuts: FindCuts, head: bytes, other: bytes, tail: bytes, key: bytes
) -> None:
    chunker = gear(find_cuts, 512, key)
    data, changed = head + tail, other + tail
    first = pieces(data, chunker.cuts(data, len(data), True))
    second = pieces(changed, chunker.cuts(changed, len(changed), True))
    assert first[-3:] == second[-3:]
