"""Restore into empty targets: everything comes back exactly, damage is reported by name."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError, TargetError, TargetNotEmptyError
from holdfast.format.node import NodeExtra, NodeType
from holdfast.fs.target_file import FileWriter, TargetFile
from holdfast.hashing import Bytes
from holdfast.ids import BlobId
from holdfast.operations import restore_content
from holdfast.operations.restore import ActionKind, Overwrite, RestoreAction
from holdfast.operations.tree_walk import root_node
from holdfast.policy.filters import ExcludeFilter, IncludeFilter
from support.restoring import problems, run_restore
from support.trees import (
    DictSource,
    directory_node,
    file_node,
    node_of,
    read_tree,
    snapshot_tree,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, identity)
    for tag, permissions, identity in [
        (0x01, 7, 0xFFFFFFFF),
        (0x02, 4, 1234),
        (0x04, 5, 0xFFFFFFFF),
        (0x10, 5, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
)


def round_trip(origin: Path, target: Path) -> None:
    """Read a real tree, restore it, compare everything."""
    source = DictSource()
    node = snapshot_tree(source, bytes(origin), b"origin")
    result = run_restore(source, node, target, verify=True)
    assert result.findings == []
    assert result.damaged == 0
    assert read_tree(bytes(target)) == read_tree(bytes(origin))


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "origin"
    path.mkdir(mode=0o751)
    return path


def set_times(path: bytes | Path, mtime_ns: int = 1_234_567_890_987_654_321) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def test_a_plain_tree(origin: Path, tmp_path: Path) -> None:
    (origin / "empty").touch()
    (origin / "small").write_bytes(b"hello")
    (origin / "large").write_bytes(os.urandom(50_000))
    (origin / "repeated").write_bytes(b"same" * 1024 * 7)
    (origin / "directory" / "inner").mkdir(parents=True)
    (origin / "directory" / "inner" / "small copy").write_bytes(b"hello")
    (origin / "link").symlink_to("directory/inner")
    (origin / "dangling").symlink_to("/nowhere/at all")
    for path in [*origin.rglob("*"), origin]:
        set_times(path)
    round_trip(origin, tmp_path / "target")


def test_odd_names(origin: Path, tmp_path: Path) -> None:
    names = [
        b"new\nline",
        b"\xff\xfe not utf-8",
        b"-rf",
        b"x" * 255,
        b" ",
        b"...",
        b"*",
        b"\x01\x7f",
        "ä€𝄞".encode(),
        b"back\\slash",
    ]
    for name in names:
        inner = bytes(origin) + b"/" + name
        os.mkdir(inner)
        for entry in names:
            with open(inner + b"/" + entry, "wb") as file:
                file.write(entry)
    round_trip(origin, tmp_path / "target")


def test_deep_trees(tmp_path: Path) -> None:
    source = DictSource()
    node = directory_node(source, b"leaf", [file_node(source, b"f", b"deep")])
    for _ in range(1500):
        node = directory_node(source, b"d" * 20, [node, file_node(source, b"f", b"level")])
    result = run_restore(source, node, tmp_path / "target")
    assert result.findings == []
    assert result.files == 1501
    fd = os.open(tmp_path / "target", os.O_RDONLY)
    for name in [b"d" * 20] * 1499 + [b"leaf"]:
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    assert os.listdir(fd) == ["f"]
    os.close(fd)
    subprocess.run(["rm", "-rf", str(tmp_path / "target")], check=True)


def test_hard_links(origin: Path, tmp_path: Path) -> None:
    (origin / "a").write_bytes(b"content")
    (origin / "d").mkdir()
    os.link(origin / "a", origin / "d" / "b")
    os.link(origin / "a", origin / "z")
    (origin / "large").write_bytes(os.urandom(20_000))
    os.link(origin / "large", origin / "d" / "large too")
    (origin / "symlink").symlink_to("x")
    os.link(origin / "symlink", origin / "symlink too", follow_symlinks=False)
    round_trip(origin, tmp_path / "target")


def test_hard_link_whose_first_name_is_left_out(origin: Path, tmp_path: Path) -> None:
    (origin / "a").write_bytes(b"content")
    os.link(origin / "a", origin / "b")
    os.link(origin / "a", origin / "c")
    source = DictSource()
    node = snapshot_tree(source, bytes(origin))
    result = run_restore(source, node, tmp_path / "target", exclude=ExcludeFilter(["/a"]))
    assert (result.files, result.links) == (1, 1)
    restored = read_tree(bytes(tmp_path / "target"), with_root=False)
    assert restored[b"b"].names == (b"b", b"c")
    assert restored[b"b"].body == b"content"


@pytest.mark.parametrize(
    "extents",
    [[(0, 4096)], [(1 << 20, 4096)], [(0, 8192), (1 << 20, 4096), (3 << 20, 100)], []],
)
def test_sparse_files(origin: Path, tmp_path: Path, extents: list[tuple[int, int]]) -> None:
    path = origin / "sparse"
    with open(path, "wb") as file:
        for offset, length in extents:
            file.seek(offset)
            file.write(os.urandom(length))
        file.truncate(4 << 20)
    round_trip(origin, tmp_path / "target")
    restored = (tmp_path / "target" / "sparse").stat()
    assert restored.st_blocks <= path.stat().st_blocks


def test_extended_attributes(origin: Path, tmp_path: Path) -> None:
    (origin / "file").write_bytes(b"x")
    (origin / "directory").mkdir()
    try:
        for path in (origin / "file", origin / "directory"):
            os.setxattr(path, "user.colour", b"\0\xffred")
            os.setxattr(path, "user.empty", b"")
    except OSError:
        pytest.skip("this file system has no user attributes")
    (origin / "file").chmod(0o400)
    round_trip(origin, tmp_path / "target")


def test_acls(origin: Path, tmp_path: Path) -> None:
    (origin / "file").write_bytes(b"x")
    (origin / "directory").mkdir()
    try:
        os.setxattr(origin / "file", "system.posix_acl_access", ACL)
        os.setxattr(origin / "directory", "system.posix_acl_default", ACL)
    except OSError:
        pytest.skip("this file system has no ACLs")
    (origin / "directory" / "inner").write_bytes(b"y")
    round_trip(origin, tmp_path / "target")


def test_default_acl_of_the_target_is_not_inherited(origin: Path, tmp_path: Path) -> None:
    (origin / "directory").mkdir()
    (origin / "directory" / "file").write_bytes(b"x")
    (origin / "file").write_bytes(b"x")
    target = tmp_path / "target"
    target.mkdir()
    try:
        os.setxattr(target, "system.posix_acl_default", ACL)
    except OSError:
        pytest.skip("this file system has no ACLs")
    source = DictSource()
    node = snapshot_tree(source, bytes(origin))
    assert run_restore(source, node, target).findings == []
    assert read_tree(bytes(target), with_root=False) == read_tree(bytes(origin), with_root=False)


def test_fifos_and_sockets(origin: Path, tmp_path: Path) -> None:
    os.mkfifo(origin / "fifo", 0o640)
    (origin / "fifo").chmod(0o642)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(origin / "socket"))
    listener.close()
    for path in origin.iterdir():
        set_times(path)
    round_trip(origin, tmp_path / "target")


@needs_root
def test_devices(origin: Path, tmp_path: Path) -> None:
    try:
        os.mknod(origin / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(origin / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    except PermissionError:
        pytest.skip("devices are not permitted here")
    round_trip(origin, tmp_path / "target")


@needs_root
def test_owners_and_special_modes(origin: Path, tmp_path: Path) -> None:
    for index, mode in enumerate([0o4755, 0o2755, 0o1777, 0o6711, 0o000, 0o444, 0o200]):
        file = origin / f"file {mode:o}"
        file.write_bytes(b"x" * index)
        directory = origin / f"directory {mode:o}"
        directory.mkdir()
        (directory / "inner").write_bytes(b"y")
        for path in (file, directory, directory / "inner"):
            os.chown(path, 1000 + index, 2000)
            path.chmod(mode)
    (origin / "link").symlink_to("x")
    os.chown(origin / "link", 77, 88, follow_symlinks=False)
    round_trip(origin, tmp_path / "target")


@needs_root
def test_set_group_id_target_directory(origin: Path, tmp_path: Path) -> None:
    (origin / "file").write_bytes(b"x")
    (origin / "directory").mkdir()
    target = tmp_path / "target"
    target.mkdir()
    os.chown(target, 0, 4321)
    target.chmod(0o2755)
    source = DictSource()
    run_restore(source, root_node(snapshot_tree(source, bytes(origin)).content), target)
    assert read_tree(bytes(target), with_root=False) == read_tree(bytes(origin), with_root=False)


def test_read_only_directories(origin: Path, tmp_path: Path) -> None:
    (origin / "directory" / "inner").mkdir(parents=True)
    (origin / "directory" / "file").write_bytes(b"x")
    (origin / "directory" / "inner").chmod(0o555)
    (origin / "directory").chmod(0o555)
    try:
        round_trip(origin, tmp_path / "target")
    finally:
        for base in (origin, tmp_path / "target"):
            (base / "directory").chmod(0o755)


def test_other_owners_without_rights() -> None:
    """As a normal user: one finding for all, and no set-user-id bit for the wrong owner."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    script = """
