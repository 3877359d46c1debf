"""Directories of the view: those of snapshots, and virtual ones above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from holdfast.errors import PathNotFoundError
from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.tree_walk import PageSource, find_entry


class Directory(Protocol):
    """A directory as it is at one moment; it never changes, and may be kept."""

    node: Node
    """Its own attributes. A virtual directory's node is made up."""
    snapshot: Snapshot | None
    """None for virtual directories."""
    number: int
    """The same for all directories of a snapshot, and 0 for virtual ones."""
    path: bytes
    """Absolute, in the view."""

    def pages(self) -> Iterator[Sequence[Node]]:
        """Yield the entries in ascending order of name, page by page.

        Raises:
            IntegrityError: a page is damaged or missing.
        """

    def page(self, index: int) -> Sequence[Node] | None:
        """Return one page, or None behind the last one; raises as `pages`."""

    def get(self, name: bytes) -> Node | None:
        """Return the entry of that name, or None; raises as `pages`."""

    def enter(self, node: Node) -> Directory:
        """Return a directory that is an entry of this one."""


class SnapshotDirectory:
    """A directory in a snapshot."""

    __slots__ = ("_pages", "_source", "node", "number", "path", "snapshot")

    def __init__(
        self, source: PageSource, snapshot: Snapshot, number: int, node: Node, path: bytes
    ) -> None:
        self._source = source
        self._pages = node.content
        self.node = node
        self.snapshot: Snapshot | None = snapshot
        self.number = number
        self.path = path

    def pages(self) -> Iterator[Sequence[Node]]:
        """Yield the entries; see `Directory`."""
        index = 0
        while (page := self.page(index)) is not None:
            yield page
            index += 1

    def page(self, index: int) -> Sequence[Node] | None:
        """Return one page; see `Directory`."""
        at = index * BLOB_ID_LENGTH
        if at >= len(self._pages):
            return None
        return self._source.read_page(BlobId(self._pages[at : at + BLOB_ID_LENGTH]))

    def get(self, name: bytes) -> Node | None:
        """Return an entry; see `Directory`."""
        return find_entry(self._source, self._pages, name)

    def enter(self, node: Node) -> SnapshotDirectory:
        """Return a directory below; see `Directory`."""
        assert self.snapshot is not None
        if node.type != NodeType.DIRECTORY:
            raise PathNotFoundError(self.snapshot.id, _shown(self.path + b"/" + node.name))
        path = self.path + b"/" + node.name
        return SnapshotDirectory(self._source, self.snapshot, self.number, node, path)


class VirtualDirectory:
    """A directory of directories and symbolic links that no snapshot has."""

    def __init__(self, node: Node, path: bytes) -> None:
        self.node = node
        self.snapshot: Snapshot | None = None
        self.number = 0
        self.path = path
        self._children: dict[bytes, tuple[Node, Directory | None]] = {}
        self._sorted: Sequence[Node] | None = None

    def add(self, node: Node, directory: Directory | None = None) -> None:
        """Add an entry while the view is being built; a name that is taken stays as it is."""
        self._children.setdefault(node.name, (node, directory))

    @property
    def children(self) -> Mapping[bytes, tuple[Node, Directory | None]]:
        """The entries by name, and what lies behind them."""
        return self._children

    def pages(self) -> Iterator[Sequence[Node]]:
        """Yield the entries as one page; see `Directory`."""
        if self._sorted is None:
            self._sorted = [self._children[name][0] for name in sorted(self._children)]
        yield self._sorted

    def page(self, index: int) -> Sequence[Node] | None:
        """Return the one page; see `Directory`."""
        return next(self.pages()) if index == 0 else None

    def get(self, name: bytes) -> Node | None:
        """Return an entry; see `Directory`."""
        return self._children[name][0] if name in self._children else None

    def enter(self, node: Node) -> Directory:
        """Return a directory below; see `Directory`."""
        _, directory = self._children.get(node.name, (node, None))
        if directory is None:
            raise PathNotFoundError("", _shown(self.path + b"/" + node.name))
        return directory


def virtual_node(name: bytes, time_ns: int, owner: tuple[int, int]) -> Node:
    """Return the node of a virtual directory."""
    uid, gid = owner
    return Node(name, NodeType.DIRECTORY, 0o555, uid, gid, 0, time_ns, time_ns, 0, 0, b"")


def virtual_link(name: bytes, target: bytes, time_ns: int, owner: tuple[int, int]) -> Node:
    """Return the node of a virtual symbolic link."""
    uid, gid = owner
    extra = NodeExtra(target=target)
    return Node(name, NodeType.SYMLINK, 0o777, uid, gid, 0, time_ns, time_ns, 0, 0, b"", extra)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
