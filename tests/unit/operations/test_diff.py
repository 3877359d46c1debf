"""Diffs of snapshots: fields, paths, damage, renames, what need not be read."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

import msgspec
import pytest

from holdfast.errors import IntegrityError
from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.diff import (
    Change,
    ChangeKind,
    DiffOptions,
    Field,
    diff_trees,
    previous_snapshot,
)
from holdfast.policy.filters import ExcludeFilter
from support.trees import DictSource, directory_node, file_node, node_of

ADDED, REMOVED, RENAMED = ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.RENAMED
MODIFIED, METADATA = ChangeKind.MODIFIED, ChangeKind.METADATA
Line = tuple[ChangeKind, bytes]


def lines(changes: Iterable[Change]) -> list[Line]:
    return [(change.kind, change.path) for change in changes]


def renames(changes: Iterable[Change]) -> dict[bytes | None, bytes | None]:
    return {change.new_path: change.old_path for change in changes if change.kind == RENAMED}


def root(source: DictSource, *nodes: Node) -> Node:
    return directory_node(source, b"", nodes)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mode": 0o600}, {Field.MODE}),
        ({"uid": 7, "gid": 8}, {Field.UID, Field.GID}),
        ({"mtime_ns": 1}, {Field.MTIME}),
        ({"extra": NodeExtra(xattrs=((b"user.a", b""),))}, {Field.XATTRS}),
        ({"ctime_ns": 5, "inode": 6, "device": 7}, set()),
        ({"extra": NodeExtra(link_count=2, atime_ns=5, flags=1)}, set()),
    ],
)
def test_metadata(fields: dict[str, object], expected: set[Field]) -> None:
    source = DictSource()
    node = file_node(source, b"f", b"data")
    other = msgspec.structs.replace(node, **fields)
    changes = list(diff_trees(source, root(source, node), root(source, other)))
    assert [change.fields for change in changes] == ([expected] if expected else [])
    without = DiffOptions(metadata=False)
    assert list(diff_trees(source, root(source, node), root(source, other), without)) == []


def test_the_time_of_a_directory_is_told_on_request_or_with_other_news() -> None:
    source = DictSource()
    old = root(source, directory_node(source, b"d", mtime_ns=1))
    touched = root(source, directory_node(source, b"d", mtime_ns=2))
    closed = root(source, directory_node(source, b"d", mtime_ns=2, mode=0o700))
    assert lines(diff_trees(source, old, touched)) == []
    options = DiffOptions(directory_times=True)
    assert lines(diff_trees(source, old, touched, options)) == [(METADATA, b"/d")]
    (change,) = diff_trees(source, old, closed)
    assert change.fields == {Field.MODE, Field.MTIME}


def test_the_root_of_a_snapshot_has_no_metadata() -> None:
    source = DictSource()
    old = node_of(NodeType.DIRECTORY, b"", content=source.add_directory([]), mode=0o1)
    new = node_of(NodeType.DIRECTORY, b"", content=source.add_directory([]), mode=0o2)
    assert list(diff_trees(source, old, new)) == []


def test_devices_and_links_are_modified_by_what_they_refer_to() -> None:
    source = DictSource()

    def tree(rdev: int, target: bytes) -> Node:
        return root(
            source,
            node_of(NodeType.CHARACTER_DEVICE, b"c", extra=NodeExtra(rdev=rdev)),
            node_of(NodeType.SYMLINK, b"l", extra=NodeExtra(target=target)),
        )

    changes = list(diff_trees(source, tree(1, b"a"), tree(2, b"b")))
    assert lines(changes) == [(MODIFIED, b"/c"), (MODIFIED, b"/l")]
    assert [change.fields for change in changes] == [{Field.DEVICE}, {Field.TARGET}]


def test_a_path_that_only_one_snapshot_has() -> None:
    source = DictSource()
    node = directory_node(source, b"x", [file_node(source, b"f")])
    paths = (b"/home/x", b"/home/x")
    added = [(ADDED, b"/home/x"), (ADDED, b"/home/x/f")]
    removed = [(REMOVED, path) for _, path in added]
    assert lines(diff_trees(source, None, node, paths=paths)) == added
    assert lines(diff_trees(source, node, None, paths=paths)) == removed
    assert lines(diff_trees(source, None, None, paths=paths)) == []
    one = DiffOptions(recursive=False)
    assert lines(diff_trees(source, None, node, one, paths=paths)) == [(ADDED, b"/home/x/f")]


def test_different_places_are_told_apart() -> None:
    source = DictSource()
    old = directory_node(source, b"one", [file_node(source, b"f", b"1"), file_node(source, b"g")])
    new = directory_node(source, b"two", [file_node(source, b"f", b"2"), file_node(source, b"h")])
    changes = list(diff_trees(source, old, new, paths=(b"/one", b"/b/two")))
    assert [(change.old_path, change.new_path) for change in changes] == [
        (b"/one/f", b"/b/two/f"),
        (b"/one/g", None),
        (None, b"/b/two/h"),
    ]


def test_two_files() -> None:
    source = DictSource()
    paths = (b"/a", b"/b")
    old, new = file_node(source, b"a", b"1"), file_node(source, b"b", b"2", mode=0o600)
    (change,) = diff_trees(source, old, new, paths=paths)
    assert (change.kind, *sorted(change.fields)) == (MODIFIED, Field.CONTENT, Field.MODE)
    assert lines(diff_trees(source, old, root(source), paths=paths)) == [(ChangeKind.TYPE, b"/b")]


def test_equal_directories_and_pages_are_not_read() -> None:
    source = DictSource(page_length=64)
    many = [file_node(source, b"%05d" % number) for number in range(64 * 100)]
    inner = directory_node(source, b"same", many)
    old = root(source, directory_node(source, b"big", many), inner)
    (big, _) = source.pages[old.blob_ids[0]]
    pages = big.blob_ids
    changed = [*source.pages[pages[50]][:-1], file_node(source, b"03263x")]
    pages[50] = BlobId(source.add_directory(changed))
    new = root(source, msgspec.structs.replace(big, content=b"".join(pages)), inner)
    source.pages_read = 0
    options = DiffOptions(renames=False)
    expected = [(REMOVED, b"/big/03263"), (ADDED, b"/big/03263x")]
    assert lines(diff_trees(source, old, new, options)) == expected
    assert source.pages_read == 4


class TestDamage:
    """A page that cannot be read is no reason to call anything added or removed."""

    names: Final = [b"a", b"b", b"c", b"d", b"e", b"f"]

    def trees(self, source: DictSource) -> tuple[Node, Node]:
        one = [file_node(source, name, b"1") for name in self.names]
        other = [file_node(source, name, b"2") for name in [*self.names, b"b2", b"c2", b"d2"]]
        return root(source, *one), root(source, *other)

    @pytest.mark.parametrize("side", [0, 1])
    def test_what_may_be_in_it_is_left_out(self, side: int) -> None:
        source = DictSource(page_length=2)
        trees = self.trees(source)
        source.damaged.add(trees[side].blob_ids[1])
        met: list[bytes] = []
        found = lines(diff_trees(source, *trees, on_damage=lambda path, _: met.append(path)))
        assert met == [b"/"]
        assert (ADDED, b"/b2") not in found
        assert not any(kind == REMOVED for kind, _ in found)
        assert {(MODIFIED, b"/a"), (MODIFIED, b"/f"), (MODIFIED, b"/e")} <= set(found)
        with pytest.raises(IntegrityError):
            list(diff_trees(source, *trees))

    def test_at_the_end(self) -> None:
        source = DictSource(page_length=2)
        trees = self.trees(source)
        source.damaged.add(trees[0].blob_ids[-1])
        found = lines(diff_trees(source, *trees, on_damage=lambda *_: None))
        assert [path for _, path in found] == [b"/a", b"/b", b"/b2", b"/c", b"/c2", b"/d"]

    def test_of_a_directory_that_is_not_entered(self) -> None:
        source = DictSource()
        old, new = (
            root(source, directory_node(source, b"d", [file_node(source, b"f", data)]))
            for data in (b"1", b"2")
        )
        (inner,) = source.pages[new.blob_ids[0]]
        source.damaged.add(inner.blob_ids[0])
        options = DiffOptions(recursive=False)
        met: list[bytes] = []
        changes = diff_trees(source, old, new, options, on_damage=lambda path, _: met.append(path))
        assert (lines(changes), met) == ([(MODIFIED, b"/d")], [])


class TestContent:
    """Ids decide unless files may have been cut differently."""

    def test_other_cuts_of_the_same_bytes(self) -> None:
        source = DictSource()
        data = random.Random(1).randbytes(25_000)
        old = file_node(source, b"f", data)
        source.chunk_size = 1000
        new = file_node(source, b"f", data)
        other = file_node(source, b"f", data[:-1] + b"?")
        assert len(list(diff_trees(source, old, new))) == 1
        doubting = DiffOptions(believe_ids=False)
        assert list(diff_trees(source, old, new, doubting)) == []
        assert len(list(diff_trees(source, old, other, doubting))) == 1
        source.fetched.clear()
        same_cuts = file_node(source, b"f", b"?" + data[1:])
        assert len(list(diff_trees(source, new, same_cuts, doubting))) == 1
        assert source.fetched == []

    def test_holes_are_zeros(self) -> None:
        source = DictSource(chunk_size=100)
        full = file_node(source, b"f", b"a" * 50 + bytes(100) + b"b" * 50)
        content = source.add_file(b"a" * 50) + source.add_file(b"b" * 50)
        sparse = msgspec.structs.replace(full, content=content, extra=NodeExtra(holes=(50, 100)))
        moved = msgspec.structs.replace(sparse, extra=NodeExtra(holes=(0, 100)))
        assert list(diff_trees(source, full, sparse)) == []
        assert lines(diff_trees(source, sparse, moved, paths=(b"/f", b"/f"))) == [(MODIFIED, b"/f")]

    def test_what_has_to_be_read_and_cannot(self) -> None:
        source = DictSource()
        old = file_node(source, b"f", b"12")
        source.chunk_size = 1
        new = file_node(source, b"f", b"12")
        source.damage(b"12")
        options = DiffOptions(believe_ids=False)
        met: list[bytes] = []
        paths = (b"/f", b"/f")
        changes = diff_trees(
            source, old, new, options, paths=paths, on_damage=lambda path, _: met.append(path)
        )
        assert (list(changes), met) == ([], [b"/f"])
        with pytest.raises(IntegrityError):
            list(diff_trees(source, old, new, options, paths=paths))


class TestRenames:
    """Pairs of what was removed and added."""

    def test_empty_files_and_directories_are_never_renamed(self) -> None:
        source = DictSource()
        empty = directory_node(source, b"old")
        old = root(source, empty, file_node(source, b"none"))
        new = root(source, msgspec.structs.replace(empty, name=b"new"), file_node(source, b"zero"))
        assert renames(diff_trees(source, old, new)) == {}

    def test_the_same_name_comes_first(self) -> None:
        source = DictSource()
        same = b"same"
        old = root(source, *(file_node(source, name, same) for name in (b"a", b"b", b"c")))
        inner = [file_node(source, name, same) for name in (b"0", b"c")]
        new = root(source, directory_node(source, b"d", inner))
        found = renames(diff_trees(source, old, new))
        assert found == {b"/d/0": b"/a", b"/d/c": b"/c"}

    def test_metadata_of_what_was_renamed(self) -> None:
        source = DictSource()
        old = root(source, file_node(source, b"a", b"data", mode=0o600))
        new = root(source, file_node(source, b"b", b"data", mode=0o644, mtime_ns=5))
        (change,) = diff_trees(source, old, new)
        assert change.fields == {Field.MODE, Field.MTIME}
        (change,) = diff_trees(source, old, new, DiffOptions(metadata=False))
        assert (change.kind, *change.fields) == (RENAMED,)

    def test_directories_before_what_is_in_them(self) -> None:
        """/a/x and /c/x are alike, /a became /d/b: nothing of it may be taken twice."""
        source = DictSource()
        x = directory_node(source, b"x", [file_node(source, b"f", b"data")])
        a = directory_node(source, b"a", [x])
        new = root(
            source,
            directory_node(source, b"c", [x]),
            directory_node(source, b"d", [msgspec.structs.replace(a, name=b"b")]),
        )
        found = renames(diff_trees(source, root(source, a), new))
        assert found == {b"/d/b": b"/a"}

    def test_a_part_that_was_taken_before(self) -> None:
        """/d/e/b is met after /a/x was found to be /c/x: it cannot be /a any more."""
        source = DictSource()
        x = directory_node(source, b"x", [file_node(source, b"f", b"data")])
        a = directory_node(source, b"a", [x, file_node(source, b"g", b"more")])
        b = msgspec.structs.replace(a, name=b"b")
        deep = directory_node(source, b"d", [directory_node(source, b"e", [b])])
        new = root(source, directory_node(source, b"c", [x]), deep)
        changes = list(diff_trees(source, root(source, a), new))
        assert renames(changes) == {b"/c/x": b"/a/x", b"/d/e/b/g": b"/a/g"}
        assert (REMOVED, b"/a") in lines(changes)
        assert (ADDED, b"/d/e/b/x/f") in lines(changes)

    def test_moved_directories_are_not_entered(self) -> None:
        source = DictSource()
        many = [file_node(source, b"%d" % number, b"%d" % number) for number in range(50)]
        moved = directory_node(source, b"a", [directory_node(source, b"b", many)])
        new = root(source, msgspec.structs.replace(moved, name=b"c"))
        changes = diff_trees(source, root(source, moved), new, DiffOptions(rename_limit=1))
        assert renames(changes) == {b"/c": b"/a"}

    def test_too_many(self) -> None:
        source = DictSource()
        old, new = (
            root(source, *(file_node(source, name % number, b"%d" % number) for number in range(9)))
            for name in (b"a%d", b"b%d")
        )
        told: list[int] = []
        for limit in (8, 9):
            options = DiffOptions(rename_limit=limit, on_too_many=lambda: told.append(limit))  # noqa: B023
            assert len(renames(diff_trees(source, old, new, options))) == (0 if limit == 8 else 9)
        assert told == [8]

    def test_what_fits_nothing_is_not_kept(self) -> None:
        source = DictSource()
        many = [file_node(source, b"%d" % number, b"%d" % number) for number in range(50)]
        old = root(source, directory_node(source, b"gone", many))
        new = root(source, file_node(source, b"one", b"20"))
        told: list[bool] = []
        options = DiffOptions(rename_limit=2, on_too_many=lambda: told.append(True))
        assert renames(diff_trees(source, old, new, options)) == {b"/one": b"/gone/20"}
        assert renames(diff_trees(source, new, old, options)) == {b"/gone/20": b"/one"}
        assert renames(diff_trees(source, old, root(source), options)) == {}
        assert told == []


def test_what_is_left_out() -> None:
    source = DictSource()
    old = root(source, file_node(source, b"a.o", b"1"), file_node(source, b"b.o", b"2"))
    new = root(
        source,
        file_node(source, b"a.o", b"3"),
        file_node(source, b"c.o", b"2"),
        directory_node(source, b"d", [file_node(source, b"e.o", b"4")]),
    )
    passed = DiffOptions(exclude=ExcludeFilter(["*.o"]))
    assert lines(diff_trees(source, old, new, passed)) == [(ADDED, b"/d")]
    not_added = DiffOptions(not_added=ExcludeFilter(["*.o"]))
    assert lines(diff_trees(source, old, new, not_added)) == [
        (MODIFIED, b"/a.o"),
        (REMOVED, b"/b.o"),
        (ADDED, b"/d"),
    ]


def test_the_previous_snapshot() -> None:
    def snapshot(number: int, host: str = "h", *paths: bytes, partial: bool = False) -> Snapshot:
        return Snapshot(
            id=f"{number:032x}", time_ns=number, host=host, user="", raw_paths=paths or (b"/a",),
            root=bytes(32), partial=partial,
        )  # fmt: skip

    all_of_them = [
        snapshot(1),
        snapshot(2, "other"),
        snapshot(3, "h", b"/a", b"/b"),
        snapshot(4, partial=True),
        snapshot(5),
        snapshot(6, "h", b"/b", b"/a"),
        snapshot(7, "third", partial=True),
        snapshot(8, "third"),
    ]
    found = [previous_snapshot(all_of_them, snapshot) for snapshot in all_of_them]
    numbers = [each.time_ns if each is not None else None for each in found]
    assert numbers == [None, None, None, 1, 1, 3, None, 7]


def test_deep_trees() -> None:
    source = DictSource()

    def tree(data: bytes) -> Node:
        node = file_node(source, b"f", data)
        for _ in range(1500):
            node = directory_node(source, b"d", [node])
        return root(source, node)

    old, new = tree(b"1"), tree(b"2")
    assert lines(diff_trees(source, old, new)) == [(MODIFIED, b"/d" * 1500 + b"/f")]
    (change,) = diff_trees(source, old, new, DiffOptions(recursive=False))
    assert change.fields == {Field.CONTENT}
    assert len(lines(diff_trees(source, old, root(source)))) == 1501
