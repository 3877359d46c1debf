"""What is told of an entry, a snapshot or a host beside the list: lines with styles. Pure."""

from __future__ import annotations

import difflib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from holdfast.format.node import NO_EXTRA, Node, NodeFlag, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.units import format_duration, format_size
from holdfast_cli.browse.entries import Entry
from holdfast_cli.browse.library import Head
from holdfast_cli.browse.series import Host
from holdfast_cli.browse.text import (
    hex_lines,
    is_text,
    moment,
    screen_name,
    screen_text,
    text_lines,
)
from holdfast_cli.output.names import count, short_id

PREVIEW_SIZE: Final = 32 << 10
"""Bytes of a file that are read while the cursor stands on it."""
VIEW_SIZE: Final = 2 << 20
"""Bytes of a file that the viewer shows."""
HEX_SIZE: Final = 256 << 10
"""Of these as many as hex; 16,384 lines."""
COMPARE_SIZE: Final = 512 << 10
_MOST_COMPARED_LINES: Final = 8000
"""The time that finding the differences takes grows with the square of the lines."""

_TYPE_WORDS: Final = {
    NodeType.FILE: "file",
    NodeType.DIRECTORY: "directory",
    NodeType.SYMLINK: "symbolic link",
    NodeType.FIFO: "fifo",
    NodeType.SOCKET: "socket",
    NodeType.CHARACTER_DEVICE: "character device",
    NodeType.BLOCK_DEVICE: "block device",
}


