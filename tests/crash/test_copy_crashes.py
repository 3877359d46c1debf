"""A copy dies, or the power fails, at every change of the destination: the next one completes it.

After each such moment the destination is consistent: a check of every byte is clean, and whatever is
listed is a whole copy. The next copy, with the dead process's cache or with none, leaves exactly one
copy of each snapshot, and a prune that follows leaves them as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.operations import copy_packs, copy_transfer
from holdfast.repository import settling
from support.copying import (
    assert_equal_content,
    assert_same_story,
    copy_all,
    mirror_of,
    other_store,
    secret_of,
)
from support.faults import CrashingBackend, RecordingBackend, SimulatedCrash, power_losses
from support.pruning import forget, pass_leases, prune_all
from support.repos import (
    Tree,
    back_up,
    check_all,
    copy_store,
    leave_mark_of_dead_process,
    new_store,
    open_repository,
    random_files,
    write_tree,
)

COMMON = random_files(1, [40_000] * 4)
TREES: list[Tree] = [{**COMMON, **random_files(10 + n, [120_000] * 3)} for n in range(3)]


@dataclass
class Case:
    """A source with three snapshots, and a destination that has had the first one pruned."""

    store: MemoryBackend
    there: MemoryBackend
    cache: Path
    """Of the host that copies."""
    mirror: bool

    def copy(self, there: Backend, cache: Path) -> None:
        secret = secret_of(mirror=self.mirror)
        with (
            open_repository(self.store, cache) as source,
            open_repository(there, cache, secret) as destination,
        ):
            result = copy_all(source, destination)
        assert result.damaged == []

    def examine(self, there: Backend, cache: Path, *, complete: bool) -> None:
        """Assert that what is there is sound; and, if it should be, everything, once."""
        secret = secret_of(mirror=self.mirror)
        with (
            open_repository(self.store, cache) as source,
            open_repository(there, cache, secret) as destination,
        ):
            result = check_all(destination)
            assert (result.damage, result.files) == ([], [])
            wanted = {one.id: one for one in source.snapshots()}
            found = [(one.original or "", one.id) for one in destination.snapshots()]
            for one in destination.snapshots():
                assert_same_story(wanted[one.original or ""], one)
            assert len({old for old, _ in found}) == len(found)
            if complete:
                assert {old for old, _ in found} == set(wanted)
                assert_equal_content(source, destination, found)


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead pruners are not waited for; there is a commit now and then, and several copy lists."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.0)
    monkeypatch.setattr(copy_transfer, "CHECKPOINT_BLOBS", 8)
    monkeypatch.setattr(copy_packs, "_BATCH", 2)


@pytest.fixture(params=[False, True], ids=["other keys", "mirror"])
def case(request: pytest.FixtureRequest, ram_path: Path) -> Case:
    store, files, cache = new_store(), ram_path / "files", ram_path / "cache"
    for tree in TREES:
        write_tree(files, tree)
        with open_repository(store, cache) as repository:
            back_up(repository, files)
    there = mirror_of(store, cache) if request.param else other_store()
    secret = secret_of(mirror=request.param)
    with (
        open_repository(store, cache) as source,
        open_repository(there, cache, secret) as destination,
    ):
        copy_all(source, destination, [source.snapshots()[0].id])
        forget(destination, [destination.snapshots()[0].id])
        prune_all(destination, wait_s=0)
        prune_all(destination, wait_s=0)
        assert destination.snapshots() == []
    return Case(store, there, cache, request.param)


def complete(case: Case, there: MemoryBackend, cache: Path, work: Path, number: int) -> None:
    """Examine, copy again, examine; every fourth time without a cache too, then prune and examine."""
    case.examine(there, work / "fresh", complete=False)
    bare = copy_store(there)
    case.copy(there, cache)
    case.examine(there, cache, complete=True)
    if number % 4:
        return
    case.copy(bare, work / "none")
    case.examine(bare, work / "none", complete=True)
    for store in (there, bare):
        pass_leases(store)
        secret = secret_of(mirror=case.mirror)
        with open_repository(store, work / "pruner", secret) as repository:
            prune_all(repository, wait_s=0)
    case.examine(there, work / "last", complete=True)


def test_a_copy_dies_at_every_change(
    case: Case, ram_path: Path, record_property: Callable[[str, object], None]
) -> None:
    number = points = 0
    survived = False
    while not survived:
        # A change that happened unheard of leaves the storage of the next crash, and a journal
        # that lacks it: every second one will do.
        there = copy_store(case.there)
        work = ram_path / str(number)
        cache = work / "cache"
        shutil.copytree(case.cache, cache)
        backend = CrashingBackend(there, number, last_happened=number % 2 == 0)
        is_write = False
        try:
            case.copy(backend, cache)
            survived = not backend.is_dead()
        except SimulatedCrash as crash:
            leave_mark_of_dead_process(cache)
            is_write = str(crash).startswith("write ")
        if not is_write or number % 11 == 0:
            complete(case, there, cache, work, number)
            points += 1
        shutil.rmtree(work)
        number += 1
    record_property("crash_points", points)
    assert points > 20


def test_a_copy_dies_again_and_again(case: Case, ram_path: Path) -> None:
    """Each run dies after a few changes more than it needs to get going; in the end all is there."""
    there = copy_store(case.there)
    cache = ram_path / "again"
    shutil.copytree(case.cache, cache)
    runs = 0
    while True:
        backend = CrashingBackend(there, 17, last_happened=runs % 2 == 0)
        try:
            case.copy(backend, cache)
        except SimulatedCrash:
            leave_mark_of_dead_process(cache)
            runs += 1
            assert runs < 40
            continue
        break
    assert runs > 1
    case.examine(there, ram_path / "fresh", complete=True)


def test_the_power_fails_while_copying(
    case: Case, ram_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """With a cache and a map of ids from a future that did not happen."""
    recording = RecordingBackend(copy_store(case.there))
    shutil.copytree(case.cache, ram_path / "future")
    case.copy(recording, ram_path / "future")
    losses = 0
    for number, there in enumerate(power_losses(recording)):
        if number % 4:
            continue
        work = ram_path / f"loss-{number}"
        shutil.copytree(ram_path / "future", work / "cache")
        leave_mark_of_dead_process(work / "cache")
        complete(case, there, work / "cache", work, losses)
        shutil.rmtree(work)
        losses += 1
    record_property("power_losses", losses)
    assert losses > 4
