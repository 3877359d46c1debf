"""Which bytes of a source are read to estimate what deduplication makes of all of it.

A sample of single chunks would hardly ever hold both copies of a chunk. So the unit is a *cluster*:
data that is likely to share chunks, which comes in or stays out together (cluster sampling; Cochran,
"Sampling Techniques", 3rd edition 1977, chapters 9 and 9A).

- A short file is read whole. It is one cluster with the files of the same name: in a series the same
  relative path, in one tree the same base name and size, as copies have. Small files of a series
  are one cluster with their directory, unless they are numbered: what compresses well together
  stays together.
- Of a longer file *cells* of equal length are read, at equal distances from a random first one on
  (systematic sampling; Cochran, chapter 8). The cells of the version before, or in one tree of a
  file whose name differs only in digits, are looked for, since content moves when something is
  inserted before it (see `alignment`); a cell and what it became is one cluster.

A hash of its name decides whether a cluster is read, and which of 32 *groups* it belongs to. The groups
are random parts of equal expected size, so that unions of them show how unique data grows with what is
read, and how much is up to chance; see `extrapolate`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from holdfast.benchmark.alignment import Aligner, Cell, Peek

GROUPS: Final = 32

_CELLS: Final = 256
"""How many cells a sample consists of if all files are long: 8 for each group."""
_LEAST_CELL: Final = 1 << 20
"""So that the chunks that a cell's ends cut through are few."""
_GREATEST_ALIGNED: Final = 64 << 20
"""Longer cells are not looked for: what content moves by is little against them."""
_LONG: Final = 4
"""Files of more than so many cells are read in part."""
_SMALL: Final = 256 << 10
"""Files below it share slices with their neighbours, and compress better for it."""
_ALIGNED: Final = 4096
_DIGITS: Final = re.compile(rb"[0-9]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """How much of a source is read. Both None: everything."""

    share: float | None
    """Of its bytes, in (0, 1]; if it is given, `most_bytes` is not looked at."""
    most_bytes: int | None
    """If the source has more, about so many bytes are read."""

    def share_of(self, total: int) -> float:
        """Return the share in (0, 1] that is read of a source of `total` bytes; 1 is everything."""
        if self.share is not None:
            return min(self.share, 1.0)
        if self.most_bytes is None or total <= self.most_bytes:
            return 1.0
        return self.most_bytes / total


def cell_length(share: float, total: int) -> int:
    """Return how many bytes of a long file are read at one place, for a share of `total` bytes."""
    cell = max(_LEAST_CELL, int(share * total) // _CELLS)
    return cell - cell % _ALIGNED


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes of a file that is read."""

    offset: int
    """Any: a lane of "fixed" begins at the next multiple of its own size, as chunks of the whole
    file do."""
    length: int
    """At least 1."""
    group: int
    """0..GROUPS-1."""
    is_start: bool
    """Whether it begins where the file does. If not, the first chunk that a "gear" lane cuts is
    not one of the whole file and counts nowhere, neither as chunk nor as bytes read, as long as
    chunks are short against `Sampler.cell`."""
    is_end: bool
    """Whether it ends where the file does. If not, the same is true of the last chunk."""


class Sampler:
    """Decides for each file what is read of it.

    Used once for each content pass, version by version in the order of the series; for one thread.
    The share that is read is met on average over samples; no byte is preferred. Memory: 20 MB.
    """

    def __init__(self, share: float, total: int, *, is_series: bool, seed: bytes = b"") -> None:
        """Prepare.

        Args:
            share: as `Sample.share_of` returned it; with 1 every file is one extent.
            total: bytes of the source in all versions.
            is_series: whether the sources are versions of the same data, so that equal relative
                paths are likely to share chunks.
            seed: at most 32 bytes; another one draws another sample.
        """
        self._share = share
        self._is_series = is_series
        self._key = seed.ljust(32, b"\0")
        self._cell = cell_length(share, total)
        self._stride = max(int(self._cell / share), self._cell)
        self._aligner = (
            Aligner(self._cell, self._stride, GROUPS) if self._cell <= _GREATEST_ALIGNED else None
        )

    @property
    def cell(self) -> int:
        """Return the length of a cell in bytes; see `cell_length`."""
        return self._cell

    def planned(self, name: bytes, size: int) -> int:
        """Return how many bytes of a file will be read, nearly, for progress; no I/O.

        Args:
            name: relative path in its version; empty if the source is a file.
            size: bytes of the file.
        """
        if self._is_whole(size):
            return sum(extent.length for extent in self._whole(name, size))
        return sum(extent.length for extent in self._clip(self._cells(name, size), size))

    def extents(self, name: bytes, size: int, peek: Peek) -> Sequence[Extent]:
        """Return what is read of a file: disjoint, in the order of offsets, empty if nothing.

        For lanes of whole files: the file is one chunk, named by `size` and all that is read of
        it, as long as what is read of it, in the group of its first extent.

        Args:
            name: relative path in its version; empty if the source is a file.
            size: bytes of the file.
            peek: is called for long files, for about the extents returned.

        Raises:
            OSError: what `peek` raised.
        """
        if self._is_whole(size):
            return self._whole(name, size)
        cells = self._cells(name, size)
        if self._aligner is not None:
            cells = self._aligner.align(self._long_key(name), size, cells, peek)
        return tuple(self._clip(cells, size))

    def _is_whole(self, size: int) -> bool:
        return self._share >= 1 or size <= _LONG * self._cell

    def _whole(self, name: bytes, size: int) -> tuple[Extent, ...]:
        """Return the one extent of a file that is read whole, if it is read."""
        if size == 0:
            return ()
        chance, group = self._draw(self._short_key(name, size))
        return (Extent(0, size, group, True, True),) if chance < self._share else ()

    def _cells(self, name: bytes, size: int) -> Sequence[Cell]:
        """Return the cells of a long file as they are if nothing has moved.

        The first may begin before the file, so that every byte has the same chance.
        """
        chance, group = self._draw(self._long_key(name))
        first = int(chance * self._stride) - self._cell
        first -= first % _ALIGNED
        offsets = range(first, size, self._stride)
        return [Cell(offset, (group + number) % GROUPS) for number, offset in enumerate(offsets)]

    def _clip(self, cells: Sequence[Cell], size: int) -> Iterator[Extent]:
        """Yield what of the cells is in the file and not in a cell before."""
        done = 0
        for cell in cells:
            begin, end = max(cell.offset, done), min(cell.offset + self._cell, size)
            if begin < end:
                yield Extent(begin, end - begin, cell.group, begin == 0, end == size)
                done = end

    def _short_key(self, name: bytes, size: int) -> bytes:
        directory, base = os.path.split(name)
        if not self._is_series:
            return b"%d/%b" % (size, base)
        # A directory of numbered files may hold most of the data: mail, say.
        return name if size >= _SMALL or base[:1].isdigit() else directory + b"/"

    def _long_key(self, name: bytes) -> bytes:
        return name if self._is_series else _DIGITS.sub(b"#", os.path.basename(name))

    def _draw(self, key: bytes) -> tuple[float, int]:
        """Return what the hash of a cluster's name decides: a number in [0, 1), a group."""
        digest = blake3(key, key=self._key).digest(9)
        return int.from_bytes(digest[:8], "little") / 2**64, digest[8] % GROUPS
