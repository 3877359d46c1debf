"""Two ordered lists of entries side by side, past parts that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Protocol

from holdfast.errors import IntegrityError
from holdfast.format.node import Node
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.diff_types import OnDamage
from holdfast.operations.tree_walk import PageSource, iter_directory

Pair = tuple[Node | None, Node | None]
"""The entries of one name; None where it is not there."""

NO_PAGES: Final[frozenset[BlobId]] = frozenset()


class Tree(Protocol):
    """One of the two trees that are compared."""

    def entries(self, node: Node, path: bytes, passed: Collection[BlobId]) -> Iterator[Node | None]:
        """Yield the entries of a directory in ascending order of name.

        None stands where entries may be that cannot be read.

        Args:
            node: the directory.
            path: where it is, without "/" at its end; empty for "/".
            passed: pages that need not be read.
        """

    def complete(self, node: Node, path: bytes) -> Node | None:
        """Return the entry with all its metadata, None if it cannot be read."""


class SnapshotTree:
    """A tree of a snapshot.

    Args:
        source: where its pages are.
        on_damage: called for a page that cannot be read; without it the error is raised.
    """

    def __init__(self, source: PageSource, on_damage: OnDamage | None) -> None:
        self._source = source
        self._on_damage = on_damage

    def entries(self, node: Node, path: bytes, passed: Collection[BlobId]) -> Iterator[Node | None]:
        """Yield the entries of a directory; see `Tree`. Memory: one page."""
        broken = False

        def note(directory: bytes, error: IntegrityError) -> None:
            nonlocal broken
            if self._on_damage is None:
                raise error
            broken = True
            self._on_damage(directory, error)

        pages = node.content
        if passed:
            pages = b"".join(page for page in node.blob_ids if page not in passed)
        for entry in iter_directory(self._source, pages, path or b"/", note):
            if broken:
                broken = False
                yield None
            yield entry
        if broken:
            yield None

    def complete(self, node: Node, path: bytes) -> Node | None:  # noqa: ARG002 - as the protocol
        """Return the node itself: snapshots hold everything."""
        return node


class _Cursor:
    """The current entry of one side, and whether unreadable ones may lie before it."""

    __slots__ = ("_entries", "gap", "node")

    def __init__(self, entries: Iterator[Node | None]) -> None:
        self._entries = entries
        self.gap = False
        self.node: Node | None = None
        self.advance()

    def advance(self) -> None:
        self.gap = False
        for node in self._entries:
            if node is not None:
                self.node = node
                return
            self.gap = True
        self.node = None


def join(old: Iterator[Node | None], new: Iterator[Node | None]) -> Iterator[Pair]:
    """Yield the entries of both sides by name, in ascending order.

    What only one side has is left out where the other side could not be read: it is not known to
    be added or removed.
    """
    left, right = _Cursor(old), _Cursor(new)
    while left.node is not None or right.node is not None:
        one, other = left.node, right.node
        if other is None or (one is not None and one.name < other.name):
            if not right.gap:
                yield one, None
            left.advance()
        elif one is None or other.name < one.name:
            if not left.gap:
                yield None, other
            right.advance()
        else:
            yield one, other
            left.advance()
            right.advance()


def common_pages(old: Node | None, new: Node | None) -> Collection[BlobId]:
    """Return the pages that two directories share.

    Names are ordered and each stands once, so a page that both have lists the same entries for both
    and has nothing to do with the other pages, wherever it stands.
    """
    if old is None or new is None or len(old.content) + len(new.content) == 2 * BLOB_ID_LENGTH:
        return NO_PAGES
    return frozenset(old.blob_ids).intersection(new.blob_ids)
