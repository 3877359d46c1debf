"""What snapshots consist of, page by page, before anything is copied.

The trees of all snapshots are read once, depth first. What is found is written to a file without a
name, in an order in which every page comes behind what it refers to; what an earlier snapshot of
the plan has is left out. So copying runs through a file, whatever the size of a tree, and the work
to come is known before it begins.

Memory: 100 bytes for each distinct page, and a page for each directory on the way down.
Disk: 33 bytes for each blob that distinct pages name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, Final, Self

from holdfast.closing import Closing
from holdfast.errors import IntegrityError
from holdfast.format.node import NodeType, list_ids
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.copy_types import UnreadableError
from holdfast.repository.reader import BlobReader
from holdfast.repository.record_sorter import RecordSorter

_RECORD: Final = 1 + BLOB_ID_LENGTH
_WRITE: Final = _RECORD << 15
_READ: Final = _RECORD << 13
_MISSING: Final = 10_000
_DIRECTORY: Final = NodeType.DIRECTORY.value


class Step(IntEnum):
    """What a record of the plan is."""

    DATA = 0
    IDS = 1
    """A page of ids."""
    PAGE = 2
    """A page of nodes; everything below it comes before."""


@dataclass(frozen=True, slots=True)
class PlannedSnapshot:
    """A snapshot, and where the plan has what it adds to those before it."""

    snapshot: Snapshot
    start: int
    end: int


@dataclass(slots=True)
class _Frame:
    """A page on the way down."""

    page_id: BlobId
    below: Iterator[BlobId]
    """Pages of its directories, yet to be visited."""


class CopyPlan(Closing):
    """The plan of one copy; a context manager. For one thread.

    Args:
        reader: of the source.
        directory: for the files without names.
        is_missing: tells whether the destination lacks the blob of a record, or may lack it.
        unreadable: blobs that are known to be damaged; their snapshots are not planned.
        on_page: called after each page.
    """

    def __init__(
        self,
        reader: BlobReader,
        directory: str,
        is_missing: Callable[[Step, BlobId], bool],
        *,
        unreadable: Mapping[BlobId, IntegrityError],
        on_page: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._is_missing = is_missing
        self._unreadable = unreadable
        self._on_page = on_page
        self._directory = directory
        self._visited: set[BlobId] = set()
        self._found: set[BlobId] = set()
        """Pages that the snapshot in hand adds."""
        self._buffer = bytearray()
        self._written = 0
        self._file: IO[bytes]
        self._sorter: RecordSorter
        self.snapshots: list[PlannedSnapshot] = []

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(dir=self._directory)  # closed in close
        self._sorter = RecordSorter(self._directory, BLOB_ID_LENGTH)
        return self

    def close(self) -> None:
        """Give up the scratch files."""
        self._sorter.close()
        self._file.close()

    def add(self, snapshot: Snapshot) -> None:
        """Plan a snapshot.

        Raises:
            UnreadableError: a page cannot be read, or a part is known to be unreadable; the plan
                is as it was before.
        """
        self._found = set()
        start = self._written
        missing: list[BlobId] = []
        try:
            for step, blob_id in self._walk(snapshot.root_pages):
                self._write(step, blob_id)
                if self._is_missing(step, blob_id):
                    missing.append(blob_id)
                    if len(missing) >= _MISSING:
                        self._sorter.extend(missing)
                        missing = []
        except IntegrityError as error:
            self._flush()
            self._file.truncate(start)
            self._written = start
            raise UnreadableError(error) from error
        self._sorter.extend(missing)
        self._flush()
        self._visited |= self._found
        self.snapshots.append(PlannedSnapshot(snapshot, start, self._written))

    def missing(self) -> Iterator[BlobId]:
        """Yield each blob that the destination lacks, once. To be called once, at the end."""
        previous = b""
        with self._sorter as sorter:
            self._sorter = RecordSorter(self._directory, BLOB_ID_LENGTH)  # 20 MB less from here on
            for records in sorter.sorted():
                for blob_id in records:
                    if blob_id != previous:
                        previous = blob_id
                        yield BlobId(blob_id)

    def records(self, planned: PlannedSnapshot) -> Iterator[tuple[Step, BlobId]]:
        """Yield what a snapshot adds to those before it; a blob may come more than once."""
        at = planned.start
        while at < planned.end:
            self._file.seek(at)
            data = self._file.read(min(_READ, planned.end - at))
            at += len(data)
            for begin in range(0, len(data), _RECORD):
                yield Step(data[begin]), BlobId(data[begin + 1 : begin + _RECORD])

    def _walk(self, root_pages: Iterable[BlobId]) -> Iterator[tuple[Step, BlobId]]:
        """Yield what is reached from some pages and not planned yet, pages behind their content."""
        stack = [_Frame(BlobId(b""), iter(root_pages))]
        while stack:
            page_id = next(stack[-1].below, None)
            if page_id is None:
                done = stack.pop()
                if stack:
                    yield Step.PAGE, done.page_id
                    self._on_page()
            elif self._is_new(page_id):
                pages: list[BlobId] = []
                for node in self._reader.read_page(page_id):
                    if node.type == _DIRECTORY:
                        pages += node.blob_ids
                    else:
                        yield from self._content(node.blob_ids, node.depth)
                stack.append(_Frame(page_id, iter(pages)))

    def _content(self, ids: Iterable[BlobId], depth: int) -> Iterator[tuple[Step, BlobId]]:
        for blob_id in ids:
            if depth == 0:
                self._require(blob_id)
                yield Step.DATA, blob_id
            elif self._is_new(blob_id):
                yield from self._content(list_ids(self._reader.read_ids(blob_id)), depth - 1)
                yield Step.IDS, blob_id

    def _is_new(self, page_id: BlobId) -> bool:
        self._require(page_id)
        if page_id in self._visited or page_id in self._found:
            return False
        self._found.add(page_id)
        return True

    def _require(self, blob_id: BlobId) -> None:
        if self._unreadable and blob_id in self._unreadable:
            raise self._unreadable[blob_id]

    def _write(self, step: Step, blob_id: BlobId) -> None:
        self._buffer.append(step)
        self._buffer += blob_id
        if len(self._buffer) >= _WRITE:
            self._flush()

    def _flush(self) -> None:
        self._file.seek(self._written)
        self._file.write(self._buffer)
        self._written += len(self._buffer)
        self._buffer.clear()
