"""Restore into targets that hold something: what may change does, nothing else, nothing outside."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import ConfigurationError, TargetError, TargetNotEmptyError
from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.operations.restore import ActionKind, Overwrite, RestoreAction
from holdfast.operations.tree_walk import root_node
from holdfast.policy.filters import ExcludeFilter, IncludeFilter
from support.restoring import problems, run_restore
from support.trees import DictSource, directory_node, file_node, node_of, read_tree, snapshot_tree

NODE_TIME = 1_600_000_000_123_456_789
OLDER = NODE_TIME - 1
NEWER = NODE_TIME + 1
CHANGING = [Overwrite.ALWAYS, Overwrite.IF_CHANGED, Overwrite.IF_NEWER]


def place(path: Path, data: bytes, mtime_ns: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("overwrite", "found", "mtime_ns", "expected"),
    [
        (Overwrite.ALWAYS, b"other", NEWER, b"right"),
        (Overwrite.ALWAYS, b"other", NODE_TIME, b"right"),
        (Overwrite.ALWAYS, b"longer than that", OLDER, b"right"),
        (Overwrite.ALWAYS, b"", OLDER, b"right"),
        (Overwrite.IF_CHANGED, b"other", NODE_TIME, b"other"),
        (Overwrite.IF_CHANGED, b"other", NEWER, b"right"),
        (Overwrite.IF_CHANGED, b"others", NODE_TIME, b"right"),
        (Overwrite.IF_NEWER, b"other", NEWER, b"other"),
        (Overwrite.IF_NEWER, b"other", NODE_TIME, b"other"),
        (Overwrite.IF_NEWER, b"other", OLDER, b"right"),
        (Overwrite.NEVER, b"other", OLDER, b"other"),
    ],
)
def test_existing_files(
    target: Path, overwrite: Overwrite, found: bytes, mtime_ns: int, expected: bytes
) -> None:
    source = DictSource()
    place(target / "f", found, mtime_ns)
    nodes = [file_node(source, b"f", b"right"), file_node(source, b"new", b"new")]
    result = run_restore(source, directory_node(source, b"", nodes), target, overwrite=overwrite)
    assert result.findings == []
    assert (target / "f").read_bytes() == expected
    assert (target / "new").read_bytes() == b"new"
    if expected == b"right":
        assert (target / "f").stat().st_mtime_ns == NODE_TIME


def test_nothing_is_overwritten_without_a_word(target: Path) -> None:
    source = DictSource()
    place(target / "unrelated", b"x", 0)
    with pytest.raises(TargetNotEmptyError):
        run_restore(source, directory_node(source, b"", [file_node(source, b"f")]), target)
    assert os.listdir(target) == ["unrelated"]


def test_a_single_file_needs_no_word_where_it_is_missing(target: Path) -> None:
    source = DictSource()
    place(target / "unrelated", b"x", 0)
    node = file_node(source, b"f", b"right")
    assert run_restore(source, node, target, path=b"/home/f").findings == []
    with pytest.raises(TargetError, match=f"{target}/f: it exists; .*--overwrite always"):
        run_restore(source, node, target, path=b"/home/f", dry_run=True)
    assert (target / "f").read_bytes() == b"right"


@pytest.mark.parametrize("overwrite", [Overwrite.NEVER, Overwrite.IF_NEWER])
def test_what_shall_stay_is_not_deleted(target: Path, overwrite: Overwrite) -> None:
    source = DictSource()
    place(target / "mine", b"x", NEWER)
    node = directory_node(source, b"")
    with pytest.raises(ConfigurationError, match="promises to leave alone"):
        run_restore(source, node, target, overwrite=overwrite, delete=True, sources=[b"/"])
    assert os.listdir(target) == ["mine"]


def test_only_differing_blobs_are_fetched_and_written_in_place(target: Path) -> None:
    source = DictSource()
    data = os.urandom(10 * 4096)
    place(target / "f", data[:8192] + b"?" * 100 + data[8292:] + b"tail", OLDER)
    inode = (target / "f").stat().st_ino
    node = directory_node(source, b"", [file_node(source, b"f", data)])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert (target / "f").read_bytes() == data
    assert (target / "f").stat().st_ino == inode
    assert len(source.fetched) == 1
    assert (result.files, result.bytes_written) == (1, 4096)


def test_equal_files_are_left_and_their_metadata_is_made_equal(target: Path) -> None:
    source = DictSource()
    place(target / "f", b"same", OLDER)
    (target / "f").chmod(0o600)
    result = run_restore(
        source,
        directory_node(source, b"", [file_node(source, b"f", b"same", mode=0o754)]),
        target,
        overwrite=Overwrite.ALWAYS,
    )
    assert source.fetched == []
    assert (result.unchanged, result.files) == (1, 0)
    found = (target / "f").stat()
    assert stat.S_IMODE(found.st_mode) == 0o754
    assert found.st_mtime_ns == NODE_TIME


def test_a_file_with_other_names_is_replaced_not_written_through(target: Path) -> None:
    source = DictSource()
    outside = target.parent / "outside"
    place(outside, b"mine", OLDER)
    os.link(outside, target / "f")
    node = directory_node(source, b"", [file_node(source, b"f", b"right")])
    run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert outside.read_bytes() == b"mine"
    assert (target / "f").read_bytes() == b"right"


def test_a_file_that_others_may_read_is_not_written_to_in_place(target: Path) -> None:
    source = DictSource()
    place(target / "secret", b"public", OLDER)
    with open(target / "secret", "rb") as eavesdropper:
        (target / "secret").chmod(0o644)
        node = directory_node(source, b"", [file_node(source, b"secret", b"secret", mode=0o600)])
        run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
        assert eavesdropper.read() == b"public"
    assert (target / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("overwrite", CHANGING)
def test_symbolic_links_are_never_followed(target: Path, overwrite: Overwrite) -> None:
    source = DictSource()
    outside = target.parent / "outside"
    place(outside / "victim", b"mine", 0)
    before = read_tree(bytes(outside))
    (target / "a").symlink_to(outside)
    (target / "file").symlink_to(outside / "victim")
    (target / "fifo").symlink_to(outside / "victim")
    for name in ("a", "file", "fifo"):
        os.utime(target / name, ns=(0, 0), follow_symlinks=False)
    nodes = [
        directory_node(source, b"a", [file_node(source, b"victim", b"evil")]),
        file_node(source, b"file", b"evil"),
        node_of(NodeType.FIFO, b"fifo"),
    ]
    result = run_restore(source, directory_node(source, b"", nodes), target, overwrite=overwrite)
    assert result.findings == []
    assert read_tree(bytes(outside)) == before
    assert (target / "a" / "victim").read_bytes() == b"evil"
    assert not (target / "a").is_symlink()
    assert not (target / "file").is_symlink()
    assert stat.S_ISFIFO((target / "fifo").lstat().st_mode)


def test_symbolic_links_stay_with_overwrite_never(target: Path) -> None:
    source = DictSource()
    outside = target.parent / "outside"
    outside.mkdir()
    (target / "a").symlink_to(outside)
    node = directory_node(source, b"a", [file_node(source, b"f", b"evil")])
    result = run_restore(
        source, directory_node(source, b"", [node]), target, overwrite=Overwrite.NEVER
    )
    assert os.listdir(outside) == []
    assert (target / "a").is_symlink()
    assert result.skipped == 1


def test_a_link_in_the_snapshot_is_no_way_out(target: Path) -> None:
    """A page that has a link and a directory of one name is refused when it is decoded; even
    pages that are made so cannot lead out."""
    source = DictSource(page_length=1)
    outside = target.parent / "outside"
    outside.mkdir()
    link = node_of(NodeType.SYMLINK, b"a", extra=NodeExtra(target=bytes(outside)))
    directory = directory_node(source, b"a", [file_node(source, b"f", b"evil")])
    for order in ([link, directory], [directory, link]):
        content = b"".join(source.add_directory([node]) for node in order)
        for overwrite in (None, Overwrite.ALWAYS):
            subprocess.run(["rm", "-rf", str(target)], check=True)
            result = run_restore(source, root_node(content), target, overwrite=overwrite)
            assert result.damaged == 1
            assert os.listdir(outside) == []


def test_links_that_point_elsewhere_are_made_anew(target: Path) -> None:
    source = DictSource()
    (target / "wrong").symlink_to("elsewhere")
    (target / "right").symlink_to("there")
    inode = (target / "right").lstat().st_ino
    nodes = [
        node_of(NodeType.SYMLINK, name, extra=NodeExtra(target=b"there"))
        for name in (b"right", b"wrong")
    ]
    node = directory_node(source, b"", nodes)
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert (target / "wrong").readlink() == Path("there")
    assert (target / "right").lstat().st_ino == inode
    assert (target / "right").lstat().st_mtime_ns == 1_500_000_000_987_654_321
    assert (result.others, result.unchanged) == (1, 1)


def test_a_directory_in_the_way_of_a_file(target: Path) -> None:
    source = DictSource()
    place(target / "f" / "inner", b"x", 0)
    node = directory_node(source, b"", [file_node(source, b"f", b"right")])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert "in the way" in problems(result)["/f"]
    assert (target / "f" / "inner").exists()
    allowed: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
    result = run_restore(source, node, target, **allowed)
    assert result.findings == []
    assert (target / "f").read_bytes() == b"right"


@pytest.mark.parametrize("overwrite", CHANGING)
def test_a_file_in_the_way_of_a_directory(target: Path, overwrite: Overwrite) -> None:
    source = DictSource()
    place(target / "d", b"x", 0)
    node = directory_node(source, b"d", [file_node(source, b"f", b"right")])
    run_restore(source, directory_node(source, b"", [node]), target, overwrite=overwrite)
    assert (target / "d" / "f").read_bytes() == b"right"


def test_attributes_that_the_snapshot_lacks_are_removed(target: Path) -> None:
    source = DictSource()
    place(target / "f", b"same", NODE_TIME)
    try:
        os.setxattr(target / "f", "user.extra", b"x")
    except OSError:
        pytest.skip("this file system has no user attributes")
    node = directory_node(source, b"", [file_node(source, b"f", b"same")])
    run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED)
    assert os.listxattr(target / "f") == []


def test_sparse_files_in_place(target: Path) -> None:
    source = DictSource()
    first, last = os.urandom(4096), os.urandom(4096)
    data = first + bytes(1 << 20) + last
    node = file_node(
        source,
        b"f",
        size=len(data),
        content=source.add_file(first) + source.add_file(last),
        extra=NodeExtra(holes=(4096, 1 << 20)),
    )
    directory = directory_node(source, b"", [node])
    for found in (
        bytes(len(data)),
        b"x" * len(data),
        first + b"\0" * 5000 + b"x" + bytes((1 << 20) - 5001) + last,
        data,
        b"",
    ):
        place(target / "f", found, OLDER)
        run_restore(source, directory, target, overwrite=Overwrite.ALWAYS, verify=True)
        assert (target / "f").read_bytes() == data


def test_a_damaged_blob_leaves_a_file_that_was_not_begun(target: Path) -> None:
    source = DictSource()
    place(target / "f", b"old content", OLDER)
    place(target / "secret", b"old content", OLDER)
    nodes = [
        file_node(source, b"f", b"new content"),
        file_node(source, b"secret", b"new content", mode=0o600),
    ]
    source.damage(b"new content")
    result = run_restore(
        source, directory_node(source, b"", nodes), target, overwrite=Overwrite.ALWAYS
    )
    assert result.damaged == 2
    assert (target / "f").read_bytes() == b"old content"
    assert (target / "secret").read_bytes() == b"old content"


def test_a_damaged_blob_removes_a_file_that_was_begun(target: Path) -> None:
    source = DictSource()
    data = os.urandom(40 * 4096)
    place(target / "f", b"old", OLDER)
    source.damaged.add(max(file_node(source, b"f", data).blob_ids))  # it is fetched last
    node = directory_node(source, b"", [file_node(source, b"f", data)])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert set(problems(result)) == {"/f"}
    assert 30 * 4096 < result.bytes_written < 40 * 4096
    assert os.listdir(target) == []


def test_a_damaged_file_is_not_linked_to_what_was_there(target: Path) -> None:
    source = DictSource()
    place(target / "a", b"old", OLDER)
    extra = NodeExtra(link_count=2)
    nodes = [file_node(source, name, b"new", inode=5, extra=extra) for name in (b"a", b"b")]
    source.damage(b"new")
    node = directory_node(source, b"", nodes)
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert set(problems(result)) == {"/a", "/b"}
    assert os.listdir(target) == ["a"]


def test_other_file_systems_are_not_deleted(target: Path) -> None:
    source = DictSource()
    mounted = target / "extra" / "mounted"
    mounted.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("mounting is not permitted")
    try:
        (mounted / "precious").touch()
        values: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
        run_restore(source, directory_node(source, b"", []), target, **values)
        assert os.listdir(mounted) == ["precious"]
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_restoring_twice_changes_nothing_and_hard_links_stay(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    place(origin / "d" / "a", b"content", 5)
    os.link(origin / "d" / "a", origin / "b")
    place(origin / "single", b"content", 5)
    (origin / "link").symlink_to("b")
    os.mkfifo(origin / "fifo")
    source = DictSource()
    node = snapshot_tree(source, bytes(origin), b"origin")
    target = tmp_path / "target"
    run_restore(source, node, target)
    for overwrite in Overwrite:
        result = run_restore(source, node, target, overwrite=overwrite)
        assert (result.files, result.others, result.links, result.findings) == (0, 0, 0, [])
        assert read_tree(bytes(target)) == read_tree(bytes(origin))


def test_names_that_should_be_one_file_become_one(target: Path) -> None:
    source = DictSource()
    place(target / "a", b"content", NODE_TIME)
    place(target / "b", b"content", NODE_TIME)
    nodes = [
        file_node(source, name, b"content", inode=5, extra=NodeExtra(link_count=2))
        for name in (b"a", b"b")
    ]
    node = directory_node(source, b"", nodes)
    run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED)
    assert (target / "a").samefile(target / "b")


def test_an_interrupted_restore_is_continued(tmp_path: Path) -> None:
    class Interrupted(DictSource):
        left = 6

        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for item in super().fetch(ids):
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
                yield item

    source = Interrupted()
    nodes = [file_node(source, b"%d" % i, os.urandom(3000 * i)) for i in range(8)]
    node = directory_node(source, b"d", nodes, mode=0o555)
    target = tmp_path / "target"
    with pytest.raises(KeyboardInterrupt):
        run_restore(source, node, target)
    source.left = -1
    result = run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED, verify=True)
    assert result.findings == []
    assert result.unchanged > 0
    reference = tmp_path / "reference"
    run_restore(source, node, reference)
    assert read_tree(bytes(target)) == read_tree(bytes(reference))


def _home(source: DictSource) -> Node:
    user = directory_node(source, b"u", [file_node(source, b"kept", b"k")])
    return root_node(source.add_directory([directory_node(source, b"home", [user])]))


def _fill(target: Path) -> None:
    place(target / "etc" / "passwd", b"precious", 0)
    place(target / "home" / "v" / "file", b"precious", 0)
    place(target / "home" / "u" / "kept", b"old", 0)
    place(target / "home" / "u" / "extra.o", b"x", 0)
    place(target / "home" / "u" / "extra.d" / "deep" / "x.o", b"x", 0)
    place(target / "home" / "u" / "extra.d" / "deep" / "x.c", b"x", 0)
    (target / "home" / "u" / "link").symlink_to(target / "etc")


def _files(target: Path) -> list[str]:
    return sorted(str(p.relative_to(target)) for p in target.rglob("*") if not p.is_dir())


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, "etc/passwd home/u/kept home/v/file"),
        (
            {"exclude": ExcludeFilter(["*.o"])},
            "etc/passwd home/u/extra.d/deep/x.o home/u/extra.o home/u/kept home/v/file",
        ),
        (
            {"include": IncludeFilter(["extra.o", "/home/u/kept"])},
            "etc/passwd home/u/extra.d/deep/x.c home/u/extra.d/deep/x.o home/u/kept home/v/file",
        ),
        (
            {"sources": []},
            (
                "etc/passwd home/u/extra.d/deep/x.c home/u/extra.d/deep/x.o home/u/extra.o "
                "home/u/kept home/v/file"
            ),
        ),
        ({"sources": [b"/"]}, "home/u/kept"),
    ],
)
def test_delete(target: Path, options: dict[str, object], left: str) -> None:
    """Only below what was backed up: /etc and /home/v were never in the snapshot's sources."""
    source = DictSource()
    _fill(target)
    values: dict[str, Any] = {
        "overwrite": Overwrite.ALWAYS,
        "delete": True,
        "sources": [b"/home/u"],
        **options,
    }
    result = run_restore(source, _home(source), target, **values)
    assert result.findings == []
    files = [name for name in _files(target) if name != "home/u/link"]
    assert files == left.split()


