"""Chunks of one size at multiples of that size, for files that are made of pages.

A database file changes page by page in place; chunks that are aligned pages change exactly where
the file does, and nothing needs to be searched.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.chunking.base import Buffer


@dataclass(frozen=True, slots=True)
class FixedChunker:
    """Chunks of `max_size` bytes each; the last one of a stream may be shorter."""

    max_size: int

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ValueError("the chunk size must be positive")

    def cuts(self, buffer: Buffer, length: int, final: bool) -> list[int]:
        """Return the multiples of the size up to `length`; see `Chunker.cuts`."""
        if not 0 <= length <= memoryview(buffer).nbytes:
            raise ValueError("length must lie within the buffer")
        ends = list(range(self.max_size, length + 1, self.max_size))
        if final and length % self.max_size:
            ends.append(length)
        return ends
