"""Pruners: CONDEMN, CLOSE, what they look at before the SEAL, the SEAL, and deletions.

CONDEMN and CLOSE are written by anyone at any moment: nothing that a pruner saw before matters to them. A
sealer is whoever goes on after a CLOSE: the pruner, another one after its crash, or a writer that seals
emptily. Its steps, each atomic: list forgets; list commits; list packs; create the SEAL and read the log
again. Reading at once is the worst case: what it decides is as old as possible when it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from model.state import (
    IDLE,
    Close,
    Condemn,
    Log,
    Process,
    Seal,
    Setup,
    State,
    bits,
    condemned,
    is_closed,
    last_seal,
    listed,
    names,
    replaced,
    sealed_cycles,
    set_slot,
    trusted,
    valid,
)

FORGETS, COMMITS, PACKS = 1, 2, 3  # what a sealer has listed last
FULL, EMPTY = 0, 1
Step = tuple[str, State]


def log_steps(setup: Setup, state: State) -> Iterator[Step]:
    """CONDEMN, CLOSE and the deletion of old entries, by anyone."""
    size = len(state.log)
    if size % 3 == 0 and size < 3 * setup.cycles:
        for entry in _condemn_choices(setup, state):
            label = f"CONDEMN packs {names(entry.packs)}, index objects {names(entry.objects)}"
            yield label, state._replace(log=(*state.log, entry))
    if size % 3 == 1 and setup.mutant != "no CLOSE":
        yield "CLOSE", state._replace(log=(*state.log, Close()))
    oldest = 3 * (sealed_cycles(state.log) - 1)
    if setup.trim and state.trimmed < oldest:
        yield f"deletes entries below {oldest}", state._replace(trimmed=oldest)


def _condemn_choices(setup: Setup, state: State) -> list[Condemn]:
    packs = state.packs & ~last_seal(state.log).doomed
    kept = [0] if not setup.choice else [0, *(1 << number for number in bits(packs))]
    created = sum(1 << slot for slot, packs_in in enumerate(state.objects) if packs_in)
    created &= ~state.dead_objects
    objects = [created, 0] if setup.choice else [created]
    return [Condemn(packs & ~one, index) for one in kept for index in objects]


def delete_steps(state: State) -> Iterator[Step]:
    """Anyone who has ever read a SEAL deletes what it dooms, at any later time."""
    for number in bits(state.dead & state.packs):
        yield f"deletes pack {number}", state._replace(packs=state.packs & ~(1 << number))


def late_steps(state: State) -> Iterator[Step]:
    """A repeated request that was thought lost stores a pack again."""
    forgets, undos, late = state.budget
    if late:
        for slot, packs in enumerate(state.objects):
            if packs == 1 << slot and not state.packs >> slot & 1:
                changed = state._replace(
                    packs=state.packs | packs, budget=(forgets, undos, late - 1)
                )
                yield f"a late request stores pack {slot} again", changed


def sealer_steps(setup: Setup, state: State, number: int) -> Iterator[Step]:
    """The next step of a sealer. A process is (listed last, cycle, kind, marks, commits, packs)."""
    process = state.sealers[number]
    if number and process == state.sealers[number - 1]:
        return  # of equal ones, the first one goes on
    if process == IDLE:
        yield from _begin(setup, state, number)
        return
    step, cycle, kind, marks, commits, _ = process
    if step == PACKS:
        yield from _seal_steps(setup, state, number)
        return
    commits_first = setup.mutant.startswith("commits are listed before forgets")
    after: Process
    if step == FORGETS and not commits_first:
        there = _present(state)
        after = (COMMITS, cycle, kind, marks, there, 0)
        label = f"lists commits {names(there)}"
    elif step == COMMITS and commits_first:
        after = (FORGETS, cycle, kind, state.marks, commits, 0)
        label = f"lists marks {names(state.marks)}"
    else:
        after = (PACKS, cycle, kind, marks, commits, state.packs)
        label = f"lists packs {names(state.packs)}"
    if not setup.deletes and after[0] != PACKS and (step == COMMITS) == commits_first:
        # Packs of listed commits are there and stay: when they are listed makes no difference.
        after = (PACKS, *after[1:5], state.packs)
    yield f"sealer: {label}", _with(state, number, after)


def _begin(setup: Setup, state: State, number: int) -> Iterator[Step]:
    early = setup.mutant in ("no CLOSE", "lists before CLOSE") and len(state.log) % 3 == 1
    late = is_closed(state.log) and setup.mutant != "lists before CLOSE"
    if not early and not late:
        return
    cycle = sealed_cycles(state.log)
    there = _present(state)
    if setup.mutant.startswith("commits are listed before forgets"):
        yield (
            f"sealer: lists commits {names(there)}",
            _with(state, number, (COMMITS, cycle, FULL, 0, there, 0)),
        )
    else:
        yield (
            f"sealer: lists marks {names(state.marks)}",
            _with(state, number, (FORGETS, cycle, FULL, state.marks, 0, 0)),
        )
    if setup.empty:
        yield (
            f"writer as sealer: lists commits {names(there)}",
            _with(state, number, (PACKS, cycle, EMPTY, 0, there, 0)),
        )


def _present(state: State) -> int:
    return sum(1 << slot for slot, commit in enumerate(state.commits) if commit)


def _with(state: State, number: int, process: Process) -> State:
    """Sealers are alike: they are kept in order, those without work last."""
    return state._replace(sealers=_sorted(replaced(state.sealers, number, process)))


def _sorted(sealers: tuple[Process, ...]) -> tuple[Process, ...]:
    return tuple(sorted(sealers, reverse=True))


def _seal_steps(setup: Setup, state: State, number: int) -> Iterator[Step]:
    _, cycle, kind, _, _, _ = process = state.sealers[number]
    before = state.log[: 3 * cycle + 2]
    closed = len(before) == 3 * cycle + 2
    if not closed and setup.mutant == "no CLOSE":
        before = (*before, Close())
    elif not closed:
        return  # only the mutant that lists too early comes here; it waits for its CLOSE
    who = "writer as sealer" if kind == EMPTY else "sealer"
    sealers = _sorted(replaced(state.sealers, number, IDLE))
    if len(state.log) <= 3 * cycle + 2:
        if not setup.trim and setup.mutant != "no create-if-absent":
            sealers = (IDLE,) * setup.sealers  # who was overtaken can do nothing any more
        for seal, content in _seals(setup, state, process, before):
            yield (
                f"{who}: {_text(seal)}",
                state._replace(
                    log=(*before, seal),
                    objects=_consolidated(setup, state, cycle, content),
                    dead=state.dead | seal.doomed,
                    dead_objects=state.dead_objects | seal.superseded,
                    sealers=sealers,
                ),
            )
        return
    yield f"{who}: comes too late", state._replace(sealers=sealers)
    for seal, content in _seals(setup, state, process, before) if setup.mutant else ():
        objects = _consolidated(setup, state, cycle, content)
        late = state._replace(sealers=sealers, objects=objects)
        for changed in _late_seal(setup, late, cycle, seal):
            yield f"{who}: {_text(seal)}, too late", changed


def _late_seal(setup: Setup, state: State, cycle: int, seal: Seal) -> Iterator[State]:
    """What a SEAL does in a mutant that comes after another one of its cycle."""
    number = 3 * cycle + 2
    dead, dead_objects = state.dead | seal.doomed, state.dead_objects | seal.superseded
    if setup.mutant == "no create-if-absent":
        log = (*state.log[:number], seal, *state.log[number + 1 :])
        split = int(log != state.log)
        yield state._replace(log=log, dead=dead, dead_objects=dead_objects, split=split)
    elif number >= state.trimmed:
        return
    elif setup.mutant == "the log is not read again":
        yield state._replace(dead=dead, dead_objects=dead_objects)
    elif setup.mutant == "the log is not listed again":
        yield state._replace(junk=((cycle, seal),))


def _consolidated(setup: Setup, state: State, cycle: int, content: int) -> tuple[int, ...]:
    if not content:
        return state.objects
    return set_slot(state.objects, setup.slots + cycle, content)


@cache
def _text(seal: Seal) -> str:
    parts = zip(Seal._fields, seal, strict=True)
    return "SEAL " + ", ".join(f"{name} {names(mask)}" for name, mask in parts)


def _seals(setup: Setup, state: State, process: Process, log: Log) -> Iterator[tuple[Seal, int]]:
    """What a sealer may write, and what a consolidated index object of it lists (0: there is none)."""
    mutant = setup.mutant
    _, cycle, kind, marks, commits, packs = process
    count = commits & valid(state.commits, log, mutant)
    index = trusted(log, count, state.objects, mutant)
    last = last_seal(log)
    # The commit of a repack is named once, so that its writer learns that it counted.
    named = count & (setup.snapshots | ~last.live)
    if kind == EMPTY:
        doomed = 0 if mutant == "an empty SEAL dooms nothing" else last.doomed
        yield Seal(named, doomed, index, last.superseded, 0), 0
        return
    live = named & ~marks
    gone = condemned(log).packs
    places = listed(state.objects, index) & packs & ~gone
    if mutant != "doomed packs are places":
        places &= ~last.doomed
    needed = live & setup.snapshots and not places
    kept = listed(state.objects, index) & gone if needed else 0
    doomed = gone & ~kept
    orphans = condemned(log).objects & ~index
    if mutant == "orphan index objects are not condemned":
        created = sum(1 << slot for slot, packs_in in enumerate(state.objects) if packs_in)
        orphans = created & ~state.dead_objects & ~index
    forgotten = marks if mutant == "commits are listed before forgets" else marks & count
    for one in [False, True] if setup.consolidate else [False]:
        content = listed(state.objects, index) & ~doomed & ~last.doomed if one else 0
        if one and not content:
            continue
        names = 1 << setup.slots + cycle if one else index
        carried = last.doomed & (packs | (0 if one else listed(state.objects, names)))
        if mutant == "doomed packs are not carried over":
            carried = 0
        superseded = orphans | (index if one else 0)
        yield Seal(live, doomed | carried, names, superseded, forgotten), content