def test_delete_keeps_what_a_damaged_page_may_name(target: Path) -> None:
    source = DictSource(page_length=1)
    nodes = [file_node(source, b"a", b"a"), file_node(source, b"b", b"b")]
    node = directory_node(source, b"", nodes)
    source.damaged.add(node.blob_ids[1])
    place(target / "b", b"precious", 0)
    values: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
    result = run_restore(source, node, target, **values)
    assert result.damaged == 1
    assert (target / "b").read_bytes() == b"precious"


@pytest.mark.parametrize("overwrite", [Overwrite.ALWAYS, Overwrite.IF_CHANGED])
def test_a_dry_run_changes_nothing(target: Path, overwrite: Overwrite) -> None:
    source = DictSource()
    _fill(target)
    place(target / "home" / "u" / "kept", b"old", NEWER)
    (target / "home" / "u").chmod(0o500)
    before = read_tree(bytes(target))
    actions: list[RestoreAction] = []
    result = run_restore(
        source,
        _home(source),
        target,
        overwrite=overwrite,
        delete=True,
        sources=[b"/home/u"],
        dry_run=True,
        on_action=actions.append,
    )
    assert read_tree(bytes(target)) == before
    deleted = {action.path for action in actions if action.kind is ActionKind.DELETE}
    assert deleted == {b"/home/u/extra.d", b"/home/u/extra.o", b"/home/u/link"}
    assert result.deleted == 3
    assert source.fetched == []
    (target / "home" / "u").chmod(0o700)


