"""What LocalBackend promises beyond the contract: files, modes, order, leftovers, errors."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.backends.local import STALE_AFTER_S, LocalBackend
from holdfast.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    BackendError,
    ConfigurationError,
    NotFoundError,
    OutOfSpaceError,
    RepositoryExistsError,
    TransientBackendError,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def backend(root: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(str(root))
    backend.initialize()
    yield backend
    backend.close()


def names(backend: LocalBackend, prefix: str = "") -> set[str]:
    return {info.name for info in backend.list(prefix)}


def leftovers(root: Path) -> list[str]:
    return sorted(os.listdir(root / "tmp"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- files --------------------------------------------------------------------------------------


def test_names_are_paths_with_narrow_modes(root: Path, backend: LocalBackend) -> None:
    backend.create("config", b"c")
    backend.create("packs/3f/3f9a", b"data")
    assert (root / "packs/3f/3f9a").read_bytes() == b"data"
    assert mode(root / "packs/3f/3f9a") == 0o400
    assert [mode(path) for path in (root, root / "packs", root / "packs/3f", root / "tmp")] == [
        0o700
    ] * 4
    assert sorted(os.listdir(root)) == ["config", "packs", "tmp"]
    assert leftovers(root) == []


def test_a_writer_has_one_temporary_file_until_it_ends(root: Path, backend: LocalBackend) -> None:
    for end in ("commit", "abort"):
        writer = backend.open_writer(f"packs/{end}")
        writer.write(b"data")
        assert len(leftovers(root)) == 1
        assert mode(root / "tmp" / leftovers(root)[0]) == 0o600
        getattr(writer, end)()
        assert leftovers(root) == []
    assert names(backend) == {"packs/commit"}


def test_failed_creations_leave_no_temporary_file(root: Path, backend: LocalBackend) -> None:
    backend.create("a", b"data")
    with pytest.raises(AlreadyExistsError):
        backend.create("a", b"other")
    assert leftovers(root) == []


def test_a_mode_that_cannot_be_set_is_no_failure(
    root: Path, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchmod(descriptor: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", fchmod)
    backend.create("a", b"data")
    assert mode(root / "a") == 0o600


def test_short_reads_are_continued(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.create("a", b"0123456789")
    real_pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real_pread(fd, min(size, 3), at))
    assert backend.read("a") == b"0123456789"
    assert backend.read_range("a", 1, 7) == b"1234567"
    assert backend.read_range("a", 5, 100) == b"56789"


def test_objects_cut_short_behind_our_back_are_read_as_they_are(
    root: Path, backend: LocalBackend
) -> None:
    backend.create("a", b"0123456789")
    assert backend.read_range("a", 0, 10) == b"0123456789"
    os.truncate(root / "a", 4)
    assert backend.read_range("a", 0, 10) == b"0123"


def test_another_backend_of_the_directory_sees_everything(
    root: Path, backend: LocalBackend
) -> None:
    other = LocalBackend(str(root))
    backend.create("packs/aa/1", b"data")
    assert other.read("packs/aa/1") == b"data"
    other.create("packs/aa/2", b"data")
    other.delete("packs/aa/1")
    assert names(backend) == names(other) == {"packs/aa/2"}
    other.close()


# -- what does not belong to us -----------------------------------------------------------------


def test_foreign_files_are_ignored(root: Path, backend: LocalBackend) -> None:
    backend.create("packs/aa/1", b"data")
    writer = backend.open_writer("packs/aa/2")
    for foreign in ("README.txt", ".nfs0001", "packs/UPPER", "packs/aa/1.bak", "packs/aa/sp ace"):
        (root / foreign).write_text("foreign")
    (root / "lost+found").mkdir()
    (root / "lost+found/inside").write_text("foreign")
    (root / "packs/.Trash").mkdir()
    (root / "packs/.Trash/1").write_text("foreign")
    os.mkfifo(root / "packs/fifo")
    os.symlink(root / "README.txt", root / "packs/link")
    os.symlink("nowhere", root / "packs/dangling")
    with open(os.fsencode(root) + b"/packs/\xff", "wb"):
        pass
    assert names(backend) == names(backend, "packs/") == {"packs/aa/1"}
    for name in ("packs/fifo", "packs/link", "packs/dangling"):
        for call in (backend.read, backend.size):
            with pytest.raises(NotFoundError):
                call(name)
        with pytest.raises(NotFoundError):
            backend.read_range(name, 0, 1)
    writer.abort()


def test_a_linked_directory_is_not_silently_empty(
    root: Path, tmp_path: Path, backend: LocalBackend
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "packs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match="symbolic link to a directory"):
        names(backend)


def test_too_long_foreign_paths_are_ignored(root: Path, backend: LocalBackend) -> None:
    (root / ("a" * 200) / ("b" * 200)).mkdir(parents=True)
    (root / ("a" * 200) / ("c" * 200)).write_text("foreign")
    assert names(backend) == set()


# -- initialize ---------------------------------------------------------------------------------


def test_initialize_takes_an_empty_directory_as_it_is(root: Path) -> None:
    root.mkdir(mode=0o750)
    (root / "lost+found").mkdir()
    LocalBackend(str(root)).initialize()
    assert mode(root) == 0o750


def test_initialize_takes_what_an_interrupted_one_left(root: Path) -> None:
    (root / "tmp").mkdir(parents=True)
    (root / "tmp" / "00.part").write_text("left")
    LocalBackend(str(root)).initialize()


@pytest.mark.parametrize("content", ["file", "config", "tmp/precious.doc", "packs/"])
def test_initialize_refuses_a_directory_with_content(root: Path, content: str) -> None:
    path = root / content
    path.parent.mkdir(parents=True)
    if content.endswith("/"):
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(RepositoryExistsError, match=f"not empty .*{content.split('/')[0]}"):
        LocalBackend(str(root)).initialize()
    assert path.exists()


def test_initialize_refuses_a_file(root: Path) -> None:
    root.write_text("mine")
    with pytest.raises(RepositoryExistsError, match="not a directory"):
        LocalBackend(str(root)).initialize()
    assert root.read_text() == "mine"


def test_initialize_makes_one_directory_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no directory .*unmounted; .*mount"):
        LocalBackend(str(tmp_path / "unmounted" / "repository")).initialize()
    assert list(tmp_path.iterdir()) == []


# -- errors -------------------------------------------------------------------------------------


def test_without_its_directory_reading_finds_nothing_and_the_rest_fails(root: Path) -> None:
    backend = LocalBackend(str(root))
    with pytest.raises(NotFoundError):
        backend.read("config")
    with pytest.raises(BackendError, match="is its disk mounted"):
        names(backend, "packs/")
    with pytest.raises(BackendError, match="is its disk mounted"):
        backend.create("config", b"")
    assert not root.exists()


def test_a_file_in_place_of_the_root_holds_nothing(root: Path) -> None:
    root.write_text("file")
    backend = LocalBackend(str(root))
    with pytest.raises(NotFoundError):
        backend.read("config")
    with pytest.raises(BackendError, match="Not a directory"):
        names(backend)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, OutOfSpaceError),
        (errno.EDQUOT, OutOfSpaceError),
        (errno.EACCES, AccessDeniedError),
        (errno.EPERM, AccessDeniedError),
        (errno.EROFS, AccessDeniedError),
        (errno.ETIMEDOUT, TransientBackendError),
        (errno.ESTALE, TransientBackendError),
        (errno.EIO, BackendError),
        (errno.EMFILE, BackendError),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "write", "link", "open", "scandir", "pread", "unlink"])
def test_failures_of_the_system_become_our_errors(
    backend: LocalBackend,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    kind: type[BackendError],
) -> None:
    backend.create("packs/there", b"data")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    actions: dict[str, Callable[[], object]] = {
        "scandir": lambda: names(backend),
        "pread": lambda: backend.read_range("packs/there", 0, 1),
        "unlink": lambda: backend.delete("packs/there"),
    }
    action = actions.get(call, lambda: backend.create("packs/new", b"data"))
    with monkeypatch.context() as patch:
        # Without hard links the file is renamed: make that impossible too.
        patch.setattr("holdfast.backends.durable.rename_without_replacing", fail)
        patch.setattr(os, call, fail)
        with pytest.raises(BackendError) as caught:
            action()
    assert type(caught.value) is kind
    assert caught.value.reason == os.strerror(code)
    assert caught.value.location == str(root)
    assert names(backend) == {"packs/there"}
    assert leftovers(root) == []
    assert backend.read_range("packs/there", 0, 4) == b"data"


def test_an_unsynced_name_stays_and_the_error_says_so(
    backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.create("gc/0", b"first")
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackendError, match="perhaps not durably") as caught:
        backend.create("gc/1", b"second")
    assert type(caught.value) is BackendError
    assert backend.read("gc/1") == b"second"
    assert leftovers(root) == []
    with pytest.raises(OutOfSpaceError):
        backend.delete("gc/1")


def test_a_writer_that_failed_is_closed(
    backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = backend.open_writer("a")

    def write(descriptor: int, data: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(BackendError):
            writer.write(b"data")
    assert leftovers(root) == []
    with pytest.raises(ValueError, match="closed"):
        writer.commit()
    writer.abort()
    assert names(backend) == set()


# -- open files ---------------------------------------------------------------------------------


def open_files(root: Path) -> int:
    links = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{entry}"))
        except FileNotFoundError:
            continue
    return sum(link.startswith(str(root)) for link in links)


def test_files_stay_open_for_ranges_but_not_without_end(root: Path, backend: LocalBackend) -> None:
    for number in range(100):
        backend.create(f"packs/{number}", b"data")
        backend.read(f"packs/{number}")
    assert open_files(root) == 0
    for number in range(100):
        backend.read_range(f"packs/{number}", 0, 1)
    assert open_files(root) == 32
    for number in range(99, 60, -1):
        backend.delete(f"packs/{number}")
    assert open_files(root) == 0
    backend.read_range("packs/0", 0, 1)
    backend.close()
    assert open_files(root) == 0


# -- stale temporary files ----------------------------------------------------------------------


def test_only_old_temporary_files_are_removed_and_only_once(
    root: Path, backend: LocalBackend
) -> None:
    (root / "tmp").mkdir()
    now = os.stat(root / "tmp").st_mtime
    ages = {
        "old.part": STALE_AFTER_S + 60,
        "young.part": STALE_AFTER_S - 60,
        "future.part": -1e6,
        "old.txt": 10 * STALE_AFTER_S,
    }
    for name, age in ages.items():
        (root / "tmp" / name).write_text("left")
        os.utime(root / "tmp" / name, (now - age, now - age))
    backend.create("a", b"")
    assert leftovers(root) == ["future.part", "old.txt", "young.part"]
    os.utime(root / "tmp/young.part", (0, 0))
    backend.create("b", b"")
    assert leftovers(root) == ["future.part", "old.txt", "young.part"]
    other = LocalBackend(str(root))
    other.create("c", b"")
    assert leftovers(root) == ["future.part", "old.txt"]


def test_a_writer_whose_file_was_removed_fails_at_commit(root: Path, backend: LocalBackend) -> None:
    writer = backend.open_writer("a")
    writer.write(b"data")
    (root / "tmp" / leftovers(root)[0]).unlink()
    writer.write(b"more")
    with pytest.raises(BackendError):
        writer.commit()
    assert names(backend) == set()
