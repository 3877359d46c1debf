"""Chosen interleavings: one process stops at each of its steps while another one works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

from holdfast.operations.prune import PruneOptions
from holdfast.repository import layout
from holdfast.repository.repository import Repository
from holdfast.repository.settling import Settler
from holdfast.repository.view import View
from simulation.scheduler import Operation, Process
from simulation.store import SimulatedStore, StoreOptions
from simulation.world import Counts, Machine, World

CHANGES = ("create", "commit", "delete")
EVERY_READ = settings().max_examples >= 100
"""Whether processes stop before every read too; most make no difference."""
HASTY = PruneOptions(wait_s=0)

_MARKS_AND_COMMITS = (Operation("page", layout.FORGETS), Operation("page", layout.SNAPSHOTS))
Begin = Callable[[World], Process]


@contextmanager
def new_world(machine: Machine, counts: Counts, *, is_remote: bool = True) -> Iterator[World]:
    """Yield a world with a forgotten snapshot of host 0, and one of host 1 that shares with it."""
    machine.begin()
    with World(machine, SimulatedStore(StoreOptions(is_remote=is_remote))) as world:
        try:
            world.run(world.backup(0, 0))
            world.run(world.backup(1, 0))
            world.run(world.forget_of(0))
            world.store.note("begin")
            yield world
            world.settle()
        except BaseException:
            print("\n".join(world.store.transcript))  # pytest shows it if the test fails
            raise
        finally:
            counts.add(world)


def before(kind: str, prefix: str) -> Callable[[Operation], bool]:
    """Return a condition: about to do this to an object below that prefix."""
    return lambda operation: operation.kind == kind and operation.name.startswith(prefix)


def is_moment(operation: Operation) -> bool:
    """Tell whether it makes a difference that a process stops here."""
    return EVERY_READ or is_change(operation) or operation in _MARKS_AND_COMMITS


def is_change(operation: Operation) -> bool:
    return operation.kind in CHANGES


def stopped_everywhere(
    machine: Machine,
    counts: Counts,
    begin: Begin,
    condition: Callable[[Operation], bool] = is_moment,
    *,
    is_remote: bool = True,
) -> Iterator[tuple[World, Process]]:
    """Yield a world for each moment of a process, stopped there; settle it afterwards."""
    moment = 0
    while True:
        with new_world(machine, counts, is_remote=is_remote) as world:
            process = begin(world)
            found = world.run_until(process, condition)
            for _ in range(moment):
                if not found:
                    break
                world.step(process)
                found = world.run_until(process, condition)
            if found:
                world.store.note(f"{process.name} is suspended")
                yield world, process
        if not found:
            assert moment > 3, "it hardly stopped"
            return
        moment += 1


# -- one writer, one pruner ---------------------------------------------------------------------


def suspend_across_a_cycle(world: World) -> Process:
    """Have host 0 make a commit that knows nothing of a whole cycle of prune."""
    writer = world.backup(0, 1)
    assert world.run_until(writer, before("create", layout.SNAPSHOTS))
    world.run(world.prune(1, HASTY))
    return writer


def test_a_commit_that_slept_through_a_cycle_is_redone(machine: Machine, counts: Counts) -> None:
    """The redo uploads only what the pruner has taken away."""
    with new_world(machine, counts) as world:
        writer = suspend_across_a_cycle(world)
        world.run(writer)
        lines = [line for line in world.store.transcript if writer.name in line]
        assert sum("create snapshots/" in line for line in lines) == 2

        def look(repository: Repository) -> None:
            blobs = [entry[0] for entry in repository.load_index().entries()]
            assert len(blobs) == len(set(blobs)), "a blob was uploaded twice"

        world.run(world.process(2, "look", look))
        world.run(world.read(2))


def test_without_the_look_after_the_commit_data_is_lost(
    machine: Machine, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the simulation notices what the protocol is there for."""
    monkeypatch.setattr(Settler, "is_committed", lambda *_: True)
    with pytest.raises(AssertionError, match="are lost"), new_world(machine, counts) as world:
        world.run(suspend_across_a_cycle(world))


def test_a_backup_sleeps_at_each_step_through_a_prune(machine: Machine, counts: Counts) -> None:
    for world, writer in stopped_everywhere(machine, counts, lambda world: world.backup(0, 1)):
        world.run(world.prune(1, HASTY))
        world.run(writer)


def test_a_backup_sleeps_at_each_step_through_two_cycles(machine: Machine, counts: Counts) -> None:
    for world, writer in stopped_everywhere(machine, counts, lambda world: world.backup(0, 1)):
        world.run(world.prune(1, HASTY))
        world.run(world.backup(1, 3))
        world.run(world.forget_of(1))
        world.run(world.prune(2, HASTY))
        world.run(writer)


