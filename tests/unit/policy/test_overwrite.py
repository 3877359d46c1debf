"""Verdicts on existing entries."""

from __future__ import annotations

import os
import stat

import pytest

from holdfast.format.node import NodeExtra, NodeType
from holdfast.policy.overwrite import Existing, Overwrite, decide, may_rewrite_in_place
from support.trees import DictSource, file_node, node_of


def found(
    kind: int = stat.S_IFREG,
    mode: int = 0o644,
    links: int = 1,
    uid: int = 10,
    gid: int = 20,
    size: int = 4,
) -> os.stat_result:
    """What lstat would say."""
    return os.stat_result((kind | mode, 1, 1, links, uid, gid, size, 0, 0, 0))


def test_names_of_other_files_are_never_written_through() -> None:
    source = DictSource()
    single = file_node(source, b"f", b"data", uid=10, gid=20)
    double = file_node(source, b"f", b"data", uid=10, gid=20, extra=NodeExtra(link_count=2))
    for node in (single, double):
        assert decide(node, found(links=2), Overwrite.ALWAYS) is Existing.COMPARE
        assert may_rewrite_in_place(node, found())
        assert not may_rewrite_in_place(node, found(links=2))


@pytest.mark.parametrize(
    ("state", "mode", "expected"),
    [
        (found(mode=0o644), 0o644, True),
        (found(mode=0o600), 0o644, True),
        (found(mode=0o700), 0o600, True),
        (found(mode=0o644), 0o640, False),
        (found(mode=0o640), 0o600, False),
        (found(uid=11), 0o644, False),
        (found(gid=21), 0o644, False),
    ],
)
def test_nobody_may_watch_new_content_arrive(
    state: os.stat_result, mode: int, expected: bool
) -> None:
    node = file_node(DictSource(), b"f", b"data", uid=10, gid=20, mode=mode)
    assert may_rewrite_in_place(node, state) is expected


@pytest.mark.parametrize(
    ("kind", "rdev", "expected"),
    [
        (stat.S_IFCHR, 0, Existing.KEEP),
        (stat.S_IFCHR, 5, Existing.REPLACE),
        (stat.S_IFBLK, 0, Existing.REPLACE),
        (stat.S_IFREG, 0, Existing.REPLACE),
        (stat.S_IFLNK, 0, Existing.REPLACE),
    ],
)
def test_devices(kind: int, rdev: int, expected: Existing) -> None:
    node = node_of(NodeType.CHARACTER_DEVICE, b"d", extra=NodeExtra(rdev=rdev))
    status = os.stat("/")
    state = os.stat_result(
        (kind | 0o600, *tuple(status)[1:10]),
        {"st_rdev": 0, "st_mtime_ns": 0},
    )
    assert decide(node, state, Overwrite.ALWAYS) is expected


@pytest.mark.parametrize("type_", list(NodeType))
def test_never_means_never(type_: NodeType) -> None:
    node = node_of(type_, b"x")
    for kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        assert decide(node, found(kind), Overwrite.NEVER) is Existing.LEAVE
