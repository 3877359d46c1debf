"""Fills batches with what is read of files, whatever happens to the files meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from holdfast.benchmark.batch import BATCH_SIZE, Batch, Piece
from holdfast.benchmark.naming import ChunkNamer
from holdfast.benchmark.sample import Extent, Sampler
from holdfast.benchmark.survey import SPARSE_MINIMUM, Problems, SourceFile
from holdfast.fs.source import data_extents
from holdfast.operations.backup_files import open_file

_KEEP_WHOLE: Final = BATCH_SIZE // 2
"""Bytes up to which a file begins a new batch rather than being divided: so it is named once."""


class _Run(NamedTuple):
    """Bytes of a file that are read one after another."""

    offset: int
    length: int
    group: int
    origin: int
    """Offset in the file where a backup would begin to cut: its start, or the end of a hole."""
    is_clean_end: bool
    """Whether a backup would end to cut where the run ends."""


class Reader:
    """Reads files into batches. For one thread.

    Args:
        batch: an empty one.
        next_batch: takes a batch that is complete and returns an empty one to go on with, whose
            buffer is not that of the one before.
        sampler: decides what is read.
        namer: names whole files.
        is_mark: asked with the bytes read so far before each piece: does a region begin here?
        problems: told of what cannot be read.
    """

    def __init__(
        self,
        batch: Batch,
        next_batch: Callable[[Batch], Batch],
        sampler: Sampler,
        namer: ChunkNamer,
        is_mark: Callable[[int], bool],
        problems: Problems,
    ) -> None:
        self._batch = batch
        self._next_batch = next_batch
        self._sampler = sampler
        self._namer = namer
        self._is_mark = is_mark
        self._problems = problems
        self._file_size = 0
        self._is_sampled = False
        self._has_begun = False
        """Whether a piece of the file at hand was noted."""
        self.bytes_read = 0

    def begin_version(self, number: int) -> None:
        """Go on with the files of another version: a batch is of one."""
        self.finish()
        self._batch.clear(number)

    def finish(self) -> None:
        """Hand over what is left."""
        if self._batch.pieces:
            self._hand_over()

    def read(self, file: SourceFile) -> int | None:
        """Read what the sample wants of a file.

        Returns:
            The bytes of the file without its holes; None if it could not be read.
        """
        try:
            descriptor = open_file(file.path)
        except OSError as error:
            self._problems.failed(file.path, error)
            return None
        self._has_begun = False
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self._problems.replaced(file.path)
                return None
            size = status.st_size
            extents = self._sampler.extents(file.name, size, partial(_peek, descriptor))
            self._file_size = size
            self._is_sampled = sum(extent.length for extent in extents) < size
            is_sparse = status.st_blocks * 512 < size and size >= SPARSE_MINIMUM
            if is_sparse:
                length = sum(part for _, part in data_extents(descriptor, size))
                runs = _runs(extents, data_extents(descriptor, size))
            else:
                length, runs = size, _runs(extents, ((0, size),))
            for run in runs:
                missing = self._read_run(descriptor, run, is_whole=run.length == size)
                if missing:
                    self._problems.shrank(file.path)
                    return length - missing
            return length
        except OSError as error:
            self._problems.failed(file.path, error)
            return None
        finally:
            os.close(descriptor)
            self._end_file()

    def _read_run(self, descriptor: int, run: _Run, *, is_whole: bool) -> int:
        """Read a run into this batch and the next ones; return how many bytes were missing.

        Raises:
            OSError: it cannot be read; what was read before is noted.
        """
        batch = self._batch
        if batch.size - batch.used < run.length <= _KEEP_WHOLE and batch.pieces:
            self._hand_over()
        offset, end = run.offset, run.offset + run.length
        begin = self._batch.used
        """Where the run's data begins in the buffer, history included."""
        piece = self._add_piece(run, offset)
        try:
            while offset < end:
                batch = self._batch
                if batch.used == batch.size:
                    piece.is_last = False
                    self._hand_over()
                    history = self._batch.take_history(batch, batch.size - begin)
                    begin = self._batch.begin - history
                    piece = self._add_piece(run, offset)
                    batch = self._batch
                room = min(batch.size - batch.used, end - offset)
                count = os.preadv(descriptor, (batch.view[batch.used : batch.used + room],), offset)
                if count == 0:
                    break
                batch.used += count
                offset += count
                self.bytes_read += count
                piece.end = batch.used
        finally:
            piece.is_last = True
            piece.is_clean_end = run.is_clean_end or offset < end
        if is_whole and piece.is_first and piece.end > piece.start:
            piece.whole_id = self._namer.name(self._batch.view[piece.start : piece.end])
        return end - offset

    def _add_piece(self, run: _Run, offset: int) -> Piece:
        """Note a piece that begins where the batch's data ends."""
        batch = self._batch
        piece = Piece(
            batch.used,
            batch.used,
            run.group,
            offset - run.origin,
            is_first=offset == run.offset,
            is_clean_start=run.offset == run.origin,
            begins_file=not self._has_begun,
            ends_file=False,
            file_size=self._file_size,
            is_sampled=self._is_sampled,
            opens_region=self._is_mark(self.bytes_read),
        )
        batch.pieces.append(piece)
        self._has_begun = True
        return piece

    def _end_file(self) -> None:
        """Note that no more of the file at hand comes; its last piece is still in the batch."""
        if self._has_begun:
            self._batch.pieces[-1].ends_file = True

    def _hand_over(self) -> None:
        self._batch = self._next_batch(self._batch)


def _runs(extents: Sequence[Extent], parts: Iterable[tuple[int, int]]) -> Iterator[_Run]:
    """Yield what extents and the parts between holes, both ascending, have in common."""
    waiting = list(reversed(extents))
    for origin, length in parts:
        part_end = origin + length
        while waiting:
            extent = waiting[-1]
            extent_end = extent.offset + extent.length
            start, end = max(origin, extent.offset), min(part_end, extent_end)
            if start < end:
                yield _Run(start, end - start, extent.group, origin, end == part_end)
            if extent_end > part_end:
                break
            waiting.pop()


def _peek(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)