import os, tempfile
from support.restoring import run_restore
from support.trees import DictSource, directory_node, file_node
base = tempfile.mkdtemp()
os.chown(base, 65534, 65534)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
source = DictSource()
files = [file_node(source, b"%d" % i, b"x", mode=0o4755, uid=12345) for i in range(3)]
node = directory_node(source, b"d", files, mode=0o500)
for overwrite in (None, Overwrite.ALWAYS, Overwrite.IF_CHANGED):
    result = run_restore(source, node, base + "/target", overwrite=overwrite)
    assert len(result.findings) == 1, result.findings
    assert "owner" in result.findings[0].problem and "2 more" in result.findings[0].problem
    assert os.stat(base + "/target/0").st_mode & 0o7777 == 0o755
    assert os.stat(base + "/target").st_mode & 0o7777 == 0o500
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", "from holdfast.operations.restore import Overwrite" + script],
        env={"PYTHONPATH": f"{root}/engine:{root}/tests", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_access_times_when_recorded(tmp_path: Path) -> None:
    source = DictSource()
    node = file_node(source, b"f", b"x", extra=NodeExtra(atime_ns=5_000_000_001))
    run_restore(source, node, tmp_path / "target", path=b"/f")
    assert (tmp_path / "target" / "f").stat().st_atime_ns == 5_000_000_001


def test_a_whole_snapshot_gives_the_target_no_metadata(tmp_path: Path) -> None:
    source = DictSource()
    home = directory_node(source, b"home", [file_node(source, b"f", b"x")])
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    run_restore(source, root_node(source.add_directory([home])), target)
    assert (target / "home" / "f").read_bytes() == b"x"
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_a_target_that_is_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "target").symlink_to("real")
    source = DictSource()
    run_restore(source, directory_node(source, b"", [file_node(source, b"f")]), tmp_path / "target")
    assert (tmp_path / "real" / "f").exists()


