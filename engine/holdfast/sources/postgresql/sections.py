"""The plain text of one pg_dump in three parts, cut where its sections meet.

Three runs of pg_dump, one for each section, would have to share a snapshot, and somebody would have
to hold the tables' locks in between. A statement that waits for such a lock, like DROP TABLE, lets
nobody else pass, so the next run would wait for it, it for the lock, and the lock for the next run.

Where the text is cut is a matter of statistics only: a function's text or rows of a table may look
like the border that is searched for, but the three parts are always restored as one text.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.sources.base import ReadInto

_READ_SIZE: Final = 512 << 10
_LONGEST_BORDER: Final = 4096
"""Bytes that a border may have: what may be the beginning of one is kept back."""
_DATA: Final = re.compile(rb"--\n-- Data for Name: ")
_POST_DATA: Final = re.compile(
    rb"--\n-- Name: [^\n]*; Type: (?!SEQUENCE SET;|BLOB|TABLE DATA;)[A-Z ]+; Schema: "
)
_BEFORE: Final = b"\n\n--\n-- "
"""What every border begins with: looked for first, ten times as fast as by an expression."""


class Sections:
    """A dump that is read once, part after part.

    Args:
        readinto: of the dump; its end is the end of the last part.
    """

    def __init__(self, readinto: ReadInto) -> None:
        self._readinto = readinto
        self._chunk = bytearray(_READ_SIZE)
        self._held = b""
        """Read, and not yet handed out."""
        self._at = 0
        self._ready = 0
        """End of what of it belongs to the present part for certain."""
        self._ended = False

    def begin(self) -> bool:
        """Wait for the beginning of the dump; tell whether there is one."""
        self._fill()
        return not self._ended

    def pre_data(self, view: memoryview) -> int:
        """Read of the definitions; 0 at their end."""
        return self._read(view, _DATA)

    def data(self, view: memoryview) -> int:
        """Read of the rows; 0 at their end. After `pre_data` has ended."""
        return self._read(view, _POST_DATA)

    def post_data(self, view: memoryview) -> int:
        """Read of all that is left; 0 at the end of the dump. After `data` has ended."""
        return self._read(view, None)

    def _read(self, view: memoryview, border: re.Pattern[bytes] | None) -> int:
        while self._at == self._ready:
            found = self._find(border) if border is not None else None
            if found is not None:
                self._ready = found
            elif self._ended or border is None:
                self._ready = len(self._held)
            else:
                self._ready = max(self._at, len(self._held) - _LONGEST_BORDER)
            if self._at < self._ready:
                break
            if found is not None or self._ended:
                return 0
            self._fill()
        length = min(len(view), self._ready - self._at)
        view[:length] = memoryview(self._held)[self._at : self._at + length]
        self._at += length
        return length

    def _find(self, border: re.Pattern[bytes]) -> int | None:
        """Return where a border begins in what is held."""
        at = self._held.find(_BEFORE, max(0, self._at - 2))
        while at >= 0:
            if border.match(self._held, at + 2):
                return at + 2
            at = self._held.find(_BEFORE, at + 2)
        return None

    def _fill(self) -> None:
        # A tool hands over some KiB at a time: what is done for each piece here is done for many.
        view = memoryview(self._chunk)
        length = 0
        while length < len(view):
            count = self._readinto(view[length:])
            length += count
            if count == 0:
                break
        self._ended = length == 0
        # Borders look at what is before them: the last byte handed out stays.
        kept = max(0, self._at - 2)
        self._held = b"".join((self._held[kept:], memoryview(self._chunk)[:length]))
        self._at -= kept
        self._ready = self._at
