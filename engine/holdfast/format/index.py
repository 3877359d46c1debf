"""Index objects: which blobs lie where in which packs.

The body is a msgpack array of packs. A pack's entry repeats its header and its table of slices,
so that reading a blob needs no request besides the range it lies in.

Source: docs/format.md#index-objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.errors import FormatError
from holdfast.format.pack import (
    PACK_END_LENGTH,
    PACK_HEADER_LENGTH,
    BlobKind,
    decode_u32s,
    encode_u32s,
)
from holdfast.ids import BLOB_ID_LENGTH, ObjectId

MAX_PLAIN_SIZE: Final = (1 << 32) - 1


class _StoredPack(msgspec.Struct, array_like=True, frozen=True):
    header: bytes
    stored_size: int
    slice_sizes: bytes
    lengths: bytes
    ids: bytes


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One pack as index objects list it."""

    header: bytes
    """The pack's 144-byte header."""
    stored_size: int
    slice_sizes: array[int]
    """Stored bytes of each slice; slice 0 begins behind the header."""
    lengths: array[int]
    """Plaintext bytes of each blob, in stream order."""
    ids: bytes
    """Concatenated blob ids, n x 32 bytes, in stream order."""

    @property
    def pack_id(self) -> ObjectId:
        """The pack's name."""
        return ObjectId(self.header[24:40].hex())

    @property
    def kind(self) -> BlobKind:
        """What the pack's blobs are."""
        return BlobKind(self.header[40])

    @property
    def slice_size(self) -> int:
        """Plaintext bytes of each slice but the last."""
        return int.from_bytes(self.header[48:52], "little")


def encode_index(packs: Sequence[PackEntry]) -> bytes:
    """Encode the body of an index object."""
    return msgspec.msgpack.encode(
        [
            _StoredPack(
                pack.header,
                pack.stored_size,
                encode_u32s(pack.slice_sizes),
                encode_u32s(pack.lengths),
                pack.ids,
            )
            for pack in packs
        ]
    )


def decode_index(body: bytes, name: str) -> list[PackEntry]:
    """Decode and validate the body of an index object.

    Raises:
        FormatError: not an index, or one that contradicts itself.
    """
    try:
        stored = msgspec.msgpack.decode(body, type=list[_StoredPack])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("index object", name, str(error)) from error
    packs = []
    for item in stored:
        entry = PackEntry(
            header=item.header,
            stored_size=item.stored_size,
            slice_sizes=decode_u32s(item.slice_sizes, "index object", name),
            lengths=decode_u32s(item.lengths, "index object", name),
            ids=item.ids,
        )
        if reason := _contradiction(entry):
            raise FormatError("index object", name, reason)
        packs.append(entry)
    return packs


def _contradiction(entry: PackEntry) -> str:
    if len(entry.header) != PACK_HEADER_LENGTH or entry.header[40] not in (1, 2):
        return "impossible pack header"
    if len(entry.ids) != BLOB_ID_LENGTH * len(entry.lengths):
        return "ids and lengths differ in number"
    size = entry.slice_size
    plain = sum(entry.lengths)
    if (
        size == 0
        or not (len(entry.slice_sizes) - 1) * size <= plain <= len(entry.slice_sizes) * size
    ):
        return "slices and blobs differ in size"
    if plain > MAX_PLAIN_SIZE:
        return "more plaintext than offsets of 32 bits can address"
    if PACK_HEADER_LENGTH + sum(entry.slice_sizes) + PACK_END_LENGTH > entry.stored_size:
        return "slices larger than the pack"
    return ""