def test_targets_that_cannot_be_used(tmp_path: Path) -> None:
    source = DictSource()
    node = directory_node(source, b"d")
    (tmp_path / "file").touch()
    with pytest.raises(TargetError):
        run_restore(source, node, tmp_path / "file")
    with pytest.raises(TargetError):
        run_restore(source, node, tmp_path / "file" / "below")
    with pytest.raises(ConfigurationError):
        run_restore(source, node, "")
    with pytest.raises(TargetNotEmptyError):
        run_restore(source, node, tmp_path)


def test_damaged_and_missing_blobs(tmp_path: Path) -> None:
    source = DictSource()
    large = os.urandom(5 * 4096)
    nodes = [
        file_node(source, b"damaged", b"damaged"),
        file_node(source, b"also damaged", b"damaged"),
        file_node(source, b"good", b"good"),
        file_node(source, b"large", large),
        file_node(source, b"lost", b"lost"),
        file_node(source, b"lost part", b"a" * 4096 + b"lost part"),
        file_node(source, b"short", b"short", size=6),
        file_node(source, b"long", b"l" * 5000, size=4999),
    ]
    source.damage(b"damaged")
    source.damage(large[8192:12288])
    for node in nodes[4:6]:
        del source.blobs[node.blob_ids[-1]]
    target = tmp_path / "target"
    result = run_restore(source, directory_node(source, b"d", nodes), target)
    assert os.listdir(target) == ["good"]
    bad = {f"/{os.fsdecode(node.name)}" for node in nodes if node.name != b"good"}
    assert set(problems(result)) == bad
    assert result.damaged == len(bad)
    assert result.files == 1