def test_a_dry_run_tells_equal_files_from_others(target: Path) -> None:
    source = DictSource()
    nodes = [file_node(source, name, b"right") for name in (b"equal", b"longer", b"other")]
    place(target / "equal", b"right", 0)
    place(target / "longer", b"right and more", 0)
    place(target / "other", b"wrong", 0)
    actions: list[RestoreAction] = []
    result = run_restore(
        source,
        directory_node(source, b"", nodes),
        target,
        overwrite=Overwrite.ALWAYS,
        dry_run=True,
        on_action=actions.append,
    )
    assert [(action.kind, action.path) for action in actions] == [
        (ActionKind.UNCHANGED, b"/equal"),
        (ActionKind.UPDATE, b"/longer"),
        (ActionKind.UPDATE, b"/other"),
    ]
    assert (result.unchanged, result.files) == (1, 2)


def test_existing_parents_of_what_is_wanted_keep_their_metadata(target: Path) -> None:
    source = DictSource()
    (target / "home").mkdir(mode=0o700)
    run_restore(
        source,
        _home(source),
        target,
        overwrite=Overwrite.ALWAYS,
        include=IncludeFilter(["/home/u/kept"]),
    )
    assert stat.S_IMODE((target / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "home" / "u").stat().st_mode) == 0o755
    assert (target / "home" / "u" / "kept").exists()


def test_a_single_file_into_a_filled_directory(target: Path) -> None:
    source = DictSource()
    place(target / "other", b"x", 0)
    place(target / "f", b"old", 0)
    node = file_node(source, b"f", b"right")
    run_restore(source, node, target, path=b"/home/u/f", overwrite=Overwrite.ALWAYS)
    assert (target / "f").read_bytes() == b"right"
    assert (target / "other").read_bytes() == b"x"
