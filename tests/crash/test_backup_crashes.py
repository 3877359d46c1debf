"""The process dies, or the power fails, at every change of the storage: nothing is lost.

After each such moment the repository opens, a check of every byte finds nothing wrong, every
snapshot that is listed reads back exactly, those acknowledged before are among them, and the
next backup succeeds. That holds with the dead process's own cache (its mark still there), with
none, and with one that knows more than the storage does.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import OutOfSpaceError, RepositoryNotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.operations import backup_session, backup_tree
from holdfast.operations.snapshots import tag_snapshots
from holdfast.repository import layout
from support.faults import (
    CrashingBackend,
    HookedBackend,
    RecordingBackend,
    SimulatedCrash,
    power_losses,
)
from support.repos import (
    PACK_SIZE,
    SLICE_SIZE,
    Tree,
    back_up,
    check_all,
    contents,
    copy_store,
    init_store,
    leave_mark_of_dead_process,
    new_store,
    open_repository,
    random_files,
    read_all,
    write_tree,
)

OLD_TREE = {
    **random_files(1, [100_000] * 4 + [300_000, 900_000]),
    **random_files(2, range(0, 4000, 200)),
}
NEW_TREE = {
    **{path: data for path, data in OLD_TREE.items() if not path.endswith(b"5")},
    **random_files(3, [250_000] * 3 + [20] * 10),
}
"""Of the old tree some files are gone, and others came."""
PAGES_ABOVE = 8192
"""The directories above the source, which other processes may change at any time, take less."""

Result = TypeVar("Result")


@dataclass
class Case:
    """What is at stake in one scenario."""

    source: Path
    store: MemoryBackend
    """Before the fatal run."""
    cache: Path
    """Of the host, before the fatal run."""
    acknowledged: dict[str, Tree]
    """Snapshots that were reported as made."""


Run = Callable[[Backend, Path], None]
"""What dies: with this storage and this cache directory."""


@pytest.fixture
def fresh(ram_path: Path) -> Case:
    """An empty repository and a source."""
    source = write_tree(ram_path / "source", OLD_TREE)
    return Case(source, new_store(), ram_path / "cache", {})


@pytest.fixture
def filled(fresh: Case) -> Case:
    """A repository with one snapshot, whose source has changed since."""
    with open_repository(fresh.store, fresh.cache) as repository:
        made = back_up(repository, fresh.source)
    assert made.snapshot is not None
    fresh.acknowledged[made.snapshot] = OLD_TREE
    write_tree(fresh.source, NEW_TREE)
    return fresh


def backup_of(case: Case) -> Run:
    def run(backend: Backend, cache: Path) -> None:
        with open_repository(backend, cache) as repository:
            back_up(repository, case.source)

    return run


# -- crash points -------------------------------------------------------------------------------


def crashes(case: Case, run: Run, work: Path) -> Iterator[tuple[MemoryBackend, Path]]:
    """Yield storage and cache as each crash leaves them; the last run is one that survives.

    A write into an object that is not committed is invisible, so whether the last one happened
    makes no difference.
    """
    chance = random.Random(0)
    number = 0
    while True:
        for last_happened in (False, True):
            store = copy_store(case.store)
            cache = work / f"crash-{number}-{last_happened}"
            if case.cache.exists():
                shutil.copytree(case.cache, cache)
            backend = CrashingBackend(store, number, last_happened=last_happened)
            try:
                run(backend, cache)
            except SimulatedCrash as crash:
                if chance.random() < 0.8:  # else it got as far as to close its cache
                    leave_mark_of_dead_process(cache)
                yield store, cache
                if str(crash).startswith("write "):
                    break
            else:
                assert not backend.is_dead(), "a run that reports success has survived"
                yield store, cache
                return
        number += 1


def examine(case: Case, store: MemoryBackend, cache: Path, *trees: Tree) -> list[Snapshot]:
    """Assert that nothing acknowledged is lost and nothing wrong is there; then back up again.

    Returns:
        The snapshots that were there.
    """
    listed = assert_sound(case, store, cache, *trees)
    with open_repository(store, cache) as repository:
        made = back_up(repository, case.source)
        assert made.snapshot is not None
        assert made.findings == ()
        assert check_all(repository).ok
        found = {snapshot.id: content for snapshot, content in read_all(repository)}
    assert found[made.snapshot].below(case.source) == trees[-1]
    assert set(found) == {made.snapshot} | {snapshot.id for snapshot in listed}
    return listed


def assert_sound(case: Case, store: MemoryBackend, cache: Path, *trees: Tree) -> list[Snapshot]:
    """Assert that every snapshot can be read, and that none is missing."""
    listed = []
    with open_repository(store, cache) as repository:
        result = check_all(repository)
        assert result.ok, (result.damage, result.files)
        for snapshot, content in read_all(repository):
            listed.append(snapshot)
            assert content.damaged == {}
            tree = content.below(case.source)
            if snapshot.partial:
                assert tree.items() <= trees[-1].items()
            else:
                expected = case.acknowledged.get(snapshot.original or snapshot.id)
                assert tree in ([expected] if expected is not None else trees)
        assert repository.problems == []
    survivors = {snapshot.original or snapshot.id for snapshot in listed}
    assert set(case.acknowledged) <= survivors
    return listed


def explore(case: Case, run: Run, work: Path, *trees: Tree) -> list[list[Snapshot]]:
    """Examine every crash, with the dead process's cache and with none."""
    outcomes = []
    seen: set[str] = set()
    for store, cache in crashes(case, run, work):
        visible = set(contents(store))
        if visible != seen:  # writes into objects that are not committed change nothing
            assert_sound(case, copy_store(store), cache / "none", *trees)
        seen = visible
        outcomes.append(examine(case, store, cache, *trees))
        shutil.rmtree(cache)
    assert len(outcomes) > 2
    return outcomes


