"""Deciding what a restore does with each entry: filters, existing entries, hard links, deletion.

The walk looks at the target but changes nothing; a `RestoreSink` carries out what is decided, or
in a dry run only counts it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from holdfast.errors import IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.fs.source import describe
from holdfast.fs.target_problems import EntryError
from holdfast.fs.target_rewrite import Identity, identity_of
from holdfast.fs.target_swap import is_temporary
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from holdfast.operations.restore_types import (
    ActionKind,
    LinkKey,
    RestoreAction,
    RestoreCounts,
    RestoreOptions,
    RestoreSink,
    link_key,
)
from holdfast.operations.tree_walk import PageSource, iter_directory
from holdfast.policy.overwrite import Existing, decide

_FILE = NodeType.FILE.value
_DIRECTORY = NodeType.DIRECTORY.value
_NOT_NAMES = frozenset((b"", b".", b".."))
_FOREIGN = "nothing deleted: a file system is mounted here, and the snapshot has an empty directory"


class _Frame:
    """A directory on the way down."""

    __slots__ = (
        "base",
        "complete",
        "directory",
        "existing",
        "found",
        "has_nodes",
        "node",
        "nodes",
        "selected",
        "sets_metadata",
    )

    def __init__(
        self,
        directory: TargetDirectory,
        node: Node,
        nodes: Iterator[Node],
        base: bytes,
        *,
        selected: bool,
    ) -> None:
        self.directory = directory
        self.node = node
        self.nodes = nodes
        self.base = base
        """Path in the snapshot, without "/" at its end; empty for "/"."""
        self.selected = selected
        """Wanted with everything in it, not only as the parent of something wanted."""
        self.existing: set[bytes] = set()
        """Names in the target that no node was met for yet."""
        self.found: os.stat_result | None = None
        """State of the directory before this run."""
        self.sets_metadata = True
        self.has_nodes = False
        """The snapshot has something in it."""
        self.complete = True
        """All pages could be read, so that what no node was met for is known to be lacking."""


class RestoreWalk:
    """Walks the snapshot's tree beside the target's."""

    def __init__(
        self,
        tree: TargetTree,
        source: PageSource,
        sink: RestoreSink,
        options: RestoreOptions,
        counts: RestoreCounts,
    ) -> None:
        self._tree = tree
        self._source = source
        self._sink = sink
        self._options = options
        self._counts = counts
        self._links: dict[LinkKey, tuple[TargetDirectory, bytes]] = {}
        self._links_left: dict[LinkKey, int] = {}
        self._claimed: set[Identity] = set()
        self._filtered = not (options.include.is_empty and options.exclude.is_empty)

    def restore_directory(self, node: Node, base: bytes) -> None:
        """Restore the contents of a directory into the target.

        Args:
            node: the directory; its metadata goes to the target unless it has no name.
            base: its path in the snapshot, without "/" at its end; empty for "/".
        """
        top = self._frame(self._tree.root, node, base, selected=self._options.include.is_empty)
        top.sets_metadata = bool(node.name)
        self._enter_existing(top)
        if top.sets_metadata:
            self._sink.make_directory(top.directory, writable=True)
        stack = [top]
        while stack:
            frame = stack[-1]
            inner = self._next_directory(frame)
            if inner is not None:
                stack.append(inner)
                continue
            stack.pop()
            self._leave(frame)

    def restore_entry(self, node: Node, base: bytes) -> None:
        """Restore a single entry that is no directory into the target.

        Args:
            node: the entry.
            base: path of its directory in the snapshot.
        """
        frame = self._frame(self._tree.root, node, base, selected=True)
        if b"/" in node.name or node.name in _NOT_NAMES:
            self._refuse(frame.directory, node.name)
            return
        self._enter_existing(frame)
        self._entry(frame, node)

    def _next_directory(self, frame: _Frame) -> _Frame | None:
        """Hand over entries up to the next directory to go into; None at the end."""
        directory = frame.directory
        sink = self._sink
        counts = self._counts
        quick = not self._filtered and self._options.on_action is None
        for node in frame.nodes:
            frame.has_nodes = True
            name = node.name
            if b"/" in name or name in _NOT_NAMES:
                self._refuse(directory, name)
                continue
            if quick and not frame.existing and node.type == _FILE and node.extra is None:
                counts.bytes_total += node.size
                sink.write_file(directory, node)
                continue
            selected = frame.selected
            if self._filtered:
                wanted = self._wanted(frame, node)
                if wanted is None:
                    frame.existing.discard(name)
                    continue
                selected = wanted
            if node.type == _DIRECTORY:
                inner = self._directory(frame, node, selected=selected)
                if inner is not None:
                    return inner
            else:
                self._entry(frame, node)
        return None

    def _wanted(self, frame: _Frame, node: Node) -> bool | None:
        """Return whether an entry is wanted; False for a directory that may hold wanted ones."""
        path = frame.base + b"/" + node.name
        is_directory = node.type == _DIRECTORY
        options = self._options
        if options.exclude.excludes(path, is_directory):
            return None
        if frame.selected or options.include.includes(path, is_directory):
            return True
        return False if is_directory and options.include.may_contain(path) else None

    def _frame(
        self, directory: TargetDirectory, node: Node, base: bytes, *, selected: bool
    ) -> _Frame:
        def on_damage(_path: bytes, error: IntegrityError) -> None:
            frame.complete = False
            self._counts.damaged += 1
            self._tree.problems.add(
                directory.path or b"/", f"entries of this directory are not restored: {error}"
            )

        is_directory = node.type == _DIRECTORY
        pages = node.content if is_directory else b""
        nodes = iter_directory(self._source, pages, base or b"/", on_damage)
        frame = _Frame(directory, node, nodes, base, selected=selected)
        return frame

    def _enter_existing(self, frame: _Frame) -> None:
        directory = frame.directory
        if directory.exists and not directory.fresh:
            frame.existing = self._tree.names(directory)
            frame.found = os.fstat(self._tree.open(directory))
            for name in list(filter(is_temporary, frame.existing)):
                frame.existing.discard(name)
                self._sink.remove_leftover(directory, name)

    def _directory(self, parent: _Frame, node: Node, *, selected: bool) -> _Frame | None:
        directory = parent.directory.child(node.name)
        base = parent.base + b"/" + node.name
        kind = ActionKind.CREATE
        found = None
        try:
            if node.name in parent.existing:
                parent.existing.discard(node.name)
                found = self._tree.stat(parent.directory, node.name)
                kind = self._existing_directory(directory, node, found)
                if kind is ActionKind.SKIP and not directory.exists:
                    self._report(kind, directory.path)
                    self._counts.skipped += 1
                    return None
            frame = self._frame(directory, node, base, selected=selected)
            if directory.exists:
                directory.unlock = (
                    selected and kind is not ActionKind.SKIP and not self._options.dry_run
                )
                self._enter_existing(frame)
        except EntryError as error:
            self._tree.problems.meet(directory.path, error)
            return None
        frame.sets_metadata = kind is not ActionKind.SKIP
        if selected:
            self._report(kind, directory.path)
            if not self._sink.make_directory(directory, writable=frame.sets_metadata):
                return None
        return frame

    def _existing_directory(
        self, directory: TargetDirectory, node: Node, found: os.stat_result
    ) -> ActionKind:
        """Decide about a directory whose name is taken; `exists` is set if it can be used.

        What is in the way goes when the directory is made: never, if nothing wanted is in it.
        """
        assert self._options.overwrite is not None
        if self._tree.is_protected(found):
            return ActionKind.SKIP
        verdict = decide(node, found, self._options.overwrite)
        if stat.S_ISDIR(found.st_mode):
            directory.exists = True
            return ActionKind.SKIP if verdict is Existing.LEAVE else ActionKind.UNCHANGED
        if verdict is Existing.LEAVE:
            return ActionKind.SKIP
        directory.replaces = True
        return ActionKind.REPLACE

    def _leave(self, frame: _Frame) -> None:
        if self._options.delete and frame.complete and frame.existing:
            self._delete_lacking(frame)
        # An existing directory that is only on the way to something wanted keeps what it has.
        if frame.sets_metadata and (frame.selected or frame.found is None):
            self._sink.leave_directory(frame.directory, frame.node, frame.found)

    def _delete_lacking(self, frame: _Frame) -> None:
        """Remove what the target has and the snapshot lacks, where the snapshot is complete."""
        base = frame.base or b"/"
        if not any(is_at_or_below(base, path) for path in self._options.sources):
            return
        if self._is_foreign(frame, base):
            self._tree.problems.tally(_FOREIGN, frame.directory.path)
            return
        for name in sorted(frame.existing):
            path = frame.base + b"/" + name
            try:
                found = self._tree.stat(frame.directory, name)
            except OSError as error:
                self._tree.problems.add(frame.directory.path + b"/" + name, describe(error))
                continue
            is_directory = stat.S_ISDIR(found.st_mode)
            if self._tree.is_protected(found) or self._options.exclude.excludes(path, is_directory):
                continue
            if frame.selected or self._options.include.includes(path, is_directory):
                self._report(ActionKind.DELETE, frame.directory.path + b"/" + name)
                self._sink.remove(frame.directory, name, path)

    def _is_foreign(self, frame: _Frame, base: bytes) -> bool:
        """Tell whether a directory holds another file system that was never backed up.

        A backup that stays on one file system records others as empty directories. What is
        mounted there is not what the snapshot means by empty.
        """
        if frame.has_nodes or base in self._options.sources:
            return False
        try:
            return self._tree.is_mount_point(frame.directory)
        except OSError:
            return True

    def _entry(self, frame: _Frame, node: Node) -> None:
        """Decide about an entry that is no directory."""
        directory = frame.directory
        path = directory.path + b"/" + node.name
        found = None
        verdict = None
        if node.name in frame.existing:
            frame.existing.discard(node.name)
            assert self._options.overwrite is not None
            try:
                found = self._tree.stat(directory, node.name)
            except OSError as error:
                self._tree.problems.meet(path, error)
                return
            verdict = decide(node, found, self._options.overwrite)
            if verdict is Existing.LEAVE or self._tree.is_protected(found):
                self._report(ActionKind.SKIP, path, node.size)
                self._counts.skipped += 1
                return
            if verdict is Existing.REPLACE and stat.S_ISDIR(found.st_mode):
                if not self._clear_directory(frame, node):
                    return
                found = verdict = None
        first = self._first_name(directory, node)
        if first is not None:
            self._report(ActionKind.CREATE if found is None else ActionKind.REPLACE, path)
            self._sink.link(directory, node, first, replace=found is not None)
            return
        if found is not None and found.st_nlink > 1 and not self._claim(found):
            verdict = Existing.REPLACE
        self._counts.bytes_total += node.size
        self._hand_over(directory, node, verdict, found)

    def _hand_over(
        self,
        directory: TargetDirectory,
        node: Node,
        verdict: Existing | None,
        found: os.stat_result | None,
    ) -> None:
        sink = self._sink
        is_file = node.type == _FILE
        if verdict is None or found is None:
            kind = ActionKind.CREATE
        elif verdict is Existing.KEEP or (
            verdict is Existing.COMPARE and sink.is_equal(directory, node, found)
        ):
            kind = ActionKind.UNCHANGED
        elif verdict is Existing.COMPARE:
            kind = ActionKind.UPDATE
        else:
            kind = ActionKind.REPLACE
        self._report(kind, directory.path + b"/" + node.name, node.size)
        if kind is ActionKind.UNCHANGED and found is not None:
            sink.keep(directory, node, found)
        elif kind is ActionKind.UPDATE and found is not None:
            sink.rewrite_file(directory, node, found)
        elif not is_file:
            sink.make_other(directory, node, replace=kind is ActionKind.REPLACE)
        elif kind is ActionKind.REPLACE:
            sink.replace_file(directory, node)
        else:
            sink.write_file(directory, node)

    def _clear_directory(self, frame: _Frame, node: Node) -> bool:
        """Remove a directory that is in the way of something else, if that may be."""
        path = frame.base + b"/" + node.name
        allowed = self._options.delete and any(
            is_at_or_below(path, source) for source in self._options.sources
        )
        if not allowed:
            self._tree.problems.add(
                frame.directory.path + b"/" + node.name,
                "a directory is in the way; it is only removed with --delete",
            )
            return False
        self._report(ActionKind.DELETE, frame.directory.path + b"/" + node.name)
        if self._sink.remove(frame.directory, node.name, path):
            return True
        self._tree.problems.add(
            frame.directory.path + b"/" + node.name,
            "not restored: a directory is in the way, and something in it stays",
        )
        return False

    def _claim(self, found: os.stat_result) -> bool:
        """Tell whether this is the first name in the target of a file that has several.

        Entries that are different files in the snapshot may be names of one file in the target.
        One of them may stay; memory grows by 150 bytes for each such file.
        """
        identity = identity_of(found)
        if identity in self._claimed:
            return False
        self._claimed.add(identity)
        return True

    def _first_name(
        self, directory: TargetDirectory, node: Node
    ) -> tuple[TargetDirectory, bytes] | None:
        """Return the restored name of the same file; remember this one if it is the first."""
        extra = node.extra or NO_EXTRA
        if extra.link_count < 2:
            return None
        key = link_key(node)
        first = self._links.get(key)
        if first is None:
            self._links[key] = (directory, node.name)
            self._links_left[key] = extra.link_count - 1
            return None
        self._links_left[key] -= 1
        if not self._links_left[key]:
            del self._links[key], self._links_left[key]
        return first

    def _refuse(self, directory: TargetDirectory, name: bytes) -> None:
        """Report a name that would lead out of its directory; decoding pages refuses it already."""
        self._counts.damaged += 1
        self._tree.problems.add(directory.path + b"/" + name, "not restored: impossible name")

    def _report(self, kind: ActionKind, path: bytes, size: int = 0) -> None:
        on_action = self._options.on_action
        if on_action is not None:
            on_action(RestoreAction(kind, path, size))


def is_at_or_below(path: bytes, directory: bytes) -> bool:
    """Tell whether `path` is `directory` or lies below it; both absolute."""
    prefix = directory.rstrip(b"/")
    return path.rstrip(b"/") == prefix or path.startswith(prefix + b"/")
