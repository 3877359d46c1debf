"""Archives as other programs read them: GNU tar, Python's tarfile and zipfile, Info-ZIP."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.errors import TransientBackendError
from holdfast.format.node import NodeExtra, NodeType
from holdfast.ids import BlobId
from holdfast.operations import archive_windows, archive_zip
from holdfast.operations.archive import Archive, ArchiveKind
from holdfast.repository.decoding import Decoded
from support.archives import (
    SNAPSHOT,
    TIME_NS,
    has_program,
    make_archive,
    read_tar,
    read_zip,
    tar_content,
    untar,
    unzip,
)
from support.trees import (
    DictSource,
    EntryState,
    directory_node,
    file_node,
    node_of,
    read_tree,
    snapshot_tree,
)

ODD = b"odd \xe9\x1b\n"
NOISE = random.Random(5)


@pytest.fixture
def source() -> DictSource:
    return DictSource()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Every kind of entry but sockets, with everything that tar can hold."""
    root = tmp_path / "tree"
    base = os.fsencode(root)
    (root / "inner" / "empty").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"alpha\n" * 3000)
    (root / "empty.txt").touch()
    os.link(root / "a.txt", root / "inner" / "same.txt")
    (root / "link").symlink_to("a.txt")
    os.symlink(b"to \xe9", base + b"/bad link")
    with open(base + b"/" + ODD, "wb") as file:
        file.write(b"odd")
    long = base + b"/" + b"/".join([b"x" * 90] * 4)
    os.makedirs(long)
    for name in ("ü" * 60, "plain"):
        with open(long + b"/" + name.encode(), "wb") as file:
            file.write(name.encode())
    os.mkfifo(root / "fifo")
    with (root / "sparse").open("wb") as file:
        file.truncate(3_000_000)
        file.seek(1_000_000)
        file.write(b"island")
    try:
        os.setxattr(root / "a.txt", "user.strange=%name", b"\0\xff\n=")
    except OSError:
        pass  # a file system without attributes: the rest is still compared
    (root / "inner").chmod(0o2750)
    (root / "a.txt").chmod(0o4711)
    for path, time_ns in ((root / "a.txt", -1_500_000_000), (root / "inner", 987_654_321)):
        os.utime(path, ns=(time_ns, time_ns))
    return root


def pack_tree(source: DictSource, tree: Path, kind: ArchiveKind) -> bytes:
    """Return an archive of a real tree, below the name "top"."""
    node = snapshot_tree(source, os.fsencode(tree), b"top")
    data, result = make_archive(source, node, kind, b"/some/where/top")
    assert kind is ArchiveKind.ZIP or not result.findings
    return data


def without_times(state: EntryState) -> object:
    """What a zip archive brings back of a file or directory."""
    return state.kind, state.mode & 0o777, state.size, state.body


def test_gnu_tar_restores_everything(source: DictSource, tree: Path, tmp_path: Path) -> None:
    data = pack_tree(source, tree, ArchiveKind.TAR)
    said = untar(data, tmp_path / "out")
    # It warns of times before 1970, and still sets them.
    assert [line for line in said.splitlines() if b"implausibly old" not in line] == []
    assert read_tree(os.fsencode(tmp_path / "out" / "top")) == read_tree(os.fsencode(tree))


@pytest.mark.skipif(not has_program("setfacl"), reason="setfacl is not installed")
def test_acls_are_text_that_tar_sets(source: DictSource, tree: Path, tmp_path: Path) -> None:
    rules = [("-m", "u:1234:rw,g:77:x,m::rwx", "a.txt"), ("-dm", "u:4321:rwx", "inner")]
    for option, rule, name in rules:
        done = subprocess.run(["setfacl", option, rule, tree / name], check=False)
        if done.returncode:
            pytest.skip("the file system has no ACLs")
    data = pack_tree(source, tree, ArchiveKind.TAR)
    assert read_tar(data)["top/a.txt"].pax_headers["SCHILY.acl.access"] == (
        "user::rwx,user:1234:rw-,group::--x,group:77:--x,mask::rwx,other::--x"
    )
    untar(data, tmp_path / "out")
    assert read_tree(os.fsencode(tmp_path / "out" / "top")) == read_tree(os.fsencode(tree))


