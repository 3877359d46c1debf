"""Reading and writing the log of prune.

Only entries from the last SEAL on mean anything. Older ones are deleted by whoever prunes, so a
request that arrives late may create one of them again: numbers below the last sealed cycle are
ignored, and whoever has created an entry reads the log again to see that it stands in it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from holdfast.backends.base import Backend
from holdfast.errors import AlreadyExistsError, IntegrityError, NotFoundError
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.format.gc import (
    Close,
    Condemn,
    Entry,
    Seal,
    Step,
    decode_entry,
    encode_entry,
    first_of_cycle,
    step_of,
)
from holdfast.hashing import TRAILER_LENGTH
from holdfast.repository import layout
from holdfast.repository.log_state import LogState

_MOST_READINGS: Final = 10


class GcLog:
    """The log of prune of one repository."""

    def __init__(self, backend: Backend, envelope: Envelope) -> None:
        self._backend = backend
        self._envelope = envelope
        self._known_seal: int | None = None
        self._known: dict[int, tuple[Entry, bytes]] = {}
        """Entries that stood in the log when it was last read, and that SEAL was the last."""

    def read(self) -> LogState:
        """Return the state of the log now.

        Cost: a LIST; if there are entries that this object has not read yet, a GET for each,
        at most three, and one more LIST.

        Raises:
            IntegrityError: an entry is damaged or missing; nothing can be decided without it.
        """
        for _ in range(_MOST_READINGS):
            state = self._read()
            if state is not None:
                return state
        raise IntegrityError("gc entry", layout.GC, "entries are missing")

    def append(self, state: LogState, entry: Entry) -> bool:
        """Create the entry after `state`; durable if True.

        Returns:
            False if somebody else was faster. True does not yet mean that it stands in the log:
            read it again.
        """
        name = layout.gc_name(state.next)
        data = self._envelope.seal(ObjectKind.GC, name, encode_entry(entry))
        try:
            self._backend.create(name, data)
        except AlreadyExistsError:
            return False
        return True

    def _read(self) -> LogState | None:
        """Read once; None if entries came or went meanwhile."""
        numbers = self._list()
        if not numbers:
            return LogState()
        last = numbers[-1]
        seal_number = _seal_before(last)
        # Nothing from the last SEAL on is ever deleted, so what was read while the same SEAL was
        # the last one stands there still.
        known = self._known if seal_number == self._known_seal else {}
        current = range(max(seal_number, 0), last + 1)
        if not set(numbers).issuperset(current):
            return None
        if any(number not in known for number in current):
            known = dict(known)
            for number in current:
                if number not in known:
                    try:
                        known[number] = self._read_entry(number)
                    except NotFoundError:
                        return None
            # Between the listing and the reading others may have sealed a cycle and deleted these
            # entries, and a pruner that slept may have created one of them again. Then the log
            # has a later SEAL now.
            if _seal_before(self._list()[-1]) != seal_number:
                return None
        state = _state_of([known[number] for number in current], numbers, seal_number)
        self._known_seal, self._known = seal_number, known
        return state

    def _list(self) -> list[int]:
        return sorted(
            number
            for info in self._backend.list(layout.GC)
            if (number := layout.number_of(info.name)) is not None
        )

    def _read_entry(self, number: int) -> tuple[Entry, bytes]:
        name = layout.gc_name(number)
        data = self._backend.read(name)
        body = self._envelope.open(ObjectKind.GC, name, data)
        return decode_entry(number, body), bytes(data[-TRAILER_LENGTH:])


def _seal_before(last: int) -> int:
    """Return the number of the last SEAL of a log with that last entry; negative if none."""
    return last if step_of(last) == Step.SEAL else first_of_cycle(last) - 1


def _state_of(entries: list[tuple[Entry, bytes]], numbers: list[int], seal_number: int) -> LogState:
    """Put together what was read: the last SEAL, if there is one, and what came after it.

    Raises:
        IntegrityError: the entries are not of one log.
    """
    last = numbers[-1]
    for (_, before), (entry, _) in pairwise(entries):
        if entry.previous_hash != before:
            raise IntegrityError("gc entry", str(last), "it does not follow the entry before it")
    found = [entry for entry, _ in entries]
    return LogState(
        last=last,
        last_hash=entries[-1][1],
        seal_number=seal_number,
        seal=next((entry for entry in found if isinstance(entry, Seal)), None),
        condemn=next((entry for entry in found if isinstance(entry, Condemn)), None),
        is_closed=any(isinstance(entry, Close) for entry in found),
        stale=tuple(number for number in numbers if number < first_of_cycle(seal_number)),
    )
