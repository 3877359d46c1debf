"""The store of a simulation: every operation is a stop of its process, and some go wrong.

What can go wrong is what clients of object storages and of network file systems have seen: a
request that is carried out although its answer is lost, that is refused, that is carried out
late, or twice, long after its sender has tried again, died or forgotten about it; a listing
between whose pages others change what is listed. Creation if absent and names that are read
after being written are what holds: the protocol builds upon these two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeVar

from holdfast.backends.base import ObjectInfo
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import AlreadyExistsError, NotFoundError, TransientBackendError
from holdfast.hashing import Bytes
from holdfast.repository import layout
from simulation.scheduler import Operation, Process

_Result = TypeVar("_Result")
_QUIET: Final = ("config", layout.KEYS)
"""Objects that never change: reading them is no stop."""
_NEVER_LATE: Final = layout.FORGETS
"""A late duplicate of these could undo what a person did afterwards; docs/prune.md says so."""
STEP_S: Final = 0.001
"""Simulated seconds from one stop to the next."""
AT_THE_END: Final = 1 << 30
"""A delay, in stops: when everything else has happened."""


class Answer(Enum):
    """What the sender of a request learns."""

    GIVEN = auto()
    LOST = auto()
    """A transient error, whatever happened."""
    NEVER = auto()
    """The process dies first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request that changes the store."""

    happens: bool
    """Whether it is carried out at once."""
    answer: Answer
    again: int | None = None
    """Stops after which it is carried out (once more); None for never."""


@dataclass(slots=True)
class _Late:
    due: int
    label: str
    action: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What kind of store it is."""

    is_remote: bool = True
    page_length: int = 1000
    """Names of one page of a listing."""
    descending: bool = False
    """Whether names are listed from last to first."""


@dataclass(slots=True)
class SimulatedStore:
    """What all processes share: objects, requests under way, and the transcript."""

    options: StoreOptions
    objects: MemoryBackend = field(init=False)
    steps: int = 0
    """Stops so far, of all processes."""
    transcript: list[str] = field(default_factory=list)
    faults_met: int = 0
    _late: list[_Late] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects = MemoryBackend(clock=StoreClock(self))

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self.transcript.append(f"{self.steps:5d} {text}")

    def tick(self) -> None:
        """Count a stop and deliver what is due."""
        self.steps += 1
        self._deliver(self.steps)

    def deliver_everything(self, *, up_to_delay: int = AT_THE_END) -> None:
        """Deliver what is still under way, in the order it is due."""
        self._deliver(self.steps + up_to_delay)

    def send_late(self, delay: int, label: str, action: Callable[[], None]) -> None:
        """Have a request carried out after some stops; nobody learns how it went."""
        self._late.append(_Late(self.steps + delay, label, action))

    def names(self, prefix: str) -> set[str]:
        """Return the names of all objects below a prefix, now."""
        return {info.name for info in self.objects.list(prefix)}

    def page(self, prefix: str, after: str | None) -> list[ObjectInfo]:
        """Return the first names of a listing that come after another name."""
        down = self.options.descending
        found = sorted(self.objects.list(prefix), key=lambda info: info.name, reverse=down)
        if after is not None:
            found = [info for info in found if (info.name < after if down else info.name > after)]
        return found[: self.options.page_length]

    def _deliver(self, now: int) -> None:
        due = sorted((late for late in self._late if late.due <= now), key=lambda late: late.due)
        self._late = [late for late in self._late if late.due > now]
        for late in due:
            try:
                late.action()
                self.note(f"   late: {late.label}")
            except (AlreadyExistsError, NotFoundError):
                self.note(f"   late: {late.label}: nothing to do")


class HostFaults:
    """What goes wrong for one host, by the number of the request among the host's.

    Args:
        changes: number of a create, commit or delete -> fault.
        reads: numbers of other requests that fail with a transient error.
    """

    def __init__(self, changes: Mapping[int, Fault], reads: frozenset[int] = frozenset()) -> None:
        self._changes = changes
        self._reads = reads
        self._changes_seen = 0
        self._reads_seen = 0
        self.is_off = False

    def next_change(self) -> Fault | None:
        number, self._changes_seen = self._changes_seen, self._changes_seen + 1
        return None if self.is_off else self._changes.get(number)

    def next_read_fails(self) -> bool:
        number, self._reads_seen = self._reads_seen, self._reads_seen + 1
        return number in self._reads and not self.is_off


