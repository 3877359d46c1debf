"""Snapshots that share pages, as those of one source do, in a source in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from holdfast.format.node import Node, NodeType, encode_page
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from support.trees import DictSource, file_node, hash_data, node_of

DAY_NS = 86_400 * 10**9
Entries = Mapping[str, bytes | str | Node]
"""Path without "/" in front -> content of a file, target of a symbolic link, or a whole node."""


class SharingSource(DictSource):
    """Equal pages have equal ids, and a page ends where a name says so, as in a repository."""

    def add_directory(self, nodes: Iterable[Node]) -> bytes:
        """Store the pages of a directory; return their ids, concatenated."""
        content, page = b"", []
        for node in sorted(nodes, key=lambda node: node.name):
            page.append(node)
            if crc32(node.name) % 3 == 0:
                content += self.add_page(page)
                page = []
        return content + self.add_page(page) if page or not content else content

    def add_page(self, nodes: list[Node]) -> BlobId:
        page_id = BlobId(hash_data(encode_page(nodes)))
        self.pages[page_id] = list(nodes)
        return page_id


def add_tree(source: SharingSource, entries: Entries, **fields: object) -> bytes:
    """Store a tree; return the ids of the pages of its root.

    Args:
        source: takes it.
        entries: what is in it.
        fields: of all nodes that are made.
    """
    below: dict[str, dict[str, bytes | str | Node]] = {}
    nodes: list[Node] = []
    for path, entry in entries.items():
        name, slash, rest = path.partition("/")
        raw = name.encode("utf-8", "surrogateescape")
        if slash:
            below.setdefault(name, {})[rest] = entry
        elif isinstance(entry, Node):
            nodes.append(entry)
        elif isinstance(entry, bytes):
            nodes.append(file_node(source, raw, entry, **fields))
        else:
            nodes.append(node_of(NodeType.SYMLINK, raw, **fields))
    for name, inner in below.items():
        raw = name.encode("utf-8", "surrogateescape")
        content = add_tree(source, inner, **fields)
        nodes.append(node_of(NodeType.DIRECTORY, raw, **{**fields, "content": content}))
    return source.add_directory(nodes)


def make_snapshot(number: int, root: bytes, **fields: object) -> Snapshot:
    """The snapshot of a day."""
    values: dict[str, object] = {
        "host": "host",
        "user": "user",
        "raw_paths": (b"/",),
        **fields,
    }
    return Snapshot(id=f"{number:032x}", time_ns=number * DAY_NS, root=root, **values)  # type: ignore[arg-type]


def make_snapshots(source: SharingSource, *trees: Entries) -> list[Snapshot]:
    """One snapshot of each tree, day after day."""
    return [make_snapshot(day, add_tree(source, tree)) for day, tree in enumerate(trees)]
