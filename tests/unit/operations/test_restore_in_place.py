"""Restore over a tree that lives: mounts, hard links, programs, links that lead elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import TargetError
from holdfast.format.node import NodeExtra, NodeType
from holdfast.fs import target_file
from holdfast.ids import BlobId
from holdfast.operations.restore import Overwrite
from holdfast.policy.filters import ExcludeFilter, IncludeFilter
from support.restoring import problems, run_restore
from support.trees import DictSource, directory_node, file_node, node_of, read_tree, snapshot_tree

NODE_TIME = 1_600_000_000_123_456_789
EVERYTHING: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
CHANGING = [Overwrite.ALWAYS, Overwrite.IF_CHANGED]


def place(path: Path, data: bytes, mtime_ns: int = NODE_TIME) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


Mounter = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mounter]:
    """Mounts something on a directory for the test's time."""
    mounted: list[Path] = []

    def run(place: Path, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.decode().strip()}")
        mounted.append(place)

    yield run
    for place in reversed(mounted):
        subprocess.run(["umount", place], check=True)


TMPFS = ("-t", "tmpfs", "-o", "size=64k", "holdfast-test")


def test_what_is_mounted_on_a_lacking_directory_is_not_deleted(
    target: Path, mount: Mounter
) -> None:
    (target / "usb").mkdir()
    mount(target / "usb", *TMPFS)
    (target / "usb" / "precious").touch()
    source = DictSource()
    result = run_restore(source, directory_node(source, b""), target, **EVERYTHING)
    assert os.listdir(target / "usb") == ["precious"]
    assert "mounted there" in problems(result)["/usb"]


def test_a_bind_mount_is_not_deleted(target: Path, tmp_path: Path, mount: Mounter) -> None:
    """It has the device number of the file system around it."""
    outside = tmp_path / "outside"
    place(outside / "precious", b"x")
    (target / "chroot" / "home").mkdir(parents=True)
    mount(target / "chroot" / "home", "--bind", str(outside))
    place(target / "chroot" / "file", b"x")
    source = DictSource()
    result = run_restore(source, directory_node(source, b""), target, **EVERYTHING)
    assert os.listdir(outside) == ["precious"]
    assert os.listdir(target / "chroot") == ["home"]
    assert set(problems(result)) == {"/chroot/home"}


@pytest.mark.parametrize("sources", [[b"/"], [b"/", b"/mnt"]])
def test_an_empty_mount_point_of_the_snapshot_empties_no_file_system(
    target: Path, mount: Mounter, sources: list[bytes]
) -> None:
    """As --one-file-system records them; a path that was backed up itself was really empty."""
    (target / "mnt").mkdir()
    mount(target / "mnt", *TMPFS)
    (target / "mnt" / "precious").touch()
    source = DictSource()
    node = directory_node(source, b"", [directory_node(source, b"mnt")])
    result = run_restore(source, node, target, **{**EVERYTHING, "sources": sources})
    foreign = b"/mnt" not in sources
    assert os.listdir(target / "mnt") == ["precious"] * foreign
    assert ("/mnt" in problems(result)) is foreign


def test_a_file_that_is_mounted_is_rewritten(target: Path, tmp_path: Path, mount: Mounter) -> None:
    """As /etc/hosts in a container: nothing else can take its name."""
    place(tmp_path / "hosts", b"old", 5)
    (target / "hosts").touch()
    mount(target / "hosts", "--bind", str(tmp_path / "hosts"))
    source = DictSource()
    node = directory_node(source, b"", [file_node(source, b"hosts", b"right")])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert result.findings == []
    assert (target / "hosts").read_bytes() == b"right"
    assert os.listdir(target) == ["hosts"]


def test_a_mount_that_the_snapshot_knows_is_made_equal(target: Path, mount: Mounter) -> None:
    (target / "home").mkdir()
    mount(target / "home", *TMPFS)
    (target / "home" / "extra").touch()
    source = DictSource()
    home = directory_node(source, b"home", [file_node(source, b"f", b"right")])
    result = run_restore(source, directory_node(source, b"", [home]), target, **EVERYTHING)
    assert result.findings == []
    assert os.listdir(target / "home") == ["f"]


