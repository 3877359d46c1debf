"""Writing restored files.

A file of one blob, as nearly all are, is opened, written, given its metadata and closed in one
go. Others are written at random offsets as their blobs come. In both cases the modification time
is set after the last byte, so that an interrupted restore, continued with "if-changed", takes no
unfinished file for a finished one.

A file that replaces another gets the name when it is complete. Rewriting an existing file in
place cannot be made safe against a crash: until the last byte the file is a mixture of old and
new, recognisable only by its modification time and by nobody but its owner being let in. If the
run ends early it stays, since the next one completes it; removing it would lose both.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from holdfast.format.node import Node
from holdfast.fs.target_metadata import apply_to_fd
from holdfast.fs.target_rewrite import (
    READ_FLAGS,
    Identity,
    clear_spans,
    identity_of,
    open_for_rewriting,
    reopen,
)
from holdfast.fs.target_swap import swap_in, temporary_name, unlink_quietly
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from holdfast.hashing import Bytes

CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN_FILES: Final = 64
_WORTH_KEEPING: Final = 64 << 20
"""Bytes of a new file that are not thrown away when the run ends early."""
_UNFINISHED: Final = (
    "unfinished: the same restore with --overwrite if-changed completes it and keeps what is there"
)
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
        unlink_quietly(name, dir_fd)
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
        unlink_quietly(name, dir_fd)
        raise
    _close(fd)


class TargetFile:
    """A file whose content comes in pieces, in any order.

    New files are created at the first piece, one that replaces another under a temporary name.
    An existing file that is rewritten is closed to others at the first piece.
    """

    __slots__ = (
        "directory",
        "failed",
        "fd",
        "holes",
        "identity",
        "name",
        "node",
        "open_places",
        "replace",
        "rewrite",
        "sealed",
        "started",
        "written",
    )

    def __init__(
        self,
        directory: TargetDirectory,
        node: Node,
        *,
        replace: bool = False,
        rewrite: bool = False,
        identity: Identity | None = None,
    ) -> None:
        """Describe the file; nothing is touched.

        Args:
            directory: where it is.
            node: what it shall be.
            replace: whether an existing entry of that name gives way when the file is complete.
            rewrite: whether an existing regular file is written to in place.
            identity: the file to rewrite, as it was when it was compared; None if any will do.
        """
        self.directory = directory
        self.node = node
        self.name = temporary_name() if replace else node.name
        """Its name until it is complete."""
        self.identity = identity
        self.holes: Sequence[tuple[int, int]] = ()
        """(offset, length) of holes that hold data in the file that is rewritten."""
        self.written = 0
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
        file.written += len(data)

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
        clear_spans(fd, file.holes)
        if file.rewrite:
            apply_to_fd(fd, file.node, file.path, self._tree.problems, found=os.fstat(fd))
        else:
            _finish_new(self._tree, file.directory, file.node, fd)
        self._close(file)
        if file.replace:
            swap_in(file.name, file.node.name, self._tree.open(file.directory))
        self._unfinished.discard(file)

    def abandon(self, file: TargetFile) -> None:
        """Remove a file that cannot be completed, if any of it was written.

        What it was to replace stays; what it was to rewrite is a mixture by now, and goes.
        """
        file.failed = True
        self._close(file)
        self._unfinished.discard(file)
        if file.started:
            try:
                dir_fd = self._tree.open(file.directory)
            except OSError:
                return  # its directory is gone, and so is the file
            self._remove(file, dir_fd)

    def abandon_all(self) -> None:
        """The run ends early: remove unfinished files, except where that would lose much."""
        for file in list(self._unfinished):
            if file.rewrite or (file.written >= _WORTH_KEEPING and not file.replace):
                self._close(file)
                self._unfinished.discard(file)
                self._tree.problems.add(file.path, _UNFINISHED)
            else:
                self.abandon(file)

    def _remove(self, file: TargetFile, dir_fd: int) -> None:
        try:
            found = os.stat(file.name, dir_fd=dir_fd, follow_symlinks=False)
        except OSError:
            return  # gone already
        if stat.S_ISREG(found.st_mode) and identity_of(found) == file.identity:
            unlink_quietly(file.name, dir_fd)

    def _open(self, file: TargetFile) -> int:
        dir_fd = self._tree.open(file.directory)
        name = file.name
        if file.started:
            fd = reopen(name, dir_fd, file.identity)
        elif file.rewrite:
            fd = open_for_rewriting(name, dir_fd, file.identity)
        else:
            fd = os.open(name, CREATE_FLAGS, 0o600, dir_fd=dir_fd)
        if not file.started:
            file.identity = identity_of(os.fstat(fd))
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
        return os.open(name, READ_FLAGS | getattr(os, "O_NOATIME", 0), dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, READ_FLAGS, dir_fd=dir_fd)  # O_NOATIME is the owner's right


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


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    while len(view):
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
