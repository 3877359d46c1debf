"""Chunks of streams: any reads, one buffer."""

from __future__ import annotations

import io

import pytest

from holdfast.chunking import Cutting
from holdfast.chunking.fixed import FixedChunker
from support.chunking import iter_chunks, noise, pieces

KEY = noise("stream", 32)


class Dribble(io.RawIOBase):
    """Returns as many bytes as the pattern says, over and over."""

    def __init__(self, data: bytes, pattern: list[int]) -> None:
        self._rest = memoryview(data)
        self._pattern = pattern
        self._turn = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(self._pattern[self._turn % len(self._pattern)], len(buffer), len(self._rest))
        self._turn += 1
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@pytest.mark.parametrize("pattern", [[1], [7, 1, 300], [4096], [1 << 20], [1023, 1, 1025]])
@pytest.mark.parametrize("buffer_size", [2048, 3000, 1 << 16])
@pytest.mark.parametrize("zero_runs", [False, True])
def test_reads_and_buffers_do_not_matter(
    pattern: list[int], buffer_size: int, zero_runs: bool
) -> None:
    data = noise("a", 9000) + bytes(5000) + noise("b", 3000) + bytes(1500)
    chunker = Cutting("gear", 256, zero_runs).chunker(KEY)
    expected = pieces(data, chunker.cuts(data, len(data), True))
    source = Dribble(data, pattern)
    assert list(iter_chunks(source.readinto, chunker, bytearray(buffer_size))) == expected


def test_an_empty_stream_has_no_chunks() -> None:
    assert list(iter_chunks(io.BytesIO().readinto, FixedChunker(10), bytearray(20))) == []


def test_streams_may_share_a_buffer() -> None:
    buffer = bytearray(20)
    for data in (b"abcdefghijklm", b"nop", b"q" * 50):
        chunks = iter_chunks(io.BytesIO(data).readinto, FixedChunker(10), buffer)
        assert b"".join(chunks) == data
    buffer.append(0)  # BufferError while anybody holds it


def test_abandoned_iteration_releases_the_buffer() -> None:
    buffer = bytearray(20)
    chunks = iter_chunks(io.BytesIO(b"a" * 50).readinto, FixedChunker(10), buffer)
    assert next(chunks) == b"a" * 10
    chunks.close()  # type: ignore[attr-defined]
    buffer.append(0)


def test_errors_of_the_source_pass_through() -> None:
    def fail(buffer: memoryview) -> int:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(iter_chunks(fail, FixedChunker(10), bytearray(20)))


def test_impossible_reads_are_refused() -> None:
    for count in (-1, 21):
        with pytest.raises(ValueError, match="impossible length"):
            list(iter_chunks(lambda _, count=count: count, FixedChunker(10), bytearray(20)))  # type: ignore[misc]


def test_a_buffer_that_could_stall_is_refused() -> None:
    with pytest.raises(ValueError, match="two chunks"):
        list(iter_chunks(io.BytesIO(b"abc").readinto, FixedChunker(10), bytearray(19)))
