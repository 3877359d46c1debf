"""What a repository and its processes look like to the model of prune, and how the log is read.

The model knows one blob. Attempt k of all attempts to write it owns pack k, index object k and commit k;
slot 0 is a snapshot that was there before. Sets of packs, index objects and commits are bit masks.
The index object that a SEAL of cycle c consolidates has the slot after those of the attempts, plus c.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, NamedTuple

ABSENT: Final = 0  # a commit that was not created; otherwise the field is its view + FIRST_VIEW
FIRST_VIEW: Final = 2  # the view of an empty log is -1
IDLE: Final = (0,)

Process = tuple[int, ...]


class Condemn(NamedTuple):
    """Entry 3c: the packs and index objects that nobody may begin to use."""

    packs: int
    objects: int  # index objects


class Seal(NamedTuple):
    """Entry 3c+2: what a cycle decided."""

    live: int
    doomed: int
    objects: int  # index objects
    superseded: int
    forgotten: int


class Close(NamedTuple):
    """Entry 3c+1: from here on, commits with an older view wait for the SEAL."""


Entry = Condemn | Close | Seal
Log = tuple[Entry, ...]
NO_SEAL: Final = Seal(0, 0, 0, 0, 0)


class State(NamedTuple):
    """A repository, what its users were promised, and its processes."""

    log: Log  # every entry ever written, also those that are deleted
    trimmed: int  # entries below this number are deleted and may be created once more
    commits: tuple[int, ...]  # by slot
    objects: tuple[int, ...]  # index objects by slot: the packs it lists, 0 if it was not created
    packs: int  # those present
    marks: int
    promised: int  # acknowledged and not forgotten
    withdrawn: int  # forgotten, and no undo succeeded
    undone: int  # those whose forget was undone
    dead: int  # packs that somebody is entitled to delete, now or at any later time
    dead_objects: int
    junk: tuple[tuple[int, Seal], ...]  # SEALs created where one was deleted, with their cycles
    split: int  # 1 if an entry of the log was overwritten
    budget: tuple[int, int, int]  # forgets, undos and late requests that may still come
    writers: tuple[Process, ...]
    sealers: tuple[Process, ...]
    users: tuple[Process, Process, Process]  # undo, tag, retention


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Who takes part, and how often. `mutant` names the one rule that is broken, if any.

    Attributes:
        writers: "b" for a backup, "r" for a repack (a commit without a snapshot), one letter each.
        attempts: how often a writer tries until it gives up.
        sealers: pruners, or writers that seal, which look at the repository after a CLOSE.
        cycles: how many CONDEMNs are written.
        forgets, undos, late: how many marks are made, taken back; how many packs arrive twice.
        fresh: the repository is empty at first.
        dies: a run may die after it stored its pack; the next attempt is the next run.
        deletes: doomed packs disappear; otherwise they only count as gone.
        tag: the first snapshot is replaced by one with other tags.
        retention: somebody forgets the first snapshot because a newer one is there.
        empty: a sealer may be a writer, which seals emptily.
        choice: a CONDEMN names all packs, or all but one; otherwise all.
        consolidate: a SEAL may replace all index objects by one.
        trim: entries below the last SEAL's CONDEMN are deleted at any time, and sealers that were
            overtaken go on.
    """

    writers: str
    attempts: int = 1
    sealers: int = 1
    cycles: int = 1
    forgets: int = 1
    undos: int = 0
    late: int = 0
    fresh: bool = False
    dies: bool = False
    deletes: bool = True
    tag: bool = False
    retention: bool = False
    empty: bool = False
    choice: bool = False
    consolidate: bool = False
    trim: bool = False
    mutant: str = ""

    @cached_property
    def tag_slot(self) -> int:
        """The slot of the commit that a tag makes."""
        return 1 + len(self.writers) * self.attempts

    @cached_property
    def slots(self) -> int:
        """Slots of commits; consolidated index objects come after them."""
        return self.tag_slot + self.tag

    @cached_property
    def snapshots(self) -> int:
        """The commits that have a snapshot, and so need the blob."""
        mask = (1 << self.slots) - 1
        for number, kind in enumerate(self.writers):
            for attempt in range(self.attempts):
                if kind == "r":
                    mask &= ~(1 << self.slot(number, attempt))
        return mask

    def slot(self, writer: int, attempt: int) -> int:
        """The slot of a writer's attempt, both counted from 0."""
        return 1 + writer * self.attempts + attempt