@pytest.mark.parametrize("overwrite", CHANGING)
def test_what_the_restore_needs_itself_is_left_alone(target: Path, overwrite: Overwrite) -> None:
    """Lacking, deep in what is lacking, in the way of something else, and different."""
    places = ["key", "lacking/repository", "in the way", "different", "cache"]
    place(target / "key", b"precious")
    place(target / "lacking" / "repository" / "pack", b"precious")
    place(target / "lacking" / "other", b"x")
    place(target / "in the way" / "pack", b"precious")
    place(target / "different", b"precious", 5)
    place(target / "cache" / "data", b"precious", 5)
    place(target / "cache" / "newer", b"precious", 5)
    (target / "alias").symlink_to("lacking/repository")
    source = DictSource()
    nodes = [
        directory_node(source, b"cache", [file_node(source, b"data", b"old")]),
        file_node(source, b"different", b"old"),
        file_node(source, b"in the way", b"old"),
        file_node(source, b"new", b"new"),
    ]
    options = {
        **EVERYTHING,
        "overwrite": overwrite,
        "protected": [bytes(target / name) for name in (*places, "absent")],
    }
    result = run_restore(source, directory_node(source, b"", nodes), target, **options)
    files = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert files.pop("new").read_bytes() == b"new"
    assert set(files) == {
        *("key", "lacking/repository/pack", "in the way/pack", "different"),
        *("cache/data", "cache/newer"),
    }
    assert {path.read_bytes() for path in files.values()} == {b"precious"}
    assert result.skipped == 3


def test_a_directory_with_something_kept_is_not_written_over(target: Path) -> None:
    place(target / "d" / "keep.o", b"x")
    source = DictSource()
    node = directory_node(source, b"", [file_node(source, b"d", b"new")])
    result = run_restore(
        source, node, target, **{**EVERYTHING, "exclude": ExcludeFilter(["keep.o"])}
    )
    assert "something in it stays" in problems(result)["/d"]
    assert os.listdir(target / "d") == ["keep.o"]


@pytest.mark.parametrize("overwrite", CHANGING)
def test_what_is_in_the_way_of_nothing_wanted_stays(target: Path, overwrite: Overwrite) -> None:
    """A pattern that may fit anywhere leads through all directories, and most hold nothing."""
    source = DictSource()
    (target / "lib").symlink_to("usr/lib")
    place(target / "data", b"precious")
    place(target / "wanted", b"in the way")
    nodes = [
        directory_node(source, name, [file_node(source, b"x.%d" % number)])
        for number, name in enumerate((b"data", b"lib", b"wanted"))
    ]
    include = IncludeFilter(["*.2"])
    node = directory_node(source, b"", nodes)
    result = run_restore(source, node, target, overwrite=overwrite, include=include)
    assert result.findings == []
    assert os.readlink(target / "lib") == "usr/lib"
    assert (target / "data").read_bytes() == b"precious"
    assert os.listdir(target / "wanted") == ["x.2"]


