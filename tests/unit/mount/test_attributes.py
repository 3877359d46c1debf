"""What stat says of a node."""

from __future__ import annotations

import stat

import pytest

from holdfast.format.node import NodeExtra, NodeType
from holdfast.mount.attributes import (
    block_count,
    file_number,
    full_size,
    link_count,
)
from holdfast.vfs.directory import VirtualDirectory, virtual_node
from support.trees import DictSource, directory_node, file_node, node_of

OWNER = (0, 0)


def directory_at(path: bytes, number: int = 0) -> VirtualDirectory:
    directory = VirtualDirectory(virtual_node(b"", 0, OWNER), path)
    directory.number = number
    return directory


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        (NodeType.FILE, stat.S_IFREG),
        (NodeType.DIRECTORY, stat.S_IFDIR),
        (NodeType.SYMLINK, stat.S_IFLNK),
        (NodeType.FIFO, stat.S_IFIFO),
        (NodeType.SOCKET, stat.S_IFSOCK),
        (NodeType.CHARACTER_DEVICE, stat.S_IFCHR),
        (NodeType.BLOCK_DEVICE, stat.S_IFBLK),
    ],
)
def test_modes(kind: NodeType, bits: int) -> None:
    assert node_of(kind, b"x", mode=0o6751).full_mode == bits | 0o6751


def test_sizes() -> None:
    source = DictSource()
    assert full_size(file_node(source, b"x", b"abc")) == 3
    assert full_size(node_of(NodeType.SYMLINK, b"x", extra=NodeExtra(target=b"\xff\n"))) == 2
    assert full_size(directory_node(source, b"x")) == 0


@pytest.mark.parametrize(
    ("size", "holes", "blocks"),
    [
        (0, (), 0), (1, (), 1), (512, (), 1), (513, (), 2),
        (10_000, (0, 10_000), 0), (10_000, (0, 4096, 8192, 1000), 10),
    ],
)  # fmt: skip
def test_blocks_do_not_count_holes(size: int, holes: tuple[int, ...], blocks: int) -> None:
    node = node_of(NodeType.FILE, b"x", size=size, extra=NodeExtra(holes=holes))
    assert block_count(node) == blocks


def test_links() -> None:
    assert link_count(node_of(NodeType.FILE, b"x", extra=NodeExtra(link_count=3))) == 3
    assert link_count(node_of(NodeType.DIRECTORY, b"x")) == 1


def test_names_of_a_file_share_a_number_and_nothing_else_does() -> None:
    here, there, later = directory_at(b"/a", 1), directory_at(b"/b", 1), directory_at(b"/c", 2)
    one = node_of(NodeType.FILE, b"one", inode=5, device=7)
    two = node_of(NodeType.FILE, b"two", inode=5, device=7)
    assert file_number(here, one) == file_number(there, two)
    others = {
        file_number(here, one),
        file_number(later, one),  # of another snapshot
        file_number(here, node_of(NodeType.FILE, b"one", inode=5, device=8)),
        file_number(here, node_of(NodeType.FILE, b"one", inode=6, device=7)),
        file_number(here, node_of(NodeType.FILE, b"one")),  # of a stream: no inode at all
        file_number(here, node_of(NodeType.FILE, b"two")),
    }
    assert len(others) == 6
    assert all(0 < number < 1 << 63 for number in others)


def test_directories_never_share_a_number() -> None:
    """Whatever numbers they had: programs that walk take it for a loop."""
    nodes = [node_of(NodeType.DIRECTORY, name, inode=2, device=1) for name in (b"a", b"b")]
    places = [directory_at(path) for path in (b"", b"/a", b"/a/a")]
    assert len({file_number(place, node) for place in places for node in nodes}) == 6
