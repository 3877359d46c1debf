"""How fast a storage is: small requests one by one, large objects alone and several at once.

Everything happens on scratch objects below `probe/`, as `doctor` does it: no other object has such
a name, prune and backups pass them over, and they are deleted whatever happens. What a process
that was killed has left goes with the next probe that comes a day later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.names import PROBE
from holdfast.benchmark.speed_report import Measure, Stage, Unit
from holdfast.benchmark.speed_timing import Stopwatch
from holdfast.errors import AccessDeniedError, NotFoundError
from holdfast.format.config import CONFIG_NAME
from holdfast.operations.probe import Scratch, sweep_leftovers

MOST_CONNECTIONS: Final = 8
"""Objects on their way at once: as many as a backup has."""
_SMALL_LENGTH: Final = 1024
_SMALL_S: Final = 0.15
_LARGE_S: Final = 0.5
_PIECE: Final = 1 << 20
"""Bytes that are handed over at once."""
_RANGE: Final = 8 << 20
"""Bytes that a restore asks for at once."""
_LARGE_RUNS: Final = (2, 6)
"""A slow line must not make this take minutes, and a fast disk must not be filled."""
_MOST_LARGE: Final = 32 << 20


def connections_of(backend: Backend) -> int:
    """Return how many objects a backup has on their way at once."""
    return max(1, min(backend.parallelism, MOST_CONNECTIONS))


def prepare_storage(backend: Backend) -> None:
    """Look whether a storage may be measured: a repository, of which no key is needed, or empty.

    Raises:
        RepositoryExistsError: neither a repository nor empty.
        BackendError: it cannot be reached.
    """
    try:
        backend.size(CONFIG_NAME)
    except NotFoundError:
        backend.initialize()


def measure_storage(backend: Backend, watch: Stopwatch) -> tuple[list[Measure], list[str]]:
    """Measure a storage that is prepared.

    Returns:
        The measures, and the names of scratch objects that could not be deleted.

    Raises:
        BackendError: it cannot be reached, is full, or does not allow objects.
    """
    scratch = Scratch(backend)
    try:
        scratch.create(b"first of all")
        sweep_leftovers(backend)
        trial = _Trial(scratch, watch)
        measures = [*trial.small_requests(), *trial.large_objects()]
    finally:
        try:
            scratch.clear()
        finally:
            scratch.clear()  # has nothing to do unless the first was interrupted
    return measures, scratch.left


class _Trial:
    """Makes, reads and deletes scratch objects.

    Args:
        scratch: makes them, and deletes them at the end.
        watch: times.
    """

    def __init__(self, scratch: Scratch, watch: Stopwatch) -> None:
        self._scratch = scratch
        self._backend = scratch.backend
        self._watch = watch
        self._noise = memoryview(os.urandom(2 * _PIECE))
        """Twice a piece: each one written begins elsewhere in it, so none is like another."""

    def small_requests(self) -> list[Measure]:
        """Time an object of 1 KiB: written, read, listed and deleted."""
        backend, scratch = self._backend, self._scratch
        made: list[str] = []

        def write(_number: int) -> None:
            made.append(scratch.create(os.urandom(_SMALL_LENGTH)))

        def delete(_number: int) -> None:
            name = made.pop() if made else scratch.create(b"one more")
            backend.delete(name)
            scratch.made.remove(name)

        works: dict[str, Callable[[int], object]] = {
            "small-write": write,
            "small-read": lambda number: backend.read(made[number % len(made)]),
            "list": lambda _: list(backend.list(PROBE)),
            "delete": delete,
        }
        measures: list[Measure] = []
        for name, work in works.items():
            try:
                seconds = self._watch.seconds_each(work, _SMALL_S)
            except AccessDeniedError:
                if work is not delete:  # some storages take nothing back; that is not our concern
                    raise
            else:
                measures.append(
                    Measure(stage=Stage.STORAGE, name=name, unit=Unit.SECONDS, single=seconds)
                )
        return measures

    def large_objects(self) -> list[Measure]:
        """Measure writing and reading of objects that take a moment, of 32 MiB at the most."""
        watch, connections = self._watch, connections_of(self._backend)
        begin_s = watch.now_s()
        self._write(_PIECE)
        per_s = _PIECE / max(1e-9, watch.now_s() - begin_s)
        size = int(per_s * watch.budget_s(_LARGE_S) / 4) // _PIECE * _PIECE
        size = max(_PIECE, min(size, _MOST_LARGE))
        # Together they have one line: each is as much shorter.
        part = max(_PIECE, size // connections // _PIECE * _PIECE)
        names: list[str] = []

        def write(length: int) -> float:
            names.append(self._write(length))
            return length

        runs = _LARGE_RUNS
        write_one = watch.rate(lambda _: write(size), _LARGE_S, runs=runs)
        write_all = watch.parallel_rate(
            lambda _: write(part), _LARGE_S, threads=connections, runs=runs
        )
        read_one = watch.rate(
            lambda number: self._read(names[number % len(names)], size), _LARGE_S, runs=runs
        )
        read_all = watch.parallel_rate(
            lambda number: self._read(names[number % len(names)], part),
            _LARGE_S,
            threads=connections,
            runs=runs,
        )
        return [
            Measure(
                stage=Stage.STORAGE,
                name=name,
                unit=Unit.BYTES_PER_S,
                single=single,
                parallel=parallel,
            )
            for name, single, parallel in (
                ("write", write_one, write_all),
                ("read", read_one, read_all),
            )
        ]

    def _write(self, length: int) -> str:
        """Write an object like a pack: piece by piece, durable at the end."""
        name = self._scratch.name()
        writer = self._backend.open_writer(name)
        try:
            for number in range(length // _PIECE):
                start = number * 4099 % _PIECE
                writer.write(self._noise[start : start + _PIECE])
            writer.commit()
        finally:
            writer.abort()
        self._forget_cached(name)
        return name

    def _read(self, name: str, length: int) -> float:
        """Read the beginning of an object as a restore does, in ranges; return its length."""
        count = 0
        for offset in range(0, length, _RANGE):
            count += len(self._backend.read_range(name, offset, min(_RANGE, length - offset)))
        return count

    def _forget_cached(self, name: str) -> None:
        """Drop an object of a local directory from the kernel's memory; its disk is what counts."""
        if self._backend.is_remote:
            return
        with suppress(OSError):
            descriptor = os.open(os.path.join(self._backend.location, name), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
