"""How far bases reach: gaps, timelines that split off, and what stands behind a gap."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.log_order import BINLOG, WAL, Switch, wal_name
from holdfast.policy.log_reach import LogGap, Reach, find_gaps, reach_of
from holdfast.policy.log_retention import LogBase

SIZE = 16 << 20


def wal(timeline: int, index: int) -> str:
    return wal_name(timeline, index, SIZE)


def wals(timeline: int, indexes: Iterable[int]) -> set[str]:
    return {wal(timeline, index) for index in indexes}


def base(start: str, kind: str = WAL) -> LogBase:
    return LogBase(
        snapshot_id="0" * 32, time_ns=0, kind=kind, identity="1", start=start, stop=start, segment_size=SIZE
    )  # fmt: skip


def left_at(timeline: int, index: int) -> Switch:
    return Switch(timeline, index * SIZE + 4000)


def test_a_log_in_one_piece_reaches_its_end() -> None:
    names = wals(1, range(250, 260)) | {"00000001000000000000000A.partial", "notes"}
    assert find_gaps(WAL, names, SIZE) == []
    assert reach_of(base(wal(1, 252)), names, {}, SIZE) == Reach(wal(1, 259), None, 1)
    assert wal(1, 256) == "000000010000000100000000"


def test_what_is_missing_ends_the_reach() -> None:
    names = wals(1, range(5, 20)) - wals(1, [9, 10, 15])
    first = LogGap(wal(1, 9), wal(1, 10), 2)
    assert find_gaps(WAL, names, SIZE) == [first, LogGap(wal(1, 15), wal(1, 15), 1)]
    assert reach_of(base(wal(1, 6)), names, {}, SIZE) == Reach(wal(1, 8), first, 1)
    assert reach_of(base(wal(1, 16)), names, {}, SIZE) == Reach(wal(1, 19), None, 1)
    # The first one that it needs is missing, or is yet to come.
    late = LogGap(wal(1, 3), wal(1, 4), 2)
    assert reach_of(base(wal(1, 3)), names, {}, SIZE) == Reach(None, late, 1)
    assert reach_of(base(wal(1, 20)), names, {}, SIZE) == Reach(None, None, 1)
    assert reach_of(base("nonsense"), names, {}, SIZE) == Reach(None, None, 0)


def test_the_newest_timeline_is_followed() -> None:
    histories = {
        2: (left_at(1, 8),),
        3: (left_at(1, 8), left_at(2, 12)),
        4: (left_at(1, 3),),  # left before the base began
    }
    names = wals(1, range(1, 11)) | wals(2, range(8, 15)) | wals(3, range(12, 18)) | wals(4, [3, 4])
    assert find_gaps(WAL, names, SIZE) == []
    assert reach_of(base(wal(1, 5)), names, histories, SIZE) == Reach(wal(3, 17), None, 3)
    assert reach_of(base(wal(2, 9)), names, histories, SIZE) == Reach(wal(3, 17), None, 3)
    assert reach_of(base(wal(2, 13)), names, histories, SIZE) == Reach(wal(2, 14), None, 2)
    assert reach_of(base(wal(1, 2)), names, histories, SIZE).timeline == 4
    along = reach_of(base(wal(1, 5)), names, histories, SIZE, timeline=1)
    assert along == Reach(wal(1, 10), None, 1)
    # Between the two timelines: the old one was not archived up to where the new one begins.
    torn = names - wals(1, [6, 7])
    assert reach_of(base(wal(1, 5)), torn, histories, SIZE) == Reach(
        wal(1, 5), LogGap(wal(1, 6), wal(1, 7), 2), 3
    )
    torn = names - wals(3, [12])
    assert reach_of(base(wal(1, 5)), torn, histories, SIZE).gap == LogGap(wal(3, 12), wal(3, 12), 1)


def test_binlogs_are_named_like_the_others() -> None:
    names = {f"mariadb-bin.{number:06d}" for number in (3, 4, 7, 8)} | {"mariadb-bin.index"}
    gap = LogGap("mariadb-bin.000005", "mariadb-bin.000006", 2)
    assert find_gaps(BINLOG, names, SIZE) == [gap]
    assert reach_of(base("mariadb-bin.000003", BINLOG), names, {}, SIZE) == Reach(
        "mariadb-bin.000004", gap, 0
    )
    many = {"b.999999", "b.1000000", "b.1000001"}
    assert find_gaps(BINLOG, many, SIZE) == []
    assert reach_of(base("b.999999", BINLOG), many, {}, SIZE).last == "b.1000001"


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(0, 40))
def test_reach_is_the_longest_run_from_the_start(present: set[int], start: int) -> None:
    found = reach_of(base(wal(1, start)), wals(1, present), {}, SIZE)
    end = start
    while end in present:
        end += 1
    assert found.last == (wal(1, end - 1) if end > start else None)
    assert (found.gap is not None) == any(index > end for index in present)
    if found.gap is not None:
        assert found.gap.first == wal(1, end)
        assert found.gap.last == wal(1, min(index for index in present if index > end) - 1)
    missing = sum(gap.count for gap in find_gaps(WAL, wals(1, present), SIZE))
    assert missing == max(present) - min(present) + 1 - len(present)
