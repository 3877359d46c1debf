"""What of a log is needed: by the definition, counted out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.policy.log_order import (
    BINLOG,
    WAL,
    Position,
    Switch,
    history_of,
    is_segment,
    parse_history,
    position_of,
    wal_index,
    wal_name,
)
from holdfast.policy.log_retention import base_of, horizon_of, is_expired, lower_horizon

SIZE = 16 << 20
PLACES = st.tuples(st.integers(1, 5), st.integers(0, 600))


def named(place: tuple[int, int]) -> str:
    return wal_name(*place, SIZE)


def test_names_say_where_they_stand() -> None:
    name = "0000000A00000002000000FE"
    assert position_of(WAL, name) == Position(10, (2 << 32) | 0xFE)
    for other in (f"{name}.partial", f"{name}.00000028.backup"):
        assert position_of(WAL, other) == position_of(WAL, name)
        assert not is_segment(WAL, other)
    for nonsense in ("", name[:-1], name + "0", name.lower(), f"{name}.gz", "0000000A.history"):
        assert position_of(WAL, nonsense) is None
    assert history_of("0000000A.history") == 10
    assert history_of(name) is None
    assert position_of(BINLOG, "mariadb-bin.000042") == Position(0, 42)
    assert position_of(BINLOG, "a.b\n.1000000") == Position(0, 1_000_000)
    for nonsense in ("mariadb-bin.index", "mariadb-bin000042x", "bin.", name):
        assert position_of(BINLOG, nonsense) is None
    assert position_of("other", name) is None


@given(st.sampled_from([1 << 20, SIZE, 1 << 30]), st.integers(1, 9), st.integers(0, 1 << 30))
def test_names_of_segments_count_on(size: int, timeline: int, index: int) -> None:
    position = position_of(WAL, wal_name(timeline, index, size))
    assert position is not None
    assert wal_index(position.number, size) == index
    following = position_of(WAL, wal_name(timeline, index + 1, size))
    assert following is not None
    assert following > position


def test_a_name_that_segments_of_that_size_cannot_have() -> None:
    assert wal_index(0xFF, SIZE) == 255
    assert wal_index(0x100, SIZE) is None


def test_histories_are_read() -> None:
    text = b"1\t0/5000028\tno recovery target specified\n\n# x\n2\tA/FF000000\tbefore 2026-11-21\n"
    assert parse_history(text) == (Switch(1, 0x5000028), Switch(2, (10 << 32) | 0xFF000000))
    assert parse_history(b"") == ()
    assert parse_history(b"nonsense\n") is None


@given(st.lists(PLACES, min_size=1, max_size=5), st.lists(PLACES, max_size=30))
def test_exactly_what_is_older_than_all_bases_expires(
    bases: list[tuple[int, int]], segments: list[tuple[int, int]]
) -> None:
    horizon = horizon_of(WAL, map(named, bases))
    assert horizon is not None
    oldest, newest = min(index for _, index in bases), max(timeline for timeline, _ in bases)
    for timeline, index in segments:
        expected = index < oldest and timeline <= newest
        name = named((timeline, index))
        for suffix in ("", ".partial", ".00000028.backup"):
            assert is_expired(WAL, horizon, name + suffix) == expected
        assert not is_expired(WAL, horizon, f"{timeline:08X}.history")
        assert not is_expired(WAL, horizon, name.lower() + "x")


@given(PLACES, PLACES, st.lists(PLACES, max_size=30))
def test_of_two_horizons_only_what_both_let_expire_expires(
    one: tuple[int, int], other: tuple[int, int], segments: list[tuple[int, int]]
) -> None:
    lower = lower_horizon(WAL, named(one), named(other))
    assert lower is not None
    for name in map(named, segments):
        both = is_expired(WAL, named(one), name) and is_expired(WAL, named(other), name)
        assert is_expired(WAL, lower, name) == both


def test_binlogs_expire_by_their_number() -> None:
    horizon = horizon_of(BINLOG, ["bin.000100", "bin.000042"])
    assert horizon is not None
    assert is_expired(BINLOG, horizon, "bin.000041")
    assert not is_expired(BINLOG, horizon, "bin.000042")
    assert not is_expired(BINLOG, horizon, "bin.index")
    assert lower_horizon(BINLOG, horizon, "7") == "000007"


@pytest.mark.parametrize(
    "starts", [[], [""], ["nonsense"], ["0" * 24, "x"], ["0" * 24 + ".partial"]]
)
def test_nothing_expires_where_nobody_knows(starts: list[str]) -> None:
    assert horizon_of(WAL, starts) is None
    assert lower_horizon(WAL, "x", "0" * 24) is None
    assert horizon_of("other", starts) is None
    assert not is_expired(WAL, "nonsense", "0" * 24)


def test_what_snapshots_say_of_their_log() -> None:
    def snapshot(**properties: str) -> Snapshot:
        record = DatabaseRecord(
            kind="postgresql", method="physical", instance="main", properties=properties
        )
        return Snapshot(
            id="0" * 32, time_ns=5, host="", user="", raw_paths=(), root=bytes(32), database=record
        )

    base = base_of(snapshot(log_kind="wal", log_identity="7", log_start="a", wal_segment_size="x"))
    assert base is not None
    assert (base.server, base.start, base.stop, base.segment_size) == (("wal", "7"), "a", "", 0)
    assert base_of(snapshot(log_kind="wal")) is None
    assert base_of(snapshot(log_identity="7")) is None
    assert (
        base_of(Snapshot(id="0" * 32, time_ns=5, host="", user="", raw_paths=(), root=b"")) is None
    )
