"""A small cache of open files, for thousands of ranged reads of the same packs.

Objects are immutable and their names never reused, so an open descriptor never shows stale bytes.
A file stays open while a read uses it, even when it has left the cache meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

CAPACITY: Final = 32


class OpenFile:
    """One open object; `size` is its length in bytes."""

    __slots__ = ("descriptor", "is_cached", "size", "users")

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.users = 1
        self.is_cached = True


class DescriptorCache:
    """The `capacity` files used last, by name; safe for many threads.

    Args:
        open_file: opens an object by name and returns (descriptor, size); its errors pass through.
        capacity: files kept open beside those in use.
    """

    def __init__(
        self, open_file: Callable[[str], tuple[int, int]], capacity: int = CAPACITY
    ) -> None:
        self._open_file = open_file
        self._capacity = capacity
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def using(self, name: str) -> Iterator[OpenFile]:
        """Lend the open file of `name`; it is not closed before the block ends."""
        file = self._lend(name)
        try:
            yield file
        finally:
            with self._lock:
                file.users -= 1
                self._close_if_unused(file)

    def drop(self, name: str) -> None:
        """Forget the file of `name`: deleted, or its descriptor failed."""
        with self._lock:
            file = self._files.pop(name, None)
            if file is not None:
                self._retire(file)

    def close(self) -> None:
        """Close every file; those in use are closed when their users are done."""
        with self._lock:
            while self._files:
                self._retire(self._files.popitem()[1])

    def _lend(self, name: str) -> OpenFile:
        with self._lock:
            file = self._files.get(name)
            if file is not None:
                file.users += 1
                self._files.move_to_end(name)
                return file
        fresh = OpenFile(*self._open_file(name))  # without the lock: opening may be slow
        with self._lock:
            other = self._files.get(name)
            if other is not None:  # another thread was faster
                os.close(fresh.descriptor)
                other.users += 1
                return other
            self._files[name] = fresh
            while len(self._files) > self._capacity:
                self._retire(self._files.popitem(last=False)[1])
        return fresh

    def _retire(self, file: OpenFile) -> None:
        file.is_cached = False
        self._close_if_unused(file)

    @staticmethod
    def _close_if_unused(file: OpenFile) -> None:
        if file.users == 0 and not file.is_cached:
            os.close(file.descriptor)
