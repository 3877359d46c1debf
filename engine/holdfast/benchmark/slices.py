"""The stream of new chunks of one lane, as packs would hold it, divided into slices.

Packs lay new chunks one after another and divide that stream into slices, which are compressed and
read as a whole. Two things follow from the order of the stream: what compression makes of slices,
measured on *regions* of it, and how many slices must be decoded to restore a file, counted by *runs*
of chunks of the file that follow one another in the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from holdfast.benchmark.batch import Batch
from holdfast.benchmark.measured import Region
from holdfast.benchmark.sample import GROUPS
from holdfast.benchmark.seen import Seen
from holdfast.benchmark.squeezer import Outcome, Squeezer

RESTORE_SLICE: Final = 1 << 20
"""The usual slice size, by which ways to cut are compared."""
_WINDOW: Final = 1 << 30
"""Bytes of a file within which a restore decodes each slice once."""
_MOST_RUNS: Final = 1 << 16


@dataclass(slots=True)
class _Sampled:
    """A region that is being, or has been, compressed."""

    version: int
    begin: float
    """Bytes of the stream before it, of all groups."""
    quick_length: float = 0.0
    length: int = 0
    outcome: Future[Outcome] | None = None


class Stream:
    """The stream of one lane. For one thread at a time.

    Args:
        slice_sizes: of the grid.
        squeezer: compresses regions.
        last_version: number of the version whose restore is measured.
        take_all: whether regions follow each other without gaps, for small sources.
        seen: which chunks it has; empty.
    """

    def __init__(
        self,
        slice_sizes: Sequence[int],
        squeezer: Squeezer,
        last_version: int,
        *,
        take_all: bool,
        seen: Seen | None = None,
    ) -> None:
        self._sizes = tuple({*slice_sizes, RESTORE_SLICE})
        self._region_size = max(slice_sizes)
        self._align = max(self._sizes)
        self._squeezer = squeezer
        self._last_version = last_version
        self._take_all = take_all
        self._seen = seen or Seen()
        self._groups = self._seen.groups
        self._version = 0
        self._begin = self._position = 0
        """Where the version at hand begins, and where the next chunk will be."""
        self._stood_for = 0.0
        """Bytes of the stream of all groups."""
        self._new_bytes: list[int] = []
        """That each version before the one at hand brought."""
        self._repeated = 0
        """Bytes that were taken for new and are not."""
        self._region: _Sampled | None = None
        self._data = bytearray()
        self._left_out = 0
        """Bytes of the chunks to be added next that are before the region."""
        self._sampled: list[_Sampled] = []
        self._runs: list[tuple[int, int]] = []
        """(start, end) positions that the file at hand has touched, in this window."""
        self._run_bytes = 0
        self._restored = 0
        """Bytes of all files that were followed."""
        self._decodings = dict.fromkeys(self._sizes, 0)
        """Slices that were decoded for files of the version at hand."""
        self._decoded = dict.fromkeys(self._sizes, 0)
        """Bytes that were decoded for files of the versions before."""
        self._longest = 0
        """Bytes of the longest stream of a version: slices may be that short."""
        self._last_bytes = 0
        self._last_slices = bytearray()
        """One byte for each slice of `RESTORE_SLICE`: does the last version need it?"""

    def begin_version(self, number: int) -> None:
        """Begin with the chunks of a later version: a backup begins a new slice."""
        while self._version < number:
            self._end_version()
            self._version += 1

    def mark(self, undecided: int = 0) -> None:
        """Begin a region here, if none is being collected.

        Args:
            undecided: bytes before this place that the chunk to be added next begins with. They are
                left out, so that lanes that find everything new collect the same bytes.
        """
        if self._region is None:
            self._open_region()
            self._left_out = undecided

    def takes(self, group: int) -> bool:
        """Tell whether files of a group take part; asked before each piece."""
        return group < self._seen.groups

    def add(
        self, ids: Sequence[int], spans: Sequence[tuple[int, int]], group: int, batch: Batch
    ) -> None:
        """Add chunks of one file, which follow one another in it.

        Args:
            ids: of the chunks.
            spans: where they are in the batch.
            group: of the file.
            batch: has their bytes.
        """
        seen, runs = self._seen, self._runs
        find, note = seen.find, seen.add
        share = GROUPS / seen.groups
        run_start = run_end = -1
        size = 0
        begin = spans[0][0] + self._left_out
        self._left_out = 0
        for chunk_id, (start, end) in zip(ids, spans, strict=True):
            length = end - start
            size += length
            position = find(chunk_id)
            if position < 0:
                position = self._position
                note(chunk_id, position, group)
                self._position = position + length
                self._stood_for += length * share
                if self._region is not None:
                    self._collect(batch, max(start, begin), end)
            if position != run_end:
                if run_end >= 0:
                    runs.append((run_start, run_end))
                run_start = position
            run_end = position + length
        if run_end >= 0:
            runs.append((run_start, run_end))
            self._run_bytes += size
        if self._run_bytes >= _WINDOW or len(runs) >= _MOST_RUNS:
            self.end_file()

    def add_open(self, batch: Batch, start: int, end: int) -> int:
        """Add a part of a chunk whose id is not known yet; return its position.

        It is taken for new, since its bytes will be gone when its id is known.
        """
        position = self._position
        length = end - start
        self._position += length
        self._stood_for += length * GROUPS / self._seen.groups
        if self._region is not None:
            self._collect(batch, start, end)
        return position

    def end_open(self, chunk_id: int, position: int, length: int, group: int) -> None:
        """Name a chunk whose parts were added, the first at `position`."""
        known = self._seen.find(chunk_id)
        if known < 0:
            self._seen.add(chunk_id, position, group)
            known = position
        else:
            self._repeated += length
        self._runs.append((known, known + length))
        self._run_bytes += length

    def end_file(self) -> None:
        """Count what restoring the file at hand decodes; also in the middle of a long one."""
        runs = self._runs
        if not runs:
            return
        if self._groups != self._seen.groups:
            # The stream was thinned out: slices hold files that take part no more.
            self._groups = self._seen.groups
            self._last_bytes, self._last_slices = 0, bytearray()
        for size in self._sizes:
            if len(runs) == 1:
                start, end = runs[0]
                count = (end - 1) // size - start // size + 1
            else:
                touched: set[int] = set()
                for start, end in runs:
                    touched.update(range(start // size, (end - 1) // size + 1))
                count = len(touched)
            self._decodings[size] += count
        self._restored += self._run_bytes
        if self._version == self._last_version:
            self._note_last(runs)
        self._run_bytes = 0
        runs.clear()

    def finish(self) -> None:
        """Note that everything was added."""
        self._end_version()

    @property
    def new_bytes(self) -> list[int] | None:
        """Bytes of the chunks that each version was the first to have; None if not exactly known.

        The versions are those up to the last that had any file. Known after `finish`, as all that
        follows.
        """
        return self._new_bytes if self._seen.is_complete else None

    @property
    def decoded_per_byte(self) -> dict[int, float]:
        """Slice size -> bytes decoded per byte of a file, over all files; 1 if there are none."""
        return {
            size: decoded / self._restored if self._restored else 1.0
            for size, decoded in self._decoded.items()
        }

    @property
    def decoded_last(self) -> float:
        """Bytes decoded per byte to restore the last version, each slice once; 1 if it is empty."""
        if not self._last_bytes:
            return 1.0
        slices = self._last_slices.count(1) * min(RESTORE_SLICE, self._longest)
        return slices / self._last_bytes

    def regions(self) -> list[Region]:
        """Wait for the compression of all regions, and return them."""
        ends = [*(sampled.begin for sampled in self._sampled), self._stood_for][1:]
        found = []
        for sampled, end in zip(self._sampled, ends, strict=True):
            assert sampled.outcome is not None
            found.append(
                Region(
                    sampled.version,
                    sampled.length,
                    sampled.quick_length,
                    1.0 if self._take_all else (end - sampled.begin) / sampled.length,
                    sampled.outcome.result(),
                )
            )
        return found

    def _end_version(self) -> None:
        self._close_region()
        length = self._position - self._begin
        self._longest = max(self._longest, length)
        self._new_bytes.append(length - self._repeated)
        self._repeated = 0
        for size, count in self._decodings.items():
            self._decoded[size] += count * min(size, self._longest)
            self._decodings[size] = 0
        self._position += -self._position % self._align
        self._begin = self._position

    def _note_last(self, runs: Sequence[tuple[int, int]]) -> None:
        self._last_bytes += self._run_bytes
        slices = self._last_slices
        for start, end in runs:
            first, after = start // RESTORE_SLICE, (end - 1) // RESTORE_SLICE + 1
            if after > len(slices):
                slices.extend(bytes(max(after, 2 * len(slices)) - len(slices)))
            slices[first:after] = b"\1" * (after - first)

    def _open_region(self) -> None:
        self._region = _Sampled(self._version, self._stood_for)
        self._data = bytearray()

    def _collect(self, batch: Batch, start: int, end: int) -> None:
        """Take new data into the open region, and into those after it if all is taken."""
        while start < end and self._region is not None:
            upto = min(end, start + self._region_size - len(self._data))
            self._data += batch.view[start:upto]
            self._region.quick_length += batch.quick_length(start, upto)
            start = upto
            if len(self._data) == self._region_size:
                self._close_region()
                if self._take_all:
                    self._open_region()

    def _close_region(self) -> None:
        region = self._region
        if region is not None and self._data:
            region.length = len(self._data)
            region.outcome = self._squeezer.squeeze(self._data)
            self._sampled.append(region)
            self._data = bytearray()
        self._region = None
