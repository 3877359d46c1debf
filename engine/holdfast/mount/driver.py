"""The file system by mfusepy: ctypes on libfuse 3, no compiler needed.

libfuse's high-level interface names files by path; each call costs some 25 us, and twice that from
a thread of libfuse, which Python has to be introduced to every time. So there are few calls:

- The kernel may keep everything for a day, as snapshots never change.
- Directories are listed with all attributes (READDIRPLUS), which spares a call for each file.
- Files are not opened or closed (open gives ENOSYS once, and the kernel asks no more): a small
  file is one call.
- Names of attributes that nobody has are answered for good (decision 0022).
- There is one thread where no call waits for a network. Blobs ahead of a reader are decoded by
  others anyway.

Loaded on demand: importing it loads mfusepy and libfuse.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import memmove
from itertools import count
from typing import Any, Final

import mfusepy

from holdfast.errors import HoldfastError, MountError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.mount import attributes
from holdfast.mount.mountpoint import ENDING_SIGNALS
from holdfast.mount.problems import as_os_error, translated
from holdfast.vfs.directory import Directory
from holdfast.vfs.filesystem import SnapshotFiles
from holdfast.vfs.listing import Listing
from holdfast.vfs.open_file import OpenFile

_FOREVER_S: Final = 86400.0
_KEPT_DIRECTORIES: Final = 4096
_KEPT_FILES: Final = 64
"""Files of many blobs that were read last; 150 KB each."""
_READDIRPLUS_AUTO: Final = 1 << 14
"""FUSE_CAP_READDIRPLUS_AUTO: the kernel falls back to listing names alone, and then asks for each
file, since `ls` looks at attributes only after it has read all names."""
_FILL_DIR_PLUS: Final = 1 << 1
_MAX_THREADS_SINCE: Final = (3, 12)
_THREADS: Final = 10
_ENDED: Final = (7, 8)
"""What fuse_main returns where its loop has ended by itself, a signal included."""


def serve(
    files: SnapshotFiles, mountpoint: str, options: dict[str, Any], ready: Callable[[], None]
) -> None:
    """Mount, serve until the mount ends, and leave nothing mounted.

    Args:
        files: what to show.
        mountpoint: an empty directory.
        options: of the mount, as mfusepy takes them.
        ready: called once the kernel has accepted the mount, before it asks for anything.

    Raises:
        MountError: FUSE refused.
    """
    if not files.is_remote:
        options = {**options, "nothreads": True}
    elif (mfusepy.fuse_version_major, mfusepy.fuse_version_minor) >= _MAX_THREADS_SINCE:
        options = {**options, "max_threads": _THREADS, "max_idle_threads": _THREADS}
    operations = _Operations(files, ready)
    with _default_signals():
        try:
            _Fuse(operations, mountpoint, foreground=True, **options)
        except RuntimeError as error:
            if operations.is_mounted and error.args and error.args[0] in _ENDED:
                return
            raise MountError(mountpoint, f"FUSE refused it (libfuse says {error})") from error


@contextmanager
def _default_signals() -> Iterator[None]:
    """Let libfuse end its loop by signals: it leaves those alone that somebody else handles."""
    before = {
        number: signal.signal(number, signal.SIG_DFL)
        for number in ENDING_SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Handles:
    """Numbers for open directories."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, Listing] = {}

    def add(self, listing: Listing) -> int:
        number = next(self._numbers)
        self._open[number] = listing
        return number

    def __getitem__(self, number: int) -> Listing:
        return self._open[number]

    def remove(self, number: int) -> None:
        self._open.pop(number, None)


def _answered_by_fuse(*_: object) -> int:
    """Tell libfuse that it may ask; `_Fuse` answers, so this is never called."""
    raise AssertionError("_Fuse answers this itself")


