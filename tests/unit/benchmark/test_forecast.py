"""What a series grows to."""

from __future__ import annotations

import pytest

from holdfast.benchmark.forecast import HORIZONS, forecast
from holdfast.benchmark.report import Estimate


def added(*values: float, error: float = 0.0) -> list[Estimate]:
    return [Estimate(value, error) for value in values]


@pytest.mark.parametrize("values", [(), (100.0,), (100.0, 5.0)])
def test_one_step_is_no_trend(values: tuple[float, ...]) -> None:
    assert forecast(Estimate(sum(values)), added(*values)) is None


def test_steady_growth_goes_on() -> None:
    found = forecast(Estimate(120.0), added(100, 10, 10))

    assert found is not None
    assert found.per_version == Estimate(10.0, 0.0)
    assert found.after == tuple((count, Estimate(120.0 + 10 * count, 0.0)) for count in HORIZONS)


def test_one_extraordinary_night_does_not_decide() -> None:
    found = forecast(Estimate(1140.0), added(100, 10, 10, 10, 10, 1000))

    assert found is not None
    assert found.per_version.value == 10


def test_error_grows_with_time_and_with_the_spread_of_nights() -> None:
    calm = forecast(Estimate(0.0), added(100, 10, 11, 10))
    wild = forecast(Estimate(0.0), added(100, 10, 30, 2))
    sampled = forecast(Estimate(0.0), added(100, 10, 11, 10, error=5))

    assert calm is not None
    assert wild is not None
    assert sampled is not None
    assert 0 < calm.per_version.error < wild.per_version.error
    assert sampled.per_version.error > 5
    errors = [one.error for _, one in wild.after]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]
