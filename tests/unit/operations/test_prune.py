"""Prune: what it frees, what it leaves, and what happens when others work at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import CommitVoidError, ForgetFinalError, IntegrityError
from holdfast.format.pack import PACK_HEADER_LENGTH
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations import backup_session, backup_tree
from holdfast.operations.backup import BackupOptions, BackupResult
from holdfast.operations.backup_session import BackupSession
from holdfast.operations.backup_stream import backup_command, backup_stream
from holdfast.operations.forget import (
    countable_snapshots,
    forget_snapshots,
    forgotten_snapshots,
    undo_forget,
)
from holdfast.operations.prune import Outcome, PruneOptions, prune
from holdfast.operations.snapshots import tag_snapshots
from holdfast.operations.stats import repository_stats
from holdfast.repository import layout, settling
from holdfast.repository.repository import Repository
from support.faults import CrashingBackend, SimulatedCrash, bit_flipped, corrupt
from support.pruning import (
    TIGHT,
    Interrupting,
    assert_holds,
    assert_tidy,
    forget,
    ids_below,
    pass_leases,
    prune_all,
)
from support.repos import (
    SLICE_SIZE,
    Tree,
    back_up,
    check_all,
    contents,
    copy_store,
    new_store,
    open_repository,
    random_files,
    read_all,
    read_snapshot,
    store_of,
    write_tree,
)

COMMON = random_files(1, [30_000] * 20)


def tree_of(number: int) -> Tree:
    """What all versions share, and 600 KB that only this one has."""
    return {**COMMON, **random_files(100 + number, [60_000] * 10)}


@dataclass
class World:
    """A repository with a source and the truth about its snapshots."""

    work: Path
    store: MemoryBackend = field(default_factory=new_store)
    truth: dict[str, Tree] = field(default_factory=dict)
    versions: int = 0

    @property
    def source(self) -> Path:
        return self.work / "source"

    @property
    def cache(self) -> Path:
        return self.work / "cache"

    def open(self, backend: Backend | None = None, cache: str = "cache") -> Repository:
        return open_repository(backend or self.store, self.work / cache)

    def back_up(self, backend: Backend | None = None, cache: str = "cache") -> str:
        """Back up a new version of the source; return the id."""
        self.versions += 1
        write_tree(self.source, tree_of(self.versions))
        with self.open(backend, cache) as repository:
            made = back_up(repository, self.source)
        assert made.snapshot is not None
        self.truth[made.snapshot] = tree_of(self.versions)
        return made.snapshot

    def forget(self, *ids: str) -> None:
        with self.open() as repository:
            forget(repository, ids)
        for one in ids:
            del self.truth[one]

    def prune(self, cache: str = "cache", **options: float) -> Outcome:
        with self.open(cache=cache) as repository:
            return prune_all(repository, **options).outcome

    def size(self) -> int:
        return sum(info.size for info in self.store.list(layout.PACKS))

    def assert_holds(self) -> None:
        for cache in (self.cache, self.work / "none"):
            assert_holds(self.store, cache, self.truth, self.source)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pruner that another process interrupts stands still: nobody else will seal its cycle."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- space --------------------------------------------------------------------------------------


def test_nothing_to_do_writes_nothing(world: World) -> None:
    assert world.prune() == Outcome.NOTHING
    world.back_up()
    before = {info.name for info in world.store.list("")}
    assert world.prune() == Outcome.NOTHING
    assert {info.name for info in world.store.list("")} == before


def test_one_run_frees_everything_that_is_not_needed(world: World) -> None:
    ids = [world.back_up() for _ in range(4)]
    with_four = world.size()
    world.forget(*ids[:3])
    with world.open() as repository:
        planned = prune(repository, PruneOptions(max_unused=TIGHT, dry_run=True))
        result = prune_all(repository)
        assert prune_all(repository).outcome == Outcome.NOTHING
    assert result.outcome == Outcome.DONE
    assert (result.snapshots_kept, result.snapshots_removed) == (1, 3)
    assert (planned.packs_removed, planned.bytes_removed) == (
        result.packs_removed,
        result.bytes_removed,
    )
    assert result.bytes_freed == with_four - world.size() > 3 * 550_000
    assert result.bytes_before == with_four
    fresh = World(world.work / "fresh")
    fresh.versions = 3
    fresh.back_up()
    assert world.size() <= fresh.size() * 1.02
    world.assert_holds()
    assert_tidy(world.store, world.cache)
    assert ids_below(world.store, layout.SESSIONS) == set()


def test_statistics_do_not_count_what_was_removed(tmp_path: Path) -> None:
    store = new_store()
    tree = random_files(1, [40_000] * 50)
    with open_repository(store, tmp_path / "cache") as repository:
        ids = []
        for night in range(4):
            tree |= {
                b"new" + name: data for name, data in random_files(night, [60_000] * 8).items()
            }
            made = back_up(repository, write_tree(tmp_path / "source", tree))
            ids.append(made.snapshot or "")
        for number in (1, 0, 2):
            forget(repository, [ids[number]])
            prune_all(repository)
            stats = repository_stats(repository)
            packs = list(store.list(layout.PACKS))
            assert (stats.packs, stats.stored_bytes) == (len(packs), sum(p.size for p in packs))


def test_a_dry_run_changes_nothing_and_can_assume(world: World) -> None:
    first, _ = world.back_up(), world.back_up()
    before = {info.name for info in world.store.list("")}
    with world.open() as repository:
        options = PruneOptions(max_unused=TIGHT, dry_run=True, assume_forgotten=frozenset({first}))
        result = prune(repository, options)
    assert result.outcome == Outcome.PLANNED
    assert (result.snapshots_kept, result.snapshots_removed) == (1, 1)
    assert result.bytes_freed > 500_000
    assert {info.name for info in world.store.list("")} == before


def test_a_little_unused_space_is_left_alone(world: World) -> None:
    first, _ = world.back_up(), world.back_up()
    world.forget(first)
    with world.open() as repository:
        result = prune(repository, PruneOptions(max_repack=0))
    assert result.packs_repacked == 0
    assert result.bytes_unused > 0
    world.assert_holds()


def test_packs_of_interrupted_runs_go(world: World) -> None:
    world.back_up()
    write_tree(world.source, tree_of(99))

    def stop() -> None:
        raise KeyboardInterrupt

    dying = Interrupting(world.store, "create", layout.SNAPSHOTS, stop)
    with pytest.raises(KeyboardInterrupt), world.open(dying, "other") as repository:
        back_up(repository, world.source)
    stored = world.size()
    with world.open() as repository:
        result = prune_all(repository)
    assert result.packs_orphaned > 0
    assert world.size() < stored - 500_000
    world.assert_holds()
    assert_tidy(world.store, world.cache)


def test_packs_without_an_owner_stay_while_a_session_is_alive(world: World) -> None:
    """They may be its own."""
    world.back_up()
    write_tree(world.source, tree_of(99))

    rehearsal = CrashingBackend(copy_store(world.store), None)
    with world.open(rehearsal, "rehearsal") as repository:
        back_up(repository, world.source)
    # The snapshot and the end of the session are its last two changes.
    dying = CrashingBackend(world.store, rehearsal.count - 2)
    with pytest.raises(SimulatedCrash), world.open(dying, "other") as repository:
        back_up(repository, world.source)
    before = world.size()
    with world.open() as repository:
        assert prune_all(repository, wait_s=0).outcome == Outcome.NOTHING
        assert world.size() == before
        pass_leases(world.store)
        assert prune_all(repository).packs_orphaned > 0
    assert_tidy(world.store, world.cache)


def test_index_objects_of_many_small_backups_are_merged(world: World) -> None:
    for number in range(27):
        write_tree(world.source, {b"file": bytes([number]) * 100}, old=False)
        with world.open() as repository:
            made = back_up(repository, world.source)
        assert made.snapshot is not None
        world.truth[made.snapshot] = {b"file": bytes([number]) * 100}
    assert len(ids_below(world.store, layout.INDEX)) == 27
    assert world.prune() == Outcome.DONE
    assert len(ids_below(world.store, layout.INDEX)) <= 2
    assert len(ids_below(world.store, layout.PACKS)) < 10, "tiny packs were merged"
    world.assert_holds()
    assert_tidy(world.store, world.cache)


def test_restored_order_is_that_of_paths(world: World) -> None:
    """What is copied lies in the order in which a restore of the newest snapshot wants it."""
    first = world.back_up()
    world.back_up()
    world.forget(first)
    with world.open() as repository:
        prune_all(repository)
        (snapshot,) = repository.snapshots()
        content = read_snapshot(repository, snapshot)
        assert content.damaged == {}
        packs = {number for number, table in repository.index.packs() if table.kind == 1}
    assert len(packs) <= 2


def test_blobs_that_lie_in_several_packs_that_go_are_copied_once(world: World) -> None:
    """Two hosts stored the same at once; of both packs nothing else is needed any more."""
    common = random_files(1, [30_000] * 4)
    stores = []
    for number in (1, 2):
        store = copy_store(world.store)
        write_tree(world.source, {**common, **random_files(100 + number, [80_000] * 10)})
        with world.open(store, f"host-{number}") as repository:
            back_up(repository, world.source)
        stores.append(contents(store))
    world.store = store_of(stores[0] | stores[1])
    with world.open() as repository:
        gone = [one.id for one in repository.snapshots()]
    write_tree(world.source, common)
    with world.open() as repository:
        made = back_up(repository, world.source)
        assert made.snapshot is not None
        forget(repository, gone)
        result = prune_all(repository)
        assert (result.outcome, result.packs_needed_again) == (Outcome.DONE, 0)
        assert prune_all(repository).outcome == Outcome.NOTHING
    world.truth = {made.snapshot: common}
    assert world.size() < 150_000
    world.assert_holds()


# -- many cycles --------------------------------------------------------------------------------


def test_cycle_after_cycle_nothing_piles_up(world: World) -> None:
    kept: list[str] = []
    sizes = []
    for number in range(8):
        kept.append(world.back_up())
        if len(kept) > 2:
            world.forget(kept.pop(0))
        world.prune("cache" if number % 2 else "other")
        sizes.append(world.size())
        world.assert_holds()
    assert max(sizes[2:]) < sizes[2] * 1.15
    assert_tidy(world.store, world.cache)
    assert len(list(world.store.list(layout.GC))) <= 3


# -- others at work -----------------------------------------------------------------------------


def test_a_backup_overtaken_by_a_cycle_is_redone_and_uploads_only_what_is_missing(
    world: World,
) -> None:
    first = world.back_up()
    second = world.back_up()
    write_tree(world.source, {**tree_of(1), **tree_of(3)})  # reuses what only `first` has

    def meanwhile() -> None:
        world.forget(first)
        assert world.prune("other", wait_s=0) == Outcome.DONE

    store = Interrupting(world.store, "create", layout.SNAPSHOTS, meanwhile)
    with world.open(store) as repository:
        made = back_up(repository, world.source)
    assert store.happened
    assert made.snapshot is not None
    world.truth[made.snapshot] = {**tree_of(1), **tree_of(3)}
    assert set(world.truth) == {second, made.snapshot}
    # 600 KB that only `first` had. The third version's were stored before, and are taken over.
    assert 600_000 < made.stats.bytes_stored < 700_000
    world.assert_holds()
    assert world.prune() == Outcome.DONE
    assert_tidy(world.store, world.cache)


def test_prune_waits_for_a_running_backup_and_the_next_goes_on(world: World) -> None:
    first = world.back_up()
    outcomes = []

    def meanwhile() -> None:
        world.forget(first)
        with world.open(cache="other") as repository:
            outcomes.append(prune_all(repository))

    world.versions += 1
    write_tree(world.source, {**tree_of(1), **tree_of(2)})
    store = Interrupting(world.store, "create", layout.SNAPSHOTS, meanwhile)
    with world.open(store) as repository:
        made = back_up(repository, world.source)
    assert made.snapshot is not None
    world.truth[made.snapshot] = {**tree_of(1), **tree_of(2)}
    (result,) = outcomes
    assert result.outcome == Outcome.WAITING
    assert [one.host for one in result.waited_for] == ["host"]
    world.assert_holds()
    with world.open(cache="other") as repository:
        again = prune_all(repository)
    assert again.outcome == Outcome.DONE
    world.assert_holds()
    assert_tidy(world.store, world.cache)


def test_a_backup_while_packs_are_condemned_does_not_build_upon_them(world: World) -> None:
    first = world.back_up()

    def meanwhile() -> None:
        write_tree(world.source, tree_of(1))
        with world.open(cache="other") as repository:
            made = back_up(repository, world.source, host="other")
        assert made.snapshot is not None
        assert made.stats.bytes_stored > 500_000, "nothing condemned was used"
        world.truth[made.snapshot] = tree_of(1)

    world.forget(first)
    store = Interrupting(world.store, "create", layout.gc_name(1), meanwhile)
    with world.open(store) as repository:
        assert prune_all(repository, wait_s=0).outcome == Outcome.DONE
    assert store.happened
    world.assert_holds()


def test_a_backup_that_commits_before_the_close_is_kept_whole(world: World) -> None:
    """Its view is older than the CONDEMN: the SEAL must name it, and keep what it needs."""
    first = world.back_up()
    write_tree(world.source, tree_of(1))

    def condemn() -> None:
        with world.open(cache="other") as repository:
            forget(repository, [first])
            assert prune_all(repository).outcome == Outcome.WAITING

    store = Interrupting(world.store, "create", layout.SNAPSHOTS, condemn)
    with world.open(store) as repository:
        made = back_up(repository, world.source, force=True)
    assert made.snapshot is not None
    assert made.stats.bytes_stored < 100_000
    world.truth = {made.snapshot: tree_of(1)}
    with world.open(cache="other") as repository:
        result = prune_all(repository)
    assert result.packs_needed_again > 0
    world.assert_holds()
    world.prune()
    world.assert_holds()
    assert_tidy(world.store, world.cache)


def test_a_snapshot_that_comes_before_the_close_is_needed_in_the_next_cycle_too(
    world: World,
) -> None:
    """One run finishes the cycle of another, and begins its own with what it knows."""
    first = world.back_up()
    world.back_up()
    world.forget(first)
    die_at(world, layout.gc_name(1))

    def meanwhile() -> None:
        world.back_up(cache="other")
        world.forget(next(iter(world.truth)))

    store = Interrupting(world.store, "create", layout.gc_name(1), meanwhile)
    with world.open(store) as repository:
        assert prune_all(repository, wait_s=0).outcome == Outcome.DONE
        assert repository.log.read().last == 5
    assert store.happened
    world.assert_holds()


def test_two_prunes_one_inside_the_other(world: World) -> None:
    """Whatever the other does in between, one SEAL counts and nothing is lost."""
    names = [layout.gc_name(0), layout.gc_name(1), layout.gc_name(2), layout.PACKS, layout.INDEX]
    for kind, name in [*(("create", name) for name in names), ("delete", layout.PACKS)]:
        work = World(world.work / f"{kind}-{name.replace('/', '-')}")
        first, _ = work.back_up(), work.back_up()
        work.forget(first)
        store = Interrupting(work.store, kind, name, lambda one=work: one.prune("other", wait_s=0))  # type: ignore[misc]
        with work.open(store) as repository:
            prune_all(repository, wait_s=0)
        work.assert_holds()
        assert work.prune("third") in (Outcome.NOTHING, Outcome.DONE)
        work.assert_holds()
        assert_tidy(work.store, work.cache)


def test_a_restore_goes_on_while_packs_move(world: World) -> None:
    first, second = world.back_up(), world.back_up()
    world.forget(first)

    def meanwhile() -> None:
        assert world.prune("other") == Outcome.DONE

    store = Interrupting(world.store, "read_range", layout.PACKS, meanwhile, skip=2)
    with world.open(store) as repository:
        repository.load_index()
        (snapshot,) = repository.snapshots()
        content = read_snapshot(repository, snapshot)
    assert store.happened
    assert snapshot.id == second
    assert content.damaged == {}
    assert content.below(world.source) == world.truth[second]


def test_a_check_beside_a_prune_reports_no_damage(world: World) -> None:
    first, _ = world.back_up(), world.back_up()
    world.forget(first)
    store = Interrupting(world.store, "list", layout.PACKS, lambda: world.prune("other"))
    with world.open(store) as repository:
        assert check_all(repository).ok
    assert store.happened


def test_a_tag_beside_a_prune_loses_neither(world: World) -> None:
    for step in range(3):
        for operation in ("list", "create"):
            work = World(world.work / f"{step}-{operation}")
            first, second = work.back_up(), work.back_up()
            work.forget(first)

            def retag(one: World = work, snapshot_id: str = second) -> None:
                with one.open(cache="other") as repository:
                    (snapshot,) = [s for s in repository.snapshots() if s.id == snapshot_id]
                    (change,) = tag_snapshots(repository, [snapshot], add=["kept"])
                assert change.new_id is not None
                one.truth[change.new_id] = one.truth.pop(snapshot_id)

            prefix = layout.gc_name(step) if operation == "create" else layout.SNAPSHOTS
            store = Interrupting(
                work.store, operation, prefix, retag, skip=step if operation == "list" else 0
            )
            with work.open(store) as repository:
                prune_all(repository, wait_s=0)
            assert store.happened
            work.assert_holds()
            work.prune()
            work.assert_holds()


def test_a_dead_pruners_cycle_does_not_hold_up_backups(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.back_up()
    world.back_up()
    world.forget(first)
    die_at(world, layout.gc_name(2))
    monkeypatch.setattr(settling, "PATIENCE_S", 30.0)
    with world.open() as repository:
        assert repository.log.read().is_closed
        now = [0.0]

        def sleep_s(seconds: float) -> None:
            now[0] += seconds

        monkeypatch.setattr(repository.clock, "sleep_s", sleep_s)
        monkeypatch.setattr(repository.clock, "monotonic_s", lambda: now[0])
        write_tree(world.source, tree_of(3))
        made = back_up(repository, world.source)
        log = repository.log.read()
    assert 30 <= now[0] < 32
    assert (log.last, log.is_open, log.doomed) == (2, False, frozenset())
    assert made.snapshot is not None
    world.truth[made.snapshot] = tree_of(3)
    world.assert_holds()
    assert world.prune() == Outcome.DONE
    world.assert_holds()
    assert_tidy(world.store, world.cache)


def die_at(world: World, name: str) -> None:
    """Have a prune die just before it creates an object."""

    class Dead(BaseException):
        pass

    def die() -> None:
        raise Dead

    store = Interrupting(world.store, "create", name, die)
    with pytest.raises(Dead), world.open(store, "dead") as repository:
        prune_all(repository, wait_s=0)


def test_nothing_to_save_leaves_named_what_others_have_built_upon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial snapshot brings packs of a dead run; a backup that is skipped deletes it."""
    extra = write_tree(world.work / "extra", random_files(2, [90_000] * 15))
    world.back_up()
    rehearsal = CrashingBackend(copy_store(world.store), None)
    with world.open(rehearsal, "rehearsal") as repository:
        back_up(repository, world.source, extra)
    dying = CrashingBackend(world.store, rehearsal.count - 2)
    with pytest.raises(SimulatedCrash), world.open(dying) as repository:
        back_up(repository, world.source, extra)
    monkeypatch.setattr(backup_session, "CHECKPOINT_S", -1)
    monkeypatch.setattr(backup_session, "_PROGRESS_S", 0)
    monkeypatch.setattr(backup_tree, "_TICK", 1)

    def meanwhile() -> None:
        monkeypatch.undo()
        with world.open(cache="other") as repository:
            made = back_up(repository, extra, host="other")
            assert made.stats.bytes_stored < 10_000, "the partial snapshot's packs are used"

    finish = BackupSession.finish

    def finish_late(session: BackupSession, root: bytes) -> BackupResult:
        monkeypatch.setattr(BackupSession, "finish", finish)
        meanwhile()
        return finish(session, root)

    monkeypatch.setattr(BackupSession, "finish", finish_late)
    with world.open() as repository:
        result = back_up(repository, world.source, skip_if_unchanged=True, force=True)
    assert result.snapshot is None
    with world.open(cache="fresh") as repository:
        assert len(repository.snapshots()) == 2
        assert check_all(repository).ok


