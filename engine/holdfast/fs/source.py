"""Reading a local tree: names, metadata and content of what is backed up.

Paths are bytes of any value. Nothing here follows a symbolic link below a source.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final, TypeAlias

from holdfast.format.node import FORMATS

OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""O_NONBLOCK: a name that became a fifo since its lstat must not stop the run."""
NO_ATIME: Final = getattr(os, "O_NOATIME", 0)

NODE_TYPES: Final = {bits: node_type for node_type, bits in FORMATS.items()}
Xattrs: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""(name, value) pairs in ascending order of name."""
_NO_XATTRS: Final = frozenset((errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))
CACHE_TAG: Final = b"CACHEDIR.TAG"
_CACHE_SIGNATURE: Final = b"Signature: 8a477f597d28d172789f06886806bc55"


def describe(error: OSError) -> str:
    """Return what went wrong as a clause: "permission denied"."""
    return (error.strerror or str(error)).lower()


def display(path: bytes) -> str:
    """Return a path as text that can be printed and encoded everywhere."""
    return path.decode("utf-8", "backslashreplace")


def list_names(path: bytes) -> list[bytes]:
    """Return the names in a directory, sorted.

    Raises:
        OSError: the directory cannot be read.
    """
    names = os.listdir(path)
    names.sort()
    return names


def read_xattrs(path: bytes | int) -> Xattrs:
    """Return all extended attributes, POSIX ACLs among them, sorted by name.

    Of a path's entry itself, or of the file open as a descriptor, which saves the look-up.
    Attributes that vanish meanwhile are left out; a file system without any has none.

    Raises:
        OSError: they cannot be read.
    """
    try:
        names = os.listxattr(path) if isinstance(path, int) else _list_of_entry(path)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    if not names:
        return ()
    found: list[tuple[bytes, bytes]] = []
    for name in names:
        try:
            follow = isinstance(path, int)  # a descriptor is no link, and os insists on True
            found.append((os.fsencode(name), os.getxattr(path, name, follow_symlinks=follow)))
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    return tuple(sorted(found))


def _list_of_entry(path: bytes) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def data_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of the parts of a sparse file that hold data, ascending."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole up to the end
            raise
        end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if end <= start:
            return
        yield start, end - start
        at = end


def is_cache_directory(path: bytes) -> bool:
    """Tell whether a directory carries a valid CACHEDIR.TAG (bford.info/cachedir)."""
    try:
        descriptor = os.open(os.path.join(path, CACHE_TAG), OPEN_FLAGS)
    except OSError:
        return False
    try:
        return os.read(descriptor, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(descriptor)
