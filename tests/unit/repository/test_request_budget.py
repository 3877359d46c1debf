"""How many requests a command makes to a store where each one costs time and money.

The bounds are promises (docs/benchmarks.md). They hold whatever the number of files is, so a
small tree shows them; a log of prune is there, since reading it costs requests too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.backends.meter import Meter, MeteredBackend
from holdfast.repository.repository import Repository
from support.pruning import forget, prune_all
from support.repos import back_up, init_store, open_repository, random_files, write_tree

FILES = 300
MOST_UNCHANGED = 10
MOST_SNAPSHOTS = 7
"""Three of them open the repository."""
MOST_FIRST_BESIDE_PACKS = 15
"""Whatever the size of a backup, it needs so many requests beside one for each pack."""


class RemoteStore(MemoryBackend):
    """A store in memory that says it is far away, so that the cache is made use of."""

    @property
    def is_remote(self) -> bool:
        return True


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "source", random_files(1, [10_000] * FILES, folders=20))


@pytest.fixture
def store() -> RemoteStore:
    backend = RemoteStore()
    init_store(backend)
    return backend


@pytest.fixture
def pruned(store: RemoteStore, source: Path, tmp_path: Path) -> RemoteStore:
    """Some nights of backups, a forgotten one, and a prune; the cache in `tmp_path` is warm."""
    for night in range(4):
        (source / "diary").write_bytes(b"%d" % night)
        with open_repository(store, tmp_path / "cache") as repository:
            back_up(repository, source)
    with open_repository(store, tmp_path / "cache") as repository:
        forget(repository, [repository.snapshots()[0].id])
        prune_all(repository)
    with open_repository(store, tmp_path / "cache") as repository:
        back_up(repository, source)
    return store


def count(store: RemoteStore, cache: Path, work: Callable[[Repository], object]) -> dict[str, int]:
    """Return kind -> number of the requests of opening a repository, some work, and closing it."""
    meter = Meter()
    with open_repository(MeteredBackend(store, meter), cache) as repository:
        work(repository)
    return {kind.value: one.requests for kind, one in meter.counts().items() if one.requests}


def packs(store: RemoteStore) -> int:
    return sum(1 for _ in store.list("packs/"))


def test_an_unchanged_backup(pruned: RemoteStore, source: Path, tmp_path: Path) -> None:
    before = packs(pruned)
    for _ in range(3):
        counts = count(pruned, tmp_path / "cache", lambda repository: back_up(repository, source))
        assert sum(counts.values()) <= MOST_UNCHANGED, counts
    assert packs(pruned) == before


def test_a_list_of_snapshots(pruned: RemoteStore, tmp_path: Path) -> None:
    counts = count(pruned, tmp_path / "cache", lambda repository: repository.snapshots())
    assert sum(counts.values()) <= MOST_SNAPSHOTS, counts


def test_a_first_backup_makes_one_request_for_each_pack_and_few_besides(
    store: RemoteStore, source: Path, tmp_path: Path
) -> None:
    counts = count(store, tmp_path / "cache", lambda repository: back_up(repository, source))
    assert sum(counts.values()) <= packs(store) + MOST_FIRST_BESIDE_PACKS, counts
    assert packs(store) >= 3
