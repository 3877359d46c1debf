"""The cache of open files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.backends.descriptors import DescriptorCache


class Folder:
    """Opens files of a directory and remembers which."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[str] = []
        self.descriptors: list[int] = []

    def open(self, name: str) -> tuple[int, int]:
        self.opened.append(name)
        descriptor = os.open(self.path / name, os.O_RDONLY)
        self.descriptors.append(descriptor)
        return descriptor, os.fstat(descriptor).st_size

    def open_count(self) -> int:
        """Return how many files of the directory this process has open."""
        paths = []
        for entry in os.listdir("/proc/self/fd"):
            try:
                paths.append(os.readlink(f"/proc/self/fd/{entry}"))
            except FileNotFoundError:
                continue
        return sum(path.startswith(str(self.path)) for path in paths)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    for name in "abcde":
        (tmp_path / name).write_text(name * 3)
    folder = Folder(tmp_path)
    yield folder
    assert folder.open_count() == 0


def read(cache: DescriptorCache, name: str) -> bytes:
    with cache.using(name) as file:
        assert file.size == 3
        return os.pread(file.descriptor, 9, 0)


def test_a_file_is_opened_once(folder: Folder) -> None:
    cache = DescriptorCache(folder.open)
    assert [read(cache, "a") for _ in range(3)] == [b"aaa"] * 3
    assert folder.opened == ["a"]
    cache.close()


def test_the_file_used_longest_ago_leaves(folder: Folder) -> None:
    cache = DescriptorCache(folder.open, capacity=2)
    for name in "abacab":
        assert read(cache, name) == name.encode() * 3
    assert folder.opened == ["a", "b", "c", "b"]
    assert folder.open_count() == 2
    cache.close()


def test_files_in_use_stay_open(folder: Folder) -> None:
    cache = DescriptorCache(folder.open, capacity=1)
    with ExitStack() as stack:
        files = {name: stack.enter_context(cache.using(name)) for name in "abcde"}
        cache.drop("e")
        cache.close()
        for name, file in files.items():
            assert os.pread(file.descriptor, 3, 0) == name.encode() * 3
        assert folder.open_count() == 5


def test_a_dropped_file_is_opened_anew(folder: Folder) -> None:
    cache = DescriptorCache(folder.open)
    read(cache, "a")
    cache.drop("a")
    cache.drop("a")
    assert folder.open_count() == 0
    read(cache, "a")
    assert folder.opened == ["a", "a"]
    cache.close()


def test_errors_of_opening_pass_through_and_leave_nothing(folder: Folder) -> None:
    cache = DescriptorCache(folder.open)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            read(cache, "absent")
    assert folder.opened == ["absent", "absent"]


def test_threads_that_open_one_file_at_once_share_it(folder: Folder) -> None:
    meeting = threading.Barrier(4)

    def open_together(name: str) -> tuple[int, int]:
        meeting.wait(30)
        return folder.open(name)

    cache = DescriptorCache(open_together)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(read(cache, "a"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"aaa"] * 4
    assert folder.opened == ["a"] * 4
    assert folder.open_count() == 1
    cache.close()
