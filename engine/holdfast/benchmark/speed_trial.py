"""A whole backup on a small scale: what the stages come to together, with all that is between them.

A repository is made in the working directory, with a key of its own that nobody keeps. Backups of
an empty directory tell what a backup costs whatever its size; that is taken off the others. Where
nothing has changed dry runs are timed: they differ by the fsyncs at the end of a backup alone, and
those vary by more than the files take.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from holdfast.backends.registry import open_backend
from holdfast.benchmark.speed_data import SMALL_FILE, SpeedData
from holdfast.benchmark.speed_files import SMALL, Extent
from holdfast.benchmark.speed_report import Measure, Stage, Unit
from holdfast.benchmark.speed_timing import Stopwatch, rate_of
from holdfast.clock import Clock
from holdfast.crypto.secrets import KeyFile
from holdfast.errors import ConfigurationError
from holdfast.operations.backup import BackupOptions, backup_paths
from holdfast.operations.init import InitOptions, init_repository
from holdfast.repository.repository import Repository

FILES: Final = 2000
"""Small files, for what a file costs whatever its size."""
_PARTS: Final = 3
"""Of the data, each backed up by itself: new data can be stored once only."""
_REPEATS: Final = 3
_MOST_DURABLE: Final = 24
"""Long files that are brought to the disk; an fsync takes a while."""
_HOST: Final = "benchmark"
_LEAST_PART: Final = 1 << 20
"""Shorter parts are stored before anything can be timed."""
_LEAST_S: Final = 1e-4


class Trial:
    """Files in a working directory, and a repository for them.

    Args:
        directory: empty; whoever made it deletes it.
        data: the files hold it.
        clock: of the repository.
    """

    def __init__(self, directory: str, data: SpeedData, *, clock: Clock) -> None:
        self._root = os.fsencode(directory)
        self._data = data
        self._clock = clock
        self._sizes = [0] * _PARTS
        self.small: list[bytes] = []
        """Paths of small files."""
        self.large: list[Extent] = []
        """Files of 1 MiB or so, on the disk and not only in memory."""

    def write_files(self) -> None:
        """Write the data as files, and small ones beside it.

        Raises:
            ConfigurationError: the working directory cannot be written, or is full.
        """
        try:
            for name in (b"empty", b"small", *map(_part_name, range(_PARTS))):
                os.mkdir(os.path.join(self._root, name))
            content = self._data.content
            for number, piece in enumerate(self._data.pieces):
                part = piece.start * _PARTS // len(content)
                path = os.path.join(self._root, _part_name(part), b"%06d" % number)
                durable = piece.end - piece.start > SMALL and len(self.large) < _MOST_DURABLE
                _write(path, content[piece.start : piece.end], durable=durable)
                self._sizes[part] += piece.end - piece.start
                if durable:
                    self.large.append(Extent(path, 0, piece.end - piece.start))
            for number in range(FILES):
                path = os.path.join(self._root, b"small", b"%06d" % number)
                _write(path, b"%016x" % number * (SMALL_FILE // 16), durable=False)
                self.small.append(path)
        except OSError as error:
            raise unusable(os.fsdecode(self._root), error) from error

    def back_up(self, watch: Stopwatch) -> list[Measure]:
        """Back all of it up; return bytes of new data and unchanged files a second.

        Raises:
            BackendError: storing failed.
        """
        backend = open_backend(os.path.join(os.fsdecode(self._root), "repository"))
        secret = KeyFile(os.urandom(32))
        options = InitOptions(secret=secret, host=_HOST, probe=False)
        init_repository(backend, options, clock=self._clock)
        cache = os.path.join(os.fsdecode(self._root), "cache")
        with Repository.open(backend, secret, cache_dir=cache, clock=self._clock) as repository:

            def timed_s(name: bytes, *, dry_run: bool = False) -> float:
                begin_s = watch.now_s()
                options = BackupOptions(host=_HOST, dry_run=dry_run)
                backup_paths(repository, [os.path.join(self._root, name)], options)
                return watch.now_s() - begin_s

            timed_s(b"empty")  # makes the cache
            fixed = [timed_s(b"empty") for _ in range(_REPEATS)]
            new = [
                size / max(_LEAST_S, timed_s(_part_name(part)) - min(fixed))
                for part, size in enumerate(self._sizes)
                if size >= _LEAST_PART
            ]
            timed_s(b"small")
            dry_s = min(timed_s(b"empty", dry_run=True) for _ in range(_REPEATS))
            unchanged = [
                FILES / max(_LEAST_S, timed_s(b"small", dry_run=True) - dry_s)
                for _ in range(_REPEATS)
            ]
        return [
            *([_measure("new", Unit.BYTES_PER_S, new)] if new else []),
            _measure("unchanged", Unit.PER_S, unchanged),
            _measure("fixed", Unit.SECONDS, fixed),
        ]


def _measure(name: str, unit: Unit, values: Sequence[float]) -> Measure:
    return Measure(stage=Stage.BACKUP, name=name, unit=unit, single=rate_of(list(values)))


def unusable(directory: str, error: OSError) -> ConfigurationError:
    """Return what to raise where scratch files cannot be written."""
    reason = (error.strerror or str(error)).lower()
    return ConfigurationError(
        f"{directory} cannot be used for scratch files: {reason}",
        "name another directory with --work-dir",
    )


def _part_name(part: int) -> bytes:
    return b"part-%d" % part


def _write(path: bytes, data: bytes | memoryview, *, durable: bool) -> None:
    with open(path, "xb") as file:
        file.write(data)
        if durable:  # what is only in memory cannot be dropped from it, to be read from the disk
            file.flush()
            os.fsync(file.fileno())