# -- streams ------------------------------------------------------------------------------------


def test_a_stream_that_lost_nothing_is_committed_again(world: World) -> None:
    data = random_files(7, [700_000])[b"d0/f7-0"]

    def meanwhile() -> None:
        world.store.create(layout.forget_name("0" * 32), b"")  # something to do
        first = world.back_up(cache="other")
        world.forget(first)
        assert world.prune("other", wait_s=0) == Outcome.DONE

    path = world.work / "stream"
    path.write_bytes(data)
    store = Interrupting(world.store, "create", layout.SNAPSHOTS, meanwhile, skip=0)
    late = Interrupting(store, "open_writer", layout.PACKS, lambda: None)
    with world.open(late) as repository, open(path, "rb") as stream:
        made = _stream(repository, stream)
        assert made is not None
        snapshot = next(one for one in repository.snapshots() if one.id == made)
        assert read_snapshot(repository, snapshot).files == {b"/dump": data}


def _stream(repository: Repository, stream: BufferedReader) -> str | None:
    options = BackupOptions(host="host")
    try:
        return backup_stream(repository, stream, b"dump", options).snapshot
    except CommitVoidError:
        # Its packs were taken for orphans and deleted: nothing was acknowledged.
        assert not repository.snapshots()
        stream.seek(0)
        return backup_stream(repository, stream, b"dump", options).snapshot


