"""The calendar of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_cli.times import LOCAL_ZONE
from support.zones import CENTRAL_EUROPE

_HOUR_S = 3600
_CHANGES_S = (1_774_746_000, 1_792_890_000)
"""29 March and 25 October 2026, 01:00 UTC: clocks are set forward, and back."""

moments = st.integers(946_684_800, 2_000_000_000) | st.builds(
    int.__add__, st.sampled_from(_CHANGES_S), st.integers(-3 * _HOUR_S, 3 * _HOUR_S)
)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands in Berlin."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments)
def test_moments_are_shown_with_the_offset_of_their_season(seconds: int) -> None:
    local = datetime.fromtimestamp(seconds, LOCAL_ZONE)
    expected = datetime.fromtimestamp(seconds, CENTRAL_EUROPE)
    assert local.replace(tzinfo=None) == expected.replace(tzinfo=None)
    assert local.fold == expected.fold
    assert local.timestamp() == seconds
    assert local.tzname() == expected.tzname()


def test_local_times_that_do_not_exist_or_exist_twice() -> None:
    left_out = datetime(2026, 3, 29, 2, 30, 0, 5, tzinfo=LOCAL_ZONE)
    assert left_out.timestamp() == _CHANGES_S[0] + _HOUR_S / 2 + 5e-6
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL_ZONE)
    assert twice.timestamp() == _CHANGES_S[1] - _HOUR_S / 2
    assert twice.replace(fold=1).timestamp() == _CHANGES_S[1] + _HOUR_S / 2
    assert twice.utcoffset() == timedelta(hours=2)
