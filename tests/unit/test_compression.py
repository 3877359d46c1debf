"""Codecs: round trips, bounds, and frames that lie."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from holdfast.compression import MAX_LEVEL, MIN_LEVEL, compress, decompress, decompress_into
from holdfast.errors import FormatError, IntegrityError

LEVELS = st.sampled_from((None, MIN_LEVEL, -1, 1, 3, 19, MAX_LEVEL))


@given(st.binary(max_size=4000) | st.binary(max_size=8).map(lambda part: part * 500), LEVELS)
def test_round_trip(data: bytes, level: int | None) -> None:
    packed = compress(data, level)
    assert len(packed) <= len(data) + 1
    assert decompress(packed, len(data), "pack", "x") == data
    buffer = bytearray(len(data) + 3)
    assert decompress_into(packed, memoryview(buffer), "pack", "x") == len(data)
    assert buffer[: len(data)] == data


def test_what_shrinks_is_compressed_and_what_does_not_is_stored() -> None:
    assert compress(bytes(1000), 3)[0] == 1
    assert len(compress(bytes(1000), 3)) < 30
    assert compress(bytes(1000), None) == bytes(1001)
    assert compress(b"ab", 3) == b"\0ab"
    assert compress(b"", 3) == b"\0"


@pytest.mark.parametrize("level", [None, 3])
def test_longer_than_allowed_is_refused(level: int | None) -> None:
    packed = compress(bytes(1000), level)
    with pytest.raises(FormatError):
        decompress(packed, 999, "pack", "x")
    with pytest.raises(FormatError):
        decompress_into(packed, memoryview(bytearray(999)), "pack", "x")


def test_small_frame_of_a_terabyte_is_refused_before_it_is_unpacked() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(1 << 20)))
    # Frame header: magic, descriptor 0xa0 (4-byte content size, single segment), size.
    assert frame[4] == 0xA0
    frame[4] = 0xE0  # 8-byte content size
    frame[5:9] = (1 << 40).to_bytes(8, "little")
    for target in (1 << 20, 1 << 30):
        with pytest.raises(FormatError, match="more than"):
            decompress(b"\1" + frame, target, "pack", "x")


def test_frame_without_a_size_and_cut_frames_are_refused() -> None:
    plain = bytes(range(256)) * 20
    sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
    packed = compress(plain, 3)
    for wrong in (b"\1" + sizeless, packed[:-1], packed[:6], b"\1", b"", b"\2abc"):
        with pytest.raises(FormatError):
            decompress(wrong, 1 << 20, "pack", "x")
        with pytest.raises(FormatError):
            decompress_into(wrong, memoryview(bytearray(1 << 20)), "pack", "x")


def unpack_both(packed: bytes, most: int) -> None:
    """Unpack in both ways; the only error is IntegrityError."""
    try:
        assert len(decompress(packed, most, "pack", "x")) <= most
    except IntegrityError:
        pass
    try:
        assert decompress_into(packed, memoryview(bytearray(most)), "pack", "x") <= most
    except IntegrityError:
        pass


@given(st.binary(max_size=100), st.sampled_from((b"", b"\0", b"\1", b"\1\x28\xb5\x2f\xfd")))
def test_any_bytes_raise_integrity_errors_only(data: bytes, start: bytes) -> None:
    unpack_both(start + data, 1000)


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_change_raises_integrity_errors_only(at: int, bits: int) -> None:
    packed = bytearray(compress(b"some text, some text, some more text " * 30, 3))
    packed[at % len(packed)] ^= bits
    unpack_both(bytes(packed), 5000)
