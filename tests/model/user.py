"""People: forget, undo, tag and retention. Undo, tag and retention are one process each."""

from __future__ import annotations

from collections.abc import Iterator

from model.state import (
    FIRST_VIEW,
    IDLE,
    Process,
    Setup,
    State,
    bits,
    is_closed,
    last_seal,
    names,
    sealed_cycles,
    set_slot,
    undecided,
    valid,
)
from model.writer import verdict

UNDO, TAG, RETENTION = 0, 1, 2  # places in State.users
OLD = 1  # the mask of the snapshot that tag replaces and retention forgets
Step = tuple[str, State]


def forget_steps(setup: Setup, state: State) -> Iterator[Step]:
    """Any snapshot is forgotten at any time, acknowledged or not: a mark is created."""
    forgets, undos, late = state.budget
    if forgets:
        there = sum(1 << slot for slot, commit in enumerate(state.commits) if commit)
        for slot in bits(there & setup.snapshots & ~state.marks):
            changed = _mark(state, 1 << slot)._replace(budget=(forgets - 1, undos, late))
            yield f"forget {slot}", changed


def _mark(state: State, mask: int) -> State:
    return state._replace(
        marks=state.marks | mask,
        promised=state.promised & ~mask,
        withdrawn=state.withdrawn | mask,
        undone=state.undone & ~mask,
    )


def _user(state: State, number: int, process: Process) -> State:
    users = list(state.users)
    users[number] = process
    return state._replace(users=(users[0], users[1], users[2]))


def undo_steps(setup: Setup, state: State) -> Iterator[Step]:
    """Delete the mark, then read the log; with an unsealed CLOSE, wait for what the SEAL says."""
    process = state.users[UNDO]
    forgets, undos, late = state.budget
    if process == IDLE:
        for slot in bits(state.marks) if undos else []:
            changed = state._replace(
                marks=state.marks & ~(1 << slot), budget=(forgets, undos - 1, late)
            )
            yield f"undo {slot}: deletes the mark", _user(changed, UNDO, (1, slot))
        return
    slot = process[1]
    blind = setup.mutant == "undo does not read the log"
    if is_closed(state.log) and not blind:
        return
    stays = valid(state.commits, state.log, setup.mutant)
    if setup.mutant != "forgotten stay valid, and undo believes it":
        stays &= ~last_seal(state.log).forgotten
    done = (blind or stays >> slot & 1) and not state.marks >> slot & 1
    new = 1 << slot if done else 0
    changed = state._replace(
        promised=state.promised | new, undone=state.undone | new, withdrawn=state.withdrawn & ~new
    )
    yield f"undo {slot}: {'done' if done else 'too late'}", _user(changed, UNDO, IDLE)


def tag_steps(setup: Setup, state: State) -> Iterator[Step]:
    """Read the log and the old snapshot; create the new commit; check it; mark the old one."""
    process = state.users[TAG]
    slot = setup.tag_slot
    step = process[0]
    if step == 0:
        old = valid(state.commits, state.log, setup.mutant) & OLD
        if old and not state.marks & OLD:
            newest = setup.mutant == "a tag has the newest view"
            view = len(state.log) - 1 if newest else 3 * sealed_cycles(state.log) - 1
            yield f"tag: reads the log, view {view}", _user(state, TAG, (1, view))
    elif step == 1:
        commits = set_slot(state.commits, slot, process[1] + FIRST_VIEW)
        yield f"tag: creates commit {slot}", _user(state._replace(commits=commits), TAG, (2,))
    elif step == 2:
        unchecked = setup.mutant == "a tag is not checked"
        stays = True if unchecked else verdict(state, slot, setup.mutant)
        if stays:
            promised = state.promised | (1 << slot & ~state.withdrawn)
            yield "tag: done", _user(state._replace(promised=promised), TAG, (3,))
    elif step == 3:
        yield "tag: marks the old one", _user(_mark(state, OLD), TAG, (4,))


def retention_steps(setup: Setup, state: State) -> Iterator[Step]:
    """List commits; read the log; forget the old snapshot because a newer one is there to stay."""
    process = state.users[RETENTION]
    step = process[0]
    early = setup.mutant == "retention reads the log before commits"
    if step == 0:
        there = sum(1 << slot for slot, commit in enumerate(state.commits) if commit)
        there &= setup.snapshots & ~OLD & ~state.marks
        if early:
            yield "retention: reads the log", _user(state, RETENTION, (1, 0, len(state.log)))
        elif there:
            yield f"retention: lists commits {names(there)}", _user(state, RETENTION, (1, there, 0))
    elif step == 1:
        there, log = process[1], state.log
        if early:
            there = sum(1 << slot for slot, commit in enumerate(state.commits) if commit)
            there &= setup.snapshots & ~OLD & ~state.marks
            log = state.log[: process[2]]
        sure = valid(state.commits, log, setup.mutant) & ~undecided(state.commits, log)
        for slot in bits(there & sure):
            yield f"retention: relies on commit {slot}", _user(state, RETENTION, (2, slot))
    elif step == 2:
        new = 1 << process[1] & ~state.withdrawn
        marked = _mark(state, OLD)
        changed = marked._replace(promised=marked.promised | new)
        yield "retention: marks the old one", _user(changed, RETENTION, (3,))
