"""Packs: immutable objects that hold many blobs as sealed slices of one plaintext stream.

    offset  size  field
    0       24    common header
    24      16    pack id
    40      1     blob kind (1 data, 2 tree)
    41      1     wrap kind (1 = AES-256-GCM under the subkey "data key wrap")
    42      2     0
    44      4     epoch of the wrapping key
    48      4     slice size in bytes of plaintext
    52      60    wrapped data key: nonce, box
    112     32    key commitment
    144     …     slices: each AEAD of (codec byte, data), at most `slice size` bytes of plaintext
    …       n     directory: AEAD of (codec byte, msgpack [slice sizes, blob lengths])
    …       p     random padding
    -60     28    footer: AEAD of (directory offset u64, directory length u32)
    -32     32    trailer: unkeyed BLAKE3 of all bytes before

Blobs follow one another in the plaintext stream and cross slice borders freely; every slice but
the last is exactly `slice size` long, so (offset, length) tells the slices. All integers are
little-endian. The directory names no blob ids: they are in index objects, and keyed hashes of
the plaintext in any case, so a pack alone suffices to rebuild its part of the index.

Source: docs/format.md#packs.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from holdfast.compression import compress, decompress, decompress_into
from holdfast.crypto.aead import (
    NONCE_LENGTH,
    TAG_LENGTH,
    Cipher,
    Suite,
    check_commitment,
    cipher,
    object_key,
    open_box,
)
from holdfast.errors import AuthenticationError, FormatError
from holdfast.format.config import MAX_SLICE_SIZE, MIN_SLICE_SIZE
from holdfast.format.envelope import HEADER_LENGTH, ObjectKind, check_header, encode_header
from holdfast.format.padding import padme
from holdfast.hashing import TRAILER_LENGTH, Bytes
from holdfast.ids import ObjectId

PACK_HEADER_LENGTH: Final = 144
WRAPPED_KEY_LENGTH: Final = NONCE_LENGTH + 32 + TAG_LENGTH
FOOTER_LENGTH: Final = 12 + TAG_LENGTH
PACK_END_LENGTH: Final = FOOTER_LENGTH + TRAILER_LENGTH
SLICE_OVERHEAD: Final = TAG_LENGTH + 1
MAX_DIRECTORY_LENGTH: Final = 64 << 20

_PREFIX_LENGTH: Final = PACK_HEADER_LENGTH - 32
_FIELDS: Final = struct.Struct("<16sBBHII")
_FOOTER: Final = struct.Struct("<QI")
_WRAP_AES_GCM: Final = 1
_EPOCH: Final = 0

_SLICE: Final = 1
_DIRECTORY: Final = 2
_FOOTER_BOX: Final = 3


class BlobKind(IntEnum):
    """What the blobs of a pack are; the values are stored and never change."""

    DATA = 1
    TREE = 2


def wrap_data_key(data_key: bytes, wrapping_key: bytes, repository_id: bytes) -> bytes:
    """Return the 60 bytes by which pack headers carry a session's data key (32 bytes)."""
    nonce = os.urandom(NONCE_LENGTH)
    return nonce + cipher(Suite.AES_256_GCM, wrapping_key).encrypt(nonce, data_key, repository_id)


@dataclass(frozen=True, slots=True)
class PackHeader:
    """A decoded header together with the key it leads to."""

    raw: bytes
    """The 144 bytes as stored."""
    pack_id: ObjectId
    kind: BlobKind
    slice_size: int
    cipher: Cipher


def make_header(
    *,
    repository_id: bytes,
    pack_id: ObjectId,
    kind: BlobKind,
    slice_size: int,
    suite: Suite,
    data_key: bytes,
    wrapped_key: bytes,
) -> PackHeader:
    """Make the header of a new pack; its key is unique to it."""
    prefix = b"".join(
        (
            encode_header(ObjectKind.PACK, suite, repository_id),
            _FIELDS.pack(bytes.fromhex(pack_id), kind, _WRAP_AES_GCM, 0, _EPOCH, slice_size),
            wrapped_key,
        )
    )
    key, commitment = object_key(data_key, prefix)
    return PackHeader(prefix + commitment, pack_id, kind, slice_size, cipher(suite, key))


def open_header(raw: bytes, wrapping_key: bytes, repository_id: bytes, name: str) -> PackHeader:
    """Decode a header (144 bytes) and derive the pack's key.

    Raises:
        FormatError, AuthenticationError: not a header of this repository.
    """
    found_id = check_header(raw, ObjectKind.PACK, name)
    if len(raw) != PACK_HEADER_LENGTH:
        raise FormatError("pack", name, "header cut off")
    pack_id, kind, wrap, reserved, epoch, slice_size = _FIELDS.unpack_from(raw, HEADER_LENGTH)
    suite = raw[6]
    if found_id != repository_id:
        raise AuthenticationError("pack", name, "it belongs to another repository")
    if suite not in (1, 2) or kind not in (1, 2) or wrap != _WRAP_AES_GCM or reserved or epoch:
        raise FormatError("pack", name, "unknown suite, kind, wrap or epoch")
    if not MIN_SLICE_SIZE <= slice_size <= MAX_SLICE_SIZE:
        raise FormatError("pack", name, "impossible slice size")
    wrapped = raw[_PREFIX_LENGTH - WRAPPED_KEY_LENGTH : _PREFIX_LENGTH]
    data_key = open_box(
        cipher(Suite.AES_256_GCM, wrapping_key),
        wrapped[:NONCE_LENGTH],
        wrapped[NONCE_LENGTH:],
        repository_id,
        "pack",
        name,
    )
    key, commitment = object_key(data_key, raw[:_PREFIX_LENGTH])
    check_commitment(commitment, raw[_PREFIX_LENGTH:], "pack", name)
    return PackHeader(
        raw, ObjectId(pack_id.hex()), BlobKind(kind), slice_size, cipher(Suite(suite), key)
    )


