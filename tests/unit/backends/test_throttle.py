"""Bytes pass no faster than allowed, evenly, whoever asks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backends.throttle import Throttle


class FakeClock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.time_s = 1000.0
        self.sleeps: list[float] = []

    def now_ns(self) -> int:
        raise NotImplementedError

    def monotonic_s(self) -> float:
        return self.time_s

    def sleep_s(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time_s += seconds


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=50), st.integers(1, 10**7))
def test_never_faster_than_the_limit(counts: list[int], limit: int) -> None:
    clock = FakeClock()
    throttle = Throttle(limit, clock)
    for count in counts:
        throttle.take(count)
    # The last bytes may leave when their time begins, so it does not count.
    assert clock.time_s - 1000.0 == pytest.approx(sum(counts[:-1]) / limit, rel=1e-6, abs=1e-6)


def test_the_first_bytes_need_not_wait() -> None:
    clock = FakeClock()
    Throttle(1000, clock).take(500)
    assert clock.sleeps == []


def test_bytes_flow_evenly() -> None:
    clock = FakeClock()
    throttle = Throttle(100_000, clock)
    for _ in range(100):
        throttle.take(throttle.piece)
    assert max(clock.sleeps) - min(clock.sleeps) < 1e-6
    assert max(clock.sleeps) == pytest.approx(0.05)


def test_a_pause_gives_no_more_than_a_short_burst() -> None:
    clock = FakeClock()
    throttle = Throttle(1000, clock)
    throttle.take(10)
    clock.time_s += 3600
    begin_s = clock.time_s
    for _ in range(10):
        throttle.take(1000)
    assert clock.time_s - begin_s == pytest.approx(9.0 - 0.1)


@pytest.mark.parametrize(
    ("limit", "piece"), [(1, 1024), (100_000, 5000), (10**9, 256 << 10), (20_480, 1024)]
)
def test_pieces_are_small_where_the_limit_is(limit: int, piece: int) -> None:
    assert Throttle(limit, FakeClock()).piece == piece


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_below_one(limit: int) -> None:
    with pytest.raises(ValueError, match="not a limit"):
        Throttle(limit)


def test_threads_share_a_limit() -> None:
    throttle = Throttle(1_000_000)
    taken = [0] * 4
    is_over = threading.Event()

    def take(number: int) -> None:
        while not is_over.is_set():
            throttle.take(10_000)
            taken[number] += 10_000

    begin_s = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(take, number) for number in range(4)]
        time.sleep(0.5)
        is_over.set()
        for future in running:
            future.result()
    lasted_s = time.monotonic() - begin_s
    assert sum(taken) <= 1_000_000 * (lasted_s + 0.1) + 50_000
    assert sum(taken) > 250_000
    assert min(taken) > 0
