"""Spans of blobs between holes."""

from __future__ import annotations

import pytest

from holdfast.errors import FormatError, MissingBlobError
from holdfast.format.node import NodeExtra
from holdfast.operations.file_content import iter_holes, iter_spans
from support.trees import DictSource, file_node


def _spans(lengths: list[int], holes: tuple[int, ...], size: int) -> list[tuple[int, int]]:
    source = DictSource(chunk_size=1000)
    content = b"".join(source.add_blob(b"%d" % i + b"x" * (n - 1)) for i, n in enumerate(lengths))
    extra = NodeExtra(holes=holes) if holes else None
    node = file_node(source, b"f", content=content, size=size, extra=extra)
    return [(offset, length) for offset, length, _ in iter_spans(node, source)]


@pytest.mark.parametrize(
    ("lengths", "holes", "size", "expected"),
    [
        ([], (), 0, []),
        ([5], (), 5, [(0, 5)]),
        ([5, 7], (), 12, [(0, 5), (5, 7)]),
        ([], (0, 9), 9, []),
        ([5], (0, 9), 14, [(9, 5)]),
        ([5], (5, 9), 14, [(0, 5)]),
        ([5, 3], (0, 1, 6, 2, 11, 4), 15, [(1, 5), (8, 3)]),
        ([5], (0, 2, 2, 3), 10, [(5, 5)]),
    ],
)
def test_layout(
    lengths: list[int], holes: tuple[int, ...], size: int, expected: list[tuple[int, int]]
) -> None:
    assert _spans(lengths, holes, size) == expected


@pytest.mark.parametrize(
    ("lengths", "holes", "size"),
    [
        ([5], (), 6),
        ([5], (), 4),
        ([], (), 1),
        ([5, 5], (3, 2), 12),
        ([5], (9, 1), 6),
        ([5], (5, 0), 5),
        ([5], (5, -2), 3),
        ([5], (5,), 5),
        ([5], (0, 4), 5),
        ([5], (-3, 3), 5),
    ],
)
def test_impossible_layouts(lengths: list[int], holes: tuple[int, ...], size: int) -> None:
    with pytest.raises(FormatError):
        _spans(lengths, holes, size)


def test_missing_blobs() -> None:
    source = DictSource()
    node = file_node(source, b"f", b"x")
    source.blobs.clear()
    with pytest.raises(MissingBlobError):
        list(iter_spans(node, source))


def test_holes() -> None:
    source = DictSource()
    node = file_node(source, b"f", extra=NodeExtra(holes=(1, 2, 5, 6)))
    assert list(iter_holes(node)) == [(1, 2), (5, 6)]
    assert list(iter_holes(file_node(source, b"g"))) == []
