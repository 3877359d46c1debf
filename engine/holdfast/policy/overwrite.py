"""What a restore does with an entry whose name is taken in the target. Pure: no I/O."""

from __future__ import annotations

import os
import stat
from enum import Enum, StrEnum

from holdfast.format.node import FORMATS, NO_EXTRA, Node, NodeType


class Overwrite(StrEnum):
    """Which existing entries a restore may change."""

    ALWAYS = "always"
    """All: whatever differs from the snapshot is made equal."""
    IF_CHANGED = "if-changed"
    """Files of another size or modification time; equal ones are believed to be equal."""
    IF_NEWER = "if-newer"
    """Entries that are older than the snapshot's."""
    NEVER = "never"
    """None: only what is missing is restored."""


class Existing(Enum):
    """The verdict on one existing entry."""

    LEAVE = 1
    """Neither content nor metadata may change."""
    KEEP = 2
    """The content is right or believed to be; metadata is made equal."""
    COMPARE = 3
    """A regular file: compare the content, rewrite what differs.

    Both hold for an entry with several names only while nothing of it has to change: other names
    would change with it, and may lie anywhere. If something has to, a new one takes the name.
    """
    REPLACE = 4
    """Something else has the name: remove it and restore the entry."""


def decide(node: Node, found: os.stat_result, overwrite: Overwrite) -> Existing:
    """Decide about an existing entry.

    Args:
        node: the snapshot's entry; the target of a symbolic link is not compared here, so that
            `KEEP` for one means "look whether it points elsewhere".
        found: what lstat says of the target's entry.
        overwrite: what the user allows.
    """
    if overwrite is Overwrite.NEVER:
        return Existing.LEAVE
    if overwrite is Overwrite.IF_NEWER and node.mtime_ns <= found.st_mtime_ns:
        return Existing.LEAVE
    if stat.S_IFMT(found.st_mode) != FORMATS[node.type]:
        return Existing.REPLACE
    extra = node.extra or NO_EXTRA
    if node.type == NodeType.FILE:
        if overwrite is Overwrite.IF_CHANGED and (node.size, node.mtime_ns) == (
            found.st_size,
            found.st_mtime_ns,
        ):
            return Existing.KEEP
        return Existing.COMPARE
    is_device = node.type in (NodeType.CHARACTER_DEVICE, NodeType.BLOCK_DEVICE)
    if is_device and extra.rdev != found.st_rdev:
        return Existing.REPLACE
    return Existing.KEEP


def may_rewrite_in_place(node: Node, found: os.stat_result) -> bool:
    """Tell whether a differing file may be changed where it is.

    Not if the old file has other names, and not if its owner or mode let anyone read it who may
    not read the new content: whoever holds it open would see secrets arrive.
    """
    return (
        found.st_nlink == 1
        and found.st_uid == node.uid
        and found.st_gid == node.gid
        and not (found.st_mode & 0o077 & ~node.mode)
    )
