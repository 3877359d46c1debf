"""What hypothesis draws: what the hosts do, in which order they go on, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

import hypothesis.strategies as st

from holdfast.operations.prune import PruneOptions
from simulation.scheduler import Process
from simulation.sources import HOSTS, VARIANTS
from simulation.store import AT_THE_END, Answer, Fault, HostFaults, StoreOptions
from simulation.world import World

BUSY_HOSTS: Final = HOSTS - 1
_YEAR_S: Final = 365 * 24 * 3600
_TO_ITS_END: Final = None
_Item = TypeVar("_Item")


class Kind(Enum):
    """What a host can do."""

    BACKUP = auto()
    FORGET = auto()
    UNDO = auto()
    TAG = auto()
    PRUNE = auto()
    HASTY_PRUNE = auto()
    """Without waiting for other hosts' sessions."""
    READ = auto()
    LOSE_CACHE = auto()


@dataclass(frozen=True, slots=True)
class Task:
    """One command of a host."""

    kind: Kind
    pick: int = 0
    """Which variant or snapshot."""

    def begin(self, world: World, host: int) -> Process:
        """Return the process of the command."""
        match self.kind:
            case Kind.BACKUP:
                return world.backup(host, self.pick % VARIANTS)
            case Kind.FORGET:
                return world.forget(host, self.pick)
            case Kind.UNDO:
                return world.undo(host, self.pick)
            case Kind.TAG:
                return world.tag(host, self.pick)
            case Kind.PRUNE:
                return world.prune(host, PruneOptions())
            case Kind.HASTY_PRUNE:
                return world.prune(host, PruneOptions(wait_s=0))
            case Kind.READ:
                return world.read(host)
            case Kind.LOSE_CACHE:
                return world.lose_cache(host)


@dataclass(frozen=True, slots=True)
class Turn:
    """A host goes on for some stops, or to the end of its command."""

    host: int
    steps: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A whole simulation; the same one runs the same way every time."""

    store: StoreOptions
    tasks: tuple[tuple[Task, ...], ...]
    """Of each host, one after another."""
    turns: tuple[Turn, ...]
    """What is not done then is done host by host."""
    faults: tuple[tuple[int, int, Fault], ...] = ()
    """(host, number of a change among the host's, what happens to it)."""
    failing_reads: tuple[tuple[int, int], ...] = ()
    """(host, number of a request that changes nothing)."""
    skews_s: tuple[int, ...] = (0,) * HOSTS
    seed: int = 0

    def faults_of(self, host: int) -> HostFaults:
        """Return what goes wrong for a host."""
        return HostFaults(
            {number: fault for owner, number, fault in self.faults if owner == host},
            frozenset(number for owner, number in self.failing_reads if owner == host),
        )

    def run(self, world: World) -> None:
        """Have the hosts do all this, then `settle`."""
        queues = [list(tasks) for tasks in self.tasks]
        current: dict[int, Process] = {}

        def process_of(host: int) -> Process | None:
            process = current.get(host)
            if (process is None or process.has_ended) and queues[host]:
                process = current[host] = queues[host].pop(0).begin(world, host)
            return None if process is None or process.has_ended else process

        for turn in self.turns:
            process = process_of(turn.host)
            if process is not None:
                world.run(process, turn.steps)
        for host in range(len(queues)):
            while (process := process_of(host)) is not None:
                world.run(process)
        world.settle()


_backups = st.builds(Task, st.just(Kind.BACKUP), st.integers(0, VARIANTS - 1))
_tasks = st.builds(
    Task,
    st.sampled_from(
        [Kind.BACKUP] * 4
        + [Kind.FORGET] * 4
        + [Kind.PRUNE]
        + [Kind.HASTY_PRUNE] * 4
        + [Kind.TAG, Kind.UNDO, Kind.READ, Kind.LOSE_CACHE]
    ),
    st.integers(0, 7),
)
_turns = st.builds(
    Turn,
    st.integers(0, BUSY_HOSTS - 1),
    st.one_of(st.just(_TO_ITS_END), st.integers(1, 12), st.integers(5, 60)),
)
_delays = st.one_of(st.none(), st.integers(1, 200), st.just(AT_THE_END))
_faults = st.one_of(
    st.builds(Fault, st.booleans(), st.just(Answer.NEVER), _delays),
    st.builds(Fault, st.booleans(), st.just(Answer.LOST), _delays),
    st.builds(Fault, st.just(True), st.just(Answer.GIVEN), st.integers(1, 200)),
)
_hosts = st.integers(0, BUSY_HOSTS - 1)


def _tasks_of_host() -> st.SearchStrategy[tuple[Task, ...]]:
    """Every host begins with a backup: without one there is little to lose."""
    more = st.lists(_tasks, min_size=1, max_size=5)
    return st.builds(lambda first, rest: (first, *rest), _backups, more)


def schedules(*, with_faults: bool = True) -> st.SearchStrategy[Schedule]:
    """Return the strategy of schedules; hosts that are not drawn for long are suspended."""
    return st.builds(
        Schedule,
        store=st.builds(
            StoreOptions,
            is_remote=st.booleans(),
            page_length=st.sampled_from([1000, 1000, 2]),
            descending=st.booleans(),
        ),
        tasks=st.tuples(*[_tasks_of_host()] * BUSY_HOSTS),
        turns=st.lists(_turns, min_size=4, max_size=24).map(tuple),
        faults=_some(st.tuples(_hosts, st.integers(0, 30), _faults), 8, with_faults),
        failing_reads=_some(st.tuples(_hosts, st.integers(0, 200)), 3, with_faults),
        skews_s=st.tuples(*[st.integers(-_YEAR_S, _YEAR_S)] * HOSTS),
        seed=st.integers(0, 7),
    )


def _some(
    items: st.SearchStrategy[_Item], most: int, wanted: bool
) -> st.SearchStrategy[tuple[_Item, ...]]:
    return st.lists(items, min_size=1, max_size=most).map(tuple) if wanted else st.just(())
