"""Repeating work and timing it: how often, with which numbers, and what is made of the times."""

from __future__ import annotations

import statistics
from threading import Barrier, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.speed_report import Stage, Unit
from holdfast.benchmark.speed_timing import RUNS, Stopwatch, rate_of
from holdfast.threads import working_threads
from support.sessions import FakeClock

speeds = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=30)


@given(speeds)
def test_a_rate_lies_among_its_runs(values: list[float]) -> None:
    rate = rate_of(values)
    assert rate.median == statistics.median(values)
    assert 0 <= rate.spread <= (max(values) - min(values)) / 2 * (1 + 1e-9)
    assert rate.runs == len(values)


def test_equal_runs_have_no_spread_and_outliers_do_not_count() -> None:
    assert rate_of([5.0] * 4).spread == 0
    assert rate_of([5.0] * 9 + [500.0]).median == 5
    assert rate_of([5.0] * 9 + [500.0]).spread == 0
    assert rate_of([2.0, 4.0, 6.0]).relative_spread == pytest.approx(1 / 4)


@pytest.mark.parametrize(("step_s", "runs"), [(1.0, 3), (0.05, 10), (0.02, 25)])
def test_work_is_repeated_until_the_time_is_over(step_s: float, runs: int) -> None:
    clock = FakeClock(step_s=step_s)
    rate = Stopwatch(clock).rate(lambda _: 10.0, 1.0)
    assert rate.runs == runs
    assert rate.median == pytest.approx(10 / step_s)


def test_a_clock_that_stands_still_ends_at_the_most_runs() -> None:
    assert Stopwatch(FakeClock()).rate(lambda _: 1.0, 1.0).runs == RUNS[1]
    assert Stopwatch(FakeClock()).seconds_each(lambda _: None, 1.0).runs == RUNS[1]


def test_quick_work_is_done_several_times_a_run() -> None:
    clock = FakeClock(step_s=0.001)
    numbers: list[int] = []

    def work(number: int) -> float:
        numbers.append(number)
        return 1.0

    rate = Stopwatch(clock).rate(work, 1.0, runs=(3, 3))
    assert numbers == list(range(len(numbers))), "a number for each"
    assert len(numbers) == 1 + 2 * 10, "after the first, as many as fill a hundredth of a second"
    assert rate.median == pytest.approx(10 / 0.001)


def test_the_scale_shortens_everything() -> None:
    clock = FakeClock(step_s=0.02)
    assert Stopwatch(clock, scale=1.0).rate(lambda _: 1.0, 1.0).runs == 25
    assert Stopwatch(clock, scale=0.5).rate(lambda _: 1.0, 1.0).runs == 13
    assert Stopwatch(clock, scale=0.0).rate(lambda _: 1.0, 1.0).runs == 3


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_work_at_once_and_their_work_is_added_up(threads: int) -> None:
    clock, gate, lock = FakeClock(step_s=1.0), Barrier(threads), Lock()
    numbers: list[int] = []

    def work(number: int) -> float:
        gate.wait(10)  # nobody gets past it alone
        with lock:
            numbers.append(number)
        return 100.0

    rate = Stopwatch(clock).parallel_rate(work, 0.0, threads=threads)
    assert rate.median == pytest.approx(100 * threads)
    assert sorted(numbers) == list(range(3 * threads))


def test_seconds_are_those_of_one_operation() -> None:
    rate = Stopwatch(FakeClock(step_s=0.25)).seconds_each(lambda _: None, 2.0)
    assert (rate.median, rate.runs) == (0.25, 4)


def test_a_measure_of_bytes_has_both_rates() -> None:
    measure = Stopwatch(FakeClock(step_s=0.5), threads=4).bytes_measure(
        Stage.CUT, "files", lambda _: 1e6, 0.0
    )
    assert (measure.stage, measure.name, measure.unit) == (Stage.CUT, "files", Unit.BYTES_PER_S)
    assert measure.single.median == pytest.approx(2e6)
    assert measure.parallel is not None
    assert measure.parallel.median == pytest.approx(8e6)


def test_a_backup_has_at_least_two_threads() -> None:
    assert 2 <= working_threads() <= 8
