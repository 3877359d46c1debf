"""Log segments: write-ahead and binary logs of database servers, each sealed on its own.

    offset  size  field
    0       24    common header
    24      32    salt, random
    56      32    key commitment
    88      528   head: AEAD of 512 bytes: u16 length, msgpack [kind, identity, name, size], zeros
    616     …     boxes: each AEAD of 256 KiB of the stream, the last one of at most that
    -32     32    trailer: unkeyed BLAKE3 of all bytes before

The stream is, for each MiB of the segment, a u32 length and that many bytes (codec byte, data);
then zeros up to a Padmé length. Boxes of one size hide how well each MiB compresses. Key and
commitment are made as those of named objects, of kind, salt and the object's name; so no segment
can be served for another. Both directions work piece by piece: a segment may have gigabytes.

Source: docs/format.md#log-segments.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from holdfast.compression import DEFAULT_LEVEL, compress, decompress
from holdfast.crypto.aead import (
    COMMITMENT_LENGTH,
    TAG_LENGTH,
    Cipher,
    Suite,
    check_commitment,
    cipher,
    object_key,
    open_box,
)
from holdfast.errors import AuthenticationError, FormatError, HashMismatchError
from holdfast.format.envelope import (
    HEADER_LENGTH,
    SALT_LENGTH,
    Envelope,
    ObjectKind,
    check_header,
    encode_header,
)
from holdfast.format.padding import padme
from holdfast.hashing import TRAILER_LENGTH, Bytes, TrailerHash

SLICE_SIZE: Final = 1 << 20
"""Bytes of a segment that are compressed together."""
BOX_LENGTH: Final = 256 << 10
"""Bytes of the stream in a box."""
HEAD_LENGTH: Final = 512
HEAD_END: Final = HEADER_LENGTH + SALT_LENGTH + COMMITMENT_LENGTH + HEAD_LENGTH + TAG_LENGTH
"""Where the head ends, in bytes from the object's start: enough to decode it."""

_KIND: Final = ObjectKind.LOG
_LABEL: Final = _KIND.label
_HEAD: Final = 1
_BOX: Final = 2
_FRAME: Final = struct.Struct("<I")
_HEAD_SIZE: Final = struct.Struct("<H")
_SEALED_BOX: Final = BOX_LENGTH + TAG_LENGTH
_END: Final = TAG_LENGTH + TRAILER_LENGTH
"""Of the last box and what follows it: the shortest length."""


