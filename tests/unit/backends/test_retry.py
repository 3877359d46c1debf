"""What is repeated, how often, and what a repeated request means."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.retry import Retrier, RetryBackend, RetryPolicy
from holdfast.errors import (
    AlreadyExistsError,
    BackendError,
    NotFoundError,
    TransientBackendError,
)
from support.faults import FlakyBackend, Moment

BEFORE, AFTER = Moment.BEFORE, Moment.AFTER


class SleepingClock:
    """A clock that moves only when somebody sleeps, or by `step_s` each time it is read."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.time_s = 0.0
        self.sleeps: list[float] = []
        self._step_s = step_s

    def now_ns(self) -> int:
        return int(self.time_s * 1e9)

    def monotonic_s(self) -> float:
        self.time_s += self._step_s
        return self.time_s

    def sleep_s(self, seconds: float) -> None:
        raise NotImplementedError

    def sleep(self, duration_s: float) -> None:
        self.sleeps.append(duration_s)
        self.time_s += duration_s


def failing(kind: str, times: int, moment: Moment = BEFORE) -> dict[tuple[str, int], Moment]:
    """Return a schedule: the first `times` operations of a kind fail."""
    return {(kind, number): moment for number in range(times)}


def retrying(
    flaky: Backend, clock: SleepingClock | None = None, policy: RetryPolicy | None = None
) -> RetryBackend:
    clock = clock or SleepingClock()
    policy = policy or RetryPolicy()
    patient = dataclasses.replace(policy, attempts_at_first=policy.attempts)
    retrier = Retrier(patient, clock=clock, sleep=clock.sleep, random=lambda: 1.0)
    return RetryBackend(flaky, retrier)


def filled(**objects: bytes) -> MemoryBackend:
    backend = MemoryBackend()
    for name, data in objects.items():
        backend.create(name, data)
    return backend


# -- waiting ------------------------------------------------------------------------------------


def test_waits_double_up_to_a_bound() -> None:
    clock = SleepingClock()
    policy = RetryPolicy(attempts=7, first_wait_s=1.0, longest_wait_s=10.0, total_s=1000.0)
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 6))
    assert retrying(flaky, clock, policy).read("a") == b"data"
    assert clock.sleeps == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_takes_a_random_part_of_the_bound() -> None:
    clock = SleepingClock()
    parts = iter([0.0, 0.5, 0.25])
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 3))
    policy = RetryPolicy(first_wait_s=1.0)
    retrier = Retrier(policy, clock=clock, sleep=clock.sleep, random=lambda: next(parts))
    backend = RetryBackend(flaky, retrier)
    assert backend.read("a") == b"data"
    assert clock.sleeps == [0.0, 1.0, 1.0]


def test_attempts_are_bounded() -> None:
    clock = SleepingClock()
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 100))
    with pytest.raises(TransientBackendError):
        retrying(flaky, clock, RetryPolicy(attempts=4)).read("a")
    assert len(flaky.failed) == 4
    assert len(clock.sleeps) == 3


def test_total_time_is_bounded_and_counts_slow_attempts() -> None:
    clock = SleepingClock(step_s=30.0)
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 100))
    policy = RetryPolicy(attempts=100, first_wait_s=10.0, longest_wait_s=10.0, total_s=100.0)
    with pytest.raises(TransientBackendError):
        retrying(flaky, clock, policy).read("a")
    assert clock.sleeps == [10.0, 10.0]
    assert len(flaky.failed) == 3


def test_a_storage_that_never_answered_is_not_waited_for_long() -> None:
    clock = SleepingClock()
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 3) | failing("size", 100))
    retrier = Retrier(clock=clock, sleep=clock.sleep, random=lambda: 1.0)
    backend = RetryBackend(flaky, retrier)
    with pytest.raises(TransientBackendError):
        backend.size("a")
    assert len(clock.sleeps) == RetryPolicy().attempts_at_first - 1
    assert backend.read("a") == b"data"
    clock.sleeps.clear()
    with pytest.raises(TransientBackendError):
        backend.size("a")
    assert len(clock.sleeps) == RetryPolicy().attempts - 1


def test_an_error_is_an_answer_too() -> None:
    clock = SleepingClock()
    flaky = FlakyBackend(filled(), failing("size", 100))
    retrier = Retrier(clock=clock, sleep=clock.sleep, random=lambda: 0.0)
    backend = RetryBackend(flaky, retrier)
    with pytest.raises(NotFoundError):
        backend.read("a")
    with pytest.raises(TransientBackendError):
        backend.size("a")
    assert len(clock.sleeps) == RetryPolicy().attempts - 1


def test_one_attempt_means_no_repetition() -> None:
    flaky = FlakyBackend(filled(a=b"data"), failing("read", 1))
    with pytest.raises(TransientBackendError):
        retrying(flaky, policy=RetryPolicy(attempts=1)).read("a")


