"""Blobs for archives that are made while others read: through the shared reader, read ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.format.node import Node
from holdfast.ids import BlobId
from holdfast.repository.decoding import Decoded
from holdfast.repository.shared_reader import SharedReader

_STEP_BYTES: Final = 8 << 20
_STEP_BLOBS: Final = 512
"""Blobs that are asked for together. Two steps are on their way; the shared reader keeps 48 MiB, and
what it has dropped before it was taken would be decoded again."""


class ArchiveSource:
    """A `BlobSource` on a `SharedReader`. For one thread."""

    def __init__(self, reader: SharedReader) -> None:
        self._reader = reader

    def read_page(self, page_id: BlobId) -> list[Node]:
        """Return one page of a directory; see `BlobSource`."""
        return self._reader.read_page(page_id)

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page of a long file; see `BlobSource`."""
        return self._reader.read_ids(page_id)

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob; see `BlobSource`."""
        return self._reader.blob_length(blob_id)

    def fetch(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        """Yield data blobs in the order in which they are asked for; see `BlobSource`.

        Some are decoded ahead: what follows in the tree mostly lies together in storage too.
        """
        steps = self._steps(ids)
        step = next(steps, [])
        self._reader.read_ahead(step)
        while step:
            ahead = next(steps, [])
            self._reader.read_ahead(ahead)
            for blob_id in step:
                try:
                    yield blob_id, memoryview(self._reader.read(blob_id))
                except IntegrityError as error:
                    yield blob_id, error
            step = ahead

    def _steps(self, ids: Iterable[BlobId]) -> Iterator[list[BlobId]]:
        step: list[BlobId] = []
        length = 0
        for blob_id in ids:
            step.append(blob_id)
            try:
                length += self._reader.blob_length(blob_id)
            except IntegrityError:
                pass  # told when it is read
            if length >= _STEP_BYTES or len(step) >= _STEP_BLOBS:
                yield step
                step, length = [], 0
        if step:
            yield step
