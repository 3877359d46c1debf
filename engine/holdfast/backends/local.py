"""A repository in a directory: every object is a file, its name the path below the root.

    <root>/packs/3f/3f9a…        objects, mode 0400, in directories of mode 0700
    <root>/tmp/<32 hex>.part     objects that are being written; no name of an object has a "."

What holds after a power cut or `kill -9` at any moment:
- an object is absent or whole: its bytes are synced before `link` gives it the name;
- an object whose `create` or `commit` returned is there, and one whose `delete` returned is not:
  the directory is synced before the call returns;
- an object that was linked but not yet acknowledged may be seen and then be lost. Whatever is
  created later in the same directory makes it durable too, so a commit that was decided upon
  another commit, or an entry of a log upon the one before, never outlives it;
- files in `tmp/` may be left. The first writer that a backend opens removes those that nobody has
  written to for seven days. They could belong to a live process on any machine that mounts the
  directory, so age is all that can be asked; a process suspended for longer finds its file gone
  and fails at `commit`, loudly.

Symbolic links are never objects. Names that cannot be ours are ignored, whoever put them there.

Source: docs/format.md (names of objects); `durable` for the order of system calls.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from typing import Final

from holdfast.backends import durable, names
from holdfast.backends.base import ObjectInfo, refuse_protection
from holdfast.backends.descriptors import DescriptorCache
from holdfast.backends.location import Location
from holdfast.backends.options import StorageOptions
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
from holdfast.hashing import Bytes

TEMPORARY_DIRECTORY: Final = "tmp"
TEMPORARY_SUFFIX: Final = ".part"
STALE_AFTER_S: Final = 7 * 24 * 3600

_WRITEBACK_SIZE: Final = 8 << 20
"""Bytes after which the kernel is told to start writing: the fsync at the end of a 64 MiB pack
then takes 4 ms instead of 22 (ext4 on a virtual disk, posix_fadvise as good as
sync_file_range)."""

_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PASSING: Final = frozenset({errno.ETIMEDOUT, errno.ESTALE})


def open_local(location: Location, options: StorageOptions) -> LocalBackend:
    """Return the backend of a `file` location."""
    del options
    return LocalBackend(location.path)


class LocalBackend:
    """Objects as files below the directory `root`, which `initialize` creates.

    Safe for many threads and processes. Up to `descriptors.CAPACITY` files stay open for ranged
    reads, so an object that another process deleted may be read on for a while.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)
        self._descriptors = DescriptorCache(self._open_file)
        self._known_directories: set[str] = set()
        self._has_swept = False

    @property
    def location(self) -> str:
        """The absolute path of the root."""
        return self._root

    @property
    def is_remote(self) -> bool:
        """False: even over NFS the kernel caches."""
        return False

    @property
    def parallelism(self) -> int:
        """2: one reads or syncs while the other works."""
        return 2

    def protect(self, days: int) -> None:
        """Refuse: nothing here is protected."""
        refuse_protection(days)

    def create(self, name: str, data: Bytes) -> None:
        """Create an object, durable and visible on return."""
        writer = self.open_writer(name)
        try:
            writer.write(data)
            writer.commit()
        finally:
            writer.abort()

    def open_writer(self, name: str, *, is_hot: bool = False) -> LocalWriter:
        """Begin an object in a temporary file."""
        del is_hot
        names.check_name(name)
        try:
            path, descriptor = self._open_temporary()
        except OSError as error:
            raise self.translated(error, name) from error
        return LocalWriter(self, name, path, descriptor)

    def read(self, name: str) -> bytes:
        """Return a whole object, usually by a single system call."""
        descriptor, size = self._open_file(name)
        try:
            return durable.read_exactly(descriptor, 0, size)
        except OSError as error:
            raise self.translated(error, name) from error
        finally:
            os.close(descriptor)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object; its file stays open for the next read."""
        names.check_range(offset, length)
        try:
            with self._descriptors.using(name) as file:
                present = max(0, min(length, file.size - offset))
                return durable.read_exactly(file.descriptor, offset, present)
        except OSError as error:
            self._descriptors.drop(name)
            raise self.translated(error, name) from error

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        try:
            status = os.lstat(self.path(name))
        except OSError as error:
            raise self._read_error(error, name) from error
        if not stat.S_ISREG(status.st_mode):
            raise NotFoundError(self._root, name)
        return status.st_size

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object below `prefix`; reads one directory at a time as a whole."""
        names.check_prefix(prefix)
        return self._walk(prefix)

    def delete(self, name: str) -> None:
        """Delete an object, durably on return."""
        path = self.path(name)
        try:
            os.unlink(path)
        except IsADirectoryError as error:
            raise NotFoundError(self._root, name) from error
        except OSError as error:
            raise self._read_error(error, name) from error
        self._descriptors.drop(name)
        try:
            durable.sync_directory(os.path.dirname(path))
        except OSError as error:
            raise self.translated(error, name) from error

    def initialize(self) -> None:
        """Create the root, mode 0700, or take an empty directory that exists.

        A file system's own `lost+found` and what an interrupted `init` or a probe left count as
        empty.

        Raises:
            ConfigurationError: the directory above does not exist: a typing error, or a disk that
                is not mounted.
        """
        try:
            if not os.path.isdir(self._root):
                durable.make_directory(self._root)
            foreign = [name for name in os.listdir(self._root) if not self._may_precede(name)]
        except FileNotFoundError as error:
            parent = os.path.dirname(self._root)
            hint = "create it, or mount the disk that holds it"
            raise ConfigurationError(f"there is no directory {parent}", hint) from error
        except NotADirectoryError as error:
            raise RepositoryExistsError(self._root, "it is not a directory") from error
        except OSError as error:
            raise self.translated(error, "") from error
        if foreign:
            reason = f"the directory is not empty (it holds {min(foreign)})"
            raise RepositoryExistsError(self._root, reason)

    def close(self) -> None:
        """Close all files."""
        self._descriptors.close()

    def path(self, name: str) -> str:
        """Return the path of an object's file.

        Raises:
            ValueError: not a name.
        """
        names.check_name(name)
        return f"{self._root}/{name}"

    def publish(self, temporary: str, name: str) -> None:
        """Make a synced temporary file the object `name`, durably; the caller removes the file.

        Raises:
            AlreadyExistsError: the name is taken.
            BackendError: if the directory could not be synced, the object is visible, but whether
                it survives a power cut is unknown. It stays: someone may have seen it already.
        """
        path = self.path(name)
        try:
            self._make_parents(name)
            durable.publish(temporary, path)
        except FileExistsError as error:
            # Who finds that the same bytes are there already may rely on them from now on, also
            # where their writer died before it had synced the directory.
            self._sync_parent(path, name)
            raise AlreadyExistsError(self._root, name) from error
        except OSError as error:
            raise self.translated(error, name) from error
        self._sync_parent(path, name)

    def _sync_parent(self, path: str, name: str) -> None:
        try:
            durable.sync_directory(os.path.dirname(path))
        except OSError as error:
            reason = f"created, but perhaps not durably: {error.strerror}"
            raise BackendError(self._root, name, reason) from error

    def translated(self, error: OSError, name: str) -> BackendError:
        """Return the error of ours that says the same."""
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return OutOfSpaceError(self._root, name, reason)
        if error.errno in _DENIED:
            return AccessDeniedError(self._root, name, reason)
        if error.errno in _PASSING:
            return TransientBackendError(self._root, name, reason)
        if error.errno == errno.ENOENT and not os.path.isdir(self._root):
            reason = "the directory is not there; is its disk mounted?"
        return BackendError(self._root, name, reason)

    def _read_error(self, error: OSError, name: str) -> BackendError:
        if error.errno in _ABSENT:
            return NotFoundError(self._root, name)
        return self.translated(error, name)

    def _open_file(self, name: str) -> tuple[int, int]:
        """Return (descriptor, size in bytes) of an object."""
        path = self.path(name)
        try:
            descriptor = os.open(path, _READ_FLAGS)
        except OSError as error:
            raise self._read_error(error, name) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise NotFoundError(self._root, name)
        return descriptor, status.st_size

    def _walk(self, prefix: str) -> Iterator[ObjectInfo]:
        pending = [prefix]
        while pending:
            folder = pending.pop()
            for entry in self._scan(folder):
                name = folder + entry.name
                if not names.is_part(entry.name) or len(name) > names.MAX_NAME_LENGTH:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # deleted since
                    continue
                except OSError as error:
                    raise self.translated(error, name) from error
                if stat.S_ISREG(status.st_mode):
                    yield ObjectInfo(name, status.st_size, status.st_mtime)
                elif stat.S_ISDIR(status.st_mode):
                    pending.append(f"{name}/")
                elif entry.is_dir():  # what lies behind must not be silently missing
                    reason = "a symbolic link to a directory, where a directory must be"
                    raise BackendError(self._root, name, reason)

    def _scan(self, folder: str) -> tuple[os.DirEntry[str], ...]:
        """Return a directory's entries; none if it does not exist, unless the root is gone."""
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                return tuple(entries)
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.isdir(self._root):
                return ()
            raise self.translated(error, folder) from error
        except OSError as error:
            raise self.translated(error, folder) from error

    def _make_parents(self, name: str) -> None:
        """Make the directories above an object durable, once in the life of this backend."""
        end = name.find("/")
        while end >= 0:
            folder = name[:end]
            if folder not in self._known_directories:
                durable.make_directory(f"{self._root}/{folder}")
                self._known_directories.add(folder)
            end = name.find("/", end + 1)

    def _open_temporary(self) -> tuple[str, int]:
        """Return (path, descriptor) of a new file in `tmp/`, mode 0600."""
        folder = f"{self._root}/{TEMPORARY_DIRECTORY}"
        path = f"{folder}/{secrets.token_hex(16)}{TEMPORARY_SUFFIX}"
        try:
            descriptor = os.open(path, _WRITE_FLAGS, 0o600)
        except FileNotFoundError:
            durable.make_directory(folder)
            descriptor = os.open(path, _WRITE_FLAGS, 0o600)
        if not self._has_swept:
            self._has_swept = True
            # The storage's own clock judges: a machine's clock may be years away from it.
            before_s = os.fstat(descriptor).st_mtime - STALE_AFTER_S
            durable.remove_stale(folder, TEMPORARY_SUFFIX, before_s)
        return path, descriptor

    def _may_precede(self, name: str) -> bool:
        """Tell whether an entry of the root may be there before the repository is."""
        if name != TEMPORARY_DIRECTORY:
            return name in ("lost+found", names.PROBE.rstrip("/"))
        left = os.listdir(f"{self._root}/{name}")
        return all(file.endswith(TEMPORARY_SUFFIX) for file in left)


