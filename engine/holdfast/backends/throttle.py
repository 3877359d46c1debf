"""Limit a bandwidth: bytes pass in small pieces, each when its time has come.

A token bucket that may owe: whoever takes bytes reserves the next free stretch of time and waits
for its begin outside of the lock. So many threads share a limit in the order in which they ask,
and nobody starves.
"""

from __future__ import annotations

import threading
from typing import Final

from holdfast.clock import Clock, SystemClock

_BURST_S: Final = 0.1
"""Time that a pause may be made up for afterwards; hides that sleeps are a little too long."""
_PIECE_S: Final = 0.05
_LEAST_PIECE: Final = 1 << 10
_MOST_PIECE: Final = 256 << 10


class Throttle:
    """Lets at most `bytes_per_s` bytes pass in the long run. Safe for many threads.

    Args:
        bytes_per_s: the limit, above 0.
        clock: measures, and waits.
    """

    def __init__(self, bytes_per_s: int, clock: Clock | None = None) -> None:
        if bytes_per_s <= 0:
            raise ValueError(f"not a limit: {bytes_per_s} bytes per second")
        self._bytes_per_s = bytes_per_s
        self._clock = clock or SystemClock()
        self._free_s: float | None = None
        self._lock = threading.Lock()

    @property
    def piece(self) -> int:
        """How many bytes to take at once for an even flow: 1 KiB to 256 KiB."""
        wanted = int(self._bytes_per_s * _PIECE_S)
        return max(_LEAST_PIECE, min(wanted, _MOST_PIECE))

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may pass."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            begin_s = now_s if self._free_s is None else max(self._free_s, now_s - _BURST_S)
            self._free_s = begin_s + count / self._bytes_per_s
        if begin_s > now_s:
            self._clock.sleep_s(begin_s - now_s)
