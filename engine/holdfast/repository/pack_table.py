"""What the cache keeps of a pack: its header and where its slices lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.format.index import PackEntry
from holdfast.format.pack import BlobKind, decode_u32s, encode_u32s
from holdfast.ids import ObjectId

_ID_LENGTH: Final = 16


class _StoredPack(msgspec.Struct, array_like=True, frozen=True):
    header: bytes
    stored_size: int
    slice_sizes: bytes
    plain_size: int
    blob_count: int


@dataclass(frozen=True, slots=True)
class PackTable:
    """What reading a pack needs: its header and where its slices lie."""

    header: bytes
    stored_size: int
    slice_sizes: list[int]
    plain_size: int
    blob_count: int

    @property
    def pack_id(self) -> ObjectId:
        """The pack's name."""
        return ObjectId(self.header[24:40].hex())

    @property
    def kind(self) -> BlobKind:
        """What the pack's blobs are."""
        return BlobKind(self.header[40])


def encode_pack(entry: PackEntry) -> bytes:
    """Encode a pack for the cache: its id, so that it is found without decoding, and the rest."""
    stored = _StoredPack(
        entry.header,
        entry.stored_size,
        encode_u32s(entry.slice_sizes),
        sum(entry.lengths),
        len(entry.lengths),
    )
    return bytes.fromhex(entry.pack_id) + msgspec.msgpack.encode(stored)


def decode_pack(value: bytes) -> PackTable:
    """Decode what `encode_pack` made.

    Raises:
        msgspec.DecodeError: something else.
    """
    stored = msgspec.msgpack.decode(memoryview(value)[_ID_LENGTH:], type=_StoredPack)
    sizes = decode_u32s(stored.slice_sizes, "cache", "packs")
    return PackTable(
        stored.header, stored.stored_size, list(sizes), stored.plain_size, stored.blob_count
    )


def decode_pack_id(value: bytes) -> ObjectId:
    """Return the id of an encoded pack."""
    return ObjectId(value[:_ID_LENGTH].hex())