class LocalWriter:
    """An object in a temporary file, for one thread at a time.

    Any failure removes the file. Using a writer after `commit`, `abort` or a failure is a
    ValueError, except for `abort`.
    """

    __slots__ = ("_backend", "_descriptor", "_flushed", "_name", "_temporary", "_written")

    def __init__(self, backend: LocalBackend, name: str, temporary: str, descriptor: int) -> None:
        self._backend = backend
        self._name = name
        self._temporary = temporary
        self._descriptor: int | None = descriptor
        self._written = 0
        self._flushed = 0

    def write(self, data: Bytes) -> None:
        """Append bytes; every few MiB the kernel starts to write them to the disk."""
        if self._descriptor is None:
            raise ValueError(f"the writer of {self._name} is closed")
        try:
            self._written += durable.write_all(self._descriptor, data)
            waiting = self._written - self._flushed
            if waiting >= _WRITEBACK_SIZE and sys.platform == "linux":
                os.posix_fadvise(self._descriptor, self._flushed, waiting, os.POSIX_FADV_DONTNEED)
                self._flushed = self._written
        except OSError as error:
            self.abort()
            raise self._backend.translated(error, self._name) from error

    def commit(self) -> None:
        """Sync the file, give it its name, sync the directory."""
        if self._descriptor is None:
            raise ValueError(f"the writer of {self._name} is closed")
        try:
            self._finish_file()
            self._backend.publish(self._temporary, self._name)
        except OSError as error:
            raise self._backend.translated(error, self._name) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Close and remove the temporary file."""
        if not self._temporary:
            return
        try:
            self._close()
        except OSError:  # the file goes anyway
            pass
        try:
            os.unlink(self._temporary)
        except OSError:  # renamed into place, or out of reach: then age removes it
            pass
        self._temporary = ""

    def _finish_file(self) -> None:
        assert self._descriptor is not None
        try:
            os.fchmod(self._descriptor, 0o400)
        except OSError:  # FAT and SMB mounts have modes of their own
            pass
        durable.sync_file(self._descriptor)
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
