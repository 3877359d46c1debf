"""Names of objects: the same on a directory and under an S3 prefix.

Source: docs/format.md#names.
"""

from __future__ import annotations

from typing import Final

from holdfast.ids import ObjectId, is_object_id

KEYS: Final = "keys/"
PACKS: Final = "packs/"
INDEX: Final = "index/"
SNAPSHOTS: Final = "snapshots/"
FORGETS: Final = "forgets/"
SESSIONS: Final = "sessions/"
GC: Final = "gc/"
COPIES: Final = "copies/"
_NUMBER_LENGTH: Final = 10


def key_name(slot_id: str) -> str:
    """Return the name of a key slot."""
    return KEYS + slot_id


def pack_name(pack_id: ObjectId) -> str:
    """Return the name of a pack; 256 directories keep listings of a local store short."""
    return f"{PACKS}{pack_id[:2]}/{pack_id}"


def index_name(index_id: str) -> str:
    """Return the name of an index object."""
    return INDEX + index_id


def snapshot_name(snapshot_id: str) -> str:
    """Return the name of a snapshot object."""
    return SNAPSHOTS + snapshot_id


def forget_name(snapshot_id: str) -> str:
    """Return the name of the mark that hides a snapshot."""
    return FORGETS + snapshot_id


def session_name(session_id: str) -> str:
    """Return the name of a session."""
    return SESSIONS + session_id


def gc_name(number: int) -> str:
    """Return the name of an entry of the log of prune."""
    return f"{GC}{number:0{_NUMBER_LENGTH}d}"


def copy_name(list_id: str) -> str:
    """Return the name of a copy list."""
    return COPIES + list_id


def number_of(name: str) -> int | None:
    """Return the number of an entry of the log of prune, or None if the name is none's."""
    last = name.rsplit("/", 1)[-1]
    is_number = len(last) == _NUMBER_LENGTH and last.isascii() and last.isdigit()
    return int(last) if is_number else None


def id_of(name: str) -> ObjectId | None:
    """Return the id at the end of an object's name, or None if there is none."""
    last = name.rsplit("/", 1)[-1]
    return ObjectId(last) if is_object_id(last) else None
