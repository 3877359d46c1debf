"""Pack streams through a writer and back: every blob returns, wherever slices and packs end."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.base import ObjectWriter
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import IntegrityError, OutOfSpaceError
from holdfast.format.pack import PACK_END_LENGTH, PACK_HEADER_LENGTH, BlobKind
from holdfast.hashing import Bytes
from holdfast.ids import BlobId
from holdfast.repository import pack_stream
from holdfast.repository.pack_stream import TAIL_ROOM
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from support.faults import CrashingBackend, SimulatedCrash
from support.sessions import (
    PACK_SIZE,
    SLICE_SIZE,
    create,
    names_in,
    open_repository,
    packs_of,
    random_bytes,
    store_blobs,
)


def read_back(repository: Repository, ids: list[BlobId]) -> list[bytes]:
    with BlobReader(repository) as reader:
        found = {}
        for blob_id, blob in reader.fetch(ids):
            assert not isinstance(blob, IntegrityError), blob
            found[blob_id] = bytes(blob)
        assert [reader.read(blob_id) for blob_id in ids[:50]] == [found[b] for b in ids[:50]]
    return [found[blob_id] for blob_id in ids]


def check_shape(repository: Repository) -> None:
    """What every pack promises: whole slices but the last, sizes that add up, a bounded size."""
    for entry in packs_of(repository):
        plain, size = sum(entry.lengths), entry.slice_size
        # A pack that is closed on a slice border ends with an empty slice.
        assert (len(entry.slice_sizes) - 1) * size <= plain <= len(entry.slice_sizes) * size
        data = repository.backend.read(f"packs/{entry.pack_id[:2]}/{entry.pack_id}")
        assert len(data) == entry.stored_size
        assert PACK_HEADER_LENGTH + sum(entry.slice_sizes) + PACK_END_LENGTH < len(data)
        if max(entry.lengths) <= size:
            # The size is a target: a blob that begins in a full pack ends there too.
            assert len(data) <= repository.config.pack_size * 1.04 + size


LENGTHS = {
    "many small": [100 + n % 50 for n in range(5000)],
    "exactly slices": [SLICE_SIZE] * 40,
    "halves": [SLICE_SIZE // 2] * 70,
    "crossing": [SLICE_SIZE - 1] * 40,
    "just over": [SLICE_SIZE + 1] * 40,
    "several slices each": [3 * SLICE_SIZE + 17] * 12,
    "one of a byte": [1],
    "one of a slice": [SLICE_SIZE],
    "longer than a pack": [PACK_SIZE + 5, 10, 2 * PACK_SIZE],
    "mixed": [1, SLICE_SIZE - 1, SLICE_SIZE, 1, 2 * SLICE_SIZE, SLICE_SIZE - 2, 2, 5] * 6,
}


@pytest.mark.parametrize("case", LENGTHS)
def test_every_blob_comes_back(case: str, tmp_path: Path) -> None:
    blobs = [random_bytes(length, seed) for seed, length in enumerate(LENGTHS[case])]
    distinct = list(dict.fromkeys(blobs))
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, distinct)
        assert read_back(repository, ids) == distinct
        check_shape(repository)
        data_packs = [entry for entry in packs_of(repository) if entry.kind == BlobKind.DATA]
        assert sum(sum(entry.lengths) for entry in data_packs) == sum(map(len, distinct))


@pytest.mark.parametrize("slack", range(-3, 4))
def test_packs_that_close_around_a_slice_border(slack: int, tmp_path: Path) -> None:
    """The last blob of a full pack ends before, on or behind a slice border."""
    blobs = []
    for seed in range(34):
        blobs += [random_bytes(SLICE_SIZE + slack, seed), random_bytes(7, 1000 + seed)]
        blobs.append(random_bytes(SLICE_SIZE - slack - 7, 2000 + seed))
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, blobs)
        assert read_back(repository, ids) == blobs
        check_shape(repository)
        assert len(packs_of(repository)) >= 5


def test_well_compressed_packs_are_filled(tmp_path: Path) -> None:
    blobs = [bytes([n]) * 3 + bytes(SLICE_SIZE - 3) for n in range(250)]
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, blobs)
        assert read_back(repository, ids) == blobs
        assert sum(entry.kind == BlobKind.DATA for entry in packs_of(repository)) == 1


def test_pages_longer_than_the_tail_room(tmp_path: Path) -> None:
    """The node of a file of many gigabytes has megabytes of blob ids."""
    blob = random_bytes(TAIL_ROOM + 3 * SLICE_SIZE + 11)
    small = [random_bytes(50, seed) for seed in range(5)]
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, [*small[:2], blob, *small[2:]])
        assert read_back(repository, ids) == [*small[:2], blob, *small[2:]]
        check_shape(repository)


def store_and_raise(repository: Repository, error: BaseException) -> None:
    with Writer(repository, level=1) as writer:
        writer.add_data(random_bytes(10 * SLICE_SIZE))
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_abandoned_stream_leaves_no_open_pack(error: type[BaseException], tmp_path: Path) -> None:
    """An interrupt comes anywhere: what was being put together is not to be trusted."""
    backend = create()
    with open_repository(backend, tmp_path) as repository:
        repository.load_view(for_writing=True)
        with pytest.raises(error):
            store_and_raise(repository, error())
    assert names_in(backend, "packs/") == []
    assert names_in(backend, "index/") == []


class _FullBackend(MemoryBackend):
    """Takes no pack's bytes beyond a limit."""

    room = 1 << 62

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:  # type: ignore[override]
        return _FullWriter(self, super().open_writer(name))


