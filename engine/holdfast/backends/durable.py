"""Creating files that are whole, durable and never replace another: the POSIX part of `local`.

The order is write, fsync the file, link it into place, fsync the directory. `link` refuses a name
that is taken, atomically, on local disks and on NFS; so a name either shows the whole file or
nothing. Failures are OSError; `local` translates them.

Source: link(2), open(2) on O_EXCL over NFS, rename(2), fsync(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from typing import Final

from holdfast.hashing import Bytes

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_NO_DIRECTORY_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1


def write_all(descriptor: int, data: Bytes) -> int:
    """Write every byte of `data`, however short the single writes are; return how many."""
    rest = memoryview(data).cast("B")
    length = len(rest)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return length


def read_exactly(descriptor: int, offset: int, length: int) -> bytes:
    """Return `length` bytes, fewer only at the end; Linux reads at most 2 GiB per call."""
    data = os.pread(descriptor, length, offset) if length else b""
    if len(data) == length:
        return data
    pieces = [data]
    while data:
        offset += len(data)
        length -= len(data)
        data = os.pread(descriptor, length, offset)
        pieces.append(data)
    return b"".join(pieces)


def sync_file(descriptor: int) -> None:
    """Return when the file's bytes survive a power cut."""
    if sys.platform == "darwin":  # there fsync leaves the bytes in the disk's own cache
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError:  # network and FAT volumes know only fsync
            pass
    os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Return when the names in the directory survive a power cut.

    File systems that refuse the call (some SMB and FUSE mounts) keep names safe by themselves or
    not at all; there is nothing else to ask them.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """Create a directory, mode 0700, unless it exists; its name is durable on return.

    The parent is synced in both cases: another process may have made the directory just now and
    not have come to its own sync yet.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    sync_directory(os.path.dirname(path))


def publish(temporary: str, final: str) -> None:
    """Give a synced file its final name; the caller syncs the directory and removes `temporary`.

    Raises:
        FileExistsError: the name is taken, and not by this very file.
        OSError: ENOTSUP where the file system knows no way to do this without replacing.
    """
    try:
        os.link(temporary, final)
    except FileExistsError:
        # Over NFS the answer to a link that succeeded can get lost; the repeated request then
        # meets its own work. The file knows.
        if not _is_same_file(temporary, final):
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        rename_without_replacing(temporary, final)


def rename_without_replacing(source: str, target: str) -> None:
    """Rename where hard links do not exist (FAT, SMB).

    Raises:
        FileExistsError: `target` exists.
        OSError: ENOTSUP where this file system or platform has no such call.
    """
    import ctypes  # costs 5 ms, and only file systems without links come here

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        code = errno.ENOSYS
    else:
        arguments = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
        if renameat2(*arguments, ctypes.c_uint(_RENAME_NOREPLACE)) == 0:
            return
        code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        reason = "this file system has neither hard links nor a rename that never replaces"
        raise OSError(errno.ENOTSUP, reason, target)
    raise OSError(code, os.strerror(code), target)


def remove_stale(folder: str, suffix: str, before_s: float) -> None:
    """Remove files named `…suffix` last written before `before_s`; as far as possible."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_ours = entry.name.endswith(suffix)
                if is_ours and entry.stat(follow_symlinks=False).st_mtime < before_s:
                    os.unlink(entry.path)
    except OSError:  # someone else removes them too, or we may not
        pass


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False
