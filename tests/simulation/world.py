"""Hosts that work on one repository through the simulated store, and what they may never see.

Every operation is the engine's own code, run by a process of its own that opens the repository,
works and closes it again, as a command does.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from holdfast.backends.retry import Retrier, RetryBackend
from holdfast.errors import (
    CommitVoidError,
    ForgetFinalError,
    IntegrityError,
    PruneBusyError,
    SnapshotNotFoundError,
    TransientBackendError,
)
from holdfast.format.node import NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.forget import forget_snapshots, forgotten_snapshots, undo_forget
from holdfast.operations.prune import PruneOptions, prune
from holdfast.operations.snapshots import tag_snapshots
from holdfast.operations.tree_walk import iter_tree
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from simulation.scheduler import Operation, Process, run_pools_inline
from simulation.sources import HOSTS, Sources
from simulation.store import HostFaults, ProcessBackend, ProcessClock, SimulatedStore
from simulation.truth import Fate, Truth
from support.repos import (
    SECRET,
    back_up,
    check_all,
    contents,
    leave_mark_of_dead_process,
    new_store,
)

ORIGIN: Final = "backup-"
"""Begin of the tag that says which backup made a snapshot."""


class Counts:
    """How much was explored."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        """A plain dictionary: xdist sends no other."""

    def add(self, world: World) -> None:
        """Count what a simulation did."""
        for name, number in (
            ("schedules", 1),
            ("processes", world.processes),
            ("operations", world.store.steps),
            ("faults", world.store.faults_met),
            ("deaths", world.deaths),
        ):
            self.totals[name] = self.totals.get(name, 0) + number


class Chance:
    """Where the engine's random bytes come from: a sequence for each process."""

    def __init__(self) -> None:
        self._sequences: dict[str, random.Random] = {}
        self.seed = 0

    def reset(self, seed: int) -> None:
        """Begin all sequences anew."""
        self.seed = seed
        self._sequences.clear()

    def of_this_thread(self, purpose: str = "") -> random.Random:
        """Return a sequence of the running process."""
        name = f"{threading.current_thread().name} {purpose}"
        if name not in self._sequences:
            self._sequences[name] = random.Random(f"{self.seed} {name}")
        return self._sequences[name]

    def bytes(self, length: int) -> bytes:
        """Return random bytes, as os.urandom does.

        Every caller has a sequence: times change how long the padding of a pack is by a few
        bytes, and that must not change names.
        """
        return self.of_this_thread(sys._getframe(1).f_code.co_name).randbytes(length)