class _FullWriter:
    def __init__(self, backend: _FullBackend, inner: ObjectWriter) -> None:
        self._backend = backend
        self._inner = inner

    def write(self, data: Bytes) -> None:
        self._backend.room -= len(data)
        if self._backend.room < 0:
            raise OutOfSpaceError("memory", "packs", "full")
        self._inner.write(data)

    def commit(self) -> None:
        self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()


@pytest.mark.parametrize("room", [0, 100, 300_000, 1_000_000, 1_500_000, 2_900_000])
def test_full_storage_ends_the_session_with_its_error(room: int, tmp_path: Path) -> None:
    backend = _FullBackend()
    create(backend)
    backend.room = room
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(50)]
    with open_repository(backend, tmp_path) as repository, pytest.raises(OutOfSpaceError):
        store_blobs(repository, blobs)
    assert names_in(backend, "snapshots/") == []
    backend.room = 1 << 62
    with open_repository(backend, tmp_path) as repository:
        assert read_back(repository, store_blobs(repository, blobs)) == blobs


def test_failure_while_a_pack_is_made_durable_is_not_lost(tmp_path: Path) -> None:
    rehearsal = create()
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(40)]
    counting = CrashingBackend(rehearsal, None)
    with open_repository(counting, tmp_path / "rehearsal") as repository:
        store_blobs(repository, blobs)
    backend = create()
    crashing = CrashingBackend(backend, counting.count - 3)
    repository = open_repository(crashing, tmp_path / "real")
    with pytest.raises(SimulatedCrash):
        store_blobs(repository, blobs)
    repository.close()
    assert names_in(backend, "snapshots/") == []


def test_a_pack_ends_before_its_offsets_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_stream, "_MOST_PLAIN", 1 << 20)
    repository = open_repository(create(), tmp_path / "cache")
    # Zeros with a counter: distinct blobs that pack to next to nothing.
    blobs = [number.to_bytes(8, "big") + bytes(32_000) for number in range(200)]
    ids = store_blobs(repository, blobs)
    data = [entry for entry in packs_of(repository) if entry.kind == BlobKind.DATA]
    plain = [sum(entry.lengths) for entry in data]
    assert sum(plain) == sum(map(len, blobs))
    assert max(plain) <= (1 << 20) + 2 * SLICE_SIZE
    with BlobReader(repository) as reader:
        assert [reader.read(blob_id) for blob_id in ids] == blobs