def explore_power_losses(case: Case, run: Run, work: Path, *trees: Tree) -> int:
    """Examine every power cut, with no cache and with one from a future that did not happen."""
    recording = RecordingBackend(copy_store(case.store))
    cache = work / "future"
    if case.cache.exists():
        shutil.copytree(case.cache, cache)
    run(recording, cache)
    explored = 0
    for store in power_losses(recording):
        explored += 1
        ahead = work / "ahead"
        shutil.copytree(cache, ahead)
        assert_sound(case, store, work / "none", *trees)
        examine(case, store, ahead, *trees)
        shutil.rmtree(ahead)
        shutil.rmtree(work / "none")
    assert explored > len(recording.mutations) > 0
    return explored


Record = Callable[[str, object], None]


def test_first_backup_dies(fresh: Case, ram_path: Path, record_property: Record) -> None:
    outcomes = explore(fresh, backup_of(fresh), ram_path, OLD_TREE)
    record_property("crash_points", len(outcomes))
    assert len(outcomes) > 30
    assert [len(listed) for listed in outcomes] == sorted(len(listed) for listed in outcomes)
    assert len(outcomes[0]) == 0
    assert len(outcomes[-1]) == 1


def test_second_backup_dies(filled: Case, ram_path: Path, record_property: Record) -> None:
    outcomes = explore(filled, backup_of(filled), ram_path, OLD_TREE, NEW_TREE)
    record_property("crash_points", len(outcomes))
    assert {len(listed) for listed in outcomes} == {1, 2}


