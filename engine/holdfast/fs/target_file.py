"""Writing restored files.

A file of one blob, as nearly all are, is opened, written, given its metadata and closed in one
go. Others are written at random offsets as their blobs come. In both cases the modification time
is set after the last byte, so that an interrupted restore, continued with "if-changed", takes no
unfinished file for a finished one; whatever is unfinished at the end of a run is removed.

Rewriting an existing file in place cannot be made safe against a crash: until the last byte the
file is a mixture of old and new, recognisable only by its modification time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from typing import Final

from holdfast.format.node import Node
from holdfast.fs.target_metadata import apply_to_fd
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from holdfast.hashing import Bytes

CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MAX_OPEN_FILES: Final = 64
_ZEROS: Final = bytes(1 << 20)

_open = os.open
_write = os.write
_utime = os.utime
_close = os.close


def is_plain(tree: TargetTree, directory: TargetDirectory, node: Node) -> bool:
    """Tell whether a new file gets its owner and mode right by being created."""
    return (
        node.extra is None
        and node.uid == tree.uid
        and node.gid == directory.new_gid
        and not node.mode & tree.masked_bits
        and not directory.inherits_acl
    )


def write_plain(dir_fd: int, node: Node, data: bytes) -> None:
    """Create a file of which `is_plain` holds, in an open directory. On an error nothing is left.

    Raises:
        OSError, OverflowError, ValueError: it cannot be written.

    Cost: 4 system calls and 2 us. Uses no shared state: for threads.
    """
    name = node.name
    fd = _open(name, CREATE_FLAGS, node.mode, dir_fd=dir_fd)
    try:
        written = _write(fd, data)
        if written != len(data):
            _write_all(fd, memoryview(data)[written:], written)
        mtime_ns = node.mtime_ns
        _utime(fd, ns=(mtime_ns, mtime_ns))
    except BaseException:
        _close(fd)
        _unlink_quietly(name, dir_fd)
        raise
    _close(fd)


def write_whole(tree: TargetTree, directory: TargetDirectory, node: Node, data: Bytes) -> None:
    """Create a file, with content, metadata and all.

    The file never grants more than the node's mode, and before it has its owner nothing to
    anybody else. On an error nothing is left.

    Raises:
        OSError, OverflowError, ValueError: it cannot be written.

    Cost: 4 system calls if owner and mode come out right by themselves.
    """
    dir_fd = directory.fd
    if dir_fd < 0:
        dir_fd = tree.open(directory)
    mode = node.mode
    plain = is_plain(tree, directory, node)
    name = node.name
    fd = _open(name, CREATE_FLAGS, mode if plain else 0o600, dir_fd=dir_fd)
    try:
        if data:
            written = _write(fd, data)
            if written != len(data):
                _write_all(fd, memoryview(data)[written:], written)
        if plain:
            mtime_ns = node.mtime_ns
            _utime(fd, ns=(mtime_ns, mtime_ns))
        else:
            _finish_new(tree, directory, node, fd)
    except BaseException:
        _close(fd)
        _unlink_quietly(name, dir_fd)
        raise
    _close(fd)


class TargetFile:
    """A file whose content comes in pieces, in any order.

    New files are created at the first piece. `replace` removes what has the name just before.
    An existing file that is rewritten is closed to others at the first piece.
    """

    __slots__ = (
        "directory",
        "failed",
        "fd",
        "node",
        "open_places",
        "replace",
        "rewrite",
        "sealed",
        "started",
    )

    def __init__(
        self,
        directory: TargetDirectory,
        node: Node,
        *,
        replace: bool = False,
        rewrite: bool = False,
    ) -> None:
        """Describe the file; nothing is touched.

        Args:
            directory: where it is.
            node: what it shall be.
            replace: whether an existing entry of that name is removed first.
            rewrite: whether an existing regular file is written to in place.
        """
        self.directory = directory
        self.node = node
        self.failed = False
        self.open_places = 0
        """Pieces that are planned and not yet written; the owner's bookkeeping."""
        self.sealed = False
        """No more pieces will be planned."""
        self.replace = replace
        self.rewrite = rewrite
        self.started = False
        """Something of it is in the target."""
        self.fd = -1

    @property
    def path(self) -> bytes:
        """Path below the target."""
        return self.directory.path + b"/" + self.node.name


