"""Whatever happens to a repository in whatever order, it holds what a dictionary would hold.

Files come and go, backups are made, die and are made again, caches are lost, kept or left by a
dead process, snapshots get tags, packs get lost. Each snapshot that was acknowledged and not
knowingly damaged reads back exactly; a damaged one never reads back wrongly.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from holdfast.backends.base import Backend
from holdfast.operations.snapshots import tag_snapshots
from holdfast.repository import layout
from support.faults import CrashingBackend, SimulatedCrash
from support.repos import (
    MEMORY_DIRECTORY,
    back_up,
    check_all,
    leave_mark_of_dead_process,
    new_store,
    open_repository,
    read_all,
    write_tree,
)

NAMES = st.sampled_from([b"a", b"b", b"inner/c", b"inner/d", b"inner/deep/e"])
SIZES = st.sampled_from([0, 1, 100, 5000, 40_000, 200_000, 1_100_000])


class RepositoryMachine(RuleBasedStateMachine):
    """A repository, its source and its cache beside the dictionary that they must equal."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Path(tempfile.mkdtemp(prefix="holdfast-test-", dir=MEMORY_DIRECTORY))
        self.source = self.work / "source"
        self.cache = self.work / "cache"
        self.store = new_store()
        self.tree: dict[bytes, bytes] = {}
        self.whole: dict[str, dict[bytes, bytes]] = {}
        """Snapshots that must read back exactly."""
        self.damaged: dict[str, dict[bytes, bytes]] = {}
        """Snapshots that have lost a pack, perhaps."""
        self.is_read = True

    @initialize()
    def begin(self) -> None:
        write_tree(self.source, self.tree, old=False)

    def teardown(self) -> None:
        shutil.rmtree(self.work)

    @rule(name=NAMES, size=SIZES, seed=st.integers(0, 5))
    def write(self, name: bytes, size: int, seed: int) -> None:
        self.tree[name] = random.Random(seed).randbytes(size)
        write_tree(self.source, self.tree, old=False)

    @rule(name=NAMES)
    def remove(self, name: bytes) -> None:
        self.tree.pop(name, None)
        write_tree(self.source, self.tree, old=False)

    def back_up(self, backend: Backend) -> None:
        with open_repository(backend, self.cache) as repository:
            made = back_up(repository, self.source)
        assert made.snapshot is not None
        self.whole[made.snapshot] = dict(self.tree)

    @rule()
    def backup(self) -> None:
        self.back_up(self.store)
        self.is_read = False

    @rule(number=st.integers(0, 30), last_happened=st.booleans(), leaves_mark=st.booleans())
    def backup_dies(self, number: int, last_happened: bool, leaves_mark: bool) -> None:
        try:
            self.back_up(CrashingBackend(self.store, number, last_happened=last_happened))
        except SimulatedCrash:
            if leaves_mark:
                leave_mark_of_dead_process(self.cache)
        self.is_read = False

    @rule()
    def cache_is_lost(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)

    @rule(pick=st.integers(0, 1000))
    def tag(self, pick: int) -> None:
        with open_repository(self.store, self.cache) as repository:
            snapshots = repository.snapshots()
            if not snapshots:
                return
            changes = tag_snapshots(
                repository, [snapshots[pick % len(snapshots)]], add=[f"tag-{len(self.whole)}"]
            )
        for change in changes:
            for model in (self.whole, self.damaged):
                if change.old_id in model:
                    assert change.new_id is not None
                    model[change.new_id] = model.pop(change.old_id)
        self.is_read = False

    @rule(pick=st.integers(0, 1000))
    def a_pack_is_lost_and_healed(self, pick: int) -> None:
        """What the source still has is whole again after the next backup."""
        # How many packs there are depends on threads: nothing that is drawn may depend on it.
        packs = sorted(info.name for info in self.store.list(layout.PACKS))
        if not packs:
            return
        self.store.delete(packs[pick % len(packs)])
        self.adopt_unacknowledged()
        self.damaged |= self.whole
        self.whole = {}
        self.backup()

    @rule()
    def check(self) -> None:
        with open_repository(self.store, self.cache) as repository:
            result = check_all(repository)
        affected = {file.snapshot for file in result.files}
        assert not affected & set(self.whole)
        assert result.ok or self.damaged

    def adopt_unacknowledged(self) -> None:
        """Whether a snapshot is there whose making died in the last moment, only looking tells."""
        with open_repository(self.store, self.cache) as repository:
            for snapshot in repository.snapshots():
                if snapshot.id not in self.damaged:
                    self.whole.setdefault(snapshot.id, dict(self.tree))

    @invariant()
    def everything_reads_back(self) -> None:
        if self.is_read:
            return
        self.adopt_unacknowledged()
        seen = set()
        with open_repository(self.store, self.cache) as repository:
            for snapshot, content in read_all(repository):
                seen.add(snapshot.id)
                found = content.below(self.source)
                if snapshot.id in self.whole:
                    assert content.damaged == {}
                    assert found == self.whole[snapshot.id]
                else:
                    assert found.items() <= self.damaged[snapshot.id].items()
        assert seen == set(self.whole) | set(self.damaged)
        self.is_read = True


def test_repository_is_a_dictionary() -> None:
    run_state_machine_as_test(
        RepositoryMachine,
        settings=settings(max_examples=settings().max_examples // 8, stateful_step_count=25),
    )
