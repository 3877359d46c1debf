"""What holds for every history and policy."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.format.snapshot import Snapshot
from holdfast.policy.durations import Duration, parse_duration
from holdfast.policy.retention import BEFORE_A_LOSS, RetentionPolicy
from support.retention import NOW, NS, judge, kept, snapshot

HOUR = 3600 * NS
COUNTS = [f.name for f in dataclasses.fields(RetentionPolicy) if f.type == "int"]
SPANS = [f.name for f in dataclasses.fields(RetentionPolicy) if f.type == "Duration"]
UNLIMITED = -1

durations = st.builds(
    Duration,
    years=st.integers(0, 3),
    months=st.integers(0, 14),
    days=st.integers(0, 40),
    hours=st.integers(0, 50),
)
SETS_OF_TAGS = [("a",), ("b",), ("a", "c")]
counts = st.sampled_from([0, 0, 0, 0, 1, 2, 5, UNLIMITED])
policies = st.builds(
    RetentionPolicy,
    keep_tags=st.lists(st.sampled_from(SETS_OF_TAGS), max_size=1).map(tuple),
    **dict.fromkeys(COUNTS, counts),
    **dict.fromkeys(SPANS, st.just(Duration()) | durations),
).filter(lambda policy: not policy.is_empty)

# Clusters of an hour, a day and years, so that buckets are shared and borders are met.
ages = st.one_of(st.integers(0, 3), st.integers(0, 100), st.integers(0, 40_000)).map(
    lambda hours: hours * HOUR // 2
)


@st.composite
def histories(draw: st.DrawFn, /, **fixed: Any) -> list[Snapshot]:
    """Snapshots of the past; shape and content are drawn unless they are given."""
    return [
        snapshot(
            NOW - age,
            number=number,
            **{
                "files": draw(st.sampled_from([0, 3, 9, 10, 100, 1000])),
                "size": draw(st.sampled_from([0, 1000, 1 << 20, 1 << 30])),
                "tags": draw(st.sampled_from([(), (), *SETS_OF_TAGS])),
                "partial": draw(st.sampled_from([False, False, False, True])),
                **fixed,
            },
        )
        for number, age in enumerate(draw(st.lists(ages, max_size=25)))
    ]


def ids(snapshots: Sequence[Snapshot]) -> set[str]:
    return {each.id for each in snapshots}


@given(histories(), policies)
def test_every_snapshot_is_judged_once(history: list[Snapshot], policy: RetentionPolicy) -> None:
    judged = [decision.snapshot for decision in judge(history, policy)]
    assert judged == sorted(history, key=lambda each: (each.time_ns, each.id))


@given(histories(), policies, st.randoms(use_true_random=False))
def test_the_order_means_nothing(
    history: list[Snapshot], policy: RetentionPolicy, chance: random.Random
) -> None:
    shuffled = chance.sample(history, len(history))
    assert judge(shuffled, policy) == judge(history, policy)


@given(histories(), policies, st.data())
def test_a_more_generous_policy_keeps_no_less(
    history: list[Snapshot], policy: RetentionPolicy, data: st.DataObject
) -> None:
    """Of one rule more is kept, all others stay as they are."""
    changes: dict[str, Any] = {}
    name = data.draw(st.sampled_from([*COUNTS, *SPANS, "keep_tags"]))
    value = getattr(policy, name)
    if name in COUNTS:
        changes[name] = UNLIMITED if value == UNLIMITED else value + data.draw(st.integers(0, 9))
    elif name in SPANS:
        changes[name] = dataclasses.replace(value, days=value.days + data.draw(st.integers(0, 99)))
    else:
        changes[name] = (*value, data.draw(st.sampled_from(SETS_OF_TAGS)))
    more = dataclasses.replace(policy, **changes)
    assert _kept_by_rules(history, policy) <= _kept_by_rules(history, more)


def _kept_by_rules(history: list[Snapshot], policy: RetentionPolicy) -> set[str]:
    # What is kept before a loss moves to a newer loss when more of that is kept.
    return {
        decision.snapshot.id
        for decision in judge(history, policy)
        if set(decision.reasons) - {BEFORE_A_LOSS}
    }


@given(histories(files=100, size=1 << 20), policies)
def test_forgetting_twice_forgets_nothing_more(
    history: list[Snapshot], policy: RetentionPolicy
) -> None:
    once = kept(history, policy)
    assert kept(once, policy) == once


@given(histories(partial=False), policies)
def test_any_count_and_any_span_keep_the_newest(
    history: list[Snapshot], policy: RetentionPolicy
) -> None:
    assume(history)
    assume(any(getattr(policy, name) for name in (*COUNTS, *SPANS)))
    newest = max(history, key=lambda each: (each.time_ns, each.id))
    assert newest in kept(history, policy)


@given(histories(), policies, st.lists(st.integers(24 * HOUR + 1, 10**18), max_size=5))
def test_times_in_the_future_change_nothing_but_to_keep_more(
    history: list[Snapshot], policy: RetentionPolicy, ahead: list[int]
) -> None:
    strange = [snapshot(NOW + ns, number=1000 + at) for at, ns in enumerate(ahead)]
    stay = ids(kept([*history, *strange], policy))
    assert ids(strange) <= stay
    assert ids(kept(history, policy)) <= stay
    whole = [each for each in history if not each.partial]
    if strange and whole:
        assert max(whole, key=lambda each: (each.time_ns, each.id)).id in stay


@given(histories(files=100, size=1 << 20, partial=False), policies, st.integers(1, 12), st.data())
def test_empty_snapshots_never_evict_the_last_good_one(
    history: list[Snapshot], policy: RetentionPolicy, count: int, data: st.DataObject
) -> None:
    """As often as it comes, and whatever is forgotten in between."""
    assume(history)
    assume(any(getattr(policy, name) for name in (*COUNTS, *SPANS)))
    good = max(history, key=lambda each: (each.time_ns, each.id))
    for number in range(count):
        age = data.draw(st.integers(0, 23))
        history.append(snapshot(NOW + (24 - age) * HOUR, number=2000 + number, files=0, size=0))
        if data.draw(st.booleans()):
            history = kept(history, policy)
    assert good in kept(history, policy)


@given(histories(files=100, size=1 << 20), policies)
def test_at_most_one_stays_because_of_a_loss(
    history: list[Snapshot], policy: RetentionPolicy
) -> None:
    poor = [
        msgspec.structs.replace(each, stats=type(each.stats)(files_new=0, logical_bytes=0))
        if number % 3 == 1
        else each
        for number, each in enumerate(history)
    ]
    reasons = [reason for decision in judge(poor, policy) for reason in decision.reasons]
    assert reasons.count(BEFORE_A_LOSS) <= 1
    assert ids(kept(history, policy)) <= ids(kept(poor, policy))


@given(durations.filter(bool))
def test_durations_are_read_as_they_are_shown(duration: Duration) -> None:
    assert parse_duration(str(duration)) == duration
