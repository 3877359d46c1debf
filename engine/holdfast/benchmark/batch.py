"""Some MiB of files in memory, that all lanes cut at the same time.

The data lies in one buffer. A long file goes on in the next batch; since a lane may not have
decided yet where its last chunk ends, the end of the file's data so far is copied before the
beginning of the next batch (its *history*), so that every chunk is one run of bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.compression import compress

BATCH_SIZE: Final = 8 << 20
"""Bytes of new data in a batch: enough work for all threads between two meetings."""
BLOCK: Final = 64 << 10
"""Bytes of which the beginning is compressed quickly."""
_TASTE: Final = 16 << 10
"""Bytes of that beginning: a quarter of the work of all, and hardly less is known."""
_QUICK_LEVEL: Final = 1


class Piece(msgspec.Struct, gc=False):
    """A run of bytes of one file in a batch. Mutable only until the batch is handed over."""

    start: int
    end: int
    """In the batch's buffer, end exclusive; nothing is between them if a file ended early."""
    group: int
    offset: int = 0
    """Of `start` in what a backup would cut as one stream: the file, or its part between holes."""
    is_first: bool = True
    """Whether it begins a run; if not, it goes on where the last piece of the batch before ended."""
    is_last: bool = True
    """Whether the run ends with it."""
    is_clean_start: bool = True
    is_clean_end: bool = True
    """Whether the run begins and ends where a backup's stream does, not anywhere in it."""
    begins_file: bool = True
    ends_file: bool = True
    whole_id: int | None = None
    """Id of the piece if it is a whole file."""
    file_size: int = 0
    """Bytes of the whole file by its inode, of which only a sample may be read."""
    is_sampled: bool = False
    """Whether bytes of the file are left out that are not in holes."""
    opens_region: bool = False
    """Whether lanes begin to collect a region here; see `slices`."""


class Batch:
    """A buffer and its pieces, filled by one thread and then only read by many."""

    def __init__(self, history: int, size: int = BATCH_SIZE) -> None:
        """Allocate; memory that is never needed is never touched.

        Args:
            history: the most bytes that a lane may need of a run before the batch; rounded up to
                whole blocks.
            size: bytes of new data that fit in; a multiple of `BLOCK`.
        """
        self.begin: Final = -(-history // BLOCK) * BLOCK
        """Where the batch's own data begins."""
        self.size: Final = self.begin + size
        self.view: Final = memoryview(bytearray(self.size))
        self.pieces: list[Piece] = []
        self.version = 0
        self.used = self.begin
        """Where the data ends."""
        self._densities = [1.0] * (self.size // BLOCK)

    def clear(self, version: int) -> None:
        """Make the batch empty, for files of a version."""
        self.pieces = []
        self.version = version
        self.used = self.begin

    def take_history(self, before: Batch, length: int) -> int:
        """Copy the end of a full batch before the beginning of this one, as far as it fits.

        Args:
            before: filled to its end, and its texture known.
            length: bytes at its end that belong to the run that goes on.

        Returns:
            How many bytes were copied.
        """
        length = min(length, self.begin)
        start = before.size - length
        self.view[self.begin - length : self.begin] = before.view[start:]
        first = start // BLOCK
        blocks = before.size // BLOCK - first
        here = self.begin // BLOCK
        self._densities[here - blocks : here] = before._densities[first:]
        return length

    def find_texture(self) -> None:
        """Compress the beginning of each block quickly. Cost: 1 ms a MiB."""
        view, densities = self.view, self._densities
        for start in range(self.begin, self.used, BLOCK):
            end = min(start + _TASTE, self.used)
            with view[start:end] as taste:
                pressed = len(compress(taste, _QUICK_LEVEL))
            densities[start // BLOCK] = min(1.0, pressed / (end - start))

    def quick_length(self, start: int, end: int) -> float:
        """Return about how many bytes a quick compression makes of a part of the buffer."""
        first, last = start // BLOCK, (end - 1) // BLOCK
        if first == last:
            return (end - start) * self._densities[first]
        densities = self._densities[first : last + 1]
        return (end - start) * sum(densities) / len(densities)