@pytest.mark.parametrize("overwrite", CHANGING)
@pytest.mark.parametrize("links", [1, 2])
def test_a_name_elsewhere_keeps_content_and_metadata(
    target: Path, tmp_path: Path, overwrite: Overwrite, links: int
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    source = DictSource()
    for name in ("content", "mode", "attribute", "equal"):
        place(outside / name, b"wrong" if name == "content" else b"right")
        (outside / name).chmod(0o600 if name == "mode" else 0o644)
        os.link(outside / name, target / name)
    os.setxattr(outside / "attribute", "user.outside", b"x")
    os.utime(outside / "content", ns=(5, 5))
    os.mkfifo(outside / "fifo", 0o600)
    os.link(outside / "fifo", target / "fifo")
    before = read_tree(bytes(outside))
    extra = NodeExtra(link_count=links)
    nodes = [
        file_node(source, os.fsencode(name), b"right", inode=number, extra=extra)
        for number, name in enumerate(("content", "mode", "attribute", "equal"))
    ]
    nodes.append(node_of(NodeType.FIFO, b"fifo", extra=extra, inode=99))
    run_restore(source, directory_node(source, b"", nodes), target, overwrite=overwrite)
    assert read_tree(bytes(outside)) == before
    for node in nodes[:4]:
        path = target / os.fsdecode(node.name)
        assert path.read_bytes() == b"right"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert os.listxattr(path) == []
        assert path.samefile(outside / path.name) is (path.name == "equal")
    assert stat.S_IMODE((target / "fifo").stat().st_mode) == 0o644


@pytest.mark.parametrize("overwrite", CHANGING)
@pytest.mark.parametrize(
    "groups", [["ab", "cd"], ["a", "b", "cd"], ["a", "b", "c", "d"], ["abcd"], ["ad", "bc"]]
)
@pytest.mark.parametrize("found", [["ac", "bd"], ["abcd"], ["a", "b", "c", "d"], ["ad", "bc"]])
def test_hard_links_are_made_and_undone(
    tmp_path: Path, target: Path, overwrite: Overwrite, groups: list[str], found: list[str]
) -> None:
    """Content, sizes and times are equal everywhere: only which names are one file differs."""

    def build(root: Path, names: list[str]) -> None:
        for group in names:
            place(root / group[0], b"content")
            for other in group[1:]:
                os.link(root / group[0], root / other)

    origin = tmp_path / "origin"
    build(origin, groups)
    build(target, found)
    os.utime(target, ns=(5, 5))
    source = DictSource()
    node = snapshot_tree(source, bytes(origin), b"origin")
    result = run_restore(source, node, target, overwrite=overwrite)
    assert result.findings == []
    assert read_tree(bytes(target)) == read_tree(bytes(origin))


def test_a_running_program_is_replaced(target: Path) -> None:
    program = target / "program"
    shutil.copy("/bin/sleep", program)
    old = program.stat()
    source = DictSource()
    data = program.read_bytes()
    node = file_node(source, b"program", data[:-1] + b"!", mode=0o755)
    with subprocess.Popen([program, "60"]) as running:
        try:
            result = run_restore(
                source, directory_node(source, b"", [node]), target, overwrite=Overwrite.ALWAYS
            )
            assert result.findings == []
            assert program.read_bytes() == data[:-1] + b"!"
            assert stat.S_IMODE(program.stat().st_mode) == 0o755
            assert os.stat(f"/proc/{running.pid}/exe").st_ino == old.st_ino
        finally:
            running.kill()


def test_a_library_that_is_mapped_keeps_its_bytes(target: Path) -> None:
    library = target / "library.so"
    data = b"\x7fELF" + os.urandom(9000)
    place(library, data, 5)
    source = DictSource()
    node = file_node(source, b"library.so", data[:5000] + bytes(4000))
    with library.open("rb") as mapped:
        run_restore(source, directory_node(source, b"", [node]), target, overwrite=Overwrite.ALWAYS)
        assert mapped.read() == data
    assert library.read_bytes() == data[:5000] + bytes(4000)


def test_a_file_that_an_acl_lets_others_read_is_replaced(target: Path) -> None:
    place(target / "f", b"old" * 9000, 5)
    try:
        done = subprocess.run(["setfacl", "-m", "u:4711:r", target / "f"], check=False)
    except FileNotFoundError:
        pytest.skip("there is no setfacl")
    if done.returncode:
        pytest.skip("this file system has no ACLs")
    source = DictSource()
    node = file_node(source, b"f", b"new" * 9000)
    with (target / "f").open("rb") as watched:
        run_restore(source, directory_node(source, b"", [node]), target, overwrite=Overwrite.ALWAYS)
        assert watched.read() == b"old" * 9000
    assert (target / "f").read_bytes() == b"new" * 9000
    assert os.listxattr(target / "f") == []


def test_immutable_files_are_reported_and_stay_as_they_are(target: Path) -> None:
    source = DictSource()
    nodes = [file_node(source, name, b"right", mode=0o640) for name in (b"differs", b"equal", b"z")]
    place(target / "differs", b"wrong")
    place(target / "equal", b"right")
    (target / "equal").chmod(0o604)
    names = [target / "differs", target / "equal"]
    done = subprocess.run(["chattr", "+i", *names], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no immutable files here: {done.stderr.decode().strip()}")
    try:
        before = read_tree(bytes(target))
        result = run_restore(source, directory_node(source, b"", nodes), target, **EVERYTHING)
        assert set(problems(result)) == {"/differs", "/equal"}
        after = read_tree(bytes(target))
        assert (after[b"differs"], after[b"equal"]) == (before[b"differs"], before[b"equal"])
        assert sorted(os.listdir(target)) == ["differs", "equal", "z"]
    finally:
        subprocess.run(["chattr", "-i", *names], check=True)


class Changing(DictSource):
    """Calls back once, when the first blobs are fetched or the first page is read."""

    def __init__(self, when: str, action: Callable[[], None]) -> None:
        super().__init__()
        self.when = when
        self.action: Callable[[], None] | None = action

    def _call(self, when: str) -> None:
        if when == self.when and self.action is not None:
            action, self.action = self.action, None
            action()

    def fetch(self, ids: Iterable[BlobId]):  # type: ignore[no-untyped-def]
        self._call("fetch")
        return super().fetch(ids)


@pytest.mark.parametrize("attack", ["link", "hard link", "directory link"])
def test_what_is_swapped_during_a_restore_leads_nowhere(
    target: Path, tmp_path: Path, attack: str
) -> None:
    """Between comparing and writing somebody puts a way out into the target."""
    outside = tmp_path / "outside"
    place(outside / "f", b"x" * 9000)
    place(target / "d" / "f", b"y" * 9000)
    before = read_tree(bytes(outside))

    def swap() -> None:
        if attack == "directory link":
            (target / "d").rename(tmp_path / "away")
            (target / "d").symlink_to(outside)
            return
        (target / "d" / "f").unlink()
        if attack == "link":
            (target / "d" / "f").symlink_to(outside / "f")
        else:
            os.link(outside / "f", target / "d" / "f")

    source = Changing("fetch", swap)
    inner = directory_node(source, b"d", [file_node(source, b"f", b"z" * 9000)])
    node = directory_node(source, b"", [inner])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    after = read_tree(bytes(outside))
    assert after[b"f"].body == before[b"f"].body
    assert (after[b"f"].mode, after[b"f"].mtime_ns) == (before[b"f"].mode, before[b"f"].mtime_ns)
    if attack != "directory link":  # an open directory that is moved away is still written to
        assert set(problems(result)) == {"/d/f"}


def test_a_directory_that_takes_the_name_meanwhile_stays(target: Path) -> None:
    place(target / "f", b"old")

    def swap() -> None:
        (target / "f").unlink()
        place(target / "f" / "inner", b"mine")

    source = Changing("fetch", swap)
    node = directory_node(source, b"", [file_node(source, b"f", b"right")])
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert set(problems(result)) == {"/f"}
    assert os.listdir(target) == ["f"]
    assert (target / "f" / "inner").read_bytes() == b"mine"


def test_an_entry_that_cannot_be_made_right_replaces_nothing(target: Path) -> None:
    (target / "link").symlink_to("old")
    place(target / "f", b"old")
    source = DictSource()
    nodes = [
        node_of(NodeType.SYMLINK, b"link", extra=NodeExtra(target=b"new"), mtime_ns=1 << 100),
        file_node(source, b"f", b"right", mtime_ns=1 << 100),
    ]
    result = run_restore(
        source, directory_node(source, b"", nodes), target, overwrite=Overwrite.ALWAYS
    )
    assert set(problems(result)) == {"/link", "/f"}
    assert sorted(os.listdir(target)) == ["f", "link"]
    assert os.readlink(target / "link") == "old"
    assert (target / "f").read_bytes() == b"old"


def test_a_hard_link_to_something_else_is_not_written_when_a_file_is_opened_again(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_file, "_MAX_OPEN_FILES", 1)
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")

    class Swapping(DictSource):
        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for number, item in enumerate(super().fetch(ids)):
                if number == 6:
                    for name in os.listdir(target):
                        (target / name).unlink()
                        os.link(outside, target / name)
                yield item

    source = Swapping()
    nodes = [file_node(source, name, os.urandom(6 * 4096)) for name in (b"a", b"b")]
    run_restore(source, directory_node(source, b"", nodes), target)
    assert outside.read_bytes() == b"precious"


def test_only_the_parts_that_differ_are_written(target: Path) -> None:
    """Counted by the kernel: bytes that this process handed to write calls."""
    source = DictSource(chunk_size=64 << 10)
    data = os.urandom(16 << 20)
    spoilt = bytearray(data)
    for at in (0, 5 << 20, len(data) - 1):
        spoilt[at] ^= 1
    place(target / "f", bytes(spoilt) + b"more", 5)
    inode = (target / "f").stat().st_ino
    node = directory_node(source, b"", [file_node(source, b"f", data)])
    before = _bytes_written()
    result = run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert 3 * (64 << 10) <= _bytes_written() - before < 4 * (64 << 10)
    assert result.bytes_written == 3 * (64 << 10)
    assert (target / "f").read_bytes() == data
    assert (target / "f").stat().st_ino == inode


def _bytes_written() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def test_holes_are_made_in_place(target: Path) -> None:
    """A sparse image that was written to since: only what differs is fetched, and space freed."""
    source = DictSource(chunk_size=64 << 10)
    first, last = os.urandom(256 << 10), os.urandom(256 << 10)
    hole = 4 << 20
    node = file_node(
        source,
        b"image",
        size=len(first) + hole + len(last),
        content=source.add_file(first) + source.add_file(last),
        extra=NodeExtra(holes=(len(first), hole)),
    )
    dirty = bytearray(hole)
    dirty[100_000:100_100] = b"x" * 100
    dirty[3 << 20 :] = os.urandom(1 << 20)
    place(target / "image", first + bytes(dirty) + b"!" + last[1:], 5)
    inode = (target / "image").stat().st_ino
    result = run_restore(
        source, directory_node(source, b"", [node]), target, overwrite=Overwrite.ALWAYS, verify=True
    )
    assert result.findings == []
    assert (target / "image").read_bytes() == first + bytes(hole) + last
    status = (target / "image").stat()
    assert (status.st_ino, status.st_mtime_ns) == (inode, node.mtime_ns)
    assert len(source.fetched) == 1
    assert status.st_blocks * 512 < len(first) + len(last) + (256 << 10)


def test_an_old_file_stays_when_its_replacement_cannot_be_completed(target: Path) -> None:
    source = DictSource()
    data = os.urandom(10 * 4096)
    place(target / "f", b"old", 5)
    os.link(target / "f", target / "other")
    node = file_node(source, b"f", data)
    source.damaged.add(max(node.blob_ids))  # it is fetched last
    result = run_restore(
        source, directory_node(source, b"", [node]), target, overwrite=Overwrite.ALWAYS
    )
    assert result.damaged == 1
    assert result.bytes_written > 0
    assert sorted(os.listdir(target)) == ["f", "other"]
    assert (target / "f").read_bytes() == b"old"


def test_a_run_that_ends_early_loses_no_file_that_was_there(target: Path) -> None:
    class Stopping(DictSource):
        left = 3

        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for item in super().fetch(ids):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
                yield item

    source = Stopping()
    data = os.urandom(8 * 4096)
    place(target / "f", bytes(8 * 4096), 5)
    node = directory_node(source, b"", [file_node(source, b"f", data)])
    with pytest.raises(KeyboardInterrupt):
        run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert (target / "f").stat().st_size == len(data)
    source.left = 100
    source.fetched.clear()
    result = run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED)
    assert result.findings == []
    assert len(source.fetched) == 5
    assert (target / "f").read_bytes() == data


def test_much_of_a_new_file_is_kept_for_the_next_run(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_file, "_WORTH_KEEPING", 3 * 4096)

    class Failing(DictSource):
        fails = True

        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for number, item in enumerate(super().fetch(ids)):
                if number == 5 and self.fails:
                    raise OSError(5, "test")
                yield item

    source = Failing()
    data = os.urandom(8 * 4096)
    node = directory_node(source, b"", [file_node(source, b"new", data)])
    with pytest.raises(OSError, match="test"):
        run_restore(source, node, target)
    assert os.listdir(target) == ["new"]
    source.fails = False
    source.fetched.clear()
    run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED)
    assert len(source.fetched) == 3
    assert (target / "new").read_bytes() == data


