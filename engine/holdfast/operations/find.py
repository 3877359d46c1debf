"""Find entries in many snapshots at once: each path with every version that it had.

A search is made in one timeline at a time: the snapshots of one host and set of paths. What
another host has under the same path is another thing, and a snapshot of other paths says nothing
of what it does not cover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.tree_walk import OnDamage, PageSource, root_node
from holdfast.operations.version_walk import Versions, VersionWalk
from holdfast.policy.entry_filter import ANY_NODE, NodeFilter, PathFilter
from holdfast.policy.grouping import Grouping, SnapshotGroup, group_snapshots

TIMELINE: Final = Grouping(hosts=True, paths=True)
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


class SearchSource(PageSource, Protocol):
    """What a search reads."""

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page of a long file.

        Raises:
            IntegrityError: it is damaged or missing.
        """


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a path, and which snapshots of the timeline have it."""

    node: Node
    snapshots: int
    """Set of snapshots: bit n is the nth of the timeline."""

    @property
    def count(self) -> int:
        """How many snapshots have it."""
        return self.snapshots.bit_count()

    @property
    def first(self) -> int:
        """The position of the oldest snapshot that has it."""
        return (self.snapshots & -self.snapshots).bit_length() - 1

    @property
    def last(self) -> int:
        """The position of the newest snapshot that has it."""
        return self.snapshots.bit_length() - 1


@dataclass(frozen=True, slots=True)
class FoundPath:
    """A path that fits, with its versions, the one with the newest snapshot first."""

    path: bytes
    versions: tuple[Version, ...]
    unknown: int
    """Snapshots of which nobody can tell whether they have the path: a page is damaged."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for."""

    paths: PathFilter
    nodes: NodeFilter = ANY_NODE
    blob: str | None = None
    """Hex digits that the id of a blob of the entry begins with."""
    whole: bool = False
    """Whether a path of which one version fits is found with all its versions."""

    @cached_property
    def is_empty(self) -> bool:
        """Whether everything fits."""
        return self.paths.is_empty and self.nodes.is_empty and self.blob is None


def timelines(snapshots: Sequence[Snapshot]) -> list[SnapshotGroup]:
    """Return the snapshots of each host and set of paths, in the order of hosts and paths."""
    return group_snapshots(snapshots, TIMELINE)


def find(
    source: SearchSource, snapshots: Sequence[Snapshot], search: Search, on_damage: OnDamage
) -> Iterator[FoundPath]:
    """Yield what fits in some snapshots, in the order of the tree, each path once.

    Args:
        source: where the trees are.
        snapshots: of one timeline, ascending by time.
        search: what is wanted.
        on_damage: called with the path of a directory, or of a long file, of which a page cannot
            be read; the rest is still searched.

    Raises:
        ConfigurationError: `search.blob` cannot be the beginning of an id.

    Memory: that of `VersionWalk.walk`; for a blob 100 bytes for each distinct id page. Cost: each
    page that several snapshots share is searched once.
    """
    refers = None if search.blob is None else _BlobFinder(source, search.blob, on_damage).refers
    paths, nodes = search.paths, search.nodes

    def fits(path: bytes, node: Node) -> bool:
        return nodes.fits(node) and (refers is None or refers(path, node))

    def keep(path: bytes, node: Node) -> bool:
        return paths.fits(path, is_directory=node.type == NodeType.DIRECTORY) and (
            search.whole or fits(path, node)
        )

    if refers is not None:
        yield from _find_roots(snapshots, search, fits)
    walk = VersionWalk(source, keep, paths.may_contain, on_damage)
    for found in walk.walk([snapshot.root for snapshot in snapshots]):
        if search.whole and not any(fits(found.path, node) for _, node in found.versions):
            continue
        yield FoundPath(found.path, distinct_versions(found.versions), found.unknown)


def distinct_versions(versions: Versions) -> tuple[Version, ...]:
    """Join the nodes that would be restored alike; the one with the newest snapshot first."""
    joined: dict[object, tuple[int, Node]] = {}
    for snapshots, node in versions:
        key = version_key(node)
        held, newest = joined.get(key, (0, node))
        joined[key] = (held | snapshots, node if snapshots > held else newest)
    found = [Version(node, snapshots) for snapshots, node in joined.values()]
    return tuple(sorted(found, key=lambda version: version.snapshots, reverse=True))


def version_key(node: Node) -> tuple[object, ...]:
    """Return what makes a version of a path.

    Change time, inode and the number of names do not: they cannot be restored. Nor does what lies
    in a directory: otherwise every file that changed would make a version of all above it.
    """
    extra = node.extra or NO_EXTRA
    content = b"" if node.type == NodeType.DIRECTORY else node.content
    return (
        node.type, node.mode, node.uid, node.gid, node.size, node.mtime_ns, content,
        extra.target, extra.rdev, extra.xattrs, extra.holes,
    )  # fmt: skip


def _find_roots(
    snapshots: Sequence[Snapshot], search: Search, fits: Callable[[bytes, Node], bool]
) -> Iterator[FoundPath]:
    """Yield "/" if it refers to the blob; no page above names it."""
    if not search.paths.fits(b"/", is_directory=True):
        return
    held = 0
    for number, snapshot in enumerate(snapshots):
        if fits(b"/", root_node(snapshot.root)):
            held |= 1 << number
    if held:
        newest = snapshots[held.bit_length() - 1]
        yield FoundPath(b"/", (Version(root_node(newest.root), held),), 0)


class _BlobFinder:
    """Tells which nodes refer to a blob, also through the id pages of long files."""

    def __init__(self, source: SearchSource, prefix: str, on_damage: OnDamage) -> None:
        if not prefix or len(prefix) > 2 * BLOB_ID_LENGTH or not _HEX_DIGITS.issuperset(prefix):
            raise ConfigurationError(
                f"{prefix!r} cannot be the id of a blob", "write its first hex digits, up to 64"
            )
        # Half a byte at the end is a range of bytes.
        low = bytes.fromhex(prefix + "0" * (len(prefix) % 2))
        high = bytes.fromhex(prefix + "f" * (len(prefix) % 2))
        self._source = source
        self._length = len(low)
        self._low = low
        self._high = high
        self._on_damage = on_damage
        self._pages: dict[BlobId, bool] = {}

    def refers(self, path: bytes, node: Node) -> bool:
        return self._search(path, node.content, node.depth)

    def _search(self, path: bytes, content: bytes, depth: int) -> bool:
        length, low, high = self._length, self._low, self._high
        for at in range(0, len(content), BLOB_ID_LENGTH):
            if low <= content[at : at + length] <= high:
                return True
        return depth > 0 and any(
            self._search_page(path, BlobId(content[at : at + BLOB_ID_LENGTH]), depth)
            for at in range(0, len(content), BLOB_ID_LENGTH)
        )

    def _search_page(self, path: bytes, page_id: BlobId, depth: int) -> bool:
        known = self._pages.get(page_id)
        if known is None:
            try:
                content = self._source.read_ids(page_id)
            except IntegrityError as error:
                self._on_damage(path, error)
                content = b""
            known = self._pages[page_id] = self._search(path, content, depth - 1)
        return known
