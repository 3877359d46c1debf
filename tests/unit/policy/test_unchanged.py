"""Is a file the parent's? Any of four differences says no."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from holdfast.format.node import Node
from holdfast.policy.unchanged import RACY_NS, UNKNOWN_CTIME, is_unchanged, recorded_ctime
from support.sessions import make_node


def node_for(status: os.stat_result) -> Node:
    return msgspec.structs.replace(
        make_node(b"f"),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
    )


def test_unchanged(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")
    status = os.lstat(tmp_path / "f")
    assert is_unchanged(node_for(status), status)


@pytest.mark.parametrize("name", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_any_difference_counts(name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")
    status = os.lstat(tmp_path / "f")
    node = node_for(status)
    other = msgspec.structs.replace(node, **{name: getattr(node, name) + 1})
    assert not is_unchanged(other, status)


def test_recent_ctimes_are_not_recorded() -> None:
    started = 10**18
    assert recorded_ctime(started - RACY_NS - 1, started) == started - RACY_NS - 1
    for racy in (started - RACY_NS, started - 1, started, started + 10**9):
        assert recorded_ctime(racy, started) == UNKNOWN_CTIME
