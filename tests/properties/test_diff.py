"""Laws of diff: applied to the old tree it gives the new one, and it says what dicts would say."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.operations.diff import (
    Change,
    ChangeKind,
    DiffCounts,
    DiffOptions,
    Field,
    LocalOptions,
    diff_directory,
    diff_trees,
)
from support.repos import MEMORY_DIRECTORY
from support.tree_model import OTHERS, TREES, Leaf, Tree, flatten, store
from support.trees import DictSource, hash_data, snapshot_tree

State = dict[bytes, Leaf | None]
Said = set[tuple[str, bytes]]
NO_RENAMES: Final = DiffOptions(renames=False)


def leaf_of(source: DictSource, node: Node) -> Leaf | None:
    """A node in the terms of the model."""
    extra = node.extra or NO_EXTRA
    if node.type == NodeType.DIRECTORY:
        return None
    data = b"".join(source.blobs[blob_id] for blob_id in node.blob_ids)
    kind = NodeType(node.type)
    if kind != NodeType.FILE:
        return Leaf(kind, extra.target, rdev=extra.rdev)
    value = extra.xattrs[0][1] if extra.xattrs else b""
    return Leaf(kind, data, node.mode, node.mtime_ns, value)


NAMES_OF_FIELDS: Final = {
    Field.CONTENT: "data",
    Field.TARGET: "data",
    Field.DEVICE: "rdev",
    Field.MODE: "mode",
    Field.MTIME: "mtime_ns",
    Field.XATTRS: "xattr",
}


def apply(source: DictSource, state: State, changes: Iterable[Change]) -> State:
    """Carry out changes; of an entry that is on both sides only the fields that are named."""
    result = dict(state)
    moved: State = {}
    for change in changes:
        if change.old_path is not None and change.kind != ChangeKind.TYPE:
            leaf = result.pop(change.old_path)
        if change.new is None:
            continue
        assert change.new_path is not None
        new = leaf_of(source, change.new)
        if change.old is None or change.kind == ChangeKind.TYPE:
            result.pop(change.new_path, None)
            moved[change.new_path] = new
            continue
        if leaf is not None and new is not None:
            names = [NAMES_OF_FIELDS[field] for field in change.fields]
            leaf = replace(leaf, **{name: getattr(new, name) for name in names})
        moved[change.new_path] = leaf
        if change.kind == ChangeKind.RENAMED:
            assert change.old_path is not None
            inside = change.old_path + b"/"
            for path in [path for path in result if path.startswith(inside)]:
                moved[change.new_path + path[len(change.old_path) :]] = result.pop(path)
    assert not result.keys() & moved.keys()
    return result | moved


def naive(old: State, new: State) -> Said:
    """What differs, found by comparing two dicts."""
    said: Said = {("added", path) for path in new.keys() - old.keys()}
    said |= {("removed", path) for path in old.keys() - new.keys()}
    for path in old.keys() & new.keys():
        one, other = old[path], new[path]
        if one == other:
            continue
        if one is None or other is None or one.kind != other.kind:
            said.add(("type", path))
        elif (one.data, one.rdev) != (other.data, other.rdev):
            said.add(("modified", path))
        else:
            said.add(("metadata", path))
    return said


def said_by(changes: Iterable[Change]) -> Said:
    return {(change.kind.value, change.path) for change in changes}


@given(TREES, TREES)
def test_a_diff_says_what_dicts_say(old: Tree, new: Tree) -> None:
    source = DictSource(page_length=2)
    changes = list(diff_trees(source, store(source, old), store(source, new), NO_RENAMES))
    assert said_by(changes) == naive(flatten(old), flatten(new))
    order = [change.path.split(b"/") for change in changes]
    assert order == sorted(order)
    assert apply(source, flatten(old), changes) == flatten(new)


@given(TREES, st.data())
def test_small_changes_read_no_more_than_what_differs(tree: Tree, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([b"0", b"b", b"z"]))
    source = DictSource(page_length=2)
    new = {**tree, name: Leaf(NodeType.FILE, b"new")}
    one, other = store(source, tree), store(source, new)
    source.pages_read = 0
    changes = list(diff_trees(source, one, other, NO_RENAMES))
    assert {change.path for change in changes if change.new is not None} <= {b"/" + name}
    differing = set(one.blob_ids) ^ set(other.blob_ids)
    replaced = tree.get(name)
    if not isinstance(replaced, dict):
        assert source.pages_read == len(differing)


@given(TREES, TREES)
def test_renames_are_told_and_nothing_is_lost_by_them(old: Tree, new: Tree) -> None:
    source = DictSource(page_length=2)
    before, after = flatten(old), flatten(new)
    changes = list(diff_trees(source, store(source, old), store(source, new)))
    assert apply(source, before, changes) == after
    plain = naive(before, after)
    for change in changes:
        if change.kind == ChangeKind.RENAMED:
            assert ("removed", change.old_path) in plain
            assert ("added", change.new_path) in plain
        else:
            assert (change.kind.value, change.path) in plain
    left = {
        kind: {
            leaf_of(source, change.node).data  # type: ignore[union-attr]
            for change in changes
            if change.kind == kind and change.node.type == NodeType.FILE and change.node.size
        }
        for kind in (ChangeKind.ADDED, ChangeKind.REMOVED)
    }
    assert not left[ChangeKind.ADDED] & left[ChangeKind.REMOVED]


@given(TREES, st.sampled_from([b"a", b"b"]), st.sampled_from([b"new", b"a", b"0"]))
def test_a_moved_directory_is_one_change(tree: Tree, folder: bytes, name: bytes) -> None:
    source = DictSource()
    moved: Tree = {folder: {b"f": Leaf(NodeType.FILE, b"unique"), b"rest": tree}}
    rest: Tree = {b"stays": Leaf(NodeType.FILE, b"here")}
    old, new = {**rest, b"x": moved}, {**rest, b"y": {}, b"x": {}, b"to-" + name: moved[folder]}
    changes = list(diff_trees(source, store(source, old), store(source, new)))
    assert said_by(changes) == {("renamed", b"/to-" + name), ("added", b"/y")}


@given(TREES, TREES)
def test_one_directory_by_itself(old: Tree, new: Tree) -> None:
    source = DictSource(page_length=2)
    options = DiffOptions(recursive=False)
    said = said_by(diff_trees(source, store(source, old), store(source, new), options))
    everything = naive(flatten(old), flatten(new))
    expected = {(kind, path) for kind, path in everything if path.count(b"/") == 1}
    above = {b"/" + path.split(b"/")[1] for _, path in everything if path.count(b"/") > 1}
    expected |= {("modified", path) for path in above - {path for _, path in expected}}
    assert said == expected


@given(TREES, TREES)
def test_sums(old: Tree, new: Tree) -> None:
    source = DictSource()
    counts = DiffCounts()
    for change in diff_trees(source, store(source, old), store(source, new), NO_RENAMES):
        counts.note(change)
    assert counts.total == len(naive(flatten(old), flatten(new)))
    sizes = [
        [len(leaf.data) for leaf in flatten(tree).values() if leaf and leaf.kind == NodeType.FILE]
        for tree in (old, new)
    ]
    assert counts.bytes_added - counts.bytes_removed == sum(sizes[1]) - sum(sizes[0])
    assert counts.files_added - counts.files_removed == len(sizes[1]) - len(sizes[0])


def build(directory: bytes, tree: Tree) -> None:
    """Make a directory that holds the tree, as far as anybody may."""
    os.mkdir(directory)
    for name, value in tree.items():
        path = directory + b"/" + name
        if isinstance(value, dict):
            build(path, value)
        elif value.kind == NodeType.FILE:
            Path(os.fsdecode(path)).write_bytes(value.data)
            os.chmod(path, value.mode)
        elif value.kind == NodeType.SYMLINK:
            os.symlink(value.data, path)
        else:
            os.mkfifo(path, 0o644)
        times = (1, value.mtime_ns) if isinstance(value, Leaf) else (1, 1)
        os.utime(path, ns=times, follow_symlinks=False)


def as_built(state: State) -> State:
    """What `build` makes of a tree."""
    return {
        path: leaf
        if leaf is None
        else replace(leaf, xattr=b"")
        if leaf.kind in (NodeType.FILE, NodeType.SYMLINK)
        else replace(leaf, kind=NodeType.FIFO, rdev=0)
        for path, leaf in state.items()
    }


@given(TREES, TREES, st.booleans())
def test_a_local_directory(old: Tree, new: Tree, content: bool) -> None:
    source = DictSource(page_length=2)
    with tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as scratch:
        one, other = (os.fsencode(scratch) + name for name in (b"/old", b"/new"))
        build(one, old)
        build(other, new)
        local = LocalOptions(directory=other, hash_data=hash_data, content=content)
        findings: list[object] = []
        changes = list(
            diff_directory(
                source,
                snapshot_tree(source, one),
                local,
                NO_RENAMES,
                path=one,
                on_finding=findings.append,
            )
        )
    said = {(kind, path[len(one) :]) for kind, path in said_by(changes)}
    expected = naive(as_built(flatten(old)), as_built(flatten(new)))
    if not content:
        for path, leaf in as_built(flatten(old)).items():
            now = as_built(flatten(new)).get(path)
            if leaf is None or now is None or leaf.kind != now.kind:
                continue
            # Files of the same size and mtime are believed to be equal.
            same = len(leaf.data) == len(now.data) and leaf.mtime_ns == now.mtime_ns
            if leaf.kind == NodeType.FILE and same and ("modified", path) in expected:
                expected.remove(("modified", path))
                if leaf.mode != now.mode:
                    expected.add(("metadata", path))
    assert (said, findings) == (expected, [])


@given(st.lists(OTHERS, min_size=2, max_size=2))
def test_other_types(pair: list[Leaf]) -> None:
    source = DictSource()
    old: Tree = {b"x": pair[0]}
    new: Tree = {b"x": pair[1]}
    changes = list(diff_trees(source, store(source, old), store(source, new)))
    assert said_by(changes) == naive(flatten(old), flatten(new))
