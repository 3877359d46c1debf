"""Measuring the index: it holds what was asked for, and rates are those of real work."""

from __future__ import annotations

from pathlib import Path

from holdfast.benchmark.speed_index import measure_index
from holdfast.benchmark.speed_timing import Stopwatch
from holdfast.clock import SystemClock
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.cache import Cache


def test_an_index_of_that_many_blobs_is_built_and_measured(tmp_path: Path) -> None:
    blobs = 60_500  # more than one index object, and a pack that is not full
    watch = Stopwatch(SystemClock(), scale=0.0)
    found = {one.name: one.single for one in measure_index(str(tmp_path), blobs, watch)}
    assert list(found) == ["build", "enter", "look-up-known", "look-up-new"]
    assert all(rate.median > 0 for rate in found.values())
    cache = Cache(str(tmp_path / "index"))
    entered = 10_000 * found["enter"].runs
    try:
        with cache.reading() as transaction:
            ids = transaction.stat(db=cache.database(b"blobs"))["entries"]
        assert ids >= blobs + entered
        assert not BlobIndex(cache).contains(bytes(32))
    finally:
        cache.close()


def test_known_blobs_are_found_and_absent_ones_are_not(tmp_path: Path) -> None:
    asked: dict[bool, int] = {True: 0, False: 0}
    real = BlobIndex.contains

    def contains(self: BlobIndex, blob_id: bytes) -> bool:
        found = real(self, blob_id)
        asked[found] += 1
        return found

    BlobIndex.contains = contains  # type: ignore[method-assign]
    try:
        measure_index(str(tmp_path), 5000, Stopwatch(SystemClock(), scale=0.0))
    finally:
        BlobIndex.contains = real  # type: ignore[method-assign]
    assert min(asked.values()) >= 3 * 2000 - 2000, "each run asks for 2,000 but for the last known"
