"""Index objects: entries round trip, and none that contradicts itself is taken."""

from __future__ import annotations

from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError, IntegrityError
from holdfast.format.index import PackEntry, decode_index, encode_index
from holdfast.format.pack import PACK_END_LENGTH, PACK_HEADER_LENGTH, BlobKind

SLICE_SIZE = 1 << 16


def header(number: int = 1, kind: int = 1, slice_size: int = SLICE_SIZE) -> bytes:
    raw = bytearray(PACK_HEADER_LENGTH)
    raw[24:40] = number.to_bytes(16, "big")
    raw[40] = kind
    raw[48:52] = slice_size.to_bytes(4, "little")
    return bytes(raw)


def entry_of(lengths: list[int], number: int = 1, **changes: object) -> PackEntry:
    slices = array("I", [100] * max(1, -(-sum(lengths) // SLICE_SIZE)))
    values: dict[str, object] = {
        "header": header(number),
        "stored_size": PACK_HEADER_LENGTH + sum(slices) + PACK_END_LENGTH,
        "slice_sizes": slices,
        "lengths": array("I", lengths),
        "ids": b"".join(bytes([n % 256]) * 32 for n in range(len(lengths))),
        **changes,
    }
    return PackEntry(**values)  # type: ignore[arg-type]


@given(st.lists(st.lists(st.integers(1, 200_000), max_size=9), max_size=5))
def test_round_trip(packs: list[list[int]]) -> None:
    entries = [entry_of(lengths, number) for number, lengths in enumerate(packs)]
    assert decode_index(encode_index(entries), "name") == entries


def test_what_an_entry_tells() -> None:
    entry = entry_of([5], number=255, header=header(255, BlobKind.TREE, 1 << 18))
    assert entry.pack_id == "0" * 30 + "ff"
    assert entry.kind is BlobKind.TREE
    assert entry.slice_size == 1 << 18


@pytest.mark.parametrize(
    "changes",
    [
        {"header": header()[:-1]},
        {"header": header(kind=0)},
        {"header": header(kind=3)},
        {"header": header(slice_size=0)},
        {"ids": bytes(32)},
        {"ids": bytes(65)},
        {"slice_sizes": array("I")},
        {"slice_sizes": array("I", [100, 100, 100])},
        {"stored_size": 10},
        {"stored_size": -1},
        {"slice_sizes": array("I", [2**32 - 1])},
    ],
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    assert decode_index(encode_index([entry_of([7, 8])]), "name")
    with pytest.raises(FormatError):
        decode_index(encode_index([entry_of([7, 8], 1, **changes)]), "name")


def test_pack_longer_than_offsets_can_say_is_refused() -> None:
    lengths = [2**32 - 1, 2**32 - 1]
    slices = array("I", [17] * (-(-sum(lengths) // SLICE_SIZE)))
    size = PACK_HEADER_LENGTH + sum(slices) + PACK_END_LENGTH
    entry = PackEntry(header(), size, slices, array("I", lengths), bytes(64))
    with pytest.raises(FormatError):
        decode_index(encode_index([entry]), "name")


def test_fields_of_later_versions_are_passed_over() -> None:
    entry = entry_of([7, 8])
    stored = msgspec.msgpack.decode(encode_index([entry]))
    stored[0].append("later")
    assert decode_index(msgspec.msgpack.encode(stored), "name") == [entry]


@given(st.binary(max_size=60))
def test_any_bytes_raise_integrity_errors_only(body: bytes) -> None:
    try:
        assert isinstance(decode_index(body, "name"), list)
    except IntegrityError:
        pass


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_change_raises_integrity_errors_only(at: int, bits: int) -> None:
    body = bytearray(encode_index([entry_of([7, 8]), entry_of([9], 2)]))
    body[at % len(body)] ^= bits
    try:
        assert isinstance(decode_index(bytes(body), "name"), list)
    except IntegrityError:
        pass