@dataclass(frozen=True, slots=True)
class Machine:
    """What all simulations of a test share: the engine without threads and without chance."""

    directory: Path
    sources: Sources
    chance: Chance
    empty: Mapping[str, bytes]
    """The objects of a repository without snapshots."""

    @classmethod
    def prepare(cls, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
        """Make the engine deterministic for the duration of a test."""
        chance = Chance()
        run_pools_inline(monkeypatch)
        monkeypatch.setattr(os, "urandom", chance.bytes)
        return cls(directory, Sources(directory / "sources"), chance, contents(new_store()))

    def begin(self, seed: int = 0) -> None:
        """Begin a simulation: what was random before does not matter."""
        self.chance.reset(seed)


@dataclass(slots=True)
class Host:
    """A host: its cache, how far its clock is ahead, its luck."""

    number: int
    cache: Path
    skew_s: int
    faults: HostFaults

    @property
    def name(self) -> str:
        return f"host-{self.number}"


@dataclass(slots=True)
class World:
    """A repository and the hosts that use it.

    Use as a context manager: at its end every process that still lives is killed.
    """

    machine: Machine
    store: SimulatedStore
    skews_s: Sequence[int] = (0,) * HOSTS
    faults: Mapping[int, HostFaults] = field(default_factory=dict)
    """By host."""
    truth: Truth = field(default_factory=Truth)
    processes: int = 0
    deaths: int = 0
    hosts: list[Host] = field(init=False)
    _living: list[Process] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for name, data in self.machine.empty.items():
            self.store.objects.create(name, data)
        self.hosts = [
            Host(
                number,
                self.machine.directory / "caches" / str(number),
                self.skews_s[number],
                self.faults.get(number, HostFaults({})),
            )
            for number in range(HOSTS)
        ]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._living:
            if not process.has_ended:
                process.kill()
        shutil.rmtree(self.machine.directory / "caches", ignore_errors=True)

    # -- running processes ------------------------------------------------------------------

    def run(self, process: Process, steps: int | None = None) -> None:
        """Resume a process for some stops, or to its end."""
        while not process.has_ended and steps != 0:
            self.step(process)
            steps = None if steps is None else steps - 1

    def run_until(self, process: Process, condition: Callable[[Operation], bool]) -> bool:
        """Resume a process until it is about to do something; False if it never does."""
        while not process.has_ended:
            if process.pending is not None and condition(process.pending):
                return True
            self.step(process)
        return False

    def step(self, process: Process) -> None:
        """Resume a process once."""
        process.step()
        if process.has_ended:
            self._bury(process)

    def kill(self, process: Process) -> None:
        """Have a process die where it is."""
        process.kill()
        self._bury(process)

    def _bury(self, process: Process) -> None:
        self._living.remove(process)
        if process.is_dead:
            self.deaths += 1
            self.store.note(f"{process.name} is dead")

    # -- what processes do ------------------------------------------------------------------

    def process(self, host: int, label: str, work: Callable[[Repository], None]) -> Process:
        """Return a process that opens the repository and works; it has not begun yet."""
        here = self.hosts[host]
        self.processes += 1

        def body() -> None:
            clock = ProcessClock(self.store, process, here.skew_s)
            backend = ProcessBackend(self.store, process, here.faults)
            chance = self.machine.chance.of_this_thread()
            patient = RetryBackend(
                backend, Retrier(clock=clock, sleep=clock.sleep_s, random=chance.random)
            )
            try:
                with Repository.open(
                    patient, SECRET, cache_dir=str(here.cache), clock=clock
                ) as repository:
                    work(repository)
                self.store.note(f"{process.name} is done")
            except TransientBackendError as error:
                self.store.note(f"{process.name} gave up: {error}")
                assert backend.faults_met, "an error that nothing has caused"
            finally:
                if process.is_dead and chance.random() < 0.5:
                    leave_mark_of_dead_process(here.cache)

        process = Process(f"{here.name} {label} {self.processes}", body)
        self._living.append(process)
        return process

    def backup(self, host: int, variant: int) -> Process:
        """A backup of one variant of the host's source."""

        def work(repository: Repository) -> None:
            origin = f"{ORIGIN}{process.name}".replace(" ", "-")
            with self.machine.sources.showing(host, variant) as tree:
                self.truth.contents[origin] = tree
                made = back_up(
                    repository,
                    self.machine.sources.path(host),
                    host=self.hosts[host].name,
                    tags=(origin,),
                )
            assert made.snapshot is not None
            self.store.note(f"{process.name} made {made.snapshot}")
            self.truth.acknowledge(made.snapshot)

        process = self.process(host, f"backup {variant}", work)
        return process

    def forget(self, host: int, pick: int) -> Process:
        """Forget one of the snapshots that the host sees, or all but that one."""

        def work(repository: Repository) -> None:
            snapshots = repository.snapshots()
            if not snapshots:
                return
            one = snapshots[pick % len(snapshots)]
            chosen = [one] if pick % 2 else [other for other in snapshots if other is not one]
            with self.truth.change((some.id for some in chosen), Fate.FORGOTTEN):
                forget_snapshots(repository, chosen)

        return self.process(host, f"forget {pick}", work)

    def forget_of(self, host: int, owner: int | None = None) -> Process:
        """Forget all that one host, else the same one, has backed up."""

        def work(repository: Repository) -> None:
            name = self.hosts[host if owner is None else owner].name
            own = [one for one in repository.snapshots() if one.host == name]
            with self.truth.change((some.id for some in own), Fate.FORGOTTEN):
                forget_snapshots(repository, own)

        return self.process(host, "forget all", work)

    def undo(self, host: int, pick: int) -> Process:
        """Bring a snapshot back, if it is not too late."""

        def work(repository: Repository) -> None:
            snapshots = forgotten_snapshots(repository)
            if not snapshots:
                return
            one = snapshots[pick % len(snapshots)]
            with self.truth.change((one.id,), Fate.KEPT) as change:
                try:
                    undo_forget(repository, [one])
                except (ForgetFinalError, SnapshotNotFoundError):
                    change.outcome = Fate.FORGOTTEN

        return self.process(host, f"undo {pick}", work)

    def tag(self, host: int, pick: int) -> Process:
        """Give a snapshot another tag: a new snapshot takes its place."""

        def work(repository: Repository) -> None:
            snapshots = repository.snapshots()
            if not snapshots:
                return
            one = snapshots[pick % len(snapshots)]
            with self.truth.change((one.id,), Fate.FORGOTTEN) as change:
                try:
                    made = tag_snapshots(repository, [one], add=[f"tag {process.name}"])
                except (SnapshotNotFoundError, CommitVoidError) as error:
                    self.store.note(f"{process.name}: {error}")
                    change.is_withdrawn = True
                    return
            for item in made:
                assert item.new_id is not None
                self.store.note(f"{process.name} made {item.new_id} of {one.id}")
                self.truth.acknowledge(item.new_id)

        process = self.process(host, f"tag {pick}", work)
        return process

    def prune(self, host: int, options: PruneOptions) -> Process:
        """Free space."""

        def work(repository: Repository) -> None:
            try:
                result = prune(repository, options)
            except PruneBusyError:
                self.store.note(f"{process.name}: others were faster")
            else:
                assert not result.problems, result.problems
                self.store.note(f"{process.name}: {result.outcome}")

        process = self.process(host, "prune", work)
        return process

    def read(self, host: int) -> Process:
        """Read every snapshot as a restore does."""
        return self.process(host, "read", self._verify)

    def lose_cache(self, host: int) -> Process:
        """Somebody deletes the cache between two commands."""

        def work(repository: Repository) -> None:
            repository.close()
            shutil.rmtree(self.hosts[host].cache)

        return self.process(host, "lose cache", work)

    # -- what must be true ------------------------------------------------------------------

    def _verify(self, repository: Repository) -> None:
        """Compare what can be read with what was acknowledged."""
        kept, forgotten = self.truth.all_of(Fate.KEPT), self.truth.all_of(Fate.FORGOTTEN)
        snapshots = repository.load_view().snapshots
        listed = {snapshot.id for snapshot in snapshots}
        still_kept = kept.items() & self.truth.all_of(Fate.KEPT).items()
        still_forgotten = forgotten.items() & self.truth.all_of(Fate.FORGOTTEN).items()
        lost = {snapshot_id for snapshot_id, _ in still_kept} - listed
        assert not lost, f"snapshots {lost} are lost"
        risen = {snapshot_id for snapshot_id, _ in still_forgotten} & listed
        assert not risen, f"forgotten snapshots {risen} are back"
        with BlobReader(repository) as reader:
            for snapshot in snapshots:
                self._verify_snapshot(reader, snapshot)
        assert not repository.problems, repository.problems

    def _verify_snapshot(self, reader: BlobReader, snapshot: Snapshot) -> None:
        origin = next(tag for tag in snapshot.tags if tag.startswith(ORIGIN))
        expected = self.truth.contents[origin]
        version = self.truth.all_of(Fate.KEPT).get(snapshot.id)
        files, damage = _read_files(reader, snapshot)
        base = b"/".join(snapshot.raw_paths) + b"/"
        content = {path.removeprefix(base): data for path, data in files.items()}
        assert content.items() <= expected.items(), f"snapshot {snapshot.id} holds other bytes"
        if version is not None and self.truth.all_of(Fate.KEPT).get(snapshot.id) == version:
            assert not damage, f"snapshot {snapshot.id} is damaged: {damage}"
            assert snapshot.partial or len(content) == len(expected)

    def check(self, host: int) -> Process:
        """Check every byte; to be run while nothing else happens."""

        def work(repository: Repository) -> None:
            result = check_all(repository)
            assert result.ok, (result.damage, result.files)

        return self.process(host, "check", work)

    def verify_space(self, host: int) -> None:
        """Verify that prune has left nothing that nobody needs."""

        def work(repository: Repository) -> None:
            listed = {table.pack_id for _, table in repository.load_index().packs()}
            view = repository.take_view()
            packs = set(map(layout.pack_name, listed - view.log.doomed))
            # Commits of repacks among them: they go with the cycle after theirs.
            commits = {layout.snapshot_name(item.id) for item in view.commits}
            assert self.store.names(layout.PACKS) == packs
            assert self.store.names(layout.SNAPSHOTS) == commits
            assert self.store.names(layout.INDEX) == set(map(layout.index_name, view.index_ids()))
            assert self.store.names(layout.FORGETS) == set()
            assert not view.forgotten

        shutil.rmtree(self.hosts[host].cache)
        self.run(self.process(host, "look", work))

    def settle(self) -> None:
        """Let everything come to its end, and see that nothing was lost and nothing is left."""
        fresh = HOSTS - 1
        for host in self.hosts:
            host.faults.is_off = True
        for process in [*self._living]:
            self.run(process)
        self.store.deliver_everything(up_to_delay=0)
        self.store.note("settled")
        old = self.hosts[self.machine.chance.seed % fresh]
        if old.cache.exists():
            self.run(self.read(old.number))
        self.run(self.read(fresh))
        self.run(self.check(fresh))
        self.run(self.backup(fresh, 0))
        for name in self.store.names(layout.SESSIONS):
            self.store.objects.delete(name)  # of the dead: their leases are long over
        self.run(self.prune(fresh, PruneOptions(wait_s=0)))
        self.store.note("pruned")
        self.run(self.read(fresh))
        self.run(self.check(fresh))
        self.verify_space(fresh)
        self.store.deliver_everything()
        self.store.note("everything is delivered")
        self.run(self.read(fresh))


def _read_files(
    reader: BlobReader, snapshot: Snapshot
) -> tuple[dict[bytes, bytes], list[IntegrityError]]:
    """Read every file of a snapshot as a restore does; return what cannot be read too."""
    damage: list[IntegrityError] = []
    found = iter_tree(reader, snapshot.root, on_damage=lambda _, error: damage.append(error))
    ids = {path: node.blob_ids for path, node in found if node.type == NodeType.FILE}
    blobs: dict[BlobId, bytes] = {}
    for blob_id, data in reader.fetch(one for wanted in ids.values() for one in wanted):
        if isinstance(data, IntegrityError):
            damage.append(data)
        else:
            blobs[blob_id] = bytes(data)
    return {
        path: b"".join(blobs[one] for one in wanted)
        for path, wanted in ids.items()
        if blobs.keys() >= set(wanted)
    }, damage
