"""Log segments as bytes: pieces of any length, and nothing but errors from damage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.crypto.aead import Suite
from holdfast.errors import AuthenticationError, FormatError, IntegrityError
from holdfast.format.envelope import Envelope
from holdfast.format.log_segment import (
    BOX_LENGTH,
    HEAD_END,
    SLICE_SIZE,
    SegmentHead,
    SegmentOpener,
    SegmentSealer,
    is_possible_size,
    open_head,
)
from holdfast.format.padding import padme

ENVELOPE = Envelope(bytes(16), bytes(range(32)), Suite.AES_256_GCM)
NAME = "logs/00112233445566778899aabbccddeeff/000001"
NOISE = random.Random(7).randbytes(3 << 20)


def head_of(data: bytes) -> SegmentHead:
    return SegmentHead(kind="wal", identity="1", name="000001", size=len(data))


def seal(data: bytes, envelope: Envelope = ENVELOPE, *, level: int | None = 3) -> bytes:
    sealer = SegmentSealer(envelope, NAME, head_of(data), level=level)
    pieces = [sealer.begin()]
    for at in range(0, len(data), SLICE_SIZE):
        pieces += sealer.add(data[at : at + SLICE_SIZE])
    return b"".join([*pieces, *sealer.end()])


def unseal(stored: bytes, cuts: Sequence[int] = (), envelope: Envelope = ENVELOPE) -> bytes:
    opener = SegmentOpener(envelope, NAME)
    borders = [0, *sorted(cut % (len(stored) + 1) for cut in cuts), len(stored)]
    pieces: list[bytes] = []
    for begin, end in pairwise(borders):
        pieces += opener.feed(stored[begin:end])
    return b"".join([*pieces, *opener.end()])


@pytest.mark.parametrize(
    "length",
    [0, 1, BOX_LENGTH - 5, BOX_LENGTH, SLICE_SIZE - 1, SLICE_SIZE, SLICE_SIZE + 1, 3 << 20],
)
@pytest.mark.parametrize("suite", list(Suite))
def test_round_trip_of_any_length(length: int, suite: Suite) -> None:
    envelope = Envelope(bytes(16), bytes(range(32)), suite)
    for data, level in ((NOISE[:length], None), (NOISE[:length], 3), (bytes(length), 3)):
        stored = seal(data, envelope, level=level)
        assert unseal(stored, envelope=envelope) == data
        assert is_possible_size(len(stored))
        assert open_head(envelope, NAME, stored[:HEAD_END]) == head_of(data)


@given(st.lists(st.integers(0, 1 << 30), max_size=8), st.integers(0, 700_000))
def test_pieces_may_have_any_length(cuts: list[int], length: int) -> None:
    data = NOISE[:length]
    assert unseal(seal(data), cuts) == data


@given(st.integers(0, 1 << 40))
def test_possible_sizes_are_those_that_are_written(stream: int) -> None:
    length = padme(stream)
    boxes = max(1, -(-length // BOX_LENGTH))
    assert is_possible_size(HEAD_END + length + 16 * boxes + 32)


@given(st.integers(0, 1 << 30), st.integers(0, 7))
def test_any_changed_bit_is_found(position: int, bit: int) -> None:
    stored = bytearray(_STORED)
    stored[position % len(stored)] ^= 1 << bit
    with pytest.raises(IntegrityError):
        unseal(bytes(stored))


@given(st.integers(0, 1 << 30))
def test_any_cut_is_found(length: int) -> None:
    with pytest.raises(IntegrityError):
        unseal(_STORED[: length % len(_STORED)])
    with pytest.raises(IntegrityError):
        unseal(_STORED + _STORED[: 1 + length % 1000])


_STORED = seal(NOISE[:600_000])


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        unseal(data)
    with pytest.raises(IntegrityError):
        open_head(ENVELOPE, NAME, data)


def test_another_name_repository_or_key_is_refused() -> None:
    other_name = SegmentOpener(ENVELOPE, NAME[:-1] + "2")
    with pytest.raises(AuthenticationError):
        list(other_name.feed(_STORED))
    for envelope in (
        Envelope(bytes(15) + b"\1", bytes(range(32)), Suite.AES_256_GCM),
        Envelope(bytes(16), bytes(32), Suite.AES_256_GCM),
    ):
        with pytest.raises(AuthenticationError):
            unseal(_STORED, envelope=envelope)


def test_a_head_that_promises_more_than_there_is_is_refused() -> None:
    """Whoever holds the key and is mistaken: lengths are compared before they are believed."""
    sealer = SegmentSealer(ENVELOPE, NAME, head_of(bytes(2 << 20)))
    pieces = [sealer.begin(), *sealer.add(bytes(1 << 20))]
    sealer._left = 0
    with pytest.raises(FormatError, match="slices are missing"):
        unseal(b"".join([*pieces, *sealer.end()]))
    sealer = SegmentSealer(ENVELOPE, NAME, head_of(b"1234"))
    pieces = [sealer.begin(), *sealer.add(b"1234")]
    sealer._pending[0:4] = b"\xff\xff\xff\xff"
    with pytest.raises(FormatError, match="impossible length"):
        unseal(b"".join([*pieces, *sealer.end()]))
    sealer = SegmentSealer(ENVELOPE, NAME, head_of(b"1234"), level=None)
    pieces = [sealer.begin(), *sealer.add(b"1234")]
    del sealer._pending[-1:]
    sealer._pending[0] -= 1
    with pytest.raises(FormatError, match="another length"):
        unseal(b"".join([*pieces, *sealer.end()]))


def test_slices_of_another_length_are_a_mistake_of_the_caller() -> None:
    sealer = SegmentSealer(ENVELOPE, NAME, head_of(bytes(10)))
    with pytest.raises(ValueError, match="another length"):
        list(sealer.add(bytes(11)))
    with pytest.raises(ValueError, match="missing"):
        list(sealer.end())
    with pytest.raises(ValueError, match="too long"):
        SegmentSealer(ENVELOPE, NAME, SegmentHead(kind="wal", identity="x" * 600, name="", size=0))
