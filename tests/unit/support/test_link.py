"""The link that tests and measurements use: times and shares of bandwidth are what it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.backend_contract import BackendContract
from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from support.link import Link, LinkBackend


class TestLinkBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return LinkBackend(MemoryBackend(), Link(1e-5, 1e9))


def seconds(action: Callable[[], object]) -> float:
    begin_s = time.monotonic()
    action()
    return time.monotonic() - begin_s


def test_every_request_waits() -> None:
    backend = LinkBackend(MemoryBackend(), Link(0.05, 1e9), parallelism=7)
    writer = backend.open_writer("b")
    calls: list[Callable[[], object]] = [
        lambda: backend.create("a", b"data"),
        lambda: backend.read("a"),
        lambda: backend.read_range("a", 1, 2),
        lambda: backend.size("a"),
        lambda: list(backend.list("")),
        writer.commit,
        lambda: backend.delete("a"),
    ]
    assert all(seconds(call) >= 0.05 for call in calls)
    assert backend.link.requests == len(calls)
    assert (backend.link.up.bytes, backend.link.down.bytes) == (4, 6)
    assert (backend.is_remote, backend.parallelism) == (True, 7)


def test_requests_wait_at_the_same_time() -> None:
    backend = LinkBackend(MemoryBackend(), Link(0.2, 1e9))
    backend.create("a", b"")
    with ThreadPoolExecutor(16) as pool:
        assert seconds(lambda: list(pool.map(backend.read, ["a"] * 16))) < 1.6  # not 3.2


def test_all_threads_share_the_bandwidth() -> None:
    backend = LinkBackend(MemoryBackend(), Link(0.01, 10e6))
    backend.create("a", bytes(1_000_000))
    with ThreadPoolExecutor(4) as pool:
        took_s = seconds(lambda: list(pool.map(backend.read, ["a"] * 4)))
    assert 0.4 < took_s < 1.5


def test_a_small_answer_does_not_wait_for_a_large_one() -> None:
    backend = LinkBackend(MemoryBackend(), Link(0.001, 2e6))
    backend.create("large", b"")
    backend.delete("large")
    backend.create("small", bytes(100))
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(backend.create, "large", bytes(2_000_000))
        time.sleep(0.1)
        assert seconds(lambda: backend.create("little", b"x")) < 0.6  # the large one takes 1 s
        sent.result()


def test_both_directions_have_their_own() -> None:
    inner = MemoryBackend()
    inner.create("a", bytes(1_000_000))
    backend = LinkBackend(inner, Link(0.0, 1e6))
    with ThreadPoolExecutor(1) as pool:
        began_s = time.monotonic()
        sent = pool.submit(backend.create, "b", bytes(1_000_000))
        backend.read("a")
        sent.result()
    assert 1.0 <= time.monotonic() - began_s < 1.8
