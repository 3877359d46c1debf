"""The contract of a chunker: where the chunks of a stream end."""

from __future__ import annotations

import mmap
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
"""Contiguous bytes."""


class Chunker(Protocol):
    """Cuts a stream into chunks. Immutable; may be used from many threads at once.

    Cuts are a function of the stream alone: however it is divided into buffers, the same chunks
    come out.
    """

    @property
    def max_size(self) -> int:
        """No chunk is longer, in bytes."""

    def cuts(self, buffer: Buffer, length: int, final: bool) -> list[int]:
        """Return the ends (exclusive offsets, ascending) of all decided chunks of buffer[:length].

        Args:
            buffer: buffer[0] is the first byte of a chunk; only read, not kept.
            length: bytes that are filled, at most len(buffer).
            final: the stream ends at `length`. Otherwise the last, undecided piece is left out;
                the caller carries buffer[last end:length] to the front and appends to it.

        Returns:
            With `final` the last end equals `length`; the list is empty for length 0. Without,
            at least one end if length >= 2 * max_size.

        Raises:
            ValueError: `length` does not lie within the buffer.
        """
