"""Long lists of blob ids become trees of pages, and come back in order."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import IntegrityError
from holdfast.format.node import (
    MAX_CONTENT_IDS,
    MAX_PAGE_IDS,
    MIN_PAGE_IDS,
    Node,
    NodeExtra,
    NodeType,
    list_ids,
    split_ids,
)
from holdfast.operations.content_builder import ContentBuilder
from holdfast.operations.file_content import content_ids
from support.trees import DictSource


def some_ids(count: int, seed: int = 0) -> list[bytes]:
    return [hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(count)]


def build(source: DictSource, ids: list[bytes]) -> Node:
    builder = ContentBuilder(source.add_ids)
    for blob_id in ids:
        builder.add(blob_id)
    content, depth = builder.finish()
    extra = NodeExtra(depth=depth) if depth else None
    return Node(b"f", NodeType.FILE.value, 0, 0, 0, 0, 0, 0, 0, 0, content, extra)


@pytest.mark.parametrize(
    ("count", "depth"),
    [(0, 0), (1, 0), (MAX_CONTENT_IDS, 0), (MAX_CONTENT_IDS + 1, 1), (9000, 1), (400_000, 2)],
)
def test_ids_come_back_in_order(count: int, depth: int) -> None:
    source = DictSource()
    ids = some_ids(count)
    node = build(source, ids)
    assert node.depth == depth
    assert len(node.blob_ids) <= MAX_CONTENT_IDS
    assert list(content_ids(source, node)) == ids


def test_a_change_in_a_long_file_changes_few_pages() -> None:
    source = DictSource()
    ids = some_ids(20_000)
    before = build(source, ids)
    ids[10_000:10_001] = some_ids(3, seed=1)
    after = build(source, ids)
    assert len(set(after.blob_ids) - set(before.blob_ids)) <= 3


def test_a_lost_id_page_is_damage() -> None:
    source = DictSource()
    node = build(source, some_ids(2000))
    source.damaged.add(node.blob_ids[0])
    with pytest.raises(IntegrityError):
        list(content_ids(source, node))


@given(st.integers(0, 12_000), st.integers(1, 12_000), st.integers(0, 5))
def test_pages_do_not_depend_on_how_ids_arrive(count: int, step: int, seed: int) -> None:
    ids = some_ids(count, seed)
    whole = [b"".join(page) for page in split_ids(ids, final=True)]
    pieces: list[bytes] = []
    held: list[bytes] = []
    for start in range(0, count, step):
        held += ids[start : start + step]
        pages = [b"".join(page) for page in split_ids(held, final=False)]
        del held[: sum(len(page) for page in pages) // 32]
        pieces += pages
    pieces += [b"".join(page) for page in split_ids(held, final=True)]
    assert pieces == whole
    assert b"".join(pieces) == b"".join(ids)
    assert all(len(list_ids(page)) >= MIN_PAGE_IDS for page, _ in pairwise(whole))
    assert all(len(list_ids(page)) <= MAX_PAGE_IDS for page in whole)


@pytest.mark.parametrize("step", [1, 1000, 4096, 30_000])
def test_ids_come_one_by_one_or_together(step: int) -> None:
    ids = some_ids(30_000)
    source = DictSource()
    builder = ContentBuilder(source.add_ids)
    for at in range(0, len(ids), step):
        builder.extend(ids[at : at + step])
    assert builder.finish()[0] == build(source, ids).content
