"""What programs of every kind see of a tree that has everything odd: exactly what was backed up."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import random
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.chunking import CUTTINGS, Profile
from mount.odd_tree import ENTRIES, HUGE, IS_ROOT, LARGE, make_odd_tree
from support.archives import has_program
from support.mounting import MountProcess, Store, run_command
from support.trees import EntryState, read_tree

FIND = "%P\\0%y %m %U %G %s %T@ %l\\0"


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    missing = [name for name in ("rsync", "setfacl", "getfattr") if not has_program(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd_tree(tmp_path_factory.mktemp("odd") / "s")


@pytest.fixture(scope="module")
def store(source: Path) -> Store:
    """Small chunks, so that files of some MB have id pages."""
    store = Store(source.parent)
    store.back_up(source, source.parent / "huge", cutting=CUTTINGS[Profile.DUMP])
    return store


@pytest.fixture(scope="module")
def mounted(store: Store) -> Iterator[MountProcess]:
    with store.mount() as mounted:
        yield mounted


@pytest.fixture
def seen(mounted: MountProcess, source: Path) -> Path:
    return mounted.at(source)


FEW = ("deep", "links", "metadata", "names", "plain", "sparse", "special", "times")
"""Directories of the tree without the one of thousands of files."""


def entries(root: Path) -> set[Path]:
    found: set[Path] = set()
    for name in FEW:
        for directory, directories, others in os.walk(root / name):
            found.add(Path(directory))
            found.update(Path(directory, each) for each in (*directories, *others))
    return found


def test_rsync_finds_no_difference(seen: Path, source: Path) -> None:
    words = ["rsync", "-aHAX", "--checksum", "--dry-run", "--itemize-changes", "--delete"]
    assert run_command(*words, f"{source}/", f"{seen}/") == b""


def test_diff_finds_no_difference(seen: Path, source: Path) -> None:
    assert (
        run_command("diff", "-r", "--no-dereference", "-x", "special", "-x", "many", source, seen)
        == b""
    )


def test_find_and_ls_say_the_same(seen: Path, source: Path) -> None:
    """But sizes of directories, which are those of the file system."""
    for kind in (["!", "-type", "d"], ["-type", "d"]):
        words = [*kind, "-printf", FIND if kind[0] == "!" else FIND.replace("%s", "")]
        found = [sorted(run_command("find", root, *words).split(b"\0")) for root in (source, seen)]
        assert found[0] == found[1]
        assert len(found[0]) > (2 * ENTRIES if kind[0] == "!" else 60)
    words = ["-l", "--quoting-style=c", "--time-style=full-iso", "links", "names", "times"]
    listed = [run_command("ls", *words, cwd=root).splitlines() for root in (source, seen)]
    rows = [
        [re.sub(rb" +", b" ", line, count=4) for line in lines if line[:1] not in b"dt"]
        for lines in listed
    ]
    assert rows[0] == rows[1]


def test_every_field_of_every_entry(seen: Path, source: Path) -> None:
    fields = ["st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_rdev"]
    for expected in entries(source):
        is_directory = stat.S_ISDIR(expected.lstat().st_mode)
        wanted = fields if is_directory else [*fields, "st_size", "st_nlink"]
        here = (seen / expected.relative_to(source)).lstat()
        there = expected.lstat()
        assert {one: getattr(here, one) for one in wanted} == {
            one: getattr(there, one) for one in wanted
        }, expected
        if is_directory:
            assert here.st_nlink == 1  # find would count on it otherwise


def test_numbers_of_files_are_equal_for_hard_links_only(seen: Path, source: Path) -> None:
    def groups(root: Path) -> set[frozenset[str]]:
        names: dict[int, set[str]] = {}
        for path in entries(root):
            names.setdefault(path.lstat().st_ino, set()).add(str(path.relative_to(root)))
        return {frozenset(found) for found in names.values()}

    assert groups(seen) == groups(source)
    assert frozenset({"links/hard large", "plain/large"}) in groups(seen)
    listed = {entry.name: entry.inode() for entry in os.scandir(seen / "links")}
    assert listed == {name: (seen / "links" / name).lstat().st_ino for name in listed}


def test_the_view_itself_can_be_walked(mounted: MountProcess, source: Path) -> None:
    """Every directory once: `find` and `du` take two of one number for a loop."""
    found = run_command("find", mounted.mountpoint, "-printf", "%i %y %P\\0").split(b"\0")[:-1]
    paths = {line.split(b" ", 2)[2] for line in found}
    snapshot = os.fsencode(os.readlink(mounted.mountpoint / "latest"))
    assert snapshot + bytes(source) + b"/plain/one" in paths
    assert {b"hosts", b"tags", b"paths", b"ids", b"hosts/host/latest"} <= paths
    directories = [line.split(b" ")[0] for line in found if line.split(b" ")[1] == b"d"]
    assert len(directories) == len(set(directories))
    run_command("du", "-s", mounted.mountpoint)


def test_extended_attributes_and_access_lists(seen: Path, source: Path) -> None:
    for program in (["getfattr", "-d", "-m-", "-h", "-R", "."], ["getfacl", "-R", "-P", "."]):
        found = [
            run_command(*program, cwd=root) for root in (source / "metadata", seen / "metadata")
        ]
        assert sorted(found[0].split(b"\n\n")) == sorted(found[1].split(b"\n\n"))
        assert len(found[0]) > 400
    with pytest.raises(OSError, match=r"No data available|not supported") as caught:
        os.getxattr(seen / "plain/one", "user.nothing")
    assert caught.value.errno in (errno.ENODATA, errno.EOPNOTSUPP)
    assert os.listxattr(seen / "plain/one") == []


def states(root: Path) -> dict[bytes, EntryState]:
    """All entries but for holes, which the copying program makes as it likes."""
    found = read_tree(bytes(root), with_root=False)
    return {path: replace(state, holes=()) for path, state in found.items()}


def test_a_copy_is_the_source(seen: Path, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "t"
    for name in ("deep", "links", "metadata", "names", "sparse", "special", "times"):
        run_command("cp", "-a", seen / name, target)
        assert states(target) == states(source / name), name
        shutil.rmtree(target)


def test_a_round_through_tar(seen: Path, source: Path, tmp_path: Path) -> None:
    words = ["--xattrs", "--acls", "--xattrs-include=*", "--format=posix", "--numeric-owner"]
    names = ["plain", "names", "links", "times", "metadata"]
    archive = run_command("tar", "-c", *words, "-C", seen, *names)
    words += ["--warning=no-timestamp", "-p", "-C", str(tmp_path)]
    run_command("tar", "-x", *words, input=archive)
    for name in names:
        assert states(tmp_path / name) == states(source / name), name


def test_all_names_of_a_large_directory(seen: Path) -> None:
    names = os.listdir(seen / "many")
    assert len(names) == len(set(names)) == ENTRIES
    with os.scandir(seen / "many") as scan:
        first = [next(scan).name for _ in range(1500)]
    assert set(first) <= set(names)
    assert not (seen / "many" / "3000").exists()
    assert (seen / "many" / "2999").read_bytes() == b"2999"


def test_reads_at_any_offset(seen: Path, source: Path) -> None:
    expected = (source / "plain/large").read_bytes()
    choose = random.Random(1)
    with open(seen / "plain/large", "rb", buffering=0) as file:
        for _ in range(300):
            offset, length = choose.randrange(LARGE + 1000), choose.randrange(200_000)
            assert os.pread(file.fileno(), length, offset) == expected[offset : offset + length]
        assert os.pread(file.fileno(), 10, LARGE) == b""
        assert os.pread(file.fileno(), 10, 1 << 62) == b""
        assert os.pread(file.fileno(), 10, LARGE - 3) == expected[-3:]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for _ in range(300):
                offset = choose.randrange(LARGE - 100)
                assert mapped[offset : offset + 100] == expected[offset : offset + 100]
            assert hashlib.sha256(mapped).digest() == hashlib.sha256(expected).digest()
    with open(seen / "plain/large", "rb", buffering=0) as file:
        assert b"".join(file.read(1) for _ in range(3000)) == expected[:3000]


def test_a_file_beyond_32_bits(mounted: MountProcess, seen: Path, source: Path) -> None:
    huge = source.parent / "huge"
    with open(mounted.at(huge), "rb") as here, open(huge, "rb") as there:
        assert os.fstat(here.fileno()).st_size == HUGE
        for offset in (0, (1 << 20) - 5, (2 << 30) - 4, (4 << 30) - 2, HUGE - 10, HUGE):
            expected = os.pread(there.fileno(), 100, offset)
            assert os.pread(here.fileno(), 100, offset) == expected
        assert os.fstat(here.fileno()).st_blocks < 10_000


def test_eight_readers(seen: Path, source: Path) -> None:
    """Processes: each on one file that all read, and on all files."""
    many = subprocess.Popen(["cat", *map(str, sorted((seen / "many").iterdir()))], stdout=-1)
    words: list[str | Path] = [
        "md5sum",
        seen / "plain/large",
        seen / "plain/other",
        seen / "plain/zeros",
    ]
    with ThreadPoolExecutor(8) as pool:
        sums = {pool.submit(run_command, *words) for _ in range(8)}
        outputs = {one.result() for one in sums}
    (output,) = outputs
    found = [line.split(b" ")[0].decode() for line in output.splitlines()]
    assert found == [
        hashlib.md5((source / "plain" / name).read_bytes()).hexdigest()
        for name in ("large", "other", "zeros")
    ]
    assert many.communicate(timeout=30)[0] == b"".join(
        path.read_bytes() for path in sorted((source / "many").iterdir())
    )


def test_nothing_can_be_written(seen: Path, mounted: MountProcess) -> None:
    file = seen / "plain/one"
    attempts: list[Callable[[], object]] = [
        lambda: os.open(file, os.O_RDWR),
        lambda: os.open(seen / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.mkdir(seen / "new"),
        lambda: os.unlink(file),
        lambda: os.rmdir(seen / "names"),
        lambda: os.rename(file, seen / "new"),
        lambda: os.link(file, seen / "new"),
        lambda: os.symlink("x", seen / "new"),
        lambda: os.chmod(file, 0o600),
        lambda: os.chown(file, 1, 1),
        lambda: os.utime(file),
        lambda: os.truncate(file, 0),
        lambda: os.setxattr(file, "user.x", b""),
        lambda: os.removexattr(seen / "metadata/xattr one", "user.comment"),
        lambda: os.mkfifo(mounted.mountpoint / "snapshots/new"),
        lambda: os.unlink(mounted.mountpoint / "latest"),
    ]
    for attempt in attempts:
        with pytest.raises(OSError, match="Read-only file system"):
            attempt()
    assert mounted.errors == ""


def test_set_user_id_and_devices_have_no_power(mounted: MountProcess, seen: Path) -> None:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        line = next(line for line in file if str(mounted.mountpoint) in line)
    assert {"ro", "nosuid", "nodev"} <= set(line.split(" ")[3].split(","))
    if IS_ROOT:
        with pytest.raises(PermissionError):
            os.open(seen / "special/null", os.O_RDONLY)


def test_many_open_files(seen: Path, source: Path) -> None:
    """A thousand at once; what a name of a hard link shows is the other's content."""
    paths = sorted((seen / "many").iterdir())[:900]
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in paths]
        assert [file.read() for file in files] == [b"%d" % int(path.name) for path in paths]
    assert (seen / "links/hard large").read_bytes() == (source / "plain/large").read_bytes()


def test_the_process_stays_small(mounted: MountProcess, seen: Path) -> None:
    """Whatever the tests before this one have read; the suite's own interpreter takes 100 MB."""
    run_command("tar", "-cf", "/dev/null", "--exclude=special", "-C", seen, ".")
    with open(seen / "plain/large", "rb") as file:
        assert len(file.read()) == LARGE
    assert mounted.resident_kib() < 300 * 1024
    assert mounted.problems == []
