"""Limits of bandwidth around storages that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.limits import LimitedBackend
from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.meter import Meter, MeteredBackend, RequestKind
from holdfast.backends.options import StorageOptions
from holdfast.backends.registry import open_backend
from holdfast.backends.throttle import Throttle
from holdfast.errors import NotFoundError

SPEED = 1_000_000
DATA = bytes(range(256)) * 20_000  # 5.12 MB


class WaitingClock:
    """Time passes only by waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    @property
    def waited_s(self) -> float:
        return sum(self.waits)

    def now_ns(self) -> int:
        return int(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        return 1000.0 + self.waited_s

    def sleep_s(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def clock() -> WaitingClock:
    return WaitingClock()


def limited(
    inner: Backend, clock: WaitingClock, *, up: bool = False, down: bool = False
) -> Backend:
    return LimitedBackend(
        inner,
        Throttle(SPEED, clock=clock) if up else None,
        Throttle(SPEED, clock=clock) if down else None,
    )


def write(backend: Backend) -> None:
    writer = backend.open_writer("packs/new")
    writer.write(DATA[:1000])
    writer.write(memoryview(DATA)[1000:])
    writer.commit()


def create_often(backend: Backend) -> None:
    for number in range(20):
        backend.create(f"index/{number}", DATA[: len(DATA) // 20])


WRITES: list[Callable[[Backend], object]] = [write, create_often]
READS: list[Callable[[Backend], object]] = [
    lambda backend: backend.read("packs/there"),
    lambda backend: backend.read_range("packs/there", 0, 1 << 40),
    lambda backend: [
        backend.read_range("packs/there", at, 5120) for at in range(0, 5_120_000, 5120)
    ],
]


@pytest.mark.parametrize("operation", WRITES)
def test_writing_takes_the_time_that_the_limit_says(
    operation: Callable[[Backend], object], clock: WaitingClock
) -> None:
    inner = MemoryBackend()
    operation(limited(inner, clock, up=True))
    assert 4.5 < clock.waited_s < 5.2
    assert max(clock.waits) < 0.3  # evenly
    assert sum(info.size for info in inner.list("")) == len(DATA)


@pytest.mark.parametrize("operation", READS)
def test_reading_takes_the_time_that_the_limit_says(
    operation: Callable[[Backend], object], clock: WaitingClock
) -> None:
    inner = MemoryBackend()
    inner.create("packs/there", DATA)
    operation(limited(inner, clock, down=True))
    assert 4.9 < clock.waited_s < 5.2
    assert max(clock.waits) < 0.3


@pytest.mark.parametrize("operation", [*WRITES, *READS])
def test_the_other_direction_is_free(
    operation: Callable[[Backend], object], clock: WaitingClock
) -> None:
    inner = MemoryBackend()
    inner.create("packs/there", DATA)
    operation(limited(inner, clock, up=operation in READS, down=operation in WRITES))
    assert clock.waits == []


def test_pieces_make_the_whole_in_every_range(clock: WaitingClock) -> None:
    inner = MemoryBackend()
    inner.create("a", DATA)
    backend = limited(inner, clock, down=True)
    piece = Throttle(SPEED, clock=clock).piece
    assert backend.read("a") == DATA
    for offset in (0, 1, piece - 1, piece, len(DATA) - 1, len(DATA), len(DATA) + 5):
        for length in (0, 1, piece - 1, piece, piece + 1, 3 * piece, 2**64):
            assert backend.read_range("a", offset, length) == DATA[offset : offset + length]


def test_an_absent_object_is_noticed_even_by_empty_ranges(clock: WaitingClock) -> None:
    backend = limited(MemoryBackend(), clock, down=True)
    with pytest.raises(NotFoundError):
        backend.read_range("absent", 0, 0)
    with pytest.raises(NotFoundError):
        backend.read("absent")
    assert clock.waits == []


def test_buffers_of_wide_items_are_counted_in_bytes(clock: WaitingClock) -> None:
    inner = MemoryBackend()
    backend = limited(inner, clock, up=True)
    writer = backend.open_writer("a")
    writer.write(memoryview(DATA).cast("Q"))
    writer.commit()
    assert inner.read("a") == DATA
    assert clock.waited_s > 4.5


def test_the_registry_limits_and_counts_directories(tmp_path: Path) -> None:
    meter = Meter()
    options = StorageOptions(upload_bytes_per_s=1 << 40, download_bytes_per_s=1 << 40, meter=meter)
    backend = open_backend(str(tmp_path / "repository"), options)
    assert isinstance(backend, MeteredBackend)
    backend.initialize()
    backend.create("a", DATA)
    assert backend.read("a") == DATA  # in 20 pieces
    counts = {kind: count.requests for kind, count in meter.counts().items() if count.requests}
    assert counts == {RequestKind.LIST: 1, RequestKind.PUT: 1, RequestKind.GET: 1}
    backend.close()


@pytest.mark.parametrize("direction", ["upload_bytes_per_s", "download_bytes_per_s"])
def test_the_registry_wraps_nothing_without_need(tmp_path: Path, direction: str) -> None:
    assert isinstance(open_backend(str(tmp_path)), LocalBackend)
    limits = StorageOptions(**{direction: 1000})  # type: ignore[arg-type]
    assert isinstance(open_backend(str(tmp_path), limits), LimitedBackend)