class ProcessBackend:
    """The store as one process sees it.

    Args:
        store: shared by all.
        process: stops before each operation.
        faults: of the process's host.
    """

    def __init__(self, store: SimulatedStore, process: Process, faults: HostFaults) -> None:
        self._store = store
        self._process = process
        self._faults = faults
        self.faults_met = 0

    @property
    def location(self) -> str:
        return "simulation"

    @property
    def is_remote(self) -> bool:
        return self._store.options.is_remote

    @property
    def parallelism(self) -> int:
        return 2

    def protect(self, days: int) -> None:
        self._store.objects.protect(days)

    def create(self, name: str, data: Bytes) -> None:
        copy = bytes(data)
        self._change("create", name, lambda: self._store.objects.create(name, copy))

    def open_writer(self, name: str, *, is_hot: bool = False) -> ProcessWriter:
        del is_hot
        return ProcessWriter(self, name)

    def read(self, name: str) -> bytes:
        return self._read("read", name, lambda: self._store.objects.read(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        action = self._store.objects.read_range
        return self._read("read_range", name, lambda: action(name, offset, length))

    def size(self, name: str) -> int:
        return self._read("size", name, lambda: self._store.objects.size(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        after: str | None = None
        while True:
            page = self._read("page", prefix, lambda after=after: self._store.page(prefix, after))  # type: ignore[misc]
            yield from page
            if len(page) < self._store.options.page_length:
                return
            after = page[-1].name

    def delete(self, name: str) -> None:
        self._change("delete", name, lambda: self._store.objects.delete(name))

    def initialize(self) -> None:
        self._store.objects.initialize()

    def close(self) -> None:
        pass

    def commit(self, name: str, data: bytes) -> None:
        """Create an object that was written piece by piece."""
        self._change("commit", name, lambda: self._store.objects.create(name, data))

    def _read(self, kind: str, name: str, action: Callable[[], _Result]) -> _Result:
        if name.startswith(_QUIET):
            return action()
        operation = Operation(kind, name)
        self._process.stop(operation)
        self._store.tick()
        if self._faults.next_read_fails():
            self._meet(operation, "refused")
            raise TransientBackendError("simulation", name, "503")
        try:
            result = action()
        except NotFoundError:
            self._store.note(f"{self._process.name}: {operation}: not found")
            raise
        found = f": {len(result)}" if isinstance(result, list) else ""
        self._store.note(f"{self._process.name}: {operation}{found}")
        return result

    def _change(self, kind: str, name: str, action: Callable[[], None]) -> None:
        operation = Operation(kind, name)
        self._process.stop(operation)
        self._store.tick()
        fault = self._faults.next_change()
        if fault is None:
            self._carry_out(operation, action)
            return
        self._meet(operation, str(fault))
        if fault.again is not None and not name.startswith(_NEVER_LATE):
            self._store.send_late(fault.again, f"{self._process.name}: {operation}", action)
        try:
            if fault.happens:
                self._carry_out(operation, action)
        finally:
            if fault.answer is Answer.NEVER:
                self._process.die(str(operation))
            if fault.answer is Answer.LOST:
                raise TransientBackendError("simulation", name, "no answer")

    def _carry_out(self, operation: Operation, action: Callable[[], None]) -> None:
        label = f"{self._process.name}: {operation}"
        try:
            action()
        except (AlreadyExistsError, NotFoundError) as error:
            self._store.note(f"{label}: {type(error).__name__}")
            raise
        self._store.note(label)

    def _meet(self, operation: Operation, what: str) -> None:
        self.faults_met += 1
        self._store.faults_met += 1
        self._store.note(f"{self._process.name}: {operation}: {what}")


class ProcessWriter:
    """An object in a buffer; what is not committed nobody sees."""

    def __init__(self, backend: ProcessBackend, name: str) -> None:
        self._backend = backend
        self._name = name
        self._buffer = bytearray()

    def write(self, data: Bytes) -> None:
        self._buffer += data

    def commit(self) -> None:
        self._backend.commit(self._name, bytes(self._buffer))

    def abort(self) -> None:
        self._buffer.clear()


class StoreClock:
    """The clock of the storage: every stop takes a moment.

    Args:
        store: whose stops are time.
    """

    _BEGIN_NS: Final = 2_500_000_000_000_000_000
    """2049: later than the real times of the sources, whatever a host's skew."""

    def __init__(self, store: SimulatedStore) -> None:
        self._store = store

    def now_ns(self) -> int:
        return self._BEGIN_NS + int(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        return self._store.steps * STEP_S

    def sleep_s(self, seconds: float) -> None:
        raise NotImplementedError("a storage does not wait")


class ProcessClock(StoreClock):
    """The clock that a process sees: skewed, and advanced by its own sleeps alone.

    That it has slept does not mean that anybody else did anything meanwhile.

    Args:
        store: whose stops are time.
        process: whose sleeps these are.
        skew_s: seconds that the host's wall clock is ahead.
    """

    def __init__(self, store: SimulatedStore, process: Process, skew_s: int) -> None:
        super().__init__(store)
        self._process = process
        self._skew_ns = skew_s * 1_000_000_000
        self._slept_s = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + self._skew_ns

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._slept_s

    def sleep_s(self, seconds: float) -> None:
        self._process.stop(Operation("sleep", f"{seconds:.1f} s"))
        self._store.tick()
        self._slept_s += seconds