def initial(setup: Setup) -> State:
    """One acknowledged snapshot with its pack and index object, or none, and an empty log."""
    one = int(not setup.fresh)
    nothing = (ABSENT,) * (setup.slots - 1)
    return State(
        log=(),
        trimmed=0,
        commits=(one * (FIRST_VIEW - 1), *nothing),
        objects=(one, *nothing, *(0,) * setup.cycles),
        packs=one,
        marks=0,
        promised=one,
        withdrawn=0,
        undone=0,
        dead=0,
        dead_objects=0,
        junk=(),
        split=0,
        budget=(setup.forgets, setup.undos, setup.late),
        writers=(IDLE,) * len(setup.writers),
        sealers=(IDLE,) * setup.sealers,
        users=(IDLE, IDLE, IDLE),
    )


@cache
def bits(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


@cache
def names(mask: int) -> str:
    """The same as text, for labels."""
    return " ".join(map(str, bits(mask))) or "none"


def is_closed(log: Log) -> bool:
    """True while the last entry is a CLOSE."""
    return len(log) % 3 == 2


def sealed_cycles(log: Log) -> int:
    """How many SEALs were written; also the number of the open cycle."""
    return len(log) // 3


@cache
def last_seal(log: Log) -> Seal:
    """The last SEAL; an empty one if there is none."""
    cycles = sealed_cycles(log)
    if cycles == 0:
        return NO_SEAL
    entry = log[3 * cycles - 1]
    assert isinstance(entry, Seal)
    return entry


def condemned(log: Log) -> Condemn:
    """What the unsealed CONDEMN names; nothing if there is none."""
    if len(log) % 3 == 0:
        return Condemn(0, 0)
    entry = log[3 * sealed_cycles(log)]
    assert isinstance(entry, Condemn)
    return entry


@cache
def bad(log: Log) -> int:
    """Packs that a writer that has read this log does not use."""
    return last_seal(log).doomed | condemned(log).packs


@cache
def valid(commits: tuple[int, ...], log: Log, mutant: str) -> int:
    """The commits that are valid; the others are void."""
    cycles = sealed_cycles(log)
    oldest = 3 * (cycles - 1) if cycles else -1
    seal = last_seal(log)
    mask = 0
    for slot, commit in enumerate(commits):
        if commit and (commit - FIRST_VIEW >= oldest or seal.live >> slot & 1):
            mask |= 1 << slot
    return mask if mutant.startswith("forgotten stay valid") else mask & ~seal.forgotten


@cache
def undecided(commits: tuple[int, ...], log: Log) -> int:
    """The commits that an unsealed CLOSE still decides on."""
    if not is_closed(log):
        return 0
    oldest = 3 * sealed_cycles(log)
    return sum(1 << slot for slot, commit in enumerate(commits) if commit - FIRST_VIEW < oldest)


@cache
def trusted(log: Log, commits: int, index: tuple[int, ...], mutant: str) -> int:
    """The trusted index objects, if exactly `commits` count (of those valid under `log`)."""
    seal = last_seal(log)
    named = sum(1 << slot for slot in bits(commits & ~seal.live) if index[slot])
    mask = seal.objects | named
    return mask if mutant.endswith("superseded are trusted") else mask & ~seal.superseded


@cache
def listed(index: tuple[int, ...], objects: int) -> int:
    """The packs that these index objects list."""
    mask = 0
    for slot in bits(objects):
        mask |= index[slot]
    return mask


@cache
def doomed_ever(log: Log) -> int:
    """The packs that any SEAL dooms."""
    mask = 0
    for end in range(3, len(log) + 1, 3):
        mask |= last_seal(log[:end]).doomed
    return mask


@cache
def uses_deleted(log: Log, commits: tuple[int, ...], objects: tuple[int, ...], mutant: str) -> bool:
    """Whether anyone may delete what is in use.

    Who has read the log up to some SEAL deletes what that SEAL dooms, and the commits that are void or
    forgotten by it, at any later time.
    """
    stays = valid(commits, log, mutant)
    forgotten = 0
    for cycle in range(sealed_cycles(log)):
        read = log[: 3 * cycle + 3]
        seal = last_seal(read)
        if stays & ~valid(commits, read, mutant) or seal.live & forgotten:
            return True
        forgotten |= seal.forgotten
        for slot in bits(stays):
            if commits[slot] - FIRST_VIEW >= 3 * cycle and objects[slot] & seal.doomed:
                return True
    return False


def forget_cached() -> None:
    """Give back the memory of what was computed for earlier states."""
    for function in (bad, doomed_ever, last_seal, listed, trusted, undecided, uses_deleted, valid):
        function.cache_clear()


def replaced(values: tuple[Process, ...], number: int, value: Process) -> tuple[Process, ...]:
    """A copy of `values` with one of them replaced."""
    return (*values[:number], value, *values[number + 1 :])


def set_slot(values: tuple[int, ...], slot: int, value: int) -> tuple[int, ...]:
    """A copy of `values` with one of them replaced."""
    return (*values[:slot], value, *values[slot + 1 :])