class SegmentHead(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What a segment is. Fields are only ever added at the end, each with a default."""

    kind: str
    """"wal" or "binlog"."""
    identity: str
    """Of the server, as its kind says it."""
    name: str
    size: int
    """Bytes of the segment itself."""


class SegmentSealer:
    """Makes the bytes of one object. Memory: a slice and a box.

    Args:
        envelope: of the repository.
        object_name: of the object.
        head: what it holds.
        level: of zstd.

    Raises:
        ValueError: the head does not fit; names and identities are bounded by the caller.
    """

    def __init__(
        self,
        envelope: Envelope,
        object_name: str,
        head: SegmentHead,
        *,
        level: int | None = DEFAULT_LEVEL,
    ) -> None:
        header = encode_header(_KIND, envelope.suite, envelope.repository_id)
        salt = os.urandom(SALT_LENGTH)
        key, commitment = object_key(envelope.key, bytes((_KIND,)), salt, object_name.encode())
        self._cipher = cipher(envelope.suite, key)
        self._level = level
        self._left = head.size
        self._pending = bytearray()
        self._boxes = 0
        self._streamed = 0
        self._trailer = TrailerHash()
        encoded = msgspec.msgpack.encode(head)
        body = _HEAD_SIZE.pack(len(encoded)) + encoded
        if len(body) > HEAD_LENGTH:
            raise ValueError("the head of a log segment is too long")
        box = self._cipher.encrypt(
            _nonce(_HEAD, 0), body.ljust(HEAD_LENGTH, b"\0"), _head_binding(header)
        )
        self._start = b"".join((header, salt, commitment, box))

    def begin(self) -> bytes:
        """Return the object's first bytes, up to the first box."""
        return self._out(self._start)

    def add(self, data: Bytes) -> Iterator[bytes]:
        """Take the next slice, 1 MiB but for the last; yield the bytes that come next.

        Raises:
            ValueError: not the length that a slice has here.
        """
        if len(data) != min(self._left, SLICE_SIZE) or not self._left:
            raise ValueError("a slice of another length")
        self._left -= len(data)
        packed = compress(data, self._level)
        self._pending += _FRAME.pack(len(packed))
        self._pending += packed
        yield from self._full_boxes()

    def end(self) -> Iterator[bytes]:
        """Yield the object's last bytes, after all slices."""
        if self._left:
            raise ValueError("slices are missing")
        length = self._streamed + len(self._pending)
        zeros = padme(length) - length
        while zeros > 0:
            count = min(zeros, BOX_LENGTH)
            zeros -= count
            self._pending += bytes(count)
            yield from self._full_boxes()
        yield self._out(self._seal(self._pending, last=True))
        yield self._trailer.digest()

    def _full_boxes(self) -> Iterator[bytes]:
        """Seal all of the pending stream that cannot be the last box."""
        while len(self._pending) > BOX_LENGTH:
            sealed = self._seal(self._pending[:BOX_LENGTH], last=False)
            del self._pending[:BOX_LENGTH]
            self._streamed += BOX_LENGTH
            yield self._out(sealed)

    def _seal(self, data: Bytes, *, last: bool) -> bytes:
        number = self._boxes
        self._boxes += 1
        return self._cipher.encrypt(_nonce(_BOX, number), data, _binding(number, last))

    def _out(self, data: bytes) -> bytes:
        self._trailer.update(data)
        return data


class SegmentOpener:
    """Takes the bytes of one object, in pieces of any length, and gives those of the segment.

    Nothing is given that was not authenticated; whether it is all, `end` says. Memory: what is
    fed at once, a box and a slice.

    Args:
        envelope: of the repository.
        object_name: of the object.
    """

    def __init__(self, envelope: Envelope, object_name: str) -> None:
        self._envelope = envelope
        self._name = object_name
        self._stored = bytearray()
        self._stream = bytearray()
        self._boxes = 0
        self._given = 0
        self._trailer = TrailerHash()
        self._cipher: Cipher | None = None
        self.head: SegmentHead | None = None
        """What it is, once its first 616 bytes were fed."""

    def feed(self, data: Bytes) -> Iterator[bytes]:
        """Take the next bytes; yield slices of the segment.

        Raises:
            IntegrityError: these are not the bytes that were stored under this name.
        """
        self._stored += data
        if self._cipher is None:
            if len(self._stored) < HEAD_END:
                return
            raw = self._take(HEAD_END)
            self.head, self._cipher = _open_head(self._envelope, self._name, raw)
        while len(self._stored) >= _SEALED_BOX + _END:
            self._open(self._take(_SEALED_BOX), last=False)
            yield from self._slices()

    def end(self) -> Iterator[bytes]:
        """All bytes were fed: yield the last slices, and see that all is there.

        Raises:
            IntegrityError: it is not what was stored; what was given must be thrown away.
        """
        if self.head is None or not _END <= len(self._stored) <= _SEALED_BOX + TRAILER_LENGTH:
            raise FormatError(_LABEL, self._name, "cut off")
        self._open(self._take(len(self._stored) - TRAILER_LENGTH), last=True)
        yield from self._slices()
        if self._given != self.head.size:
            raise FormatError(_LABEL, self._name, "slices are missing")
        if self._trailer.digest() != self._stored:
            raise HashMismatchError(_LABEL, self._name, "its checksum differs")

    def _take(self, length: int) -> bytes:
        data = bytes(memoryview(self._stored)[:length])
        del self._stored[:length]
        self._trailer.update(data)
        return data

    def _open(self, box: bytes, *, last: bool) -> None:
        assert self._cipher is not None
        number = self._boxes
        self._boxes += 1
        binding = _binding(number, last)
        self._stream += open_box(
            self._cipher, _nonce(_BOX, number), box, binding, _LABEL, self._name
        )

    def _slices(self) -> Iterator[bytes]:
        """Yield the slices that are complete; what follows the last one is padding."""
        assert self.head is not None
        while (left := self.head.size - self._given) > 0:
            if len(self._stream) < _FRAME.size:
                return
            (length,) = _FRAME.unpack_from(self._stream)
            if length > SLICE_SIZE + 1:
                raise FormatError(_LABEL, self._name, "impossible length of a slice")
            if len(self._stream) < _FRAME.size + length:
                return
            packed = bytes(memoryview(self._stream)[_FRAME.size : _FRAME.size + length])
            del self._stream[: _FRAME.size + length]
            data = decompress(packed, SLICE_SIZE, _LABEL, self._name)
            if len(data) != min(left, SLICE_SIZE):
                raise FormatError(_LABEL, self._name, "a slice of another length")
            self._given += len(data)
            yield data
        self._stream.clear()


def is_possible_size(stored_size: int) -> bool:
    """Tell whether an object of that many bytes can be a segment: most that are cut off cannot."""
    body = stored_size - HEAD_END - TRAILER_LENGTH
    boxes = -(-body // _SEALED_BOX)
    length = body - boxes * TAG_LENGTH
    return (
        boxes > 0 and length > (boxes - 1) * BOX_LENGTH - (boxes == 1) and padme(length) == length
    )


def open_head(envelope: Envelope, object_name: str, data: Bytes) -> SegmentHead:
    """Return what an object is by its first 616 bytes.

    Raises:
        IntegrityError: not the head of the object of this name in this repository.
    """
    return _open_head(envelope, object_name, bytes(memoryview(data)[:HEAD_END]))[0]


def _open_head(envelope: Envelope, name: str, raw: bytes) -> tuple[SegmentHead, Cipher]:
    repository_id = check_header(raw, _KIND, name)
    if repository_id != envelope.repository_id:
        raise AuthenticationError(_LABEL, name, "it belongs to another repository")
    suite = raw[6]
    if suite not in (Suite.AES_256_GCM, Suite.CHACHA20_POLY1305) or len(raw) != HEAD_END:
        raise FormatError(_LABEL, name, "unknown suite or cut off")
    at = HEADER_LENGTH + SALT_LENGTH
    salt, found = raw[HEADER_LENGTH:at], raw[at : at + COMMITMENT_LENGTH]
    key, commitment = object_key(envelope.key, bytes((_KIND,)), salt, name.encode())
    check_commitment(commitment, found, _LABEL, name)
    aead = cipher(Suite(suite), key)
    binding = _head_binding(raw[:HEADER_LENGTH])
    body = open_box(aead, _nonce(_HEAD, 0), raw[at + COMMITMENT_LENGTH :], binding, _LABEL, name)
    (length,) = _HEAD_SIZE.unpack_from(body)
    try:
        encoded = body[_HEAD_SIZE.size : _HEAD_SIZE.size + length]
        head = msgspec.msgpack.decode(encoded, type=SegmentHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(_LABEL, name, f"head: {error}") from error
    if head.size < 0:
        raise FormatError(_LABEL, name, "impossible size")
    return head, aead


def _nonce(box_kind: int, counter: int) -> bytes:
    return b"%c\0\0\0" % box_kind + counter.to_bytes(8, "little")


def _head_binding(header: bytes) -> bytes:
    return b"%c" % _HEAD + header


def _binding(number: int, last: bool) -> bytes:
    return b"%c%c" % (_BOX, last) + number.to_bytes(8, "little")
