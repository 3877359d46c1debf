"""Names of databases as names of directories, and back."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

GLOBALS: Final = b"globals.sql"
"""What belongs to no database: roles, tablespaces."""
FACTS: Final = b"database.json"
PRE_DATA: Final = b"pre-data.sql"
DATA: Final = b"data.sql"
POST_DATA: Final = b"post-data.sql"


def path_of(database: str) -> bytes:
    """Return the directory of a database: its name, with `%` and two digits where a path differs.

    Only slashes, blanks, controls and `%` are escaped, and the first character of names that mean
    something else: "." and "..", and "globals.sql".
    """
    name = database.encode("utf-8", "surrogateescape")
    escaped = b"".join(
        bytes((byte,)) if byte > 0x20 and byte not in b"%/\x7f" else b"%%%02X" % byte
        for byte in name
    )
    if escaped in (b".", b"..", GLOBALS):
        escaped = b"%%%02X" % escaped[0] + escaped[1:]
    return escaped


def database_of(path: bytes) -> str:
    """Return the name that `path_of` has made a directory of."""
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")
