"""The content of an archive: windows of entries in the order of the tree, fetched in storage order.

An archive is a stream: an entry's bytes must be complete before the next begins. Packs are read
best in the order in which blobs lie in them, and small files share slices. So entries are taken
until they need a window of blobs, and the blobs of the window are fetched in one pass. While one
window is written the next one is fetched by a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from holdfast.errors import HashMismatchError, IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.file_content import Span, iter_spans
from holdfast.operations.restore_types import LinkKey, link_key
from holdfast.operations.tree_walk import iter_tree
from holdfast.repository.reader import BlobSource

WHOLE_LENGTH: Final = 8 << 20
"""Files up to this size are in one window: that they are readable is known before they begin."""
_WINDOW_BYTES: Final = 16 << 20
_WINDOW_PARTS: Final = 8192
_WINDOW_PLACES: Final = 32_768

_FILE: Final = NodeType.FILE.value


class Part:
    """An entry of the archive, or a piece of a long file. Costs 200 bytes."""

    __slots__ = ("error", "first", "last", "link_to", "node", "path", "spans")

    def __init__(self, path: bytes, node: Node, spans: list[Span]) -> None:
        self.path = path
        """In the snapshot, absolute."""
        self.node = node
        self.spans = spans
        """Content of a file, ascending; what lies between spans are holes."""
        self.first = True
        self.last = True
        self.link_to: bytes | None = None
        """Path of an earlier entry that is the same file."""
        self.error: IntegrityError | None = None
        """Why the rest of the file, or a part of the directory's entries, is not known."""


class Window:
    """Parts and the blobs that they need, each with its bytes or the reason why it has none."""

    __slots__ = ("blobs", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.blobs: dict[BlobId, bytes | IntegrityError] = {}


def read_windows(
    source: BlobSource, node: Node, path: bytes, *, with_links: bool
) -> Iterator[Window]:
    """Yield an entry and everything below it, reading one window ahead in a thread.

    Args:
        source: where pages and blobs come from; used by the thread alone until the end.
        node: file, directory or other entry; of a nameless directory only what is below it.
        path: its absolute path in the snapshot.
        with_links: give names of a file that was met before as links, without its content.

    Raises:
        BackendError: the storage failed. Damage is told in the parts.

    Memory: two windows, each of 16 MiB and one file of 8 MiB at the most, and what `fetch` needs;
    100 bytes for each file with further names that have not been met.
    """
    windows = _Filler(source, with_links=with_links).windows(node, path)
    with ThreadPoolExecutor(1, "holdfast-archive") as pool:
        ahead = pool.submit(next, windows, None)
        while (window := ahead.result()) is not None:
            ahead = pool.submit(next, windows, None)
            yield window


class _Filler:
    """Fills windows; for one thread."""

    def __init__(self, source: BlobSource, *, with_links: bool) -> None:
        self._source = source
        self._with_links = with_links
        self._links: dict[LinkKey, tuple[bytes, int]] = {}
        """Path of the first name of a file, and how many others are to come."""
        self._window = Window()
        self._wanted: dict[BlobId, None] = {}
        self._bytes = 0
        self._places = 0

    def windows(self, node: Node, path: bytes) -> Iterator[Window]:
        """Yield filled windows."""
        if node.name or node.type != NodeType.DIRECTORY:
            yield from self._take(path, node)
        if node.type == NodeType.DIRECTORY:
            for inner, entry in iter_tree(
                self._source, node.content, path.rstrip(b"/"), self._on_damage
            ):
                yield from self._take(inner, entry)
        yield self._fill()

    def _take(self, path: bytes, node: Node) -> Iterator[Window]:
        """Take one entry; yield windows that became full."""
        if node.type != _FILE:
            self._window.parts.append(Part(path, node, []))
        elif (first := self._first_name(path, node)) is not None:
            part = Part(path, node, [])
            part.link_to = first
            self._window.parts.append(part)
        elif node.size <= WHOLE_LENGTH:
            self._take_whole(path, node)
        else:
            yield from self._take_long(path, node)
        if self._is_full():
            yield self._fill()

    def _take_whole(self, path: bytes, node: Node) -> None:
        extra = node.extra or NO_EXTRA
        part = Part(path, node, [])
        self._window.parts.append(part)
        if len(node.content) == BLOB_ID_LENGTH and not extra.holes and not extra.depth:
            # Most files; that the blob has the file's length is seen when it comes.
            part.spans.append((0, node.size, BlobId(node.content)))
        else:
            try:
                part.spans.extend(iter_spans(node, self._source))
            except IntegrityError as error:
                part.error = error
                part.spans.clear()
                return
        for _, length, blob_id in part.spans:
            self._want(blob_id, length)

    def _take_long(self, path: bytes, node: Node) -> Iterator[Window]:
        part = Part(path, node, [])
        self._window.parts.append(part)
        try:
            for span in iter_spans(node, self._source):
                if self._is_full():
                    part.last = False
                    yield self._fill()
                    part = Part(path, node, [])
                    part.first = False
                    self._window.parts.append(part)
                part.spans.append(span)
                self._want(span[2], span[1])
        except IntegrityError as error:
            part.error = error

    def _want(self, blob_id: BlobId, length: int) -> None:
        self._places += 1
        if blob_id not in self._wanted:
            self._wanted[blob_id] = None
            self._bytes += length

    def _is_full(self) -> bool:
        return (
            self._bytes >= _WINDOW_BYTES
            or self._places >= _WINDOW_PLACES
            or len(self._window.parts) >= _WINDOW_PARTS
        )

    def _fill(self) -> Window:
        """Fetch what the window needs and begin the next one."""
        window, self._window = self._window, Window()
        wanted, self._wanted = self._wanted, {}
        self._bytes = self._places = 0
        blobs = window.blobs
        for blob_id, data in self._source.fetch(wanted):
            blobs[blob_id] = data if isinstance(data, IntegrityError) else bytes(data)
        return window

    def _first_name(self, path: bytes, node: Node) -> bytes | None:
        """Return the path of the same file if it was met; remember this one if it is the first."""
        extra = node.extra
        if extra is None or extra.link_count < 2 or not self._with_links:
            return None
        key = link_key(node)
        first, left = self._links.pop(key, (None, extra.link_count))
        if left > 1:
            self._links[key] = (first or path, left - 1)
        return first

    def _on_damage(self, path: bytes, error: IntegrityError) -> None:
        part = Part(path, _UNKNOWN, [])
        part.error = error
        self._window.parts.append(part)


_UNKNOWN: Final = Node(b"", NodeType.DIRECTORY, 0, 0, 0, 0, 0, 0, 0, 0, b"")
"""Stands for the entries of a page that cannot be read."""


def piece(window: Window, node: Node, span: Span) -> bytes | IntegrityError:
    """Return the bytes of a span, or why there are none."""
    _, length, blob_id = span
    data = window.blobs.get(blob_id)
    if data is None:
        return IntegrityError("blob", blob_id.hex(), "the storage did not deliver it")
    if not isinstance(data, IntegrityError) and len(data) != length:
        name = node.name.decode("utf-8", "backslashreplace")
        return HashMismatchError("file", name, f"a blob has {len(data)} bytes, not {length}")
    return data
