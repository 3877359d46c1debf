"""What `stat` says of a node. Pure."""

from __future__ import annotations

from typing import Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.vfs.directory import Directory

BLOCK_SIZE: Final = 128 << 10
"""What `cp` and the like read at once: as much as a kernel asks for in one request."""

_LARGEST_NUMBER: Final = (1 << 63) - 1


def full_size(node: Node) -> int:
    """Return st_size: of a symbolic link that of its target, of a directory 0."""
    if node.type == NodeType.SYMLINK:
        return len((node.extra or NO_EXTRA).target)
    return node.size


def block_count(node: Node) -> int:
    """Return st_blocks, 512 bytes each, without holes."""
    holes = node.extra.holes if node.extra is not None else ()
    return (node.size - sum(holes[1::2]) + 511) // 512


def link_count(node: Node) -> int:
    """Return st_nlink. A directory has 1, which tells `find` that it means nothing."""
    return 1 if node.extra is None else node.extra.link_count


def file_number(directory: Directory, node: Node) -> int:
    """Return st_ino: the same for all names of a file in a snapshot, and for nothing else.

    A directory never has that of another one: programs take it for a loop. So it does not depend
    on what the source had, which is nothing for directories that the view makes up.

    Args:
        directory: that holds the entry.
        node: the entry, with the device and inode of the source.
    """
    if node.type == NodeType.DIRECTORY or not node.inode:
        return (hash((directory.path, node.name)) & _LARGEST_NUMBER) | 1
    return (hash((directory.number, node.device, node.inode)) & _LARGEST_NUMBER) | 1
