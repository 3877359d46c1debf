"""One dump of several databases, cut into its parts while it comes.

A single run of the dump tool is a single transaction, so that all databases are of the same moment
and of one position in the binary log. Its output is stored by database all the same: what comes
first (settings of the session), then each database, and at the end each database's views, which
may refer to other databases.

Parts begin at comments that the tool writes. The same text in the body of a routine does not count:
bodies stand between two changes of the delimiter, and each name counts only where it is due.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.sources.base import ReadInto
from holdfast.sources.mariadb.connection import quote_name

BEGIN: Final = b"begin.sql"
GLOBALS: Final = b"globals.sql"
TABLES: Final = b"tables.sql"
VIEWS: Final = b"views.sql"

_DELIMITER: Final = b"\nDELIMITER "
_READ: Final = 1 << 20
_UNSAFE: Final = re.compile(rb"[\x00-\x1f%/]|^\.")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


def directory_of(name: str) -> bytes:
    """Return the directory that a database is stored in."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], name.encode())


def database_of(directory: bytes) -> str:
    """Return the database that is stored in a directory."""
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), directory).decode()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a dump; `database` is empty for what comes before the first."""

    database: str
    path: bytes


class DumpParts:
    """Cuts the output of a dump into its parts, which are read one after the other.

    Args:
        readinto: of the tool.
        names: databases in the order in which the tool was told them.
    """

    def __init__(self, readinto: ReadInto, names: Sequence[str]) -> None:
        self._readinto = readinto
        self._due = [
            *(_due(name, TABLES, b"CREATE DATABASE") for name in names),
            *(_due(name, VIEWS, b"USE ") for name in names),
        ]
        self._names = len(names)
        self._buffer = bytearray()
        self._safe = 0
        """Bytes at the beginning of the buffer that belong to the present part."""
        self._at_border = False
        self._ended = False
        self._in_body = False
        self._view = memoryview(bytearray(_READ))

    def next_part(self) -> Part | None:
        """Go on to the next part, once the present one is read; None after the last."""
        if not self._at_border:
            return None
        part, _ = self._due.pop(0)
        self._at_border = False
        # The border's own text is part of what follows and must not be found a second time.
        self._scan(1)
        return part

    @property
    def is_complete(self) -> bool:
        """Whether each database has come."""
        return len(self._due) <= self._names

    def readinto(self, view: memoryview) -> int:
        """Read what comes next of the present part; 0 at its end."""
        while not self._safe and not self._at_border and not self._ended:
            self._fill()
        size = min(self._safe, len(view))
        view[:size] = self._buffer[:size]
        del self._buffer[:size]
        self._safe -= size
        return size

    def _fill(self) -> None:
        size = self._readinto(self._view)
        if not size:
            self._ended = True
            self._safe = len(self._buffer)
            return
        scanned = len(self._buffer)
        self._buffer += self._view[:size]
        self._scan(max(0, scanned - self._longest))

    @property
    def _longest(self) -> int:
        """Bytes that a border or a change of the delimiter may need."""
        return max(len(self._due[0][1]) if self._due else 0, len(_DELIMITER) + 3)

    def _scan(self, start: int) -> None:
        """Look for the next border from `start` on; all before is settled."""
        buffer = self._buffer
        while self._due:
            border = buffer.find(self._due[0][1], start)
            end = border if border >= 0 else len(buffer)
            self._follow_delimiter(start, end)
            if border < 0:
                break
            if not self._in_body:
                self._safe, self._at_border = border, True
                return
            start = border + 1
        settled = len(buffer) - (self._longest if self._due else 0)
        self._safe = len(buffer) if self._ended else max(0, settled)

    def _follow_delimiter(self, start: int, end: int) -> None:
        """Note whether the body of a routine is open at `end`."""
        found = self._buffer.rfind(_DELIMITER, start, min(end + 1, len(self._buffer)))
        if found >= 0:
            after = found + len(_DELIMITER)
            self._in_body = self._buffer[after : after + 2] == b";;"


def _due(name: str, path: bytes, then: bytes) -> tuple[Part, bytes]:
    quoted = quote_name(name).encode()
    border = b"\n--\n-- Current Database: %s\n--\n\n%s" % (quoted, then)
    return Part(name, directory_of(name) + b"/" + path), border
