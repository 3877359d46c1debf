"""Copying between repositories with different keys: every blob gets another id.

Data blobs keep their borders, so a file that is backed up to the destination later still shares
what its cuts have in common with the copy; as a rule that is little, since each repository cuts
by a key of its own. Pages are written anew, from the leaves to the root, with the ids that their
content has at the destination, and everything else as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from holdfast.errors import CacheError, FormatError, IntegrityError
from holdfast.format.node import Node, NodeType, decode_page, list_ids
from holdfast.format.pack import BlobKind
from holdfast.hashing import Bytes
from holdfast.ids import BlobId
from holdfast.operations.content_builder import ContentBuilder
from holdfast.operations.copy_map import CopyMap
from holdfast.operations.copy_plan import CopyPlan, PlannedSnapshot, Step
from holdfast.operations.copy_transfer import CopyRun, WindowFetcher
from holdfast.operations.copy_types import UnreadableError
from holdfast.operations.file_content import content_ids

_WINDOW: Final = 8 << 20
"""Bytes of pages that are read at once."""
_CONTENT: Final = Node.__struct_fields__.index("content")
_EXTRA: Final = Node.__struct_fields__.index("extra")
_DEPTH: Final = 7
"""Of `NodeExtra.depth` among its fields."""
_DIRECTORY: Final = NodeType.DIRECTORY.value


class RekeyingTransfer:
    """Copies blob by blob, with a map of ids. For one thread."""

    def __init__(self, run: CopyRun, ids: CopyMap) -> None:
        self._run = run
        self._ids = ids

    def is_missing(self, step: Step, blob_id: BlobId) -> bool:
        """Tell whether a data blob must be read; see `Transfer`."""
        if step != Step.DATA:
            return False
        own_id = self._ids.get(blob_id)
        return own_id is None or not self._run.writer.knows(own_id)

    def prepare(self, plan: CopyPlan) -> int:
        """Add up what must be read; see `Transfer`."""
        locate = self._run.source.index.locate
        return sum(place.length for one in plan.missing() if (place := locate(one)) is not None)

    def copy(self, plan: CopyPlan, planned: PlannedSnapshot) -> bytes:
        """Copy the data blobs, then write the pages anew; see `Transfer`."""
        fetcher = WindowFetcher(self._run, BlobKind.DATA, self._store)
        for step, blob_id in plan.records(planned):
            if self.is_missing(step, blob_id):
                fetcher.add(blob_id)
        fetcher.finish()
        for window in self._windows(plan, planned):
            self._rewrite(window)
            self._run.checkpoint()
        return b"".join(map(self._own, planned.snapshot.root_pages))

    def _store(self, blob_id: BlobId, data: Bytes) -> None:
        self._ids.put(blob_id, self._run.writer.add_data(data))

    def _windows(self, plan: CopyPlan, planned: PlannedSnapshot) -> Iterator[list[BlobId]]:
        window: list[BlobId] = []
        size = 0
        for step, page_id in plan.records(planned):
            if step != Step.PAGE:
                continue
            place = self._run.source.index.locate(page_id)
            window.append(page_id)
            size += 0 if place is None else place.length
            if size >= _WINDOW:
                yield window
                window, size = [], 0
        if window:
            yield window

    def _rewrite(self, page_ids: list[BlobId]) -> None:
        """Write some pages anew; whatever they name has been dealt with.

        Raises:
            UnreadableError: one of them cannot be read.
        """
        pages: dict[BlobId, bytes] = {}
        for page_id, data in self._run.reader.fetch_pages(page_ids):
            if isinstance(data, IntegrityError):
                self._run.unreadable[page_id] = data
                raise UnreadableError(data)
            pages[page_id] = bytes(data)
        for page_id in page_ids:
            try:
                page = self._rewritten(pages.pop(page_id), page_id)
            except IntegrityError as error:
                self._run.unreadable[page_id] = error
                raise UnreadableError(error) from error
            self._ids.put(page_id, self._run.writer.add_tree(page))

    def _rewritten(self, data: bytes, page_id: BlobId) -> bytes:
        """Return a page with the ids of this repository, and fields that we do not know."""
        nodes = decode_page(data, page_id.hex())
        try:
            raw: list[Any] = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FormatError("tree", page_id.hex(), f"not a page of nodes: {error}") from error
        for node, fields in zip(nodes, raw, strict=True):
            if not node.content:
                continue
            if node.depth and node.type != _DIRECTORY:
                builder = ContentBuilder(self._run.writer.add_ids)
                for blob_id in content_ids(self._run.reader, node):
                    builder.add(self._own(blob_id))
                fields[_CONTENT], fields[_EXTRA][_DEPTH] = builder.finish()
            else:
                fields[_CONTENT] = b"".join(map(self._own, list_ids(node.content)))
        return msgspec.msgpack.encode(raw)

    def _own(self, blob_id: BlobId) -> bytes:
        own_id = self._ids.get(blob_id)
        if own_id is None:
            raise CacheError(
                self._run.destination.cache.directory, "the map of copied blobs was lost just now"
            )
        return own_id