@pytest.mark.skipif(not has_program("unzip"), reason="unzip is not installed")
def test_unzip_restores_what_zip_can_hold(source: DictSource, tree: Path, tmp_path: Path) -> None:
    # unzip drops control characters from names.
    (tree / os.fsdecode(ODD)).rename(tree / os.fsdecode(b"odd\xe9"))
    archive = tmp_path / "a.zip"
    archive.write_bytes(pack_tree(source, tree, ArchiveKind.ZIP))
    assert unzip(archive, tmp_path / "out") == 0
    expected = read_tree(os.fsencode(tree))
    found = read_tree(os.fsencode(tmp_path / "out" / "top"))
    assert set(expected) - set(found) == {b"fifo"}
    assert {path: without_times(state) for path, state in found.items()} == {
        path: without_times(expected[path]) for path in found
    }
    for path, state in found.items():
        if stat.S_ISLNK(state.kind) or expected[path].mtime_ns < 0:
            continue  # unzip leaves the times of links alone, and knows none before 1970
        assert state.mtime_ns == expected[path].mtime_ns // 10**9 * 10**9, path


def test_zip_names_are_bytes(source: DictSource) -> None:
    node = directory_node(source, b"", [file_node(source, name) for name in (ODD, b"\xc3\xbc")])
    data, _ = make_archive(source, node, ArchiveKind.ZIP)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {
            info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
            for info in archive.infolist()
        }
    assert found == {ODD, b"\xc3\xbc"}


def test_names_in_tar_are_bytes(source: DictSource) -> None:
    names = [b"\xff" * 99, b"\xff" * 150, b"d" * 101, "ü".encode() * 51, ODD]
    nodes = [file_node(source, name, b"x") for name in names]
    nodes.append(
        node_of(NodeType.SYMLINK, b"link", extra=NodeExtra(target=b"\xfe" * 200), mode=0o777)
    )
    data, _ = make_archive(source, directory_node(source, b"", nodes))
    members = read_tar(data)
    assert {os.fsencode(name) for name in members} == {*names, b"link"}
    assert os.fsencode(members["link"].linkname) == b"\xfe" * 200
    listed = subprocess.run(
        ["tar", "-t", "--quoting-style=literal"], input=data, capture_output=True, check=True
    )
    for name in names:
        assert name in listed.stdout


def test_numbers_of_any_size(source: DictSource) -> None:
    extra = NodeExtra(rdev=os.makedev(4095, 1_000_000))
    nodes = [
        node_of(NodeType.BLOCK_DEVICE, b"device", extra=extra),
        file_node(source, b"far", mtime_ns=2**62, uid=2**31, gid=2**40),
        file_node(source, b"named", uid=7, gid=9),
        file_node(source, b"past", mtime_ns=-(10**9) - 1, uid=8),
        file_node(source, b"whole", mtime_ns=5 * 10**9),
    ]
    data, _ = make_archive(source, directory_node(source, b"", nodes))
    found = read_tar(data)
    assert (found["device"].devmajor, found["device"].devminor) == (4095, 1_000_000)
    assert (found["far"].uid, found["far"].gid) == (2**31, 2**40)
    assert found["far"].pax_headers["mtime"] == "4611686018.427387904"
    assert (found["named"].uname, found["named"].gname) == ("anna", "staff")
    assert found["past"].pax_headers["mtime"] == "-1.000000001"
    assert found["past"].uname == "ü" * 20
    assert "mtime" not in found["whole"].pax_headers
    assert found["whole"].mtime == 5


def test_names_of_the_same_file_are_links_in_tar_and_files_in_zip(source: DictSource) -> None:
    extra = NodeExtra(link_count=3)
    names = [
        file_node(source, name, b"shared", inode=5, device=1, extra=extra) for name in (b"a", b"b")
    ]
    node = directory_node(source, b"top", names)
    data, result = make_archive(source, node, path=b"/x/top")
    members = read_tar(data)
    assert members["top/b"].islnk()
    assert members["top/b"].linkname == "top/a"
    assert (result.files, result.links) == (1, 1)
    data, result = make_archive(source, node, ArchiveKind.ZIP, b"/x/top")
    assert read_zip(data) == {"top/": b"", "top/a": b"shared", "top/b": b"shared"}


