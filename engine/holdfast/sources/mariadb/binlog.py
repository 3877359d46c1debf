r"""Names, headers and ends of binary log files; and which of them a recovery needs.

A file is "\xfebin" and events. An event begins with 19 bytes, little-endian: time in seconds since
1970 (4), type (1), server (4), length of the event (4), position of the next event (4), flags (2).
The first event describes the format. The last one of a file that was closed names the next file,
or says that the server stopped.

Source: the description of the binary log in MariaDB's knowledge base ("2-Binlog Event Header").
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final

from holdfast.database_errors import LogGapError, LogSegmentInvalidError

MAGIC: Final = b"\xfebin"
_HEADER: Final = struct.Struct("<IBIIIH")
_FORMAT: Final = 15
_ROTATE: Final = 4
_STOP: Final = 3
_NAME: Final = re.compile(r"(?P<base>.+)\.(?P<number>[0-9]{6,10})", re.DOTALL)
_LONGEST_TAIL: Final = 4096
"""More than the longest event that ends a file: a rotate event holds a file name."""
_FLAGS: Final = slice(17, 19)


def number_of(name: str) -> int | None:
    """Return the number in the name of a binary log; None if it is none."""
    found = _NAME.fullmatch(name)
    return int(found["number"]) if found else None


def name_after(name: str) -> str:
    """Return the name of the file that follows."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise LogSegmentInvalidError(name, "it does not end with a number, as binary logs do")
    return f"{found['base']}.{int(found['number']) + 1:06}"


def first_event(file: BinaryIO, name: str) -> bytes:
    """Read the first event of a file.

    Raises:
        LogSegmentInvalidError: it is no binary log, or an encrypted one.
    """
    file.seek(0)
    start = file.read(len(MAGIC) + _HEADER.size)
    if len(start) < len(MAGIC) + _HEADER.size or not start.startswith(MAGIC):
        raise LogSegmentInvalidError(name, "it does not begin as binary logs do")
    header = start[len(MAGIC) :]
    _, kind, _, length, _, _ = _HEADER.unpack(header)
    if kind != _FORMAT or not _HEADER.size < length <= _LONGEST_TAIL:
        raise LogSegmentInvalidError(name, "its first event does not describe its format")
    return header + file.read(length - len(header))


def fingerprint(event: bytes) -> str:
    """Return what tells a file from others of the same name: of its first event, 16 hex digits.

    The flags do not count: one of them is set as long as the server writes the file.
    """
    unflagged = event[: _FLAGS.start] + event[_FLAGS.stop : -4]
    return f"{begin_s(event):08x}{zlib.crc32(unflagged):08x}"


def begin_s(event: bytes) -> int:
    """Return when a file was begun, from its first event: seconds since 1970 UTC."""
    return int(_HEADER.unpack(event[: _HEADER.size])[0])


def end_s(file: BinaryIO, name: str, size: int) -> int | None:
    """Return when a file was closed, seconds since 1970 UTC; None if the server never closed it.

    Args:
        file: of `size` bytes.
        name: for errors.
        size: its length.

    Raises:
        LogSegmentInvalidError: it is no binary log.
    """
    first_event(file, name)
    file.seek(max(0, size - _LONGEST_TAIL))
    tail = file.read(_LONGEST_TAIL)
    for length in range(_HEADER.size, len(tail) + 1):
        at = len(tail) - length
        time_s, kind, _, found, after, _ = _HEADER.unpack_from(tail, at)
        if found == length and after == size & 0xFFFFFFFF and kind in (_ROTATE, _STOP):
            return int(time_s)
    return None


def last_event_s(file: BinaryIO, name: str) -> int:
    """Return the latest time of a file that was never closed. Cost: reads every header."""
    latest = begin_s(first_event(file, name))
    file.seek(len(MAGIC))
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        time_s, _, _, length, _, _ = _HEADER.unpack(header)
        if length < _HEADER.size:
            break
        latest = max(latest, int(time_s))
        file.seek(length - _HEADER.size, 1)
    return latest


def run_from(names: Iterable[str], start: str) -> tuple[list[str], str]:
    """Return the files that follow one another from `start` on, and the name after the last.

    Raises:
        LogGapError: `start` itself is missing.
    """
    there = set(names)
    if start not in there:
        raise LogGapError(start, "the base backup needs it")
    run = [start]
    while (following := name_after(run[-1])) in there:
        run.append(following)
    return run, name_after(run[-1])


def is_gap(names: Iterable[str], missing: str) -> bool:
    """Tell whether files after `missing` are there: it is a gap, and not the end."""
    number = number_of(missing) or 0
    return any((other := number_of(name)) is not None and other > number for name in names)


def in_order(names: Iterable[str]) -> Sequence[str]:
    """Return the names of binary logs in the order in which they were written."""
    numbered = [(number, name) for name in names if (number := number_of(name)) is not None]
    return [name for _, name in sorted(numbered)]


def is_whole(file: BinaryIO) -> bool:
    """Tell whether a file ends where an event ends. Cost: reads every header."""
    size = file.seek(0, 2)
    at = len(MAGIC)
    while at < size:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return False
        length = _HEADER.unpack(header)[3]
        if length < _HEADER.size:
            return False
        at += length
    return at == size