def test_a_full_disk_leaves_what_was_there_and_is_continued(target: Path, mount: Mounter) -> None:
    mount(target, "-t", "tmpfs", "-o", "size=256k", "holdfast-test")
    source = DictSource()
    data = os.urandom(160 << 10)
    place(target / "grows", data[: 40 << 10], 5)
    place(target / "filler", bytes(80 << 10))
    nodes = [file_node(source, b"grows", data), file_node(source, b"new", os.urandom(20 << 10))]
    node = directory_node(source, b"", nodes)
    with pytest.raises(TargetError, match="no space left"):
        run_restore(source, node, target, overwrite=Overwrite.ALWAYS)
    assert (target / "grows").read_bytes()[: 40 << 10] == data[: 40 << 10]
    (target / "filler").unlink()
    result = run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED, verify=True)
    assert result.findings == []
    assert (target / "grows").read_bytes() == data


def test_leftovers_of_a_killed_restore_are_removed(target: Path) -> None:
    name = ".holdfast-restore-0123456789abcdef~"
    place(target / name, b"half")
    place(target / "d" / name, b"half")
    place(target / ".holdfast-restore-mine", b"precious")
    source = DictSource()
    node = directory_node(source, b"", [directory_node(source, b"d")])
    run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED, dry_run=True)
    assert (target / name).exists()
    result = run_restore(source, node, target, overwrite=Overwrite.IF_CHANGED)
    assert sorted(os.listdir(target)) == [".holdfast-restore-mine", "d"]
    assert os.listdir(target / "d") == []
    assert result.deleted == 0


