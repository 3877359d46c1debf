"""The view of a real repository: what is in it, what comes and goes, and what breaks."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import HoldfastError, PathNotFoundError, RepositoryVanishedError
from holdfast.format.node import Node, NodeType
from holdfast.operations.forget import forget_id
from holdfast.policy.selection import SnapshotFilter
from holdfast.vfs import filesystem
from holdfast.vfs.filesystem import SnapshotFiles
from support.repos import back_up, init_store, new_store, open_repository, write_tree

FILES = {b"a/one": b"1" * 1000, b"a/two": b"2" * 300_000, b"three": b""}


@pytest.fixture
def store(tmp_path: Path) -> MemoryBackend:
    """A repository with two snapshots."""
    backend = new_store()
    write_tree(tmp_path / "source", FILES)
    save(backend, tmp_path, time_ns=1_000_000_000)
    write_tree(tmp_path / "source", {**FILES, b"four": b"4"})
    save(backend, tmp_path, time_ns=2_000_000_000, tags=("new",))
    return backend


def save(backend: MemoryBackend, tmp_path: Path, **options: object) -> str:
    with open_repository(backend, tmp_path / "cache") as repository:
        snapshot = back_up(repository, tmp_path / "source", **options).snapshot
    assert snapshot is not None
    return snapshot


@pytest.fixture
def files(store: MemoryBackend, tmp_path: Path) -> Iterator[SnapshotFiles]:
    with (
        open_repository(store, tmp_path / "reader") as repository,
        SnapshotFiles(repository, zone=UTC) as files,
    ):
        yield files


def names(files: SnapshotFiles, path: bytes) -> list[bytes]:
    directory, node = files.walk_to(path)
    below = directory.enter(node) if path != b"/" else directory
    return [entry.name for page in below.pages() for entry in page]


def read(files: SnapshotFiles, path: bytes) -> bytes:
    file = files.open(*files.follow(*files.walk_to(path)))
    return file.read(0, file.size)


def test_everything_is_found(files: SnapshotFiles, tmp_path: Path) -> None:
    source = bytes(tmp_path / "source")
    assert names(files, b"/") == [b"hosts", b"ids", b"latest", b"paths", b"snapshots", b"tags"]
    first, second = names(files, b"/snapshots")
    assert (first, second) == (b"1970-01-01T00-00-01", b"1970-01-01T00-00-02")
    assert names(files, b"/snapshots/" + first + source) == [b"a", b"three"]
    assert names(files, b"/snapshots/" + second + source + b"/") == [b"a", b"four", b"three"]
    for path, data in FILES.items():
        assert read(files, b"/snapshots/" + first + source + b"/" + path) == data


def test_links_of_the_view_are_followed_and_no_others(store: MemoryBackend, tmp_path: Path) -> None:
    (tmp_path / "source" / "link").symlink_to("/etc/passwd")
    save(store, tmp_path, time_ns=3_000_000_000)
    source = bytes(tmp_path / "source")
    with (
        open_repository(store, tmp_path / "reader") as repository,
        SnapshotFiles(repository, zone=UTC) as files,
    ):
        directory, node = files.follow(*files.walk_to(b"/latest"))
        assert (directory.path, node.name) == (b"/snapshots", b"1970-01-01T00-00-03")
        directory, node = files.follow(*files.walk_to(b"/paths" + source + b"/latest"))
        assert node.name == b"source"
        assert directory.enter(node).get(b"three") is not None
        where = b"/snapshots/1970-01-01T00-00-03" + source + b"/link"
        _, node = files.follow(*files.walk_to(where))
        assert node.type == NodeType.SYMLINK
        with pytest.raises(PathNotFoundError):
            files.open(*files.walk_to(where))


@pytest.mark.parametrize(
    "path",
    [b"/x", b"/snapshots/x", b"/latest/x", b"/snapshots/1970-01-01T00-00-01/x", b"/tags/x/y"],
)
def test_paths_that_are_not_there(files: SnapshotFiles, path: bytes) -> None:
    with pytest.raises(PathNotFoundError) as raised:
        files.walk_to(path)
    assert str(raised.value).startswith(path.decode() + " is not there")


def test_what_is_below_a_file_is_not_there(files: SnapshotFiles, tmp_path: Path) -> None:
    inner = b"/snapshots/1970-01-01T00-00-01" + bytes(tmp_path / "source" / "three" / "x")
    with pytest.raises(PathNotFoundError):
        files.walk_to(inner)


def test_snapshots_come_and_go(
    store: MemoryBackend,
    files: SnapshotFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filesystem, "REFRESH_S", 0.0)
    before = files.walk_to(b"/snapshots/1970-01-01T00-00-01")
    new = save(store, tmp_path, time_ns=3_000_000_000)
    assert len(names(files, b"/snapshots")) == 3
    with open_repository(store, tmp_path / "cache") as repository:
        forget_id(repository, new, host="host")
    assert len(names(files, b"/snapshots")) == 2
    assert not files.refresh()
    after = files.walk_to(b"/snapshots/1970-01-01T00-00-01")
    number = before[0].enter(before[1]).number
    assert number == after[0].enter(after[1]).number > 0


def test_only_what_is_wanted(store: MemoryBackend, tmp_path: Path) -> None:
    with (
        open_repository(store, tmp_path / "reader") as repository,
        SnapshotFiles(repository, wanted=SnapshotFilter(tags=("new",)), zone=UTC) as files,
    ):
        assert names(files, b"/snapshots") == [b"1970-01-01T00-00-02"]
        assert names(files, b"/tags") == [b"new"]


def test_attributes_that_nobody_has(store: MemoryBackend, tmp_path: Path) -> None:
    def ask(name: bytes) -> bool:
        with (
            open_repository(store, tmp_path / "reader") as repository,
            SnapshotFiles(repository) as files,
        ):
            return files.lacks_xattr(name)

    assert ask(b"user.note")
    try:
        os.setxattr(tmp_path / "source" / "three", "user.note", b"x")
    except OSError:
        pytest.skip("this file system keeps no user.* attributes")
    save(store, tmp_path)
    assert not ask(b"user.note")
    assert ask(b"system.posix_acl_access")
    os.removexattr(tmp_path / "source" / "three", "user.note")
    save(store, tmp_path)
    assert not ask(b"user.note")


def test_a_repository_that_goes_away_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "repository"
    backend = LocalBackend(str(place))
    init_store(backend)
    write_tree(tmp_path / "source", FILES)
    problems: list[tuple[str, HoldfastError]] = []
    with open_repository(backend, tmp_path / "cache") as repository:
        back_up(repository, tmp_path / "source")
        with SnapshotFiles(
            repository, on_problem=lambda path, error: problems.append((path, error))
        ) as files:
            assert files.find_vanished() is None
            shutil.rmtree(place)
            with pytest.raises(RepositoryVanishedError):
                files.refresh()
            gone = files.find_vanished()
            assert isinstance(gone, RepositoryVanishedError)
            assert str(place) in str(gone)
            assert names(files, b"/snapshots")  # what is known stays


def test_many_threads_look_around(files: SnapshotFiles, tmp_path: Path) -> None:
    source = bytes(tmp_path / "source")
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                for path, data in FILES.items():
                    assert (
                        read(files, b"/snapshots/1970-01-01T00-00-01" + source + b"/" + path)
                        == data
                    )
                files.refresh()
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_nodes_keep_what_they_had(files: SnapshotFiles, tmp_path: Path) -> None:
    path = tmp_path / "source" / "three"
    _, node = files.walk_to(b"/snapshots/1970-01-01T00-00-02" + bytes(path))
    status = path.stat()
    assert isinstance(node, Node)
    assert (node.mtime_ns, node.uid, node.mode) == (
        status.st_mtime_ns, status.st_uid, status.st_mode & 0o7777
    )  # fmt: skip
