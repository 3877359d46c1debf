"""Spans of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holdfast.errors import ConfigurationError
from holdfast.policy.durations import Duration, parse_duration
from support.retention import NS, at
from support.zones import CENTRAL_EUROPE


@pytest.mark.parametrize(
    ("text", "duration", "shown"),
    [
        ("2y5m7d3h", Duration(years=2, months=5, days=7, hours=3), "2y5m7d3h"),
        ("3h2y", Duration(years=2, hours=3), "2y3h"),
        (" 36h ", Duration(hours=36), "36h"),
        ("6w", Duration(days=42), "42d"),
        ("1w2d", Duration(days=9), "9d"),
        ("0d", Duration(), "0h"),
    ],
)
def test_what_is_understood(text: str, duration: Duration, shown: str) -> None:
    assert parse_duration(text) == duration
    assert str(duration) == shown
    assert parse_duration(shown) == duration
    assert bool(duration) == (shown != "0h")


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "-7d", "7D", "1d2d", "1d2", "1.5d", "1s", "9999999999d", "٣d", "1d\n2h"],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "moment", "before"),
    [
        ("1d", "2026-03-29 18:00", "2026-03-28 18:00"),  # 23 hours: the clock was set forward
        ("24h", "2026-03-29 18:00", "2026-03-28 17:00"),
        ("1d", "2026-03-30 02:30", "2026-03-29 03:30"),  # 02:30 was left out
        ("1d", "2026-10-26 02:30", "2026-10-25 02:30"),  # shown twice: the first
        ("1m", "2026-03-31 08:00", "2026-03-03 08:00"),
        ("1m", "2024-03-31 08:00", "2024-03-02 08:00"),
        ("1y", "2024-02-29 08:00", "2023-03-01 08:00"),
        ("12m", "2026-01-15 08:00", "2025-01-15 08:00"),
        ("1m31d", "2026-03-31 08:00", "2026-01-31 08:00"),
        ("2y5m7d3h", "2026-08-31 02:00", "2024-03-23 23:00"),
    ],
)
def test_moments_before(duration: str, moment: str, before: str) -> None:
    assert parse_duration(duration).before(at(moment), CENTRAL_EUROPE) == at(before)


def test_fractions_of_seconds_stay() -> None:
    assert Duration(days=1).before(2 * 86_400 * NS + 7, UTC) == 86_400 * NS + 7
    assert Duration(hours=1).before(-1, UTC) == -3600 * NS - 1


def test_what_lies_before_the_calendar_is_before_everything() -> None:
    start = int(datetime(1, 1, 2, tzinfo=UTC).timestamp()) * NS
    for duration in (Duration(years=999_999_999), Duration(months=1), Duration(days=999_999_999)):
        assert duration.before(start, UTC) < start - 400 * 366 * 86_400 * NS
    assert Duration(hours=999_999_999).before(0, UTC) == -999_999_999 * 3600 * NS
