"""Changes between two trees, as people and programs see them."""

from __future__ import annotations

import os
from typing import Any, Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.diff import Change, ChangeKind, DiffCounts, Field
from holdfast.units import format_size
from holdfast_cli.output.entries import TYPE_NAMES, Entry, display_name
from holdfast_cli.output.names import printable_name
from holdfast_cli.times import format_local, format_rfc3339

_ORDER: Final = tuple(Field)


def change_json(change: Change) -> dict[str, Any]:
    """Return the stable keys of one change."""
    old, new = change.old, change.new
    return {
        "change": change.kind.value,
        "path": os.fsdecode(change.path),
        "old_path": None if change.old_path is None else os.fsdecode(change.old_path),
        "type": _type_name(new),
        "old_type": _type_name(old),
        "size": None if new is None else new.size,
        "old_size": None if old is None else old.size,
        "fields": {
            each.value: [_json_value(each, old), _json_value(each, new)]
            for each in _ORDER
            if each in change.fields and old is not None and new is not None
        },
    }


def change_line(change: Change, old: Snapshot, new: Snapshot) -> str:
    """Return one line: what happened, sizes before and after, path, what else is of interest.

    Args:
        change: what happened.
        old: knows the names of users before.
        new: knows the names of users after.
    """
    path = display_name(Entry(change.path, change.node))
    if change.kind == ChangeKind.RENAMED and change.old_path is not None:
        path = f"{display_name(Entry(change.old_path, change.node))} -> {path}"
    details = _details(change, old, new)
    suffix = f"  ({', '.join(details)})" if details else ""
    sizes = f"{_size_text(change.old):>9} {_size_text(change.new):>9}"
    return f"{change.kind.value:<8} {sizes}  {path}{suffix}"


def counts_lines(counts: DiffCounts) -> list[str]:
    """Return the sums as lines for people."""
    parts = [
        f"{number} {word}"
        for number, word in (
            (counts.added, "added"),
            (counts.removed, "removed"),
            (counts.modified, "modified"),
            (counts.renamed, "renamed"),
            (counts.type_changed, "of another type"),
            (counts.metadata, "with other metadata"),
        )
        if number
    ]
    if not parts:
        return ["no differences"]
    more, less = format_size(counts.bytes_added), format_size(counts.bytes_removed)
    sizes = f"bytes: {more} more, {less} less"
    return [
        "entries: " + ", ".join(parts),
        f"files: {counts.files_added} new, {counts.files_removed} gone; {sizes}",
    ]


def _size_text(node: Node | None) -> str:
    return format_size(node.size) if node is not None and node.type == NodeType.FILE else "-"


def _type_name(node: Node | None) -> str | None:
    return None if node is None else TYPE_NAMES[NodeType(node.type)]


def _details(change: Change, old: Snapshot, new: Snapshot) -> list[str]:
    if change.old is None or change.new is None:
        return []
    if change.kind == ChangeKind.TYPE:
        return [f"{_type_name(change.old)} -> {_type_name(change.new)}"]
    details = []
    for each in _ORDER:
        if each not in change.fields or each == Field.CONTENT:
            continue
        if each == Field.MTIME and change.kind == ChangeKind.MODIFIED:
            continue  # no news
        if each == Field.XATTRS:
            details.append("attributes " + ", ".join(_other_attributes(change.old, change.new)))
            continue
        before, after = _text_value(each, change.old, old), _text_value(each, change.new, new)
        details.append(f"{_WORDS[each]} {before} -> {after}")
    return details


_WORDS: Final = {
    Field.TARGET: "target",
    Field.DEVICE: "device",
    Field.MODE: "mode",
    Field.UID: "owner",
    Field.GID: "group",
    Field.MTIME: "time",
}


def _text_value(each: Field, node: Node, snapshot: Snapshot) -> str:
    if each == Field.UID:
        return snapshot.user_names.get(node.uid) or str(node.uid)
    if each == Field.GID:
        return snapshot.group_names.get(node.gid) or str(node.gid)
    if each == Field.MTIME:
        return format_local(node.mtime_ns)
    if each == Field.TARGET:
        return printable_name((node.extra or NO_EXTRA).target)
    return str(_json_value(each, node))


def _json_value(each: Field, node: Node | None) -> Any:
    if node is None:
        return None
    extra = node.extra or NO_EXTRA
    match each:
        case Field.CONTENT:
            return node.size
        case Field.TARGET:
            return os.fsdecode(extra.target)
        case Field.DEVICE:
            number = max(extra.rdev, 0)  # a damaged node may hold what no kernel does
            return f"{os.major(number)}:{os.minor(number)}"
        case Field.MODE:
            return f"{node.mode:04o}"
        case Field.UID:
            return node.uid
        case Field.GID:
            return node.gid
        case Field.MTIME:
            return format_rfc3339(node.mtime_ns)
        case Field.XATTRS:
            return [os.fsdecode(name) for name, _ in extra.xattrs]


def _other_attributes(old: Node, new: Node) -> list[str]:
    before, after = dict((old.extra or NO_EXTRA).xattrs), dict((new.extra or NO_EXTRA).xattrs)
    names = sorted(before.keys() | after.keys())
    return [printable_name(name) for name in names if before.get(name) != after.get(name)]
