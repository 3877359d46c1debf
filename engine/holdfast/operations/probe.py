"""Finding out what a storage really does, by doing it to scratch objects.

What a storage says of itself is not asked for: some servers answer success to a creation "if
absent" and overwrite, some let several of those that race win, some serve the wrong range. Each
probe makes objects `probe/<32 hex>`, compares what it sees with what the contract of a backend
promises, and deletes them again, also if it fails.

A probe can show that a promise is broken, never that it is always kept. One that looks at a
single request after another reveals no race, so creation is raced as well, in several rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.names import MAX_NAME_LENGTH, PROBE
from holdfast.errors import AlreadyExistsError, BackendError, NotFoundError
from holdfast.ids import new_object_id

RACERS: Final = 16
_ROUNDS: Final = 4
"""A server that checks and then writes lets several of 16 win in nearly every round."""
_QUICK_RACERS: Final = 4
_START_S: Final = 10.0
_DATA_LENGTH: Final = 64
_SAMPLES: Final = 5
_RANGED_LENGTH: Final = 100_003
_ODD_SIZES: Final = (1, 255, 4097, 65_537, 1_048_577)
_LEFTOVER_AGE_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw of one promise."""

    promise: str
    """Name of the promise, stable: programs read it."""
    expected: str
    seen: str
    holds: bool


