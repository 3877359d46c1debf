"""The walk of a source: which files it has, in the order in which a backup would read them.

A source is walked twice, first to learn how much there is, then to read it: two walks of names and
inodes cost less than a list of all files in memory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from holdfast.findings import Finding
from holdfast.fs.source import (
    CACHE_TAG,
    data_extents,
    describe,
    display,
    is_cache_directory,
    list_names,
)
from holdfast.operations.backup_files import open_file
from holdfast.policy.filters import ExcludeFilter
from holdfast.progress import Progress

SPARSE_MINIMUM: Final = 128 << 10
"""Bytes from which a backup looks for holes; `operations.backup_files` has the same."""
_MOST_LINKS: Final = 100_000
"""Inodes with several names that are remembered; further ones count once for each name."""
_IMPLAUSIBLE: Final = 1 << 40
"""Bytes of a file that occupies nothing, on a file system that has no room at all."""
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ESTALE))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRules:
    """What of a source is left out, as `backup` would."""

    exclude: ExcludeFilter | None = None
    exclude_caches: bool = False
    one_file_system: bool = False


class SourceFile(NamedTuple):
    """A regular file of a source."""

    path: bytes
    name: bytes
    """Path relative to the source; empty if the source is this file."""
    size: int
    """Bytes by its inode, holes included."""
    is_sparse: bool
    """Whether it may have holes that a backup would skip."""


class Problems:
    """Counts and reports what cannot be read. For one thread."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.unreadable = 0
        """Files and directories that could not be read."""
        self.vanished = 0
        """Files and directories that were gone, and files that were shorter, when their turn came."""

    def failed(self, path: bytes, error: OSError) -> None:
        """Note that a file or directory could not be read."""
        if error.errno in _GONE:
            self.vanished += 1
        else:
            self.unreadable += 1
        self._progress.finding(Finding(display(path), describe(error)))

    def replaced(self, path: bytes) -> None:
        """Note that something else has the name of a file now."""
        self.vanished += 1
        self._progress.finding(Finding(display(path), "it is no longer a regular file"))

    def shrank(self, path: bytes) -> None:
        """Note that a file ended early."""
        self.vanished += 1
        self._progress.finding(Finding(display(path), "it became shorter while it was read"))


class _Directory(NamedTuple):
    """A directory that is being walked."""

    prefix: bytes
    """Path with a "/" at its end."""
    names: Iterator[bytes]
    key: tuple[int, int]
    """Device and inode."""


class SourceWalk:
    """Walks one source; used once. For one thread.

    Nothing below the source is followed: neither symbolic links nor, with `one_file_system`, mounts.
    The source itself may be a link, a file or a directory.
    """

    def __init__(self, source: bytes, rules: WalkRules, problems: Problems) -> None:
        """Prepare.

        Args:
            source: path, absolute or relative to the working directory.
            rules: what to leave out.
            problems: told of what cannot be listed.
        """
        self._source = os.path.abspath(source)
        self._rules = rules
        self._problems = problems
        self._exclude = rules.exclude if rules.exclude and not rules.exclude.is_empty else None
        self._links: set[int] = set()
        self._stack: list[_Directory] = []

    def files(self) -> Iterator[SourceFile]:
        """Yield the regular files, depth first, names in order; of hard links the first name.

        Cost: 5 us a file with warm caches. Memory: the names of the directories on the way down,
        and up to 10 MB for hard links.
        """
        try:
            status = os.stat(self._source)
        except OSError as error:
            self._problems.failed(self._source, error)
            return
        if stat.S_ISREG(status.st_mode) and not _is_memory(self._source, status):
            yield _source_file(self._source, b"", status)
        elif stat.S_ISDIR(status.st_mode):
            start = self._source.rstrip(b"/") + b"/"
            self._push(start, status)
            yield from self._below(len(start), status.st_dev)

    def _below(self, start: int, device: int) -> Iterator[SourceFile]:
        """Yield the files below the directory on the stack; their names begin at `start`."""
        while self._stack:
            directory = self._stack[-1]
            for name in directory.names:
                path = directory.prefix + name
                try:
                    status = os.lstat(path)
                except OSError as error:
                    self._problems.failed(path, error)
                    continue
                kind = stat.S_IFMT(status.st_mode)
                if kind not in (stat.S_IFREG, stat.S_IFDIR):
                    continue
                if self._exclude and self._exclude.excludes(path, kind == stat.S_IFDIR):
                    continue
                if kind == stat.S_IFREG:
                    is_first = status.st_nlink == 1 or self._is_first_name(status)
                    if is_first and not _is_memory(path, status):
                        yield _source_file(path, path[start:], status)
                elif not self._rules.one_file_system or status.st_dev == device:
                    self._push(path + b"/", status)
                    break
            else:
                self._stack.pop()

    def _push(self, prefix: bytes, status: os.stat_result) -> None:
        """Go down into a directory."""
        key = (status.st_dev, status.st_ino)
        if any(above.key == key for above in self._stack):
            return  # a mount of a directory below itself has no end
        try:
            names = list_names(prefix)
        except OSError as error:
            self._problems.failed(prefix[:-1] or prefix, error)
            names = []
        if self._rules.exclude_caches and CACHE_TAG in names and is_cache_directory(prefix):
            names = [CACHE_TAG]  # as in a backup, which keeps the tag
        self._stack.append(_Directory(prefix, iter(names), key))

    def _is_first_name(self, status: os.stat_result) -> bool:
        key = hash((status.st_dev, status.st_ino))
        if key in self._links:
            return False
        if len(self._links) < _MOST_LINKS:
            self._links.add(key)
        return True


def content_length(file: SourceFile) -> int:
    """Return the bytes of a file without its holes; 0 if it cannot be opened.

    Cost: nothing, but for files that may have holes 10 us and 2 us for each hole.
    """
    if not file.is_sparse:
        return file.size
    try:
        descriptor = open_file(file.path)
    except OSError:
        return 0
    try:
        return sum(length for _, length in data_extents(descriptor, file.size))
    except OSError:
        return 0
    finally:
        os.close(descriptor)


def _is_memory(path: bytes, status: os.stat_result) -> bool:
    """Tell whether a file is the machine's memory: /proc/kcore claims to have 128 TiB."""
    if status.st_size < _IMPLAUSIBLE or status.st_blocks:
        return False
    try:
        return os.statvfs(path).f_blocks == 0
    except OSError:
        return False


def _source_file(path: bytes, name: bytes, status: os.stat_result) -> SourceFile:
    size = status.st_size
    is_sparse = status.st_blocks * 512 < size and size >= SPARSE_MINIMUM
    return SourceFile(path, name, size, is_sparse)
