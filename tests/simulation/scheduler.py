"""Processes of a simulation: threads of which exactly one runs, from one stop to its next.

A process stops before every operation of the store and before every sleep. Nothing happens
between two stops that another process could see, so the order of the stops is the whole schedule:
the same orders give the same run.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

import pytest

from support.faults import SimulatedCrash

_PATIENCE_S: Final = 60.0
"""Of real time: a process that neither stops nor ends meanwhile is stuck."""

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a process is about to do."""

    kind: str
    """A method of a backend, "commit" of a writer, "page" of a listing, or "sleep"."""
    name: str
    """Of the object or the prefix; seconds of a sleep."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Process:
    """One run of a program; created suspended before its first instruction.

    Args:
        name: for people.
        body: what it does. SimulatedCrash, which only `kill` causes, ends it silently.
    """

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.pending: Operation | None = None
        """What it does when it is resumed; None before its first stop and after its end."""
        self._has_ended = False
        self.is_dead = False
        """Whether it was killed: not even its clean-up does anything."""
        self._body = body
        self._error: BaseException | None = None
        self._resumed = _held_lock()
        self._stopped = _held_lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its end, whatever that was."""
        return self._has_ended

    def step(self) -> None:
        """Let it run to its next stop or its end.

        Raises:
            Exception: whatever ended it.
        """
        if self.has_ended:
            raise ValueError(f"{self.name} has ended")
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._resumed.release()
        if not self._stopped.acquire(timeout=_PATIENCE_S):
            frame = sys._current_frames().get(self._thread.ident or 0)
            stack = "".join(traceback.format_stack(frame))
            raise RuntimeError(f"{self.name} neither stops nor ends:\n{stack}")
        self._raise_error()

    def _raise_error(self) -> None:
        if self._has_ended:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def kill(self) -> None:
        """Have it die where it stopped, without doing what it was about to do."""
        if self.has_ended:
            return
        self.is_dead = True
        if self._thread.ident is None:
            self._has_ended = True
        else:
            self.step()

    def die(self, reason: str) -> None:
        """Die at once; called by the process itself."""
        self.is_dead = True
        raise SimulatedCrash(f"{self.name} died: {reason}")

    def stop(self, operation: Operation) -> None:
        """Wait to be resumed; called by the process itself.

        Raises:
            SimulatedCrash: it was killed.
        """
        assert threading.current_thread() is self._thread, (
            f"{operation} comes from a thread that the simulation does not know"
        )
        if not self.is_dead:
            self.pending = operation
            self._stopped.release()
            self._resumed.acquire()
            self.pending = None
        if self.is_dead:
            raise SimulatedCrash(f"{operation} by {self.name}, which is dead")

    def _run(self) -> None:
        try:
            self._body()
        except SimulatedCrash:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again by step()
            self._error = error
        self._has_ended = True
        self._stopped.release()


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class InlineExecutor:
    """A ThreadPoolExecutor that carries out each job when it is submitted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def submit(
        self, job: Callable[_P, _Result], *args: _P.args, **options: _P.kwargs
    ) -> Future[_Result]:
        future: Future[_Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(job(*args, **options))
        except BaseException as error:  # noqa: BLE001  # as a pool does
            future.set_exception(error)
        return future

    def map(self, job: Callable[..., _Result], *iterables: Iterable[Any]) -> Iterator[_Result]:
        return iter([job(*args) for args in zip(*iterables, strict=False)])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


_LARGE_BUFFERS: Final = (
    "backup_files.BUFFER_SIZE",
    "check_data._RUN_BYTES",
    "pack_stream.TAIL_ROOM",
    "bulk_reader.RUN_LENGTH",
)


def run_pools_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every module of the engine that is loaded do without threads and large buffers."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("holdfast.") and hasattr(module, "ThreadPoolExecutor"):
            monkeypatch.setattr(module, "ThreadPoolExecutor", InlineExecutor)
        for buffer in _LARGE_BUFFERS:
            short, attribute = buffer.split(".")
            if name.startswith("holdfast.") and name.endswith(f".{short}"):
                monkeypatch.setattr(module, attribute, 1 << 16)