@dataclass(slots=True)
class Scratch:
    """Makes scratch objects and knows them all. Its methods may be called from many threads."""

    backend: Backend
    made: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Objects that could not be deleted."""

    def name(self, *, length: int = 0) -> str:
        """Return a fresh name, filled up to `length` characters."""
        name = PROBE + new_object_id()
        name += "-" * (length - len(name))
        self.made.append(name)
        return name

    def create(self, data: bytes) -> str:
        """Create an object under a fresh name, and return that."""
        name = self.name()
        self.backend.create(name, data)
        return name

    def clear(self) -> None:
        """Delete everything that was made; what cannot be deleted goes to `left`."""
        for name in self.made:
            try:
                self.backend.delete(name)
            except NotFoundError:
                pass
            except BackendError:
                self.left.append(name)
        self.made.clear()


@contextmanager
def scratch_on(backend: Backend) -> Iterator[Scratch]:
    """Give out scratch objects and delete them at the end, whatever happened."""
    scratch = Scratch(backend)
    try:
        yield scratch
    finally:
        scratch.clear()


def probe_exclusive_create(backend: Backend, *, quick: bool = False) -> bool:
    """Tell whether the storage creates an object only if it is absent, also in a race.

    Args:
        backend: looked at.
        quick: as before each prune: one creation of an object that is there, and a small race.
            Else 16 racers, several times unless the storage is a local directory.

    Returns:
        False if an object was replaced, or if not exactly one racer won.

    Raises:
        BackendError: the storage failed in another way; nothing is known then.

    Cost: 10 requests if `quick`, else about 80 at a server.
    """
    racers = _QUICK_RACERS if quick else RACERS
    rounds = _ROUNDS if backend.is_remote and not quick else 1
    with scratch_on(backend) as scratch:
        return (
            probe_create_twice(scratch).holds
            and probe_create_raced(scratch, racers=racers, rounds=rounds).holds
        )


def probe_create_twice(scratch: Scratch) -> Observation:
    """Create an object that is there already."""
    first, second = os.urandom(_DATA_LENGTH), os.urandom(_DATA_LENGTH)
    name = scratch.create(first)
    try:
        scratch.backend.create(name, second)
        refused = False
    except AlreadyExistsError:
        refused = True
    found = _read(scratch, name)
    if found == first:
        seen = "refused, the first stays" if refused else "acknowledged, and dropped"
    elif found == second:
        seen = "refused, but replaced" if refused else "replaced"
    else:
        seen = "the first is gone" if found is None else "other bytes are there"
    return Observation(
        "create-if-absent",
        "a second creation is refused, the first stays",
        seen,
        refused and found == first,
    )


def probe_create_raced(
    scratch: Scratch, *, racers: int = RACERS, rounds: int = _ROUNDS
) -> Observation:
    """Have several threads create one name at the same moment, each with bytes of its own."""
    winners: list[int] = []
    is_kept = True
    for _ in range(rounds):
        name, data = scratch.name(), [os.urandom(_DATA_LENGTH) for _ in range(racers)]
        won = _race(scratch.backend, name, data)
        winners.append(len(won))
        is_kept = is_kept and _read(scratch, name) in won
    if any(count != 1 for count in winners):
        counts = ", ".join(map(str, winners))
        seen = f"of {racers} at once these succeeded: {counts}"
    elif not is_kept:
        seen = "one of them succeeds, and other bytes are there"
    else:
        seen = f"of {racers} at once one succeeds" + f", {rounds} times" * (rounds > 1)
    return Observation(
        "create-raced",
        "of several creations at once one succeeds, and stays",
        seen,
        is_kept and all(count == 1 for count in winners),
    )


def _race(backend: Backend, name: str, contents: list[bytes]) -> list[bytes]:
    """Create one name from a thread for each content; return what was acknowledged."""

    def create(data: bytes) -> bool:
        try:
            backend.create(name, data)
        except AlreadyExistsError:
            return False
        return True

    racers = len(contents)
    gate = Barrier(racers)

    def wait_for_all() -> None:
        with suppress(BrokenBarrierError):  # a thread could not be started: without it, then
            gate.wait(_START_S)

    with ThreadPoolExecutor(racers, "holdfast-probe", initializer=wait_for_all) as pool:
        results = list(pool.map(create, contents))
    return [data for data, has_won in zip(contents, results, strict=True) if has_won]


def probe_read_after_write(scratch: Scratch) -> Observation:
    """Read objects as soon as their creation is acknowledged."""
    stale = 0
    for _ in range(_SAMPLES):
        data = os.urandom(_DATA_LENGTH)
        stale += _read(scratch, scratch.create(data)) != data
    return Observation(
        "read-after-write",
        "what was created can be read at once",
        f"{stale} of {_SAMPLES} cannot" if stale else "at once",
        not stale,
    )


def probe_list_after_write(scratch: Scratch) -> Observation:
    """List objects as soon as their creation is acknowledged."""
    names = {scratch.create(b"x") for _ in range(_SAMPLES)}
    missing = len(names - _list(scratch))
    return Observation(
        "list-after-write",
        "what was created is listed at once",
        f"{missing} of {_SAMPLES} missing" if missing else "at once",
        not missing,
    )


def probe_list_after_delete(scratch: Scratch) -> Observation:
    """List as soon as deletions are acknowledged."""
    names = {scratch.create(b"x") for _ in range(_SAMPLES)}
    _list(scratch)  # an answer that a server could keep and give again
    for name in names:
        scratch.backend.delete(name)
    still = len(names & _list(scratch))
    return Observation(
        "list-after-delete",
        "what was deleted is listed no more",
        f"{still} of {_SAMPLES} still listed" if still else "at once",
        not still,
    )


def probe_read_after_delete(scratch: Scratch) -> Observation:
    """Read objects as soon as their deletion is acknowledged."""
    still = 0
    for _ in range(_SAMPLES):
        name = scratch.create(b"x")
        scratch.backend.delete(name)
        still += _read(scratch, name) is not None
    return Observation(
        "read-after-delete",
        "what was deleted cannot be read",
        f"{still} of {_SAMPLES} still there" if still else "at once",
        not still,
    )


def probe_ranges(scratch: Scratch) -> Observation:
    """Read parts of an object: at its beginning, in the middle, at its end and past it."""
    size = _RANGED_LENGTH
    data = os.urandom(size)
    name = scratch.create(data)
    spans = {
        "beginning": (0, 1000),
        "middle": (33_333, 4096),
        "end": (size - 77, 77),
        "across the end": (size - 50, 500),
        "past the end": (size + 10, 10),
        "whole": (0, size),
    }
    wrong = [
        where
        for where, (offset, length) in spans.items()
        if _read_range(scratch, name, offset, length) != data[offset : offset + length]
    ]
    return Observation(
        "ranges",
        "a part is what the object holds there",
        f"wrong bytes: {', '.join(wrong)}" if wrong else f"{len(spans)} parts right",
        not wrong,
    )


def probe_sizes(scratch: Scratch) -> Observation:
    """Create objects of odd sizes, and ask for their sizes and bytes."""
    wrong = []
    for size in _ODD_SIZES:
        data = os.urandom(size)
        if not _is_there(scratch, scratch.create(data), data):
            wrong.append(str(size))
    return Observation(
        "sizes",
        "objects of odd sizes come back whole",
        f"wrong with bytes: {', '.join(wrong)}" if wrong else f"up to {_ODD_SIZES[-1]} bytes",
        not wrong,
    )


def probe_empty_object(scratch: Scratch) -> Observation:
    """Create an object without a byte."""
    holds = _is_there(scratch, scratch.create(b""), b"")
    return Observation(
        "empty-object", "an empty object is kept", "kept" if holds else "not kept", holds
    )


def probe_long_name(scratch: Scratch) -> Observation:
    """Create an object of the longest name, and one that differs in the last character only."""
    expected = f"names of {MAX_NAME_LENGTH} characters are kept apart"
    name = scratch.name(length=MAX_NAME_LENGTH)
    other = name[:-1] + "0"
    scratch.made.append(other)
    try:
        scratch.backend.create(name, b"first")
        scratch.backend.create(other, b"other")
    except AlreadyExistsError:
        return Observation("long-name", expected, "taken for one", holds=False)
    holds = _read(scratch, name) == b"first" and _read(scratch, other) == b"other"
    holds = holds and {name, other} <= _list(scratch)
    return Observation("long-name", expected, "kept" if holds else "not kept apart", holds)


PROBES: Final[tuple[tuple[str, Callable[[Scratch], Observation]], ...]] = (
    ("read-after-write", probe_read_after_write),
    ("create-if-absent", probe_create_twice),
    ("create-raced", probe_create_raced),
    ("list-after-write", probe_list_after_write),
    ("list-after-delete", probe_list_after_delete),
    ("read-after-delete", probe_read_after_delete),
    ("ranges", probe_ranges),
    ("sizes", probe_sizes),
    ("empty-object", probe_empty_object),
    ("long-name", probe_long_name),
)
"""Promise -> its probe, in the order in which they are made."""


def sweep_leftovers(backend: Backend) -> int:
    """Delete scratch objects that probes which died have left, and return their number.

    Only those that are a day older than the newest by the storage's own clock: others may still
    be probing. Call it while a scratch object of one's own is there.
    """
    found = list(backend.list(PROBE))
    newest_s = max((info.modified_s for info in found), default=0.0)
    swept = 0
    for info in found:
        if newest_s - info.modified_s > _LEFTOVER_AGE_S:
            try:
                backend.delete(info.name)
                swept += 1
            except BackendError:
                pass  # the next one tries again
    return swept


def _read(scratch: Scratch, name: str) -> bytes | None:
    """Return an object's bytes; None if there is none."""
    try:
        return scratch.backend.read(name)
    except NotFoundError:
        return None


def _read_range(scratch: Scratch, name: str, offset: int, length: int) -> bytes | None:
    try:
        return scratch.backend.read_range(name, offset, length)
    except NotFoundError:
        return None


def _is_there(scratch: Scratch, name: str, data: bytes) -> bool:
    try:
        size = scratch.backend.size(name)
    except NotFoundError:
        return False
    return size == len(data) and _read(scratch, name) == data


def _list(scratch: Scratch) -> set[str]:
    return {info.name for info in scratch.backend.list(PROBE)}
