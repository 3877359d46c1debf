"""Tree packs on this machine's disk, for storage that is far away.

Walking a snapshot reads small pieces of tree packs in an order that no plan knows; at 30 ms a
request that would take minutes. So blocks of 1 MiB of tree packs, sealed as they are stored, are
kept in files. What this machine writes is kept too, so a nightly backup reads its parent without
a request.

Packs are immutable and their names never used twice, so a block is right for ever if it is right
once. A file ends with the BLAKE3 of its content: a torn one counts as absent, and nothing needs to
be synced. Nobody believes a block: slices are authenticated and blobs verified as if they came
from the storage, and `check` reads the storage itself.

Cost: the least recently used blocks beyond `CAPACITY` are removed whenever the cache is closed.
Memory: a few blocks.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from holdfast.backends.base import Backend, ObjectWriter
from holdfast.hashing import TRAILER_LENGTH, Bytes, trailer

BLOCK: Final = 1 << 20
"""Bytes of a pack in one file: some twenty slices of a directory tree."""
CAPACITY: Final = 4 << 30
"""Bytes of all blocks: the trees of about a hundred million files."""
_IN_MEMORY: Final = 8


class TreeCache:
    """Reads tree packs of one repository through files. Safe for many threads and processes.

    Args:
        backend: where the packs are.
        directory: for the files, created when the first is written; may be removed at any time.
        capacity: bytes that `close` leaves.
    """

    def __init__(self, backend: Backend, directory: str, *, capacity: int = CAPACITY) -> None:
        self._backend = backend
        self._directory = directory
        self._capacity = capacity
        self._recent: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._has_written = False

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of a pack; see `Backend.read_range`.

        Blocks that are missing side by side are fetched by one request.
        """
        first, end = offset // BLOCK, -(-(offset + length) // BLOCK)
        blocks = {number: self._recall(name, number) for number in range(first, end)}
        for begin, stop in _gaps(blocks):
            data = self._backend.read_range(name, begin * BLOCK, (stop - begin) * BLOCK)
            for number in range(begin, stop):
                at = (number - begin) * BLOCK
                block = blocks[number] = data[at : at + BLOCK]
                self.keep(name, number, block)
        joined = b"".join(block for block in blocks.values() if block is not None)
        return joined[offset - first * BLOCK :][:length]

    def keep(self, name: str, number: int, block: bytes) -> None:
        """Write one block down, as far as that is possible."""
        if not block:
            return
        self._note(name, number, block)
        path = self._path(name, number)
        temporary = f"{path}.{os.getpid()}-{threading.get_ident()}"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(temporary, "xb", buffering=0) as file:
                file.write(block + trailer(block))
            os.rename(temporary, path)
            self._has_written = True
        except OSError:  # a full disk costs requests, nothing else
            try:
                os.unlink(temporary)
            except OSError:
                pass

    def close(self) -> None:
        """Remove the blocks that were not used for the longest time, if there are too many."""
        if self._has_written:
            self._has_written = False
            self._trim()

    def _recall(self, name: str, number: int) -> bytes | None:
        with self._lock:
            block = self._recent.get((name, number))
            if block is not None:
                self._recent.move_to_end((name, number))
                return block
        path = self._path(name, number)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
            os.utime(path)  # used just now
        except OSError:
            return None
        block, found = data[:-TRAILER_LENGTH], data[-TRAILER_LENGTH:]
        if trailer(block) != found:
            return None
        self._note(name, number, block)
        return block

    def _note(self, name: str, number: int, block: bytes) -> None:
        with self._lock:
            self._recent[name, number] = block
            if len(self._recent) > _IN_MEMORY:
                self._recent.popitem(last=False)

    def _path(self, name: str, number: int) -> str:
        return os.path.join(self._directory, f"{name.rsplit('/', 1)[-1]}.{number}")

    def _trim(self) -> None:
        found: list[tuple[float, int, str]] = []
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.path))
        except OSError:
            return
        excess = sum(size for _, size, _ in found) - self._capacity
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            try:
                os.unlink(path)
            except OSError:
                pass
            excess -= size


class KeepingWriter:
    """Writes a pack and keeps its blocks; an `ObjectWriter`."""

    __slots__ = ("_block", "_cache", "_inner", "_name", "_number")

    def __init__(self, cache: TreeCache, inner: ObjectWriter, name: str) -> None:
        self._cache = cache
        self._inner = inner
        self._name = name
        self._block = bytearray()
        self._number = 0

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        self._inner.write(data)
        self._block += data
        while len(self._block) >= BLOCK:
            self._keep(bytes(self._block[:BLOCK]))
            del self._block[:BLOCK]

    def commit(self) -> None:
        """Make the object durable and visible."""
        self._inner.commit()
        self._keep(bytes(self._block))
        self._block.clear()

    def abort(self) -> None:
        """Drop the object; blocks of it that were kept are of no use and go in time."""
        self._inner.abort()
        self._block.clear()

    def _keep(self, block: bytes) -> None:
        self._cache.keep(self._name, self._number, block)
        self._number += 1


def _gaps(blocks: dict[int, bytes | None]) -> Iterator[tuple[int, int]]:
    """Yield the runs [begin, stop) of numbers, ascending, without a block."""
    begin: int | None = None
    for number, block in blocks.items():
        if block is None and begin is None:
            begin = number
        elif block is not None and begin is not None:
            yield begin, number
            begin = None
    if begin is not None:
        yield begin, max(blocks) + 1
