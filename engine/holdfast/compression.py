"""Codecs of slices and sealed objects: a byte that says which, then the data.

Codec 0 stores as is, codec 1 is one zstd frame that carries its content size. Levels go from -7
to 22; None means "store as is". zstd itself stores incompressible blocks raw at 7 GB/s and
more, so nothing is tested before compressing (benchmarks: docs/benchmarks.md).

Two traps are avoided here. A `ZstdCompressor` shared by threads crashes the process, hence one
per thread and level. `decompress(max_output_size=…)` ignores the limit when the frame carries
its size, hence a 32 KB frame could unpack to gigabytes: the size in the frame's header is
compared first.
"""

from __future__ import annotations

import threading
from typing import Final

import zstandard

from holdfast.errors import FormatError
from holdfast.hashing import Bytes

DEFAULT_LEVEL: Final = 3
MIN_LEVEL: Final = -7
MAX_LEVEL: Final = 22

_STORED: Final = b"\x00"
_ZSTD: Final = b"\x01"

_LARGE: Final = 256 << 10
"""Longer data is a slice of files; zstd has other parameters of its own for what is shorter."""
_TABLES: Final = {"hash_log": 16, "chain_log": 15}
"""Of level 3, half as large as zstd's own: they fit into a core's second-level cache beside a slice.
6 to 12 % less time, 0.4 to 0.7 % more bytes (docs/performance.md)."""

_local = threading.local()


def compress(data: Bytes, level: int | None) -> bytes:
    """Return codec byte and encoded data; never more than 1 byte longer than stored as is.

    Cost: 300 MB/s at level 3 on one core; the GIL is released.
    """
    if level is None or not data:
        return b"".join((_STORED, data))
    frame = _compressor(level, is_large=len(data) > _LARGE).compress(data)
    if len(frame) >= len(data):
        return b"".join((_STORED, data))
    return _ZSTD + frame


def decompress(data: Bytes, max_length: int, kind: str, name: str) -> bytes:
    """Undo `compress`.

    Args:
        data: codec byte and encoded data.
        max_length: the most bytes that the result may have.
        kind: what errors call the object.
        name: which one.

    Raises:
        FormatError: unknown codec, damaged frame, or a result longer than `max_length`.
    """
    view = memoryview(data)
    codec = bytes(view[:1])
    body = view[1:]
    if codec == _STORED:
        if len(body) > max_length:
            raise FormatError(kind, name, f"{len(body)} bytes where at most {max_length} may be")
        return bytes(body)
    if codec != _ZSTD:
        raise FormatError(kind, name, f"unknown codec {codec.hex() or 'none'}")
    try:
        length = zstandard.get_frame_parameters(body).content_size
        if length > max_length:
            raise FormatError(kind, name, f"unpacks to more than {max_length} bytes")
        result: bytes = _decompressor().decompress(body)
    except zstandard.ZstdError as error:
        raise FormatError(kind, name, f"damaged zstd frame: {error}") from error
    return result


def decompress_into(data: Bytes, target: memoryview, kind: str, name: str) -> int:
    """Undo `compress` into a buffer; return the number of bytes.

    Bulk reads use it: a fresh megabyte for each slice costs more in page faults than its zstd
    frame (2.0 of 6.4 CPU seconds of a check of 1.3 GB).

    Args:
        data: codec byte and encoded data.
        target: as long as the result may be.
        kind: what errors call the object.
        name: which one.

    Raises:
        FormatError: unknown codec, damaged frame, or a result longer than `target`.
    """
    view = memoryview(data)
    body = view[1:]
    codec = bytes(view[:1])
    if codec == _STORED and len(body) <= len(target):
        target[: len(body)] = body
        return len(body)
    if codec != _ZSTD:
        return len(decompress(view, len(target), kind, name))  # says what is wrong
    try:
        length = zstandard.get_frame_parameters(body).content_size
        if length > len(target):
            raise FormatError(kind, name, f"unpacks to more than {len(target)} bytes")
        with _decompressor().stream_reader(body, closefd=False) as frame:
            count: int = frame.readinto(target[:length]) if length else 0
    except zstandard.ZstdError as error:
        raise FormatError(kind, name, f"damaged zstd frame: {error}") from error
    if count != length:
        raise FormatError(kind, name, "a zstd frame is cut off")
    return count


def _compressor(level: int, *, is_large: bool) -> zstandard.ZstdCompressor:
    compressors: dict[tuple[int, bool], zstandard.ZstdCompressor] | None
    compressors = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    compressor = compressors.get((level, is_large))
    if compressor is None:
        if is_large and level == DEFAULT_LEVEL:
            parameters = zstandard.ZstdCompressionParameters.from_level(
                level, write_content_size=True, **_TABLES
            )
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
        else:
            compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
        compressors[level, is_large] = compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    return decompressor
