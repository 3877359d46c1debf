"""Backups of odd trees: everything that a directory can hold comes back as it was."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError, SourceError
from holdfast.format.node import Node, NodeFlag, NodeType
from holdfast.operations import backup_files
from holdfast.policy.filters import ExcludeFilter
from holdfast.repository.repository import Repository
from support.sessions import (
    backup,
    content_of,
    contents_of,
    create,
    nodes_of,
    open_repository,
    random_bytes,
    snapshot_of,
)

TAG = b"Signature: 8a477f597d28d172789f06886806bc55 and so on"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(create(), tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


def fill(directory: Path, names: str) -> None:
    for name in names.split():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def stored(repository: Repository, source: Path, **options: object) -> dict[bytes, Node]:
    result = backup(repository, source, **options)
    return nodes_of(repository, snapshot_of(repository, result), source)


def files(repository: Repository, source: Path, **options: object) -> list[str]:
    """Relative paths of the files that a backup takes."""
    nodes = stored(repository, source, **options)
    return [os.fsdecode(path) for path, node in nodes.items() if node.type == NodeType.FILE]


def test_files_of_all_sizes_come_back(repository: Repository, source: Path) -> None:
    sizes = [0, 1, 4096, (32 << 10) - 1, 32 << 10, (32 << 10) + 1, 128 << 10, 700_000, 5 << 20]
    expected = {b"f%d" % size: random_bytes(size, size) for size in sizes}
    for name, data in expected.items():
        (source / os.fsdecode(name)).write_bytes(data)
    result = backup(repository, source)
    snapshot = snapshot_of(repository, result)
    assert contents_of(repository, snapshot, source) == expected
    assert result.stats.files_new == len(sizes)
    assert result.stats.logical_bytes == result.stats.bytes_read == sum(sizes)
    assert result.findings == ()
    assert (snapshot.paths, snapshot.partial) == ((str(source),), False)


def test_names_of_any_bytes(repository: Repository, source: Path) -> None:
    names = [bytes([byte]) + b"x" for byte in range(1, 256) if byte != ord("/")]
    names += [b"\xff\xfe", b"...", b"a\nb", b"n" * 255, "ü".encode(), b"-rf", b"*", b" "]
    for name in names:
        Path(os.fsdecode(bytes(source) + b"/" + name)).write_bytes(name)
    nodes = stored(repository, source)
    assert list(nodes) == sorted(names)
    assert all(content_of(repository, node) == name for name, node in nodes.items())


def test_every_type_with_its_metadata(repository: Repository, source: Path) -> None:
    fill(source, "file")
    (source / "dir").mkdir(mode=0o711)
    (source / "link").symlink_to(os.fsdecode(b"to\xff/nowhere"))
    os.mkfifo(source / "fifo", 0o640)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(source / "socket"))
    listener.close()
    expected = {
        b"dir": NodeType.DIRECTORY,
        b"fifo": NodeType.FIFO,
        b"file": NodeType.FILE,
        b"link": NodeType.SYMLINK,
        b"socket": NodeType.SOCKET,
    }
    if os.geteuid() == 0:
        try:
            os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(source / "ram", stat.S_IFBLK | 0o600, os.makedev(1, 0))
        except PermissionError:
            pass  # a container that allows no devices
        else:
            expected |= {b"null": NodeType.CHARACTER_DEVICE, b"ram": NodeType.BLOCK_DEVICE}
    os.chmod(source / "file", 0o4755)
    os.utime(source / "file", ns=(1, 1_234_567_890_123_456_789))
    nodes = stored(repository, source)
    assert {name: node.type for name, node in nodes.items()} == expected
    for name, node in nodes.items():
        status = os.lstat(source / os.fsdecode(name))
        assert node.mode == stat.S_IMODE(status.st_mode)
        assert (node.uid, node.gid, node.inode) == (status.st_uid, status.st_gid, status.st_ino)
        assert node.mtime_ns == status.st_mtime_ns
        rdev = node.extra.rdev if node.extra else 0
        assert rdev == (
            status.st_rdev if stat.S_IFMT(status.st_mode) in (stat.S_IFCHR, stat.S_IFBLK) else 0
        )
    link = nodes[b"link"].extra
    assert link is not None
    assert link.target == b"to\xff/nowhere"


def test_hard_links_are_read_once_and_stay_recognisable(
    repository: Repository, source: Path
) -> None:
    (source / "one").write_bytes(random_bytes(200_000))
    os.link(source / "one", source / "two")
    result = backup(repository, source)
    nodes = nodes_of(repository, snapshot_of(repository, result), source)
    one, two = nodes[b"one"], nodes[b"two"]
    assert (one.content, one.inode, one.device) == (two.content, two.inode, two.device)
    assert one.extra is not None
    assert one.extra.link_count == 2
    assert result.stats.bytes_read == 200_000
    assert result.stats.logical_bytes == 400_000


def test_sparse_files_keep_their_holes(repository: Repository, source: Path) -> None:
    with open(source / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"in the middle")
        file.seek(8 << 20)
        file.write(b"near the end")
        file.truncate(16 << 20)
    with open(source / "hole", "wb") as file:
        file.truncate(1 << 30)
    if os.stat(source / "sparse").st_blocks * 512 >= 16 << 20:
        pytest.skip("this file system has no sparse files")
    result = backup(repository, source)
    nodes = nodes_of(repository, snapshot_of(repository, result), source)
    sparse, hole = nodes[b"sparse"], nodes[b"hole"]
    assert content_of(repository, sparse) == (source / "sparse").read_bytes()
    assert hole.content == b""
    assert hole.extra is not None
    assert hole.extra.holes == (0, 1 << 30)
    assert result.stats.bytes_read < 1 << 20
    assert result.stats.logical_bytes == (16 << 20) + (1 << 30)


def test_extended_attributes(repository: Repository, source: Path) -> None:
    fill(source, "file plain")
    try:
        os.setxattr(source / "file", "user.b", b"\0\xff")
        os.setxattr(source / "file", "user.a", b"")
    except OSError:
        pytest.skip("this file system has no user attributes")
    nodes = stored(repository, source)
    extra = nodes[b"file"].extra
    assert extra is not None
    assert extra.xattrs == ((b"user.a", b""), (b"user.b", b"\0\xff"))
    assert nodes[b"plain"].extra is None


def test_access_times_on_request_only(repository: Repository, source: Path) -> None:
    fill(source, "file")
    os.utime(source / "file", ns=(77_000_000_000, 5))
    assert stored(repository, source)[b"file"].extra is None
    extra = stored(repository, source, with_atime=True, force=True)[b"file"].extra
    assert extra is not None
    assert extra.atime_ns == 77_000_000_000
    assert os.stat(source / "file").st_atime_ns == 77_000_000_000, "reading left no trace"


def test_names_of_owners_are_recorded(repository: Repository, source: Path) -> None:
    fill(source, "file")
    snapshot = snapshot_of(repository, backup(repository, source))
    assert 0 in snapshot.user_names or os.geteuid() != 0
    assert set(snapshot.user_names) <= {0, os.geteuid()}


def test_unreadable_files_are_findings(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source, "a bad c")
    real = backup_files.open_file

    def refuse(path: bytes) -> int:
        if path.endswith(b"bad"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(backup_files, "open_file", refuse)
    result = backup(repository, source)
    assert [(f.path, f.problem) for f in result.findings] == [
        (str(source / "bad"), "permission denied")
    ]
    snapshot = snapshot_of(repository, result)
    assert list(nodes_of(repository, snapshot, source)) == [b"a", b"c"]
    assert snapshot.findings == result.findings
    assert result.stats.files_new == 2


def test_vanishing_files_and_directories_are_findings(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source, "a gone c dir/inner")
    real_lstat, real_list = os.lstat, os.listdir

    def lstat(path: bytes) -> os.stat_result:
        if os.fsencode(path).endswith(b"gone"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real_lstat(path)

    def listdir(path: bytes) -> list[bytes]:
        if os.fsencode(path).endswith(b"source/dir"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real_list(path)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(os, "listdir", listdir)
    result = backup(repository, bytes(source))
    monkeypatch.undo()
    assert {finding.path for finding in result.findings} == {
        str(source / "gone"),
        str(source / "dir"),
    }
    assert list(nodes_of(repository, snapshot_of(repository, result), source)) == [
        b"a",
        b"c",
        b"dir",
    ]


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_files_that_change_while_they_are_read(
    size: int,
    change: str,
    repository: Repository,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = source / "file"
    path.write_bytes(random_bytes(size))
    new = {"grows": size + 5000, "shrinks": size // 2, "is rewritten": size}[change]
    real = backup_files.open_file

    def change_first(opened: bytes) -> int:
        path.write_bytes(random_bytes(new, 2))
        os.utime(path, ns=(5, 5))
        return real(opened)

    monkeypatch.setattr(backup_files, "open_file", change_first)
    result = backup(repository, source)
    monkeypatch.undo()
    assert [finding.problem for finding in result.findings] == ["it changed while it was read"]
    (node,) = nodes_of(repository, snapshot_of(repository, result), source).values()
    assert node.extra is not None
    assert node.extra.flags == NodeFlag.CHANGED_WHILE_READ
    assert content_of(repository, node) == random_bytes(new, 2)
    # It is read again next time, whatever its times say.
    again = backup(repository, source)
    assert again.stats.bytes_read == new
    (node,) = nodes_of(repository, snapshot_of(repository, again), source).values()
    assert node.extra is None


def test_excludes(repository: Repository, source: Path) -> None:
    fill(source, "a.o keep/b.o keep/c tmp/x tmp/deep/y big")
    taken = files(repository, source, exclude=ExcludeFilter(["*.o", "tmp/", f"{source}/big"]))
    assert taken == ["keep/c"]


def test_cache_directories_and_marked_directories(repository: Repository, source: Path) -> None:
    fill(source, "cache/data other/data marked/data marked/sub/data marked/.nobackup")
    (source / "cache" / "CACHEDIR.TAG").write_bytes(TAG)
    (source / "other" / "CACHEDIR.TAG").write_bytes(b"not a signature")
    everything = files(repository, source)
    assert len(everything) == 7
    taken = files(repository, source, exclude_caches=True, exclude_if_present=(b".nobackup",))
    assert taken == ["cache/CACHEDIR.TAG", "marked/.nobackup", "other/CACHEDIR.TAG", "other/data"]


def test_larger_files_are_left_out_also_if_the_parent_has_them(
    repository: Repository, source: Path
) -> None:
    (source / "exact").write_bytes(bytes(1000))
    (source / "large").write_bytes(bytes(1001))
    assert files(repository, source) == ["exact", "large"]
    assert files(repository, source, exclude_larger_than=1000) == ["exact"]


def test_one_file_system(repository: Repository) -> None:
    if not Path("/proc/self").exists() or os.stat("/proc").st_dev == os.stat("/").st_dev:
        pytest.skip("needs a mount point below a directory: /proc")
    exclude = ExcludeFilter([f"/{name}" for name in os.listdir("/") if name != "proc"])
    result = backup(repository, b"/", one_file_system=True, exclude=exclude)
    nodes = nodes_of(repository, snapshot_of(repository, result))
    assert list(nodes) == [b"/proc"]
    assert nodes[b"/proc"].content != b""


def test_overlapping_and_repeated_sources_count_once(repository: Repository, source: Path) -> None:
    fill(source, "a/x a/y b/z")
    result = backup(repository, source / "a", source, source / "a" / "x", source / "b" / ".." / "a")
    assert result.stats.files_new == 3
    snapshot = snapshot_of(repository, result)
    assert list(nodes_of(repository, snapshot, source)) == [b"a", b"a/x", b"a/y", b"b", b"b/z"]


def test_several_sources_leave_their_neighbours_out(repository: Repository, source: Path) -> None:
    fill(source, "a/x a/y b/z c")
    result = backup(repository, source / "a" / "y", source / "b")
    nodes = nodes_of(repository, snapshot_of(repository, result), source)
    assert list(nodes) == [b"a", b"a/y", b"b", b"b/z"]
    assert nodes[b"a"].inode == os.stat(source / "a").st_ino
    assert result.stats.files_new == 2


def test_a_source_behind_a_link_and_a_link_as_source(repository: Repository, source: Path) -> None:
    fill(source, "real/inner/file")
    (source / "link").symlink_to("real")
    result = backup(repository, source / "link" / "inner")
    nodes = nodes_of(repository, snapshot_of(repository, result), source)
    assert list(nodes) == [b"link", b"link/inner", b"link/inner/file"]
    assert nodes[b"link"].type == NodeType.DIRECTORY
    result = backup(repository, source / "link")
    (node,) = nodes_of(repository, snapshot_of(repository, result), source).values()
    assert node.type == NodeType.SYMLINK


def test_missing_sources(repository: Repository, source: Path) -> None:
    fill(source, "a")
    result = backup(repository, source / "a", source / "none")
    assert [finding.path for finding in result.findings] == [str(source / "none")]
    with pytest.raises(SourceError, match="no such file"):
        backup(repository, source / "none", source / "nothing")
    with pytest.raises(ConfigurationError):
        backup(repository)
    assert len(repository.snapshots()) == 1


def test_empty_directory(repository: Repository, source: Path) -> None:
    (source / "empty").mkdir()
    (node,) = stored(repository, source).values()
    assert (node.name, node.type) == (b"empty", NodeType.DIRECTORY)


def test_directory_of_many_files(repository: Repository, source: Path) -> None:
    for number in range(5000):
        (source / f"{number:05}").write_bytes(b"%d" % (number % 10))
    first = backup(repository, source)
    nodes = nodes_of(repository, snapshot_of(repository, first), source)
    assert len(nodes) == first.stats.files_new == 5000
    (source / "02500").write_bytes(b"changed")
    again = backup(repository, source)
    assert again.stats.files_changed == 1
    assert again.stats.files_unmodified == 4999
    # One page of the directory, those above it, and seven bytes.
    assert again.stats.bytes_added < 150_000
    nodes = nodes_of(repository, snapshot_of(repository, again), source)
    assert content_of(repository, nodes[b"02500"]) == b"changed"
    assert list(nodes) == sorted(nodes)
