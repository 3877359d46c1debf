"""The target's descriptors: bounded, never following links, whatever changes under them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import TargetError
from holdfast.findings import Finding
from holdfast.fs import target_file, target_tree
from holdfast.fs.target_file import FileWriter, TargetFile, open_existing, read_at, write_whole
from holdfast.fs.target_problems import TargetProblems
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from support.trees import DictSource, file_node


@pytest.fixture
def findings() -> list[Finding]:
    return []


@pytest.fixture
def tree(tmp_path: Path, findings: list[Finding]) -> Iterator[TargetTree]:
    location = os.fsencode(tmp_path / "target")
    with TargetTree(location, TargetProblems(location, findings.append)) as made:
        assert not made.look()
        made.prepare()
        yield made


def existing(directory: TargetDirectory, name: bytes) -> TargetDirectory:
    child = directory.child(name)
    child.exists = True
    return child


def test_directories_are_made_on_first_use_for_the_owner_only(
    tree: TargetTree, tmp_path: Path
) -> None:
    inner = tree.root.child(b"a").child(b"b")
    assert os.listdir(tmp_path / "target") == []
    tree.open(inner)
    assert (tmp_path / "target" / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_few_descriptors_are_open_at_a_time(
    tree: TargetTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_tree, "MAX_OPEN", 4)
    before = len(os.listdir("/proc/self/fd"))
    directories = []
    top = tree.root
    for level in range(20):
        top = top.child(b"%d" % level)
        directories.append(top)
        directories.append(tree.root.child(b"side %d" % level))
    for directory in (*directories, *reversed(directories), directories[-2]):
        fd = tree.open(directory)
        assert os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == os.fsdecode(directory.name)
        assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_a_directory_that_became_a_link_is_not_followed(tree: TargetTree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "target" / "a").symlink_to(outside)
    for directory in (tree.root.child(b"a"), existing(tree.root, b"a")):
        with pytest.raises(OSError, match=r"a"):
            tree.open(directory)
        with pytest.raises(OSError, match=r"a"):
            tree.open(directory.child(b"b"))
    assert os.listdir(outside) == []


def test_a_file_is_not_written_through_a_link(tree: TargetTree, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "target" / "f").symlink_to(victim)
    (tmp_path / "target" / "new").symlink_to(tmp_path / "created")
    source = DictSource()
    for name in (b"f", b"new"):
        with pytest.raises(FileExistsError):
            write_whole(tree, tree.root, file_node(source, name), b"evil")
        for rewrite in (False, True):
            with pytest.raises(OSError, match=r"."):
                FileWriter(tree).write_at(
                    TargetFile(tree.root, file_node(source, name), rewrite=rewrite), b"evil", 0
                )
        with pytest.raises(OSError, match=r"."):
            open_existing(tree, tree.root, name)
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "created").exists()


def test_a_file_that_becomes_a_link_while_it_is_written(
    tree: TargetTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_file, "_MAX_OPEN_FILES", 1)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    source = DictSource()
    writer = FileWriter(tree)
    files = [TargetFile(tree.root, file_node(source, name, b"12")) for name in (b"a", b"b")]
    for file in files:
        writer.write_at(file, b"1", 0)
    (tmp_path / "target" / "a").unlink()
    (tmp_path / "target" / "a").symlink_to(victim)
    with pytest.raises(OSError, match=r"."):
        writer.write_at(files[0], b"2", 1)
    writer.write_at(files[1], b"2", 1)
    writer.finish(files[1])
    writer.abandon(files[0])
    assert victim.read_bytes() == b"mine"
    assert (tmp_path / "target" / "a").is_symlink()  # it is not ours to remove
    assert (tmp_path / "target" / "b").read_bytes() == b"12"


def test_pieces_in_any_order_with_few_descriptors(
    tree: TargetTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_file, "_MAX_OPEN_FILES", 3)
    source = DictSource()
    writer = FileWriter(tree)
    before = len(os.listdir("/proc/self/fd"))
    files = [
        TargetFile(tree.root.child(b"d"), file_node(source, b"%d" % i, b"abcd")) for i in range(9)
    ]
    (tmp_path / "target" / "d").mkdir()
    for file in files:
        file.directory.exists = True
    for offset in (2, 0, 3, 1):
        for file in files:
            writer.write_at(file, b"abcd"[offset : offset + 1], offset)
            assert len(os.listdir("/proc/self/fd")) <= before + 3 + len(files)
    for file in files:
        writer.finish(file)
        restored = tmp_path / "target" / "d" / os.fsdecode(file.node.name)
        assert restored.read_bytes() == b"abcd"
        assert restored.stat().st_mtime_ns == file.node.mtime_ns


def test_unfinished_files_are_removed(tree: TargetTree, tmp_path: Path) -> None:
    source = DictSource()
    writer = FileWriter(tree)
    for name in (b"a", b"b"):
        writer.write_at(TargetFile(tree.root, file_node(source, name)), b"1", 0)
    writer.abandon_all()
    assert os.listdir(tmp_path / "target") == []


def test_a_file_grants_nothing_before_it_is_complete(tree: TargetTree, tmp_path: Path) -> None:
    source = DictSource()
    writer = FileWriter(tree)
    file = TargetFile(tree.root, file_node(source, b"f", mode=0o666))
    writer.write_at(file, b"x", 0)
    assert (tmp_path / "target" / "f").stat().st_mode & 0o777 == 0o600
    writer.abandon_all()


def test_an_existing_file_is_closed_to_others_while_it_is_rewritten(
    tree: TargetTree, tmp_path: Path
) -> None:
    path = tmp_path / "target" / "f"
    path.write_bytes(b"old content")
    path.chmod(0o644)
    writer = FileWriter(tree)
    file = TargetFile(tree.root, file_node(DictSource(), b"f", b"new"), rewrite=True)
    writer.write_at(file, b"new", 0)
    assert path.stat().st_mode & 0o777 == 0o600
    writer.finish(file)
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_bytes() == b"new"


def test_a_file_of_somebody_else_is_closed_until_it_has_its_owner(
    tree: TargetTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    modes: list[int] = []
    fchown = os.fchown

    def watch(fd: int, uid: int, gid: int) -> None:
        modes.append(os.fstat(fd).st_mode & 0o777)
        fchown(fd, uid, gid)

    monkeypatch.setattr(os, "fchown", watch)
    write_whole(tree, tree.root, file_node(DictSource(), b"f", uid=5, mode=0o664), b"x")
    assert modes == [0o600]
    assert (tmp_path / "target" / "f").stat().st_mode & 0o777 == 0o664


def test_whole_files_get_their_mode_whatever_the_umask(tmp_path: Path) -> None:
    source = DictSource()
    for umask in (0o000, 0o022, 0o077, 0o777):
        location = os.fsencode(tmp_path / f"target {umask:o}")
        old = os.umask(umask)
        try:
            with TargetTree(location, TargetProblems(location, lambda _: None)) as tree:
                os.mkdir(location)
                os.chmod(location, 0o700)
                assert tree.look()
                for mode in (0o644, 0o666, 0o600, 0o777, 0o000):
                    write_whole(tree, tree.root, file_node(source, b"%o" % mode, mode=mode), b"x")
        finally:
            os.umask(old)
        for entry in os.scandir(location):
            assert entry.stat().st_mode & 0o7777 == int(entry.name, 8)


def test_removing_does_not_follow_and_keeps_what_it_is_told(
    tree: TargetTree, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    target = tmp_path / "target"
    (target / "d" / "e").mkdir(parents=True)
    (target / "d" / "link").symlink_to(outside)
    (target / "d" / "e" / "keep").touch()
    (target / "d" / "e" / "drop").touch()
    (target / "d" / "f").mkdir()
    asked: list[bytes] = []

    def keep(path: bytes, _is_directory: bool) -> bool:
        asked.append(path)
        return path == b"/d/e/keep"

    assert tree.remove(tree.root, b"d", keep) == 3
    assert set(asked) == {b"/d/e", b"/d/f", b"/d/link", b"/d/e/keep", b"/d/e/drop"}
    assert os.listdir(outside) == ["precious"]
    assert os.listdir(target / "d") == ["e"]
    assert tree.remove(tree.root, b"d") == 3
    assert os.listdir(target) == []


def test_existing_entries_are_opened_without_waiting(tree: TargetTree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "target" / "fifo")
    os.close(open_existing(tree, tree.root, b"fifo"))
    with pytest.raises(OSError, match=r"."):
        FileWriter(tree).write_at(
            TargetFile(tree.root, file_node(DictSource(), b"fifo"), rewrite=True), b"x", 0
        )


def test_reading_stops_where_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    fd = os.open(path, os.O_RDONLY)
    assert read_at(fd, 8, 5) == b"89"
    assert read_at(fd, 20, 5) == b""
    assert read_at(fd, 0, 10) == b"0123456789"
    os.close(fd)


def test_what_every_entry_would_meet_is_an_error(findings: list[Finding]) -> None:
    problems = TargetProblems(b"/target", findings.append)
    problems.meet(b"/a", PermissionError(13, "Permission denied"))
    problems.meet(b"/b", OverflowError("too large"))
    with pytest.raises(TargetError) as raised:
        problems.meet(b"/c", OSError(28, "No space left on device"))
    assert raised.value.path == "/target/c"
    assert [finding.path for finding in findings] == ["/a", "/b"]


def test_common_problems_are_counted(findings: list[Finding]) -> None:
    problems = TargetProblems(b"/target", findings.append)
    for index in range(5):
        problems.tally("not set", b"/%d" % index)
    assert findings == []
    problems.report_tallies()
    assert findings == [Finding("/0", "not set (and 4 more entries)")]