class _Operations(mfusepy.Operations):  # type: ignore[misc]
    """What libfuse asks for; paths are text with escaped bytes."""

    use_ns = True
    getattr = read = readdir = staticmethod(_answered_by_fuse)

    def __init__(self, files: SnapshotFiles, ready: Callable[[], None]) -> None:
        self.files = files
        self.handles = _Handles()
        self.is_mounted = False
        self._ready = ready
        self._directories: OrderedDict[bytes, Directory] = OrderedDict()
        self._files: OrderedDict[bytes, OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        """Say what the kernel may keep and do."""
        conn_info.want &= ~_READDIRPLUS_AUTO
        config_3.use_ino = 1
        config_3.kernel_cache = 1
        config_3.entry_timeout = config_3.attr_timeout = _FOREVER_S
        self.is_mounted = True
        self._ready()

    def directory(self, path: bytes) -> Directory:
        """Return a directory by its path; those of snapshots are kept."""
        with self._lock:
            found = self._directories.get(path)
            if found is not None:
                self._directories.move_to_end(path)
                return found
        if path == b"/":
            return self.files.root
        parent, node = self.entry(path)
        directory = parent.enter(node)
        if directory.snapshot is not None:
            with self._lock:
                self._directories[path] = directory
                if len(self._directories) > _KEPT_DIRECTORIES:
                    self._directories.popitem(last=False)
        return directory

    def entry(self, path: bytes) -> tuple[Directory, Node]:
        """Return an entry by its path, and its directory; OSError(ENOENT) if there is none."""
        if path == b"/":
            root = self.files.root
            return root, root.node
        head, _, name = path.rpartition(b"/")
        parent = self.directory(head or b"/")
        node = parent.get(name)
        if node is None:
            raise OSError(errno.ENOENT, "no such entry")
        return parent, node

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points to."""
        raw = os.fsencode(path)
        with translated(self.files, raw):
            _, node = self.entry(raw)
        if node.type != NodeType.SYMLINK:
            raise OSError(errno.EINVAL, "no symbolic link")
        return os.fsdecode((node.extra or NO_EXTRA).target)

    def file(self, path: bytes) -> OpenFile:
        """Return a file by its path; those of many blobs are kept, with who reads them where."""
        with self._lock:
            found = self._files.get(path)
            if found is not None:
                self._files.move_to_end(path)
                return found
        file = self.files.open(*self.entry(path))
        if not file.is_one_blob:
            with self._lock:
                file = self._files.setdefault(path, file)
                if len(self._files) > _KEPT_FILES:
                    self._files.popitem(last=False)
        return file

    def open(self, path: str, flags: int) -> int:
        """Tell the kernel to read without asking; nothing can be written to a read-only mount."""
        raise OSError(errno.ENOSYS, "no need to ask", path, flags)

    def opendir(self, path: str) -> int:
        """Open a directory."""
        raw = os.fsencode(path)
        with translated(self.files, raw):
            return self.handles.add(Listing(self.directory(raw)))

    def releasedir(self, path: str, fh: int) -> int:  # noqa: ARG002
        """Close a directory."""
        self.handles.remove(fh)
        return 0

    def listxattr(self, path: str) -> list[str]:
        """Return the names of an entry's extended attributes."""
        raw = os.fsencode(path)
        with translated(self.files, raw):
            _, node = self.entry(raw)
        return [os.fsdecode(name) for name, _ in (node.extra or NO_EXTRA).xattrs]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:  # noqa: ARG002
        """Return an extended attribute."""
        raw, wanted = os.fsencode(path), os.fsencode(name)
        if self.files.lacks_xattr(wanted):
            raise OSError(errno.EOPNOTSUPP, "no snapshot has it")
        with translated(self.files, raw):
            _, node = self.entry(raw)
        for found, value in (node.extra or NO_EXTRA).xattrs:
            if found == wanted:
                return value
        raise OSError(errno.ENODATA, "no such attribute")


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy, with attributes in listings, and shorter ways for what every file needs."""

    def opendir(self, path: bytes, fip: Any) -> int:
        """Open a directory; of a snapshot's the kernel may keep the listing."""
        operations: _Operations = self.operations
        info = fip.contents
        info.fh = operations.opendir(os.fsdecode(path))
        if operations.handles[info.fh].directory.snapshot is not None:
            info.cache_readdir = info.keep_cache = 1
        return 0

    def getattr_fuse_3(self, path: bytes, buf: Any, fip: Any) -> int:
        """Return the attributes of one entry."""
        del fip
        operations: _Operations = self.operations
        with translated(operations.files, path):
            _fill(buf.contents, *operations.entry(path))
        return 0

    def read(self, path: bytes, buf: Any, size: int, offset: int, fip: Any) -> int:
        """Read from a file."""
        del fip
        operations: _Operations = self.operations
        try:
            data = operations.file(path).read(offset, size)
        except HoldfastError as error:
            raise as_os_error(operations.files, path, error) from error
        memmove(buf, data, len(data))
        return len(data)

    def readdir_fuse_3(
        self, path: bytes | None, buf: Any, filler: Any, offset: int, fip: Any, flags: int
    ) -> int:
        """List a directory from an offset on until the kernel's buffer is full."""
        del path, flags
        operations: _Operations = self.operations
        listing: Listing = operations.handles[fip.contents.fh]
        for number, name in enumerate((b".", b"..")):
            if offset <= number and filler(buf, name, None, number + 1, 0):
                return 0
        status = mfusepy.c_stat()
        directory = listing.directory
        first = max(0, offset - 2)
        number = first - 1
        try:
            with translated(operations.files, directory.path):
                for number, node in listing.iterate(first):
                    _fill(status, directory, node)
                    if filler(buf, node.name, status, number + 3, _FILL_DIR_PLUS):
                        return 0
        except OSError:
            if number < first:
                raise
            # What stands before a damaged page is shown; the next call meets it.
        return 0


def _fill(status: Any, directory: Directory, node: Node) -> None:
    """Set every field of a `c_stat`. Cost: 3 us."""
    extra = node.extra or NO_EXTRA
    status.st_mode = node.full_mode
    status.st_ino = attributes.file_number(directory, node)
    status.st_nlink = attributes.link_count(node)
    status.st_uid = node.uid
    status.st_gid = node.gid
    status.st_size = attributes.full_size(node)
    status.st_blocks = attributes.block_count(node)
    status.st_blksize = attributes.BLOCK_SIZE
    status.st_rdev = extra.rdev
    mtime, ctime, atime = status.st_mtimespec, status.st_ctimespec, status.st_atimespec
    mtime.tv_sec, mtime.tv_nsec = divmod(node.mtime_ns, 1_000_000_000)
    ctime.tv_sec, ctime.tv_nsec = divmod(node.ctime_ns or node.mtime_ns, 1_000_000_000)
    atime.tv_sec, atime.tv_nsec = divmod(extra.atime_ns or node.mtime_ns, 1_000_000_000)
