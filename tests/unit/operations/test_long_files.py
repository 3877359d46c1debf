"""Files whose lists of blobs need id pages: backed up, read, checked and recognised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.chunking import CUTTINGS, Profile
from holdfast.format.node import Node
from holdfast.operations.check import CheckOptions, check
from holdfast.operations.read_file import iter_file
from holdfast.operations.tree_walk import find_node
from holdfast.policy.subset import ALL_DATA
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from support.sessions import backup, create, open_repository, random_bytes, snapshot_of

LENGTH = 8 << 20
"""About 2000 chunks of a dump."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_repository(create(), tmp_path / "cache")


def saved_node(repository: Repository, reader: BlobReader, path: Path) -> Node:
    snapshot = repository.snapshots()[-1]
    return find_node(reader, snapshot.root, os.fsencode(path), snapshot=snapshot.id)


def test_a_long_dump_comes_back(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(random_bytes(LENGTH))
    backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    with BlobReader(repository) as reader:
        node = saved_node(repository, reader, path)
        assert node.depth == 1
        assert b"".join(iter_file(reader, node)) == path.read_bytes()
    assert check(repository, CheckOptions(read_data=ALL_DATA)).ok


def test_an_unchanged_long_file_is_not_read_again(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(random_bytes(LENGTH))
    backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    again = backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    assert (again.stats.files_unmodified, again.stats.bytes_read) == (1, 0)


def test_one_change_stores_few_bytes(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    data = bytearray(random_bytes(LENGTH))
    path.write_bytes(data)
    backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    data[LENGTH // 2 : LENGTH // 2 + 10] = b"0123456789"
    path.write_bytes(data)
    again = backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    # One or two chunks, an id page of some 320 ids, and the pages of the directories.
    assert again.stats.bytes_added < 128 << 10
    with BlobReader(repository) as reader:
        assert b"".join(iter_file(reader, saved_node(repository, reader, path))) == bytes(data)


def test_check_names_the_file_whose_id_page_is_lost(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(random_bytes(LENGTH))
    other = tmp_path / "other"
    other.write_bytes(b"sound")
    first = backup(repository, other)
    result = backup(repository, path, cutting=CUTTINGS[Profile.DUMP])
    with BlobReader(repository) as reader:
        page = saved_node(repository, reader, path).blob_ids[0]
        location = repository.index.require(page)
        lost = reader.open_pack(location.pack).name
    repository.backend.delete(lost)
    found = check(repository)
    assert not found.ok
    assert {file.snapshot for file in found.files} == {snapshot_of(repository, result).id}
    assert first.snapshot not in {file.snapshot for file in found.files}


def test_holes_are_read_as_zeros(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(5 << 20)
        file.seek(1 << 20)
        file.write(b"data" * 1000)
        file.seek(3 << 20)
        file.write(b"more" * 1000)
    backup(repository, path)
    with BlobReader(repository) as reader:
        node = saved_node(repository, reader, path)
        assert b"".join(iter_file(reader, node)) == path.read_bytes()
