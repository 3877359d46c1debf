"""Walking the trees of many snapshots at once: each path once, with all it has been.

Snapshots of one source share most of their pages. So they are not walked one after another: at
each directory the pages of all snapshots are merged by name, a page that several of them hold is
read once, and a directory that is the same in all of them costs what it costs in one. Which
snapshots hold something is a set of small integers in one int: bit n is the nth snapshot.

The merge goes in rounds. The heads are the pages of which the next names may come. No unread page
can hold a name up to the smallest of their last names, hence these names can be handed out, with
all that the heads say of them. A round uses up one page at the least.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.errors import FormatError, IntegrityError
from holdfast.format.node import Node, NodeType, list_ids
from holdfast.ids import BlobId
from holdfast.operations.tree_walk import OnDamage, PageSource

Versions = list[tuple[int, Node]]
"""What an entry is in which snapshots: disjoint sets of snapshots, nodes that may be equal."""

_DIRECTORY: Final = NodeType.DIRECTORY.value
_SHARE_FROM: Final = 8
"""Heads from which on equal nodes are held once; below that it is not worth their hashes."""
_MOST_SHARED: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class PathVersions:
    """What one path is in some snapshots."""

    path: bytes
    versions: Versions
    unknown: int
    """Snapshots of which a directory above the path could not be read in full."""


@dataclass(slots=True)
class VersionWalk:
    """What a walk reads, and what it leaves out.

    Attributes:
        source: where the pages are.
        keep: judges (path, node); what it refuses is not yielded. Called once for each node of
            each distinct page.
        enter: judges the path of a directory; False spares everything below it.
        on_damage: called for a page that cannot be read; the others are still walked.
    """

    source: PageSource
    keep: Callable[[bytes, Node], bool]
    enter: Callable[[bytes], bool]
    on_damage: OnDamage

    def walk(self, roots: Sequence[bytes]) -> Iterator[PathVersions]:
        """Yield what is kept, depth first, in order of names; a directory before its contents.

        Args:
            roots: `Snapshot.root` of each snapshot.

        Memory: for each directory on the way down one page of each of its distinct versions, of
        which equal nodes are held once, and their page ids. Cost: decoding each distinct page of
        a directory once, and 1 us for each of its nodes that is kept.
        """
        contents: dict[bytes, int] = {}
        for number, root in enumerate(roots):
            contents[root] = contents.get(root, 0) | 1 << number
        stack = [_merge(self, b"", contents, 0)]
        while stack:
            for found, kept in stack[-1]:
                if kept:
                    yield PathVersions(found.path, kept, found.unknown)
                below = _directories(found.versions)
                if below and self.enter(found.path):
                    stack.append(_merge(self, found.path, below, found.unknown))
                    break
            else:
                stack.pop()


@dataclass(slots=True)
class _Head:
    """A page of which names are still to come."""

    page_id: BlobId
    names: list[bytes]
    nodes: list[tuple[Node, bool]]
    """Those of `names`: directories, and what is kept."""
    last: bytes
    """The page's last name, kept or not."""
    position: int = 0


class _Pages:
    """The distinct pages of one directory in all snapshots, and in which order they come.

    Args:
        contents: page ids of each distinct version of the directory, and the snapshots with it.
    """

    def __init__(self, contents: dict[bytes, int]) -> None:
        self.holders: dict[BlobId, int] = {}
        """Page -> snapshots that have it in this directory."""
        self.first: dict[BlobId, None] = {}
        self.next: dict[BlobId, dict[BlobId, None]] = {}
        """Page -> those that follow it in any version."""
        for content, snapshots in contents.items():
            previous: BlobId | None = None
            for page_id in list_ids(content):
                self.holders[page_id] = self.holders.get(page_id, 0) | snapshots
                followers = self.first if previous is None else self.next.setdefault(previous, {})
                followers[page_id] = None
                previous = page_id


