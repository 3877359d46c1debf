"""Which packs and index objects prune removes, rewrites or leaves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.format.pack import BlobKind
from holdfast.ids import ObjectId
from holdfast.policy.prune_plan import (
    IndexUsage,
    PackUsage,
    UnusedLimit,
    parse_unused,
    plan_index,
    plan_packs,
)

PACK_SIZE = 1000
NO_LIMIT = UnusedLimit()
NONE = UnusedLimit(size=0)


def pack(number: int, live: int, *, stored: int = PACK_SIZE, tree: bool = False) -> PackUsage:
    """A pack of which `live` percent are needed."""
    kind = BlobKind.TREE if tree else BlobKind.DATA
    return PackUsage(number, ObjectId(f"{number:032x}"), kind, stored, 100, live)


PACKS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(10, PACK_SIZE), st.booleans()), max_size=40
).map(lambda drawn: [pack(n, live, stored=s, tree=t) for n, (live, s, t) in enumerate(drawn)])


def plan(packs: list[PackUsage], limit: UnusedLimit, max_repack: int | None = None):  # type: ignore[no-untyped-def]
    return plan_packs(packs, max_unused=limit, max_repack=max_repack, pack_size=PACK_SIZE)


def numbers(packs: list[PackUsage]) -> list[int]:
    return [one.number for one in packs]


def test_dead_packs_go_and_sparse_ones_are_rewritten_worst_first() -> None:
    packs = [pack(1, 100), pack(2, 0), pack(3, 50), pack(4, 90), pack(5, 10)]
    found = plan(packs, UnusedLimit(size=150))
    assert numbers(found.dead) == [2]
    assert numbers(found.repack) == [5, 3]
    assert numbers(found.keep) == [4, 1]
    assert found.unused_kept == pytest.approx(100)


def test_a_part_is_one_of_what_remains() -> None:
    packs = [pack(1, 95), pack(2, 95)]
    assert numbers(plan(packs, UnusedLimit(part=0.05)).repack) == []
    assert numbers(plan(packs, UnusedLimit(part=0.049)).repack) == [1]
    assert numbers(plan(packs, UnusedLimit(part=1.0)).repack) == []


def test_full_use_of_every_byte_on_request() -> None:
    found = plan([pack(1, 99), pack(2, 100)], NONE)
    assert (numbers(found.repack), numbers(found.keep)) == ([1], [2])


def test_no_more_is_rewritten_than_allowed() -> None:
    packs = [pack(1, 10), pack(2, 20), pack(3, 30, stored=100)]
    assert numbers(plan(packs, NONE, max_repack=1150).repack) == [1, 3]
    assert plan(packs, NONE, max_repack=0).repack == []


def test_tiny_packs_are_merged_once_there_are_many() -> None:
    few = [pack(number, 100, stored=20) for number in range(15)]
    assert plan(few, NO_LIMIT).repack == []
    many = [*few, pack(15, 100, stored=20)]
    assert len(plan(many, NO_LIMIT).repack) == 16
    assert plan(many, NO_LIMIT, max_repack=100).repack == []
    trees = [pack(number, 100, stored=20, tree=number % 2 == 0) for number in range(20)]
    assert plan(trees, NO_LIMIT).repack == [], "kinds do not mix"
    enough = [pack(number, 100, stored=240) for number in range(5)]
    assert len(plan(enough, NO_LIMIT).repack) == 5, "they fill a pack"


@given(PACKS, st.sampled_from([0.0, 0.03, 0.5, 1.0]))
def test_every_pack_has_one_fate_and_the_limit_holds(packs: list[PackUsage], part: float) -> None:
    found = plan(packs, UnusedLimit(part=part))
    every = [*found.dead, *found.repack, *found.keep]
    assert sorted(numbers(every)) == sorted(numbers(packs))
    assert {one.number for one in found.dead} == {one.number for one in packs if not one.live_size}
    live = sum(one.live_stored for one in packs)
    limit = live * part / (1 - part) if part < 1 else math.inf
    assert found.unused_kept <= limit + 1e-6


@pytest.mark.parametrize(
    ("text", "used", "expected"),
    [
        ("5%", 95, 5),
        ("0", 10, 0),
        ("2K", 10, 2048),
        ("unlimited", 1, math.inf),
        (" 100 % ", 1, math.inf),
    ],
)
def test_limits_are_parsed(text: str, used: int, expected: float) -> None:
    assert parse_unused(text).bytes_of(used) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5 %%", "-1%", "101%", "lots"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_unused(text)


def test_small_and_worn_index_objects_are_replaced() -> None:
    small = [IndexUsage("a", 10, 0), IndexUsage("b", 20, 0)]
    assert plan_index(small, most_blobs=1000) == {"a", "b"}
    assert plan_index(small[:1], most_blobs=1000) == set(), "one alone is not worth it"
    large = IndexUsage("c", 900, 100)
    assert plan_index([large], most_blobs=1000) == set()
    assert plan_index([IndexUsage("c", 900, 300)], most_blobs=1000) == {"c"}
    assert plan_index([large, *small], most_blobs=1000) == {"a", "b"}
    assert plan_index([IndexUsage("d", 5, 5)], most_blobs=1000) == {"d"}, "nothing is left of it"
