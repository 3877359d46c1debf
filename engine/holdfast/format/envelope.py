"""The header all objects share, and the sealing of named objects.

    offset  size  field
    0       4     magic "hfst"
    4       1     format version (1)
    5       1     kind (ObjectKind)
    6       1     suite (1 AES-256-GCM, 2 ChaCha20-Poly1305; 0 where nothing is sealed)
    7       1     0
    8       16    repository id

A named object (all kinds but packs, key slots and log segments) goes on with

    24      32    salt, random
    56      32    key commitment
    88      n     box: AEAD of the padded body under the object's own key
    88+n    32    trailer: unkeyed BLAKE3 of all bytes before

where key and commitment are keyed BLAKE3 (subkey "named objects") of kind, salt and name, the
nonce is zero and the binding (associated data) is the header and the name. So the storage can
serve neither one object for another nor an object of another repository. The body is a 4-byte
length, codec byte and data (`compression`), and zeros up to a Padmé length.

Source: docs/format.md#envelope.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from holdfast.compression import DEFAULT_LEVEL, compress, decompress
from holdfast.crypto.aead import (
    COMMITMENT_LENGTH,
    NONCE_LENGTH,
    Suite,
    check_commitment,
    cipher,
    object_key,
    open_box,
)
from holdfast.crypto.keys import REPOSITORY_ID_LENGTH
from holdfast.errors import (
    AuthenticationError,
    FormatError,
    HashMismatchError,
    UnsupportedVersionError,
)
from holdfast.format.padding import padme
from holdfast.hashing import TRAILER_LENGTH, Bytes, trailer

MAGIC: Final = b"hfst"
VERSION: Final = 1
HEADER_LENGTH: Final = 24
SALT_LENGTH: Final = 32
MAX_BODY_LENGTH: Final = 1 << 30
_BOX_OFFSET: Final = HEADER_LENGTH + SALT_LENGTH + COMMITMENT_LENGTH
_NONCE: Final = bytes(NONCE_LENGTH)


class ObjectKind(IntEnum):
    """Kind of a stored object; the values are stored and never change."""

    CONFIG = 1
    KEY = 2
    PACK = 3
    INDEX = 4
    SNAPSHOT = 5
    FORGET = 6
    SESSION = 7
    GC = 8
    COPY = 9
    LOG = 10

    @property
    def label(self) -> str:
        """What messages call this kind."""
        return _LABELS[self]


_LABELS: Final = {
    ObjectKind.CONFIG: "config",
    ObjectKind.KEY: "key slot",
    ObjectKind.PACK: "pack",
    ObjectKind.INDEX: "index object",
    ObjectKind.SNAPSHOT: "snapshot",
    ObjectKind.FORGET: "forget mark",
    ObjectKind.SESSION: "session",
    ObjectKind.GC: "gc entry",
    ObjectKind.COPY: "copy list",
    ObjectKind.LOG: "log segment",
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is common to all named objects of one opened repository."""

    repository_id: bytes
    key: bytes
    """Subkey "named objects", 32 bytes."""
    suite: Suite

    def seal(self, kind: ObjectKind, name: str, body: bytes) -> bytes:
        """Return the stored bytes of an object."""
        return seal_object(self, kind, name, body)

    def open(self, kind: ObjectKind, name: str, data: Bytes) -> bytes:
        """Verify an object and return its body.

        Raises:
            FormatError, HashMismatchError, AuthenticationError: these are not the bytes that were
                stored under this name.
        """
        return open_object(self, kind, name, data)


def encode_header(kind: ObjectKind, suite: int, repository_id: bytes) -> bytes:
    """Return the 24 bytes at the start of every object."""
    return b"".join((MAGIC, bytes((VERSION, kind, suite, 0)), repository_id))


def check_header(data: Bytes, kind: ObjectKind, name: str) -> bytes:
    """Check magic, version and kind; return the repository id (16 bytes).

    Raises:
        FormatError: not an object of this kind, or of an unknown version.
    """
    head = bytes(memoryview(data)[:HEADER_LENGTH])
    if len(head) < HEADER_LENGTH or head[:4] != MAGIC:
        raise FormatError(kind.label, name, "not an object of holdfast")
    if head[4] != VERSION:
        raise FormatError(
            kind.label, name, f"format version {head[4]}, this program knows {VERSION}"
        )
    if head[5] != kind or head[7] != 0:
        raise FormatError(kind.label, name, "an object of another kind")
    return head[8 : 8 + REPOSITORY_ID_LENGTH]


def check_version(data: Bytes, location: str) -> None:
    """Refuse a config of a newer format before anything else of it is read.

    Raises:
        UnsupportedVersionError: the version is not ours.
    """
    head = bytes(memoryview(data)[:HEADER_LENGTH])
    if len(head) == HEADER_LENGTH and head[:4] == MAGIC and head[4] != VERSION:
        raise UnsupportedVersionError(location, head[4], VERSION)


def check_trailer(data: Bytes, kind: ObjectKind, name: str) -> memoryview:
    """Check the trailer and return the bytes before it.

    Raises:
        HashMismatchError: the bytes changed since they were written.
    """
    view = memoryview(data)
    if len(view) < HEADER_LENGTH + TRAILER_LENGTH:
        raise FormatError(kind.label, name, f"cut off after {len(view)} bytes")
    content = view[:-TRAILER_LENGTH]
    if trailer(content) != view[-TRAILER_LENGTH:]:
        raise HashMismatchError(kind.label, name, "its checksum differs")
    return content


def seal_object(envelope: Envelope, kind: ObjectKind, name: str, body: bytes) -> bytes:
    """Seal `body` as the object `name`; see `Envelope.seal`."""
    header = encode_header(kind, envelope.suite, envelope.repository_id)
    salt = os.urandom(SALT_LENGTH)
    key, commitment = object_key(envelope.key, bytes((kind,)), salt, name.encode())
    packed = compress(body, DEFAULT_LEVEL)
    framed = len(packed).to_bytes(4, "little") + packed
    padded = framed.ljust(padme(len(framed)), b"\0")
    box = cipher(envelope.suite, key).encrypt(_NONCE, padded, header + name.encode())
    content = b"".join((header, salt, commitment, box))
    return content + trailer(content)


def open_object(envelope: Envelope, kind: ObjectKind, name: str, data: Bytes) -> bytes:
    """Open the object `name`; see `Envelope.open`."""
    repository_id = check_header(data, kind, name)
    content = check_trailer(data, kind, name)
    if repository_id != envelope.repository_id:
        raise AuthenticationError(kind.label, name, "it belongs to another repository")
    suite = content[6]
    if suite not in (Suite.AES_256_GCM, Suite.CHACHA20_POLY1305) or len(content) < _BOX_OFFSET:
        raise FormatError(kind.label, name, "unknown suite or cut off")
    header = bytes(content[:HEADER_LENGTH])
    salt = bytes(content[HEADER_LENGTH : HEADER_LENGTH + SALT_LENGTH])
    key, commitment = object_key(envelope.key, bytes((kind,)), salt, name.encode())
    found = bytes(content[HEADER_LENGTH + SALT_LENGTH : _BOX_OFFSET])
    check_commitment(commitment, found, kind.label, name)
    aead = cipher(Suite(suite), key)
    binding = header + name.encode()
    framed = open_box(aead, _NONCE, content[_BOX_OFFSET:], binding, kind.label, name)
    length = int.from_bytes(framed[:4], "little")
    if length > len(framed) - 4:
        raise FormatError(kind.label, name, "impossible length")
    return decompress(framed[4 : 4 + length], MAX_BODY_LENGTH, kind.label, name)
