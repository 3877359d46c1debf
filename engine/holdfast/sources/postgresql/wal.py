"""Files of PostgreSQL's write-ahead log: what their names say, and whether their content agrees.

    00000002000000A3000000FE                   segment: timeline, then the address's upper 32 bits,
                                               then the segment's number within those 4 GiB
    00000002000000A3000000FE.partial           the last segment of a timeline that was left
    00000002000000A3000000FE.00000028.backup   where a base backup began and ended, as text
    00000003.history                           where timeline 3 left its ancestors, as text

A segment begins with a long page header, in the byte order of the server:

    offset  size  field
    0       2     magic: one number for each major version
    2       2     flags; 2: this is a long header
    4       4     timeline
    8       8     address of the page, which is that of the segment
    16      8     (a record that goes on from the page before, padding)
    24      8     system identifier: one number for each cluster that initdb made
    32      4     size of segments
    36      4     size of pages

Pure. Source: PostgreSQL, src/include/access/xlog_internal.h and src/include/catalog/pg_control.h.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

from holdfast.database_errors import LogSegmentInvalidError

HEADER_LENGTH: Final = 40
CONTROL_LENGTH: Final = 16
"""Bytes from the start of global/pg_control that `decode_system_id` needs."""
MIN_SEGMENT_SIZE: Final = 1 << 20
MAX_SEGMENT_SIZE: Final = 1 << 30
MAX_TEXT_LENGTH: Final = 1 << 20
"""Of .history and .backup files; real ones have some hundred bytes."""

_NAME: Final = re.compile(
    r"(?P<timeline>[0-9A-F]{8})"
    r"(?:\.history|(?P<log>[0-9A-F]{8})(?P<low>[0-9A-F]{8})"
    r"(?P<suffix>\.partial|\.[0-9A-F]{8}\.backup)?)"
)
_HISTORY_LINE: Final = re.compile(r"\s*(\d+)\s+([0-9A-F]{1,8})/([0-9A-F]{1,8})(?:\s.*)?")
_BACKUP_START: Final = re.compile(
    r"START WAL LOCATION: [0-9A-F]+/[0-9A-F]+ \(file ([0-9A-F]{24})\)"
)
_LONG_HEADER: Final = 2
_MAGICS: Final = range(0xD05C, 0xD400)
"""From PostgreSQL 8.0 (0xD05C) over 15 (0xD110) and 18 (0xD118) to what is not written yet: a new
version must be archived by a program that does not know it, or its disk runs full."""
_CONTROL_VERSIONS: Final = range(800, 10_000)
_HEADER: Final = "HHIQIIQII"
_CONTROL: Final = "QII"


class WalKind(Enum):
    """What a file of the log is."""

    SEGMENT = "segment"
    PARTIAL = "partial segment"
    HISTORY = "timeline history"
    BACKUP = "backup history"


@dataclass(frozen=True, slots=True)
class WalName:
    """A file's name, understood."""

    text: str
    kind: WalKind
    timeline: int
    log: int = 0
    """Upper 32 bits of the segment's address; 0 for a history."""
    low: int = 0
    """Number of the segment within those 4 GiB."""

    @property
    def has_segment_header(self) -> bool:
        """Whether the content is a segment."""
        return self.kind in (WalKind.SEGMENT, WalKind.PARTIAL)

    @property
    def segment(self) -> str:
        """Name of the segment that it is, or belongs to; empty for a history."""
        return "" if self.kind is WalKind.HISTORY else self.text[:24]

    def address(self, segment_size: int) -> int:
        """Return where the segment begins in the log, in bytes."""
        return (self.log << 32) + self.low * segment_size


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The beginning of a segment."""

    system_id: str
    """Decimal."""
    timeline: int
    address: int
    segment_size: int


def parse_name(text: str) -> WalName | None:
    """Return what a name says, or None if it is none of the log's."""
    found = _NAME.fullmatch(text)
    if found is None or int(found["timeline"], 16) == 0:
        return None
    timeline = int(found["timeline"], 16)
    if found["log"] is None:
        return WalName(text, WalKind.HISTORY, timeline)
    kind = {None: WalKind.SEGMENT, ".partial": WalKind.PARTIAL}.get(found["suffix"], WalKind.BACKUP)
    return WalName(text, kind, timeline, int(found["log"], 16), int(found["low"], 16))


