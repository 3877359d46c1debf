"""From errors of the engine to those that a kernel knows."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.errors import HoldfastError, PathNotFoundError
from holdfast.vfs.filesystem import SnapshotFiles


@contextmanager
def translated(files: SnapshotFiles, path: bytes) -> Iterator[None]:
    """Raise OSError for what goes wrong inside: ENOENT, or EIO after telling `files` about it."""
    try:
        yield
    except HoldfastError as error:
        raise as_os_error(files, path, error) from error


def as_os_error(files: SnapshotFiles, path: bytes, error: HoldfastError) -> OSError:
    """Return what `translated` raises: for code that every file goes through."""
    if isinstance(error, PathNotFoundError):
        return OSError(errno.ENOENT, "no such entry")
    files.report(path.decode("utf-8", "surrogateescape"), error)
    return OSError(errno.EIO, str(error))
