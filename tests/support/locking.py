"""A store in memory that protects objects as a bucket with Object Lock in compliance mode does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import AccessDeniedError
from holdfast.hashing import Bytes
from holdfast.repository.lock_ledger import DAY_S, FREE
from holdfast.storage_errors import LockedError


class SetClock:
    """Stands still until it is moved."""

    def __init__(self, now_s: int = 1_800_000_000) -> None:
        self.now_s = now_s

    def now_ns(self) -> int:
        return self.now_s * 10**9

    def monotonic_s(self) -> float:
        return float(self.now_s)

    def sleep_s(self, seconds: float) -> None:
        self.now_s += max(1, round(seconds))

    def add_days(self, days: float) -> None:
        self.now_s += round(days * DAY_S)


class LockingStore(MemoryBackend):
    """Keeps the end of each object's lock; counts what is asked for."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__("locking", clock=clock)
        self.clock = clock
        self.ends: dict[str, int] = {}
        self.asked: list[str] = []
        self.extended: list[str] = []
        self.refused: set[str] = set()
        """Objects whose lock nobody may extend."""
        self.is_silent = False
        """As a server that knows nothing of locks."""
        self._days = 0
        self._counting = threading.Lock()

    @property
    def is_remote(self) -> bool:
        return True

    def protect(self, days: int) -> None:
        self._days = days

    def create(self, name: str, data: Bytes) -> None:
        super().create(name, data)
        if self._days and not name.startswith(FREE):
            self.ends[name] = self.clock.now_s + self._days * DAY_S

    def delete(self, name: str) -> None:
        end_s = self.ends.get(name, 0)
        if end_s > self.clock.now_s:
            until = f"until {datetime.fromtimestamp(end_s, UTC):%Y-%m-%d %H:%M} UTC"
            raise LockedError(self.location, name, until)
        super().delete(name)

    def end_of(self, name: str) -> int | None:
        with self._counting:
            self.asked.append(name)
        self.size(name)
        return None if self.is_silent else self.ends.get(name)

    def extend(self, name: str, until_s: int) -> None:
        self.size(name)
        if name in self.refused or until_s < self.ends.get(name, 0):
            raise AccessDeniedError(self.location, name, "AccessDenied")
        with self._counting:
            self.extended.append(name)
        self.ends[name] = until_s

    def count(self) -> tuple[int, int]:
        """Return how often was asked and extended since the last call."""
        counted = len(self.asked), len(self.extended)
        self.asked.clear()
        self.extended.clear()
        return counted

    def wipe(self, name: str) -> None:
        """Remove an object whatever protects it."""
        self.ends.pop(name, None)
        super().delete(name)
