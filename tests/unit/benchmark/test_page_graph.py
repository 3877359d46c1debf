"""The graph of pages: each is read once, and it says what walking every snapshot by itself would."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark import page_graph
from holdfast.benchmark.directory_tree import NOWHERE, DirectoryTree
from holdfast.benchmark.page_graph import PageGraph
from holdfast.errors import IntegrityError
from holdfast.format.node import NodeExtra, NodeType, encode_page, list_ids
from holdfast.format.pack import BlobKind
from holdfast.ids import BlobId
from holdfast.repository import record_sorter
from holdfast.repository.decoding import Decoded
from support.trees import file_node, hash_data
from support.versions import SharingSource, add_tree

PATHS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=3).map(tuple)
TREES = st.dictionaries(PATHS, st.sampled_from([b"", b"1", b"2", b"3" * 9000]), max_size=8)


class Source(SharingSource):
    """Hands out pages as a repository does, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[BlobId] = Counter()

    def fetch_pages(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        for page_id in sorted(ids, reverse=True):
            try:
                yield page_id, memoryview(self.read(page_id, BlobKind.TREE))
            except IntegrityError as error:
                yield page_id, error

    def read(self, blob_id: BlobId, kind: BlobKind = BlobKind.DATA) -> bytes:
        assert kind == BlobKind.TREE
        self.reads[blob_id] += 1
        if blob_id in self.damaged:
            raise IntegrityError("tree", blob_id.hex(), "damaged by the test")
        page = self.pages.get(blob_id)
        return self.blobs[blob_id] if page is None else encode_page(page)

    def below(self, pages: bytes) -> set[BlobId]:
        """Everything that pages of nodes name, themselves included, by plain recursion."""
        found = set(list_ids(pages))
        for page_id in list_ids(pages):
            for node in self.pages[page_id]:
                is_directory = node.type == NodeType.DIRECTORY
                found |= self.below(node.content) if is_directory else set(node.blob_ids)
        return found


def to_entries(tree: dict[tuple[str, ...], bytes]) -> dict[str, bytes]:
    """Leave out files that are directories too."""
    inner = {path[:depth] for path in tree for depth in range(1, len(path))}
    return {"/".join(path): data for path, data in tree.items() if path not in inner}


def unexpected(error: IntegrityError) -> None:
    raise error


def holders_of(
    source: Source, *roots: bytes, damage: list[IntegrityError] | None = None
) -> dict[BlobId, int]:
    """Return which snapshots hold each blob; it came in with the first of them."""
    on_damage = unexpected if damage is None else damage.append
    tree = DirectoryTree()
    held: dict[BlobId, int] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        PageGraph(source, tree, directory, on_damage) as graph,
    ):
        for number, pages in enumerate(roots):
            # As if each were of a host of its own: then its "/" tells where a blob came in.
            list(graph.add(list_ids(pages), tree.root(str(number))))
        holders = graph.holders()
        for blob_id, named_by in graph.references():
            assert named_by == sorted(set(named_by))
            assert blob_id not in held, "each blob comes once"
            held[blob_id] = 0
            for page in named_by:
                held[blob_id] |= holders[page]
            tree.add(graph.directory_of(named_by[0]), 1, 1.0, held[blob_id] & -held[blob_id])
    assert list(held) == sorted(held)
    assert all(each.snapshots == 1 << int(each.host) for each in tree.heavy(1e-9))
    return held


@given(st.lists(TREES, min_size=1, max_size=6), st.booleans())
def test_holders_are_those_that_a_walk_of_each_snapshot_finds(
    trees: list[dict[tuple[str, ...], bytes]], spill: bool
) -> None:
    source = Source()
    roots = [add_tree(source, to_entries(tree)) for tree in trees]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_graph, "_MOST_SHARED", 1)
        patch.setattr(page_graph, "_BULK", 3)
        if spill:
            patch.setattr(record_sorter, "_IN_MEMORY", 4)
            patch.setattr(record_sorter, "_PARTITIONS", 4)
        held = holders_of(source, *roots)
    expected: dict[BlobId, int] = {}
    for number, root in enumerate(roots):
        for blob_id in source.below(root):
            expected[blob_id] = expected.get(blob_id, 0) | 1 << number
    assert held == expected
    assert set(source.reads.values()) == {1}, "each distinct page is read once"


def test_a_blob_came_in_where_it_was_met_first() -> None:
    source = Source()
    old = add_tree(source, {"a/b/old": b"old", "c/same": b"same"})
    new = add_tree(source, {"a/b/old": b"old", "a/b/new": b"new", "c/same": b"same", "d/x": b"old"})
    tree = DirectoryTree()
    with (
        tempfile.TemporaryDirectory() as directory,
        PageGraph(source, tree, directory, unexpected) as graph,
    ):
        list(graph.add(list_ids(old), NOWHERE))
        list(graph.add(list_ids(new), tree.root("host")))
        for blob_id, pages in graph.references():
            if blob_id in source.blobs:
                tree.add(graph.directory_of(pages[0]), len(source.blobs[blob_id]), 1.0, 1)
    assert [(each.path, each.amount.plain) for each in tree.heavy(0.01)] == [(b"/a/b", 3)]


def test_long_files_and_a_page_at_several_depths() -> None:
    source = Source()
    data = [BlobId(hash_data(b"%d" % number)) for number in range(6)]
    low = [source.add_ids(b"".join(part)) for part in (data[:3], data[3:])]
    top = source.add_ids(b"".join(low))
    shared = source.add_directory([file_node(source, b"inner", b"inner")])
    entries = [
        file_node(source, b"long", content=top, extra=NodeExtra(depth=2)),
        file_node(source, b"part", content=low[0], extra=NodeExtra(depth=1)),
    ]
    one = source.add_directory(entries)
    two = source.add_directory(entries[1:])
    deep = add_tree(source, {"x/y/z/inner": b"inner"})
    held = holders_of(source, one, two, deep, shared)
    assert [held[blob_id] for blob_id in data] == [3, 3, 3, 1, 1, 1]
    assert [held[BlobId(page)] for page in (top, *low)] == [1, 3, 1]
    assert held[list_ids(shared)[0]] == 0b1100
    assert set(source.reads.values()) == {1}


def test_damage_costs_what_only_the_damaged_page_names() -> None:
    source = Source()
    root = add_tree(source, {"a/gone": b"gone", "a2/kept": b"kept", "b/kept": b"kept"})
    (damaged,) = source.below(add_tree(source, {"gone": b"gone"})) - set(source.blobs)
    source.damaged.add(damaged)
    found: list[IntegrityError] = []
    held = holders_of(source, root, damage=found)
    assert [error.name for error in found] == [damaged.hex()]
    assert held[damaged] == 1, "the page itself is needed all the same"
    assert BlobId(hash_data(b"kept")) in held
    assert BlobId(hash_data(b"gone")) not in held
    source.damaged.clear()
    source.blobs[damaged] = b"no page"
    del source.pages[damaged]
    assert holders_of(source, root, damage=found) == held
    assert len(found) == 2, "a page that is none is damage too"


def test_files_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_sorter, "_IN_MEMORY", 1)
    source = Source()
    graph = PageGraph(source, DirectoryTree(), str(tmp_path), unexpected)
    list(graph.add(list_ids(add_tree(source, {"a": b"a"})), NOWHERE))
    graph.close()
    graph.close()
    with pytest.raises(ValueError, match="closed file"):
        list(graph.references())
    assert list(tmp_path.iterdir()) == []