class Tone(StrEnum):
    """How a line looks; the views choose colours."""

    PLAIN = "plain"
    TITLE = "title"
    LABEL = "label"
    DIM = "dim"
    GOOD = "good"
    BAD = "bad"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; `label` stands in front of it in a column of its own."""

    text: str
    tone: Tone = Tone.PLAIN
    label: str = ""


BLANK: Final = Line("")


def describe_host(host: Host) -> list[Line]:
    """Return what is known of a host."""
    return [
        Line(screen_text(host.name), Tone.TITLE),
        BLANK,
        Line(count(len(host.snapshots), "snapshot"), label="has"),
        Line(moment(host.snapshots[0].time_ns), label="first"),
        Line(moment(host.newest.time_ns), label="newest"),
        BLANK,
        *(
            Line(screen_name(path), label=" " if at else "paths")
            for at, path in enumerate(host.paths)
        ),
    ]


def describe_snapshot(snapshot: Snapshot) -> list[Line]:
    """Return what is known of a snapshot."""
    stats = snapshot.stats
    files = stats.files_new + stats.files_changed + stats.files_unmodified
    lines = [
        Line(moment(snapshot.time_ns), Tone.TITLE),
        BLANK,
        Line(short_id(snapshot.id), label="id"),
        Line(screen_text(snapshot.host), label="host"),
        Line(screen_text(snapshot.user), label="user"),
    ]
    lines += [
        Line(screen_name(path), label=" " if at else "paths")
        for at, path in enumerate(snapshot.raw_paths)
    ]
    if snapshot.tags:
        lines.append(Line(screen_text(", ".join(snapshot.tags)), label="tags"))
    lines += [
        BLANK,
        Line(f"{count(files, 'file')}, {format_size(stats.logical_bytes)}", label="holds"),
        Line(
            f"{stats.files_new} new, {stats.files_changed} changed, "
            f"{stats.files_unmodified} as before",
            label="files",
        ),
        Line(f"{format_size(stats.bytes_stored)} in the repository", label="added"),
        Line(format_duration(stats.duration_ns / 1e9), label="took"),
    ]
    if snapshot.partial:
        lines += [BLANK, Line("partial: the backup had not ended yet", Tone.NOTE)]
    if snapshot.findings:
        problems = count(len(snapshot.findings), "problem")
        lines += [BLANK, Line(f"{problems} while it was made", Tone.NOTE)]
        lines += [
            Line(f"{screen_text(finding.path)}: {screen_text(finding.problem)}", Tone.DIM)
            for finding in snapshot.findings[:50]
        ]
    return lines


def describe_entry(entry: Entry) -> list[Line]:
    """Return the metadata of an entry."""
    node, extra = entry.node, entry.node.extra or NO_EXTRA
    word = _TYPE_WORDS[NodeType(node.type)]
    size = f", {format_size(node.size)}" if node.type == NodeType.FILE else ""
    if node.size >= 1024:
        size += f" ({node.size:,} bytes)"
    lines = [
        Line(screen_name(node.name) or "/", Tone.TITLE),
        BLANK,
        Line(word + size, label="type"),
    ]
    if not node.name:
        return lines
    lines += [
        Line(moment(node.mtime_ns), label="modified"),
        Line(f"{mode_text(node)}  {owner_text(entry)}", label="access"),
    ]
    if node.type == NodeType.SYMLINK:
        lines.append(Line(screen_name(extra.target), label="target"))
    if extra.link_count > 1:
        lines.append(Line(f"{extra.link_count} names share this file", label="links"))
    if extra.holes:
        holes = sum(extra.holes[1::2])
        lines.append(Line(f"{format_size(holes)} of holes", label="sparse"))
    if extra.xattrs:
        names = ", ".join(screen_name(name) for name, _ in extra.xattrs)
        lines.append(Line(names, label="xattrs"))
    if extra.flags & NodeFlag.CHANGED_WHILE_READ:
        lines.append(Line("it changed while it was backed up", Tone.NOTE))
    return lines


def mode_text(node: Node) -> str:
    """Return "-rw-r--r--"."""
    return stat.filemode(node.full_mode)


def owner_text(entry: Entry) -> str:
    """Return "anna users", or numbers where the host knew no names."""
    node, snapshot = entry.node, entry.snapshot
    user = snapshot.user_names.get(node.uid, str(node.uid))
    group = snapshot.group_names.get(node.gid, str(node.gid))
    return screen_text(f"{user} {group}")


def content_lines(head: Head, *, as_hex: bool | None = None) -> tuple[list[Line], bool]:
    """Return the lines of a file's beginning, and whether they are hex.

    Args:
        head: what was read.
        as_hex: None to choose by what it is.
    """
    whole = head.whole and head.error is None
    if as_hex is None:
        as_hex = not is_text(head.data, whole=whole)
    data = head.data
    if as_hex and len(data) > HEX_SIZE:
        data, whole = data[:HEX_SIZE], False
    shown = hex_lines(data) if as_hex else text_lines(data)
    lines = [Line(text) for text in shown]
    if head.error is not None:
        lines += [BLANK, Line("the rest cannot be read:", Tone.BAD)]
        lines.append(Line(screen_text(str(head.error)), Tone.BAD))
    elif not whole:
        lines += [BLANK, Line(f"… only the first {format_size(len(data))} are shown", Tone.NOTE)]
    elif not data:
        lines.append(Line("(empty)", Tone.DIM))
    return lines, as_hex


def compare_lines(old: Head, new: Head, titles: tuple[str, str]) -> list[Line]:
    """Return how two versions of a text differ, as `diff -u` would write it; or why not."""
    if old.error is not None or new.error is not None:
        return [Line("a part of one of them cannot be read", Tone.BAD)]
    if old.whole and new.whole and old.data == new.data:
        return [Line("the content is the same", Tone.NOTE)]
    if not (old.whole and new.whole):
        return [Line(f"too large to compare here (over {format_size(COMPARE_SIZE)})", Tone.NOTE)]
    if not (is_text(old.data, whole=True) and is_text(new.data, whole=True)):
        return [
            Line("they differ, and are not text", Tone.NOTE),
            Line(f"{len(old.data):,} bytes before, {len(new.data):,} now", Tone.DIM),
        ]
    before, after = text_lines(old.data), text_lines(new.data)
    if max(len(before), len(after)) > _MOST_COMPARED_LINES:
        return [Line("they differ; too many lines to compare here", Tone.NOTE)]
    found = difflib.unified_diff(before, after, *titles, lineterm="")
    lines = [_compared(text) for text in found]
    return lines or [Line("they differ in line ends only", Tone.NOTE)]


def _compared(text: str) -> Line:
    if text.startswith(("+++", "---")):
        return Line(text.rstrip(), Tone.DIM)
    tones = {"+": Tone.GOOD, "-": Tone.BAD, "@": Tone.LABEL}
    return Line(text, tones.get(text[:1], Tone.PLAIN))


def listing_lines(entries: Sequence[Entry], total: int) -> list[Line]:
    """Return the first entries of a directory."""
    lines = [
        Line(
            screen_name(entry.node.name) + ("/" if entry.is_directory else ""),
            Tone.LABEL if entry.is_directory else Tone.PLAIN,
        )
        for entry in entries
    ]
    if total > len(entries):
        lines.append(Line(f"… {total - len(entries):,} more", Tone.DIM))
    return lines or [Line("(empty)", Tone.DIM)]
