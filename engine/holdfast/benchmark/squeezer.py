"""Compresses regions of streams with every slice size and level, and measures what that takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from typing import Final, TypeAlias

from holdfast.benchmark.measured import Squeezed
from holdfast.closing import Closing
from holdfast.compression import compress
from holdfast.crypto.aead import KEY_LENGTH, NONCE_LENGTH, Suite, cipher
from holdfast.hashing import trailer

_MOST_THREADS: Final = 2
"""zstd's level 12 takes 40 MiB for a slice of 4 MiB, and keeps them."""
_MOST_WAITING: Final = 1
"""Regions that wait for a thread: 4 MiB each."""

Outcome: TypeAlias = Mapping[tuple[int, int], Squeezed]
"""(slice size, level) -> what became of a region."""


class Squeezer(Closing):
    """Threads that compress; used by all lanes at once, from any thread.

    Where lanes agree on what is new, their regions are the same bytes; those are compressed once.

    Args:
        slice_sizes: bytes each.
        levels: of zstd.
        threads: of the scan; at most half as many compress.
    """

    def __init__(self, slice_sizes: Sequence[int], levels: Sequence[int], threads: int) -> None:
        self._slice_sizes = tuple(slice_sizes)
        self._levels = tuple(levels)
        threads = max(1, min(threads // 2, _MOST_THREADS))
        self._pool = ThreadPoolExecutor(threads, "holdfast-squeezer")
        self._room = BoundedSemaphore(threads + _MOST_WAITING)
        self._lock = Lock()
        self._known: dict[bytes, Future[Outcome]] = {}
        # Nothing sealed here leaves the process, so the key need not be secret.
        self._cipher = cipher(Suite.AES_256_GCM, bytes(KEY_LENGTH))

    def close(self) -> None:
        """End the threads; what still waits is not compressed."""
        self._pool.shutdown(cancel_futures=True)

    def squeeze(self, data: bytearray) -> Future[Outcome]:
        """Have a region compressed; waits while too many others are ahead of it.

        Args:
            data: the region, at least one byte; not changed any more by the caller.
        """
        name = trailer(data)
        with self._lock:
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = Future()
                is_new = True
            else:
                is_new = False
        if is_new:
            self._room.acquire()
            self._pool.submit(self._work, data, known)
        return known

    def _work(self, data: bytearray, outcome: Future[Outcome]) -> None:
        try:
            outcome.set_result(self._measure(memoryview(data)))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the outcome gets it
            outcome.set_exception(error)
        finally:
            self._room.release()

    def _measure(self, data: memoryview) -> Outcome:
        outcome = {}
        nonce = bytes(NONCE_LENGTH)
        for size in self._slice_sizes:
            for level in self._levels:
                squeezed = outcome[size, level] = Squeezed()
                began = time.thread_time()
                for start in range(0, len(data), size):
                    body = compress(data[start : start + size], level)
                    squeezed.stored_bytes += len(self._cipher.encrypt(nonce, body, None))
                squeezed.seconds = time.thread_time() - began
        return outcome
