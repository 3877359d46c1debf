"""The system calls behind durable creation, and the file systems that lack some of them."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from holdfast.backends import durable


def refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:3]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert durable.write_all(descriptor, memoryview(b"0123456789")) == 10
    assert durable.write_all(descriptor, b"") == 0
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_directories_that_cannot_be_synced_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fsync(descriptor: int) -> None:
        raise refuse(code)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.sync_directory(str(tmp_path))
    with pytest.raises(OSError, match=os.strerror(code)):
        durable.sync_file(0)


def test_directories_that_fail_to_sync_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise refuse(errno.EIO)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durable.sync_directory(str(tmp_path))


def test_publish_links_and_never_replaces(tmp_path: Path) -> None:
    one, other, final = tmp_path / "one", tmp_path / "other", tmp_path / "final"
    one.write_text("one")
    other.write_text("other")
    durable.publish(str(one), str(final))
    with pytest.raises(FileExistsError):
        durable.publish(str(other), str(final))
    assert final.read_text() == "one"


def test_a_link_whose_answer_was_lost_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NFS client repeats the request and is told EEXIST about its own link."""
    real_link = os.link

    def link_twice(source: str, target: str) -> None:
        real_link(source, target)
        real_link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    temporary, final = tmp_path / "temporary", tmp_path / "final"
    temporary.write_text("data")
    durable.publish(str(temporary), str(final))
    assert final.read_text() == "data"


def test_a_name_that_is_freed_again_at_once_still_counts_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "temporary").write_text("data")
    with pytest.raises(FileExistsError):
        durable.publish(str(tmp_path / "temporary"), str(tmp_path / "final"))


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_links_the_file_is_renamed_and_never_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def link(source: str, target: str) -> None:
        raise refuse(code)

    monkeypatch.setattr(os, "link", link)
    one, other, final = tmp_path / "one", tmp_path / "other", tmp_path / "final"
    one.write_text("one")
    other.write_text("other")
    durable.publish(str(one), str(final))
    assert not one.exists()
    with pytest.raises(FileExistsError):
        durable.publish(str(other), str(final))
    assert final.read_text() == "one"
    assert other.read_text() == "other"


def test_other_failures_of_link_are_no_reason_to_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str) -> None:
        raise refuse(errno.EIO)

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "one").write_text("one")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durable.publish(str(tmp_path / "one"), str(tmp_path / "final"))
    assert not (tmp_path / "final").exists()


class OldLibrary:
    """A C library without renameat2."""


class OldFileSystem:
    """A C library on a file system that refuses the flag."""

    @staticmethod
    def renameat2(*arguments: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1


@pytest.mark.parametrize("library", [OldLibrary, OldFileSystem])
def test_where_neither_exists_it_says_so(monkeypatch: pytest.MonkeyPatch, library: type) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library())
    with pytest.raises(OSError, match="neither hard links nor a rename") as caught:
        durable.rename_without_replacing("/a", "/b")
    assert caught.value.errno == errno.ENOTSUP


def test_a_failed_rename_gives_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.rename_without_replacing(str(tmp_path / "absent"), str(tmp_path / "b"))


def test_make_directory_accepts_one_that_exists(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    durable.make_directory(str(tmp_path / "there"))
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o755