def test_damaged_hard_links_are_all_reported(tmp_path: Path) -> None:
    source = DictSource()
    extra = NodeExtra(link_count=2)
    nodes = [file_node(source, name, b"x", extra=extra, inode=7) for name in (b"a", b"b")]
    source.damage(b"x")
    result = run_restore(source, directory_node(source, b"d", nodes), tmp_path / "target")
    assert set(problems(result)) == {"/a", "/b"}
    assert os.listdir(tmp_path / "target") == []


def test_a_damaged_page_loses_only_its_entries(tmp_path: Path) -> None:
    source = DictSource(page_length=2)
    node = directory_node(source, b"d", [file_node(source, b"%d" % i, b"x") for i in range(6)])
    source.damaged.add(node.blob_ids[1])
    result = run_restore(source, node, tmp_path / "target")
    assert sorted(os.listdir(tmp_path / "target")) == ["0", "1", "4", "5"]
    assert result.damaged == 1


@pytest.mark.parametrize("name", [b"..", b"../x", b"/etc/x", b".", b"a/b", b""])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: bytes) -> None:
    source = DictSource()
    for node in (
        file_node(source, name, b"x"),
        directory_node(source, name, [file_node(source, b"y", b"y")]),
        node_of(NodeType.SYMLINK, name, extra=NodeExtra(target=b"/etc")),
    ):
        target = tmp_path / f"target{node.type}"
        result = run_restore(source, directory_node(source, b"d", [node]), target)
        assert result.damaged == 1
        assert os.listdir(target) == []
    assert sorted(os.listdir(tmp_path)) == ["target1", "target2", "target3"]


def test_impossible_numbers_are_findings(tmp_path: Path) -> None:
    source = DictSource()
    huge = 1 << 100
    nodes = [
        file_node(source, b"gid", b"x", gid=huge),
        file_node(source, b"mtime", b"x", mtime_ns=huge),
        file_node(source, b"holes", b"x", extra=NodeExtra(holes=(5, -1)), size=1),
        file_node(source, b"odd holes", b"x", extra=NodeExtra(holes=(5,)), size=1),
        file_node(source, b"size", b"", size=huge, extra=NodeExtra(holes=(0, huge))),
        node_of(NodeType.CHARACTER_DEVICE, b"device", extra=NodeExtra(rdev=huge)),
        node_of(NodeType.SYMLINK, b"empty link"),
        node_of(NodeType.SYMLINK, b"null link", extra=NodeExtra(target=b"a\0b")),
        directory_node(source, b"uid", [], uid=huge),
    ]
    result = run_restore(source, directory_node(source, b"d", nodes), tmp_path / "target")
    assert set(problems(result)) == {f"/{os.fsdecode(node.name)}" for node in nodes}
    assert os.listdir(tmp_path / "target") == ["uid"]