class BrokenBackend(MemoryBackend):
    """Fails for good."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def read(self, name: str) -> bytes:
        self.calls += 1
        raise BackendError(self.location, name, "broken")


def test_other_errors_are_not_repeated() -> None:
    clock = SleepingClock()
    broken = BrokenBackend()
    with pytest.raises(BackendError, match="broken"):
        retrying(broken, clock).read("a")
    assert broken.calls == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_every_operation_is_repeated(moment: Moment) -> None:
    kinds = ["create", "open_writer", "read", "read_range", "size", "list", "delete", "initialize"]
    flaky = FlakyBackend(MemoryBackend(), {(kind, 0): moment for kind in kinds})
    backend = retrying(flaky)
    backend.initialize()
    backend.create("a", b"data")
    assert backend.read("a") == b"data"
    assert backend.read_range("a", 1, 2) == b"at"
    assert backend.size("a") == 4
    assert [info.name for info in backend.list("")] == ["a"]
    writer = backend.open_writer("b")
    writer.write(b"more")
    writer.commit()
    backend.delete("a")
    assert {kind for kind, _ in flaky.failed} == set(kinds)
    assert [info.name for info in backend.list("")] == ["b"]


# -- requests that may have been carried out ----------------------------------------------------


@pytest.mark.parametrize(("times", "moment"), [(1, BEFORE), (1, AFTER), (3, BEFORE), (3, AFTER)])
def test_create_succeeds_once_whatever_was_lost(times: int, moment: Moment) -> None:
    inner = MemoryBackend()
    retrying(FlakyBackend(inner, failing("create", times, moment))).create("a", b"mine")
    assert inner.read("a") == b"mine"


@pytest.mark.parametrize("other", [b"else", b"other length", b""])
def test_create_never_takes_another_object_for_its_own(other: bytes) -> None:
    inner = filled(a=other)
    with pytest.raises(AlreadyExistsError):
        retrying(FlakyBackend(inner, failing("create", 1))).create("a", b"mine")
    assert inner.read("a") == other


def test_create_without_failure_does_not_look_at_the_content() -> None:
    with pytest.raises(AlreadyExistsError):
        retrying(filled(a=b"mine")).create("a", b"mine")


def test_looking_back_is_repeated_too() -> None:
    schedule = {("create", 0): AFTER, ("size", 0): BEFORE, ("read", 0): AFTER}
    flaky = FlakyBackend(MemoryBackend(), schedule)
    retrying(flaky).create("a", bytearray(b"mine"))
    assert len(flaky.failed) == 3


class VanishingBackend(MemoryBackend):
    """Every name is taken, and gone before one can look."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count()

    def create(self, name: str, data: object) -> None:
        if next(self.calls) == 0:
            raise TransientBackendError(self.location, name)
        raise AlreadyExistsError(self.location, name)


def test_an_object_that_vanished_was_not_ours() -> None:
    with pytest.raises(AlreadyExistsError):
        retrying(VanishingBackend()).create("a", b"mine")


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_delete_succeeds_whatever_was_lost(moment: Moment) -> None:
    inner = filled(a=b"data")
    retrying(FlakyBackend(inner, failing("delete", 1, moment))).delete("a")
    assert list(inner.list("")) == []


def test_delete_of_nothing_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        retrying(MemoryBackend()).delete("a")


@pytest.mark.parametrize("kind", ["write", "commit"])
def test_writers_are_not_repeated(kind: str) -> None:
    clock = SleepingClock()
    writer = retrying(FlakyBackend(MemoryBackend(), failing(kind, 1)), clock).open_writer("a")

    def finish() -> None:
        writer.write(b"data")
        writer.commit()

    with pytest.raises(TransientBackendError):
        finish()
    assert clock.sleeps == []


# -- listings -----------------------------------------------------------------------------------


def test_a_broken_listing_yields_every_object_once() -> None:
    inner = filled(**{f"a{number}": b"" for number in range(10)})
    flaky = FlakyBackend(inner, {("list", 0): AFTER, ("list", 1): AFTER, ("list", 2): BEFORE})
    found = [info.name for info in retrying(flaky).list("")]
    assert sorted(found) == [f"a{number}" for number in range(10)]
    assert len(flaky.failed) == 3


def test_a_listing_that_never_ends_is_given_up() -> None:
    flaky = FlakyBackend(filled(a=b"", b=b""), failing("list", 50, AFTER))
    with pytest.raises(TransientBackendError):
        list(retrying(flaky, policy=RetryPolicy(attempts=5)).list(""))
    assert len(flaky.failed) <= 6


def test_it_closes_and_describes_the_wrapped_backend() -> None:
    backend = retrying(MemoryBackend("attic"))
    assert backend.location == "attic"
    assert backend.is_remote is False
    backend.close()
