"""What is marked, and where a restore puts it. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.format.snapshot import Snapshot
from holdfast.policy.filters import IncludeFilter
from holdfast_cli.browse.entries import Entry, parent_of
from holdfast_cli.times import format_local


class Marks:
    """The marked entries, of any number of snapshots, in the order in which they were marked."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, bytes], Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, entry: Entry) -> bool:
        return entry.key in self._entries

    def toggle(self, entry: Entry) -> None:
        """Mark an entry, or take its mark away."""
        if self._entries.pop(entry.key, None) is None:
            self._entries[entry.key] = entry

    def toggle_all(self, entries: Iterable[Entry]) -> None:
        """Mark all of them; if all are marked, none."""
        wanted = list(entries)
        if all(entry in self for entry in wanted):
            for entry in wanted:
                self._entries.pop(entry.key, None)
        else:
            for entry in wanted:
                self._entries.setdefault(entry.key, entry)

    def clear(self) -> None:
        """Take all marks away."""
        self._entries.clear()

    def covers(self, entry: Entry) -> bool:
        """Tell whether a directory above an entry is marked, and so the entry with it."""
        snapshot, path = entry.key
        while path != b"/":
            path = parent_of(path)
            if (snapshot, path) in self._entries:
                return True
        return False

    @property
    def size(self) -> int | None:
        """Bytes of the marked files; None with folders among them, whose sizes nobody knows."""
        if any(entry.is_directory for entry in self):
            return None
        return sum(entry.node.size for entry in self)


class ExactPaths(IncludeFilter):
    """Includes paths as they are, of any bytes, with all that lies below them.

    Args:
        paths: absolute.
    """

    def __init__(self, paths: Iterable[bytes]) -> None:
        super().__init__()
        self._wanted = frozenset(paths)
        self._above = frozenset(above for path in self._wanted for above in _ancestors(path))
        self.is_empty = b"/" in self._wanted

    def includes(self, path: bytes, is_directory: bool) -> bool:  # noqa: ARG002
        """Tell whether the entry is one of the paths."""
        return self.is_empty or path in self._wanted

    def may_contain(self, directory: bytes) -> bool:
        """Tell whether one of the paths lies below a directory."""
        return self.is_empty or directory in self._above


def _ancestors(path: bytes) -> Iterator[bytes]:
    while path != b"/":
        path = parent_of(path)
        yield path


@dataclass(frozen=True, slots=True)
class RestorePart:
    """What a restore brings back of one snapshot."""

    snapshot: Snapshot
    base: bytes
    """The directory whose contents go into the target."""
    target: bytes
    paths: tuple[bytes, ...]
    """The marked ones, all below `base` or equal to it."""

    def place_of(self, path: bytes) -> bytes:
        """Return where a marked path will be."""
        below = path[len(self.base.rstrip(b"/")) :].lstrip(b"/")
        return os.path.join(self.target, below) if below else self.target


def plan_restore(
    entries: Iterable[Entry], target: bytes, *, full_paths: bool = False
) -> list[RestorePart]:
    """Return the restores that bring back what is marked.

    Names stay apart: within a snapshot everything keeps its path below the directory that holds
    all marked entries, or with `full_paths` below "/"; several snapshots get directories named
    by their times.

    Args:
        entries: marked, of one or several snapshots.
        target: absolute.
        full_paths: keep the paths that things had on the host.
    """
    by_snapshot: dict[str, list[Entry]] = {}
    for entry in entries:
        by_snapshot.setdefault(entry.snapshot.id, []).append(entry)
    parts = []
    for group in by_snapshot.values():
        snapshot = group[0].snapshot
        paths = tuple(entry.path for entry in group)
        own = target
        if len(by_snapshot) > 1:
            own = os.path.join(target, _folder_name(snapshot))
        base = os.path.commonpath([parent_of(path) for path in paths])
        if full_paths and own == b"/":
            own = base  # back into its place: the directories above are not touched
        elif full_paths:
            base = b"/"
        parts.append(RestorePart(snapshot, base, own, paths))
    return parts


def _folder_name(snapshot: Snapshot) -> bytes:
    """Two snapshots of one second differ in their ids."""
    time = format_local(snapshot.time_ns).replace(" ", "T").replace(":", "-")
    return f"{time}-{snapshot.id[:8]}".encode()
