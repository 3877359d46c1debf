"""Moving blobs from one repository to another; how that is done depends on their keys.

Blobs are fetched window by window in the order of the source's storage, and verified. One that
cannot be read does not stop the others: all are noted, so that the snapshots which need them are
known at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.errors import IntegrityError
from holdfast.format.pack import BlobKind
from holdfast.hashing import Bytes
from holdfast.ids import BlobId
from holdfast.operations.copy_plan import CopyPlan, PlannedSnapshot, Step
from holdfast.operations.copy_types import CopyResult, UnreadableError
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer

CHECKPOINT_BLOBS: Final = 200_000
"""New blobs are committed this often, so that memory stays flat: 110 bytes a blob."""
_WINDOW: Final = 20_000
"""Blobs that are fetched in the order of storage: 8 MB of ids and places."""

Store = Callable[[BlobId, Bytes], None]
"""Takes a verified blob of the source."""


@dataclass(slots=True)
class CopyRun:
    """What all parts of a copy work with."""

    source: Repository
    destination: Repository
    reader: BlobReader
    writer: Writer
    result: CopyResult
    unreadable: dict[BlobId, IntegrityError]
    """Blobs of the source that cannot be read, as far as is known."""
    on_bytes: Callable[[int], None]
    """Told of bytes that are done."""

    def checkpoint(self) -> None:
        """Keep the session alive, and memory flat.

        The commit names index objects and no snapshot: what is stored counts from then on, and a
        prune that does not wait for this session finds nothing that needs it. Then the commit of
        the snapshot is void, and the copy begins again with what is left.

        Raises:
            CommitVoidError: prune went on without this session.
        """
        self.writer.renew_session()
        if len(self.writer.new) >= CHECKPOINT_BLOBS:
            self.writer.commit_index()
            self.writer.begin_transaction()


class Transfer(Protocol):
    """One way of copying."""

    def is_missing(self, step: Step, blob_id: BlobId) -> bool:
        """Tell whether the destination lacks a blob, as far as can be known without reading it."""

    def prepare(self, plan: CopyPlan) -> int:
        """Look through the plan; return the bytes that there are to be moved."""

    def copy(self, plan: CopyPlan, planned: PlannedSnapshot) -> bytes:
        """Store what a snapshot needs; return its root at the destination.

        Raises:
            UnreadableError: a part of it cannot be read.
            CommitVoidError: prune went on at the destination.
        """


class WindowFetcher:
    """Fetches blobs of one kind, window by window."""

    def __init__(self, run: CopyRun, kind: BlobKind, store: Store) -> None:
        self._run = run
        self._fetch = run.reader.fetch if kind == BlobKind.DATA else run.reader.fetch_pages
        self._store = store
        self._window: set[BlobId] = set()
        self._error: IntegrityError | None = None

    def add(self, blob_id: BlobId) -> None:
        """Have a blob fetched with others."""
        self._window.add(blob_id)
        if len(self._window) >= _WINDOW:
            self._empty()

    def finish(self) -> None:
        """Fetch what is left.

        Raises:
            UnreadableError: a blob could not be read; all others have been stored.
        """
        self._empty()
        error, self._error = self._error, None
        if error is not None:
            raise UnreadableError(error)

    def _empty(self) -> None:
        if self._window:
            self._fetch_all(self._window)
            self._window = set()
            self._run.checkpoint()

    def _fetch_all(self, ids: Iterable[BlobId]) -> None:
        run, result = self._run, self._run.result
        with closing(self._fetch(ids)) as found:  # type: ignore[type-var]
            for blob_id, data in found:
                if isinstance(data, IntegrityError):
                    run.unreadable[blob_id] = data
                    self._error = self._error or data
                    continue
                result.blobs_read += 1
                result.bytes_read += len(data)
                self._store(blob_id, data)
                run.on_bytes(len(data))
