"""The chunks of a stream that is read into one reused buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from holdfast.chunking.base import Chunker

BUFFER_SIZE: Final = 4 * 1024 * 1024
"""Large enough that carrying the undecided tail costs little, small enough for the cache."""


def iter_cuts(
    readinto: Callable[[memoryview], int], chunker: Chunker, memory: bytearray
) -> Iterator[tuple[memoryview, list[int]]]:
    """Yield where a stream is cut, one buffer after another; together the chunks are the stream.

    Args:
        readinto: fills the beginning of a buffer and returns how many bytes; 0 ends the stream.
            Short reads are fine and change nothing: the buffer is filled before it is cut.
        chunker: where to cut.
        memory: the buffer, at least 2 * chunker.max_size. Its content is lost, so many streams can
            share it one after the other.

    Yields:
        The buffer, which begins with the first of its chunks, and where each of them ends;
        valid until the next step.

    Raises:
        ValueError: the buffer is too small, or readinto claims more than was asked.

    Cost: besides reading and cutting, one copy of the undecided tail a buffer (less than
    2 * max_size).
    """
    if len(memory) < 2 * chunker.max_size:
        raise ValueError("the buffer must hold at least two chunks of the maximum size")
    with memoryview(memory) as view:
        filled, final = 0, False
        while not final:
            while filled < len(memory):
                with view[filled:] as free:
                    count = readinto(free)
                    if not 0 <= count <= len(free):
                        raise ValueError("readinto returned an impossible length")
                if count == 0:
                    final = True
                    break
                filled += count
            ends = chunker.cuts(view, filled, final)
            yield view, ends
            start = ends[-1] if ends else 0
            filled -= start
            view[:filled] = view[start : start + filled]
