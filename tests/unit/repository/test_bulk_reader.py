"""Bulk reads over a network: runs are read ahead, and no slice is asked for twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.errors import IntegrityError
from holdfast.format.pack import PACK_HEADER_LENGTH
from holdfast.ids import BlobId
from holdfast.repository import bulk_reader
from holdfast.repository.layout import pack_name
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from support.faults import RecordingBackend
from support.sessions import (
    SLICE_SIZE,
    create,
    flip,
    open_repository,
    packs_of,
    random_bytes,
    replace_object,
    store_blobs,
)

BLOBS = [random_bytes(SLICE_SIZE // 3 + seed, seed) for seed in range(100)]


class FarBackend(RecordingBackend):
    """As if behind a network; notes what is read and how much of it at once."""

    is_remote = True
    parallelism = 4

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.ranges: list[tuple[str, int, int]] = []
        self.meeting: threading.Barrier | None = None
        """Where the first four reads wait for each other."""
        self._count = threading.Lock()

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        with self._count:
            self.ranges.append((name, offset, length))
            is_early = len(self.ranges) <= 4
        if self.meeting is not None and is_early:
            self.meeting.wait(timeout=30)
        return super().read_range(name, offset, length)


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of three slices, so that a small repository has many."""
    monkeypatch.setattr(bulk_reader, "RUN_LENGTH", 3 * SLICE_SIZE)


@pytest.fixture
def backend() -> FarBackend:
    return FarBackend(create())


@pytest.fixture
def filled(backend: FarBackend, tmp_path: Path) -> Iterator[tuple[Repository, list[BlobId]]]:
    with open_repository(backend, tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        backend.ranges.clear()
        yield repository, ids


def fetched(repository: Repository, ids: list[BlobId]) -> dict[BlobId, bytes | IntegrityError]:
    with BlobReader(repository) as reader:
        return {
            blob_id: found if isinstance(found, IntegrityError) else bytes(found)
            for blob_id, found in reader.fetch(ids)
        }


def test_every_byte_is_read_once(
    backend: FarBackend, filled: tuple[Repository, list[BlobId]]
) -> None:
    repository, ids = filled
    assert fetched(repository, ids) == dict(zip(ids, BLOBS, strict=True))
    slices = sum(sum(pack.slice_sizes) for pack in packs_of(repository) if pack.ids[:32] in ids)
    assert sum(length for _, _, length in backend.ranges) == slices
    assert len(backend.ranges) > 8
    by_pack: dict[str, int] = {}
    for name, offset, length in sorted(backend.ranges):
        assert offset == by_pack.get(name, PACK_HEADER_LENGTH)
        by_pack[name] = offset + length


def test_runs_are_read_at_the_same_time(
    backend: FarBackend, filled: tuple[Repository, list[BlobId]]
) -> None:
    repository, ids = filled
    backend.meeting = threading.Barrier(4)  # broken after 30 s unless four requests are under way
    assert fetched(repository, ids) == dict(zip(ids, BLOBS, strict=True))
    assert not backend.meeting.broken


def test_few_blobs_are_few_bytes(
    backend: FarBackend, filled: tuple[Repository, list[BlobId]]
) -> None:
    repository, ids = filled
    assert fetched(repository, [ids[0], ids[50]]) == {ids[0]: BLOBS[0], ids[50]: BLOBS[50]}
    assert len(backend.ranges) == 2
    assert sum(length for _, _, length in backend.ranges) <= 4 * (SLICE_SIZE + 100)


def test_a_damaged_slice_costs_its_own_blobs_only(
    backend: FarBackend, filled: tuple[Repository, list[BlobId]]
) -> None:
    repository, ids = filled
    pack = next(pack for pack in packs_of(repository) if pack.ids[:32] == ids[0])
    starts = PACK_HEADER_LENGTH + sum(pack.slice_sizes[:2])
    name = pack_name(pack.pack_id)
    replace_object(backend, name, flip(backend.read(name), starts + 5))  # shared by two runs
    found = fetched(repository, ids)
    damaged = {blob_id for blob_id, blob in found.items() if isinstance(blob, IntegrityError)}
    assert 1 <= len(damaged) <= 5
    assert all(found[i] == blob for i, blob in zip(ids, BLOBS, strict=True) if i not in damaged)


def test_a_reader_may_stop_at_any_time(filled: tuple[Repository, list[BlobId]]) -> None:
    repository, ids = filled
    before = threading.active_count()
    with BlobReader(repository) as reader:
        for number, _ in enumerate(reader.fetch(ids)):
            if number == 5:
                break
    assert threading.active_count() == before