def test_a_single_file_and_a_whole_snapshot(source: DictSource) -> None:
    data, result = make_archive(source, file_node(source, b"f", b"12345"), path=b"/home/f")
    assert tar_content(data, "f") == b"12345"
    assert (result.files, result.content_bytes) == (1, 5)
    inner = directory_node(source, b"home", [file_node(source, b"f", b"1")])
    data, result = make_archive(source, directory_node(source, b"", [inner]))
    assert list(read_tar(data)) == ["home", "home/f"]
    assert (result.directories, result.findings) == (1, [])


def test_what_a_format_cannot_hold_is_reported(source: DictSource) -> None:
    kinds = (NodeType.SOCKET, NodeType.FIFO, NodeType.CHARACTER_DEVICE)
    node = directory_node(source, b"", [node_of(kind, kind.name.encode()) for kind in kinds])
    data, result = make_archive(source, node)
    assert set(read_tar(data)) == {"FIFO", "CHARACTER_DEVICE"}
    assert [finding.path for finding in result.findings] == ["/SOCKET"]
    data, result = make_archive(source, node, ArchiveKind.ZIP)
    assert read_zip(data) == {}
    assert (result.skipped, result.damaged) == (3, 0)
    assert result.findings[0].problem == "left out: a zip archive cannot hold a device"


# -- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ArchiveKind))
def test_small_damaged_files_are_left_out_and_listed(source: DictSource, kind: ArchiveKind) -> None:
    extra = NodeExtra(link_count=2)
    nodes = [
        file_node(source, b"bad", b"bad" * 3000),
        file_node(source, b"good", b"good"),
        file_node(source, b"new\nline", b"worse", inode=5, extra=extra),
        file_node(source, b"second", b"worse", inode=5, extra=extra),
    ]
    source.damage(b"worse")
    source.damage((b"bad" * 3000)[4096:8192])
    data, result = make_archive(source, directory_node(source, b"", nodes), kind)
    if kind is ArchiveKind.TAR:
        assert list(read_tar(data)) == ["good", "HOLDFAST-DAMAGE.txt"]
        text = tar_content(data, "HOLDFAST-DAMAGE.txt").decode()
    else:
        found = read_zip(data)
        assert list(found) == ["good", "HOLDFAST-DAMAGE.txt"]
        text = found["HOLDFAST-DAMAGE.txt"].decode()
    assert (result.damaged, result.files) == (3, 1)
    lines = text.splitlines()[2:]
    assert [line.partition(":")[0] for line in lines] == ["/bad", "/new\\nline", "/second"]
    assert all("left out" in line for line in lines)


def test_long_damaged_files_have_zeros_and_in_zip_a_wrong_checksum(
    source: DictSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_windows, "WHOLE_LENGTH", 10_000)
    monkeypatch.setattr(archive_windows, "_WINDOW_BYTES", 8192)
    content = NOISE.randbytes(40_000)
    source.damage(content[8192:12288])
    node = directory_node(source, b"", [file_node(source, b"long", content)])
    expected = content[:8192] + bytes(4096) + content[12288:]
    data, result = make_archive(source, node)
    assert tar_content(data, "long") == expected
    assert "4096 of its bytes, the first at 8192" in result.findings[0].problem
    assert b"/long: 4096 of its bytes" in tar_content(data, "HOLDFAST-DAMAGE.txt")
    data, result = make_archive(source, node, ArchiveKind.ZIP)
    assert result.damaged == 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() == "long"


@pytest.mark.parametrize("kind", list(ArchiveKind))
def test_a_long_file_whose_list_of_blobs_breaks_off_keeps_its_length(
    source: DictSource, monkeypatch: pytest.MonkeyPatch, kind: ArchiveKind
) -> None:
    monkeypatch.setattr(archive_windows, "WHOLE_LENGTH", 10_000)
    monkeypatch.setattr(archive_windows, "_WINDOW_BYTES", 8192)
    content = NOISE.randbytes(40_000)
    ids = source.add_file(content)
    pages = source.add_ids(ids[:160]) + source.add_ids(ids[160:])
    source.damage(ids[160:])
    long = file_node(source, b"long", content)
    long = msgspec.structs.replace(long, content=pages, extra=NodeExtra(depth=1))
    after = file_node(source, b"next", b"next")
    data, result = make_archive(source, directory_node(source, b"", [long, after]), kind)
    if kind is ArchiveKind.TAR:
        assert tar_content(data, "long") == content[:20_480] + bytes(40_000 - 20_480)
        assert tar_content(data, "next") == b"next"
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() == "long"
            assert archive.read("next") == b"next"
    assert result.damaged == 1


