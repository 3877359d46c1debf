"""What is explored: the protocol within stated bounds, and mutants of it that must fail.

A case says who takes part and how often (`Setup`); within that, every order of all steps is explored to
its end, so each case is its own bound: CASES reach 2 writers, 2 attempts, 2 sealers, 2 cycles, 2 forgets
and an undo, though not all at once, with 0.8 million states; FULL reaches 3 writers, 3 attempts and 3
cycles, with 25 million. One blob throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from model.explore import Result, explore
from model.protocol import broken, steps
from model.state import Setup, forget_cached, initial

OVERWRITES: Final = "no create-if-absent"
"""Storage that replaces what is there; two sealers on it are a mutant, one is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One exploration.

    Attributes:
        name: for people.
        setup: who takes part.
        breaks: the invariant that the shortest trace violates, "" if all of them hold.
        states: how many states there are at least; a model that explores less has lost something.
        unchecked: an invariant that is not looked at, to see what follows from its violation.
    """

    name: str
    setup: Setup
    breaks: str = ""
    states: int = 0
    unchecked: str = ""


def run(case: Case) -> Result:
    """Explore a case to its end, or to the first state that is broken."""
    setup = case.setup
    result = explore(
        initial(setup),
        partial(steps, setup),
        partial(broken, setup, unchecked=case.unchecked),
    )
    forget_cached()
    return result


CASES: Final = (
    Case(
        name="2 backups, 2 sealers, 2 cycles",
        setup=Setup(writers="bb", sealers=2, cycles=2, deletes=False),
        states=337_694,
    ),
    Case(
        name="2 backups with 2 attempts, 1 cycle",
        setup=Setup(writers="bb", attempts=2),
        states=32_315,
    ),
    Case(
        name="2 backups, 2 sealers that may seal emptily, 1 cycle",
        setup=Setup(writers="bb", sealers=2, empty=True, deletes=False),
        states=68_689,
    ),
    Case(
        name="backup that dies and runs again, empty SEALs, 2 cycles",
        setup=Setup(writers="b", attempts=2, cycles=2, dies=True, empty=True),
        states=74_589,
    ),
    Case(
        name="the same with a late request, first backup, 2 cycles",
        setup=Setup(writers="b", attempts=2, cycles=2, dies=True, late=1, fresh=True),
        states=34_119,
    ),
    Case(
        name="2 sealers that go on after old entries are deleted",
        setup=Setup(writers="b", sealers=2, cycles=2, trim=True),
        states=56_670,
    ),
    Case(
        name="backup and repack, any pack may stay uncondemned",
        setup=Setup(writers="br", choice=True, consolidate=True, deletes=False),
        states=73_729,
    ),
    Case(
        name="backup, 2 cycles, any pack may stay uncondemned",
        setup=Setup(writers="b", cycles=2, choice=True, consolidate=True),
        states=99_022,
    ),
    Case(
        name="backup and tag, 2 cycles",
        setup=Setup(writers="b", cycles=2, tag=True),
        states=49_754,
    ),
    Case(
        name="backup, 2 forgets, undo, empty SEALs, 2 cycles",
        setup=Setup(writers="b", cycles=2, forgets=2, undos=1, empty=True),
        states=31_415,
    ),
    Case(
        name="storage that overwrites, one maintainer, 2 cycles",
        setup=Setup(writers="bb", cycles=2, deletes=False, mutant=OVERWRITES),
        states=122_105,
    ),
    Case(
        name="storage that overwrites, one maintainer, 2 forgets and undo",
        setup=Setup(writers="b", cycles=2, forgets=2, undos=1, mutant=OVERWRITES),
        states=26_877,
    ),
    Case(
        name="backup and retention, 2 cycles",
        setup=Setup(writers="b", cycles=2, retention=True),
        states=10_187,
    ),
)


def _mutant(breaks: str, setup: Setup, *, unchecked: str = "", states: int = 0) -> Case:
    name = f"{setup.mutant} ({unchecked} unchecked)" if unchecked else setup.mutant
    return Case(name=name, setup=setup, breaks=breaks, states=states, unchecked=unchecked)


MUTANTS: Final = (
    # The seven that the argument in docs/prune.md rests on.
    _mutant("I1", Setup(writers="b", mutant="no check after the commit")),
    _mutant("I1", Setup(writers="b", mutant="no CLOSE")),
    _mutant("I1", Setup(writers="b", mutant="lists before CLOSE")),
    _mutant("I2", Setup(writers="bb", mutant="undecided commits are trusted")),
    _mutant("I4", Setup(writers="b", sealers=2, mutant="no create-if-absent")),
    _mutant("I3", Setup(writers="b", sealers=2, mutant="no create-if-absent"), unchecked="I4"),
    _mutant(
        "I2", Setup(writers="b", sealers=2, forgets=0, mutant="no create-if-absent"), unchecked="I4"
    ),
    _mutant("I2", Setup(writers="b", mutant="pack names are reused")),
    _mutant(
        "I2",
        Setup(writers="b", attempts=2, fresh=True, forgets=0, mutant="own packs are not looked at"),
    ),
    # What writers look at.
    _mutant("I2", Setup(writers="bb", mutant="the log is read once")),
    _mutant("I2", Setup(writers="b", mutant="condemned packs are used")),
    _mutant("I2", Setup(writers="b", mutant="the view is that of the commit")),
    _mutant(
        "I2",
        Setup(
            writers="b",
            attempts=2,
            cycles=2,
            late=1,
            fresh=True,
            forgets=0,
            mutant="old own packs are taken over",
        ),
    ),
    # What pruners look at and write.
    _mutant("I2", Setup(writers="bb", forgets=2, mutant="commits are listed before forgets")),
    _mutant(
        "I2", Setup(writers="b", sealers=2, cycles=2, trim=True, mutant="the log is not read again")
    ),
    _mutant("I2", Setup(writers="b", cycles=2, consolidate=True, mutant="doomed packs are places")),
    _mutant("I2", Setup(writers="b", cycles=2, mutant="doomed packs are not carried over")),
    _mutant("I2", Setup(writers="b", cycles=2, empty=True, mutant="an empty SEAL dooms nothing")),
    _mutant("I2", Setup(writers="b", mutant="orphan index objects are not condemned")),
    _mutant("I3", Setup(writers="b", cycles=2, empty=True, mutant="forgotten stay valid")),
    _mutant(
        "I6",
        Setup(writers="b", consolidate=True, mutant="forgotten stay valid, superseded are trusted"),
        unchecked="I3",
    ),
    _mutant(
        "I1",
        Setup(
            writers="b",
            sealers=2,
            cycles=2,
            trim=True,
            forgets=0,
            mutant="the log is not listed again",
        ),
    ),
    # What people do.
    _mutant("I5", Setup(writers="", undos=1, mutant="undo does not read the log")),
    _mutant(
        "I5",
        Setup(writers="b", undos=1, mutant="forgotten stay valid, and undo believes it"),
        unchecked="I3",
    ),
    _mutant("I2", Setup(writers="", tag=True, mutant="a tag has the newest view")),
    _mutant("I1", Setup(writers="", tag=True, mutant="a tag is not checked")),
    _mutant(
        "I1",
        Setup(
            writers="b", retention=True, forgets=0, mutant="retention reads the log before commits"
        ),
    ),
)

# Rules that nothing within these bounds needs: with any one of them gone, all invariants hold.
SPARE: Final = (
    _mutant(
        "",
        Setup(writers="b", attempts=2, cycles=2, dies=True, mutant="packs bad at first only"),
        states=45987,
    ),
    _mutant(
        "",
        Setup(writers="b", attempts=2, cycles=2, dies=True, mutant="packs bad at second only"),
        states=62434,
    ),
    _mutant(
        "",
        Setup(
            writers="b",
            attempts=2,
            cycles=2,
            dies=True,
            mutant="the view is that of the second read",
        ),
        states=39167,
    ),
    _mutant(
        "",
        Setup(writers="br", consolidate=True, deletes=False, mutant="superseded are trusted"),
        states=16431,
    ),
    _mutant(
        "",
        Setup(
            writers="b",
            tag=True,
            mutant="commits are listed before forgets, only their marks count",
        ),
        states=6088,
    ),
)

FULL: Final = (
    Case(
        name="2 backups with 2 attempts, 2 cycles",
        setup=Setup(writers="bb", attempts=2, cycles=2),
    ),
    Case(
        name="backup with 3 attempts that dies, 3 cycles",
        setup=Setup(writers="b", attempts=3, cycles=3, dies=True),
    ),
    Case(
        name="backup, 2 attempts, dies, late request, empty, 3 cycles",
        setup=Setup(writers="b", attempts=2, cycles=3, dies=True, late=1, empty=True),
    ),
    Case(
        name="2 sealers that go on, empty SEALs, 3 cycles",
        setup=Setup(writers="b", sealers=2, cycles=3, trim=True, empty=True),
    ),
    Case(
        name="3 backups, 1 cycle",
        setup=Setup(writers="bbb", deletes=False),
    ),
    Case(
        name="backup and repack, 2 cycles, any pack may stay uncondemned",
        setup=Setup(writers="br", cycles=2, choice=True, consolidate=True, deletes=False),
    ),
    Case(
        name="backup, 3 cycles, any pack may stay uncondemned, 2 forgets",
        setup=Setup(writers="b", cycles=3, choice=True, consolidate=True, forgets=2),
    ),
    Case(
        name="backup, tag, 2 forgets, undo, empty SEALs, 2 cycles",
        setup=Setup(writers="b", tag=True, cycles=2, forgets=2, undos=1, empty=True),
    ),
    Case(
        name="2 backups, 2 sealers that go on, empty SEALs, 2 cycles",
        setup=Setup(writers="bb", sealers=2, cycles=2, empty=True, trim=True, deletes=False),
    ),
    Case(
        name="2 backups with 2 attempts, 2 sealers, 2 cycles",
        setup=Setup(writers="bb", attempts=2, sealers=2, cycles=2, deletes=False),
    ),
)
