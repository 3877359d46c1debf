"""The tree above snapshots: what is where, and that every link leads somewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.vfs.directory import Directory, VirtualDirectory, virtual_node
from holdfast.vfs.layout import build_layout
from support.snapshots import NS, snapshot_at

FIRST, SECOND, THIRD = (b"1970-01-01T00-00-0%d" % second for second in (1, 2, 3))


def build(*snapshots: Snapshot) -> VirtualDirectory:
    """Return the view, with an empty virtual directory for each snapshot."""

    def make(_snapshot: Snapshot, name: bytes, path: bytes) -> Directory:
        return VirtualDirectory(virtual_node(name, 0, (0, 0)), path)

    return build_layout(snapshots, make, owner=(0, 0), zone=UTC)


def walk(directory: Directory) -> Iterator[tuple[bytes, Node]]:
    for page in directory.pages():
        for node in page:
            yield directory.path + b"/" + node.name, node
            if node.type == NodeType.DIRECTORY:
                yield from walk(directory.enter(node))


def links(root: VirtualDirectory) -> dict[bytes, bytes]:
    return {path: node.extra.target for path, node in walk(root) if node.extra is not None}


def test_each_snapshot_is_found_by_everything_that_names_it() -> None:
    root = build(
        snapshot_at(1, 0xA << 124),
        snapshot_at(2, 0xB << 124, host="nas", tags=("weekly",), raw_paths=(b"/srv", b"/shop.sql")),
    )
    assert [path for path, node in walk(root) if node.extra is None] == [
        b"/hosts", b"/hosts/nas", b"/hosts/pc", b"/ids",
        b"/paths", b"/paths/home", b"/paths/home/ann", b"/paths/shop.sql", b"/paths/srv",
        b"/snapshots", b"/snapshots/" + FIRST, b"/snapshots/" + SECOND,
        b"/tags", b"/tags/weekly",
    ]  # fmt: skip
    assert links(root) == {
        b"/latest": b"snapshots/" + SECOND,
        b"/hosts/nas/" + SECOND: b"../../snapshots/" + SECOND,
        b"/hosts/nas/latest": b"../../snapshots/" + SECOND,
        b"/hosts/pc/" + FIRST: b"../../snapshots/" + FIRST,
        b"/hosts/pc/latest": b"../../snapshots/" + FIRST,
        b"/ids/a00000000000": b"../snapshots/" + FIRST,
        b"/ids/b00000000000": b"../snapshots/" + SECOND,
        b"/paths/home/ann/" + FIRST: b"../../../snapshots/" + FIRST + b"/home/ann",
        b"/paths/home/ann/latest": b"../../../snapshots/" + FIRST + b"/home/ann",
        b"/paths/shop.sql/" + SECOND: b"../../snapshots/" + SECOND + b"/shop.sql",
        b"/paths/shop.sql/latest": b"../../snapshots/" + SECOND + b"/shop.sql",
        b"/paths/srv/" + SECOND: b"../../snapshots/" + SECOND + b"/srv",
        b"/paths/srv/latest": b"../../snapshots/" + SECOND + b"/srv",
        b"/tags/weekly/" + SECOND: b"../../snapshots/" + SECOND,
        b"/tags/weekly/latest": b"../../snapshots/" + SECOND,
    }


def test_latest_is_a_whole_snapshot_where_there_is_one() -> None:
    mixed = build(snapshot_at(1), snapshot_at(2, partial=True))
    assert links(mixed)[b"/latest"] == b"snapshots/" + FIRST
    partial = build(snapshot_at(1, partial=True))
    assert links(partial)[b"/latest"] == b"snapshots/" + FIRST + b"-partial"


def test_directories_are_as_new_as_what_is_in_them() -> None:
    root = build(snapshot_at(1), snapshot_at(2, host="nas"), snapshot_at(3))
    times = {path: node.mtime_ns // NS for path, node in walk(root)}
    assert (times[b"/hosts/nas"], times[b"/hosts/pc"], times[b"/snapshots"]) == (2, 3, 3)
    assert root.node.mtime_ns == 3 * NS


def test_the_whole_disk_and_a_path_that_looks_like_a_snapshot() -> None:
    root = build(
        snapshot_at(1, raw_paths=(b"/",)), snapshot_at(2, raw_paths=(b"/" + FIRST + b"/x",))
    )
    found = links(root)
    assert found[b"/paths/latest"] == b"../snapshots/" + FIRST
    assert b"/paths/" + FIRST + b"/x/" + SECOND in found


def test_nothing_to_show() -> None:
    assert [path for path, _ in walk(build())] == [
        b"/hosts", b"/ids", b"/paths", b"/snapshots", b"/tags",
    ]  # fmt: skip


TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
PARTS = st.binary(min_size=1, max_size=3).filter(lambda part: not {0, 47} & set(part))


@given(
    st.lists(
        st.builds(
            snapshot_at,
            st.integers(0, 3),
            number=st.integers(1, 2**128 - 1),
            host=TEXTS,
            tags=st.lists(TEXTS, max_size=2).map(tuple),
            raw_paths=st.lists(
                st.lists(PARTS, max_size=2).map(lambda parts: b"/" + b"/".join(parts)),
                min_size=1,
                max_size=2,
            ).map(tuple),
            partial=st.booleans(),
        ),
        max_size=5,
        unique_by=lambda snapshot: snapshot.id,
    )
)
def test_every_link_leads_to_a_snapshot(snapshots: list[Snapshot]) -> None:
    root = build(*sorted(snapshots, key=lambda snapshot: snapshot.time_ns))
    names = {node.name for path, node in walk(root) if os.path.dirname(path) == b"/snapshots"}
    assert len(names) == len(snapshots)
    for path, target in links(root).items():
        where = os.path.normpath(os.path.join(os.path.dirname(path), target)).split(b"/")
        assert where[1] == b"snapshots"
        assert where[2] in names
    for _, node in walk(root):
        assert 0 < len(node.name) <= 255
        assert not {0, 47} & set(node.name)
        assert node.name not in (b".", b"..")
