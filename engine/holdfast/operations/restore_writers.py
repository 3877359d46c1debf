"""Threads that write small restored files.

Creating a file is four system calls that run without the GIL, and most of the time of a restore
on a fast disk. So complete small files are handed over in batches, while the caller's thread
goes on with the next blobs. Directories are opened and closed by the caller's thread alone; a
batch is handed over only with all its directories open, and none is closed before the batches
that need it are written (`TargetTree.on_close`): a descriptor that was closed and given to
another directory would put files into the wrong place.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from holdfast.format.node import Node
from holdfast.fs.target_file import is_plain, write_plain, write_whole
from holdfast.fs.target_problems import EntryError
from holdfast.fs.target_tree import TargetDirectory, TargetTree, do_nothing
from holdfast.hashing import Bytes

_THREADS: Final = 2
_BATCH_FILES: Final = 64
_BATCH_BYTES: Final = 2 << 20
_MOST_PENDING: Final = 6
_SWITCH_S: Final = 1e-4
"""While the threads work. A thread that comes back from a system call waits this long for the
GIL if another computes; with Python's 5 ms a restore of 78,000 files took a sixth longer."""
LARGEST: Final = 256 << 10
"""Larger files are written by the caller's thread, straight from the decoded slice."""

Item = tuple[TargetDirectory, Node, bytes]
Outcome = Callable[[TargetDirectory, Node, Exception | None], None]


class WriterThreads:
    """Writes small files in batches; used by one thread.

    Args:
        tree: the target.
        outcome: called by the caller's thread for each file, with its error if it has one.
    """

    def __init__(self, tree: TargetTree, outcome: Outcome) -> None:
        self._tree = tree
        self._outcome = outcome
        self._pool: ThreadPoolExecutor | None = None
        self._interval_s = 0.0
        self._batch: list[Item] = []
        self._bytes = 0
        self._pending: deque[tuple[Future[list[Exception | None]], list[Item]]] = deque()
        tree.on_close = self._collect_all

    def take(self, directory: TargetDirectory, node: Node, data: Bytes) -> bool:
        """Take a file to be written soon; False if the caller must write it.

        The data is copied. What fails is told to `outcome`, at `drain` at the latest.
        """
        if directory.fd < 0 and not directory.known:
            try:
                self._tree.open(directory)
            except EntryError:
                return False  # the caller will meet and report it
        if len(data) > LARGEST or not is_plain(self._tree, directory, node):
            return False
        self._batch.append((directory, node, bytes(data)))
        self._bytes += len(data)
        if len(self._batch) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES:
            self._hand_over()
        return True

    def drain(self) -> None:
        """Wait until everything taken is written."""
        if self._batch:
            self._hand_over()
        self._collect_all()

    def close(self) -> None:
        """End the threads; what they have begun is finished, what they have not is dropped."""
        self._tree.on_close = do_nothing
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            sys.setswitchinterval(self._interval_s)
        self._batch.clear()
        self._pending.clear()

    def _hand_over(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        opened: list[Item] = []
        for item in batch:
            directory = item[0]
            if directory.fd < 0:
                try:
                    self._tree.open(directory)
                except EntryError as error:
                    self._outcome(directory, item[1], error)
                    continue
            opened.append(item)
        # Opening the last ones may have closed the first ones.
        ready = [item for item in opened if item[0].fd >= 0]
        late = [item for item in opened if item[0].fd < 0]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "holdfast-write")
            self._interval_s = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_S)
        self._pending.append((self._pool.submit(_write, ready), ready))
        for directory, node, data in late:
            try:
                write_whole(self._tree, directory, node, data)
            except EntryError as error:
                self._outcome(directory, node, error)
            else:
                self._outcome(directory, node, None)
        while len(self._pending) > _MOST_PENDING:
            self._collect()

    def _collect_all(self) -> None:
        while self._pending:
            self._collect()

    def _collect(self) -> None:
        future, items = self._pending.popleft()
        for (directory, node, _), error in zip(items, future.result(), strict=True):
            self._outcome(directory, node, error)


def _write(items: list[Item]) -> list[Exception | None]:
    """Write a batch; runs in a thread and touches nothing but the files."""
    errors: list[Exception | None] = []
    for directory, node, data in items:
        try:
            write_plain(directory.fd, node, data)
        except EntryError as error:
            errors.append(error)
        else:
            errors.append(None)
    return errors
