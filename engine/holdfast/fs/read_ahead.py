"""Reading ahead of a walk that waits for the disk.

A walk asks for one inode and one file at a time, which leaves a cold disk idle most of the
time. Threads that ask for the next entries early keep it busy; they only warm the kernel's
caches, and nothing they see is used. While the caches are warm they would cost CPU for nothing,
so they work only while the process keeps reading from a disk.
"""

from __future__ import annotations

import os
import resource
import stat
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Final

from holdfast.closing import Closing
from holdfast.fs.source import NO_ATIME, OPEN_FLAGS

_THREADS: Final = 8
"""Enough for the queue of an SSD; a disk sorts what it gets."""
_WINDOW: Final = 64
"""Entries asked for ahead of the walk; bounds what is read and not used."""
_SUBDIRECTORY_ENTRIES: Final = 128
_MOST_BYTES: Final = 1 << 20
"""Of one file; the rest is read in large pieces anyway, which the kernel reads ahead."""
_COLD_BLOCKS: Final = 128
"""Blocks of 512 bytes read from disks between two observations that count as cold."""


class ReadAhead(Closing):
    """Warms the kernel's caches for one walk; a context manager. Used by the walking thread."""

    def __init__(self) -> None:
        self._entries: SimpleQueue[tuple[bytes, bool] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        self._active = False

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._entries.put(None)
        for thread in self._threads:
            thread.join()

    def observe(self) -> None:
        """Look whether disks are being read; called every 64 entries or so. Cost: 1 us."""
        blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        self._active = blocks - self._blocks >= _COLD_BLOCKS
        self._blocks = blocks
        if self._active and not self._threads:
            for number in range(_THREADS):
                thread = threading.Thread(
                    target=self._work, name=f"holdfast-ahead-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def names(self, prefix: bytes, names: Sequence[bytes], *, content: bool) -> Iterator[bytes]:
        """Return the names of a directory, asking for what comes next while they are taken.

        Args:
            prefix: path of the directory with "/" at its end.
            names: in the order of the walk.
            content: whether the files are going to be read, not only compared.
        """
        return self._paced(prefix, names, content) if self._active else iter(names)

    def _paced(self, prefix: bytes, names: Sequence[bytes], content: bool) -> Iterator[bytes]:
        ask = self._entries.put
        for start in range(0, len(names), _WINDOW):
            end = start + _WINDOW
            # The first window's second half, then always one window ahead of the walk.
            for name in names[start if start == 0 else end : end + _WINDOW]:
                ask((prefix + name, content))
            yield from names[start:end]

    def _work(self) -> None:
        while (entry := self._entries.get()) is not None:
            path, content = entry
            try:
                if stat.S_ISDIR(_touch(path, content)):
                    for name in os.listdir(path)[:_SUBDIRECTORY_ENTRIES]:
                        _touch(path + b"/" + name, content)
            except OSError:
                pass  # the walk will meet the same problem and report it


def _touch(path: bytes, content: bool) -> int:
    """Ask for an inode, and for the beginning of a file; return the mode."""
    status = os.lstat(path)
    if content and stat.S_ISREG(status.st_mode) and status.st_size:
        try:
            descriptor = os.open(path, OPEN_FLAGS | NO_ATIME)
        except PermissionError:
            return status.st_mode  # the walk falls back; here it is not worth a second call
        try:
            os.posix_fadvise(
                descriptor, 0, min(status.st_size, _MOST_BYTES), os.POSIX_FADV_WILLNEED
            )
        finally:
            os.close(descriptor)
    return status.st_mode
