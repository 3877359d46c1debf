"""Subsets of packs for a partial check."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.ids import ObjectId
from holdfast.policy.subset import ALL_DATA, DataSubset, choose_packs, parse_subset

PACKS = [
    (ObjectId(random.Random(number).randbytes(16).hex()), 1000 + number) for number in range(200)
]


@pytest.mark.parametrize(
    ("text", "subset"),
    [
        ("1/1", DataSubset(part=1, parts=1)),
        ("3/12", DataSubset(part=3, parts=12)),
        ("5%", DataSubset(share=0.05)),
        ("2.5%", DataSubset(share=0.025)),
        ("100%", DataSubset(share=1.0)),
        ("10G", DataSubset(size=10 << 30)),
        ("1", DataSubset(size=1)),
    ],
)
def test_what_is_understood(text: str, subset: DataSubset) -> None:
    assert parse_subset(text) == subset


@pytest.mark.parametrize(
    "text", ["", "0/3", "4/3", "1/0", "0%", "101%", "-1%", "0", "x", "1/2/3", "%"]
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_subset(text)


@given(st.integers(1, 40))
def test_all_parts_together_are_everything_once(parts: int) -> None:
    chosen = [
        choose_packs(PACKS, DataSubset(part=part, parts=parts), random.Random())
        for part in range(1, parts + 1)
    ]
    assert sum(map(len, chosen)) == len(PACKS)
    assert set().union(*chosen) == {pack for pack, _ in PACKS}


def test_shares_and_sizes() -> None:
    chance = random.Random(1)
    assert len(choose_packs(PACKS, ALL_DATA, chance)) == 200
    assert len(choose_packs(PACKS, DataSubset(share=0.1), chance)) == 20
    assert len(choose_packs(PACKS, DataSubset(share=0.0001), chance)) == 1
    assert choose_packs([], DataSubset(share=0.5), chance) == set()
    chosen = choose_packs(PACKS, DataSubset(size=20_000), chance)
    assert sum(size for pack, size in PACKS if pack in chosen) <= 20_000
    assert len(chosen) >= 15
    assert len(choose_packs(PACKS, DataSubset(size=1), chance)) == 1


def test_chance_differs_and_can_be_repeated() -> None:
    some = DataSubset(share=0.1)
    assert choose_packs(PACKS, some, random.Random(1)) == choose_packs(
        PACKS, some, random.Random(1)
    )
    assert choose_packs(PACKS, some, random.Random(1)) != choose_packs(
        PACKS, some, random.Random(2)
    )
