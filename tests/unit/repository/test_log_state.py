"""What the log says about commits, index objects and packs."""

from __future__ import annotations

import pytest

from holdfast.format.gc import Condemn, Seal, join_ids
from holdfast.ids import ObjectId, new_object_id
from holdfast.repository.log_state import LogState

A, B, C = sorted(new_object_id() for _ in range(3))
HASH = bytes(32)


def seal(
    *,
    live: list[ObjectId] | None = None,
    doomed: list[ObjectId] | None = None,
    index: list[ObjectId] | None = None,
    superseded: list[ObjectId] | None = None,
    forgotten: list[ObjectId] | None = None,
) -> Seal:
    return Seal(
        previous_hash=HASH,
        time_ns=0,
        host="",
        live=join_ids(live or []),
        doomed=join_ids(doomed or []),
        index_ids=join_ids(index or []),
        superseded=join_ids(superseded or []),
        forgotten=join_ids(forgotten or []),
    )


def condemn(*packs: ObjectId) -> Condemn:
    return Condemn(previous_hash=HASH, time_ns=0, host="", packs=join_ids(packs), index_ids=b"")


def test_without_a_seal_everything_counts() -> None:
    log = LogState()
    assert log.is_valid(A, -1)
    assert log.is_decided(-1)
    assert log.trusted_index([(A, [B]), (B, [C])]) == {B, C}
    assert (log.bad, log.next, log.open_cycle, log.is_open) == (frozenset(), 0, 0, False)
    assert log.knows_dooms_since(-1)


@pytest.mark.parametrize(
    ("view", "is_valid"),
    [(2, False), (3, True), (4, True), (5, True)],
    ids=["before the cycle", "its CONDEMN", "its CLOSE", "its SEAL"],
)
def test_younger_commits_count_unless_forgotten(view: int, is_valid: bool) -> None:
    log = LogState(last=5, seal_number=5, seal=seal(live=[A], forgotten=[C]))
    assert log.is_valid(A, view), "it is live"
    assert log.is_valid(B, view) is is_valid
    assert not log.is_valid(C, view), "forgotten"


@pytest.mark.parametrize(("view", "is_decided"), [(-1, False), (2, False), (3, True), (4, True)])
def test_an_unsealed_close_leaves_older_commits_open(view: int, is_decided: bool) -> None:
    opened = LogState(last=3, seal_number=2, seal=seal(), condemn=condemn(A))
    assert (opened.open_cycle, opened.next, opened.is_open) == (3, 4, True)
    assert opened.is_decided(view)
    closed = LogState(last=4, seal_number=2, seal=seal(), condemn=condemn(A), is_closed=True)
    assert closed.is_decided(view) is is_decided


def test_what_live_commits_bring_is_in_the_seal_already() -> None:
    log = LogState(last=2, seal_number=2, seal=seal(live=[A], index=[B], superseded=[C]))
    assert log.trusted_index([(A, ["x"]), ("later", ["y", C])]) == {B, "y"}


def test_condemned_and_doomed_packs_are_bad() -> None:
    log = LogState(last=3, seal_number=2, seal=seal(doomed=[A]), condemn=condemn(B))
    assert log.bad == {A, B}
    assert log.doomed == {A}
    assert log.condemned == {B}


@pytest.mark.parametrize(
    ("view", "is_known"), [(-1, False), (2, False), (3, True), (5, True), (6, True)]
)
def test_dooms_of_two_cycles_ago_may_not_be_named_any_more(view: int, is_known: bool) -> None:
    log = LogState(last=8, seal_number=8, seal=seal())
    assert log.knows_dooms_since(view) is is_known
