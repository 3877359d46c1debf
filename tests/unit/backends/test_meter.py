"""What a meter counts, and how it ends a command."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.limits import LimitedBackend
from holdfast.backends.memory import MemoryBackend, MemoryWriter
from holdfast.backends.meter import Count, Meter, MeteredBackend, RequestKind
from holdfast.errors import AlreadyExistsError, NotFoundError
from holdfast.storage_errors import RequestLimitError


def counted(meter: Meter) -> dict[RequestKind, Count]:
    """The kinds of which there were requests."""
    return {kind: count for kind, count in meter.counts().items() if count.requests}


def commit(backend: MeteredBackend, name: str, *pieces: bytes) -> None:
    writer = backend.open_writer(name)
    try:
        for piece in pieces:
            writer.write(piece)
        writer.commit()
    finally:
        writer.abort()


OPERATIONS: list[tuple[Callable[[MeteredBackend], object], RequestKind, int, int]] = [
    (lambda backend: backend.create("b", b"12345"), RequestKind.PUT, 5, 0),
    (lambda backend: backend.create("b", memoryview(b"12345678").cast("I")), RequestKind.PUT, 8, 0),
    (lambda backend: commit(backend, "b", b"123", b"", b"45"), RequestKind.PUT, 5, 0),
    (lambda backend: backend.read("a"), RequestKind.GET, 0, 10),
    (lambda backend: backend.read_range("a", 7, 100), RequestKind.GET, 0, 3),
    (lambda backend: backend.size("a"), RequestKind.HEAD, 0, 0),
    (lambda backend: list(backend.list("")), RequestKind.LIST, 0, 0),
    (lambda backend: list(backend.list("packs/")), RequestKind.LIST, 0, 0),
    (lambda backend: backend.delete("a"), RequestKind.DELETE, 0, 0),
]


@pytest.mark.parametrize(("operation", "kind", "sent", "received"), OPERATIONS)
def test_an_operation_is_one_request_of_its_kind(
    operation: Callable[[MeteredBackend], object], kind: RequestKind, sent: int, received: int
) -> None:
    inner, meter = MemoryBackend(), Meter()
    inner.create("a", b"0123456789")
    operation(MeteredBackend(inner, meter))
    assert counted(meter) == {kind: Count(1, sent, received)}
    assert meter.requests == 1


@pytest.mark.parametrize("operation", [operation for operation, *_ in OPERATIONS])
def test_nothing_is_done_beyond_the_limit(
    operation: Callable[[MeteredBackend], object],
) -> None:
    inner, meter = MemoryBackend(), Meter(2)
    inner.create("a", b"0123456789")
    backend = MeteredBackend(inner, meter)
    backend.size("a")
    backend.size("a")
    with pytest.raises(RequestLimitError) as caught:
        operation(backend)
    assert caught.value.location == "memory"
    assert caught.value.reason == "2"
    assert caught.value.name
    assert [(info.name, info.size) for info in inner.list("")] == [("a", 10)]
    assert counted(meter) == {RequestKind.HEAD: Count(2, 0, 0)}


def test_initializing_counts_as_a_look() -> None:
    meter = Meter(1)
    backend = MeteredBackend(MemoryBackend(), meter)
    backend.initialize()
    assert counted(meter) == {RequestKind.LIST: Count(1, 0, 0)}
    with pytest.raises(RequestLimitError):
        backend.initialize()


def test_cleaning_up_is_free() -> None:
    meter = Meter(0)
    backend = MeteredBackend(MemoryBackend(), meter)
    writer = backend.open_writer("a")
    writer.write(b"data")
    writer.abort()
    backend.close()
    assert meter.requests == 0


def test_a_writer_that_may_not_commit_can_be_dropped() -> None:
    inner = MemoryBackend()
    writer = MeteredBackend(inner, Meter(0)).open_writer("a")
    writer.write(b"data")
    with pytest.raises(RequestLimitError):
        writer.commit()
    writer.abort()
    assert list(inner.list("")) == []


def test_what_fails_is_counted_too() -> None:
    meter = Meter()
    backend = MeteredBackend(MemoryBackend(), meter)
    backend.create("a", b"12")
    with pytest.raises(AlreadyExistsError):
        backend.create("a", b"345")
    with pytest.raises(NotFoundError):
        backend.read("absent")
    assert counted(meter) == {RequestKind.PUT: Count(2, 5, 0), RequestKind.GET: Count(1, 0, 0)}


def test_several_backends_share_a_limit() -> None:
    meter = Meter(2)
    one, other = (MeteredBackend(MemoryBackend(name), meter) for name in ("one", "other"))
    one.create("a", b"")
    other.create("a", b"")
    with pytest.raises(RequestLimitError) as caught:
        one.read("a")
    assert caught.value.location == "one"


def test_threads_lose_no_request_and_none_exceeds_the_limit() -> None:
    meter = Meter(1500)
    inner = MemoryBackend()
    inner.create("a", b"12")
    backend = MeteredBackend(inner, meter)

    def read_often(_: int) -> int:
        done = 0
        for _ in range(400):
            try:
                backend.read("a")
            except RequestLimitError:
                continue
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read_often, range(8))) == 1500
    assert counted(meter) == {RequestKind.GET: Count(1500, 0, 3000)}


def test_counts_are_a_copy() -> None:
    meter = Meter()
    meter.counts()[RequestKind.GET].requests = 5
    assert meter.counts()[RequestKind.GET].requests == 0


class Remote(MemoryBackend):
    """Another character than the usual one, to see that wrappers pass it on."""

    def __init__(self) -> None:
        super().__init__("far away")
        self.hot: list[bool] = []
        self.days: list[int] = []

    @property
    def is_remote(self) -> bool:
        return True

    @property
    def parallelism(self) -> int:
        return 16

    def protect(self, days: int) -> None:
        self.days.append(days)

    def open_writer(self, name: str, *, is_hot: bool = False) -> MemoryWriter:
        self.hot.append(is_hot)
        return super().open_writer(name)


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: MeteredBackend(inner, Meter()), lambda inner: LimitedBackend(inner, None, None)],
)
def test_wrappers_are_as_what_they_wrap(wrap: Callable[[Remote], Backend]) -> None:
    inner = Remote()
    backend = wrap(inner)
    assert (backend.location, backend.is_remote, backend.parallelism) == ("far away", True, 16)
    backend.open_writer("a").abort()
    backend.open_writer("a", is_hot=True).abort()
    backend.protect(30)
    assert (inner.hot, inner.days) == ([False, True], [30])
