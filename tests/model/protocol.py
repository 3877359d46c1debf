"""The protocol of prune as a transition system, and what must hold in every state of it.

Every step is one request to the storage, or several of which the order makes no difference. Whoever
crashes or is suspended is not scheduled again; whoever wakes up is scheduled late. There are no clocks and
no sessions: CONDEMN and CLOSE come at any moment, and a CONDEMN names every pack and index object there is,
or all but one. Doomed packs are deleted by anyone at any later time, entries of the log too.

Not modelled, since they change nothing for what is left:
- More than one blob: no rule looks at two at once.
- Deletion of void commits, superseded index objects and marks: they count as gone at once (I3, I6).
- Pruners before their CLOSE: a CONDEMN or CLOSE that comes too late exists already, or counts for nothing.
- Reading the log in pieces: who reads it lists it again afterwards and starts over if its last SEAL is
  another one. A mutant does not, and fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from model import pruner, user, writer
from model.state import (
    Setup,
    State,
    doomed_ever,
    last_seal,
    listed,
    trusted,
    uses_deleted,
    valid,
)

Step = tuple[str, State]

INVARIANTS = {
    "I1": "an acknowledged commit stays valid until it is forgotten",
    "I2": "the blob of each valid snapshot lies in a present pack, not doomed, by a trusted index object",
    "I3": "only what a SEAL dooms is deleted, and nothing that came later refers to it",
    "I4": "an entry of the log is written once",
    "I5": "a snapshot whose forget was undone stays valid",
    "I6": "trusted index objects are there",
}


def steps(setup: Setup, state: State) -> Iterator[Step]:
    """Everything that can happen next: what it is, and the state after it."""
    for number, process in enumerate(state.writers):
        if process != writer.ENDED:
            yield from writer.writer_steps(setup, state, number)
    for number in range(len(state.sealers)):
        yield from pruner.sealer_steps(setup, state, number)
    yield from pruner.log_steps(setup, state)
    yield from user.forget_steps(setup, state)
    if setup.deletes:
        yield from pruner.delete_steps(state)
    if setup.late:
        yield from pruner.late_steps(state)
    if setup.undos:
        yield from user.undo_steps(setup, state)
    if setup.tag:
        yield from user.tag_steps(setup, state)
    if setup.retention:
        yield from user.retention_steps(setup, state)


def broken(setup: Setup, state: State, *, unchecked: str = "") -> str:
    """The first invariant but `unchecked` that does not hold, or "" if all of them do."""
    for fault in _faults(setup, state):
        if fault != unchecked:
            return fault
    return ""


def _faults(setup: Setup, state: State) -> Iterator[str]:
    log = state.log
    stays = valid(state.commits, log, setup.mutant)
    forgotten = last_seal(log).forgotten
    lost = state.promised & ~(stays & ~forgotten)
    if lost:
        yield "I5" if lost & state.undone else "I1"
    objects = trusted(log, stays, state.objects, setup.mutant)
    places = listed(state.objects, objects & ~state.dead_objects) & state.packs & ~state.dead
    if stays & setup.snapshots & ~state.marks & ~forgotten and not places:
        yield "I2"
    if state.dead & ~doomed_ever(log) or uses_deleted(
        log, state.commits, state.objects, setup.mutant
    ):
        yield "I3"
    if state.split:
        yield "I4"
    if objects & state.dead_objects:
        yield "I6"
