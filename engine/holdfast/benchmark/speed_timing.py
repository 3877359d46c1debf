"""Repeats a piece of work for a while and says how fast it was: median and spread.

The median, because anything else on the machine makes some runs slower and none faster; the
spread, because it tells how quiet the machine was.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from holdfast.benchmark.speed_report import Measure, Rate, Stage, Unit
from holdfast.clock import Clock
from holdfast.threads import working_threads

RUNS: Final = (3, 1000)
"""The least and the most, whatever the time."""
_RUN_S: Final = 0.01
"""A run lasts about so long at the least, so that starting threads does not count."""
_MOST_TIMES: Final = 64
_LEAST_S: Final = 1e-9
"""Of a run: a clock may stand still between two looks."""

Work: TypeAlias = Callable[[int], float]
"""Does run number n of some work, and returns how much it was (bytes, operations). Where several
threads work at once each gets numbers of its own."""


def rate_of(values: list[float]) -> Rate:
    """Return median and spread of at least one value."""
    spread = 0.0
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        spread = (high - low) / 2
    return Rate(statistics.median(values), spread, len(values))


class Stopwatch:
    """Times work. For one thread, which may let others work.

    Args:
        clock: measures.
        scale: all times are multiplied by it: 1 makes a whole benchmark of about 20 seconds.
        threads: that work at once where all processors are to be busy.
    """

    def __init__(self, clock: Clock, *, scale: float = 1.0, threads: int = 0) -> None:
        self._clock = clock
        self._scale = scale
        self.threads = threads or working_threads()

    def now_s(self) -> float:
        """Return the monotonic time."""
        return self._clock.monotonic_s()

    def budget_s(self, seconds: float) -> float:
        """Return what `seconds` of a benchmark of the usual length are in this one."""
        return seconds * self._scale

    def rate(self, work: Work, seconds: float, *, runs: tuple[int, int] = RUNS) -> Rate:
        """Repeat work for about that long; return how much of it is done in a second."""
        return self._rate(lambda first, times: _repeat(work, first, times), seconds, runs)

    def parallel_rate(
        self, work: Work, seconds: float, *, threads: int = 0, runs: tuple[int, int] = RUNS
    ) -> Rate:
        """Do the same with several threads at once, `threads` or else as many as a backup has."""
        count = threads or self.threads
        with ThreadPoolExecutor(count, "holdfast-benchmark") as pool:

            def work_together(first: int, times: int) -> float:
                starts = [first * count + at * times for at in range(count)]
                return sum(pool.map(lambda start: _repeat(work, start, times), starts))

            return self._rate(work_together, seconds, runs)

    def _rate(
        self, work: Callable[[int, int], float], seconds: float, runs: tuple[int, int]
    ) -> Rate:
        """Time `work(number of the first, how many)`, so many at once that a run lasts a while."""
        values: list[float] = []
        end_s = self.now_s() + self.budget_s(seconds)
        first, times = 0, 1
        least, most = runs
        while len(values) < most:
            begin_s = self.now_s()
            amount = work(first, times)
            done_s = self.now_s()
            values.append(amount / max(_LEAST_S, done_s - begin_s))
            first += times
            if len(values) == 1:
                times = max(1, min(_MOST_TIMES, int(_RUN_S / max(_LEAST_S, done_s - begin_s))))
            if done_s >= end_s and len(values) >= least:
                break
        return rate_of(values)

    def seconds_each(self, work: Callable[[int], object], seconds: float) -> Rate:
        """Repeat one operation for about that long; return how long it takes."""
        values: list[float] = []
        end_s = self.now_s() + self.budget_s(seconds)
        least, most = RUNS
        while len(values) < most:
            begin_s = self.now_s()
            work(len(values))
            done_s = self.now_s()
            values.append(done_s - begin_s)
            if done_s >= end_s and len(values) >= least:
                break
        return rate_of(values)

    def bytes_measure(self, stage: Stage, name: str, work: Work, seconds: float) -> Measure:
        """Measure work that counts bytes, by one thread and then by all."""
        return Measure(
            stage=stage,
            name=name,
            unit=Unit.BYTES_PER_S,
            single=self.rate(work, seconds / 2),
            parallel=self.parallel_rate(work, seconds / 2),
        )


def _repeat(work: Work, first: int, times: int) -> float:
    return sum(work(number) for number in range(first, first + times))
