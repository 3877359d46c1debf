"""Where the blobs of a file lie in it: extents between holes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.errors import FormatError
from holdfast.format.node import Node
from holdfast.ids import BLOB_ID_LENGTH, BlobId

Span = tuple[int, int, BlobId]
"""Offset in the file, length, and the blob that fills it."""


def iter_spans(node: Node, blob_length: Callable[[BlobId], int]) -> Iterator[Span]:
    """Yield the spans of a file's blobs in ascending order of offset.

    Holes are in `extra.holes` and not in `content`; no blob straddles one.

    Args:
        node: a file.
        blob_length: length of a blob's plaintext.

    Raises:
        FormatError: the holes are impossible, or blobs and holes do not add up to the size;
            found at the end at the latest.
        IntegrityError: whatever `blob_length` raises.
    """
    holes = node.extra.holes if node.extra is not None else ()
    content = node.content
    size = node.size
    if len(holes) % 2:
        raise _impossible(node, "odd sparse map")
    position = 0
    next_hole = 0
    for at in range(0, len(content), BLOB_ID_LENGTH):
        while next_hole < len(holes) and holes[next_hole] == position:
            position += _hole_length(node, holes[next_hole + 1])
            next_hole += 2
        blob_id = BlobId(content[at : at + BLOB_ID_LENGTH])
        length = blob_length(blob_id)
        end = position + length
        if end > size or (next_hole < len(holes) and holes[next_hole] < end):
            raise _impossible(node, "content and sparse map do not fit")
        yield position, length, blob_id
        position = end
    while next_hole < len(holes) and holes[next_hole] == position:
        position += _hole_length(node, holes[next_hole + 1])
        next_hole += 2
    if next_hole < len(holes) or position != size:
        raise _impossible(node, "content does not add up to the recorded size")


def iter_holes(node: Node) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each hole."""
    if node.extra is not None:
        holes = node.extra.holes
        for at in range(0, len(holes) - 1, 2):
            yield holes[at], holes[at + 1]


def _hole_length(node: Node, length: int) -> int:
    if length <= 0:
        raise _impossible(node, "a hole of no length")
    return length


def _impossible(node: Node, reason: str) -> FormatError:
    return FormatError("file", node.name.decode("utf-8", "backslashreplace"), reason)
