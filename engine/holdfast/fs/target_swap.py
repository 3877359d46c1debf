"""Putting a new entry in the place of an old one, so that one of them always has the name.

The new entry is made under a temporary name beside the old one and renamed when it is complete.
A process that is killed in between leaves the temporary entry; the next restore into the same
directory knows it by its name and removes it.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Final

_PATTERN: Final = re.compile(rb"\.holdfast-restore-[0-9a-f]{16}~")


def temporary_name() -> bytes:
    """Return a name that no other entry has."""
    return b".holdfast-restore-%s~" % secrets.token_hex(8).encode()


def is_temporary(name: bytes) -> bool:
    """Tell whether a name is one that `temporary_name` gives."""
    return _PATTERN.fullmatch(name) is not None


def swap_in(temporary: bytes, name: bytes, dir_fd: int) -> None:
    """Give a temporary entry its name; whatever else had it, no directory, is gone.

    Raises:
        OSError: not possible; the temporary entry is removed.
    """
    try:
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except OSError:
        unlink_quietly(temporary, dir_fd)
        raise


def unlink_quietly(name: bytes, dir_fd: int) -> None:
    """Remove a name if it is there and can be removed."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except OSError:
        pass  # gone already
