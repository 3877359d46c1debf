"""Damage in the repository: an input/output error and a line, for what is hit and nothing else."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.chunking import CUTTINGS, Profile
from holdfast.format.node import list_ids
from holdfast.format.pack import BlobKind
from support.mounting import MountProcess, Store, run_command
from support.repos import write_tree

ENTRIES = 3000
SIZE = 600_000
LONG = 8_000_000


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


GOOD = {b"sound/%d" % number: noise(number, 50_000) for number in range(8)}
TREE = {
    **GOOD,
    b"blob": noise(11, SIZE),
    b"long": noise(13, LONG),
    **{b"many/" + b"n" * 60 + b"%04d" % number: b"" for number in range(ENTRIES)},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    """A repository where four things are broken, each in a different way.

    Pages of directories and ids lie together: those that the second snapshot shares with the
    first are damaged, and the first one is forgotten.
    """
    store = Store(root)
    write_tree(root / "tree", TREE, old=False)
    first = store.back_up(root / "tree", cutting=CUTTINGS[Profile.DUMP])
    old = store.nodes(first)
    (root / "tree/many" / ("n" * 60 + "-first")).touch()
    (root / "tree/sound/late").touch()
    nodes = store.nodes(store.back_up(root / "tree", cutting=CUTTINGS[Profile.DUMP]))
    store.forget(first)
    long, many = nodes[bytes(root / "tree/long")], nodes[bytes(root / "tree/many")]
    assert long.depth == 1
    before = set(list_ids(old[bytes(root / "tree/many")].content))
    shared = [one for one in list_ids(many.content) if one in before]
    assert 3 < len(shared) < len(list_ids(many.content))
    assert many.content[:32] not in before
    sound = [one for name in GOOD for one in nodes[bytes(root / "tree") + b"/" + name].blob_ids]
    blobs = store.slices_of(nodes[bytes(root / "tree/blob")].blob_ids, BlobKind.DATA)
    alone = set(blobs[1:-1]) - set(store.slices_of(sound, BlobKind.DATA)) - {blobs[0], blobs[-1]}
    store.damage(min(alone))
    for place in {*store.slices_of([*shared, *list_ids(long.content)], BlobKind.TREE)}:
        store.damage(place)
    (root / "pack").mkdir()
    (root / "pack/file").write_bytes(noise(12, SIZE))
    nodes = store.nodes(store.back_up(root / "pack"))
    for name, _, _ in store.slices_of(nodes[bytes(root / "pack/file")].blob_ids, BlobKind.DATA):
        (store.path / name).unlink(missing_ok=True)
    return store


@pytest.fixture(scope="module")
def mounted(store: Store) -> Iterator[MountProcess]:
    with store.mount() as mounted:
        yield mounted


def assert_fails(path: Path) -> None:
    """Reading to the end is an error, for one reader and for eight, and soon."""

    def read(_: int) -> int | None:
        try:
            path.read_bytes()
        except OSError as error:
            return error.errno
        return None

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(8))) == {errno.EIO}
    done = subprocess.run(["cat", path], capture_output=True, check=False, timeout=10)
    assert done.returncode == 1
    assert b"Input/output error" in done.stderr


def lines_of(mounted: MountProcess, path: Path) -> list[str]:
    return [line for line in mounted.problems if str(path) in line]


@pytest.fixture
def tree(mounted: MountProcess, root: Path) -> Path:
    return mounted.mountpoint / f"paths{root}/tree/latest"


def test_one_blob(mounted: MountProcess, tree: Path, root: Path) -> None:
    path = tree / "blob"
    assert_fails(path)
    (line,) = lines_of(mounted, root / "tree/blob")
    assert "damaged" in line
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1000, 0) == TREE[b"blob"][:1000]
        assert os.pread(file.fileno(), 1000, SIZE - 1000) == TREE[b"blob"][-1000:]


def test_what_is_sound_stays_readable(tree: Path) -> None:
    for name, data in GOOD.items():
        assert Path(os.fsdecode(bytes(tree) + b"/" + name)).read_bytes() == data
    run_command("ls", "-lR", tree / "sound")


def test_a_page_of_a_directory(mounted: MountProcess, tree: Path, root: Path) -> None:
    """What stands before it is listed."""
    with pytest.raises(OSError, match="Input/output error"):
        os.listdir(tree / "many")
    done = subprocess.run(["ls", "-U", tree / "many"], capture_output=True, check=False, timeout=10)
    assert done.returncode != 0
    names = done.stdout.split()
    assert 60 < len(names) < ENTRIES
    assert names == sorted(map(os.fsencode, os.listdir(root / "tree/many")))[: len(names)]
    with pytest.raises(OSError, match="Input/output error"):
        (tree / "many" / ("n" * 60 + "2900")).lstat()
    assert all("damaged" in line for line in lines_of(mounted, root / "tree/many"))
    assert 1 <= len(lines_of(mounted, root / "tree/many")) <= 2
    assert sorted(os.listdir(tree)) == ["blob", "long", "many", "sound"]


def test_a_missing_pack(mounted: MountProcess, root: Path) -> None:
    path = mounted.mountpoint / f"paths{root}/pack/latest/file"
    assert path.stat().st_size == SIZE
    assert_fails(path)
    assert len(lines_of(mounted, root / "pack/file")) in range(1, 12)


def test_id_pages(mounted: MountProcess, tree: Path) -> None:
    path = tree / "long"
    assert path.stat().st_size == LONG
    with open(path, "rb"):  # is no error yet
        assert_fails(path)
    assert 1 <= len(lines_of(mounted, Path("tree/long"))) <= 2


def test_the_mount_goes_on(mounted: MountProcess) -> None:
    assert mounted.process.poll() is None
    assert len(os.listdir(mounted.snapshots)) == 2
