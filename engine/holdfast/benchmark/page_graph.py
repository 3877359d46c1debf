"""The trees of many snapshots as one graph of pages, of which each distinct one is read once.

Who needs a blob? Whoever reaches a page that names it. So pages get numbers, a page's edges lead
to the pages that it names, and only (blob, page) is noted of everything else, sorted in files. Sets
of snapshots go down the edges afterwards without reading anything again.

A page is reached first from the oldest snapshot that has it, since snapshots are added in order of
time. Hence numbers ascend with that snapshot: of the pages that name a blob the one with the
smallest number is where the blob came in.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from holdfast.benchmark.directory_tree import NOWHERE, DirectoryTree
from holdfast.closing import Closing
from holdfast.errors import IntegrityError
from holdfast.format.node import NodeType, decode_ids, decode_page, list_ids
from holdfast.format.pack import BlobKind
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.repository.decoding import Decoded
from holdfast.repository.record_sorter import RecordSorter

SnapshotSet = int
"""Bit n is the nth snapshot."""
References = tuple[BlobId, list[int]]
"""A blob, and the pages that name it, ascending; a page stands for itself."""

_NUMBER_LENGTH: Final = 4
_NODES: Final = 0
"""Depth of a page of nodes; larger ones are of id pages."""
_DIRECTORY: Final = NodeType.DIRECTORY.value
_BULK: Final = 256
"""Pages from which on threads and their buffers pay; a later snapshot has few that are new."""
_MOST_SHARED: Final = 1 << 16
"""Sets that are held once while they are joined: 5 MB with a few hundred snapshots."""


class TreeReader(Protocol):
    """Where trees are read from; a `BlobReader` is one."""

    def fetch_pages(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        """Yield each distinct tree blob once, verified, or with the error why it cannot be read."""

    def read(self, blob_id: BlobId, kind: BlobKind) -> bytes:
        """Return one blob, verified.

        Raises:
            IntegrityError: it is damaged or missing.
        """


class PageGraph(Closing):
    """Everything that snapshots name; a context manager. For one thread.

    Args:
        reader: reads trees.
        directories: takes the names of those that something may have come in with.
        directory: for what memory should not hold.
        on_damage: called for a page that cannot be read; what only it names is missing here.

    Memory: 200 bytes for each distinct page, 4 for each edge, and 20 MB. Disk: 36 bytes for each
    blob that a page names.
    """

    def __init__(
        self,
        reader: TreeReader,
        directories: DirectoryTree,
        directory: str,
        on_damage: Callable[[IntegrityError], None],
    ) -> None:
        self._reader = reader
        self._tree = directories
        self._on_damage = on_damage
        self._sorter = RecordSorter(directory, BLOB_ID_LENGTH + _NUMBER_LENGTH)
        self._numbers: dict[BlobId, int] = {}
        self._edges = array("I")
        self._begins = array("I")
        self._ends = array("I")
        """Page -> its edges, [begin, end) of `_edges`."""
        self._directories = array("I")
        """Page -> number of its directory."""
        self._roots: list[list[int]] = []

    def close(self) -> None:
        """Give up the files; harmless if repeated."""
        self._sorter.close()

    @property
    def page_count(self) -> int:
        """How many distinct pages were met."""
        return len(self._numbers)

    def directory_of(self, page: int) -> int:
        """Return the number of the directory where a page was first met."""
        return self._directories[page]

    def add(self, root_pages: Sequence[BlobId], directory: int) -> Iterator[int]:
        """Take the next snapshot, level by level; yield the bytes of each page that is new.

        Args:
            root_pages: pages of its "/".
            directory: number of "/", or NOWHERE if nobody asks what came in where.
        """
        level: dict[BlobId, int] = {}
        self._roots.append([self._number(page, _NODES, directory, level) for page in root_pages])
        while level:
            below: dict[BlobId, int] = {}
            for page_id, found in self._fetch(level):
                try:
                    if isinstance(found, IntegrityError):
                        raise found
                    self._take(page_id, bytes(found), level[page_id], below)
                except IntegrityError as error:
                    self._on_damage(error)
                    continue
                yield len(found)
            level = below

    def holders(self) -> list[SnapshotSet]:
        """Return by page number which snapshots reach each page.

        Edges are followed in topological order (Kahn 1962): a page is done when all that name it
        are. Cost: 0.3 us an edge.
        """
        waiting = array("I", bytes(4 * self.page_count))
        for target in self._edges:
            waiting[target] += 1
        held = [0] * self.page_count
        for snapshot, roots in enumerate(self._roots):
            for page in roots:
                held[page] |= 1 << snapshot
        shared: dict[SnapshotSet, SnapshotSet] = {}
        done = [page for page, edges in enumerate(waiting) if not edges]
        while done:
            page = done.pop()
            above = held[page]
            for target in self._edges[self._begins[page] : self._ends[page]]:
                # Few sets are distinct: equal ones are one object.
                joined = held[target] | above
                held[target] = shared.setdefault(joined, joined)
                waiting[target] -= 1
                if not waiting[target]:
                    done.append(target)
            if len(shared) > _MOST_SHARED:
                shared.clear()
        return held

    def references(self) -> Iterator[References]:
        """Yield every blob once, in ascending order, with the pages that name it.

        Cost: 1.5 us a reference.
        """
        blob_id, pages = b"", list[int]()
        for records in self._sorter.sorted():
            for record in records:
                found = record[:BLOB_ID_LENGTH]
                page = int.from_bytes(record[BLOB_ID_LENGTH:])
                if found == blob_id:
                    pages.append(page)
                    continue
                if pages:
                    yield BlobId(blob_id), pages
                blob_id, pages = found, [page]
        if pages:
            yield BlobId(blob_id), pages

    def _fetch(self, level: dict[BlobId, int]) -> Iterator[Decoded]:
        if len(level) >= _BULK:
            yield from self._reader.fetch_pages(level)
            return
        for page_id in level:
            try:
                yield page_id, memoryview(self._reader.read(page_id, BlobKind.TREE))
            except IntegrityError as error:
                yield page_id, error

    def _number(self, page_id: BlobId, depth: int, directory: int, below: dict[BlobId, int]) -> int:
        """Return a page's number; a new one is to be read with the next level."""
        number = self._numbers.get(page_id)
        if number is None:
            number = self._numbers[page_id] = len(self._numbers)
            self._directories.append(directory)
            self._begins.append(0)
            self._ends.append(0)
            self._sorter.extend([page_id + number.to_bytes(_NUMBER_LENGTH)])
            below[page_id] = depth
        return number

    def _take(self, page_id: BlobId, data: bytes, depth: int, below: dict[BlobId, int]) -> None:
        """Note what a page names."""
        number = self._numbers[page_id]
        directory = self._directories[number]
        begin = len(self._edges)
        if depth > _NODES:
            blobs = decode_ids(data, page_id.hex())
            if depth > 1:
                self._link(list_ids(blobs), depth - 1, directory, below)
                blobs = b""
        else:
            blobs = self._take_nodes(data, page_id, directory, below)
        self._begins[number], self._ends[number] = begin, len(self._edges)
        suffix = number.to_bytes(_NUMBER_LENGTH)
        self._sorter.extend([blob_id + suffix for blob_id in set(list_ids(blobs))])

    def _take_nodes(
        self, data: bytes, page_id: BlobId, directory: int, below: dict[BlobId, int]
    ) -> bytes:
        """Follow the directories and long files of a page; return the ids of its data blobs."""
        contents: list[bytes] = []
        for node in decode_page(data, page_id.hex()):
            if node.type == _DIRECTORY:
                pages = node.blob_ids
                inner = directory
                if directory != NOWHERE and any(page not in self._numbers for page in pages):
                    inner = self._tree.below(directory, node.name)
                self._link(pages, _NODES, inner, below)
            elif node.depth:
                self._link(node.blob_ids, node.depth, directory, below)
            else:
                contents.append(node.content)
        return b"".join(contents)

    def _link(
        self, pages: list[BlobId], depth: int, directory: int, below: dict[BlobId, int]
    ) -> None:
        self._edges.extend(self._number(page, depth, directory, below) for page in pages)
