"""Backups and repacks: what they read, in which order, and what they make of it.

A writer's steps, each atomic: read the log; list commits; read the log again; list packs and store a pack
and an index object, or take over an own pack; create the commit; read the log once more. Packs and index
objects that a CONDEMN finds half stored are covered by its choice of what it names.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.state import (
    FIRST_VIEW,
    Log,
    Setup,
    State,
    bad,
    is_closed,
    last_seal,
    listed,
    names,
    replaced,
    sealed_cycles,
    set_slot,
    trusted,
    undecided,
    valid,
)

START, LIST, READ_AGAIN, STORE, COMMIT, CHECK, END, LISTED = range(8)
ENDED = (END,)
Step = tuple[str, State]


def verdict(state: State, slot: int, mutant: str) -> bool | None:
    """What the log says of a commit: stays (true), void (false), not yet decided (None)."""
    if mutant == "no check after the commit":
        return True
    return verdict_by(state.log, state, slot, mutant)


def verdict_by(log: Log, state: State, slot: int, mutant: str) -> bool | None:
    """The same for what a process believes the log to be."""
    if last_seal(log).live >> slot & 1:
        return True
    if not valid(state.commits, log, mutant) >> slot & 1:
        return False
    return None if undecided(state.commits, log) >> slot & 1 else True


def writer_steps(setup: Setup, state: State, number: int) -> Iterator[Step]:
    """The next step of a writer.

    A process is (step, attempt, entries read when the pack of the attempt before was made, entries read
    at first, more by step).
    """
    process = state.writers[number]
    if number and process[0] == START and state.writers[number - 1][0] == START:
        same = setup.writers[number] == setup.writers[number - 1]
        if same and len(process) == 1:
            return  # of equal writers that did nothing yet, the first one begins
    name = f"{'backup' if setup.writers[number] == 'b' else 'repack'} {number + 1}"
    for label, process, changed in _next(setup, state, number):
        yield f"{name}: {label}", changed._replace(writers=replaced(state.writers, number, process))


def _next(setup: Setup, state: State, number: int) -> Iterator[tuple[str, tuple[int, ...], State]]:
    """Label, the process after it, and the state apart from the process."""
    process = state.writers[number]
    step = process[0]
    attempt, made = process[1:3] if len(process) > 1 else (0, 0)
    slot = setup.slot(number, attempt)
    read = len(state.log)
    if step == START:
        after = STORE if setup.writers[number] == "r" else LIST
        more = (0, 0) if after == STORE else ()
        yield f"reads {read} entries of the log", (after, attempt, made, read, *more), state
    elif step == LIST:
        there = sum(1 << other for other, commit in enumerate(state.commits) if commit)
        yield f"lists commits {names(there)}", (READ_AGAIN, attempt, made, process[3], there), state
    elif step == READ_AGAIN:
        places, own = _usable(setup, state, number)
        label = f"reads {read} entries, may use packs {names(places)}, own {names(own)}"
        first = read if setup.mutant == "the view is that of the second read" else process[3]
        yield label, (STORE, attempt, made, first, places, own), state
    elif step == STORE:
        yield _store(setup, state, slot, process)
    elif step == COMMIT:
        view = process[3] - 1
        if setup.mutant == "the view is that of the commit":
            view = read - 1
        commits = set_slot(state.commits, slot, view + FIRST_VIEW)
        label = f"creates commit {slot} with view {view}"
        yield label, (CHECK, attempt, made), state._replace(commits=commits)
    elif step == CHECK and setup.mutant == "the log is not listed again":
        yield f"lists {read} entries of the log", (LISTED, attempt, made, read), state
    elif step in (CHECK, LISTED):
        yield from _check(setup, state, slot, process)
    if setup.dies and step in (COMMIT, CHECK) and attempt + 1 < setup.attempts:
        yield "dies; a new run begins", (START, attempt + 1, made), state


def _usable(setup: Setup, state: State, number: int) -> tuple[int, int]:
    """The packs that are a place for the blob, and own ones that may be taken over."""
    _, attempt, made, first, there = state.writers[number]
    mutant = setup.mutant
    log = state.log[:first] if mutant == "the log is read once" else state.log
    count = there & valid(state.commits, log, mutant)
    if mutant != "undecided commits are trusted":
        count &= ~undecided(state.commits, log)
    avoid = _avoided(state.log[:first], log, mutant)
    places = listed(state.objects, trusted(log, count, state.objects, mutant)) & ~avoid
    own = state.objects[setup.slot(number, attempt - 1)] if attempt else 0
    # A pack made after CONDEMN c was read is not in it: the next SEAL but one may doom it at the earliest.
    if made - 1 < 3 * (sealed_cycles(log) - 2) and mutant != "old own packs are taken over":
        own = 0
    return places, own if mutant == "own packs are not looked at" else own & ~avoid


def _avoided(first: Log, second: Log, mutant: str) -> int:
    if mutant == "packs bad at first only":
        return bad(first)
    if mutant == "packs bad at second only":
        return bad(second)
    if mutant == "condemned packs are used":
        return last_seal(first).doomed | last_seal(second).doomed
    return bad(first) | bad(second)


def _store(
    setup: Setup, state: State, slot: int, process: tuple[int, ...]
) -> tuple[str, tuple[int, ...], State]:
    _, attempt, made, first, places, own = process
    after = (COMMIT, attempt, made, first)
    if places & state.packs:
        return f"finds the blob in packs {names(places & state.packs)}", after, state
    here = own if setup.mutant == "own packs are not looked at" else own & state.packs
    if here:
        index = set_slot(state.objects, slot, here)
        return f"takes over packs {names(here)}", after, state._replace(objects=index)
    pack = 1 if setup.mutant == "pack names are reused" else 1 << slot
    changed = state._replace(packs=state.packs | pack, objects=set_slot(state.objects, slot, pack))
    return (
        f"stores pack {names(pack)} and index object {slot}",
        (COMMIT, attempt, first, first),
        changed,
    )


def _check(
    setup: Setup, state: State, slot: int, process: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...], State]]:
    step, attempt, made, *_ = process
    stays = verdict(state, slot, setup.mutant)
    if step == LISTED:
        log = _read_listed(state, process[3])
        if log is None or is_closed(log):
            yield "reads the log once more", (CHECK, attempt, made), state
            return
        stays = verdict_by(log, state, slot, setup.mutant)
    if stays:
        new = 1 << slot & setup.snapshots & ~state.withdrawn
        changed = state._replace(promised=state.promised | new)
        yield f"reports commit {slot}", ENDED, changed
    elif stays is None:
        assert is_closed(state.log)  # it waits, or is the sealer that seals emptily
    elif attempt + 1 < setup.attempts:
        yield f"starts over, commit {slot} is void", (START, attempt + 1, made), state
    else:
        yield f"gives up, commit {slot} is void", ENDED, state


def _read_listed(state: State, entries: int) -> Log | None:
    """The log by a list of earlier; None if its SEAL is deleted and there is none in its place."""
    cycle = entries // 3 - 1
    if cycle < 0 or 3 * cycle + 2 >= state.trimmed:
        return state.log[:entries]
    for other, seal in state.junk:
        if other == cycle:
            return (
                *state.log[: entries - entries % 3 - 1],
                seal,
                *state.log[entries - entries % 3 : entries],
            )
    return None
