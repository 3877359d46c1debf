"""One way to cut, applied to all data: the lanes of a scan run side by side, batch by batch."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from holdfast.benchmark.batch import Batch, Piece
from holdfast.benchmark.grid import WHOLE_FILES, Candidate, WholeFiles
from holdfast.benchmark.measured import LaneResult, Tally
from holdfast.benchmark.naming import ID_BYTES, ChunkNamer, id_of
from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.sketch import Sketch
from holdfast.benchmark.slices import Stream
from holdfast.chunking.cutting import Cutting
from holdfast.chunking.params import KEY_LENGTH

_WHOLE_IN_CELL: Final = 8
"""Chunks of the usual length that a sampled extent must hold, or those at its ends count too."""
_CHUNKER_KEY: Final = bytes(KEY_LENGTH)
"""Any key cuts alike on average; this one makes scans repeatable."""


class Lane(ABC):
    """A way to cut. For one thread at a time.

    Args:
        candidate: the way.
        namer: names chunks.
        stream: takes them in order.
        versions: how many there are.
    """

    def __init__(
        self, candidate: Candidate, namer: ChunkNamer, stream: Stream, versions: int
    ) -> None:
        self._namer = namer
        self._stream = stream
        self._version = 0
        self._result = LaneResult(
            candidate=candidate,
            sketch=Sketch(),
            references=[[Tally() for _ in range(GROUPS)] for _ in range(versions)],
        )
        self._undecided = 0
        """Bytes before the next piece that belong to its first chunk."""
        self._ids: list[int] = []
        self._spans: list[tuple[int, int]] = []
        self._groups: list[int] = []

    @property
    def history(self) -> int:
        """Bytes before a batch that a chunk may begin in."""
        return 0

    @property
    def typical_length(self) -> int:
        """Bytes of a usual chunk: the less, the more work."""
        return 1 << 30

    def take(self, batch: Batch) -> None:
        """Cut the files of the next batch.

        Cost: what the chunker and BLAKE3 take, 2 us a chunk, and 3 us a piece.
        """
        began = time.thread_time()
        if batch.version != self._version:
            self._stream.begin_version(batch.version)
            self._version = batch.version
        for piece in batch.pieces:
            if piece.opens_region:
                self._stream.mark(0 if piece.is_first else self._undecided)
            self._take_piece(batch, piece)
            if piece.ends_file:
                self._stream.end_file()
        self._result.sketch.add(
            self._ids, self._spans, self._groups, batch.quick_length, batch.version
        )
        for column in (self._ids, self._spans, self._groups):
            column.clear()
        self._result.core_seconds += time.thread_time() - began
        self._result.cut_bytes += batch.used - batch.begin

    def finish(self, *, take_all: bool) -> LaneResult:
        """Return what was measured, once all batches were taken."""
        result, stream = self._result, self._stream
        stream.finish()
        if stream.new_bytes is not None:
            result.sketch.calibrate(stream.new_bytes)
        result.regions = stream.regions()
        result.are_regions_all = take_all
        result.decoded_per_byte = stream.decoded_per_byte
        result.decoded_last = stream.decoded_last
        return result

    @abstractmethod
    def _take_piece(self, batch: Batch, piece: Piece) -> None:
        """Cut a piece and note its chunks."""

    def _note_one(self, batch: Batch, piece: Piece, chunk_id: int) -> None:
        """Note a piece that is a chunk."""
        span = (piece.start, piece.end)
        group = piece.group
        self._ids.append(chunk_id)
        self._spans.append(span)
        self._groups.append(group)
        tally = self._result.references[self._version][group]
        tally.chunks += 1
        tally.bytes += piece.end - piece.start
        if self._stream.takes(group):
            self._stream.add((chunk_id,), (span,), group, batch)


class ChunkLane(Lane):
    """Cuts files into chunks.

    Where a sample begins or ends in the middle of a file, what lies between there and the first or
    last cut of the whole file is no chunk of it and counts nowhere; unless chunks are so long that
    hardly any whole one were left.
    """

    def __init__(
        self, cutting: Cutting, namer: ChunkNamer, stream: Stream, versions: int, cell: int
    ) -> None:
        super().__init__(cutting, namer, stream, versions)
        self._keeps_cut_off = cutting.kind == "gear" and cutting.size * _WHOLE_IN_CELL > cell
        self._size = cutting.size
        self._chunker = cutting.chunker(_CHUNKER_KEY)
        self._whole_limit = cutting.whole_file_limit
        self._fixed_size = cutting.size if cutting.kind == "fixed" else 0
        self._skip = 0
        """Bytes before the first multiple of the size, which are not cut."""
        self._drops_first = False

    @property
    def history(self) -> int:
        """Bytes before a batch that a chunk may begin in."""
        return 2 * self._chunker.max_size

    @property
    def typical_length(self) -> int:
        """Bytes of a usual chunk."""
        return self._size

    def _take_piece(self, batch: Batch, piece: Piece) -> None:
        if piece.whole_id is not None and piece.end - piece.start <= self._whole_limit:
            self._note_one(batch, piece, piece.whole_id)
            return
        if piece.is_first:
            self._begin_run(piece)
        start = piece.start - self._undecided
        if self._skip:
            step = min(self._skip, piece.end - start)
            self._skip -= step
            start += step
        with batch.view[start : piece.end] as data:
            ends = self._chunker.cuts(data, len(data), piece.is_last)
        cuts = [start, *(start + end for end in ends)]
        spans = list(pairwise(cuts))
        self._undecided = piece.end - cuts[-1]
        if spans:
            self._drop_cut_off(spans, piece)
        if spans:
            self._note(batch, piece, spans)

    def _begin_run(self, piece: Piece) -> None:
        self._undecided = 0
        size = self._fixed_size
        self._skip = -piece.offset % size if size else 0
        self._drops_first = not size and not piece.is_clean_start and not self._keeps_cut_off

    def _drop_cut_off(self, spans: list[tuple[int, int]], piece: Piece) -> None:
        """Leave out chunks that the ends of a sampled extent cut off."""
        if piece.is_last and not piece.is_clean_end and not self._keeps_cut_off:
            start, end = spans[-1]
            if end - start != self._fixed_size:
                spans.pop()
        if self._drops_first and spans:
            del spans[0]
            self._drops_first = False

    def _note(self, batch: Batch, piece: Piece, spans: Sequence[tuple[int, int]]) -> None:
        ids = self._namer.names(batch.view, spans)
        group = piece.group
        self._ids += ids
        self._spans += spans
        self._groups += [group] * len(spans)
        tally = self._result.references[self._version][group]
        tally.chunks += len(spans)
        tally.bytes += spans[-1][1] - spans[0][0]
        if self._stream.takes(group):
            self._stream.add(ids, spans, group, batch)


class WholeLane(Lane):
    """Takes every file as one chunk, as long as what is read of it."""

    def __init__(self, namer: ChunkNamer, stream: Stream, versions: int) -> None:
        super().__init__(WHOLE_FILES, namer, stream, versions)
        self._hasher: Any = None
        self._length = 0
        self._quick_length = 0.0
        self._group = 0
        self._position = -1
        """In the stream, of the file at hand; -1 if its group takes no part."""

    def _take_piece(self, batch: Batch, piece: Piece) -> None:
        if piece.whole_id is not None:
            self._note_one(batch, piece, piece.whole_id)
            return
        if piece.begins_file:
            self._hasher = self._namer.hasher()
            self._length, self._quick_length = 0, 0.0
            self._group, self._position = piece.group, -1
        if piece.end > piece.start:
            self._take_part(batch, piece.start, piece.end)
        if piece.ends_file and self._length:
            self._end_file(piece)

    def _take_part(self, batch: Batch, start: int, end: int) -> None:
        self._hasher.update(batch.view[start:end])
        self._quick_length += batch.quick_length(start, end)
        if self._stream.takes(self._group):
            position = self._stream.add_open(batch, start, end)
            if not self._length:
                self._position = position
        self._length += end - start

    def _end_file(self, piece: Piece) -> None:
        if piece.is_sampled or self._length != piece.file_size:
            self._hasher.update(piece.file_size.to_bytes(8, "little"))
        chunk_id = id_of(self._hasher.digest(length=ID_BYTES))
        tally = self._result.references[self._version][self._group]
        tally.chunks += 1
        tally.bytes += self._length
        quick_length = self._quick_length
        self._result.sketch.add(
            (chunk_id,),
            ((0, self._length),),
            (self._group,),
            lambda *_: quick_length,
            self._version,
        )
        if self._position >= 0:
            self._stream.end_open(chunk_id, self._position, self._length, self._group)


def new_lane(
    candidate: Candidate,
    namer: ChunkNamer,
    stream: Stream,
    versions: int,
    cell: int = sys.maxsize,
) -> Lane:
    """Return the lane of a candidate; `cell` is that of the sampler."""
    if isinstance(candidate, WholeFiles):
        return WholeLane(namer, stream, versions)
    return ChunkLane(candidate, namer, stream, versions, cell)
