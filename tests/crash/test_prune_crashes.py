"""Prune dies, or the power fails, at every change of the storage: the next one goes on anywhere.

After each such moment every snapshot that was not forgotten reads back exactly, with the dead
process's cache and with none, a backup succeeds, and the next prune, on another host, leaves a
store without anything that does not count.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.operations.backup_session import BackupSession
from holdfast.operations.forget import forget_snapshots
from holdfast.operations.prune import Outcome
from holdfast.operations.snapshots import tag_snapshots
from holdfast.repository import settling
from support.faults import CrashingBackend, RecordingBackend, SimulatedCrash, power_losses
from support.pruning import assert_holds, assert_tidy, forget, pass_leases, prune_all
from support.repos import (
    Tree,
    back_up,
    copy_store,
    leave_mark_of_dead_process,
    new_store,
    open_repository,
    random_files,
    write_tree,
)

COMMON = random_files(1, [50_000] * 6)
TREES: list[Tree] = [{**COMMON, **random_files(10 + n, [90_000] * 4)} for n in range(4)]


@dataclass
class Case:
    """A repository with two live snapshots, two forgotten ones and packs that belong to nobody."""

    source: Path
    store: MemoryBackend
    cache: Path
    truth: dict[str, Tree]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead pruners are not waited for."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.0)


@pytest.fixture
def case(ram_path: Path) -> Case:
    store, source, cache = new_store(), ram_path / "source", ram_path / "cache"
    truth: dict[str, Tree] = {}
    for tree in TREES:
        write_tree(source, tree)
        with open_repository(store, cache) as repository:
            made = back_up(repository, source)
        assert made.snapshot is not None
        truth[made.snapshot] = tree
    with open_repository(store, cache) as repository:
        gone = list(truth)[:2]
        forget(repository, gone)
    for one in gone:
        del truth[one]
    leave_orphans(store, source, ram_path / "orphans")
    write_tree(source, TREES[3])
    return Case(source, store, cache, truth)


def leave_orphans(store: MemoryBackend, source: Path, cache: Path) -> None:
    """A backup stores its packs and index objects and dies before its commit."""
    write_tree(source, random_files(77, [100_000] * 3))
    dying = BackupSession.finish

    def die(self: BackupSession, root: bytes) -> None:
        self.writer.flush()
        raise SimulatedCrash

    BackupSession.finish = die  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(SimulatedCrash), open_repository(store, cache) as repository:
            back_up(repository, source)
    finally:
        BackupSession.finish = dying  # type: ignore[method-assign]


def examine(case: Case, store: MemoryBackend, cache: Path, other: Path) -> None:
    """Assert that nothing is lost, that work goes on, and that the next prune ends the matter."""
    assert_holds(store, cache, case.truth, case.source)
    assert_holds(store, other / "none", case.truth, case.source)
    pass_leases(store)
    with open_repository(store, other / "host") as repository:
        made = back_up(repository, case.source, host="other")
        assert made.snapshot is not None
        outcome = prune_all(repository, wait_s=0).outcome
        assert outcome in (Outcome.DONE, Outcome.NOTHING)
    truth = {**case.truth, made.snapshot: TREES[3]}
    for place in (cache, other / "host", other / "fresh"):
        assert_holds(store, place, truth, case.source)
    assert_tidy(store, other / "host")


def test_prune_dies_at_every_change(
    case: Case, ram_path: Path, record_property: Callable[[str, object], None]
) -> None:
    number = points = 0
    while True:
        survived = False
        for last_happened in (False, True):
            store = copy_store(case.store)
            work = ram_path / f"{number}-{last_happened}"
            cache = work / "cache"
            shutil.copytree(case.cache, cache)
            backend = CrashingBackend(store, number, last_happened=last_happened)
            is_write = False
            try:
                with open_repository(backend, cache) as repository:
                    assert prune_all(repository, wait_s=0).outcome == Outcome.DONE
                survived = not backend.is_dead()
            except SimulatedCrash as crash:
                leave_mark_of_dead_process(cache)
                is_write = str(crash).startswith("write ")
            if not is_write or number % 5 == 0:
                examine(case, store, cache, work)
                points += 1
            shutil.rmtree(work)
            if is_write or survived:
                break
        if survived:
            break
        number += 1
    record_property("crash_points", points)
    assert points > 20


def test_prune_dies_twice(case: Case, ram_path: Path) -> None:
    """The one that goes on dies too, at a later step of the same cycle."""
    total = CrashingBackend(copy_store(case.store), None)
    with open_repository(total, ram_path / "rehearsal") as repository:
        prune_all(repository, wait_s=0)
    for first in range(total.count // 3, total.count, 4):
        store = copy_store(case.store)
        work = ram_path / f"twice-{first}"
        for host, after in (("one", first), ("two", 3)):
            backend = CrashingBackend(store, after, last_happened=True)
            try:
                with open_repository(backend, work / host) as repository:
                    prune_all(repository, wait_s=0)
            except SimulatedCrash:
                leave_mark_of_dead_process(work / host)
        examine(case, store, work / "two", work)
        shutil.rmtree(work)


def test_the_power_fails_while_pruning(
    case: Case, ram_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """With a cache from a future that did not happen."""
    recording = RecordingBackend(copy_store(case.store))
    shutil.copytree(case.cache, ram_path / "future")
    with open_repository(recording, ram_path / "future") as repository:
        prune_all(repository, wait_s=0)
    losses = 0
    for number, store in enumerate(power_losses(recording)):
        if number % 3:
            continue
        work = ram_path / f"loss-{number}"
        shutil.copytree(ram_path / "future", work / "cache")
        leave_mark_of_dead_process(work / "cache")
        examine(case, store, work / "cache", work)
        shutil.rmtree(work)
        losses += 1
    record_property("power_losses", losses)
    assert losses > 8


def test_forget_and_tag_die_at_every_change(case: Case, ram_path: Path) -> None:
    """Of what is to be forgotten some is; of a snapshot and its successor one is there at least."""
    kept = list(case.truth)[1]
    for number in range(6):
        for last_happened in (False, True):
            store = copy_store(case.store)
            work = ram_path / f"marks-{number}-{last_happened}"
            backend = CrashingBackend(store, number, last_happened=last_happened)
            try:
                with open_repository(backend, work / "cache") as repository:
                    snapshots = repository.snapshots()
                    tag_snapshots(
                        repository, [one for one in snapshots if one.id == kept], add=["x"]
                    )
                    forget_snapshots(repository, [one for one in snapshots if one.id != kept])
            except SimulatedCrash:
                leave_mark_of_dead_process(work / "cache")
            with open_repository(store, work / "other") as repository:
                prune_all(repository, wait_s=0)
                left = repository.snapshots()
            assert any(kept in (one.id, one.original) for one in left)
            truth = {one.id: case.truth[one.original or one.id] for one in left}
            assert_holds(store, work / "cache", truth, case.source)
            assert_tidy(store, work / "other")
            shutil.rmtree(work)