def seal_slice(
    header: PackHeader, index: int, data: Bytes, *, last: bool, level: int | None
) -> bytes:
    """Compress and seal slice `index` (from 0). Cost: that of zstd; releases the GIL."""
    return header.cipher.encrypt(
        _nonce(_SLICE, index), compress(data, level), _binding(_SLICE, index, last)
    )


def open_slice(header: PackHeader, index: int, box: Bytes, *, last: bool) -> bytes:
    """Open and decompress slice `index`; at most `slice_size` bytes.

    Raises:
        AuthenticationError, FormatError: not this slice of this pack.
    """
    name = header.pack_id
    sealed = open_box(
        header.cipher, _nonce(_SLICE, index), box, _binding(_SLICE, index, last), "pack", name
    )
    return decompress(sealed, header.slice_size, "pack", name)


def open_slice_into(
    header: PackHeader, index: int, box: Bytes, target: memoryview, *, last: bool
) -> int:
    """Like `open_slice`, into `target` (as long as the slice may be); return the length."""
    name = header.pack_id
    sealed = open_box(
        header.cipher, _nonce(_SLICE, index), box, _binding(_SLICE, index, last), "pack", name
    )
    return decompress_into(sealed, target[: header.slice_size], "pack", name)


class _Directory(msgspec.Struct, array_like=True, frozen=True):
    slice_sizes: bytes
    lengths: bytes


def encode_end(
    header: PackHeader, offset: int, slice_sizes: array[int], lengths: array[int], target_size: int
) -> bytes:
    """Return all bytes after the slices but the trailer: directory, padding and footer.

    Args:
        header: of the pack.
        offset: where the slices end.
        slice_sizes: stored bytes of each slice.
        lengths: plaintext bytes of each blob, in order.
        target_size: the pack is padded to this if it nearly fits, else to a Padmé length.
    """
    body = msgspec.msgpack.encode(_Directory(encode_u32s(slice_sizes), encode_u32s(lengths)))
    box = header.cipher.encrypt(
        _nonce(_DIRECTORY, 0), compress(body, 3), _binding(_DIRECTORY, 0, True)
    )
    size = offset + len(box) + PACK_END_LENGTH
    # Full packs all look alike; the last one of a session shows its size to about 3 %.
    padded = target_size if target_size * 31 // 32 <= size <= target_size else padme(size)
    footer = _FOOTER.pack(offset, len(box))
    footer_box = header.cipher.encrypt(
        _nonce(_FOOTER_BOX, 0), footer, _binding(_FOOTER_BOX, 0, True)
    )
    return b"".join((box, os.urandom(padded - size), footer_box))


def decode_footer(header: PackHeader, box: bytes, pack_size: int) -> tuple[int, int]:
    """Open the footer (28 bytes before the trailer); return directory offset and length.

    Raises:
        AuthenticationError, FormatError: not this pack's footer.
    """
    name = header.pack_id
    footer = open_box(
        header.cipher, _nonce(_FOOTER_BOX, 0), box, _binding(_FOOTER_BOX, 0, True), "pack", name
    )
    if len(footer) != _FOOTER.size:
        raise FormatError("pack", name, "impossible footer")
    offset, length = _FOOTER.unpack(footer)
    if not PACK_HEADER_LENGTH <= offset <= offset + length <= pack_size - PACK_END_LENGTH:
        raise FormatError("pack", name, "impossible footer")
    return offset, length


def decode_directory(header: PackHeader, box: bytes) -> tuple[array[int], array[int]]:
    """Open the directory; return slice sizes and blob lengths.

    Raises:
        AuthenticationError, FormatError: not this pack's directory.
    """
    name = header.pack_id
    sealed = open_box(
        header.cipher, _nonce(_DIRECTORY, 0), box, _binding(_DIRECTORY, 0, True), "pack", name
    )
    body = decompress(sealed, MAX_DIRECTORY_LENGTH, "pack", name)
    try:
        directory = msgspec.msgpack.decode(body, type=_Directory)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("pack", name, f"directory: {error}") from error
    return decode_u32s(directory.slice_sizes, "pack", name), decode_u32s(
        directory.lengths, "pack", name
    )


def encode_u32s(values: array[int]) -> bytes:
    """Return little-endian 32-bit integers."""
    if sys.byteorder == "big":
        values = array("I", values)
        values.byteswap()
    return values.tobytes()


def decode_u32s(data: bytes, kind: str, name: str) -> array[int]:
    """Undo `encode_u32s`.

    Raises:
        FormatError: not a whole number of integers.
    """
    if len(data) % 4:
        raise FormatError(kind, name, "an array of integers is cut off")
    values = array("I")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _nonce(box_kind: int, counter: int) -> bytes:
    return b"%c\0\0\0" % box_kind + counter.to_bytes(8, "little")


def _binding(box_kind: int, index: int, last: bool) -> bytes:
    return b"%c%c" % (box_kind, last) + index.to_bytes(4, "little")
