"""The log of prune as it is stored: order, gaps, entries that come late, damage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.crypto.aead import Suite
from holdfast.errors import IntegrityError
from holdfast.format.envelope import Envelope
from holdfast.format.gc import Close, Condemn, Entry, Seal, Step, join_ids, step_of
from holdfast.ids import new_object_id
from holdfast.repository.gc_log import GcLog
from holdfast.repository.layout import gc_name
from holdfast.repository.log_state import LogState
from support.faults import HookedBackend, bit_flipped, corrupt

ENVELOPE = Envelope(bytes(16), bytes(32), Suite.AES_256_GCM)
PACK = new_object_id()


def entry_after(log: LogState, *, live: bytes = b"") -> Entry:
    head: dict[str, Any] = {"previous_hash": log.last_hash, "time_ns": 1, "host": "h"}
    step = step_of(log.next)
    if step == Step.CONDEMN:
        return Condemn(**head, packs=join_ids([PACK]), index_ids=b"")
    if step == Step.CLOSE:
        return Close(**head)
    return Seal(**head, live=live, doomed=b"", index_ids=b"", superseded=b"", forgotten=b"")


def grow(log: GcLog, count: int) -> None:
    for _ in range(count):
        state = log.read()
        assert log.append(state, entry_after(state))


def new_log() -> tuple[GcLog, MemoryBackend]:
    backend = MemoryBackend()
    return GcLog(backend, ENVELOPE), backend


def test_state_after_each_entry() -> None:
    log, _ = new_log()
    seen = []
    for _ in range(7):
        state = log.read()
        seen.append((state.last, state.seal_number, state.is_open, state.is_closed))
        log.append(state, entry_after(state))
    assert seen == [
        (-1, -1, False, False),
        (0, -1, True, False),
        (1, -1, True, True),
        (2, 2, False, False),
        (3, 2, True, False),
        (4, 2, True, True),
        (5, 5, False, False),
    ]
    assert log.read().condemned == {PACK}


def test_an_entry_is_created_once() -> None:
    log, _ = new_log()
    state = log.read()
    assert log.append(state, entry_after(state))
    assert not log.append(state, entry_after(state))


def test_entries_before_the_last_sealed_cycle_mean_nothing() -> None:
    log, backend = new_log()
    old = log.read()
    grow(log, 6)
    now = log.read()
    assert now.stale == (0, 1, 2)
    for number in now.stale:
        backend.delete(gc_name(number))
    assert log.read() == now
    # A pruner that slept creates the first entry again.
    assert log.append(old, entry_after(old))
    again = log.read()
    assert again == now
    assert again.last != old.next, "which it sees when it reads the log"
    assert again.stale == (0,)


def test_a_seal_created_again_while_the_log_is_read_is_not_believed() -> None:
    """The reader has listed the entries; then a cycle passes, and the old SEAL comes back."""
    log, backend = new_log()
    grow(log, 2)
    sleeper = log.read()
    grow(log, 1)
    junk = entry_after(sleeper, live=join_ids([new_object_id()]))

    def meanwhile() -> None:
        grow(log, 3)
        for number in log.read().stale:
            backend.delete(gc_name(number))
        assert log.append(sleeper, junk)

    state = GcLog(_OnFirst("read", backend, meanwhile), ENVELOPE).read()
    assert (state.last, state.live) == (5, frozenset())


def test_entries_that_vanish_while_the_log_is_read_are_looked_for_again() -> None:
    log, backend = new_log()
    grow(log, 3)

    def meanwhile() -> None:
        grow(log, 3)
        for number in log.read().stale:
            backend.delete(gc_name(number))

    assert GcLog(_OnFirst("read", backend, meanwhile), ENVELOPE).read().last == 5


def test_a_lost_entry_is_damage() -> None:
    log, backend = new_log()
    grow(log, 5)
    backend.delete(gc_name(2))
    with pytest.raises(IntegrityError, match="gc entry"):
        log.read()


def test_a_damaged_entry_is_damage() -> None:
    log, backend = new_log()
    grow(log, 2)
    corrupt(backend, gc_name(1), bit_flipped(100))
    with pytest.raises(IntegrityError, match="gc entry"):
        log.read()


def test_an_entry_of_another_history_is_damage() -> None:
    log, _ = new_log()
    grow(log, 3)
    state = log.read()
    wrong = Condemn(previous_hash=bytes(32), time_ns=0, host="", packs=b"", index_ids=b"")
    log.append(state, wrong)
    with pytest.raises(IntegrityError, match="does not follow"):
        log.read()


def test_other_names_are_no_entries() -> None:
    log, backend = new_log()
    grow(log, 1)
    for name in ("gc/1", "gc/00000000001", "gc/000000000a"):
        backend.create(name, b"")
    assert log.read().last == 0


class _OnFirst(HookedBackend):
    """Does something before the first operation of a kind."""

    def __init__(self, kind: str, inner: Backend, action: Callable[[], None]) -> None:
        super().__init__(inner)
        self._kind = kind
        self._action: Callable[[], None] | None = action

    def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
        if kind == self._kind and self._action is not None:
            happens, self._action = self._action, None
            happens()
        return action()
