"""Finding entries that were renamed: removed here and added there with the same content.

A walk over what differs collects what was removed and what was added. Directories are paired
before they are entered, level by level, so moving a large one costs two entries. Files are
paired after that. Among several of the same content those of the same name come first, then
those that come first in the tree.

Memory: about 700 bytes for each removed or added file that is not empty, and each such directory
outside of a renamed one. `DiffOptions.rename_limit` bounds their number on each side: 150 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.format.node import Node, NodeType
from holdfast.operations.diff_compare import Contents
from holdfast.operations.tree_walk import PageSource

_MOST_TRIES: Final = 16
"""Files of the same key that are compared before one counts as new: each may have to be read."""
_FILE: Final = NodeType.FILE.value
_DIRECTORY: Final = NodeType.DIRECTORY.value

Entry = tuple[bytes, Node]
"""Absolute path in its own tree, and the node."""
ListEntries = Callable[[Entry], Iterator[Entry]]
"""Yields what a directory holds."""
_Fits = Callable[[Entry, Entry], bool]


@dataclass(slots=True)
class Renames:
    """What was renamed."""

    targets: dict[bytes, Entry] = field(default_factory=dict)
    """New path -> what it was."""
    sources: set[bytes] = field(default_factory=set)
    """Old paths."""


class TooManyError(Exception):
    """More was added or removed than renames are looked for among."""


class _Side:
    """What one tree has and the other lacks."""

    def __init__(self, list_entries: ListEntries, limit: int, *, is_new: bool) -> None:
        self.list_entries = list_entries
        self.is_new = is_new
        self.files: dict[bytes, list[Entry]] = {}
        self.directories: dict[bytes, list[Entry]] = {}
        self.pending: list[Entry] = []
        """Directories that have not been entered."""
        self.fresh: list[bytes] = []
        """Keys of directories that came since directories were paired."""
        self.renamed: set[bytes] = set()
        self.above: set[bytes] = set()
        """Directories in which something was renamed."""
        self._left = limit

    def add(self, entries: Iterable[Entry], contents: Contents, other: _Side | None = None) -> None:
        """Take entries; those that can have been renamed are kept.

        Args:
            entries: files, directories and others.
            contents: tells their keys.
            other: the other side if it is known completely: what fits nothing there is not kept.

        Raises:
            TooManyError: more than the limit are kept.
        """
        for entry in entries:
            node = entry[1]
            if node.type == _DIRECTORY:
                self.pending.append(entry)
                key = contents.directory_key(node)
                if not key or (other is not None and key not in other.directories):
                    continue
                self.directories.setdefault(key, []).append(entry)
                self.fresh.append(key)
            elif node.type == _FILE:
                file_key = contents.rename_key(node, is_new=self.is_new)
                if file_key is None or (other is not None and file_key not in other.files):
                    continue
                self.files.setdefault(file_key, []).append(entry)
            else:
                continue
            self._left -= 1
            if self._left < 0:
                raise TooManyError

    @property
    def is_empty(self) -> bool:
        """Whether nothing here can have been renamed."""
        return not (self.files or self.directories or self.pending)

    def is_free(self, entry: Entry) -> bool:
        """Tell whether nothing of an entry, above it or below it was renamed yet."""
        path = entry[0]
        if path in self.above:
            return False
        while path and self.renamed:
            if path in self.renamed:
                return False
            path = path[: path.rfind(b"/")]
        return True

    def note(self, entry: Entry) -> None:
        """Note that an entry was renamed."""
        path = entry[0]
        self.renamed.add(path)
        while path := path[: path.rfind(b"/")]:
            if path in self.above:
                break
            self.above.add(path)


class RenameFinder:
    """Takes what was removed and added, then tells what was renamed.

    Args:
        source: of snapshots; tells empty directories from others.
        contents: compares files.
        limit: see `DiffOptions.rename_limit`.
        list_old: lists what a removed directory holds.
        list_new: lists what an added directory holds.
        holds_the_same: compares two directories of the same key.
    """

    def __init__(
        self,
        source: PageSource,
        contents: Contents,
        limit: int,
        *,
        list_old: ListEntries,
        list_new: ListEntries,
        holds_the_same: _Fits,
    ) -> None:
        self._holds_the_same = holds_the_same
        self._source = source
        self._contents = contents
        self._old = _Side(list_old, limit, is_new=False)
        self._new = _Side(list_new, limit, is_new=True)
        self._renames = Renames()
        self._empty_page = b""
        """The one of all empty directories, once it was met."""

    def removed(self, path: bytes, node: Node) -> None:
        """Take an entry that only the old tree has.

        Raises:
            TooManyError: there are too many.
        """
        self._old.add([(path, node)], self._contents)

    def added(self, path: bytes, node: Node) -> None:
        """Take an entry that only the new tree has.

        Raises:
            TooManyError: there are too many.
        """
        self._new.add([(path, node)], self._contents)

    def find(self) -> Renames:
        """Return what was renamed.

        Raises:
            TooManyError: too many entries lie in removed or added directories.
        """
        self._pair_directories()
        while self._old.pending or self._new.pending:
            if self._old.is_empty or self._new.is_empty:
                break
            self._enter(self._old, self._new)
            self._enter(self._new, self._old)
            self._pair_directories()
        self._pair_files()
        return self._renames

    def _enter(self, side: _Side, other: _Side) -> None:
        entered, side.pending = side.pending, []
        known = None if other.pending else other
        for entry in entered:
            if side.is_free(entry):
                side.add(side.list_entries(entry), self._contents, known)

    def _pair_directories(self) -> None:
        old, new = self._old, self._new
        keys = dict.fromkeys([*old.fresh, *new.fresh])
        shared = [key for key in keys if key in old.directories and key in new.directories]
        shared.sort(key=lambda key: old.directories[key][0][0].count(b"/"))  # the larger first
        for key in shared:
            self._pair(old.directories[key], new.directories[key], self._is_moved)
        old.fresh, new.fresh = [], []

    def _pair_files(self) -> None:
        for key, added in self._new.files.items():
            if key in self._old.files:
                self._pair(self._old.files[key], added, self._is_same)

    def _pair(self, old: list[Entry], new: list[Entry], fits: _Fits) -> None:
        free_old = list(filter(self._old.is_free, old))
        free_new = list(filter(self._new.is_free, new))
        for one, other in _pairs(free_old, free_new, fits):
            self._renames.targets[other[0]] = one
            self._renames.sources.add(one[0])
            self._old.note(one)
            self._new.note(other)

    def _is_same(self, old: Entry, new: Entry) -> bool:
        return self._contents.is_renamed(old[1], new[1], new[0])

    def _is_moved(self, old: Entry, new: Entry) -> bool:
        return not self._is_empty(old[1]) and (
            self._contents.keys_decide or self._holds_the_same(old, new)
        )

    def _is_empty(self, node: Node) -> bool:
        """Tell whether a directory is empty: all empty ones are alike."""
        ids = node.blob_ids
        if len(ids) != 1 or ids[0] == self._empty_page:
            return len(ids) <= 1
        try:
            if self._source.read_page(ids[0]):
                return False
        except IntegrityError:
            return True  # nothing can be said about it
        self._empty_page = ids[0]
        return True


def _pairs(old: list[Entry], new: list[Entry], fits: _Fits) -> Iterator[tuple[Entry, Entry]]:
    """Yield pairs of the same last component, then of the rest in order."""
    by_name: dict[bytes, list[Entry]] = {}
    for entry in reversed(old):
        by_name.setdefault(_name(entry), []).append(entry)
    taken: set[bytes] = set()
    rest: list[Entry] = []
    for entry in new:
        same = by_name.get(_name(entry))
        if same and fits(same[-1], entry):
            taken.add(same[-1][0])
            yield same.pop(), entry
        else:
            rest.append(entry)
    free = [entry for entry in old if entry[0] not in taken]
    for entry in rest:
        for at, candidate in enumerate(free[:_MOST_TRIES]):
            if fits(candidate, entry):
                del free[at]
                yield candidate, entry
                break


def _name(entry: Entry) -> bytes:
    return entry[0][entry[0].rfind(b"/") + 1 :]
