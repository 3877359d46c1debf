"""The table of chunks that a stream has: a dictionary that stays small."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.seen import Seen


@given(st.lists(st.integers(1, 200), max_size=300))
def test_it_is_a_dictionary_while_there_is_room(numbers: list[int]) -> None:
    seen, expected = Seen(most_slots=1 << 9), dict[int, int]()
    for position, number in enumerate(numbers):
        chunk_id = number * 0x9E3779B97F4A7C15 % 2**64
        assert seen.find(chunk_id) == expected.get(chunk_id, -1)
        if chunk_id not in expected:
            seen.add(chunk_id, position, number % 32)
            expected[chunk_id] = position
    assert seen.groups == 32


def test_it_grows_to_its_bound() -> None:
    seen = Seen(most_slots=1 << 16)
    ids = random.Random(1).sample(range(1, 2**64, 2**40 + 1), 40_000)
    for position, chunk_id in enumerate(ids):
        seen.add(chunk_id, position, position % 32)
    assert seen.groups == 32
    assert all(seen.find(chunk_id) == position for position, chunk_id in enumerate(ids))


def test_a_full_table_keeps_half_of_the_groups_whole() -> None:
    seen = Seen(most_slots=1 << 10)
    draw = random.Random(2)
    ids = {draw.getrandbits(64) | 1: number % 32 for number in range(1000)}
    for chunk_id, group in ids.items():
        if group < seen.groups:
            seen.add(chunk_id, 5, group)
    assert seen.groups == 16
    for chunk_id, group in ids.items():
        assert seen.find(chunk_id) == (5 if group < 16 else -1)


def test_a_table_full_of_one_group_forgets() -> None:
    seen = Seen(most_slots=1 << 10)
    draw = random.Random(3)
    ids = [draw.getrandbits(64) | 1 for _ in range(5000)]
    for position, chunk_id in enumerate(ids):
        seen.add(chunk_id, position, 0)
    assert seen.find(ids[-1]) == 4999
    assert seen.find(ids[0]) == -1
