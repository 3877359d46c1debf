"""Finding: each path with its versions, by blob too, past damage; and what became of a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.find import FoundPath, Search, find, timelines
from holdfast.operations.find_history import EventKind, Histories, HistoryEvent
from holdfast.operations.tree_walk import find_node
from holdfast.policy.entry_filter import NodeFilter, PathFilter, SizeRange
from support.trees import file_node, hash_data, node_of
from support.versions import SharingSource, add_tree, make_snapshot, make_snapshots

EVERYTHING = Search(paths=PathFilter())
BIG = NodeFilter(sizes=(SizeRange(1000, None),))
HISTORY = Search(paths=PathFilter(), whole=True)


def search(
    source: SharingSource,
    snapshots: list[Snapshot],
    wanted: Search,
    damaged: list[bytes] | None = None,
) -> list[FoundPath]:
    """Find; damage that the test does not expect fails it."""

    def on_damage(path: bytes, error: IntegrityError) -> None:
        assert damaged is not None, error
        damaged.append(path)

    return list(find(source, snapshots, wanted, on_damage))


def histories(
    source: SharingSource, snapshots: list[Snapshot], damaged: list[bytes] | None = None
) -> dict[str, list[str]]:
    """Path -> "day kind fields" of each change."""
    return {
        found.path.decode(): [
            f"{int(event.snapshot.id, 16)} {event.kind.value} {','.join(sorted(event.fields))}".strip()
            for event in Histories(snapshots).of(found)
        ]
        for found in search(source, snapshots, HISTORY, damaged)
    }


def test_each_version_once_the_newest_first() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {"a": b"1"}, {"a": b"22"}, {"a": b"22"}, {"a": b"1"}, {})
    (found,) = search(source, snapshots, EVERYTHING)
    assert found.path == b"/a"
    assert [
        (one.node.size, one.count, one.first, one.last, one.snapshots) for one in found.versions
    ] == [(1, 2, 0, 3, 0b1001), (2, 2, 1, 2, 0b0110)]


@pytest.mark.parametrize(
    "fields", [{"ctime_ns": 7}, {"inode": 7}, {"device": 7}, {"extra": NodeExtra(link_count=2)}]
)
def test_what_cannot_be_restored_makes_no_version(fields: dict[str, object]) -> None:
    source = SharingSource()
    one, other = file_node(source, b"a", b"1"), file_node(source, b"a", b"1", **fields)
    for nodes in ((one, other), (other, one), (one, other, one)):
        snapshots = make_snapshots(source, *({"a": node} for node in nodes))
        (found,) = search(source, snapshots, EVERYTHING)
        (version,) = found.versions
        assert version.count == len(nodes)
        assert version.node == nodes[-1]
        assert histories(source, snapshots) == {"/a": ["0 present"]}


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"mode": 0o600}, "metadata mode"),
        ({"uid": 7, "gid": 7}, "metadata gid,uid"),
        ({"mtime_ns": 7}, "metadata mtime"),
        ({"extra": NodeExtra(xattrs=((b"user.a", b"1"),))}, "metadata xattrs"),
        ({"extra": NodeExtra(holes=(1, 5)), "size": 6}, "modified content"),
        ({"content": bytes(32), "mtime_ns": 7}, "modified content,mtime"),
    ],
)
def test_what_can_be_restored_makes_a_version(fields: dict[str, object], change: str) -> None:
    source = SharingSource()
    other = file_node(source, b"a", b"1", **fields)
    snapshots = make_snapshots(source, {"a": b"1"}, {"a": other})
    (found,) = search(source, snapshots, EVERYTHING)
    assert len(found.versions) == 2
    assert histories(source, snapshots) == {"/a": ["0 present", f"1 {change}"]}


def test_what_lies_in_a_directory_makes_no_version_of_it() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {"d/a": b"1"}, {"d/a": b"2"})
    assert [len(found.versions) for found in search(source, snapshots, EVERYTHING)] == [1, 2]


def test_conditions_on_nodes_choose_versions_or_for_a_history_paths() -> None:
    source = SharingSource()
    snapshots = make_snapshots(
        source, {"a": b"x" * 2000, "b": b""}, {"a": b"", "b": b""}, {"b": b""}
    )
    (found,) = search(source, snapshots, Search(paths=PathFilter(), nodes=BIG))
    assert [one.node.size for one in found.versions] == [2000]
    (whole,) = search(source, snapshots, Search(paths=PathFilter(), nodes=BIG, whole=True))
    assert [one.node.size for one in whole.versions] == [0, 2000]


def test_only_what_a_pattern_can_fit_is_read() -> None:
    source = SharingSource()
    (snapshot,) = make_snapshots(source, {"a/b/c": b"", "x/y": b""})
    source.damaged.update(find_node(source, snapshot.root, b"/x", snapshot="").blob_ids)
    found = search(source, [snapshot], Search(paths=PathFilter(["/a/b/*"])))
    assert [one.path for one in found] == [b"/a/b/c"]


# -- blobs --------------------------------------------------------------------------------------


def by_blob(
    source: SharingSource, snapshots: list[Snapshot], prefix: str, **more: object
) -> list[bytes]:
    wanted = Search(**{"paths": PathFilter(), "blob": prefix, **more})  # type: ignore[arg-type]
    return [found.path for found in search(source, snapshots, wanted)]


def test_files_and_directories_that_refer_to_a_blob() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {"d/a": b"1", "d/b": b"2", "c": b"1"}, {"d/a": b"1"})
    blob = hash_data(b"1").hex()
    assert by_blob(source, snapshots, blob) == [b"/c", b"/d/a"]
    assert by_blob(source, snapshots, blob[:9]) == [b"/c", b"/d/a"], "half a byte at the end"
    assert by_blob(source, snapshots, blob[:8], paths=PathFilter(["a"])) == [b"/d/a"]
    other = f"{int(blob[8], 16) ^ 1:x}"
    assert by_blob(source, snapshots, blob[:8] + other) == []
    page = find_node(source, snapshots[0].root, b"/d", snapshot="").blob_ids[0]
    assert by_blob(source, snapshots, page.hex()) == [b"/d"]
    root = snapshots[1].root[:32].hex()
    assert by_blob(source, snapshots, root) == [b"/"]
    assert by_blob(source, snapshots, root, paths=PathFilter(["a"])) == []


def test_long_files_through_their_id_pages() -> None:
    source = SharingSource()
    ids = [hash_data(b"%d" % number) for number in range(9)]
    below = [source.add_ids(b"".join(ids[at : at + 3])) for at in (0, 3, 6)]
    top = source.add_ids(b"".join(below))
    long = file_node(source, b"a", content=top, extra=NodeExtra(depth=2))
    snapshots = make_snapshots(source, {"a": long, "b": b"5"})
    assert by_blob(source, snapshots, ids[5].hex()) == [b"/a", b"/b"]
    assert by_blob(source, snapshots, ids[4].hex()) == [b"/a"]
    assert by_blob(source, snapshots, below[1].hex()) == [b"/a"]
    assert by_blob(source, snapshots, top.hex()) == [b"/a"]
    assert by_blob(source, snapshots, "00" * 32) == []
    source.damaged.add(BlobId(below[1]))
    damaged: list[bytes] = []
    wanted = Search(paths=PathFilter(), blob=ids[8].hex())
    assert [found.path for found in search(source, snapshots, wanted, damaged)] == [b"/a"]
    assert damaged == [b"/a"]


@pytest.mark.parametrize("prefix", ["", "x", "0x", "12 34", "a" * 65, "é"])
def test_what_cannot_be_the_id_of_a_blob(prefix: str) -> None:
    source = SharingSource()
    with pytest.raises(ConfigurationError, match="cannot be the id of a blob"):
        by_blob(source, make_snapshots(source, {}), prefix)


# -- histories ----------------------------------------------------------------------------------


def test_appeared_changed_vanished_and_came_back() -> None:
    source = SharingSource()
    trees = [{"x": b""}, {"a": b"1"}, {"a": b"2"}, {"x": b""}, {"x": b""}, {"a": b"2"}, {"a": b"2"}]
    assert histories(source, make_snapshots(source, *trees)) == {
        "/a": ["1 appeared", "2 modified content", "3 vanished", "5 returned"],
        "/x": ["0 present", "1 vanished", "3 returned", "5 vanished"],
    }


def test_what_changes_its_type() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {"a": b"1"}, {"a/b": b""}, {"a": "target"})
    assert histories(source, snapshots) == {
        "/a": ["0 present", "1 type", "2 type"],
        "/a/b": ["1 appeared", "2 vanished"],
    }


def test_other_targets_and_devices_are_modifications() -> None:
    source = SharingSource()
    trees: list[dict[str, bytes | str | Node]] = [
        {
            "l": node_of(NodeType.SYMLINK, b"l", extra=NodeExtra(target=b"%d" % day)),
            "n": node_of(NodeType.BLOCK_DEVICE, b"n", extra=NodeExtra(rdev=day)),
        }
        for day in range(2)
    ]
    assert histories(source, make_snapshots(source, *trees)) == {
        "/l": ["0 present", "1 modified target"],
        "/n": ["0 present", "1 modified device"],
    }


def test_the_last_holder_of_what_vanished() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {"a": b""}, {"a": b""}, {})
    (found,) = search(source, snapshots, HISTORY)
    gone = list(Histories(snapshots).of(found))[-1]
    assert gone == HistoryEvent(EventKind.VANISHED, snapshots[2], None, last=snapshots[1])


def test_partial_snapshots_and_damage_make_nothing_vanish() -> None:
    source = SharingSource()
    trees = [{"d/a": b""}, {}, {"d/a": b"", "d/b": b"x"}, {"d/a": b""}]
    snapshots = make_snapshots(source, *trees)
    snapshots[1] = make_snapshot(1, snapshots[1].root, partial=True)
    source.damaged.update(find_node(source, snapshots[2].root, b"/", snapshot="").blob_ids)
    damaged: list[bytes] = []
    assert histories(source, snapshots, damaged) == {
        "/d": ["0 present"],
        "/d/a": ["0 present"],
    }
    assert damaged == [b"/"]


def test_nothing_is_said_to_have_appeared_after_snapshots_that_cannot_tell() -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, {}, {"a": b""})
    snapshots[0] = make_snapshot(0, snapshots[0].root, partial=True)
    assert histories(source, snapshots) == {"/a": ["1 present"]}


STATES = st.lists(st.sampled_from([None, b"1", b"2"]), min_size=1, max_size=12)


@given(STATES)
def test_a_history_tells_the_state_in_every_snapshot(states: list[bytes | None]) -> None:
    source = SharingSource()
    snapshots = make_snapshots(source, *({} if one is None else {"a": one} for one in states))
    found = search(source, snapshots, HISTORY)
    events = [event for each in found for event in Histories(snapshots).of(each)]
    changes = {int(event.snapshot.id, 16): event for event in events}
    now: bytes | None = None
    for day, state in enumerate(states):
        if day in changes:
            node = changes[day].node
            now = None if node is None else source.blobs[BlobId(node.content)]
        assert now == state
    assert len(events) == sum(
        one != other for one, other in zip([None, *states], states, strict=False)
    )


def test_timelines_are_hosts_and_sets_of_paths() -> None:
    root = add_tree(SharingSource(), {})
    snapshots = [
        make_snapshot(1, root, host="b"),
        make_snapshot(2, root, raw_paths=(b"/x", b"/y")),
        make_snapshot(3, root, host="b", tags=("t",)),
        make_snapshot(4, root, raw_paths=(b"/y", b"/x")),
    ]
    assert [[int(one.id, 16) for one in group.snapshots] for group in timelines(snapshots)] == [
        [1, 3],
        [2, 4],
    ]