def test_missing_parents_come_back_as_they_were(tmp_path: Path) -> None:
    source = DictSource()
    nodes = [
        node_of(NodeType.DIRECTORY, os.fsencode(name), mode=0o711)
        for name in (tmp_path / "lost" / "inner").parts[1:]
    ]
    run_restore(
        source,
        file_node(source, b"f", b"right"),
        tmp_path / "lost" / "inner",
        path=b"/f",
        parents=nodes,
    )
    for path in (tmp_path / "lost", tmp_path / "lost" / "inner"):
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o711
        assert status.st_mtime_ns == nodes[0].mtime_ns
    assert tmp_path.stat().st_mtime_ns != nodes[0].mtime_ns


def test_types_that_changed_in_all_ways(tmp_path: Path) -> None:
    """Each kind of entry in the place of each other."""

    def make(path: Path, kind: str) -> None:
        if kind == "file":
            place(path, b"content")
        elif kind == "directory":
            place(path / "inner", b"inner")
        elif kind == "link":
            path.symlink_to("/nowhere")
        else:
            os.mkfifo(path)

    kinds = ("file", "directory", "link", "fifo")
    origin, target = tmp_path / "origin", tmp_path / "target"
    for new in kinds:
        for old in kinds:
            for root, kind in ((origin, new), (target, old)):
                root.mkdir(exist_ok=True)
                make(root / f"{old} to {new}", kind)
    source = DictSource()
    node = snapshot_tree(source, bytes(origin), b"origin")
    result = run_restore(source, node, target, **EVERYTHING)
    assert result.findings == []
    assert read_tree(bytes(target)) == read_tree(bytes(origin))