def test_names_too_long_for_the_target_are_findings(tmp_path: Path) -> None:
    source = DictSource()
    nodes = [
        file_node(source, b"n" * 256, b"x"),
        directory_node(source, b"o" * 256, [file_node(source, b"f")]),
        file_node(source, b"ok", b"x"),
    ]
    result = run_restore(source, directory_node(source, b"d", nodes), tmp_path / "target")
    assert len(result.findings) == 2
    assert os.listdir(tmp_path / "target") == ["ok"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_ends_the_restore_cleanly(small_disk: Path) -> None:
    source = DictSource()
    nodes = [file_node(source, b"a", b"a" * 4000), file_node(source, b"big", os.urandom(1 << 20))]
    with pytest.raises(TargetError, match="no space left") as raised:
        run_restore(source, directory_node(source, b"d", nodes), small_disk / "target")
    assert raised.value.path == f"{small_disk}/target/big"
    assert set(os.listdir(small_disk / "target")) <= {"a"}


def test_failures_of_the_storage_leave_no_unfinished_files(tmp_path: Path) -> None:
    class Failing(DictSource):
        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for index, item in enumerate(super().fetch(ids)):
                if index == 3:
                    raise OSError(errno.EIO, "test")
                yield item

    source = Failing()
    node = directory_node(source, b"d", [file_node(source, b"big", os.urandom(1 << 16))])
    with pytest.raises(OSError, match="test"):
        run_restore(source, node, tmp_path / "target")
    assert os.listdir(tmp_path / "target") == []


def test_blobs_that_never_come_are_reported(tmp_path: Path) -> None:
    class Forgetful(DictSource):
        def fetch(self, ids):  # type: ignore[no-untyped-def]
            return iter(list(super().fetch(ids))[:0])

    source = Forgetful()
    nodes = [file_node(source, b"one", b"x"), file_node(source, b"many", os.urandom(9000))]
    result = run_restore(source, directory_node(source, b"d", nodes), tmp_path / "target")
    assert set(problems(result)) == {"/one", "/many"}
    assert os.listdir(tmp_path / "target") == []


def test_verify_notices_what_changed_after_writing(tmp_path: Path) -> None:
    target = tmp_path / "target"

    class Tampering(DictSource):
        def blob_length(self, blob_id: BlobId) -> int:
            # Asked for when files are verified, since each of them is one blob.
            with open(target / "bad", "r+b") as file:
                file.write(b"X")
            return super().blob_length(blob_id)

    source = Tampering()
    nodes = [file_node(source, name, b"data " + name) for name in (b"bad", b"good")]
    result = run_restore(source, directory_node(source, b"d", nodes), target, verify=True)
    assert problems(result) == {"/bad": "differs from the snapshot after it was written"}
    assert (result.verified, result.damaged) == (2, 1)


def test_windows_bound_what_is_open_and_change_nothing(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_content, "_MAX_FILES", 3)
    monkeypatch.setattr(restore_content, "_MAX_PLACES", 5)
    for index in range(20):
        directory = origin / f"{index % 4}" / f"{index}"
        directory.mkdir(parents=True)
        (directory / "small").write_bytes(b"%d" % index)
        (directory / "large").write_bytes(os.urandom(30_000))
        os.link(directory / "large", origin / f"link {index}")
    for path in [*origin.rglob("*"), origin]:
        set_times(path)
    round_trip(origin, tmp_path / "target")


def test_many_files_in_pieces_at_once(origin: Path, tmp_path: Path) -> None:
    for index in range(150):
        (origin / f"{index}").write_bytes(os.urandom(9000))
    round_trip(origin, tmp_path / "target")


def test_blobs_are_fetched_once(tmp_path: Path) -> None:
    source = DictSource()
    nodes = [file_node(source, b"%d" % i, b"the same content") for i in range(50)]
    run_restore(source, directory_node(source, b"d", nodes), tmp_path / "target")
    assert len(source.fetched) == 1


def _home(source: DictSource) -> bytes:
    user = [
        directory_node(source, b"cache", [file_node(source, b"c.txt", b"c")]),
        directory_node(source, b"work", [file_node(source, b"w.txt", b"w")], mode=0o750),
        file_node(source, b"n.txt", b"n"),
        file_node(source, b"n.o", b"o"),
    ]
    home = directory_node(source, b"home", [directory_node(source, b"u", user, mode=0o711)])
    other = directory_node(source, b"srv", [directory_node(source, b"s", [], mode=0o700)])
    return source.add_directory([home, other])


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (
            [],
            ["*.o", "/home/u/cache", "/srv/"],
            "home home/u home/u/n.txt home/u/work home/u/work/w.txt",
        ),
        (["/home/u/work"], [], "home home/u home/u/work home/u/work/w.txt"),
        (["*.txt"], ["cache"], "home home/u home/u/n.txt home/u/work home/u/work/w.txt"),
        (["/home/u/n.*"], [], "home home/u home/u/n.o home/u/n.txt"),
        (["/srv"], [], "srv srv/s"),
        (["nothing"], [], ""),
    ],
)
def test_include_and_exclude(
    tmp_path: Path, include: list[str], exclude: list[str], expected: str
) -> None:
    source = DictSource()
    node = root_node(_home(source))
    target = tmp_path / "target"
    result = run_restore(
        source, node, target, include=IncludeFilter(include), exclude=ExcludeFilter(exclude)
    )
    assert result.findings == []
    restored = read_tree(bytes(target), with_root=False)
    assert " ".join(sorted(os.fsdecode(name) for name in restored)) == expected
    if b"home/u" in restored:
        assert restored[b"home/u"].mode == 0o711
        assert restored[b"home/u"].mtime_ns == 1_500_000_000_987_654_321


