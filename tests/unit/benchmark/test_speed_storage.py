"""Measuring a storage: what is found, and that nothing of it stays, whatever happens."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from holdfast.backends.base import Backend, ObjectWriter
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.names import PROBE
from holdfast.backends.registry import open_backend
from holdfast.backends.wrapper import BackendWrapper
from holdfast.benchmark.speed_report import Measure, Unit
from holdfast.benchmark.speed_storage import (
    connections_of,
    measure_storage,
    prepare_storage,
)
from holdfast.benchmark.speed_timing import Stopwatch
from holdfast.clock import SystemClock
from holdfast.errors import OutOfSpaceError, RepositoryExistsError
from support.buckets import Bucket
from support.liars import AppendOnly
from support.link import Link, LinkBackend
from support.repos import contents, new_store

NAMES = ["small-write", "small-read", "list", "delete", "write", "read"]


def measure(backend: Backend, scale: float = 0.02) -> tuple[dict[str, Measure], list[str]]:
    prepare_storage(backend)
    measures, left = measure_storage(backend, Stopwatch(SystemClock(), scale=scale))
    return {one.name: one for one in measures}, left


def test_an_empty_place_stays_empty() -> None:
    store = MemoryBackend()
    found, left = measure(store)
    assert list(found) == NAMES
    assert [one.unit for one in found.values()] == [Unit.SECONDS] * 4 + [Unit.BYTES_PER_S] * 2
    assert all(one.single.median > 0 for one in found.values())
    assert (contents(store), left) == ({}, [])


def test_a_repository_is_left_as_it_was() -> None:
    store = new_store()
    before = contents(store)
    measure(store)
    assert contents(store) == before


def test_a_place_that_holds_something_else_is_not_touched() -> None:
    store = MemoryBackend()
    store.create("other", b"mine")
    with pytest.raises(RepositoryExistsError):
        measure(store)
    assert contents(store) == {"other": b"mine"}


def test_a_directory(tmp_path: Path) -> None:
    backend = open_backend(str(tmp_path / "store"))
    found, left = measure(backend)
    backend.close()
    assert list(found) == NAMES
    assert left == []
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


class Failing(BackendWrapper):
    """Raises at the n-th object; at the first of another thread if n is 0."""

    def __init__(self, inner: Backend, number: int, error: BaseException) -> None:
        super().__init__(inner)
        self._number = number
        self._error = error

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        self._count()
        return self._inner.open_writer(name, is_hot=is_hot)

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self._inner.create(name, data)
        self._count()

    def _count(self) -> None:
        self._number -= 1
        is_due = self._number == 0
        if self._number < 0:
            is_due = threading.current_thread() is not threading.main_thread()
        if is_due:
            raise self._error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutOfSpaceError("memory", "x")])
@pytest.mark.parametrize("number", [1, 3, 6, 8, 0])
def test_nothing_stays_after_an_interruption(error: BaseException, number: int) -> None:
    """At small objects, at large ones, and while several threads write some."""
    store = new_store()
    before = contents(store)
    with pytest.raises(type(error)):
        measure(Failing(store, number, error), scale=0.0)
    assert contents(store) == before


def test_nothing_stays_if_the_clearing_itself_is_interrupted() -> None:
    class Interrupting(MemoryBackend):
        deletions = 0

        def delete(self, name: str) -> None:
            self.deletions += 1
            if self.deletions == measured + 2:
                raise KeyboardInterrupt
            super().delete(name)

    measured = 3
    store = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        measure(store, scale=0.0)
    assert store.deletions > measured + 2
    assert contents(store) == {}


def test_a_storage_that_deletes_nothing_is_measured_and_what_stays_is_named() -> None:
    store = AppendOnly()
    found, left = measure(store)
    assert list(found) == [name for name in NAMES if name != "delete"]
    assert set(left) == set(contents(store))
    assert all(name.startswith(PROBE) for name in left)


def test_latency_and_bandwidth_of_a_link_are_seen() -> None:
    link = Link(latency_s=0.004, bytes_per_s=64e6)
    backend = LinkBackend(MemoryBackend(), link, parallelism=4)
    found, _ = measure(backend, scale=0.1)
    for name in ("small-write", "small-read", "list", "delete"):
        assert 0.004 <= found[name].single.median < 0.02
    assert connections_of(backend) == 4
    for name in ("write", "read"):
        parallel = found[name].parallel
        assert parallel is not None
        assert found[name].single.median < 64e6
        assert 0.5 * 64e6 < parallel.median < 1.3 * 64e6


def test_a_bucket_is_left_empty(bucket: Bucket) -> None:
    backend = open_backend(bucket.location(prefix=f"speed-{os.getpid()}"))
    found, left = measure(backend)
    objects = list(backend.list(""))
    backend.close()
    assert list(found) == NAMES
    assert (left, objects) == ([], [])