def segment_name(timeline: int, address: int, segment_size: int) -> str:
    """Return the name of the segment that holds the byte at `address`."""
    low = (address & 0xFFFFFFFF) // segment_size
    return f"{timeline:08X}{address >> 32:08X}{low:08X}"


def following_names(name: WalName, segment_size: int, count: int) -> list[str]:
    """Return the names of the next `count` segments of the same timeline."""
    address = name.address(segment_size)
    return [
        segment_name(name.timeline, address + step * segment_size, segment_size)
        for step in range(1, count + 1)
    ]


def decode_header(name: str, data: bytes) -> SegmentHeader:
    """Decode the first page's header of a segment.

    Args:
        name: of the file, for errors.
        data: its first bytes, `HEADER_LENGTH` at least.

    Raises:
        LogSegmentInvalidError: it begins in another way.
    """
    if len(data) < HEADER_LENGTH:
        raise LogSegmentInvalidError(name, f"it has {len(data)} bytes and is no segment")
    for order in "<>":
        magic, flags, timeline, address, _, _, system_id, size, _ = struct.unpack_from(
            order + _HEADER, data
        )
        if magic in _MAGICS and flags & _LONG_HEADER:
            break
    else:
        raise LogSegmentInvalidError(name, "it does not begin like a segment of PostgreSQL's log")
    if not MIN_SEGMENT_SIZE <= size <= MAX_SEGMENT_SIZE or size & (size - 1):
        raise LogSegmentInvalidError(name, f"its header says segments have {size} bytes")
    return SegmentHeader(str(system_id), timeline, address, size)


def check_segment(name: WalName, header: SegmentHeader, size: int, system_id: str | None) -> None:
    """Check that a file is the segment that its name says.

    Args:
        name: of the file.
        header: of its first page.
        size: of the file in bytes.
        system_id: of the server that archives; None if nobody knows.

    Raises:
        LogSegmentInvalidError: it is another, of another server, or not whole.
    """
    if system_id is not None and header.system_id != system_id:
        reason = f"it belongs to server {header.system_id}, and this is {system_id}"
    elif size != header.segment_size:
        reason = f"it has {size} bytes, and segments of this server {header.segment_size}"
    elif header.address != name.address(header.segment_size):
        holds = segment_name(header.timeline, header.address, header.segment_size)
        reason = f"it holds segment {holds}"
    elif not 1 <= header.timeline <= name.timeline:
        # The first segment of a timeline begins with pages that were copied from the one before.
        reason = f"it holds timeline {header.timeline}"
    else:
        return
    raise LogSegmentInvalidError(name.text, reason)


def check_text(name: WalName, content: bytes) -> None:
    """Check that a .history or .backup file is what its name says.

    Raises:
        LogSegmentInvalidError: it is not.
    """
    text = content.decode("utf-8", "replace")
    if name.kind is WalKind.HISTORY:
        _check_history(name, text)
        return
    found = _BACKUP_START.search(text)
    if found is None or found[1] != name.segment:
        raise LogSegmentInvalidError(name.text, "it is not the history of that backup")


def _check_history(name: WalName, text: str) -> None:
    last = 0
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _HISTORY_LINE.fullmatch(line)
        if found is None or not last < int(found[1]) < name.timeline:
            raise LogSegmentInvalidError(name.text, "it is not the history of that timeline")
        last = int(found[1])
    if not last:
        raise LogSegmentInvalidError(name.text, "it names no ancestor of that timeline")


def decode_system_id(control: bytes) -> str | None:
    """Return a cluster's system identifier, or None if this is not its control file.

    Args:
        control: the first `CONTROL_LENGTH` bytes of global/pg_control, written on this machine
            or one of either byte order.
    """
    if len(control) < CONTROL_LENGTH:
        return None
    for order in "<>":
        system_id, version, _ = struct.unpack_from(order + _CONTROL, control)
        if version in _CONTROL_VERSIONS:
            return str(system_id)
    return None
