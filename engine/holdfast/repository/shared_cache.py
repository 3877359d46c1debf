"""Values that many threads want: each is made once, and the oldest ones go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    """A value on its way; whoever wants it too waits here.

    A bare lock, taken until the value is there: there is one for each blob that is read, and an
    `Event` costs ten times as much.
    """

    __slots__ = ("_error", "_flying", "_value")

    def __init__(self) -> None:
        self._flying = threading.Lock()
        self._flying.acquire()
        self._value: V | None = None
        self._error: BaseException | None = None

    def land(self, value: V) -> None:
        self._value = value
        self._flying.release()

    def crash(self, error: BaseException) -> None:
        self._error = error
        self._flying.release()

    def wait(self) -> V:
        with self._flying:
            pass
        if self._error is not None:
            raise self._error
        assert self._value is not None
        return self._value


class SharedCache(Generic[K, V]):
    """Values by key, bounded by the sum of their sizes. Safe for many threads.

    Args:
        capacity: bytes; a single value may be larger, and goes with the next one.
        keep_used: let those go that were not used for the longest time; otherwise those that were
            made first, which spares what was made ahead and is still to be used.
    """

    def __init__(self, capacity: int, *, keep_used: bool = True) -> None:
        self._capacity = capacity
        self._keep_used = keep_used
        self._lock = threading.Lock()
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._flights: dict[K, _Flight[V]] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of the values that are kept."""
        return self._size

    def __contains__(self, key: K) -> bool:
        """Tell whether a value is there or on its way."""
        with self._lock:
            return key in self._values or key in self._flights

    def get(self, key: K) -> V | None:
        """Return a value if it is there."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def load(self, key: K, make: Callable[[], tuple[V, int]]) -> V:
        """Return a value: the one that is kept, the one that another thread makes, or a new one.

        Args:
            key: which.
            make: returns the value and its size in bytes; what it raises is raised in all threads
                that wait for this key, and nothing is kept.
        """
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                if self._keep_used:
                    self._values.move_to_end(key)
                return found[0]
            flight = self._flights.get(key)
            is_mine = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
        if not is_mine:
            return flight.wait()
        try:
            value, size = make()
        except BaseException as error:
            self.fail(key, error)
            raise
        self.settle(key, value, size)
        return value

    def claim(self, key: K) -> bool:
        """Promise to make a value: `settle` or `fail` must follow, as others wait for it.

        Returns:
            False if it is there already, or somebody else makes it.
        """
        with self._lock:
            if key in self._values or key in self._flights:
                return False
            self._flights[key] = _Flight()
            return True

    def settle(self, key: K, value: V, size: int) -> None:
        """Keep the promised value and wake those who wait."""
        with self._lock:
            flight = self._flights.pop(key)
            self._values[key] = (value, size)
            self._size += size
            while self._size > self._capacity and len(self._values) > 1:
                self._size -= self._values.popitem(last=False)[1][1]
        flight.land(value)

    def fail(self, key: K, error: BaseException) -> None:
        """Tell those who wait why there is no value; the next one who asks tries again."""
        with self._lock:
            flight = self._flights.pop(key)
        flight.crash(error)
