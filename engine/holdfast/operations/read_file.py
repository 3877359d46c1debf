"""Reading one file of a snapshot from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.format.node import Node
from holdfast.ids import BlobId
from holdfast.operations.file_content import Span, iter_spans
from holdfast.repository.reader import BlobSource

_WINDOW: Final = 16 << 20
"""Bytes of blobs that are fetched together, in the order of the packs."""
_ZEROS: Final = bytes(1 << 20)


def iter_file(reader: BlobSource, node: Node) -> Iterator[bytes]:
    """Yield a file's bytes in order, holes as zeros.

    Args:
        reader: of the repository.
        node: a file.

    Raises:
        IntegrityError: a blob cannot be read; what lies before its window was yielded.

    Memory: two windows of 16 MiB.
    """
    window: list[Span] = []
    length = 0
    position = 0
    for span in iter_spans(node, reader):
        window.append(span)
        length += span[1]
        if length >= _WINDOW:
            yield from _read_window(reader, window, position)
            position = span[0] + span[1]
            window, length = [], 0
    yield from _read_window(reader, window, position)
    if window:
        position = window[-1][0] + window[-1][1]
    yield from _hole(node.size - position)


def _read_window(reader: BlobSource, spans: Sequence[Span], position: int) -> Iterator[bytes]:
    found: dict[BlobId, bytes] = {}
    for blob_id, data in reader.fetch([blob_id for _, _, blob_id in spans]):
        if isinstance(data, IntegrityError):
            raise data
        found[blob_id] = bytes(data)
    for offset, length, blob_id in spans:
        yield from _hole(offset - position)
        yield found[blob_id]
        position = offset + length


def _hole(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[:length]
        length -= len(_ZEROS)
