"""A network between client and storage: every request waits, and all bytes share one line.

What a distant server costs, on one machine: each request takes the latency, then its bytes pass
one after the other through the line's direction, in pieces, so that parallel requests share it
fairly. The waiting is real; the storage's own time runs meanwhile. Connections cost nothing here
to open and begin at full speed, which real ones do not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from holdfast.backends.base import Backend, ObjectInfo, ObjectWriter
from holdfast.backends.wrapper import BackendWrapper
from holdfast.hashing import Bytes

_PIECE = 64 << 10
_PAGE = 1000
"""Objects of a listing that come with one request."""


class Direction:
    """One direction of a line. Safe for many threads.

    Args:
        bytes_per_s: its bandwidth.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self._lock = threading.Lock()
        self.bytes = 0

    def pass_through(self, count: int, ready_s: float) -> float:
        """Send bytes that are ready at a moment of the monotonic clock; return their arrival.

        Whoever sends sleeps until then. Moments are planned: a sleep that is a little too long
        costs no bandwidth.
        """
        sleep_until(ready_s)  # else this one would keep the line free for bytes yet to come
        while count > 0:
            piece = min(count, _PIECE)
            with self._lock:
                ready_s = max(self._free_s, ready_s) + piece / self._bytes_per_s
                self._free_s = ready_s
                self.bytes += piece
            sleep_until(ready_s)
            count -= piece
        return ready_s


@dataclass(slots=True)
class Link:
    """A line with a latency, and what has passed through it."""

    latency_s: float
    """Of a request and its answer together."""
    bytes_per_s: float
    """In each direction."""
    up: Direction = field(init=False)
    down: Direction = field(init=False)
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.up, self.down = Direction(self.bytes_per_s), Direction(self.bytes_per_s)

    def begin(self) -> float:
        """Count a request that begins now; return when its first byte is there."""
        with self._lock:
            self.requests += 1
        return time.monotonic() + self.latency_s


def sleep_until(moment_s: float) -> None:
    """Wait for a moment of the monotonic clock."""
    left_s = moment_s - time.monotonic()
    if left_s > 0:
        time.sleep(left_s)


class LinkBackend(BackendWrapper):
    """A store behind a link; an object that is written piece by piece is sent by `commit`.

    Args:
        inner: the store.
        link: between the caller and it.
        parallelism: that is given to callers.
    """

    def __init__(self, inner: Backend, link: Link, *, parallelism: int = 16) -> None:
        super().__init__(inner)
        self.link = link
        self._parallelism = parallelism

    @property
    def is_remote(self) -> bool:
        return True

    @property
    def parallelism(self) -> int:
        return self._parallelism

    def create(self, name: str, data: Bytes) -> None:
        size = memoryview(data).nbytes
        self.send(size, lambda: self._inner.create(name, data))

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        return _LinkWriter(self, self._inner.open_writer(name, is_hot=is_hot))

    def read(self, name: str) -> bytes:
        return self._receive(lambda: self._inner.read(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        return self._receive(lambda: self._inner.read_range(name, offset, length))

    def size(self, name: str) -> int:
        ready_s = self.link.begin()
        try:
            return self._inner.size(name)
        finally:
            sleep_until(ready_s)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._pages(self._inner.list(prefix))

    def delete(self, name: str) -> None:
        self.send(0, lambda: self._inner.delete(name))

    def initialize(self) -> None:
        self.send(0, self._inner.initialize)

    def send(self, size: int, action: Callable[[], None]) -> None:
        """Carry out a request whose body has `size` bytes."""
        sleep_until(self.link.up.pass_through(size, self.link.begin()))
        action()

    def _receive(self, action: Callable[[], bytes]) -> bytes:
        ready_s = self.link.begin()
        try:
            data = action()
        except BaseException:
            sleep_until(ready_s)
            raise
        sleep_until(self.link.down.pass_through(len(data), ready_s))
        return data

    def _pages(self, listing: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        sleep_until(self.link.begin())
        for number, info in enumerate(listing):
            if number and number % _PAGE == 0:
                sleep_until(self.link.begin())
            yield info


class _LinkWriter:
    def __init__(self, backend: LinkBackend, inner: ObjectWriter) -> None:
        self._backend = backend
        self._inner = inner
        self._size = 0

    def write(self, data: Bytes) -> None:
        self._inner.write(data)
        self._size += memoryview(data).nbytes

    def commit(self) -> None:
        self._backend.send(self._size, self._inner.commit)

    def abort(self) -> None:
        self._inner.abort()