def test_power_fails_in_a_backup(filled: Case, ram_path: Path, record_property: Record) -> None:
    explored = explore_power_losses(filled, backup_of(filled), ram_path, OLD_TREE, NEW_TREE)
    record_property("power_losses", explored)


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups commit a partial snapshot every few files."""
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 6)
    monkeypatch.setattr(backup_tree, "_TICK", 4)


@pytest.mark.usefixtures("checkpoints")
def test_backup_with_partial_snapshots_dies(
    filled: Case, ram_path: Path, record_property: Record
) -> None:
    outcomes = explore(filled, backup_of(filled), ram_path, OLD_TREE, NEW_TREE)
    record_property("crash_points", len(outcomes))
    partial = [sum(snapshot.partial for snapshot in listed) for listed in outcomes]
    assert partial[0] == partial[-1] == 0
    # One partial snapshot replaces the other, and for a moment there are both.
    assert set(partial) == {0, 1, 2}


@pytest.mark.usefixtures("checkpoints")
def test_power_fails_in_a_backup_with_partial_snapshots(
    fresh: Case, ram_path: Path, record_property: Record
) -> None:
    explored = explore_power_losses(fresh, backup_of(fresh), ram_path, OLD_TREE)
    record_property("power_losses", explored)


def test_tag_dies(filled: Case, ram_path: Path, record_property: Record) -> None:
    (acknowledged,) = filled.acknowledged

    def run(backend: Backend, cache: Path) -> None:
        with open_repository(backend, cache) as repository:
            tag_snapshots(repository, repository.snapshots(), add=["kept"])

    outcomes = explore(filled, run, ram_path, OLD_TREE, NEW_TREE)
    record_property("crash_points", len(outcomes))
    seen = [{(snapshot.id == acknowledged, snapshot.tags) for snapshot in o} for o in outcomes]
    old, new = (True, ()), (False, ("kept",))
    assert seen[0] == {old}
    assert {old, new} in seen
    assert seen[-1] == {new}
    explored = explore_power_losses(filled, run, ram_path, OLD_TREE, NEW_TREE)
    record_property("power_losses", explored)


# -- init ---------------------------------------------------------------------------------------


def test_init_dies(ram_path: Path, record_property: Record) -> None:
    """Before the config is there, there is no repository; afterwards it is whole."""
    explored = 0
    opened = []
    for number in itertools.count():
        for last_happened in (False, True):
            store = MemoryBackend()
            crashed = False
            try:
                init_store(CrashingBackend(store, number, last_happened=last_happened))
            except SimulatedCrash:
                crashed = True
            explored += 1
            cache = ram_path / f"{number}-{last_happened}"
            try:
                with open_repository(store, cache) as repository:
                    assert check_all(repository).ok
                    opened.append(number)
            except RepositoryNotFoundError:
                assert crashed, "what was acknowledged is there"
                assert not any(info.name == "config" for info in store.list(""))
        if not crashed:
            break
    record_property("crash_points", explored)
    assert opened
    assert explored > len(opened)


# -- what the dead run has stored ---------------------------------------------------------------


def test_nothing_is_stored_again_if_only_the_commit_is_missing(fresh: Case, ram_path: Path) -> None:
    with open_repository(copy_store(fresh.store), ram_path / "whole") as repository:
        whole = back_up(repository, fresh.source).stats
    store, cache = dies_at_commit(fresh, ram_path)
    assert len(list(store.list(layout.PACKS))) > 2
    with open_repository(store, cache) as repository:
        again = back_up(repository, fresh.source).stats
    assert whole.bytes_added > PACK_SIZE
    assert again.bytes_read == whole.bytes_read, "without a snapshot there is no parent"
    assert again.bytes_added < PAGES_ABOVE


def dies_at_commit(case: Case, work: Path) -> tuple[MemoryBackend, Path]:
    """Return what a first backup leaves whose snapshot object is never created."""
    for store, cache in crashes(case, backup_of(case), work):
        if any(store.list(layout.INDEX)):
            assert not list(store.list(layout.SNAPSHOTS))
            return store, cache
    raise AssertionError


def test_packs_of_the_dead_run_are_used_wherever_it_died(
    fresh: Case, ram_path: Path, record_property: Record
) -> None:
    """All but the packs whose end was not yet noted, at most three, need not be stored again."""
    with open_repository(copy_store(fresh.store), ram_path / "whole") as repository:
        whole = back_up(repository, fresh.source).stats
    spared = []
    for store, cache in crashes(fresh, backup_of(fresh), ram_path):
        durable = sum(info.size for info in store.list(layout.PACKS))
        if not durable or list(store.list(layout.SNAPSHOTS)):
            continue
        with open_repository(store, cache) as repository:
            stored = back_up(repository, fresh.source).stats.bytes_stored
        spared.append(whole.bytes_stored - stored)
        assert stored <= whole.bytes_stored - durable + 4 * PACK_SIZE
    record_property("crash_points", len(spared))
    assert spared[-1] > whole.bytes_stored - PAGES_ABOVE


class FullBackend(HookedBackend):
    """Takes so many bytes of packs and no more."""

    def __init__(self, inner: Backend, room: int) -> None:
        super().__init__(inner)
        self._room = room

    def perform(self, kind: str, name: str, action: Callable[[], Result]) -> Result:
        if kind == "write":
            self._room -= SLICE_SIZE
            if self._room < 0:
                raise OutOfSpaceError(self.location, name, "no space left on device")
        return action()


def test_after_an_error_nothing_durable_is_stored_again(fresh: Case, ram_path: Path) -> None:
    with open_repository(copy_store(fresh.store), ram_path / "whole") as repository:
        whole = back_up(repository, fresh.source).stats
    spared = []
    for room in range(0, whole.bytes_stored, 2 * SLICE_SIZE):
        store, cache = copy_store(fresh.store), ram_path / f"{room}"
        with (
            pytest.raises(OutOfSpaceError),
            open_repository(FullBackend(store, room), cache) as repository,
        ):
            back_up(repository, fresh.source)
        durable = sum(info.size for info in store.list(layout.PACKS))
        with open_repository(store, cache) as repository:
            stored = back_up(repository, fresh.source).stats.bytes_stored
        spared.append(durable)
        # Packs end elsewhere in the second run, and each has a directory and padding.
        assert stored + durable < whole.bytes_stored * 1.04 + PAGES_ABOVE
    assert max(spared) > PACK_SIZE // 2


def test_a_torn_journal_is_used_up_to_its_tear(fresh: Case, ram_path: Path) -> None:
    store, cache = dies_at_commit(fresh, ram_path)
    (journal,) = cache.glob("*/journal/*")
    data = journal.read_bytes()
    added = []
    for number, length in enumerate((0, 3, len(data) // 2, len(data) - 1, len(data))):
        other = ram_path / f"torn-{number}"
        shutil.copytree(cache, other)
        (torn,) = other.glob("*/journal/*")
        torn.write_bytes(data[:length] + b"\xff" * (number % 2))
        left = copy_store(store)
        with open_repository(left, other) as repository:
            added.append(back_up(repository, fresh.source).stats.bytes_added)
        assert_sound(fresh, left, other, OLD_TREE)
    assert added == sorted(added, reverse=True)
    assert added[0] > PACK_SIZE
    assert added[-1] < PAGES_ABOVE


def test_a_journal_is_worth_nothing_without_its_packs(fresh: Case, ram_path: Path) -> None:
    """Packs that are lost, or not as long as noted, are stored again."""
    store, cache = dies_at_commit(fresh, ram_path)
    lost, short, *_ = [info.name for info in store.list(layout.PACKS)]
    store.delete(lost)
    data = store.read(short)
    store.delete(short)
    store.create(short, data[:-1])
    examine(fresh, store, cache, OLD_TREE)