def test_a_command_is_run_again_if_its_output_is_gone(world: World) -> None:
    first = world.back_up()

    def meanwhile() -> None:
        world.forget(first)
        assert world.prune("other", wait_s=0) == Outcome.DONE

    store = Interrupting(world.store, "create", layout.SNAPSHOTS, meanwhile)
    file = next(iter(sorted(tree_of(1))))
    with world.open(store) as repository:
        command = ["cat", str(world.source / file.decode())]
        made = backup_command(repository, command, b"copy", BackupOptions(host="host"))
        snapshot = next(one for one in repository.snapshots() if one.id == made.snapshot)
        assert read_snapshot(repository, snapshot).files == {b"/copy": tree_of(1)[file]}
    assert store.happened


# -- undo ---------------------------------------------------------------------------------------


def test_forgotten_snapshots_come_back_until_prune(world: World) -> None:
    first, second = world.back_up(), world.back_up()
    with world.open() as repository:
        forget_snapshots(repository, repository.snapshots())
        assert repository.snapshots() == []
        hidden = forgotten_snapshots(repository)
        assert [one.id for one in hidden] == [first, second]
        undo_forget(repository, hidden[:1])
        assert [one.id for one in repository.snapshots()] == [first]
        prune_all(repository)
        with pytest.raises(ForgetFinalError, match="prune has made that final"):
            undo_forget(repository, hidden[1:])
    del world.truth[second]
    world.assert_holds()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_undo_beside_a_prune_says_the_truth(world: World, number: int) -> None:
    first, _ = world.back_up(), world.back_up()
    hidden: list[Snapshot] = []
    with world.open() as repository:
        forget(repository, [first])
        hidden = forgotten_snapshots(repository)
    came_back: list[bool] = []

    def undo() -> None:
        with world.open(cache="other") as repository:
            try:
                undo_forget(repository, hidden)
            except ForgetFinalError:
                came_back.append(False)
            else:
                came_back.append(True)

    store = Interrupting(world.store, "create", layout.gc_name(number), undo)
    with world.open(store) as repository:
        prune_all(repository, wait_s=0)
    assert came_back == [True], "up to the SEAL it can be undone: whoever undoes it seals"
    world.assert_holds()