class _Merge:
    """The state of merging one directory."""

    def __init__(
        self, walk: VersionWalk, path: bytes, contents: dict[bytes, int], unknown: int
    ) -> None:
        self._walk = walk
        self._path = path
        self._pages = _Pages(contents)
        self._begins: dict[BlobId, bytes] = {}
        """First names of the pages that were read; b"" of empty and damaged ones."""
        self._shared: dict[Node, tuple[Node, bool]] = {}
        self.unknown = unknown
        self.heads: list[_Head] = []
        self.open(self._pages.first, b"")

    def open(self, page_ids: Iterable[BlobId], previous: bytes) -> None:
        """Read pages and make them heads; in the place of one that is damaged those behind it.

        Args:
            page_ids: pages that come next.
            previous: the last name before them.
        """
        waiting = list(page_ids)
        while waiting:
            page_id = waiting.pop()
            begins = self._begins.get(page_id)
            if begins is not None:
                if b"" < begins <= previous:
                    self._report(page_id, _out_of_order(page_id))
                continue
            self._begins[page_id] = b""
            try:
                nodes = self._walk.source.read_page(page_id)
                if nodes and nodes[0].name <= previous:
                    raise _out_of_order(page_id)
            except IntegrityError as error:
                self._report(page_id, error)
                nodes = []
            if nodes:
                self._begins[page_id] = nodes[0].name
                self.heads.append(self._make_head(page_id, nodes))
            else:
                waiting.extend(self._pages.next.get(page_id, ()))

    def next_round(self) -> dict[bytes, list[tuple[int, Node, bool]]]:
        """Return the next names, unordered, with (snapshots, node, whether it is kept)."""
        heads, bound = self.heads, min(head.last for head in self.heads)
        found: dict[bytes, list[tuple[int, Node, bool]]] = {}
        self.heads = []
        ended: list[_Head] = []
        for head in heads:
            snapshots = self._pages.holders[head.page_id]
            end = bisect_right(head.names, bound, head.position)
            for at in range(head.position, end):
                node, kept = head.nodes[at]
                found.setdefault(node.name, []).append((snapshots, node, kept))
            head.position = end
            (ended if head.last == bound else self.heads).append(head)
        for head in ended:
            self.open(self._pages.next.get(head.page_id, ()), head.last)
        return found

    def _make_head(self, page_id: BlobId, nodes: Sequence[Node]) -> _Head:
        keep, base = self._walk.keep, self._path + b"/"
        chosen = []
        for node in nodes:
            kept = keep(base + node.name, node)
            if kept or node.type == _DIRECTORY:
                chosen.append((node, kept))
        if len(self.heads) >= _SHARE_FROM:
            if len(self._shared) > _MOST_SHARED:
                self._shared.clear()
            share = self._shared.setdefault
            chosen = [share(entry[0], entry) for entry in chosen]
        return _Head(page_id, [node.name for node, _ in chosen], chosen, nodes[-1].name)

    def _report(self, page_id: BlobId, error: IntegrityError) -> None:
        self.unknown |= self._pages.holders[page_id]
        self._walk.on_damage(self._path or b"/", error)


def _merge(
    walk: VersionWalk, path: bytes, contents: dict[bytes, int], unknown: int
) -> Iterator[tuple[PathVersions, Versions]]:
    """Yield each name of a directory with all its versions and those that are kept."""
    merge = _Merge(walk, path, contents, unknown)
    while merge.heads:
        # What the round's end finds damaged comes later than its names.
        unknown = merge.unknown
        found = merge.next_round()
        for name in sorted(found):
            versions = [(snapshots, node) for snapshots, node, _ in found[name]]
            kept = [(snapshots, node) for snapshots, node, fits in found[name] if fits]
            yield PathVersions(path + b"/" + name, versions, unknown), kept


def _directories(versions: Versions) -> dict[bytes, int]:
    """Return the distinct contents of what is a directory, with the snapshots that have them."""
    contents: dict[bytes, int] = {}
    for snapshots, node in versions:
        if node.type == _DIRECTORY:
            contents[node.content] = contents.get(node.content, 0) | snapshots
    return contents


def _out_of_order(page_id: BlobId) -> FormatError:
    return FormatError("tree", page_id.hex(), "the pages of a directory are out of order")
