"""Where the blobs of a file lie in it: extents between holes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import lt
from typing import Protocol

from holdfast.errors import FormatError
from holdfast.format.node import Node, list_ids
from holdfast.ids import BlobId

Span = tuple[int, int, BlobId]
"""Offset in the file, length, and the blob that fills it."""


class ContentSource(Protocol):
    """What tells the blobs of a file; part of `BlobSource`."""

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob, or raise MissingBlobError."""

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page, or raise IntegrityError."""


def content_ids(source: ContentSource, node: Node) -> Iterator[BlobId]:
    """Yield the ids of a file's data blobs, in order.

    Raises:
        IntegrityError: an id page cannot be read.
    """
    return _ids_below(source, node.content, node.depth)


def iter_spans(node: Node, source: ContentSource) -> Iterator[Span]:
    """Yield the spans of a file's blobs in ascending order of offset.

    Holes are in `extra.holes` and not in `content`; no blob straddles one.

    Args:
        node: a file.
        source: tells lengths and id pages.

    Raises:
        FormatError: the holes are impossible, or blobs and holes do not add up to the size;
            found at the end at the latest.
        IntegrityError: a blob is unknown, or an id page cannot be read.
    """
    blob_length = source.blob_length
    blobs = ((blob_id, blob_length(blob_id)) for blob_id in content_ids(source, node))
    end = 0
    for span in place_blobs(node, blobs):
        yield span
        end = span[0] + span[1]
    check_end(node, end)


def place_blobs(
    node: Node, blobs: Iterable[tuple[BlobId, int]], position: int = 0
) -> Iterator[Span]:
    """Yield the spans of blobs that follow each other in a file, between its holes.

    Args:
        node: the file.
        blobs: ids and lengths, in order.
        position: where the blob before them ends.

    Raises:
        FormatError: as for `iter_spans`.
    """
    holes = _sparse_map(node)
    size = node.size
    next_hole = 2 * bisect_left(holes[::2], position) if holes else 0
    for blob_id, length in blobs:
        while next_hole < len(holes) and holes[next_hole] == position:
            position += _hole_length(node, holes[next_hole + 1])
            next_hole += 2
        end = position + length
        if end > size or (next_hole < len(holes) and holes[next_hole] < end):
            raise _impossible(node, "content and sparse map do not fit")
        yield position, length, blob_id
        position = end


def check_end(node: Node, position: int) -> None:
    """Check that nothing but holes follows the last blob of a file, which ends at `position`.

    Raises:
        FormatError: blobs and holes do not add up to the size.
    """
    holes = _sparse_map(node)
    at = 2 * bisect_left(holes[::2], position)
    while at < len(holes) and holes[at] == position:
        position += _hole_length(node, holes[at + 1])
        at += 2
    if at < len(holes) or position != node.size:
        raise _impossible(node, "content does not add up to the recorded size")


def iter_holes(node: Node) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each hole."""
    if node.extra is not None:
        holes = node.extra.holes
        for at in range(0, len(holes) - 1, 2):
            yield holes[at], holes[at + 1]


def _ids_below(source: ContentSource, content: bytes, depth: int) -> Iterator[BlobId]:
    ids = list_ids(content)
    if depth == 0:
        yield from ids
        return
    for page_id in ids:
        yield from _ids_below(source, source.read_ids(page_id), depth - 1)


def _sparse_map(node: Node) -> tuple[int, ...]:
    holes = node.extra.holes if node.extra is not None else ()
    if len(holes) % 2:
        raise _impossible(node, "odd sparse map")
    if holes and (holes[0] < 0 or not all(map(lt, holes[:-2:2], holes[2::2]))):
        raise _impossible(node, "holes out of order")
    return holes


def _hole_length(node: Node, length: int) -> int:
    if length <= 0:
        raise _impossible(node, "a hole of no length")
    return length


def _impossible(node: Node, reason: str) -> FormatError:
    return FormatError("file", node.name.decode("utf-8", "backslashreplace"), reason)
