"""A wrapper that repeats what failed with TransientBackendError, and nothing else.

Waits grow exponentially with full jitter: a uniformly random part of the bound, so that many
clients of a server that recovers do not come back all at once.

A request that failed may have been carried out. Repeating a read is harmless. A repeated `create`
that meets the name looks whether it is its own work: the object there is equal to `data`. For
that to tell owners apart, objects over which several processes compete must hold something
random; everything sealed does. A repeated `delete` that finds nothing has succeeded.

Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from holdfast.backends.base import Backend, ObjectInfo, ObjectWriter
from holdfast.backends.wrapper import BackendWrapper
from holdfast.clock import Clock, SystemClock
from holdfast.errors import (
    AlreadyExistsError,
    BackendError,
    NotFoundError,
    TransientBackendError,
)
from holdfast.hashing import Bytes

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long to try."""

    attempts: int = 12
    """Attempts of one operation, the first included."""
    attempts_at_first: int = 4
    """The same as long as the storage has never answered: it may be the location that is wrong,
    and somebody waits for an answer."""
    first_wait_s: float = 0.25
    """Bound of the first wait; each further bound is twice the one before."""
    longest_wait_s: float = 30.0
    total_s: float = 180.0
    """No wait begins that would end later than this after the operation's begin."""


class Retrier:
    """Repeats what fails with TransientBackendError. Safe for many threads.

    Args:
        policy: how often and how long.
        clock: measures the time an operation has taken.
        sleep: waits for a number of seconds.
        random: returns a number in [0, 1).
    """

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._policy = policy or RetryPolicy()
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._random = random
        self._has_answered = False

    def run(self, attempt: Callable[[], _Result]) -> _Result:
        """Return what `attempt` returns, or raise what it raises for good."""
        waits = self.waits()
        while True:
            try:
                result = attempt()
            except TransientBackendError:
                if not self.wait(waits):
                    raise
            except BackendError:
                self._has_answered = True
                raise
            else:
                self._has_answered = True
                return result

    def wait(self, waits: Iterator[float]) -> bool:
        """Wait before the next attempt; False if there is none any more."""
        wait_s = next(waits, None)
        if wait_s is None:
            return False
        self._sleep(wait_s)
        return True

    def waits(self) -> Iterator[float]:
        """Yield the waits of an operation that begins now, until attempts or time are used up."""
        return self._waits(self._clock.monotonic_s())

    def _waits(self, begin_s: float) -> Iterator[float]:
        policy = self._policy
        bound_s = policy.first_wait_s
        attempts = policy.attempts if self._has_answered else policy.attempts_at_first
        for _ in range(attempts - 1):
            wait_s = self._random() * bound_s
            if self._clock.monotonic_s() - begin_s + wait_s > policy.total_s:
                return
            yield wait_s
            bound_s = min(2 * bound_s, policy.longest_wait_s)


class RetryBackend(BackendWrapper):
    """Repeats failed operations of `inner`.

    Writers are not repeated, only their opening: in general the bytes are gone when `commit`
    fails, and whether it happened is unknown. A writer that still has them repeats by itself, as
    that of S3 does; otherwise whoever holds the bytes writes them again under a new name.

    Args:
        inner: the backend whose operations are repeated.
        retrier: repeats them.
    """

    def __init__(self, inner: Backend, retrier: Retrier | None = None) -> None:
        super().__init__(inner)
        self._retrier = retrier or Retrier()

    def create(self, name: str, data: Bytes) -> None:
        """Create an object; one equal object under the name after a failed attempt is ours."""
        has_failed = False

        def attempt() -> None:
            nonlocal has_failed
            try:
                self._inner.create(name, data)
            except TransientBackendError:
                has_failed = True
                raise
            except AlreadyExistsError:
                if not has_failed or not self._holds(name, data):
                    raise

        self._retrier.run(attempt)

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        """Begin an object; the writer itself repeats nothing."""
        return self._retrier.run(lambda: self._inner.open_writer(name, is_hot=is_hot))

    def read(self, name: str) -> bytes:
        """Return a whole object."""
        return self._retrier.run(lambda: self._inner.read(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object."""
        return self._retrier.run(lambda: self._inner.read_range(name, offset, length))

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        return self._retrier.run(lambda: self._inner.size(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object once; a listing that breaks off is begun again.

        The names yielded so far are remembered: about 150 bytes each.
        """
        listing = self._retrier.run(lambda: self._inner.list(prefix))
        return self._resumed(listing, prefix)

    def delete(self, name: str) -> None:
        """Delete an object; nothing under the name after a failed attempt is success."""
        has_failed = False

        def attempt() -> None:
            nonlocal has_failed
            try:
                self._inner.delete(name)
            except TransientBackendError:
                has_failed = True
                raise
            except NotFoundError:
                if not has_failed:
                    raise

        self._retrier.run(attempt)

    def initialize(self) -> None:
        """Prepare the location; it creates no object, so that a repetition finds it empty too."""
        self._retrier.run(self._inner.initialize)

    def _holds(self, name: str, data: Bytes) -> bool:
        """Tell whether the object is equal to `data`."""
        try:
            return self._inner.size(name) == len(data) and self._inner.read(name) == data
        except NotFoundError:
            return False

    def _resumed(self, listing: Iterator[ObjectInfo], prefix: str) -> Iterator[ObjectInfo]:
        seen: set[str] = set()
        waits: Iterator[float] | None = None
        while True:
            try:
                for info in listing:
                    if info.name not in seen:
                        seen.add(info.name)
                        waits = None  # it got on: attempts and time count anew
                        yield info
                return
            except TransientBackendError:
                waits = waits or self._retrier.waits()
                if not self._retrier.wait(waits):
                    raise
            listing = self._retrier.run(lambda: self._inner.list(prefix))