def test_a_backup_beside_each_step_of_a_prune(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(machine, counts, lambda world: world.prune(1, HASTY)):
        world.run(world.backup(0, 1))
        world.run(pruner)


def begin_backups_beside_a_prune(machine: Machine, counts: Counts) -> None:
    """Have a backup begin at each step of a prune and commit when the prune has ended."""
    for world, pruner in stopped_everywhere(machine, counts, lambda world: world.prune(1, HASTY)):
        writer = world.backup(0, 0)  # needs just what is about to go
        world.run_until(writer, before("create", layout.SNAPSHOTS))
        world.run(pruner)
        world.run(writer)


def test_a_backup_begins_at_each_step_of_a_prune(machine: Machine, counts: Counts) -> None:
    begin_backups_beside_a_prune(machine, counts)


def test_building_upon_condemned_packs_loses_data(
    machine: Machine, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the simulation notices what the protocol is there for."""
    monkeypatch.setattr(View, "bad", property(lambda _: frozenset()))
    with pytest.raises(AssertionError, match=r"is damaged|missing"):
        begin_backups_beside_a_prune(machine, counts)


def test_a_backup_waits_for_the_seal(machine: Machine, counts: Counts) -> None:
    with new_world(machine, counts) as world:
        pruner, writer = world.prune(1, HASTY), world.backup(0, 1)
        assert world.run_until(pruner, before("create", layout.gc_name(2)))
        assert world.run_until(writer, lambda operation: operation.kind == "sleep")
        world.run(pruner)
        world.run(writer)
        assert not any(f"{writer.name}: create gc/" in line for line in world.store.transcript)


def test_a_backup_seals_for_a_pruner_that_sleeps(machine: Machine, counts: Counts) -> None:
    with new_world(machine, counts) as world:
        pruner, writer = world.prune(1, HASTY), world.backup(0, 1)
        assert world.run_until(pruner, before("create", layout.gc_name(2)))
        packs = world.store.names(layout.PACKS)
        world.run(writer)
        assert any(f"{writer.name}: create gc/" in line for line in world.store.transcript)
        assert packs <= world.store.names(layout.PACKS)
        world.run(pruner)


# -- pruners ------------------------------------------------------------------------------------


def test_a_pruner_dies_at_each_step(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(
        machine, counts, lambda world: world.prune(1, HASTY), is_change
    ):
        world.kill(pruner)
        world.run(world.read(2))
        world.run(world.prune(2, HASTY))


def test_two_pruners(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(machine, counts, lambda world: world.prune(1, HASTY)):
        world.run(world.prune(0, HASTY))
        world.run(pruner)


def test_two_pruners_take_turns(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(
        machine, counts, lambda world: world.prune(1, HASTY), is_change
    ):
        other = world.prune(0, HASTY)
        while not (pruner.has_ended and other.has_ended):
            for process in (other, pruner):
                if not process.has_ended:
                    world.step(process)
                    world.run_until(process, is_change)


def test_a_pruner_reads_what_another_one_removes(machine: Machine, counts: Counts) -> None:
    """A snapshot may be forgotten and gone before its trees have been read: that is no damage."""
    for world, pruner in stopped_everywhere(
        machine,
        counts,
        lambda world: world.prune(1, HASTY),
        lambda operation: operation.kind == "read_range",
        is_remote=False,  # else the pruner has trees in its cache
    ):
        world.run(world.forget_of(0, owner=1))
        world.run(world.prune(0, HASTY))
        world.run(pruner)


# -- what people do beside prune ----------------------------------------------------------------


def test_tags_change_beside_each_step_of_a_prune(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(machine, counts, lambda world: world.prune(1, HASTY)):
        world.run(world.tag(0, 0))
        world.run(pruner)


def test_a_prune_at_each_step_of_a_tag_change(machine: Machine, counts: Counts) -> None:
    for world, tagger in stopped_everywhere(machine, counts, lambda world: world.tag(0, 0)):
        world.run(world.prune(1, HASTY))
        world.run(tagger)


def test_an_undo_beside_each_step_of_a_prune(machine: Machine, counts: Counts) -> None:
    for world, pruner in stopped_everywhere(machine, counts, lambda world: world.prune(1, HASTY)):
        world.run(world.undo(0, 0))
        world.run(pruner)


def test_a_restore_sleeps_at_each_step_through_a_prune(machine: Machine, counts: Counts) -> None:
    for world, reader in stopped_everywhere(
        machine, counts, lambda world: world.read(0), lambda _: True
    ):
        world.run(world.prune(1, HASTY))
        world.run(reader)
