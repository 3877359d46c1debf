"""Entries of snapshots as lines for people and as JSON: one form for all commands that list them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.units import format_size
from holdfast_cli.output.names import printable, printable_name
from holdfast_cli.output.tables import Column, text_width
from holdfast_cli.times import format_local, format_rfc3339

TYPE_NAMES: Final = {
    NodeType.FILE: "file",
    NodeType.DIRECTORY: "directory",
    NodeType.SYMLINK: "symlink",
    NodeType.FIFO: "fifo",
    NodeType.SOCKET: "socket",
    NodeType.CHARACTER_DEVICE: "character-device",
    NodeType.BLOCK_DEVICE: "block-device",
}
LONG_COLUMNS: Final = (
    Column("Mode"),
    Column("Owner"),
    Column("Group"),
    Column("Size", "right"),
    Column("Modified"),
    Column("Name"),
)
"""What the cells of `long_cells` are."""
_SAMPLE: Final = 500
"""Rows that decide how wide columns are: a list of millions is not held to align it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a node and where it is."""

    path: bytes
    node: Node


def entry_json(entry: Entry, snapshot: Snapshot) -> dict[str, Any]:
    """Return the stable keys of one entry.

    Args:
        entry: in the snapshot.
        snapshot: knows the names of owners.
    """
    node, extra = entry.node, entry.node.extra or NO_EXTRA
    value: dict[str, Any] = {
        "path": os.fsdecode(entry.path),
        "type": TYPE_NAMES[NodeType(node.type)],
        "mode": f"{node.mode:04o}",
        "uid": node.uid,
        "gid": node.gid,
        "user": snapshot.user_names.get(node.uid),
        "group": snapshot.group_names.get(node.gid),
        "size": node.size,
        "mtime": format_rfc3339(node.mtime_ns),
        "links": extra.link_count,
    }
    if node.type == NodeType.SYMLINK:
        value["target"] = os.fsdecode(extra.target)
    return value


def display_name(entry: Entry) -> str:
    """Return the path for people; that of a directory ends with a slash."""
    name = printable_name(entry.path)
    return name + "/" if entry.node.type == NodeType.DIRECTORY and entry.path != b"/" else name


def mode_text(node: Node) -> str:
    """Return type and permissions like "-rw-r--r--"."""
    return stat.filemode(node.full_mode)


def owner_names(node: Node, snapshot: Snapshot) -> tuple[str, str]:
    """Return user and group by name, as the host knew them, else by number."""
    return (
        snapshot.user_names.get(node.uid, str(node.uid)),
        snapshot.group_names.get(node.gid, str(node.gid)),
    )


def size_text(node: Node, *, human: bool) -> str:
    """Return the size, exactly or like "1.5 MiB"; of a device its two numbers."""
    if node.type in (NodeType.CHARACTER_DEVICE, NodeType.BLOCK_DEVICE):
        number = (node.extra or NO_EXTRA).rdev
        return f"{os.major(number)}, {os.minor(number)}"
    return format_size(node.size) if human else str(node.size)


def link_text(node: Node) -> str:
    """Return " -> target" of a symbolic link, "" of all else."""
    if node.type != NodeType.SYMLINK:
        return ""
    return " -> " + printable_name((node.extra or NO_EXTRA).target)


def long_cells(entry: Entry, snapshot: Snapshot, *, human: bool = False) -> tuple[str, ...]:
    """Return one row of `LONG_COLUMNS`."""
    node = entry.node
    return (
        mode_text(node),
        *owner_names(node, snapshot),
        size_text(node, human=human),
        format_local(node.mtime_ns),
        printable_name(entry.path) + link_text(node),
    )


def align_rows(
    rows: Iterable[Sequence[str]],
    columns: Sequence[Column],
    *,
    titles: bool = False,
    least: Sequence[int] = (),
    gap: str = "  ",
    sample: int = _SAMPLE,
) -> Iterator[str]:
    """Yield rows as lines with aligned columns, never wrapped; control characters are shown.

    Args:
        rows: each with a cell for each column; any number of them.
        columns: the last one is not filled up.
        titles: let a line with the titles come first, if there is a row at all.
        least: widths that columns have at the least; 0 for those that are left out.
        gap: between the columns.
        sample: how many rows decide the widths, and are waited for before the first is yielded.
            Later rows may be wider and stand out.

    Memory: `sample` rows.
    """
    visible = (tuple(map(printable, row)) for row in rows)
    first = list(islice(visible, max(sample, 1)))
    if titles and first:
        first.insert(0, tuple(column.title for column in columns))
    widths = [
        max(low, *(text_width(row[at]) for row in first)) if first else low
        for at, low in zip(range(len(columns)), chain(least, repeat(0)), strict=False)
    ]
    rights = [column.align == "right" for column in columns]
    for row in chain(first, visible):
        cells = []
        for right, cell, width in zip(rights[:-1], row, widths, strict=False):
            padding = " " * (width - text_width(cell))
            cells.append(padding + cell if right else cell + padding)
        yield gap.join((*cells, row[-1]))
