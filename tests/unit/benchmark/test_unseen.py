"""How many distinct chunks are believed to be in what was not read."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.unseen import MOST_GROUPS, share_of_proportional

COUNT = 4000


def draw(share: float, multiplicity: Callable[[random.Random], int]) -> tuple[list[float], float]:
    """Return the histogram of a simulated sample, and the answer."""
    chance = random.Random(1)
    histogram = [0.0] * MOST_GROUPS
    for _ in range(COUNT):
        groups = {
            chance.randrange(GROUPS) for _ in range(multiplicity(chance)) if chance.random() < share
        }
        if groups:
            histogram[min(len(groups), MOST_GROUPS) - 1] += 1
    return histogram, COUNT * share / sum(histogram)


def test_chunks_of_one_cluster_grow_with_what_is_read() -> None:
    found = share_of_proportional([5.0, 0, 0, 0, 0, 0, 0, 0], 0.1, GROUPS)

    assert (found.value, found.error) == (1.0, 0.0)


def test_nothing_seen_and_everything_read_need_no_correction() -> None:
    assert share_of_proportional([0.0] * MOST_GROUPS, 0.1, GROUPS).value == 1.0
    assert share_of_proportional([1.0] * MOST_GROUPS, 1.0, GROUPS).value == 1.0


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
@pytest.mark.parametrize(
    "multiplicity",
    [
        lambda _: 1,
        lambda _: 2,
        lambda _: 5,
        lambda _: 100,
        lambda chance: chance.choice([1, 1, 1, 2, 3]),
        lambda chance: int(
            1 / (1 - 0.99 * chance.random()) ** 0.8
        ),  # heavy tail, as names of species
    ],
    ids=["once", "twice", "five times", "everywhere", "mostly once", "heavy tail"],
)
def test_error_holds_the_truth(share: float, multiplicity: Callable[[random.Random], int]) -> None:
    histogram, truth = draw(share, multiplicity)

    found = share_of_proportional(histogram, share, GROUPS)

    assert abs(found.value - truth) <= found.error + 0.03
    assert found.error <= 1.1 * (1 - truth) + 0.06  # nothing is unsure that can be known


@settings(max_examples=20)
@given(
    st.lists(st.floats(0, 1e12), min_size=MOST_GROUPS, max_size=MOST_GROUPS),
    st.sampled_from([0.001, 0.01, 0.5, 1.0]),
)
def test_answer_lies_between_nothing_new_and_all_new(histogram: list[float], share: float) -> None:
    found = share_of_proportional(histogram, share, GROUPS)

    assert share / 2 < found.value <= 1
    assert 0 <= found.error <= 1
