"""Packs: each box opens in its own place of its own pack only."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.crypto.aead import Suite
from holdfast.errors import AuthenticationError, FormatError, IntegrityError
from holdfast.format.pack import (
    FOOTER_LENGTH,
    PACK_END_LENGTH,
    PACK_HEADER_LENGTH,
    SLICE_OVERHEAD,
    BlobKind,
    PackHeader,
    decode_directory,
    decode_footer,
    decode_u32s,
    encode_end,
    encode_u32s,
    make_header,
    open_header,
    open_slice,
    open_slice_into,
    seal_slice,
    wrap_data_key,
)
from holdfast.format.padding import padme
from holdfast.ids import ObjectId

REPOSITORY_ID = bytes(range(16))
WRAPPING_KEY = b"w" * 32
DATA_KEY = b"d" * 32
SLICE_SIZE = 64 << 10
U32 = st.integers(0, 2**32 - 1)


def header_of(
    number: int = 1, suite: Suite = Suite.AES_256_GCM, kind: BlobKind = BlobKind.DATA
) -> PackHeader:
    return make_header(
        repository_id=REPOSITORY_ID,
        pack_id=ObjectId(f"{number:032x}"),
        kind=kind,
        slice_size=SLICE_SIZE,
        suite=suite,
        data_key=DATA_KEY,
        wrapped_key=wrap_data_key(DATA_KEY, WRAPPING_KEY, REPOSITORY_ID),
    )


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("kind", BlobKind)
def test_header_round_trip(suite: Suite, kind: BlobKind) -> None:
    made = header_of(7, suite, kind)
    assert len(made.raw) == PACK_HEADER_LENGTH
    opened = open_header(made.raw, WRAPPING_KEY, REPOSITORY_ID, "pack")
    assert (opened.pack_id, opened.kind, opened.slice_size) == (made.pack_id, kind, SLICE_SIZE)
    box = seal_slice(made, 0, b"data", last=True, level=3)
    assert open_slice(opened, 0, box, last=True) == b"data"


def test_every_changed_byte_of_a_header_is_noticed() -> None:
    raw = header_of().raw
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 0x01
        with pytest.raises(IntegrityError):
            open_header(bytes(changed), WRAPPING_KEY, REPOSITORY_ID, "pack")
    for length in range(len(raw)):
        with pytest.raises(IntegrityError):
            open_header(raw[:length], WRAPPING_KEY, REPOSITORY_ID, "pack")


def test_header_of_another_key_or_repository_is_refused() -> None:
    raw = header_of().raw
    with pytest.raises(AuthenticationError):
        open_header(raw, b"v" * 32, REPOSITORY_ID, "pack")
    with pytest.raises(AuthenticationError):
        open_header(raw, WRAPPING_KEY, bytes(16), "pack")
    moved = raw[:8] + bytes(16) + raw[24:]
    with pytest.raises(AuthenticationError):
        open_header(moved, WRAPPING_KEY, bytes(16), "pack")


@settings(max_examples=100)
@given(st.binary(max_size=3000), st.sampled_from((None, -3, 1, 9)), st.integers(0, 1000))
def test_slice_round_trip(data: bytes, level: int | None, index: int) -> None:
    header = header_of()
    box = seal_slice(header, index, data, last=False, level=level)
    assert len(box) <= len(data) + SLICE_OVERHEAD
    assert open_slice(header, index, box, last=False) == data
    target = memoryview(bytearray(SLICE_SIZE + 10))
    length = open_slice_into(header, index, box, target, last=False)
    assert bytes(target[:length]) == data
    assert not any(target[length:])


def test_slice_in_another_place_is_refused() -> None:
    header = header_of(1)
    box = seal_slice(header, 5, b"data", last=False, level=None)
    with pytest.raises(AuthenticationError):
        open_slice(header, 4, box, last=False)
    with pytest.raises(AuthenticationError):
        open_slice(header, 5, box, last=True)
    with pytest.raises(AuthenticationError):
        open_slice(header_of(2), 5, box, last=False)
    with pytest.raises(AuthenticationError):
        open_slice(header_of(1, Suite.CHACHA20_POLY1305), 5, box, last=False)
    for wrong in (box[:-1], box + b"\0", b"", box[1:]):
        with pytest.raises(AuthenticationError):
            open_slice(header, 5, wrong, last=False)


def test_slice_longer_than_the_header_says_is_refused() -> None:
    header = header_of()
    for level in (None, 3):
        box = seal_slice(header, 0, bytes(SLICE_SIZE + 1), last=True, level=level)
        with pytest.raises(FormatError):
            open_slice(header, 0, box, last=True)
        with pytest.raises(FormatError):
            open_slice_into(header, 0, box, memoryview(bytearray(2 * SLICE_SIZE)), last=True)


def end_of(header: PackHeader, slices: list[int], lengths: list[int], target: int) -> bytes:
    offset = PACK_HEADER_LENGTH + sum(slices)
    return encode_end(header, offset, array("I", slices), array("I", lengths), target)


@given(
    st.lists(st.integers(17, 5000), min_size=1, max_size=10),
    st.lists(st.integers(1, 2**32 - 1), max_size=40),
)
def test_end_round_trip(slices: list[int], lengths: list[int]) -> None:
    header = header_of()
    offset = PACK_HEADER_LENGTH + sum(slices)
    end = end_of(header, slices, lengths, 1 << 20)
    size = offset + len(end) + 32
    footer = end[-FOOTER_LENGTH:]
    at, length = decode_footer(header, footer, size)
    assert at == offset
    sizes, found = decode_directory(header, end[:length])
    assert (list(sizes), list(found)) == (slices, lengths)
    assert size == padme(size)


def test_full_packs_have_exactly_the_target_size() -> None:
    header = header_of()
    for slices in ([51_500] * 20, [51_500] * 19 + [60_000]):
        size = PACK_HEADER_LENGTH + sum(slices) + len(end_of(header, slices, [9], 1 << 20)) + 32
        assert size == 1 << 20


def test_padding_is_not_zeros() -> None:
    header = header_of()
    end = end_of(header, [51_000] * 20, [9], 1 << 20)
    _, length = decode_footer(header, end[-FOOTER_LENGTH:], 1 << 20)
    padding = end[length:-FOOTER_LENGTH]
    assert len(padding) > 10_000
    assert padding.count(0) < len(padding) / 100


def test_footer_and_directory_of_another_pack_are_refused() -> None:
    header = header_of(1)
    end = end_of(header, [100], [99], 1 << 20)
    size = PACK_HEADER_LENGTH + 100 + len(end) + 32
    _, length = decode_footer(header, end[-FOOTER_LENGTH:], size)
    with pytest.raises(AuthenticationError):
        decode_footer(header_of(2), end[-FOOTER_LENGTH:], size)
    with pytest.raises(AuthenticationError):
        decode_directory(header_of(2), end[:length])
    with pytest.raises(AuthenticationError):
        decode_directory(header, end[: length - 1])


def test_footer_that_points_outside_of_the_pack_is_refused() -> None:
    header = header_of()
    footer = end_of(header, [100], [99], 1 << 20)[-FOOTER_LENGTH:]
    with pytest.raises(FormatError):
        decode_footer(header, footer, PACK_HEADER_LENGTH + 100 + PACK_END_LENGTH)


def test_boxes_of_one_kind_do_not_pass_for_another() -> None:
    header = header_of()
    end = end_of(header, [100], [99], 1 << 20)
    with pytest.raises(AuthenticationError):
        decode_directory(header, end[-FOOTER_LENGTH:])
    with pytest.raises(AuthenticationError):
        open_slice(header, 0, end[-FOOTER_LENGTH:], last=True)


@given(st.lists(U32))
def test_integers_round_trip(values: list[int]) -> None:
    assert list(decode_u32s(encode_u32s(array("I", values)), "pack", "x")) == values


def test_integers_are_little_endian_and_whole() -> None:
    assert encode_u32s(array("I", [1, 0x01020304])) == bytes((1, 0, 0, 0, 4, 3, 2, 1))
    for length in (1, 2, 3, 5):
        with pytest.raises(FormatError):
            decode_u32s(bytes(length), "pack", "x")
