"""The order of log segments by their names, without a server to ask.

PostgreSQL names a segment of its write-ahead log by 24 hex digits: timeline, and the position in
two halves of which the second counts up to 4 GiB divided by the segment's size. The position's
digits can be compared without knowing that size. Beside segments there are the histories of
timelines, labels of base backups (".backup") and the last, unfinished segment of a timeline that
ended (".partial"). MariaDB and MySQL number their binary logs: "mariadb-bin.000042".

Source: PostgreSQL documentation, "Continuous Archiving and Point-in-Time Recovery" and the
internals chapter on WAL; MariaDB documentation, "Binary Log".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

WAL: Final = "wal"
BINLOG: Final = "binlog"

_WAL: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})(\.partial|\.[0-9A-F]{8}\.backup)?")
_HISTORY: Final = re.compile(r"([0-9A-F]{8})\.history")
_NUMBERED: Final = re.compile(r"(?:.*\.)?([0-9]{1,18})", re.DOTALL)
_HISTORY_LINE: Final = re.compile(r"\s*([0-9]+)\s+([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})(?:\s|$)")
_LOG_SIZE: Final = 1 << 32


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a segment stands; of two with the same timeline, the smaller one is older."""

    timeline: int
    """0 for binary logs, which have none."""
    number: int
    """Of a WAL segment the last 16 digits of its name as one number: it orders, and cannot be
    counted with. Of a binary log its number."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A timeline that a timeline came from."""

    timeline: int
    lsn: int
    """Byte position in the log at which it was left."""


def position_of(kind: str, name: str) -> Position | None:
    """Return where a segment, or what belongs to one, stands; None if its name does not tell.

    Histories of timelines stand nowhere: they belong to no segment.
    """
    if kind == WAL:
        found = _WAL.fullmatch(name)
        return Position(int(found[1], 16), int(found[2], 16)) if found else None
    found = _NUMBERED.fullmatch(name) if kind == BINLOG else None
    return Position(0, int(found[1])) if found else None


def is_segment(kind: str, name: str) -> bool:
    """Tell whether a name is that of a complete segment, and not of what belongs to one."""
    return position_of(kind, name) is not None and (kind != WAL or len(name) == 24)


def history_of(name: str) -> int | None:
    """Return the timeline of which a file is the history; None if it is none."""
    found = _HISTORY.fullmatch(name)
    return int(found[1], 16) if found else None


def parse_history(text: bytes) -> tuple[Switch, ...] | None:
    """Return the timelines that a timeline came from, oldest first; None if it is no history."""
    switches = []
    for line in text.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _HISTORY_LINE.match(line)
        if found is None:
            return None
        lsn = (int(found[2], 16) << 32) | int(found[3], 16)
        switches.append(Switch(int(found[1]), lsn))
    return tuple(switches)


def wal_index(number: int, segment_size: int) -> int | None:
    """Return which segment of a log a `Position.number` is, counted from its beginning.

    None if segments of that size have no such name.
    """
    high, low = divmod(number, _LOG_SIZE)
    each = _LOG_SIZE // segment_size
    return high * each + low if low < each else None


def wal_name(timeline: int, index: int, segment_size: int) -> str:
    """Return the name of a segment by its count; the reverse of `wal_index`."""
    high, low = divmod(index, _LOG_SIZE // segment_size)
    return f"{timeline:08X}{high:08X}{low:08X}"