UNPRIVILEGED = """
import os, sys, tempfile
from pathlib import Path
from holdfast.format.node import NodeExtra
from holdfast.operations.restore import Overwrite
from support.restoring import run_restore
from support.trees import DictSource, directory_node, file_node
foreign = Path(tempfile.mkdtemp())
foreign.chmod(0o755)
(foreign / "mine").write_bytes(b"old")
os.chown(foreign / "mine", 4711, 4711)
os.setgroups([]); os.setgid(4711); os.setuid(4711); os.umask(0o022)
source = DictSource()
target = Path(sys.argv[1])
modes = (0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700)
extra = NodeExtra(link_count=2 * len(modes))
locked = []
for mode in modes:
    files = [
        file_node(source, b"f%o" % mode, b"x" * 9000, mode=mode),
        file_node(source, b"same", b"y" * 9000, mode=0, inode=1, extra=extra),
        file_node(source, b"too", b"y" * 9000, mode=0, inode=1, extra=extra),
    ]
    locked.append(directory_node(source, b"d%o" % mode, files, mode=mode))
node = directory_node(source, b"t", locked, mode=0o500)
for overwrite in (None, Overwrite.IF_CHANGED, Overwrite.ALWAYS):
    result = run_restore(source, node, target, overwrite=overwrite, delete=overwrite is not None,
                         sources=[b"/"])
    found = sum(os.stat(target / f"d{mode:o}").st_mode & 0o777 == mode for mode in modes)
    print(overwrite, result.damaged, found, *result.findings)
empty = directory_node(source, b"t", [])
result = run_restore(source, empty, target, overwrite=Overwrite.ALWAYS, delete=True, sources=[b"/"])
print("empty", *result.findings, os.listdir(target))
node = file_node(source, b"mine", b"right")
result = run_restore(source, node, foreign, path=b"/mine", overwrite=Overwrite.ALWAYS)
print((foreign / "mine").read_text(), *result.findings, foreign)
"""


def test_entries_that_lock_out_their_owner(tmp_path: Path) -> None:
    """Without the rights of root: restored, restored again, and deleted."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    target = Path(tempfile.mkdtemp())
    try:
        os.chown(target, 4711, 4711)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(target)],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.stderr == ""
        *lines, last = done.stdout.splitlines()
        mine, _, foreign = last.rpartition(" ")
        shutil.rmtree(foreign)
        assert mine == "right"
        assert lines == [
            "None 0 8",
            "if-changed 0 8",
            "always 0 8",
            "empty []",
        ]
    finally:
        shutil.rmtree(target)
