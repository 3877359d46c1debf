"""Reading a folder page by page, and what changed in it since the snapshot before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from holdfast.format.node import Node
from holdfast_cli.browse.entries import (
    MOST_ENTRIES,
    Entry,
    NameFilter,
    Sign,
    compare_nodes,
    join,
)
from holdfast_cli.browse.library import Library


@dataclass(slots=True)
class Listing:
    """A folder that is being read; one thread fills it, others may look at any moment."""

    entries: list[Entry] = field(default_factory=list)
    """At most `MOST_ENTRIES`, in the order of names."""
    total: int = 0
    """Entries that the folder has, as far as it was read."""
    matching: int = 0
    """Those that fit the filter."""
    removed: int = 0
    """Those that only the snapshot before has."""
    damaged: bool = False
    """A part of the folder could not be read."""
    done: bool = False

    def note_damage(self) -> None:
        """Remember that a page cannot be read."""
        self.damaged = True

    @property
    def left_out(self) -> int:
        """How many fit and are not listed, as the folder is too large."""
        return self.matching - len(self.entries)


def read_folder(
    library: Library,
    directory: Entry,
    earlier: Entry | None,
    names: NameFilter,
    listing: Listing,
    *,
    stopped: Callable[[], bool],
) -> Iterator[None]:
    """Fill a listing; yields after each page.

    Args:
        library: where to read.
        directory: to list.
        earlier: the same directory in the snapshot before; None if it has none, or if there is
            nothing to compare with.
        names: what is listed.
        listing: gets the entries.
        stopped: asked before each page.

    Memory: `MOST_ENTRIES` entries of 800 bytes.
    """
    old = None
    if earlier is not None and earlier.node.content != directory.node.content:
        old = _Cursor(library, earlier)  # else nothing below has changed
    for nodes in library.pages(directory, listing.note_damage):
        if stopped():
            return
        for node in nodes:
            sign = Sign.SAME
            if old is not None:
                listing.removed += old.skip_to(node.name)
                sign = old.compare(node)
            listing.total += 1
            if names.matches(node.name):
                listing.matching += 1
                if len(listing.entries) < MOST_ENTRIES:
                    path = join(directory.path, node.name)
                    listing.entries.append(Entry(directory.snapshot, path, node, sign))
        yield
    if old is not None:
        listing.removed += old.skip_to(None)
    listing.done = True


class _Cursor:
    """Goes through an older directory beside a newer one; both ascend by name."""

    def __init__(self, library: Library, directory: Entry) -> None:
        self._nodes = (node for page in library.pages(directory) for node in page)
        self._next: Node | None = next(self._nodes, None)

    def skip_to(self, name: bytes | None) -> int:
        """Go on to a name, or to the end; return how many names the newer one lacks."""
        skipped = 0
        while self._next is not None and (name is None or self._next.name < name):
            skipped += 1
            self._next = next(self._nodes, None)
        return skipped

    def compare(self, node: Node) -> Sign:
        """Return how an entry differs from the one of the same name, after `skip_to`."""
        old = self._next
        if old is None or old.name != node.name:
            return Sign.ADDED
        self._next = next(self._nodes, None)
        return compare_nodes(old, node)
