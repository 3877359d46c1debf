"""How fast this machine backs up, stage by stage, and what holds it back.

Each stage is measured alone, with the functions and sizes that a backup uses, on seeded data or
the user's own; then a small backup is made for the sum of it. `speed_limits` says what that means.
Everything lies in a directory of its own that is deleted at the end; the storage that the user
names sees scratch objects only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.registry import open_backend
from holdfast.benchmark.speed_data import SpeedData, own_data, seeded_data
from holdfast.benchmark.speed_files import SMALL, Extent, measure_reading
from holdfast.benchmark.speed_index import (
    BYTES_PER_BLOB,
    DEFAULT_BLOBS,
    LEAST_BLOBS,
    MOST_BLOBS,
    measure_index,
)
from holdfast.benchmark.speed_limits import predict_new, predict_unchanged
from holdfast.benchmark.speed_processor import (
    measure_compression,
    measure_cutting,
    measure_naming,
    measure_sealing,
)
from holdfast.benchmark.speed_report import Measure, SpeedReport
from holdfast.benchmark.speed_storage import (
    connections_of,
    measure_storage,
    prepare_storage,
)
from holdfast.benchmark.speed_timing import Stopwatch
from holdfast.benchmark.speed_trial import Trial, unusable
from holdfast.chunking import IMPLEMENTATION
from holdfast.clock import Clock
from holdfast.errors import ConfigurationError
from holdfast.progress import Progress
from holdfast.units import format_size

DEFAULT_SECONDS: Final = 20.0
LEAST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 3600.0
WORK_PREFIX: Final = "holdfast-benchmark-"
"""Of the directory that is made below the one that is named: what a killed run has left."""
ROOM: Final = 600 << 20
"""Bytes of disk that all but the index takes at the most: files, a repository, scratch objects."""
_WALK_S: Final = 2.0
"""Of each walk through the user's files."""
_LEAST_SMALL: Final = 200
"""Fewer small files of the user's own say little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedOptions:
    """What is measured, with what, and for how long."""

    work_dir: str
    """Where scratch files go; best on the disk where the cache of repositories lies. It is made if
    it is absent, and needs `ROOM` and 160 bytes for each of `blobs`."""
    data: bytes | None = None
    """File or directory to take data from; None for seeded data."""
    seconds: float = DEFAULT_SECONDS
    """How long all takes, about; building the index comes on top where it is large."""
    blobs: int = DEFAULT_BLOBS
    """Of the index in which blobs are looked up."""
    threads: int = 0
    """That compress and seal at once; 0 for as many as a backup has."""

    def __post_init__(self) -> None:
        if not LEAST_SECONDS <= self.seconds <= MOST_SECONDS:
            raise ConfigurationError(
                f"{self.seconds:g} seconds are too few or too many",
                f"choose {LEAST_SECONDS:g} to {MOST_SECONDS:g}",
            )
        if not LEAST_BLOBS <= self.blobs <= MOST_BLOBS:
            raise ConfigurationError(
                f"an index of {self.blobs} blobs is too small or too large",
                f"choose {LEAST_BLOBS} to {MOST_BLOBS}",
            )


def measure_speed(
    options: SpeedOptions,
    progress: Progress,
    clock: Clock,
    *,
    storage: Backend | None = None,
) -> SpeedReport:
    """Measure every stage of a backup.

    Args:
        options: what is measured, with what, and for how long.
        progress: watches, and is told of files that cannot be read.
        clock: measures.
        storage: to be measured: a repository, of which no key is needed, or an empty place; it
            stays open. None for a directory in the working directory.

    Raises:
        ConfigurationError: the working directory cannot be used or is too small, or there is no
            data in what was named.
        RepositoryExistsError: `storage` is neither a repository nor empty.
        BackendError, CacheError: the storage or the index failed.

    Memory: about 300 MB with two threads, whatever the size of the data and the index.
    """
    with _scratch_directory(options.work_dir) as directory:
        _check_room(directory, options.blobs)
        run = _Run(options, progress, clock, directory)
        if storage is not None:
            return run.report(storage, storage.location)
        local = open_backend(os.path.join(directory, "storage"))
        try:
            return run.report(local, options.work_dir)
        finally:
            local.close()


@contextmanager
def _scratch_directory(work_dir: str) -> Iterator[str]:
    """Make a directory below `work_dir` and delete it at the end, whatever happened.

    Raises:
        ConfigurationError: it cannot be made.
    """
    try:
        os.makedirs(work_dir, mode=0o700, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=WORK_PREFIX, dir=work_dir)
    except OSError as error:
        raise unusable(work_dir, error) from error
    try:
        yield directory
    finally:
        try:
            shutil.rmtree(directory, ignore_errors=True)
        finally:  # finds nothing unless the first was interrupted, as Ctrl-C may do at any moment
            shutil.rmtree(directory, ignore_errors=True)


def _check_room(directory: str, blobs: int) -> None:
    found = os.statvfs(directory)
    needed = ROOM + blobs * BYTES_PER_BLOB
    if needed > found.f_bavail * found.f_frsize:
        raise ConfigurationError(
            f"{os.path.dirname(directory)} has no room for {format_size(needed)} of scratch files",
            "name another directory with --work-dir, or fewer blobs with --blobs",
        )


class _Run:
    """One measurement of everything."""

    def __init__(
        self, options: SpeedOptions, progress: Progress, clock: Clock, directory: str
    ) -> None:
        self._options = options
        self._progress = progress
        self._clock = clock
        self._directory = directory
        self._watch = Stopwatch(
            clock, scale=options.seconds / DEFAULT_SECONDS, threads=options.threads
        )
        self._left: list[str] = []

    def report(self, storage: Backend, location: str) -> SpeedReport:
        """Measure stage by stage, in the order of a backup, and say what it means.

        Args:
            storage: to be measured.
            location: how the report calls it.
        """
        prepare_storage(storage)
        watch = self._watch
        begin_s = watch.now_s()
        self._progress.begin("benchmark", total_items=_STEPS)
        try:
            self._step(0, "data")
            data = self._data()
            trial = Trial(self._directory, data, clock=self._clock)
            trial.write_files()
            steps: tuple[tuple[str, Callable[[], list[Measure]]], ...] = (
                ("reading", lambda: self._reading(data, trial)),
                ("cutting", lambda: measure_cutting(data, watch)),
                ("naming", lambda: measure_naming(data, watch)),
                ("compressing", lambda: measure_compression(data, watch)),
                ("sealing", lambda: measure_sealing(data, watch)),
                ("index", lambda: measure_index(self._directory, self._options.blobs, watch)),
                ("storage", lambda: self._storage(storage)),
                ("a whole backup", lambda: trial.back_up(watch)),
            )
            measures: list[Measure] = []
            for number, (name, measure) in enumerate(steps, 1):
                self._step(number, name)
                measures += measure()
        finally:
            self._progress.end()
        return SpeedReport(
            threads=watch.threads,
            chunker=IMPLEMENTATION,
            data=data.facts,
            index_blobs=self._options.blobs,
            storage=location,
            connections=connections_of(storage),
            measures=tuple(measures),
            new=predict_new(measures, data.facts),
            unchanged=predict_unchanged(measures, data.facts),
            seconds=watch.now_s() - begin_s,
            left=tuple(self._left),
        )

    def _step(self, number: int, name: str) -> None:
        self._progress.update(number, 0, name)

    def _data(self) -> SpeedData:
        if self._options.data is None:
            return seeded_data()
        return own_data(
            self._options.data,
            now_s=self._watch.now_s,
            most_s=self._watch.budget_s(_WALK_S),
            progress=self._progress,
        )

    def _reading(self, data: SpeedData, trial: Trial) -> list[Measure]:
        """Read the user's own files where they are, or those in the working directory."""
        if not data.facts.is_own:
            return measure_reading(trial.large, trial.small, self._watch)
        lengths = [(piece, piece.end - piece.start) for piece in data.pieces]
        large = [Extent(piece.path, piece.offset, length) for piece, length in lengths]
        small = [piece.path for piece, length in lengths if not piece.offset and length <= SMALL]
        enough = len(small) >= _LEAST_SMALL
        return measure_reading(large, small if enough else trial.small, self._watch)

    def _storage(self, storage: Backend) -> list[Measure]:
        measures, left = measure_storage(storage, self._watch)
        self._left = left
        return measures


_STEPS: Final = 9
