"""Figures of a repository: what they count, and what their ratios say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import IntegrityError
from holdfast.format.pack import BlobKind
from holdfast.operations.stats import RepositoryStats, repository_stats
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository
from support.sessions import (
    backup,
    create,
    names_in,
    open_repository,
    packs_of,
    random_bytes,
    snapshot_of,
)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(create(), tmp_path / "cache") as opened:
        yield opened


def write(directory: Path, seeds: range) -> Path:
    directory.mkdir(exist_ok=True)
    for seed in seeds:
        (directory / f"f{seed}").write_bytes(random_bytes(100_000, seed))
    return directory


def test_an_empty_repository(repository: Repository) -> None:
    stats = repository_stats(repository)
    assert stats == RepositoryStats(
        snapshots=0, logical_bytes=0, unique_bytes=0, stored_bytes=0, packs=0, blobs=0
    )
    assert (stats.dedupe_ratio, stats.compression_ratio, stats.total_ratio) == (1.0, 1.0, 1.0)


def test_two_snapshots_of_one_tree(repository: Repository, tmp_path: Path) -> None:
    source = write(tmp_path / "source", range(10))
    backup(repository, source)
    backup(repository, source)
    stats = repository_stats(repository)
    assert (stats.snapshots, stats.logical_bytes) == (2, 2_000_000)
    assert stats.unique_bytes == sum(sum(entry.lengths) for entry in packs_of(repository))
    assert stats.stored_bytes == sum(info.size for info in repository.backend.list("packs/"))
    assert stats.packs == len(names_in(repository.backend, "packs/"))
    assert 1.9 < stats.dedupe_ratio < 2
    assert stats.total_ratio == pytest.approx(stats.dedupe_ratio * stats.compression_ratio)


def test_what_some_snapshots_use(repository: Repository, tmp_path: Path) -> None:
    one = backup(repository, write(tmp_path / "one", range(5)))
    two = backup(repository, write(tmp_path / "two", range(3, 9)))
    everything = repository_stats(repository)
    first = repository_stats(repository, [snapshot_of(repository, one)])
    second = repository_stats(repository, [snapshot_of(repository, two)])
    both = repository_stats(repository, repository.snapshots())
    assert (first.snapshots, first.logical_bytes) == (1, 500_000)
    assert 500_000 < first.unique_bytes < 520_000
    assert 600_000 < second.unique_bytes < 620_000
    shared = first.unique_bytes + second.unique_bytes - both.unique_bytes
    assert shared == 200_000
    assert (both.unique_bytes, both.blobs) == (everything.unique_bytes, everything.blobs)
    assert max(first.blobs, second.blobs) < both.blobs < first.blobs + second.blobs
    assert repository_stats(repository, []).blobs == 0


def test_compressible_data(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(b"line of text\n" * 100_000)
    backup(repository, tmp_path / "zeros")
    assert repository_stats(repository).compression_ratio > 10


def test_a_tree_that_cannot_be_read(repository: Repository, tmp_path: Path) -> None:
    backup(repository, write(tmp_path / "source", range(2)))
    for entry in packs_of(repository):
        if entry.kind == BlobKind.TREE:
            repository.backend.delete(pack_name(entry.pack_id))
    with pytest.raises(IntegrityError):
        repository_stats(repository, repository.snapshots())
