"""Names of objects: the same on a directory and under an S3 prefix.

Source: docs/format.md#names.
"""

from __future__ import annotations

import re
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
LOGS: Final = "logs/"
MAX_LOG_NAME_LENGTH: Final = 217
"""Characters of a log segment's escaped name: what is left of the longest name of an object."""
_NUMBER_LENGTH: Final = 10
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_ESCAPED: Final = re.compile(r"(?:[a-z0-9]|-[0-9a-f]{2})+")
_ESCAPE: Final = re.compile(rb"-([0-9a-f]{2})")


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


def log_prefix(archive_id: str) -> str:
    """Return the prefix of the segments of one log archive."""
    return f"{LOGS}{archive_id}/"


def log_name(archive_id: str, name: str) -> str | None:
    """Return the name of a log segment's object; None if `name` is empty or too long for one.

    Bytes of the UTF-8 form other than lower-case letters and digits become "-" and two hex digits.
    """
    raw = name.encode("utf-8", "surrogateescape")
    escaped = "".join(chr(one) if one in _PLAIN else f"-{one:02x}" for one in raw)
    is_possible = 0 < len(escaped) <= MAX_LOG_NAME_LENGTH
    return log_prefix(archive_id) + escaped if is_possible else None


def log_segment_of(name: str) -> tuple[str, str] | None:
    """Undo `log_name`: return archive id and segment name; None if the name is none's."""
    parts = name.split("/")
    if len(parts) != 3 or not name.startswith(LOGS) or not is_object_id(parts[1]):
        return None
    if _ESCAPED.fullmatch(parts[2]) is None:
        return None
    raw = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), parts[2].encode())
    segment = raw.decode("utf-8", "surrogateescape")
    return (parts[1], segment) if log_name(parts[1], segment) == name else None


def number_of(name: str) -> int | None:
    """Return the number of an entry of the log of prune, or None if the name is none's."""
    last = name.rsplit("/", 1)[-1]
    is_number = len(last) == _NUMBER_LENGTH and last.isascii() and last.isdigit()
    return int(last) if is_number else None


def id_of(name: str) -> ObjectId | None:
    """Return the id at the end of an object's name, or None if there is none."""
    last = name.rsplit("/", 1)[-1]
    return ObjectId(last) if is_object_id(last) else None
