"""Which blobs are needed: those that the trees of some snapshots name.

The ids are sorted outside of memory and joined with the index, which is sorted too: one pass over
both, whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

from holdfast.closing import Closing
from holdfast.errors import IntegrityError
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.references import iter_references
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.reader import BlobReader
from holdfast.repository.record_sorter import RecordSorter

LivePlaces: TypeAlias = tuple[BlobId, list[tuple[int, int]]]
"""A needed blob with the (pack number, length) of each trusted place; none if it is lost."""


class LiveBlobs(Closing):
    """The blobs that are needed; a context manager. For one thread.

    Args:
        reader: reads trees.
        directory: for what memory should not hold.

    Memory: 100 bytes for each distinct page, and 20 MB.
    """

    def __init__(self, reader: BlobReader, directory: str) -> None:
        self._reader = reader
        self._stack = ExitStack()
        self._sorter = self._stack.enter_context(RecordSorter(directory, BLOB_ID_LENGTH))
        self._seen: set[BlobId] = set()

    def close(self) -> None:
        """Give up the files; harmless if repeated."""
        self._stack.close()

    def add(self, root_pages: Iterable[BlobId]) -> None:
        """Take what some roots name.

        Raises:
            IntegrityError: a page cannot be read: nobody knows what is needed, and this object
                must not be used any more.
        """
        for _ in self.iter_new(root_pages):
            pass

    def iter_new(
        self,
        root_pages: Iterable[BlobId],
        on_damage: Callable[[BlobId, IntegrityError], None] | None = None,
    ) -> Iterator[list[BlobId]]:
        """Take what further roots name, and yield it page by page.

        Pages taken before, and what is below them, are passed over.

        Args:
            root_pages: pages of the roots.
            on_damage: as for `iter_references`.

        Raises:
            IntegrityError: as for `add`, if there is no `on_damage`.
        """
        pages = iter_references(self._reader, root_pages, on_damage, seen=self._seen)
        for page_id, data in pages:
            blobs = [page_id, *data]
            self._sorter.extend(blobs)
            yield blobs

    def join(self, index: BlobIndex) -> Iterator[LivePlaces]:
        """Yield every needed blob once, with its trusted places. Cost: 1 us a blob of the index."""
        entries = index.entries()
        entry = next(entries, None)
        previous = b""
        for records in self._sorter.sorted():
            for blob_id in records:
                if blob_id == previous:
                    continue
                previous = blob_id
                while entry is not None and entry[0] < blob_id:
                    entry = next(entries, None)
                places = []
                while entry is not None and entry[0] == blob_id:
                    places.append((entry[1], entry[2]))
                    entry = next(entries, None)
                yield BlobId(blob_id), places