class FileWriter:
    """Writes `TargetFile`s with a bounded number of descriptors."""

    def __init__(self, tree: TargetTree) -> None:
        self._tree = tree
        self._open_files: deque[TargetFile] = deque()
        self._unfinished: set[TargetFile] = set()

    def write_at(self, file: TargetFile, data: Bytes, offset: int) -> None:
        """Write one piece.

        Raises:
            OSError, OverflowError, ValueError: it cannot be written.
        """
        fd = file.fd
        if fd < 0:
            fd = self._open(file)
        view = memoryview(data)
        while len(view):
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written

    def finish(self, file: TargetFile) -> None:
        """Set size and metadata of a file whose pieces are all written, and close it.

        Raises:
            OSError, OverflowError, ValueError: that is not possible.
        """
        fd = file.fd
        if fd < 0:
            fd = self._open(file)
        # Sets the end of a hole at the end, and cuts off what a longer old file had.
        os.ftruncate(fd, file.node.size)
        if file.rewrite:
            apply_to_fd(fd, file.node, file.path, self._tree.problems, found=os.fstat(fd))
        else:
            _finish_new(self._tree, file.directory, file.node, fd)
        self._close(file)
        self._unfinished.discard(file)

    def abandon(self, file: TargetFile) -> None:
        """Remove a file that cannot be completed, if any of it was written."""
        file.failed = True
        self._close(file)
        self._unfinished.discard(file)
        if file.started:
            try:
                dir_fd = self._tree.open(file.directory)
            except OSError:
                return  # its directory is gone, and so is the file
            _unlink_quietly(file.node.name, dir_fd)

    def abandon_all(self) -> None:
        """Remove all unfinished files: the run ends early."""
        for file in list(self._unfinished):
            self.abandon(file)

    def _open(self, file: TargetFile) -> int:
        dir_fd = self._tree.open(file.directory)
        name = file.node.name
        if file.started:
            fd = os.open(name, _REOPEN_FLAGS, dir_fd=dir_fd)
        elif file.rewrite:
            fd = _open_for_rewriting(name, dir_fd)
        else:
            if file.replace:
                _unlink_if_there(name, dir_fd)
            fd = os.open(name, CREATE_FLAGS, 0o600, dir_fd=dir_fd)
        file.fd = fd
        file.started = True
        self._unfinished.add(file)
        self._open_files.append(file)
        if len(self._open_files) > _MAX_OPEN_FILES:
            self._close(self._open_files[0])
        return fd

    def _close(self, file: TargetFile) -> None:
        if file.fd >= 0:
            os.close(file.fd)
            file.fd = -1
            self._open_files.remove(file)


def open_existing(tree: TargetTree, directory: TargetDirectory, name: bytes) -> int:
    """Open an entry for reading without following or waiting for anything; the caller closes it.

    Raises:
        OSError: not possible.
    """
    dir_fd = tree.open(directory)
    try:
        return os.open(name, _READ_FLAGS | getattr(os, "O_NOATIME", 0), dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, _READ_FLAGS, dir_fd=dir_fd)  # O_NOATIME is the owner's right


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Return the bytes of a span, fewer only where the file ends.

    Raises:
        OSError: they cannot be read.
    """
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    missing = length - len(data)
    while missing:
        piece = os.pread(fd, missing, offset + length - missing)
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def reads_as_zeros(fd: int, spans: Iterator[tuple[int, int]]) -> bool:
    """Tell whether all (offset, length) spans are zeros or beyond the end.

    Raises:
        OSError: they cannot be read.
    """
    for offset, length in spans:
        at, end = offset, offset + length
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break  # a hole up to the end
            if at >= end:
                break
            piece = read_at(fd, at, min(len(_ZEROS), end - at))
            if piece != _ZEROS[: len(piece)]:
                return False
            at += len(_ZEROS)
    return True


def _finish_new(tree: TargetTree, directory: TargetDirectory, node: Node, fd: int) -> None:
    if directory.inherits_acl:
        tree.clear_inherited(fd, is_directory=False)
    if node.extra is None and node.uid == tree.uid and node.gid == directory.new_gid:
        os.fchmod(fd, node.mode)
        os.utime(fd, ns=(node.mtime_ns, node.mtime_ns))
    else:
        path = directory.path + b"/" + node.name
        apply_to_fd(fd, node, path, tree.problems)


def _open_for_rewriting(name: bytes, dir_fd: int) -> int:
    """Open an existing file for writing and keep others from opening it meanwhile."""
    reading = os.open(name, _READ_FLAGS, dir_fd=dir_fd)
    try:
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            raise FileExistsError(errno.EEXIST, "it is no regular file any more")
        os.fchmod(reading, 0o600)
        return os.open(name, _REOPEN_FLAGS, dir_fd=dir_fd)
    finally:
        os.close(reading)


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    while len(view):
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _unlink_if_there(name: bytes, dir_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass


def _unlink_quietly(name: bytes, dir_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=dir_fd)
    except OSError:
        pass  # gone already
