"""The parent's side of a backup: which node had this name, which page had these nodes.

Directories are sorted on both sides, so finding a node is one step of a merge and memory stays
at a page or two, also for a directory with a million entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.errors import IntegrityError
from holdfast.format.node import Node
from holdfast.ids import BlobId
from holdfast.repository.reader import BlobSource


class ParentDirectory:
    """One directory of the parent snapshot; names are asked for in ascending order.

    Args:
        source: reads pages.
        page_ids: of the directory, in order; empty if the parent has no such directory.
    """

    def __init__(self, source: BlobSource, page_ids: Sequence[BlobId]) -> None:
        self._source = source
        self._page_ids = iter(page_ids)
        self._pages: dict[bytes, tuple[list[Node], BlobId]] = {}
        self._nodes: Iterator[Node] = iter(())
        self._node: Node | None = None
        self._empty_page: BlobId | None = None
        self._advance()

    def match(self, name: bytes) -> Node | None:
        """Return the parent's node of that name. Cost: 0.2 us and the decoding of its page."""
        node = self._node
        while node is not None and node.name < name:
            node = self._advance()
        return node if node is not None and node.name == name else None

    def page_id(self, nodes: Sequence[Node]) -> BlobId | None:
        """Return the id of the parent's page that consists of exactly these nodes.

        Unchanged nodes are the parent's own objects, so the comparison is one of pointers.
        """
        if not nodes:
            return self._empty_page
        known = self._pages.pop(nodes[0].name, None)
        if known is not None and len(known[0]) == len(nodes) and known[0] == list(nodes):
            return known[1]
        return None

    def _advance(self) -> Node | None:
        node = next(self._nodes, None)
        while node is None:
            page_id = next(self._page_ids, None)
            if page_id is None:
                break
            try:
                page = self._source.read_page(page_id)
            except IntegrityError:
                continue  # what it listed is read again, as if it were new
            if page:
                self._pages[page[0].name] = (page, page_id)
            else:
                self._empty_page = page_id
            self._nodes = iter(page)
            node = next(self._nodes, None)
        self._node = node
        return node
