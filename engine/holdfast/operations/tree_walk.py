"""Walking the trees of a snapshot: one page in memory for each directory on the way down."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final, Protocol

from holdfast.errors import FormatError, IntegrityError, PathNotFoundError
from holdfast.format.node import Node, NodeType
from holdfast.ids import BLOB_ID_LENGTH, BlobId

_NAME: Final = attrgetter("name")

OnDamage = Callable[[bytes, IntegrityError], None]
"""Called with the path of the directory of which a page cannot be read."""


class PageSource(Protocol):
    """Where trees are read from."""

    def read_page(self, page_id: BlobId) -> list[Node]:
        """Return one page of a directory.

        Raises:
            IntegrityError: it is damaged or missing.
        """


def root_node(root: bytes) -> Node:
    """Return a nameless directory node for the root of a snapshot, whose metadata means nothing.

    Args:
        root: `Snapshot.root`, the ids of the pages of "/".
    """
    return Node(b"", NodeType.DIRECTORY, 0o755, 0, 0, 0, 0, 0, 0, 0, root)


def iter_directory(
    source: PageSource, pages: bytes, path: bytes = b"/", on_damage: OnDamage | None = None
) -> Iterator[Node]:
    """Yield the nodes of one directory in ascending order of name, reading page after page.

    Args:
        source: where the pages are.
        pages: ids of the pages, as in `Node.content`.
        path: how the directory is called in errors.
        on_damage: called for a page that cannot be read; the others are still yielded.

    Raises:
        IntegrityError: a page cannot be read and there is no `on_damage`.
    """
    previous = b""
    for at in range(0, len(pages), BLOB_ID_LENGTH):
        page_id = BlobId(pages[at : at + BLOB_ID_LENGTH])
        try:
            nodes = source.read_page(page_id)
            if nodes and nodes[0].name <= previous:
                raise FormatError(
                    "tree", page_id.hex(), "the pages of a directory are out of order"
                )
        except IntegrityError as error:
            if on_damage is None:
                raise
            on_damage(path, error)
            continue
        if nodes:
            yield from nodes
            previous = nodes[-1].name


def iter_tree(
    source: PageSource, pages: bytes, path: bytes = b"", on_damage: OnDamage | None = None
) -> Iterator[tuple[bytes, Node]]:
    """Yield (path, node) of everything below a directory, depth first, in order of names.

    A directory comes before its contents. Memory: one page for each level.

    Args:
        source: where the pages are.
        pages: ids of the directory's pages.
        path: the directory's own path, without "/" at its end; empty for "/".
        on_damage: as for `iter_directory`.
    """
    stack = [(path, iter_directory(source, pages, path or b"/", on_damage))]
    while stack:
        directory, nodes = stack[-1]
        for node in nodes:
            inner = directory + b"/" + node.name
            yield inner, node
            if node.type == NodeType.DIRECTORY:
                stack.append((inner, iter_directory(source, node.content, inner, on_damage)))
                break
        else:
            stack.pop()


def find_node(source: PageSource, root: bytes, path: bytes, *, snapshot: str) -> Node:
    """Return the node at an absolute path; for "/" the one of `root_node`.

    Args:
        source: where the pages are.
        root: ids of the pages of "/".
        path: absolute; empty components and "/" at the end mean nothing.
        snapshot: the snapshot's id, for the error.

    Raises:
        PathNotFoundError: there is no such path, or a part of it is no directory.
        IntegrityError: a page on the way cannot be read.

    Cost: reads O(log pages) pages of each directory on the way.
    """
    node = root_node(root)
    for name in path.split(b"/"):
        if not name:
            continue
        found = find_entry(source, node.content, name) if _is_directory(node) else None
        if found is None:
            raise PathNotFoundError(snapshot, path.decode("utf-8", "surrogateescape"))
        node = found
    return node


def _is_directory(node: Node) -> bool:
    return node.type == NodeType.DIRECTORY


def find_entry(source: PageSource, pages: bytes, name: bytes) -> Node | None:
    """Return the entry of a directory that has this name, or None.

    Args:
        source: where the pages are.
        pages: ids of the directory's pages.
        name: of the entry.

    Raises:
        IntegrityError: a page on the way cannot be read.

    Cost: reads O(log pages) pages.
    """
    low, high = 0, len(pages) // BLOB_ID_LENGTH
    while low < high:
        middle = (low + high) // 2
        at = middle * BLOB_ID_LENGTH
        nodes = source.read_page(BlobId(pages[at : at + BLOB_ID_LENGTH]))
        if not nodes or name < nodes[0].name:
            high = middle
        elif name > nodes[-1].name:
            low = middle + 1
        else:
            found = nodes[bisect_left(nodes, name, key=_NAME)]
            return found if found.name == name else None
    return None
