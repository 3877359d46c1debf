"""Which snapshots a policy keeps, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import Snapshot
from holdfast.policy.durations import Duration, parse_duration
from holdfast.policy.grouping import Grouping, SnapshotGroup, group_snapshots, parse_grouping
from holdfast.policy.retention import (
    BEFORE_A_LOSS,
    BEFORE_THE_FUTURE,
    FROM_THE_FUTURE,
    UNFINISHED,
    RetentionPolicy,
    check_something_stays,
    lost_most,
)
from support.retention import NOW, NS, at, judge, kept, reasons, snapshot

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "retention.json").read_text())
DAY = 86_400 * NS
LAST = RetentionPolicy(keep_last=1)


def golden_snapshots() -> list[Snapshot]:
    return [
        snapshot(
            int(datetime.fromisoformat(each["time"]).timestamp()) * NS,
            host=each["host"],
            tags=each["tags"],
            number=number,
        )
        for number, each in enumerate(GOLDEN["snapshots"])
    ]


def golden_policy(options: dict[str, Any]) -> RetentionPolicy:
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name == "keep_tags":
            values[name] = tuple(tuple(tags.split(",")) for tags in value)
        else:
            values[name] = parse_duration(value) if "within" in name else value
    return RetentionPolicy(**values)


@pytest.mark.parametrize("case", GOLDEN["outcomes"], ids=lambda case: json.dumps(case["policy"]))
def test_policies_keep_what_restic_keeps(case: dict[str, Any]) -> None:
    snapshots = golden_snapshots()
    groups = group_snapshots(snapshots, parse_grouping(case["group_by"]))
    policy = golden_policy(case["policy"])
    decisions = [decision for group in groups for decision in judge(group.snapshots, policy)]
    stay = {int(each.snapshot.id[16:], 16): sorted(each.reasons) for each in decisions if each.kept}
    assert len(decisions) == len(snapshots)
    assert sorted(stay) == case["kept"]
    if "reasons" in case:
        assert [stay[number] for number in sorted(stay)] == case["reasons"]


def test_quarters() -> None:
    times = ["2025-09-30", "2025-10-01", "2025-12-31", "2026-01-01", "2026-03-31", "2026-04-01"]
    history = [snapshot(time) for time in times]
    quarter, oldest = ("quarterly snapshot",), ("oldest quarterly snapshot",)
    assert reasons(history, RetentionPolicy(keep_quarterly=3)) == [
        (), (), quarter, (), quarter, quarter,
    ]  # fmt: skip
    assert reasons(history[1:], RetentionPolicy(keep_quarterly=9)) == [
        oldest, quarter, (), quarter, quarter,
    ]  # fmt: skip
    within = RetentionPolicy(keep_within_quarterly=Duration(months=4))
    assert reasons(history, within) == [
        (), (), ("quarterly within 4m",), (), ("quarterly within 4m",), ("quarterly within 4m",),
    ]  # fmt: skip


def test_a_day_is_a_day_of_the_zone() -> None:
    history = [snapshot("2026-01-01 23:30"), snapshot("2026-01-02 00:30")]
    assert len(kept(history, RetentionPolicy(keep_daily=2))) == 2
    shifted = [snapshot("2026-01-02 00:30"), snapshot("2026-01-02 23:30"), snapshot("2026-01-03")]
    assert kept(shifted, RetentionPolicy(keep_daily=2)) == shifted[1:]


def test_tags_all_of_one_rule() -> None:
    history = [snapshot("2026-01-01", tags=["a"]), snapshot("2026-01-02", tags=["b", "a", "c"])]
    assert reasons(history, RetentionPolicy(keep_tags=(("a", "b"),))) == [(), ("tags a, b",)]
    either = RetentionPolicy(keep_tags=(("c",), ("a",)))
    assert reasons(history, either) == [("tag a",), ("tag c", "tag a")]


def test_policies_that_make_no_sense() -> None:
    for policy in (
        {"keep_last": -2}, {"keep_quarterly": -3}, {"keep_tags": ((),)}, {"keep_tags": (("a", ""),)},
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            RetentionPolicy(**policy)
    assert RetentionPolicy().is_empty
    assert RetentionPolicy(keep_within=Duration()).is_empty
    for rule in ({"keep_yearly": -1}, {"keep_tags": (("a",),)}, {"keep_within": Duration(hours=1)}):
        assert not RetentionPolicy(**rule).is_empty
    with pytest.raises(ConfigurationError, match="nothing says which snapshots to keep"):
        judge([snapshot("2026-01-01")], RetentionPolicy())
    assert judge([], LAST) == []


def group_of(snapshots: Sequence[Snapshot]) -> SnapshotGroup:
    (group,) = group_snapshots(snapshots, Grouping(hosts=True, paths=True))
    return group


def test_keeping_nothing_is_refused() -> None:
    history = [snapshot("2026-01-01"), snapshot("2026-01-02")]
    nothing = judge(history, RetentionPolicy(keep_tags=(("a",),)))
    assert not any(decision.kept for decision in nothing)
    with pytest.raises(ConfigurationError, match=r"host h; path /a.*--allow-keep-nothing"):
        check_something_stays(group_of(history), nothing)
    check_something_stays(group_of(history), judge(history, LAST))


# Times in the future


def test_times_in_the_future_take_no_part() -> None:
    good = [snapshot(NOW - days * DAY) for days in (3, 2, 1)]
    ahead = [snapshot(NOW + DAY + 1), snapshot(NOW + 900 * DAY)]
    for policy in (
        RetentionPolicy(keep_last=2),
        RetentionPolicy(keep_daily=2),
        RetentionPolicy(keep_within=Duration(hours=25)),
        RetentionPolicy(keep_within_hourly=Duration(hours=25)),
    ):
        stay = kept(good, policy)
        assert stay == good[1:]
        assert kept([*good, *ahead], policy) == [*stay, *ahead]
        assert reasons([*good, *ahead], policy)[3:] == [(FROM_THE_FUTURE,)] * 2


def test_a_day_ahead_is_a_clock_that_differs() -> None:
    history = [snapshot(NOW - 9 * DAY), snapshot(NOW + DAY)]
    assert reasons(history, LAST) == [(), ("last snapshot",)]


def test_within_never_starts_ahead_of_now() -> None:
    policy = RetentionPolicy(keep_within=Duration(hours=12), keep_within_daily=Duration(hours=12))
    history = [snapshot(NOW - DAY), snapshot(NOW - 3600 * NS), snapshot(NOW + DAY // 2)]
    assert kept(history, policy) == history[1:]
    assert kept(history[2:], policy) == history[2:]
    ahead = [snapshot(NOW + hours * 3600 * NS) for hours in (1, 23)]
    assert kept(ahead, policy) == ahead


def test_the_newest_before_a_time_in_the_future_stays() -> None:
    policy = RetentionPolicy(keep_tags=(("a",),))
    history = [snapshot(NOW - 2 * DAY), snapshot(NOW - DAY), snapshot(NOW + 9 * DAY, tags=["a"])]
    assert reasons(history, policy) == [
        (), (BEFORE_THE_FUTURE,), ("tag a", FROM_THE_FUTURE),
    ]  # fmt: skip
    partial = snapshot(NOW - DAY // 2, partial=True)
    assert reasons([*history, partial], policy)[1:3] == [(BEFORE_THE_FUTURE,), (UNFINISHED,)]


# Loss of content


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ((100, 1000), (49, 499), True),
        ((100, 1000), (50, 499), False),
        ((100, 1000), (49, 500), False),
        ((100, 1000), (0, 0), True),
        ((10, 1000), (4, 0), True),
        ((9, 1000), (0, 0), False),
        ((9, 1 << 20), (0, 0), False),
        ((9, (1 << 20) + 1), (0, 0), True),
        ((1, 3 << 20), (1, 1 << 20), True),
        ((1, 3 << 20), (1, 3 << 19), False),
        ((0, 0), (0, 0), False),
        ((100, 0), (0, 0), False),
    ],
)
def test_what_counts_as_a_loss(before: tuple[int, int], after: tuple[int, int], lost: bool) -> None:
    one, two = (snapshot(1, files=files, size=size) for files, size in (before, after))
    assert lost_most(one, two) is lost


def test_unmodified_files_are_files_too() -> None:
    one = snapshot(1, files=100)
    two = snapshot(2, files=0, size=1)
    two.stats.files_unmodified, two.stats.files_changed = 49, 1
    assert not lost_most(one, two)


def days(*sizes: int, partial: Sequence[int] = ()) -> list[Snapshot]:
    """Return one snapshot a day with so many files of 1 MiB each."""
    start = at("2026-01-01")
    return [
        snapshot(start + day * DAY, files=files, size=files << 20, partial=day in partial)
        for day, files in enumerate(sizes)
    ]


def test_the_last_before_a_loss_stays_while_its_content_is_missed() -> None:
    mounted_again = days(90, 100, 3, 2, 3, 101)
    for length in (3, 4, 5):
        history = mounted_again[:length]
        assert kept(history, LAST) == [history[1], history[-1]]
        assert reasons(history, LAST)[1] == (BEFORE_A_LOSS,)
    assert kept(mounted_again, LAST) == mounted_again[-1:]
    three = RetentionPolicy(keep_last=3)
    assert kept(mounted_again, three) == [mounted_again[1], *mounted_again[3:]]


def test_what_a_rule_keeps_too_has_both_reasons() -> None:
    history = days(100, 0)
    assert reasons(history, RetentionPolicy(keep_last=2))[0] == ("last snapshot", BEFORE_A_LOSS)


def test_many_losses_keep_one_snapshot() -> None:
    history = days(100, 0, 100, 0, 100, 10, 9)
    assert kept(history, LAST) == [history[4], history[6]]
    all_stay = reasons(history, RetentionPolicy(keep_last=9))
    assert [BEFORE_A_LOSS in why for why in all_stay] == [False] * 4 + [True] + [False] * 2
    recovered = days(100, 0, 100, 0, 100, 100)
    assert kept(recovered, LAST) == recovered[-1:]
    poor = RetentionPolicy(keep_tags=(("a",),), keep_last=1)
    recovered[1] = msgspec.structs.replace(recovered[1], tags=("a",))
    assert kept(recovered, poor) == [recovered[0], recovered[1], recovered[-1]]


def test_a_poor_snapshot_that_no_rule_keeps_protects_nothing() -> None:
    assert kept(days(100, 0), RetentionPolicy(keep_tags=(("a",),))) == []


# Partial snapshots


def test_partial_ones_stay_until_a_newer_whole_one_is_there() -> None:
    history = days(100, 5, 100, 5, 6, partial=(1, 3, 4))
    assert reasons(history, RetentionPolicy(keep_last=9)) == [
        ("last snapshot",), (), ("last snapshot",), (UNFINISHED,), (UNFINISHED,),
    ]  # fmt: skip
    only = days(1, 2, partial=(0, 1))
    assert reasons(only, LAST) == [(UNFINISHED,)] * 2


def test_partial_ones_evict_nobody_and_are_no_loss() -> None:
    history = days(100, 0, partial=(1,))
    for policy in (LAST, RetentionPolicy(keep_daily=1), RetentionPolicy(keep_yearly=1)):
        assert kept(history, policy) == history
    assert reasons(history, LAST)[0] == ("last snapshot",)


def test_a_whole_one_from_the_future_replaces_no_partial_one() -> None:
    history = [snapshot(NOW - DAY, partial=True), snapshot(NOW + 2 * DAY)]
    assert kept(history, LAST) == history
    ahead = [snapshot(NOW - DAY), snapshot(NOW + 2 * DAY, partial=True)]
    assert reasons(ahead, LAST)[1] == (FROM_THE_FUTURE,)


def test_a_tag_keeps_partial_ones_too() -> None:
    history = [snapshot("2026-01-01", tags=["a"], partial=True), snapshot("2026-01-02")]
    assert reasons(history, RetentionPolicy(keep_tags=(("a",),), keep_last=1))[0] == ("tag a",)


def test_decisions_are_ascending_by_time() -> None:
    history = days(5, 5, 5)
    assert [each.snapshot for each in judge(history[::-1], LAST)] == history
