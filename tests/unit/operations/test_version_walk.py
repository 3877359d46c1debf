"""Many snapshots in one walk: the same as one after another, with each page read once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError, IntegrityError
from holdfast.format.node import Node, NodeType
from holdfast.ids import BlobId
from holdfast.operations.tree_walk import find_node, iter_tree
from holdfast.operations.version_walk import PathVersions, VersionWalk
from support.trees import file_node, node_of
from support.versions import SharingSource, add_tree

NAMES = st.sampled_from([*"abcdefghij", "a b", "\udcff", "x" * 255])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
TREES = st.dictionaries(PATHS, st.sampled_from([b"", b"1", b"2"]), max_size=25)


def to_entries(tree: dict[tuple[str, ...], bytes]) -> dict[str, bytes]:
    """Leave out files that are directories too."""
    inner = {path[:depth] for path in tree for depth in range(1, len(path))}
    return {"/".join(path): data for path, data in tree.items() if path not in inner}


def walk(
    source: SharingSource, *roots: bytes, damaged: list[bytes] | None = None
) -> list[PathVersions]:
    """Walk everything; damage that the test does not expect fails it."""

    def on_damage(path: bytes, error: IntegrityError) -> None:
        assert damaged is not None, error
        damaged.append(path)

    everything = VersionWalk(source, lambda _path, _node: True, lambda _path: True, on_damage)
    return list(everything.walk(roots))


def by_snapshot(found: list[PathVersions], number: int) -> dict[bytes, Node]:
    """What one of the snapshots holds."""
    return {one.path: node for one in found for held, node in one.versions if held >> number & 1}


@given(st.lists(TREES, min_size=1, max_size=12))
def test_every_snapshot_is_found_whole_and_in_order(
    trees: list[dict[tuple[str, ...], bytes]],
) -> None:
    source = SharingSource()
    roots = [add_tree(source, to_entries(tree)) for tree in trees]
    found = walk(source, *roots)
    for number, root in enumerate(roots):
        assert by_snapshot(found, number) == dict(iter_tree(source, root))
    paths = [tuple(one.path.split(b"/")) for one in found]
    assert paths == sorted(set(paths))
    for one in found:
        held = Counter(bit for mask, _ in one.versions for bit in range(20) if mask >> bit & 1)
        assert set(held.values()) == {1}, "no snapshot has two entries of one name"


def test_what_snapshots_share_is_read_once() -> None:
    source = SharingSource()
    files = {f"d/s/{number:04}": b"" for number in range(900)}
    roots = [add_tree(source, {**files, "d/now": b"%d" % day}) for day in range(30)]
    once = SharingSource()
    walk(once, add_tree(once, {**files, "d/now": b""}))
    assert len(walk(source, *roots)) == len(files) + 3
    assert source.pages_read <= once.pages_read + 2 * 30, "the pages of / and /d that differ"


def test_one_change_in_a_long_directory_reads_one_more_page() -> None:
    source = SharingSource()
    files = {f"{number:04}": b"" for number in range(900)}
    roots = [add_tree(source, {**files, "0500": b"%d" % day}) for day in range(20)]
    assert len(walk(source, *roots)) == 900
    assert source.pages_read == len(roots[0]) // 32 + 19


def test_what_is_not_entered_is_not_read() -> None:
    source = SharingSource()
    root = add_tree(source, {"a/x/y": b"", "b/x": b""})
    source.damaged.update(find_node(source, root, b"/a", snapshot="").blob_ids)
    damaged: list[bytes] = []
    some = VersionWalk(
        source,
        lambda path, node: node.type == NodeType.FILE or path == b"/a",
        lambda path: path != b"/a",
        lambda path, error: damaged.append(path),
    )
    assert [one.path for one in some.walk([root])] == [b"/a", b"/b/x"]
    assert not damaged


def test_equal_nodes_of_many_versions_are_held_once() -> None:
    source = SharingSource()
    roots = [
        source.add_page([file_node(source, b"a"), file_node(source, b"b", b"%d" % day)])
        for day in range(40)
    ]
    stored = source.read_page
    fields = Node.__struct_fields__

    def read_page(page_id: BlobId) -> list[Node]:
        """As decoding does: objects of its own for each page."""
        return [Node(*(getattr(node, name) for name in fields)) for node in stored(page_id)]

    source.read_page = read_page  # type: ignore[method-assign]
    first, second = walk(source, *roots)
    assert len(first.versions) == len(second.versions) == 40
    assert len({id(node) for _, node in first.versions}) < 15
    assert len({id(node) for _, node in second.versions}) == 40


def test_damage_costs_only_what_it_hides_and_makes_it_unknown() -> None:
    source = SharingSource()
    files = {f"d/{number:03}": b"" for number in range(200)}
    roots = [add_tree(source, {**files, "d/150": b"%d" % day}) for day in range(3)]
    pages = [find_node(source, root, b"/d", snapshot="").blob_ids for root in roots]
    (hidden,) = set(pages[1]) - set(pages[0])
    lost = [node.name for node in source.pages[hidden]]
    source.damaged.add(hidden)
    damaged: list[bytes] = []
    found = walk(source, *roots, damaged=damaged)
    assert damaged == [b"/d"]
    assert len(found) == 201, "the other snapshots have it all"
    assert set(by_snapshot(found, 0)) - set(by_snapshot(found, 1)) == {
        b"/d/" + name for name in lost
    }
    unknown = {one.path for one in found if one.unknown}
    assert unknown >= {b"/d/" + name for name in lost}
    assert b"/d/000" not in unknown
    assert all(one.unknown == 0b010 for one in found if one.path in unknown)


def test_names_before_and_after_a_damaged_page_are_found() -> None:
    source = SharingSource()
    names = [(b"a", b"b"), (b"c",), (b"d",)]
    pages = [source.add_page([file_node(source, name) for name in page]) for page in names]
    source.damaged.add(pages[1])
    damaged: list[bytes] = []
    found = walk(source, b"".join(pages), damaged=damaged)
    assert damaged == [b"/"]
    assert [(one.path, one.unknown) for one in found] == [(b"/a", 0), (b"/b", 0), (b"/d", 1)]


def test_what_lies_below_damage_is_unknown_too() -> None:
    source = SharingSource()
    roots = [add_tree(source, {"a/b/c": b"%d" % day}) for day in range(2)]
    source.damaged.update(find_node(source, roots[1], b"/a", snapshot="").blob_ids)
    damaged: list[bytes] = []
    found = walk(source, *roots, damaged=damaged)
    assert {one.path: one.unknown for one in found} == {b"/a": 0, b"/a/b": 2, b"/a/b/c": 2}
    assert damaged == [b"/a"]


def test_damaged_roots() -> None:
    source = SharingSource()
    root = add_tree(source, {"a": b""})
    source.damaged.add(BlobId(root[:32]))
    damaged: list[bytes] = []
    assert walk(source, root, damaged=damaged) == []
    assert damaged == [b"/"]


def test_pages_out_of_order_are_damage_and_end() -> None:
    source = SharingSource()
    one = source.add_page([file_node(source, b"a"), file_node(source, b"b")])
    two = source.add_page([file_node(source, b"c")])
    for roots in ([two + one], [one + one], [one + two, two + one], [one + two + one]):
        damaged: list[bytes] = []
        found = walk(source, *roots, damaged=damaged)
        assert damaged
        assert set(damaged) == {b"/"}
        paths = [each.path for each in found]
        assert paths == sorted(set(paths))


def test_a_very_deep_tree_needs_no_stack() -> None:
    source = SharingSource()
    content = source.add_directory([file_node(source, b"end")])
    for _ in range(3000):
        content = source.add_directory([node_of(NodeType.DIRECTORY, b"d", content=content)])
    assert walk(source, content)[-1].path == b"/d" * 3000 + b"/end"


def test_the_error_of_a_page_out_of_order_is_one_of_format() -> None:
    source = SharingSource()
    one, two = (source.add_page([file_node(source, name)]) for name in (b"a", b"b"))
    errors: list[IntegrityError] = []
    reading = VersionWalk(
        source, lambda *_: True, lambda _: True, lambda _, error: errors.append(error)
    )
    assert [each.path for each in reading.walk([two + one])] == [b"/b"]
    assert [type(error) for error in errors] == [FormatError]
