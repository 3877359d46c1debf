"""Sums by set of snapshots say the same as adding up blob by blob."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark import snapshot_sums
from holdfast.benchmark.sharing_report import NOTHING, Amount
from holdfast.benchmark.snapshot_sums import SnapshotSums, runs

COUNT = 9
HOSTS = [0b000010011, 0b111100000, 0b000001100]
BLOBS = st.lists(st.tuples(st.integers(1, 2**COUNT - 1), st.integers(0, 1000)), max_size=40)


@given(st.integers(0, 2**200))
def test_runs_are_the_set(members: int) -> None:
    found = list(runs(members))
    assert sum(((1 << end) - 1) ^ ((1 << begin) - 1) for begin, end in found) == members
    flat = [at for run in found for at in run]
    assert flat == sorted(set(flat)), "neighbouring runs are one"


@given(BLOBS, st.sampled_from([1, 3, 1000]))
def test_sums_are_those_of_the_blobs(blobs: list[tuple[int, int]], most: int) -> None:
    def total(sizes: list[int]) -> Amount:
        return Amount(sum(sizes), sum(sizes) // 2 if sum(sizes) % 2 == 0 else -1)

    blobs = [(holders, 2 * size) for holders, size in blobs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_sums, "_MOST_SETS", most)
        sums = SnapshotSums(COUNT, HOSTS)
        for holders, size in blobs:
            sums.add(holders, size, size / 2)
        found = (sums.unique(), sums.exclusive(), sums.added(), sums.of_hosts())
    bits = [1 << number for number in range(COUNT)]
    assert found == (
        [total([size for held, size in blobs if held & bit]) for bit in bits],
        [total([size for held, size in blobs if held == bit]) for bit in bits],
        [total([size for held, size in blobs if held & -held == bit]) for bit in bits],
        [
            (
                total([size for held, size in blobs if held & host]),
                total([size for held, size in blobs if held & host and not held & ~host]),
            )
            for host in HOSTS
        ],
    )
    assert sums.total() == total([size for _, size in blobs])
    assert sums.blobs == len(blobs)
    alone = sum((unique for unique, _ in sums.of_hosts()), NOTHING)
    assert sums.saved_across_hosts() == alone - sums.total()
    assert found[0] == sums.unique(), "asking changes nothing"