def test_a_policy_counts_only_what_is_decided(world: World) -> None:
    """A commit made between CLOSE and SEAL may turn out void: it must not evict another."""
    world.back_up()
    seen: list[list[str]] = []

    def look() -> None:
        with world.open(cache="other") as repository:
            repository.settler.wait = lambda view=None: repository.log.read()  # type: ignore[method-assign]
            seen.append([one.id for one in countable_snapshots(repository)])
            # Nor does a writer build upon what only such commits bring.
            assert repository.load_view(for_writing=True, settle=False).index_ids() == set()
            assert repository.load_view().index_ids() != set()

    world.store.create(layout.forget_name("0" * 32), b"")
    second = world.back_up()
    world.forget(second)
    store = Interrupting(world.store, "create", layout.gc_name(2), look)
    with world.open(store) as repository:
        prune_all(repository, wait_s=0)
    assert seen == [[]], "all are older than the CONDEMN"
    with world.open() as repository:
        assert [one.id for one in countable_snapshots(repository)] == list(world.truth)


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [layout.SNAPSHOTS, layout.INDEX])
def test_nothing_is_removed_where_nobody_knows_what_is_needed(world: World, prefix: str) -> None:
    first, _ = world.back_up(), world.back_up()
    world.forget(first)
    name = sorted(info.name for info in world.store.list(prefix) if first not in info.name)[0]
    corrupt(world.store, name, bit_flipped(100))
    before = {info.name for info in world.store.list("")}
    with pytest.raises(IntegrityError), world.open(cache="fresh") as repository:
        prune_all(repository)
    assert {info.name for info in world.store.list("")} == before


