"""Growth from day to day: gaps, several snapshots a day, and the first of a timeline."""

from __future__ import annotations

import pytest

from holdfast.benchmark.nights import forecast_days, make_nights
from holdfast.benchmark.sharing_report import NOTHING, Amount, SnapshotSharing

HOUR_NS = 3600 * 10**9


def snapshot(hour: int, stored: int) -> SnapshotSharing:
    """One that brought some bytes, so many hours after 1970 began."""
    return SnapshotSharing(
        id=f"{hour:032x}",
        time_ns=hour * HOUR_NS,
        host="host",
        raw_paths=(b"/",),
        logical_bytes=0,
        unique=NOTHING,
        exclusive=NOTHING,
        added=Amount(2 * stored, stored),
    )


def test_snapshots_of_a_day_are_joined() -> None:
    made = [snapshot(hour, stored) for hour, stored in ((1, 5), (23, 7), (24, 1), (24 * 9, 2))]
    nights = make_nights(made)
    assert [(night.day, night.snapshots, night.added.stored) for night in nights] == [
        (0, 2, 12),
        (1, 1, 1),
        (9, 1, 2),
    ]
    assert make_nights([]) == ()


def test_every_night_adds_as_much() -> None:
    made = [snapshot(24 * day, 1000 if day == 0 else 50) for day in range(10)]
    found = forecast_days(made, made[1:])
    assert found is not None
    assert (found.per_version.value, found.per_version.error) == (50, 0)
    assert {days: size.value for days, size in found.after}[30] == 1450 + 30 * 50


def test_gaps_share_what_comes_after_them() -> None:
    weekly = [snapshot(24 * 7 * week, 1000 if week == 0 else 700) for week in range(5)]
    found = forecast_days(weekly, weekly[1:])
    assert found is not None
    assert found.per_version.value == 100


def test_a_new_host_is_no_growth() -> None:
    nightly = [snapshot(24 * day, 1000 if day == 0 else 50) for day in range(4)]
    others = [snapshot(24 * day + 1, 9000) for day in range(1, 4)]
    made = sorted(nightly + others, key=lambda each: each.time_ns)
    found = forecast_days(made, nightly[1:])
    assert found is not None
    assert found.per_version.value == 50
    assert found.after[0][1].value == sum(each.added.stored for each in made) + 7 * 50


@pytest.mark.parametrize("days", [0, 1, 2])
def test_two_nights_are_no_trend(days: int) -> None:
    made = [snapshot(24 * day, 10) for day in range(days)]
    assert forecast_days(made, made[1:]) is None
    twice = [snapshot(hour, 10) for hour in range(days, 24)]
    assert forecast_days(twice, twice[1:]) is None
