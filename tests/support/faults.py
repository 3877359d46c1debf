"""Storage that crashes, loses power, fails for a moment or rots: wrappers for tests.

    CrashingBackend     the process dies at the n-th change of the storage
    RecordingBackend    remembers every change; TornBackend and power_losses() make of that what
                        a disk can hold after a power cut
    FlakyBackend        chosen operations raise TransientBackendError, done or not
    corrupt, damages    change stored bytes

Every loop over crash points looks like this:

    rehearsal = CrashingBackend(store(), None)
    run(rehearsal)
    for n in range(rehearsal.count):
        for last_happened in (False, True):
            inner = store()
            with pytest.raises(SimulatedCrash):
                run(CrashingBackend(inner, n, last_happened=last_happened))
            examine(inner)
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from holdfast.backends.base import Backend, ObjectInfo, ObjectWriter
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import TransientBackendError
from holdfast.hashing import Bytes

_Result = TypeVar("_Result")
_Listing: TypeAlias = list[ObjectInfo]

MUTATIONS = frozenset({"create", "write", "commit", "delete"})
"""Kinds of operations that change storage. `open_writer` and `abort` change nothing that anyone
could see, and a process that dies there is covered by the neighbours."""


class HookedBackend:
    """Passes everything to `inner`, each operation through `perform`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    def perform(self, kind: str, name: str, action: Callable[[], _Result]) -> _Result:
        """Carry out an operation: the method's name is its `kind`. Subclasses add the fault."""
        raise NotImplementedError

    def is_dead(self) -> bool:
        """Tell whether the process is gone, so that not even its clean-up runs."""
        return False

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def is_remote(self) -> bool:
        return self.inner.is_remote

    @property
    def parallelism(self) -> int:
        return self.inner.parallelism

    def protect(self, days: int) -> None:
        self.inner.protect(days)

    def create(self, name: str, data: Bytes) -> None:
        self.perform("create", name, lambda: self.inner.create(name, data))

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        def action() -> ObjectWriter:
            return self.inner.open_writer(name, is_hot=is_hot)

        inner = self.perform("open_writer", name, action)
        return HookedWriter(self, name, inner)

    def read(self, name: str) -> bytes:
        return self.perform("read", name, lambda: self.inner.read(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        return self.perform("read_range", name, lambda: self.inner.read_range(name, offset, length))

    def size(self, name: str) -> int:
        return self.perform("size", name, lambda: self.inner.size(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.perform("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        self.perform("delete", name, lambda: self.inner.delete(name))

    def initialize(self) -> None:
        self.perform("initialize", "", self.inner.initialize)

    def close(self) -> None:
        if not self.is_dead():
            self.inner.close()


class HookedWriter:
    """The writer of a `HookedBackend`."""

    def __init__(self, backend: HookedBackend, name: str, inner: ObjectWriter) -> None:
        self._backend = backend
        self._name = name
        self._inner = inner

    def write(self, data: Bytes) -> None:
        self._backend.perform("write", self._name, lambda: self._inner.write(data))

    def commit(self) -> None:
        self._backend.perform("commit", self._name, self._inner.commit)

    def abort(self) -> None:
        if not self._backend.is_dead():
            self._inner.abort()


# -- the process dies ---------------------------------------------------------------------------


class SimulatedCrash(BaseException):
    """The process is dead. Not an Exception, so that no handler takes it for an error."""


class CrashingBackend(HookedBackend):
    """Lets `crash_after` changes succeed and dies at the next, as by `kill -9`.

    From then on every operation raises SimulatedCrash, from every thread; `abort` and `close` do
    nothing, for a dead process cleans nothing up. What `inner` holds is what stays.

    Args:
        inner: the storage.
        crash_after: changes that succeed; None: never crash, to learn the total from `count`.
        last_happened: whether the fatal operation is carried out before the process dies without
            having heard of it, or not at all.
    """

    def __init__(
        self, inner: Backend, crash_after: int | None, *, last_happened: bool = False
    ) -> None:
        super().__init__(inner)
        self.count = 0
        """Changes begun so far, the fatal one included."""
        self._crash_after = crash_after
        self._last_happened = last_happened
        self._has_crashed = False
        self._lock = threading.Lock()

    def is_dead(self) -> bool:
        return self._has_crashed

    def perform(self, kind: str, name: str, action: Callable[[], _Result]) -> _Result:
        with self._lock:
            if self._has_crashed:
                raise SimulatedCrash(f"{kind} {name} by a dead process")
            if kind in MUTATIONS:
                self.count += 1
                self._has_crashed = self._crash_after is not None and self.count > self._crash_after
            is_fatal = self._has_crashed
        if not is_fatal:
            return action()
        if self._last_happened:
            action()
        raise SimulatedCrash(f"{kind} {name} was operation {self.count}")


# -- the power fails ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One change of the visible objects, by `create`, `commit` or `delete`."""

    kind: str
    name: str
    data: bytes
    """The object's content; empty for a deletion."""
    begun: int
    ended: int
    """Moments on the recording's own clock, which ticks at every begin and end."""

    def apply(self, objects: dict[str, bytes]) -> None:
        """Carry the change out on name -> content."""
        if self.kind == "delete":
            objects.pop(self.name, None)
        else:
            objects[self.name] = self.data


class RecordingBackend(HookedBackend):
    """Remembers what `inner` held at first and every change that was acknowledged since.

    Operations that raised are not recorded: after an error the contract promises no change.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.initial = {info.name: inner.read(info.name) for info in inner.list("")}
        self.mutations: list[Mutation] = []
        """In the order in which they were acknowledged."""
        self._ticks = itertools.count()
        self._lock = threading.Lock()

    def create(self, name: str, data: Bytes) -> None:
        self._record("create", name, bytes(data), lambda: self.inner.create(name, data))

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        return _RecordingWriter(self, name, self.inner.open_writer(name, is_hot=is_hot))

    def delete(self, name: str) -> None:
        self._record("delete", name, b"", lambda: self.inner.delete(name))

    def perform(self, kind: str, name: str, action: Callable[[], _Result]) -> _Result:
        return action()

    def _record(self, kind: str, name: str, data: bytes, action: Callable[[], None]) -> None:
        begun = next(self._ticks)
        action()
        with self._lock:
            ended = next(self._ticks)
            mutation = Mutation(kind=kind, name=name, data=data, begun=begun, ended=ended)
            self.mutations.append(mutation)


class _RecordingWriter:
    def __init__(self, backend: RecordingBackend, name: str, inner: ObjectWriter) -> None:
        self._backend = backend
        self._name = name
        self._inner = inner
        self._data = bytearray()

    def write(self, data: Bytes) -> None:
        self._inner.write(data)
        self._data += data

    def commit(self) -> None:
        self._backend._record("commit", self._name, bytes(self._data), self._inner.commit)

    def abort(self) -> None:
        self._inner.abort()


class TornBackend(MemoryBackend):
    """What the storage may hold when the power returns; a store like any other.

    `LocalBackend` acknowledges after the directory is synced and links only what is synced. So
    acknowledged changes have happened, and a change under way has happened wholly or not at all;
    torn objects do not occur. (Temporary files do; nobody sees them.)

    Args:
        recording: of the run up to its end.
        acknowledged: the power fails just before the next acknowledgement after so many.
        last_happened: whether the changes then under way have happened; in a run of one thread
            that is the one change that was never acknowledged.
        happened: for runs of many threads, instead: exactly which of `in_flight` have happened.
    """

    def __init__(
        self,
        recording: RecordingBackend,
        acknowledged: int,
        *,
        last_happened: bool = False,
        happened: Collection[Mutation] | None = None,
    ) -> None:
        super().__init__(f"{recording.location} after {acknowledged} acknowledgements")
        under_way = in_flight(recording, acknowledged)
        if happened is None:
            happened = under_way if last_happened else ()
        assert set(happened) <= set(under_way)
        objects = dict(recording.initial)
        for mutation in recording.mutations[:acknowledged]:
            mutation.apply(objects)
        for mutation in under_way:
            if mutation in happened:
                mutation.apply(objects)
        for name, data in objects.items():
            self.create(name, data)


def in_flight(recording: RecordingBackend, acknowledged: int) -> list[Mutation]:
    """Return the changes begun, but not acknowledged, when the next acknowledgement was due."""
    later = recording.mutations[acknowledged:]
    begun = [mutation for mutation in later if mutation.begun < later[0].ended]
    return sorted(begun, key=lambda mutation: mutation.begun)


def power_losses(recording: RecordingBackend) -> Iterator[TornBackend]:
    """Yield what a power cut may leave, for every moment of the run.

    Of k changes under way: none, all, each alone, all but each. For k <= 3 that is every
    possibility.
    """
    for acknowledged in range(len(recording.mutations) + 1):
        under_way = in_flight(recording, acknowledged)
        choices = {frozenset[Mutation](), frozenset(under_way)}
        choices |= {frozenset({one}) for one in under_way}
        choices |= {frozenset(under_way) - {one} for one in under_way}
        for happened in sorted(choices, key=lambda some: sorted(m.begun for m in some)):
            yield TornBackend(recording, acknowledged, happened=happened)


# -- the network fails --------------------------------------------------------------------------


class Moment(Enum):
    """When an operation fails."""

    BEFORE = auto()
    """It is not carried out."""
    AFTER = auto()
    """It is carried out, but the answer is lost. A listing breaks off in the middle."""


class FlakyBackend(HookedBackend):
    """Raises TransientBackendError as a schedule says.

    Args:
        inner: the storage.
        schedule: (kind, number) -> moment: {("create", 0): Moment.AFTER, ("read", 2): …}. Each
            kind (a method's name; "write" and "commit" for writers) counts from 0.
    """

    def __init__(self, inner: Backend, schedule: Mapping[tuple[str, int], Moment]) -> None:
        super().__init__(inner)
        self.failed: list[tuple[str, int]] = []
        """What was made to fail so far: a test can see that its schedule was met."""
        self._schedule = schedule
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def perform(self, kind: str, name: str, action: Callable[[], _Result]) -> _Result:
        with self._lock:
            number = self._counts.get(kind, 0)
            self._counts[kind] = number + 1
            moment = self._schedule.get((kind, number))
            if moment is not None:
                self.failed.append((kind, number))
        if moment is None:
            return action()
        if moment is Moment.AFTER:
            action()
        raise TransientBackendError(self.location, name, f"simulated, {kind} {number}")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        listing: _Listing = []
        try:
            return self.perform("list", prefix, lambda: self._listed(prefix, listing))
        except TransientBackendError as error:
            if not listing:
                raise
            return self._broken_off(listing, replace(error))

    def _listed(self, prefix: str, listing: _Listing) -> Iterator[ObjectInfo]:
        listing.extend(self.inner.list(prefix))
        return iter(listing)

    @staticmethod
    def _broken_off(listing: _Listing, error: TransientBackendError) -> Iterator[ObjectInfo]:
        yield from listing[: len(listing) // 2]
        raise error


# -- the bytes rot ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Damage:
    """A way to spoil an object's bytes; `str` is fit for the id of a test."""

    label: str
    apply: Callable[[bytes], bytes]

    def __str__(self) -> str:
        return self.label


def emptied() -> Damage:
    """Nothing is left."""
    return Damage("emptied", lambda data: b"")


def truncated(length: int) -> Damage:
    """Only the first `length` bytes are left; negative: so many bytes of the end are gone."""
    return Damage(f"truncated[:{length}]", lambda data: data[:length])


def appended(extra: bytes = b"\0") -> Damage:
    """Bytes follow the end."""
    return Damage(f"appended+{len(extra)}", lambda data: data + extra)


def zeroed(begin: int, end: int) -> Damage:
    """The bytes in [begin, end) are zero, as lost sectors read."""

    def apply(data: bytes) -> bytes:
        return data[:begin] + bytes(len(data[begin:end])) + data[end:]

    return Damage(f"zeroed[{begin}:{end}]", apply)


def bit_flipped(position: int, bit: int = 0) -> Damage:
    """Bit `bit` of the byte at `position` is the opposite; negative positions from the end."""

    def apply(data: bytes) -> bytes:
        spoilt = bytearray(data)
        spoilt[position] ^= 1 << bit
        return bytes(spoilt)

    return Damage(f"bit {bit} of byte {position}", apply)


def replaced(data: bytes) -> Damage:
    """Other bytes entirely: another object's, or an older version's."""
    return Damage("replaced", lambda _: data)


def corrupt(backend: Backend, name: str, how: Damage) -> None:
    """Spoil an object behind the back of whoever wrote it.

    Raises:
        AssertionError: the damage changes nothing; the test would prove nothing.
    """
    data = backend.read(name)
    spoilt = how.apply(data)
    assert spoilt != data, f"{how} does not change {name}"
    backend.delete(name)
    backend.create(name, spoilt)


def swap(backend: Backend, one: str, other: str) -> None:
    """Exchange the contents of two objects."""
    data = backend.read(one)
    corrupt(backend, one, replaced(backend.read(other)))
    corrupt(backend, other, replaced(data))


def bit_flips(size: int, step: int = 1) -> Iterator[Damage]:
    """Yield one flipped bit for every `step`-th byte and the last one, each time another bit."""
    for position in sorted({*range(0, size, step), size - 1} if size else ()):
        yield bit_flipped(position, position % 8)


def damages(size: int, flips: int = 16) -> Iterator[Damage]:
    """Yield damage of every kind that changes an object of `size` bytes that is not all zeros.

    Args:
        size: bytes of the object.
        flips: about how many flipped bits, spread over the object.
    """
    yield appended()
    yield appended(b"holdfast" * 4)
    if size:
        yield emptied()
        yield zeroed(0, size)
    for length in sorted({1, size // 2, size - 32, size - 1}):
        if 0 < length < size:
            yield truncated(length)
    yield from bit_flips(size, max(1, size // flips))
