"""What a version of a data set is, so that a report can say exactly what was measured.

The digest is BLAKE3 over the entries in the order of their names as bytes: kind, length of the
name, name, and the length and content of a file or the text of a link. Owners, modes and times are
left out: they differ between machines without a difference in the data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from blake3 import blake3

from data_set import Extent

_READ_LENGTH: Final = 1 << 20


def extent_of(directory: Path) -> Extent:
    """Read a directory whole.

    Cost: a read of all of it, in constant memory but for the names of one directory per level.

    Raises:
        OSError: something cannot be read.
    """
    total = blake3()
    files = size = 0
    for kind, name, path in _entries(os.fsencode(directory), b""):
        total.update(kind + len(name).to_bytes(4, "little") + name)
        if kind == b"l":
            content = os.readlink(path)
            total.update(len(content).to_bytes(8, "little") + content)
        elif kind == b"f":
            length, digest = _read(path)
            total.update(length.to_bytes(8, "little") + digest)
            files += 1
            size += length
    return Extent(files, size, total.hexdigest())


def _entries(directory: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, name below the root, and path of everything; directories before their content."""
    with os.scandir(directory) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + entry.name
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield b"d", name, entry.path
            yield from _entries(entry.path, name + b"/")
        elif stat.S_ISLNK(mode):
            yield b"l", name, entry.path
        else:
            yield b"f" if stat.S_ISREG(mode) else b"o", name, entry.path


def _read(path: bytes) -> tuple[int, bytes]:
    """Return the length of a file and the digest of its content."""
    hasher = blake3()
    length = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_READ_LENGTH):
            hasher.update(piece)
            length += len(piece)
    return length, hasher.digest()
