"""Where the cells of a long file are in its next version, although content has moved.

The row that is deleted at the beginning of a dump moves everything after it, soon by more than a cell
is long. So each cell that is read is remembered by *marks*: hashes of its pieces of about 512 bytes, cut
by content (gear, as chunks are). In the next version short *probes* around the place where the cell is
expected are cut and looked up, until one tells by how much the content has moved; the next cell is
expected to have moved by as much.

Between two cells that are found, the file may have become longer or shorter. So many cells are put there
that every byte of the new version has the same chance to be read. They are what shows new data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from holdfast.chunking.gear import GearChunker
from holdfast.chunking.params import KEY_LENGTH, gear_parameters

Peek: TypeAlias = Callable[[int, int], bytes]
"""Reads a part of the file at hand: (offset, length) -> bytes, fewer at its end; may raise OSError."""

_MARKED_PIECE: Final = 512
_MARKS: Final = 512
"""Of each cell are kept, about: those whose hash is a multiple of a number."""
_PROBES_OF_CELL: Final = 32
"""A probe is this part of a cell, so it holds 16 marks, of which some survive many small changes."""
_LEAST_VOTES: Final = 2
"""Marks of a probe that must agree on how far content has moved."""
_MISSES: Final = 64
"""After so many probes that failed, the rest of a file is not searched."""
_MISSES_PER_HIT: Final = 16
"""A probe that succeeds makes up for so many that failed."""
_REACH: Final = 16
"""A cell is looked for up to so many cells away from where it is expected."""
_READ: Final = 4 << 20

_CHUNKER: Final = GearChunker(gear_parameters(_MARKED_PIECE, bytes(KEY_LENGTH)))


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a long file that is read; it may begin before the file, and end after it."""

    offset: int
    group: int
    """A part of the sample; see `sample.Sampler`."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """What is remembered of the last version of a file."""

    cells: Sequence[Cell]
    marks: Mapping[int, int | None]
    """Hash -> offset of its piece; None if it occurs more than once, as pieces of zeros do."""


class Aligner:
    """Remembers the cells of files, and finds them in later versions; for one thread.

    Cost: cells are read twice, 1 ms of processor time a MiB; memory: 130 bytes a mark, 512 marks a
    cell.
    """

    def __init__(self, cell: int, stride: int, groups: int) -> None:
        """Prepare.

        Args:
            cell: bytes of a cell.
            stride: bytes from the beginning of a cell to that of the next, at least `cell`.
            groups: how many groups there are.
        """
        self._cell = cell
        self._stride = stride
        self._groups = groups
        self._probe = cell // _PROBES_OF_CELL
        self._keep = max(1, cell // _MARKED_PIECE // _MARKS)
        self._references: dict[bytes, _Reference] = {}

    def align(self, key: bytes, size: int, cells: Sequence[Cell], peek: Peek) -> Sequence[Cell]:
        """Return the cells to read of a file, ascending, and remember them.

        Where something was deleted, they may overlap.

        Args:
            key: what the file has in common with its earlier versions.
            size: bytes of the file.
            cells: what is read if there was none.
            peek: reads the file.

        Raises:
            OSError: what `peek` raised.
        """
        reference = self._references.get(key)
        found = self._find(reference, size, peek) if reference is not None else []
        if found:
            cells = self._fill(found, size)
        if cells:
            self._references[key] = _Reference(cells, self._marks(cells, size, peek))
        return cells

    def _find(self, reference: _Reference, size: int, peek: Peek) -> list[Cell]:
        """Return where cells of the reference are now, ascending; without those not found."""
        found: list[Cell] = []
        moved, misses = 0, _MISSES
        for cell in reference.cells:
            expected = cell.offset + moved + self._cell // 2
            for position in self._positions(expected, size):
                if misses == 0:
                    return found
                vote = self._vote(reference.marks, position, peek)
                if vote is None:
                    misses -= 1
                    continue
                misses = min(misses + _MISSES_PER_HIT, _MISSES)
                if not found or cell.offset + vote > found[-1].offset:
                    moved = vote
                    found.append(Cell(cell.offset + moved, cell.group))
                break
        return found

    def _positions(self, expected: int, size: int) -> Iterator[int]:
        """Yield where to probe: ever further away, in steps that a cell cannot slip through."""
        step = self._cell - 2 * self._probe
        for distance in range(_REACH + 1):
            for offset in sorted({expected - distance * step, expected + distance * step}):
                if 0 <= offset <= size - self._probe:
                    yield offset

    def _vote(self, marks: Mapping[int, int | None], position: int, peek: Peek) -> int | None:
        """Return by how much the content at a position has moved, None if the marks do not say."""
        votes: Counter[int] = Counter()
        for mark, offset in self._pieces(position, self._probe, peek):
            known = marks.get(mark)
            if known is not None:
                votes[offset - known] += 1
        if not votes:
            return None
        moved, count = votes.most_common(1)[0]
        return moved if count >= _LEAST_VOTES else None

    def _fill(self, found: Sequence[Cell], size: int) -> list[Cell]:
        """Return the found cells and others between, before and after them.

        Of a gap that grew by some part of the stride, the same part of a cell is due; what is due
        is carried on until it is a whole one. A gap that shrank lost cells that were not found, and
        counts against them.
        """
        stride, first, last = self._stride, found[0], found[-1]
        before = (first.offset + self._cell) // stride
        cells = [self._new(first, -n, -n * stride) for n in range(before, 0, -1)]
        due = first.offset % stride / stride
        for cell, following in pairwise(found):
            gap = following.offset - cell.offset
            due += gap / stride - 1
            count = max(int(due), 0)
            due -= count
            cells.append(cell)
            cells += [self._new(cell, n, gap * n // (count + 1)) for n in range(1, count + 1)]
        after = (size - last.offset) // stride
        return [*cells, last, *(self._new(last, n, n * stride) for n in range(1, after + 1))]

    def _new(self, neighbour: Cell, number: int, distance: int) -> Cell:
        return Cell(neighbour.offset + distance, (neighbour.group + number) % self._groups)

    def _marks(self, cells: Sequence[Cell], size: int, peek: Peek) -> dict[int, int | None]:
        """Return the marks of all cells, read in parts so that little of them is in memory."""
        marks: dict[int, int | None] = {}
        for cell in cells:
            end = min(cell.offset + self._cell, size)
            for begin in range(max(cell.offset, 0), end, _READ):
                for mark, offset in self._pieces(begin, min(_READ, end - begin), peek):
                    marks[mark] = None if mark in marks else offset
        return marks

    def _pieces(self, begin: int, length: int, peek: Peek) -> Iterator[tuple[int, int]]:
        """Yield hash and offset of the pieces of a part of a file whose hash makes them marks."""
        data = peek(begin, length)
        start = 0
        for end in _CHUNKER.cuts(data, len(data), True):
            mark = hash(data[start:end])
            if mark % self._keep == 0:
                yield mark, begin + start
            start = end
