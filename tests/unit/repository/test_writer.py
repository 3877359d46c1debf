"""A writing session: what it knows, what it commits, what a dead one leaves to the next."""

from __future__ import annotations

import errno
import os
from itertools import accumulate
from pathlib import Path

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.ids import BlobId
from holdfast.repository import writer as writer_module
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import Session
from holdfast.repository.writer import Writer
from support.sessions import (
    SLICE_SIZE,
    create,
    make_node,
    make_snapshot,
    names_in,
    open_repository,
    packs_of,
    random_bytes,
    store_blobs,
)


def interrupt_with(repository: Repository, blobs: list[bytes]) -> None:
    repository.load_view(for_writing=True)

    def session() -> None:
        with Writer(repository, level=1) as writer:
            for blob in blobs:
                writer.add_data(blob)
            writer.data.flush()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session()


def test_a_known_blob_is_not_stored_again(tmp_path: Path) -> None:
    blob = random_bytes(1000)
    with open_repository(create(), tmp_path) as repository:
        (blob_id,) = store_blobs(repository, [blob])
        with Writer(repository, level=1) as writer:
            assert writer.knows(blob_id)
            assert writer.add_data(blob) == blob_id
            other = writer.add_data(b"other")
            assert writer.add_data(b"other") == other
            assert writer.knows(other)
            assert (writer.blobs_added, writer.bytes_added) == (1, 5)


def test_data_and_pages_of_the_same_bytes_are_different_blobs(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            page = writer.add_page([])
            assert writer.add_data(b"\x90") != page
            writer.commit(make_snapshot(page), None)
        assert len({entry.kind for entry in packs_of(repository)}) == 2


def test_what_is_committed_is_known_at_once_and_after_opening_again(tmp_path: Path) -> None:
    backend = create()
    with open_repository(backend, tmp_path / "a") as repository:
        (blob_id,) = store_blobs(repository, [b"blob"])
        assert repository.index.contains(blob_id)
    for cache in ("a", "b"):
        with open_repository(backend, tmp_path / cache) as repository:
            assert repository.load_index().contains(blob_id)
            assert [found.host for found in repository.snapshots()] == ["testhost"]


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    backend = create()
    with open_repository(backend, tmp_path / "a") as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            blob_id = writer.add_data(b"blob")
            writer.flush()
            assert len(names_in(backend, "index/")) == 1
            with open_repository(backend, tmp_path / "b") as other:
                assert other.snapshots() == []
                assert not other.load_index().contains(blob_id)
            writer.close_journal()


def test_commits_of_a_host_form_a_chain(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            first = writer.commit(make_snapshot(writer.add_page([make_node(b"a")])), None)
            second = writer.commit(make_snapshot(writer.add_page([make_node(b"b")])), first)
        assert (first.commit.host_sequence, second.commit.host_sequence) == (1, 2)
        assert first.commit.previous_hash == bytes(32)
        assert second.commit.previous_hash == first.object_hash
        stored = repository.backend.read(f"snapshots/{first.id}")
        assert stored[-32:] == first.object_hash
        # If the first, a partial one, is deleted, the index it brought stays trusted.
        assert set(first.commit.index_ids) < set(second.commit.index_ids)


def test_many_blobs_make_several_index_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "INDEX_BLOBS", 20)
    backend = create()
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(64)]
    with open_repository(backend, tmp_path / "a") as repository:
        ids = store_blobs(repository, blobs)
        assert len(names_in(backend, "index/")) > 1
    with open_repository(backend, tmp_path / "b") as repository:
        index = repository.load_index()
        assert all(index.contains(blob_id) for blob_id in ids)


def test_dry_run_stores_nothing(tmp_path: Path) -> None:
    backend = create()
    before = names_in(backend, "")
    with open_repository(backend, tmp_path) as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1, dry_run=True) as writer:
            blob_id = writer.add_data(random_bytes(3 * SLICE_SIZE))
            writer.commit(make_snapshot(writer.add_page([])), None)
            assert writer.bytes_stored > 3 * SLICE_SIZE
        assert not repository.index.contains(blob_id)
    assert names_in(backend, "") == before
    assert not (tmp_path / repository.repository_id.hex() / "journal").exists()