def test_impossible_content_is_left_out(source: DictSource) -> None:
    holes = [(5,), (0, 0), (4, 3, 2, 1), (90, 20)]
    nodes = [
        file_node(source, b"%d" % number, b"x" * 100, extra=NodeExtra(holes=hole))
        for number, hole in enumerate(holes)
    ]
    nodes.append(file_node(source, b"long", b"x", size=9))
    nodes.append(file_node(source, b"none", b"", size=9))
    data, result = make_archive(source, directory_node(source, b"", nodes))
    assert list(read_tar(data)) == ["HOLDFAST-DAMAGE.txt"]
    assert result.damaged == 6


def test_a_damaged_page_costs_its_entries_only(source: DictSource) -> None:
    source.page_length = 2
    nodes = [file_node(source, b"%d" % number, b"x") for number in range(6)]
    node = directory_node(source, b"top", nodes)
    source.damaged.add(BlobId(node.content[32:64]))
    data, result = make_archive(source, node, path=b"/top")
    assert list(read_tar(data)) == [
        "top",
        "top/0",
        "top/1",
        "top/4",
        "top/5",
        "HOLDFAST-DAMAGE.txt",
    ]
    assert [finding.path for finding in result.findings] == ["/top"]


def test_the_list_of_damage_takes_no_name_that_is_taken(source: DictSource) -> None:
    nodes = [
        file_node(source, b"HOLDFAST-DAMAGE.txt", b"theirs"),
        file_node(source, b"bad", b"worse"),
    ]
    source.damage(b"worse")
    data, _ = make_archive(source, directory_node(source, b"", nodes))
    assert list(read_tar(data)) == ["HOLDFAST-DAMAGE.txt", "HOLDFAST-DAMAGE.txt~"]
    assert tar_content(data, "HOLDFAST-DAMAGE.txt") == b"theirs"


