"""Puts files where they belong: complete and durable under their name, or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable

from holdfast.errors import TargetError

Owner = tuple[int, int]
"""User and group, by number."""


def make_directories(path: str) -> Owner | None:
    """Make a directory and those above it, mode 0700, where they are missing.

    Returns:
        The owner of what was there already, if root restores: what is put there is to be theirs.

    Raises:
        TargetError: it cannot be made.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
    except OSError as error:
        raise TargetError(path, (error.strerror or str(error)).lower()) from error
    return (status.st_uid, status.st_gid) if os.geteuid() == 0 else None


def free_name(path: str) -> str:
    """Return a path that does not exist: this one, or with a number at its end."""
    number, name = 1, path
    while os.path.lexists(name):
        number += 1
        name = f"{path}-{number}"
    return name


def write_file(
    path: str,
    pieces: Iterable[bytes],
    *,
    mode: int,
    owner: Owner | None = None,
    before_rename: Callable[[str], None] | None = None,
) -> None:
    """Write a file beside its place, make it durable, then give it its name.

    Args:
        path: of the file; one that is there is replaced in one step.
        pieces: its content in order.
        mode: permission bits.
        owner: user and group; None for those of the process.
        before_rename: called with the temporary file's path when that is complete and durable; if it
            raises, the file never takes its place.

    Raises:
        TargetError: it could not be written; what was there is as it was.
    """
    directory, name = os.path.split(os.path.abspath(path))
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            dir=directory, prefix=f".{name[:100]}.", suffix=".part"
        )
        with open(handle, "wb", buffering=0) as file:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
            if owner is not None:
                os.fchown(handle, *owner)
            os.fchmod(handle, mode)
            os.fsync(handle)
        if before_rename is not None:
            before_rename(temporary)
        os.rename(temporary, path)
        temporary = ""
        sync_directory(directory)
    except OSError as error:
        raise TargetError(path, (error.strerror or str(error)).lower()) from error
    finally:
        if temporary:
            os.unlink(temporary)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable; raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
