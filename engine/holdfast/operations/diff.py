"""What differs between two trees: those of two snapshots, or of a snapshot and a local directory.

Both trees are walked in the order of names, directory by directory. Of two directories of
snapshots only the pages that they do not share are read, and a directory whose pages are all the
same is passed over.

Memory: one page for each level of both trees, besides what `diff_renames` needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.diff_compare import SnapshotContents, compare, metadata_fields
from holdfast.operations.diff_join import NO_PAGES, SnapshotTree
from holdfast.operations.diff_local import LocalContents, LocalOptions, LocalTree
from holdfast.operations.diff_renames import Entry, RenameFinder, Renames, TooManyError
from holdfast.operations.diff_sides import (
    AllSides,
    Frame,
    Sides,
    UnreadableError,
    pass_over,
    refuse,
)
from holdfast.operations.diff_types import (
    SUBSTANCE,
    Change,
    ChangeKind,
    DiffCounts,
    DiffOptions,
    Field,
    OnDamage,
    OnFinding,
)
from holdfast.operations.tree_walk import PageSource
from holdfast.repository.reader import BlobSource

__all__ = [
    "Change",
    "ChangeKind",
    "DiffCounts",
    "DiffOptions",
    "Field",
    "LocalOptions",
    "OnDamage",
    "OnFinding",
    "diff_directory",
    "diff_trees",
    "previous_snapshot",
]

_DIRECTORY = NodeType.DIRECTORY.value
_DEFAULTS = DiffOptions()


def diff_trees(
    source: BlobSource,
    old: Node | None,
    new: Node | None,
    options: DiffOptions = _DEFAULTS,
    *,
    paths: tuple[bytes, bytes] = (b"/", b"/"),
    on_damage: OnDamage | None = None,
) -> Iterator[Change]:
    """Yield what differs between two entries of snapshots, and between all below them.

    Args:
        source: of the repository that both snapshots are in.
        old: as `tree_walk.find_node` gives it; None if there is no such entry.
        new: the same of the other snapshot.
        options: what is compared. With `recursive=False` and two directories: the entries of
            these only, for a person who looks through one directory after another.
        paths: absolute paths of `old` and `new`.
        on_damage: called with the path of a directory of which a page cannot be read; entries
            that may be in it are not reported. Without it the error is raised.

    Yields:
        In the order of the new tree's names, a directory before its contents. What lies in added
        and removed directories is reported one by one, what lies in renamed ones is not.

    Raises:
        IntegrityError: something cannot be read and there is no `on_damage`.

    Cost: 2 us for an entry of a page that differs, twice with `renames`, and the pages.
    """

    def make(on_damage: OnDamage | None) -> Sides:
        tree = SnapshotTree(source, on_damage)
        contents = SnapshotContents(source, believe_ids=options.believe_ids, on_damage=on_damage)
        return Sides(tree, tree, contents)

    sides = AllSides(make(on_damage), make(pass_over), make(refuse))
    return _Diff(source, sides, options).run(old, new, paths)


def diff_directory(
    source: BlobSource,
    old: Node | None,
    local: LocalOptions,
    options: DiffOptions = _DEFAULTS,
    *,
    path: bytes = b"/",
    on_damage: OnDamage | None = None,
    on_finding: OnFinding,
) -> Iterator[Change]:
    """Yield what differs between an entry of a snapshot and a local one: what happened since.

    Args:
        source: of the repository.
        old: the entry of the snapshot; None if there is no such entry.
        local: the local entry and how it is read.
        options: as for `diff_trees`.
        path: absolute path of `old`.
        on_damage: as for `diff_trees`.
        on_finding: told of local entries that cannot be read; they are not reported as changes.

    Yields:
        As `diff_trees`. A directory counts as renamed if it is the same inode and nothing in it
        differs; a file if it has the same size, mtime (unless all are read) and bytes.

    Raises:
        ConfigurationError: the local entry itself cannot be looked at.
        IntegrityError: as for `diff_trees`.
    """

    def make(on_damage: OnDamage | None, on_finding: OnFinding) -> Sides:
        return Sides(
            SnapshotTree(source, on_damage),
            LocalTree(local, base=path, on_finding=on_finding),
            LocalContents(source, local, on_damage=on_damage, on_finding=on_finding),
        )

    new = LocalTree(local, base=path, on_finding=on_finding).root(old)
    sides = AllSides(make(on_damage, on_finding), make(pass_over, pass_over), make(refuse, refuse))
    return _Diff(source, sides, options).run(old, new, (path, local.directory))


def previous_snapshot(snapshots: Sequence[Snapshot], snapshot: Snapshot) -> Snapshot | None:
    """Return the snapshot of the same host and paths before this one, None for the first.

    Args:
        snapshots: all, ascending by time.
        snapshot: one of them. Partial ones are passed over if there is a whole one.
    """
    at = next(number for number, other in enumerate(snapshots) if other.id == snapshot.id)
    paths = set(snapshot.raw_paths)
    earlier = [
        other
        for other in snapshots[:at]
        if other.host == snapshot.host and set(other.raw_paths) == paths
    ]
    whole = [other for other in earlier if not other.partial]
    return next(reversed(whole or earlier), None)


class _Diff:
    """One comparison."""

    def __init__(self, source: PageSource, sides: AllSides, options: DiffOptions) -> None:
        self._source = source
        self._sides = sides
        self._options = options
        self._renames = Renames()

    def run(
        self, old: Node | None, new: Node | None, paths: tuple[bytes, bytes]
    ) -> Iterator[Change]:
        """Yield the changes of the entries at two paths and below."""
        options = self._options
        bases = (paths[0].rstrip(b"/"), paths[1].rstrip(b"/"))
        only_directories = all(node is None or _is_directory(node) for node in (old, new))
        if options.recursive or not only_directories:
            change, enters = self._compare(old, new, *bases)
            if change is not None:
                yield change
            if not enters:
                return
        if options.renames and options.recursive:
            self._renames = self._find_renames(old, new, bases)
        yield from self.walk(old, new, bases)

    def walk(
        self, old: Node | None, new: Node | None, bases: tuple[bytes, bytes]
    ) -> Iterator[Change]:
        """Yield the changes below two directories, of which one may be missing."""
        sides = self._sides.reporting
        stack = [Frame.of(sides, old, new, bases)]
        while stack:
            frame = stack[-1]
            for one, other in frame.pairs:
                below = frame.below(one or other)
                change, enters = self._compare(one, other, *below)
                if change is not None:
                    yield change
                if enters:
                    stack.append(Frame.of(sides, one, other, below))
                    break
            else:
                stack.pop()

    def _compare(
        self, old: Node | None, new: Node | None, old_path: bytes, new_path: bytes
    ) -> tuple[Change | None, bool]:
        """Return the change of one entry, and whether what lies below is compared."""
        options = self._options
        entry = old or new
        if entry is None or self._is_left_out(old_path, entry, is_new=False):
            return None, False
        if old is None or new is None or old.type != new.type:
            return self._of_one_side(old, new, old_path, new_path)
        differs = not (old.content and old.content == new.content)
        fields: frozenset[Field] | None = frozenset()
        if old.name and old != new:  # the root of a snapshot has no metadata
            sides = self._sides.reporting
            whole = sides.new.complete(new, new_path)
            new = new if whole is None else whole
            fields = None if whole is None else compare(old, new, sides.contents, new_path)
        enters = old.type == _DIRECTORY and differs
        if enters and not options.recursive:
            enters = False
            if self._differs_below(old, new, (old_path, new_path)):
                fields = (fields or frozenset()) | {Field.CONTENT}
        fields = self._wanted(fields, new)
        if not fields:
            return None, enters
        kind = ChangeKind.MODIFIED if fields & SUBSTANCE else ChangeKind.METADATA
        return Change(kind, old_path, new_path, old, new, fields), enters

    def _of_one_side(
        self, old: Node | None, new: Node | None, old_path: bytes, new_path: bytes
    ) -> tuple[Change | None, bool]:
        """Do `_compare` for an entry that only one tree has, or that is of two types."""
        enters = self._options.recursive and (_is_directory(old) or _is_directory(new))
        if new is None:
            if old_path in self._renames.sources:
                return None, False
            return Change(ChangeKind.REMOVED, old_path, None, old, None), enters
        if old is not None:
            return Change(ChangeKind.TYPE, old_path, new_path, old, new), enters
        renamed = self._renames.targets.get(new_path)
        if renamed is not None:
            return self._rename(*renamed, new, new_path), False
        if self._options.not_added.excludes(old_path, new.type == _DIRECTORY):
            return None, False
        return Change(ChangeKind.ADDED, None, new_path, None, new), enters

    def _rename(self, old_path: bytes, old: Node, new: Node, new_path: bytes) -> Change:
        whole = self._sides.reporting.new.complete(new, new_path) or new
        fields = self._wanted(frozenset(metadata_fields(old, whole)), new)
        return Change(ChangeKind.RENAMED, old_path, new_path, old, whole, fields)

    def _wanted(self, fields: frozenset[Field] | None, node: Node) -> frozenset[Field]:
        """Return those of the fields that are asked for."""
        options = self._options
        if not fields:
            return frozenset()
        if not options.metadata:
            return fields & SUBSTANCE
        if node.type == _DIRECTORY and not options.directory_times and fields == {Field.MTIME}:
            return frozenset()
        return fields

    def _differs_below(self, old: Node, new: Node, bases: tuple[bytes, bytes]) -> bool:
        """Tell whether anything in a directory differs, or cannot be read."""
        options = replace(self._options, recursive=True, renames=False)
        refusing = self._sides.refusing
        inner = _Diff(self._source, AllSides(refusing, refusing, refusing), options)
        try:
            return any(True for _ in inner.walk(old, new, bases))
        except UnreadableError:
            return True

    def _find_renames(
        self, old: Node | None, new: Node | None, bases: tuple[bytes, bytes]
    ) -> Renames:
        finder = RenameFinder(
            self._source,
            self._sides.passing.contents,
            self._options.rename_limit,
            list_old=lambda entry: self._list(entry, None),
            list_new=lambda entry: self._list(entry, bases),
            holds_the_same=lambda one, other: (
                not self._differs_below(one[1], other[1], (one[0], other[0]))
            ),
        )
        try:
            self._collect(finder, old, new, bases)
            return finder.find()
        except TooManyError:
            if self._options.on_too_many is not None:
                self._options.on_too_many()
            return Renames()

    def _collect(
        self,
        finder: RenameFinder,
        old: Node | None,
        new: Node | None,
        bases: tuple[bytes, bytes],
    ) -> None:
        """Tell the finder what only one tree has, without entering it."""
        sides = self._sides.passing
        stack = [Frame.of(sides, old, new, bases)]
        while stack:
            frame = stack[-1]
            for one, other in frame.pairs:
                below = frame.below(one or other)
                if self._is_left_out(below[0], one or other, is_new=one is None):
                    continue
                if one is None or other is None:
                    if one is not None:
                        finder.removed(below[0], one)
                    elif other is not None:
                        finder.added(below[1], other)
                elif (one.type == _DIRECTORY or other.type == _DIRECTORY) and not (
                    one.content and one.content == other.content
                ):
                    stack.append(Frame.of(sides, one, other, below))
                    break
            else:
                stack.pop()

    def _list(self, entry: Entry, bases: tuple[bytes, bytes] | None) -> Iterator[Entry]:
        """Yield what a directory holds: of the new tree if `bases` are given, else of the old."""
        path, node = entry
        tree = self._sides.passing.old if bases is None else self._sides.passing.new
        for inner in tree.entries(node, path, NO_PAGES):
            if inner is not None:
                inner_path = old_path = path + b"/" + inner.name
                if bases is not None:
                    old_path = bases[0] + inner_path[len(bases[1]) :]
                if not self._is_left_out(old_path, inner, is_new=bases is not None):
                    yield inner_path, inner

    def _is_left_out(self, old_path: bytes, node: Node | None, *, is_new: bool) -> bool:
        if node is None or not old_path:
            return False
        options, is_directory = self._options, node.type == _DIRECTORY
        if not options.exclude.is_empty and options.exclude.excludes(old_path, is_directory):
            return True
        return is_new and options.not_added.excludes(old_path, is_directory)


def _is_directory(node: Node | None) -> bool:
    return node is not None and node.type == _DIRECTORY
