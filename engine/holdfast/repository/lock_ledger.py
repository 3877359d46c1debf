"""What this machine knows of the Object Lock of a repository's objects.

An object is created with protection for half as long again as the repository promises, and
extended to that much when less than the promised time is left: so it is extended at the most once
in half of the promised time, not by every backup.

The ledger is a file beside the cache that may vanish at any moment. It saves requests and proves
nothing: whatever it says, an object's lock is looked up and extended again within that half.
"""

from __future__ import annotations

import os
import threading
from typing import Final

import msgspec

from holdfast.backends.base import Backend, ObjectWriter
from holdfast.backends.names import PROBE
from holdfast.backends.wrapper import BackendWrapper
from holdfast.clock import Clock
from holdfast.hashing import Bytes
from holdfast.repository import layout

DAY_S: Final = 24 * 3600
FREE: Final = (layout.FORGETS, layout.SESSIONS, PROBE)
"""Prefixes of objects that are never protected: a repository takes them back itself."""


def span_days(days: int) -> int:
    """Return for how long objects are locked, so that `days` are left for half of that time."""
    return days + (days + 1) // 2


class LockLedger:
    """Name of an object -> when its protection ends, as far as this machine knows.

    Safe for many threads. Memory: 200 bytes an object.

    Args:
        path: of the file.
        days: of protection that the repository promises, at least 1.
        clock: of the repository.
    """

    def __init__(self, path: str, *, days: int, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self.days = days
        self._ends = self._load()
        self._dropped: set[str] = set()

    @property
    def now_s(self) -> int:
        """Now, in seconds since 1970 UTC."""
        return self._clock.now_ns() // 10**9

    @property
    def due_s(self) -> int:
        """Protection that ends before this moment must be extended now."""
        return self.now_s + self.days * DAY_S

    @property
    def new_end_s(self) -> int:
        """When the protection of what is created or extended now ends."""
        return self.now_s + span_days(self.days) * DAY_S

    def end_of(self, name: str) -> int | None:
        """Return when an object's protection ends, in seconds since 1970 UTC; None if unknown."""
        return self._ends.get(name)

    def is_due(self, name: str) -> bool:
        """Tell whether an object must be looked at."""
        end_s = self._ends.get(name)
        return end_s is None or end_s < self.due_s

    def names(self, prefix: str) -> list[str]:
        """Return the known objects below a prefix."""
        with self._lock:
            return [name for name in self._ends if name.startswith(prefix)]

    def note(self, name: str, end_s: int) -> None:
        """Remember when an object's protection ends."""
        with self._lock:
            self._ends[name] = end_s

    def drop(self, name: str) -> None:
        """Know nothing of an object any more."""
        with self._lock:
            self._ends.pop(name, None)
            self._dropped.add(name)

    def save(self) -> None:
        """Write it down as far as that is possible, with what others have written meanwhile.

        What is not protected any more is left out.
        """
        with self._lock:
            others, now_s = self._load(), self.now_s
            both = {**others, **self._ends}
            self._ends = {
                name: end_s
                for name, end_s in both.items()
                if end_s > now_s and name not in self._dropped
            }
            data = msgspec.msgpack.encode(self._ends)
        part = f"{self._path}.{os.getpid()}"
        try:
            with open(part, "wb") as file:
                file.write(data)
            os.replace(part, self._path)
        except OSError:
            pass  # requests are made again, nothing else

    def _load(self) -> dict[str, int]:
        try:
            with open(self._path, "rb") as file:
                return msgspec.msgpack.decode(file.read(), type=dict[str, int])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}


class LedgerBackend(BackendWrapper):
    """Notes in a ledger what is created protected; passes everything on to `inner`."""

    def __init__(self, inner: Backend, ledger: LockLedger) -> None:
        super().__init__(inner)
        self._ledger = ledger

    def create(self, name: str, data: Bytes) -> None:
        """Create an object and note it."""
        end_s = self._ledger.new_end_s
        self._inner.create(name, data)
        if not name.startswith(FREE):
            self._ledger.note(name, end_s)

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        """Begin an object that is noted once it is durable; its protection counts from now."""
        writer = self._inner.open_writer(name, is_hot=is_hot)
        return writer if name.startswith(FREE) else _NotingWriter(writer, name, self._ledger)

    def delete(self, name: str) -> None:
        """Delete an object and forget it."""
        self._inner.delete(name)
        self._ledger.drop(name)


class _NotingWriter:
    """A writer whose object is noted once it is durable."""

    __slots__ = ("_end_s", "_inner", "_ledger", "_name")

    def __init__(self, inner: ObjectWriter, name: str, ledger: LockLedger) -> None:
        self._inner = inner
        self._name = name
        self._ledger = ledger
        self._end_s = ledger.new_end_s

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        self._inner.write(data)

    def commit(self) -> None:
        """Make the object durable, then note it."""
        self._inner.commit()
        self._ledger.note(self._name, self._end_s)

    def abort(self) -> None:
        """Drop what was written."""
        self._inner.abort()
