"""Long looks through the repository: names below a folder, changes, versions of a file.

Each is an object whose `run` yields results while it goes on. It opens the repository once more,
so that folders can be read meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.errors import IntegrityError, PathNotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.diff import Change, ChangeKind, DiffCounts, DiffOptions, diff_trees
from holdfast.operations.tree_walk import find_node, iter_tree
from holdfast.repository.reader import BlobReader
from holdfast.units import format_size
from holdfast_cli.browse.entries import Entry, NameFilter, Sign
from holdfast_cli.browse.library import Library
from holdfast_cli.browse.text import moment, screen_name
from holdfast_cli.output.names import count

MOST_RESULTS: Final = 20_000
"""Results that are listed, about 800 bytes each; the search says that there are more."""
_YIELD_EVERY: Final = 2000
"""Entries that are looked at between two chances to stop."""

_SIGNS: Final = {
    ChangeKind.ADDED: Sign.ADDED,
    ChangeKind.REMOVED: Sign.REMOVED,
    ChangeKind.MODIFIED: Sign.CONTENT,
    ChangeKind.METADATA: Sign.METADATA,
    ChangeKind.TYPE: Sign.TYPE,
    ChangeKind.RENAMED: Sign.RENAMED,
}


class Search(Protocol):
    """One search."""

    @property
    def title(self) -> str:
        """What is searched for, as people say it."""

    def run(self) -> Iterator[Entry | None]:
        """Yield results; None now and then, so that whoever drives it can stop."""

    def summary(self) -> str:
        """What was found, once it has ended; empty for "12 results"."""


@dataclass(slots=True)
class NameSearch:
    """Entries below a folder whose names fit."""

    library: Library
    folder: Entry
    names: NameFilter

    @property
    def title(self) -> str:
        """What is searched for."""
        return f"“{self.names.text}” below {screen_name(self.folder.path)}"

    def run(self) -> Iterator[Entry | None]:
        """Yield the entries in the order of the tree."""
        snapshot = self.folder.snapshot
        with self.library.second_reader() as reader:
            base = self.folder.path.rstrip(b"/")
            found = iter_tree(reader, self.folder.node.content, base, self.library.on_damage)
            for number, (path, node) in enumerate(found):
                if self.names.matches(node.name):
                    yield Entry(snapshot, path, node)
                elif number % _YIELD_EVERY == 0:
                    yield None

    def summary(self) -> str:
        """Leave it to the view."""
        return ""


class ChangeSearch:
    """What changed in a folder since an earlier snapshot, in all of its depth.

    Args:
        library: where to read.
        folder: of the later snapshot.
        earlier: the snapshot before.
    """

    def __init__(self, library: Library, folder: Entry, earlier: Snapshot) -> None:
        self._library = library
        self._folder = folder
        self._earlier = earlier
        self.counts = DiffCounts()

    @property
    def title(self) -> str:
        """What is compared."""
        return f"{screen_name(self._folder.path)}: changes since {moment(self._earlier.time_ns)}"

    def run(self) -> Iterator[Entry | None]:
        """Yield the changes in the order of the tree; what is gone as an entry of the earlier one."""
        path = self._folder.path
        with self._library.second_reader() as reader:
            yield None
            try:
                old = find_node(reader, self._earlier.root, path, snapshot=self._earlier.id)
            except PathNotFoundError:
                old = None
            for change in diff_trees(
                reader,
                old,
                self._folder.node,
                DiffOptions(),
                paths=(path, path),
                on_damage=self._library.on_damage,
            ):
                self.counts.note(change)
                yield self._entry(change)

    def _entry(self, change: Change) -> Entry:
        gone = change.kind == ChangeKind.REMOVED
        snapshot = self._earlier if gone else self._folder.snapshot
        return Entry(snapshot, change.path, change.node, _SIGNS[change.kind], _note_of(change))

    def summary(self) -> str:
        """Return "3 added, 1 modified; +12 KiB −3 B"."""
        counts = self.counts
        words = (
            (counts.added, "added"),
            (counts.removed, "removed"),
            (counts.modified, "modified"),
            (counts.metadata, "metadata"),
            (counts.type_changed, "of another type"),
            (counts.renamed, "renamed"),
        )
        parts = ", ".join(f"{number:,} {word}" for number, word in words if number)
        if not parts:
            return "nothing has changed"
        return f"{parts}; +{format_size(counts.bytes_added)} −{format_size(counts.bytes_removed)}"


def _note_of(change: Change) -> str:
    old, new = change.old, change.new
    if change.kind == ChangeKind.RENAMED and change.old_path is not None:
        return f"was {screen_name(change.old_path)}"
    if change.kind == ChangeKind.MODIFIED and old is not None and new is not None:
        return f"was {format_size(old.size)}" if old.size != new.size else ""
    if change.kind == ChangeKind.METADATA:
        return ", ".join(sorted(field.value for field in change.fields))
    return ""


class VersionSearch:
    """The versions of one entry along the snapshots of its host and paths, the newest first.

    Args:
        library: where to read.
        entry: of any of the snapshots.
        line: the snapshots, ascending by time.
    """

    def __init__(self, library: Library, entry: Entry, line: Sequence[Snapshot]) -> None:
        self._library = library
        self._entry = entry
        self._line = line
        self._versions = 0

    @property
    def title(self) -> str:
        """Whose versions."""
        snapshots = count(len(self._line), "snapshot")
        return f"versions of {screen_name(self._entry.path)} in {snapshots}"

    def run(self) -> Iterator[Entry | None]:
        """Yield each version once: as it is in the newest snapshot that has it."""
        path = self._entry.path
        with self._library.second_reader() as reader:
            pending: Entry | None = None
            holding = 0
            for snapshot in reversed(self._line):
                yield None
                found = self._look(reader, snapshot, path)
                if pending is not None and (found is None or not _same(pending, found)):
                    yield self._version(pending, holding)
                    pending, holding = None, 0
                if found is not None:
                    pending, holding = pending or found, holding + 1
            if pending is not None:
                yield self._version(pending, holding)

    def _look(self, reader: BlobReader, snapshot: Snapshot, path: bytes) -> Entry | None:
        try:
            node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
        except PathNotFoundError:
            return None
        except IntegrityError as error:
            self._library.note(error)
            return None
        return Entry(snapshot, path, node)

    def _version(self, entry: Entry, holding: int) -> Entry:
        self._versions += 1
        note = count(holding, "snapshot")
        return Entry(entry.snapshot, entry.path, entry.node, Sign.SAME, note)

    def summary(self) -> str:
        """Return "3 versions"."""
        return count(self._versions, "version")


def _same(one: Entry, other: Entry) -> bool:
    return (one.node.type, one.node.content, one.node.size, one.node.mtime_ns) == (
        other.node.type,
        other.node.content,
        other.node.size,
        other.node.mtime_ns,
    )