def test_a_damaged_log_stops_writers_but_not_readers(world: World) -> None:
    first, second = world.back_up(), world.back_up()
    world.forget(first)
    world.prune()
    corrupt(world.store, layout.gc_name(2), bit_flipped(100))
    with world.open() as repository:
        (snapshot,) = [one for one in repository.snapshots() if one.id == second]
        assert read_snapshot(repository, snapshot).below(world.source) == world.truth[second]
        assert {error.kind for error in repository.problems} == {"gc entry"}
        result = check_all(repository)
        assert [(one.kind, one.name) for one in result.damage] == [("gc entry", layout.gc_name(2))]
        for write in (lambda: back_up(repository, world.source), lambda: prune_all(repository)):
            with pytest.raises(IntegrityError, match="gc entry"):
                write()


def test_a_damaged_pack_stays_and_is_reported(world: World) -> None:
    first, second = world.back_up(), world.back_up()
    world.forget(first)
    with world.open() as repository:
        index = repository.load_index()
        blob_id = BlobId(repository.keys.data_hash()(next(iter(COMMON.values()))))
        place = index.require(blob_id)
        table = index.pack(place.pack)
        at = sum(table.slice_sizes[: place.offset // SLICE_SIZE])
    name = layout.pack_name(table.pack_id)
    corrupt(world.store, name, bit_flipped(PACK_HEADER_LENGTH + at + 100))
    with world.open() as repository:
        result = prune_all(repository)
        assert result.problems
        files = {snapshot.id: found for snapshot, found in read_all(repository)}
    found = files[second]
    intact = {path for path in world.truth[second] if path in found.below(world.source)}
    assert len(intact) >= len(world.truth[second]) - 8, "one slice of 64 KiB is damaged"
    assert name in {info.name for info in world.store.list(layout.PACKS)}
