"""Changing an existing file of the target where it is, without making worse what cannot be done.

A file that may be running or mapped as code is not written to: its users would crash, and of a
running one the kernel refuses it. It is replaced instead, and they keep the old file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
REOPEN_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PATH_FLAGS: Final = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS: Final = bytes(1 << 20)
_CODE: Final = (b"\x7fELF", b"#!")
_FREE_SPAN: Final = 0x4030582B
"""FS_IOC_UNRESVSP64 of linux/falloc.h: make a span a hole, on any file system that can."""

Identity = tuple[int, int]
"""Device and inode."""


def identity_of(status: os.stat_result) -> Identity:
    """Return what tells one file from another."""
    return status.st_dev, status.st_ino


def holds_code(fd: int) -> bool:
    """Tell whether an open file is a program, a library or a script.

    Raises:
        OSError: it cannot be read.
    """
    return os.pread(fd, 4, 0).startswith(_CODE)


def is_running(name: bytes, dir_fd: int) -> bool:
    """Tell whether the kernel refuses to write to a file because it is being executed."""
    try:
        os.close(os.open(name, REOPEN_FLAGS, dir_fd=dir_fd))
    except OSError as error:
        return error.errno == errno.ETXTBSY
    return False


def open_for_rewriting(name: bytes, dir_fd: int, expected: Identity | None) -> int:
    """Open an existing file for writing and keep others from opening it meanwhile.

    Args:
        name: its name.
        dir_fd: its directory.
        expected: the file that was compared with the snapshot. None: whichever is there.

    Raises:
        OSError: not possible, or another file has the name, or it has further names; its mode
            is as before.
    """
    reading = os.open(name, READ_FLAGS, dir_fd=dir_fd)
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise FileExistsError(errno.EEXIST, "it is no regular file with one name any more")
        check_identity(found, expected)
        os.fchmod(reading, 0o600)
        try:
            return reopen(name, dir_fd, identity_of(found))
        except OSError:
            os.fchmod(reading, stat.S_IMODE(found.st_mode))
            raise
    finally:
        os.close(reading)


def reopen(name: bytes, dir_fd: int, expected: Identity | None) -> int:
    """Open a file for writing once more.

    Raises:
        OSError: not possible, or another file has the name: who may write to the directory could
            put a further name of a file elsewhere there.
    """
    fd = os.open(name, REOPEN_FLAGS, dir_fd=dir_fd)
    try:
        check_identity(os.fstat(fd), expected)
    except OSError:
        os.close(fd)
        raise
    return fd


def check_identity(found: os.stat_result, expected: Identity | None) -> None:
    """Refuse a file that is not the expected one.

    Raises:
        FileExistsError: it is another one.
    """
    if expected is not None and identity_of(found) != expected:
        raise FileExistsError(errno.EEXIST, "something else got its name meanwhile")


def unlock(name: bytes, dir_fd: int, bits: int) -> None:
    """Add mode bits to an entry that its owner may not open, and that is no symbolic link.

    Raises:
        OSError: not possible, for example since somebody else owns it.
    """
    fd = os.open(name, _PATH_FLAGS, dir_fd=dir_fd)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(mode) | bits)
    finally:
        os.close(fd)


def clear_spans(fd: int, spans: Iterable[tuple[int, int]]) -> None:
    """Make (offset, length) spans of a file read as zeros: holes where that is possible.

    Raises:
        OSError: they cannot be written.
    """
    for offset, length in spans:
        request = struct.pack("hhqqiI4i", 0, os.SEEK_SET, offset, length, 0, 0, 0, 0, 0, 0)
        try:
            fcntl.ioctl(fd, _FREE_SPAN, request)
        except OSError:
            write_zeros(fd, offset, offset + length)


def write_zeros(fd: int, at: int, end: int) -> None:
    """Write zeros from `at` to `end` where that is no hole already; for old file systems.

    Raises:
        OSError: they cannot be written.
    """
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole up to the end
            raise
        stop = min(end, os.lseek(fd, at, os.SEEK_HOLE))
        while at < stop:
            at += os.pwrite(fd, memoryview(_ZEROS)[: stop - at], at)
