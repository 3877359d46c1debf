"""Reading here and there from many threads: right bytes, bounded memory, honest errors."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import (
    BackendError,
    IntegrityError,
    MissingBlobError,
    TransientBackendError,
)
from holdfast.format.node import Node, NodeType
from holdfast.ids import BlobId
from holdfast.operations.tree_walk import iter_tree
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository
from holdfast.repository.shared_reader import SharedReader
from support.faults import HookedBackend
from support.repos import (
    back_up,
    new_store,
    open_repository,
    random_files,
    read_tree_files,
    write_tree,
)

T = TypeVar("T")


class FailingReads(HookedBackend):
    """A storage of which no part of an object can be read while `fails`."""

    fails = False

    def perform(self, kind: str, name: str, action: Callable[[], T]) -> T:
        if self.fails and kind == "read_range":
            raise TransientBackendError(self.location, name, "by the test")
        return action()


SIZES = [3_000_000, 500_000, 200, 70_000, 0, 1_500_000]


@pytest.fixture
def store(tmp_path: Path) -> MemoryBackend:
    """A repository with one snapshot of a few files in several packs."""
    backend = new_store()
    write_tree(tmp_path / "source", random_files(1, SIZES))
    with open_repository(backend, tmp_path / "cache") as repository:
        back_up(repository, tmp_path / "source")
    return backend


@pytest.fixture
def repository(store: MemoryBackend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(store, tmp_path / "cache") as repository:
        repository.load_view()
        yield repository


def files_of(repository: Repository, reader: SharedReader) -> dict[bytes, Node]:
    (snapshot,) = repository.snapshots()
    found = iter_tree(reader, snapshot.root)
    return {os.path.basename(path): node for path, node in found if node.type == NodeType.FILE}


def all_ids(files: dict[bytes, Node]) -> list[BlobId]:
    return [blob_id for node in files.values() for blob_id in node.blob_ids]


def test_files_are_what_they_were(repository: Repository, tmp_path: Path) -> None:
    with SharedReader(repository) as reader:
        found = {
            name: b"".join(map(reader.read, node.blob_ids))
            for name, node in files_of(repository, reader).items()
        }
    source = read_tree_files(tmp_path / "source")
    assert found == {os.path.basename(path): data for path, data in source.items()}


@pytest.mark.parametrize("memory", [1, 4 << 20])
def test_threads_that_read_ahead_and_at_random(repository: Repository, memory: int) -> None:
    with SharedReader(repository, memory=memory) as reader:
        ids = all_ids(files_of(repository, reader))
        expected = {blob_id: reader.read(blob_id) for blob_id in ids}

    with SharedReader(repository, memory=memory) as reader, ThreadPoolExecutor(8) as pool:

        def work(seed: int) -> bool:
            order = random.Random(seed).sample(ids, len(ids))
            reader.read_ahead(order[: len(order) // 2])
            return all(reader.read(blob_id) == expected[blob_id] for blob_id in order)

        assert all(pool.map(work, range(16)))


def test_memory_is_bounded(repository: Repository) -> None:
    with SharedReader(repository, memory=1 << 20) as reader:
        ids = all_ids(files_of(repository, reader))
        reader.read_ahead(ids)
        for blob_id in ids:
            reader.read(blob_id)
        kept = sum(reader._blobs.get(blob_id) is not None for blob_id in ids)
        assert 0 < kept < len(ids)


def test_what_was_read_ahead_is_kept(repository: Repository) -> None:
    with SharedReader(repository) as reader:
        ids = all_ids(files_of(repository, reader))
        assert not any(map(reader._blobs.get, ids))
        reader.read_ahead(ids)
        reader.read_ahead(ids)  # nothing is asked for twice
        for blob_id in ids:
            reader.read(blob_id)
        assert None not in map(reader._blobs.get, ids)


def test_a_damaged_blob_costs_itself_only(
    store: MemoryBackend, repository: Repository, tmp_path: Path
) -> None:
    with SharedReader(repository) as reader:
        files = files_of(repository, reader)
    wanted = max(files.values(), key=lambda node: node.size)
    place = repository.index.require(wanted.blob_ids[0])
    pack = pack_name(repository.index.pack(place.pack).pack_id)
    data = bytearray(store.read(pack))
    data[2000] ^= 1
    store.delete(pack)
    store.create(pack, bytes(data))
    with SharedReader(repository) as reader:
        ids = all_ids(files)
        reader.read_ahead(ids)
        outcomes: dict[BlobId, int | IntegrityError] = {}
        for blob_id in ids:
            try:
                outcomes[blob_id] = len(reader.read(blob_id))
            except IntegrityError as error:
                outcomes[blob_id] = error
        bad = [one for one in outcomes.values() if isinstance(one, IntegrityError)]
        assert 0 < len(bad) < len(outcomes)
        with pytest.raises(IntegrityError):
            reader.read(next(key for key, one in outcomes.items() if one in bad))


def test_unknown_blobs_are_missing(repository: Repository) -> None:
    with SharedReader(repository) as reader:
        unknown = BlobId(bytes(32))
        reader.read_ahead([unknown])
        with pytest.raises(MissingBlobError):
            reader.read(unknown)
        with pytest.raises(MissingBlobError):
            reader.blob_lengths([unknown])


def test_a_storage_that_fails_is_tried_again(store: MemoryBackend, tmp_path: Path) -> None:
    faulty = FailingReads(store)
    with open_repository(faulty, tmp_path / "cache") as repository:
        repository.load_view()
        with SharedReader(repository) as reader:
            ids = all_ids(files_of(repository, reader))
            faulty.fails = True
            reader.read_ahead(ids)
            with pytest.raises(BackendError):
                reader.read(ids[0])
            faulty.fails = False
            assert reader.read(ids[0])


def test_closing_leaves_nobody_waiting(repository: Repository) -> None:
    reader = SharedReader(repository)
    ids = all_ids(files_of(repository, reader))
    reader.close()
    reader.close()
    reader.read_ahead(ids)
    assert reader.read(ids[0])
