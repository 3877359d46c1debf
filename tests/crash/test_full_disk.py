"""A disk that is really full: one clear error, nothing lost, and all goes on once there is room."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.backends.local import LocalBackend
from holdfast.errors import CacheError, OutOfSpaceError
from support.repos import (
    back_up,
    check_all,
    init_store,
    open_repository,
    random_files,
    read_snapshot,
    write_tree,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL_TREE = random_files(1, [200_000, 600_000, 1000])
LARGE_TREE = {**SMALL_TREE, **random_files(2, [700_000] * 10)}
MIB = 1 << 20


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={4 * MIB}", "holdfast-test", str(place))
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def tight_cache(small_disk: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Makes a cache directory on a file system with so many bytes left."""

    def make(left: int) -> Path:
        cache = small_disk / "cache"
        cache.mkdir(exist_ok=True)
        filler = small_disk / "filler"
        filler.unlink(missing_ok=True)
        status = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(0, status.f_bavail * status.f_bsize - left)))
        return cache

    return make


def test_repository_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    location, cache = str(small_disk / "repository"), tmp_path / "cache"
    source = write_tree(tmp_path / "source", SMALL_TREE)
    init_store(LocalBackend(location))
    with open_repository(LocalBackend(location), cache) as repository:
        first = back_up(repository, source).snapshot
    write_tree(source, LARGE_TREE)
    for _ in range(2):
        with open_repository(LocalBackend(location), cache) as repository:
            with pytest.raises(OutOfSpaceError) as caught:
                back_up(repository, source)
            assert location in str(caught.value)
            assert "Free space" in str(caught.value)
    assert os.listdir(small_disk / "repository" / "tmp") == [], "no rests take up the space"
    with open_repository(LocalBackend(location), cache) as repository:
        assert check_all(repository).ok
        (snapshot,) = repository.snapshots()
        assert snapshot.id == first
        assert read_snapshot(repository, snapshot).below(source) == SMALL_TREE
    mount("-o", f"remount,size={32 * MIB}", str(small_disk))
    with open_repository(LocalBackend(location), cache) as repository:
        made = back_up(repository, source)
        assert made.stats.bytes_added < 7 * MIB, "what fitted before is not stored again"
        assert check_all(repository).ok
        snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
        assert set(snapshots) == {first, made.snapshot}
        assert read_snapshot(repository, snapshots[str(made.snapshot)]).below(source) == LARGE_TREE


SCRIPT = """
import sys
from holdfast.backends.local import LocalBackend
from holdfast.errors import CacheError
from support.repos import back_up, check_all, open_repository
location, cache, source = sys.argv[1:]
try:
    with open_repository(LocalBackend(location), cache) as repository:
        back_up(repository, source)
        assert check_all(repository).ok
except CacheError as error:
    assert cache in str(error) and "--cache-dir" in str(error), str(error)
    sys.exit(7)
"""


def test_cache_on_a_full_disk(tight_cache: Callable[[int], Path], tmp_path: Path) -> None:
    """Whatever the moment at which it is full: one error, or success; never anything lost.

    Each run is a process of its own: pages of a memory map that find no room would end it.
    """
    location = str(tmp_path / "repository")
    source = write_tree(tmp_path / "source", many_files())
    init_store(LocalBackend(location))
    path = os.pathsep.join(str(ROOT / part) for part in ("engine", "tests"))
    codes = set()
    for left in (0, 20_000, 90_000, 150_000, 300_000, 3 * MIB):
        cache = tight_cache(left)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, location, str(cache), str(source)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": path},
            check=False,
        )
        assert done.returncode in (0, 7), (left, done.returncode, done.stderr)
        codes.add(done.returncode)
    assert codes == {0, 7}
    with open_repository(LocalBackend(location), tmp_path / "sound") as repository:
        assert check_all(repository).ok
        for snapshot in repository.snapshots():
            assert read_snapshot(repository, snapshot).damaged == {}


def many_files() -> dict[bytes, bytes]:
    chance = random.Random(3)
    return {b"d/%05d" % number: chance.randbytes(8) for number in range(1500)}


def test_journal_on_a_full_disk(tight_cache: Callable[[int], Path], tmp_path: Path) -> None:
    """The error names the cache, and the repository stays sound."""
    location = str(tmp_path / "repository")
    source = write_tree(tmp_path / "source", SMALL_TREE)
    init_store(LocalBackend(location))
    cache = tight_cache(3 * MIB)
    with open_repository(LocalBackend(location), cache) as repository:
        tight_cache(0)
        with pytest.raises(CacheError) as caught:
            back_up(repository, source)
        assert str(cache) in str(caught.value)
    tight_cache(3 * MIB)
    with open_repository(LocalBackend(location), cache) as repository:
        made = back_up(repository, source)
        assert check_all(repository).ok
        last = repository.snapshots()[-1]
        assert last.id == made.snapshot
        assert read_snapshot(repository, last).below(source) == SMALL_TREE
