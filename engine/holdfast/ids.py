"""Names of things: blob ids, object names, and how a person abbreviates them.

Ids are distinct types for the checker and plain values at run time: a backup handles millions,
and a wrapper object would cost more than the hash it wraps.
"""

from __future__ import annotations

import os
import re
from typing import Final, NewType

BlobId = NewType("BlobId", bytes)
"""32 bytes: keyed BLAKE3 of a blob's plaintext."""

ObjectId = NewType("ObjectId", str)
"""32 lower-case hex digits: the random name of a pack, index object, snapshot or session."""

BLOB_ID_LENGTH: Final = 32
OBJECT_ID_LENGTH: Final = 32

_HEX = re.compile(r"[0-9a-f]+\Z")


def new_object_id() -> ObjectId:
    """Return a fresh name: 128 random bits, so that no name is ever used twice."""
    return ObjectId(os.urandom(16).hex())


def is_object_id(text: str) -> bool:
    """Tell whether `text` is the full name of an object."""
    return len(text) == OBJECT_ID_LENGTH and is_id_prefix(text)


def is_id_prefix(text: str) -> bool:
    """Tell whether `text` can be the beginning of an object's name."""
    return 0 < len(text) <= OBJECT_ID_LENGTH and _HEX.match(text) is not None
