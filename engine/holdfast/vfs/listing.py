"""The entries of a directory by number, for readers that go on where they were."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from holdfast.format.node import Node
from holdfast.vfs.directory import Directory


class Listing:
    """Numbers the entries of one directory from 0, reading pages as they are needed.

    Memory: 8 bytes a page. Safe for many threads: what is learned is only ever added.
    """

    __slots__ = ("_starts", "directory")

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._starts = [0]
        """Number of the first entry of each page that was reached, and of the one behind it."""

    def iterate(self, start: int = 0) -> Iterator[tuple[int, Node]]:
        """Yield (number, entry) from number `start` on.

        Raises:
            IntegrityError, BackendError: a page cannot be read.
        """
        index = bisect_right(self._starts, start) - 1
        while (page := self.directory.page(index)) is not None:
            first = self._starts[index]
            if len(self._starts) == index + 1:
                self._starts.append(first + len(page))
            if start < first + len(page):
                yield from enumerate(page[start - first :], start)
                start = first + len(page)
            index += 1