def test_a_path_that_cannot_match_is_not_read(tmp_path: Path) -> None:
    source = DictSource()
    node = root_node(_home(source))
    run_restore(source, node, tmp_path / "target", include=IncludeFilter(["/srv/s"]))
    assert source.pages_read == 3


def test_a_dry_run_tells_all_and_touches_nothing(tmp_path: Path) -> None:
    source = DictSource()
    node = root_node(_home(source))
    actions: list[RestoreAction] = []
    result = run_restore(source, node, tmp_path / "target", dry_run=True, on_action=actions.append)
    assert os.listdir(tmp_path) == []
    assert source.fetched == []
    assert (result.files, result.directories) == (4, 6)
    assert [(action.kind, action.path) for action in actions][:3] == [
        (ActionKind.CREATE, b"/home"),
        (ActionKind.CREATE, b"/home/u"),
        (ActionKind.CREATE, b"/home/u/cache"),
    ]
    real: list[RestoreAction] = []
    run_restore(source, node, tmp_path / "target", on_action=real.append)
    assert real == actions


_contents = st.one_of(st.binary(max_size=20), st.integers(1, 12).map(lambda n: b"block" * 1000 * n))
_tree_names = st.binary(min_size=1, max_size=6).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
_trees = st.recursive(
    st.one_of(_contents, st.just("link"), st.just("fifo")),
    lambda inner: st.dictionaries(_tree_names, inner, max_size=5),
    max_leaves=20,
)


def _build(path: bytes, tree: object, mode: int) -> None:
    if isinstance(tree, dict):
        os.mkdir(path)
        for name, inner in tree.items():
            _build(path + b"/" + name, inner, mode)
        os.chmod(path, 0o700 | mode)
    elif tree == "link":
        os.symlink(b"some/where", path)
    elif tree == "fifo":
        os.mkfifo(path)
    else:
        assert isinstance(tree, bytes)
        with open(path, "wb") as file:
            file.write(tree)
        os.chmod(path, 0o400 | mode)
    set_times(path, 1_000_000_000_000_000_000 + mode)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(_tree_names, _trees, max_size=5), st.integers(0, 0o777))
def test_random_trees_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object], mode: int
) -> None:
    base = tmp_path_factory.mktemp("random")
    _build(bytes(base / "origin"), tree, mode)
    round_trip(base / "origin", base / "target")
    source = DictSource()
    node = snapshot_tree(source, bytes(base / "origin"), b"origin")
    again = run_restore(source, node, base / "target", overwrite=Overwrite.ALWAYS)
    assert (again.files, again.bytes_written, again.findings) == (0, 0, [])


def test_small_pieces_that_follow_one_another_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InOrder(DictSource):
        def fetch(self, ids):  # type: ignore[no-untyped-def]
            return ((blob_id, memoryview(self.blobs[blob_id])) for blob_id in ids)

    written: list[tuple[int, int]] = []
    write_at = FileWriter.write_at

    def counting(self: FileWriter, file: TargetFile, data: Bytes, offset: int) -> None:
        written.append((offset, len(data)))
        write_at(self, file, data, offset)

    monkeypatch.setattr(FileWriter, "write_at", counting)
    monkeypatch.setattr(restore_content, "_PIECES", 64 << 10)
    source = InOrder()
    data = os.urandom(300_000)
    node = directory_node(source, b"d", [file_node(source, b"dump", data)])
    result = run_restore(source, node, tmp_path / "target")
    assert (tmp_path / "target" / "dump").read_bytes() == data
    assert result.bytes_written == len(data)
    assert written == [(at, min(64 << 10, len(data) - at)) for at in range(0, len(data), 64 << 10)]
