"""How hosts, snapshots, entries and results become rows of a list. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from holdfast.format.node import NO_EXTRA, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.units import format_size
from holdfast_cli.browse.entries import Entry, Sign
from holdfast_cli.browse.marks import Marks
from holdfast_cli.browse.preview import mode_text, owner_text
from holdfast_cli.browse.series import Host
from holdfast_cli.browse.text import minute, moment, screen_name, screen_text
from holdfast_cli.output.names import short_id

MARKED: Final = "●"
COVERED: Final = "○"
"""In front of what lies in a marked directory."""


class RowTone(StrEnum):
    """What kind of thing a row is; the views choose colours."""

    PLAIN = "plain"
    PLACE = "place"
    """It can be entered."""
    LINK = "link"
    SPECIAL = "special"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list."""

    title: str
    width: int
    """Cells; 0 for the one that takes what is left."""
    right: bool = False
    least: int = 0
    """Width of the list below which it is left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; as many cells as there are columns."""

    cells: tuple[str, ...]
    tone: RowTone = RowTone.PLAIN
    mark: str = " "
    sign: Sign = Sign.SAME


Describe = Callable[[Any], Row]

HOST_COLUMNS: Final = (
    Column("Host", 0),
    Column("Snapshots", 9, right=True),
    Column("Newest", 23),
)
SNAPSHOT_COLUMNS: Final = (
    Column("Time", 23),
    Column("ID", 12, least=76),
    Column("Files", 9, right=True, least=92),
    Column("Size", 9, right=True),
    Column("Paths and tags", 0),
)
FOLDER_COLUMNS: Final = (
    Column("Name", 0),
    Column("Size", 9, right=True),
    Column("Modified", 16, least=56),
    Column("Mode", 10, least=86),
    Column("Owner", 15, least=104),
)
RESULT_COLUMNS: Final = (
    Column("Path", 0),
    Column("Size", 9, right=True),
    Column("Modified", 16, least=70),
    Column("", 22, least=96),
)
VERSION_COLUMNS: Final = (
    Column("Modified", 23),
    Column("Size", 9, right=True),
    Column("Newest snapshot with it", 23),
    Column("In", 0),
)


def host_row(host: Host) -> Row:
    """Return the row of a host."""
    return Row(
        (screen_text(host.name), f"{len(host.snapshots):,}", moment(host.newest.time_ns)),
        RowTone.PLACE,
    )


def snapshot_row(snapshot: Snapshot, marks: Marks, root: Entry) -> Row:
    """Return the row of a snapshot; `root` is its "/", which is what is marked."""
    stats = snapshot.stats
    files = stats.files_new + stats.files_changed + stats.files_unmodified
    words = [screen_name(path) for path in snapshot.raw_paths]
    words += [f"#{screen_text(tag)}" for tag in snapshot.tags]
    if snapshot.partial:
        words.append("(partial)")
    return Row(
        (
            moment(snapshot.time_ns),
            short_id(snapshot.id),
            f"{files:,}",
            format_size(stats.logical_bytes),
            " ".join(words),
        ),
        RowTone.PLACE,
        MARKED if root in marks else " ",
    )


def folder_row(entry: Entry, marks: Marks) -> Row:
    """Return the row of an entry in its folder."""
    return Row(
        (
            name_text(entry, screen_name(entry.node.name)),
            size_text(entry),
            minute(entry.node.mtime_ns),
            mode_text(entry.node),
            owner_text(entry),
        ),
        _tone(entry),
        mark_of(entry, marks),
        entry.sign,
    )


def result_row(entry: Entry, marks: Marks, base: bytes) -> Row:
    """Return the row of a search result; paths below `base` are shown without it."""
    below = entry.path.removeprefix(base.rstrip(b"/") + b"/")
    return Row(
        (
            name_text(entry, screen_name(below)),
            size_text(entry),
            minute(entry.node.mtime_ns),
            entry.note,
        ),
        _tone(entry),
        mark_of(entry, marks),
        entry.sign,
    )


def version_row(entry: Entry, marks: Marks) -> Row:
    """Return the row of a version."""
    return Row(
        (
            moment(entry.node.mtime_ns),
            size_text(entry),
            moment(entry.snapshot.time_ns),
            entry.note,
        ),
        _tone(entry),
        mark_of(entry, marks),
        entry.sign,
    )


def name_text(entry: Entry, name: str) -> str:
    """Return a name with "/" after that of a directory and the target after that of a link."""
    if entry.is_directory:
        return name + "/"
    if entry.node.type == NodeType.SYMLINK:
        return f"{name} → {screen_name((entry.node.extra or NO_EXTRA).target)}"
    return name


def size_text(entry: Entry) -> str:
    """Return the size of a file; nothing of what has none."""
    return format_size(entry.node.size) if entry.is_file else ""


def mark_of(entry: Entry, marks: Marks) -> str:
    """Return the sign in front of an entry that is marked, or lies in what is."""
    if not len(marks):
        return " "
    if entry in marks:
        return MARKED
    return COVERED if marks.covers(entry) else " "


def _tone(entry: Entry) -> RowTone:
    if entry.sign == Sign.REMOVED:
        return RowTone.GONE
    if entry.is_directory:
        return RowTone.PLACE
    if entry.node.type == NodeType.SYMLINK:
        return RowTone.LINK
    return RowTone.PLAIN if entry.is_file else RowTone.SPECIAL