def test_storage_that_fails_ends_the_archive_and_its_threads(source: DictSource) -> None:
    class FailingSource(DictSource):
        def fetch(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
            raise TransientBackendError("memory:", "pack", "test")

    failing = FailingSource()
    node = directory_node(failing, b"", [file_node(failing, b"f", b"x")])
    before = threading.active_count()
    for kind in ArchiveKind:
        with pytest.raises(TransientBackendError):
            make_archive(failing, node, kind)
    assert threading.active_count() == before


def test_an_archive_that_nobody_reads_to_its_end_ends_its_threads(source: DictSource) -> None:
    node = directory_node(
        source, b"", [file_node(source, b"%d" % n, NOISE.randbytes(900_000)) for n in range(4)]
    )
    before = threading.active_count()
    for kind in ArchiveKind:
        stream = Archive(source, SNAPSHOT, node, kind=kind).stream()
        assert next(stream)
        stream.close()
    assert threading.active_count() == before


# -- windows and sizes ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ArchiveKind))
@pytest.mark.parametrize("window", [5000, 100_000])
def test_windows_and_long_files_change_nothing(
    source: DictSource, monkeypatch: pytest.MonkeyPatch, kind: ArchiveKind, window: int
) -> None:
    contents = {
        b"%02d" % number: NOISE.randbytes(size) if number % 2 else b"text\n" * (size // 5)
        for number, size in enumerate((0, 1, 511, 512, 513, 4096, 30_000, 70_000, 5, 12_288))
    }
    contents[b"zz"] = contents[b"07"]  # the same blobs once more
    node = directory_node(
        source, b"", [file_node(source, name, data) for name, data in contents.items()]
    )
    monkeypatch.setattr(archive_windows, "WHOLE_LENGTH", 20_000)
    monkeypatch.setattr(archive_windows, "_WINDOW_BYTES", window)
    monkeypatch.setattr(archive_windows, "_WINDOW_PARTS", 3)
    monkeypatch.setattr(archive_zip, "_BLOCK", 9000)
    data, result = make_archive(source, node, kind)
    if kind is ArchiveKind.TAR:
        found = {name.encode(): tar_content(data, name) for name in read_tar(data)}
    else:
        found = {name.encode(): content for name, content in read_zip(data).items()}
    assert found == contents
    assert result.content_bytes == sum(map(len, contents.values()))


def test_sparse_files_stay_sparse_in_tar(
    source: DictSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = NOISE.randbytes(50_000)
    files = {
        b"both": (bytes(9000) + content + bytes(7000), (0, 9000, 59_000, 7000)),
        b"middle": (content[:9000] + bytes(5000) + content[9000:], (9000, 5000)),
        b"only": (bytes(66_000), (0, 66_000)),
    }
    nodes = [
        file_node(
            source, name, b"" if name == b"only" else content, size=len(whole),
            extra=NodeExtra(holes=holes), mtime_ns=TIME_NS,
        )
        for name, (whole, holes) in files.items()
    ]  # fmt: skip
    # "middle" has its hole inside of a blob's place; blobs never cross holes in a snapshot.
    middle = source.add_file(content[:9000]) + source.add_file(content[9000:])
    nodes[1] = msgspec.structs.replace(nodes[1], content=middle)
    node = directory_node(source, b"", nodes)
    for long in (20 << 20, 100):
        monkeypatch.setattr(archive_windows, "WHOLE_LENGTH", long)
        data, result = make_archive(source, node)
        assert not result.findings
        assert len(data) < 130_000
        for name, (whole, _) in files.items():
            assert tar_content(data, name.decode()) == whole
        target = tmp_path / str(long)
        untar(data, target)
        assert {name: (target / name.decode()).read_bytes() for name in files} == {
            name: whole for name, (whole, _) in files.items()
        }
        zipped, _ = make_archive(source, node, ArchiveKind.ZIP)
        assert read_zip(zipped) == {name.decode(): whole for name, (whole, _) in files.items()}


def test_sizes_beyond_eight_gibibytes_in_tar(
    source: DictSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_windows, "_WINDOW_PLACES", 300)
    size = 10 * 2**40
    blob = source.add_blob(b"x" * 4096)
    node = file_node(
        source, b"huge", size=size, content=blob, extra=NodeExtra(holes=(4096, size - 4096))
    )
    data, result = make_archive(source, node, path=b"/huge")
    assert not result.findings
    assert read_tar(data)["huge"].size == size
    plain = file_node(source, b"plain", size=size, content=blob * 600)
    stream = Archive(source, SNAPSHOT, plain, path=b"/plain", kind=ArchiveKind.TAR).stream()
    header = next(stream)[:2048]
    stream.close()
    member = tarfile.TarFile(fileobj=io.BytesIO(header)).next()
    assert member is not None
    assert member.size == size


def test_zip64(source: DictSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(archive_zip, "_LONG", 30_000)
    monkeypatch.setattr(archive_windows, "WHOLE_LENGTH", 10_000)
    contents = {b"a": b"text\n" * 10_000, b"b": b"short", b"c": NOISE.randbytes(50_000)}
    node = directory_node(source, b"", [file_node(source, *item) for item in contents.items()])
    data, _ = make_archive(source, node, ArchiveKind.ZIP)
    assert read_zip(data) == {name.decode(): content for name, content in contents.items()}
    if has_program("unzip"):
        path = tmp_path / "a.zip"
        path.write_bytes(data)
        assert unzip(path, tmp_path / "out") == 0
        assert (tmp_path / "out" / "c").read_bytes() == contents[b"c"]


def test_zip_of_more_entries_than_sixteen_bits_count() -> None:
    node = file_node(DictSource(), b"f")
    encoder = archive_zip.ZipEncoder()
    for number in range(66_000):
        encoder.add(b"%d" % number, node)
    encoder.finish()
    data = encoder.take()
    encoder.close()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.infolist()) == 66_000
        assert archive.infolist()[-1].filename == "65999"


def test_zip_compresses_what_can_be_compressed(source: DictSource) -> None:
    contents = {b"noise": NOISE.randbytes(300_000), b"text": b"a line of text\n" * 20_000}
    node = directory_node(source, b"", [file_node(source, *item) for item in contents.items()])
    data, _ = make_archive(source, node, ArchiveKind.ZIP)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {info.filename: info.compress_size for info in archive.infolist()}
        modes = {stat.S_IMODE(info.external_attr >> 16) for info in archive.infolist()}
    assert sizes["noise"] == 300_000
    assert sizes["text"] < 10_000
    assert modes == {0o644}


def test_a_real_socket_is_left_out(source: DictSource, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fsencode(tmp_path / "socket"))
        node = snapshot_tree(source, os.fsencode(tmp_path), b"top")
    data, result = make_archive(source, node, path=b"/top")
    assert list(read_tar(data)) == ["top"]
    assert result.skipped == 1