def test_packs_of_a_dead_run_are_taken_over(tmp_path: Path) -> None:
    backend = create()
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(20)]
    with open_repository(backend, tmp_path) as repository:
        interrupt_with(repository, blobs)
    packs = names_in(backend, "packs/")
    assert len(packs) >= 2
    with open_repository(backend, tmp_path) as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            ids = [BlobId(writer.add_data(blob)) for blob in blobs]
            assert writer.blobs_added == 0
            writer.commit(make_snapshot(writer.add_page([make_node(b"f", b"".join(ids))])), None)
            writer.close_journal()
        assert set(packs) < set(names_in(backend, "packs/"))
        with BlobReader(repository) as reader:
            assert [reader.read(blob_id) for blob_id in ids] == blobs
        assert list(Path(repository.journal_directory).iterdir()) == []


def test_the_session_of_a_dead_run_goes_with_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody knew that it is dead, and prune would wait for it for a day."""
    backend = create()
    with open_repository(backend, tmp_path) as repository:
        with monkeypatch.context() as patch:
            patch.setattr(Session, "end", lambda _: None)  # SIGKILL lets nobody say goodbye
            interrupt_with(repository, [random_bytes(SLICE_SIZE, seed) for seed in range(20)])
        assert len(names_in(backend, "sessions/")) == 1
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            assert len(names_in(backend, "sessions/")) == 1, "its own, since it took packs over"
            writer.commit(make_snapshot(writer.add_page([make_node(b"f", b"")])), None)
        assert names_in(backend, "sessions/") == []


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_lost_packs_of_a_dead_run_are_not_taken_over(damage: str, tmp_path: Path) -> None:
    backend = create()
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(5)]
    with open_repository(backend, tmp_path) as repository:
        interrupt_with(repository, blobs)
    (pack,) = names_in(backend, "packs/")
    data = backend.read(pack)
    backend.delete(pack)
    if damage == "cut off":
        backend.create(pack, data[:-1])
    with open_repository(backend, tmp_path) as repository:
        ids = store_blobs(repository, blobs)
        with BlobReader(repository) as reader:
            assert [reader.read(blob_id) for blob_id in ids] == blobs


def test_a_run_that_dies_again_hands_on_what_it_took_over(tmp_path: Path) -> None:
    backend = create()
    with open_repository(backend, tmp_path) as repository:
        interrupt_with(repository, [random_bytes(100, 1)])
        interrupt_with(repository, [random_bytes(100, 2)])
        repository.load_view(for_writing=True)
        with Writer(repository, level=1) as writer:
            writer.add_data(random_bytes(100, 1))
            writer.add_data(random_bytes(100, 2))
            assert writer.blobs_added == 0


def test_a_full_disk_under_the_journal_costs_no_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that is durable but cannot be noted must still be in the index of this run."""

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    backend = MemoryBackend()
    create(backend)
    blobs = [random_bytes(SLICE_SIZE, seed) for seed in range(40)]
    with open_repository(backend, tmp_path) as repository:
        monkeypatch.setattr(os, "write", full)
        ids = store_blobs(repository, blobs)
        monkeypatch.undo()
        with BlobReader(repository) as reader:
            assert [reader.read(blob_id) for blob_id in ids] == blobs


def test_chunks_of_a_buffer_are_stored_like_single_ones(tmp_path: Path) -> None:
    blobs = [random_bytes(length, length) for length in (1, 700, 3000, 700, 5000)]
    buffer = memoryview(bytearray(b"".join(blobs) + b"not decided yet"))
    ends = list(accumulate(map(len, blobs)))
    with open_repository(create(), tmp_path / "cache") as repository:
        repository.load_view(for_writing=True)
        with Writer(repository, level=3) as writer:
            ids = writer.add_chunks(buffer, ends)
            assert ids == [writer.add_data(blob) for blob in blobs]
            assert (writer.blobs_added, writer.bytes_added) == (4, 1 + 700 + 3000 + 5000)
            assert writer.add_chunks(buffer, []) == []
