"""Entries as lines: aligned without holding them all, devices, odd names."""

from __future__ import annotations

import os
from collections.abc import Iterator

from holdfast.format.node import NodeExtra, NodeType
from holdfast_cli.output.entries import (
    LONG_COLUMNS,
    Entry,
    align_rows,
    display_name,
    long_cells,
    mode_text,
)
from holdfast_cli.output.tables import Column
from support.trees import node_of
from support.versions import make_snapshot

COLUMNS = (Column("A"), Column("Size", "right"), Column("Name"))


def test_rows_are_aligned_and_the_last_cell_is_left_as_it_is() -> None:
    rows = [("日本", "1", "x "), ("a", "20000", "\x1b")]
    assert list(align_rows(rows, COLUMNS)) == [
        "日本      1  x ",
        "a     20000  \\x1b",
    ]
    assert next(align_rows(rows, COLUMNS, titles=True)) == "A      Size  Name"
    assert list(align_rows(rows, COLUMNS, least=(5, 6), gap="|")) == [
        "日本 |     1|x ",
        "a    | 20000|\\x1b",
    ]
    assert list(align_rows([], COLUMNS, titles=True)) == []


def test_no_more_rows_are_held_than_the_sample() -> None:
    taken = 0

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield ("a" * (number + 1), "", "")

    lines = align_rows(rows(), COLUMNS, sample=3)
    assert next(lines).startswith("a    ")
    assert taken == 3
    assert sum(1 for _ in lines) == 999


def test_devices_show_their_numbers_and_unknown_owners_theirs() -> None:
    snapshot = make_snapshot(1, bytes(32), user_names={5: "anna"})
    node = node_of(
        NodeType.BLOCK_DEVICE, b"sda", uid=5, gid=6, mtime_ns=0,
        extra=NodeExtra(rdev=os.makedev(8, 17)),
    )  # fmt: skip
    cells = dict(
        zip(
            (column.title for column in LONG_COLUMNS),
            long_cells(Entry(b"/dev/sda", node), snapshot),
            strict=True,
        )
    )
    assert cells == {
        "Mode": "brw-r--r--", "Owner": "anna", "Group": "6", "Size": "8, 17",
        "Modified": "1970-01-01 00:00:00", "Name": "/dev/sda",
    }  # fmt: skip


def test_types_are_seen() -> None:
    letters = {
        NodeType.FILE: "-", NodeType.DIRECTORY: "d", NodeType.SYMLINK: "l", NodeType.FIFO: "p",
        NodeType.SOCKET: "s", NodeType.CHARACTER_DEVICE: "c", NodeType.BLOCK_DEVICE: "b",
    }  # fmt: skip
    assert {kind: mode_text(node_of(kind, b"x"))[0] for kind in NodeType} == letters
    assert display_name(Entry(b"/a\n", node_of(NodeType.DIRECTORY, b"a\n"))) == r"/a\x0a/"
    assert display_name(Entry(b"/", node_of(NodeType.DIRECTORY, b""))) == "/"
