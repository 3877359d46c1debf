"""Carrying out a restore, or in a dry run only counting what it would do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from holdfast.format.node import FORMATS, NO_EXTRA, Node, NodeType
from holdfast.fs.target_file import open_existing
from holdfast.fs.target_metadata import apply_to_entry, apply_to_fd, has_metadata, path_of
from holdfast.fs.target_problems import EntryError, TargetProblems
from holdfast.fs.target_rewrite import unlock
from holdfast.fs.target_swap import swap_in, temporary_name, unlink_quietly
from holdfast.fs.target_tree import DIRECTORY_FLAGS, TargetDirectory, TargetTree
from holdfast.hashing import KeyedHash
from holdfast.operations.restore_content import ContentWindow, content_equals
from holdfast.operations.restore_types import RestoreCounts, RestoreOptions
from holdfast.repository.reader import BlobSource


class ApplySink:
    """Changes the target; see `RestoreSink`."""

    def __init__(
        self,
        tree: TargetTree,
        window: ContentWindow,
        options: RestoreOptions,
        counts: RestoreCounts,
    ) -> None:
        self._tree = tree
        self._problems = tree.problems
        self._window = window
        self._options = options
        self._counts = counts
        self._locked: list[Callable[[], None]] = []
        self.write_file = window.add_new
        self.replace_file = window.add_replacement
        self.rewrite_file = window.add_rewrite

    def make_directory(self, directory: TargetDirectory, *, writable: bool) -> bool:
        """Make a directory, or open an existing one and make it writable."""
        try:
            self._tree.open(directory)
            if writable and not directory.fresh:
                self._tree.make_writable(directory)
        except EntryError as error:
            self._problems.meet(directory.path, error)
            return False
        self._counts.directories += 1
        return True

    def is_equal(self, *_: object) -> bool:
        """Answer False: files are compared while they are rewritten, so as to read them once."""
        return False

    def leave_directory(
        self, directory: TargetDirectory, node: Node, found: os.stat_result | None
    ) -> None:
        """Set a directory's metadata when its content is complete."""

        def finish() -> None:
            if not directory.exists:
                return  # nothing wanted was found in it
            try:
                fd = self._tree.open(directory)
                current = None if found is None else os.fstat(fd)
                apply_to_fd(fd, node, directory.path, self._problems, found=current)
                self._tree.close_directory(directory)
            except EntryError as error:
                self._problems.meet(directory.path, error)

        if self._tree.uid != 0 and node.mode & 0o500 != 0o500:
            # It locks out its owner too, and a link to something in it may still be to come.
            self._locked.append(finish)
        else:
            self._window.after_content(finish)

    def finish(self) -> None:
        """Everything was handed over: write it, then give metadata to what locks out its owner.

        Memory: 300 bytes for each directory that its owner may not read; none if root restores.

        Raises:
            TargetError: the target is full.
        """
        self._window.flush()
        for action in self._locked:
            action()
        self._locked.clear()

    def keep(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        """Make metadata equal; a symbolic link that points elsewhere is made anew."""
        path = directory.path + b"/" + node.name
        try:
            dir_fd = self._tree.open(directory)
            if node.type == NodeType.FILE:
                self._keep_file(directory, node, found)
                return
            if self._may_stay(dir_fd, node, found):
                apply_to_entry((dir_fd, node.name), node, path, self._problems, existing=True)
                self._counts.unchanged += 1
                return
        except EntryError as error:
            self._problems.meet(path, error)
            return
        self.make_other(directory, node, replace=True)

    def _keep_file(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        try:
            fd = open_existing(self._tree, directory, node.name)
        except PermissionError:
            if found.st_nlink > 1:
                self._window.add_replacement(directory, node)
                return
            # Its owner may not even read it; a file of somebody else stays locked.
            unlock(node.name, self._tree.open(directory), 0o600)
            fd = open_existing(self._tree, directory, node.name)
        try:
            self._window.keep(fd, directory, node)
        finally:
            os.close(fd)

    def _may_stay(self, dir_fd: int, node: Node, found: os.stat_result) -> bool:
        """Tell whether an entry that is no file may be made equal where it is."""
        if node.type == NodeType.SYMLINK:
            target = (node.extra or NO_EXTRA).target
            if os.readlink(node.name, dir_fd=dir_fd) != target:
                return False
        return found.st_nlink == 1 or has_metadata(path_of(dir_fd, node.name), node, found)

    def make_other(self, directory: TargetDirectory, node: Node, *, replace: bool) -> None:
        """Make a symbolic link, fifo, socket or device; devices only root can make."""
        path = directory.path + b"/" + node.name
        extra = node.extra or NO_EXTRA
        try:
            dir_fd = self._tree.open(directory)
            name = temporary_name() if replace else node.name
            if node.type == NodeType.SYMLINK:
                os.symlink(extra.target, name, dir_fd=dir_fd)
            else:
                mode = FORMATS[node.type] | 0o600
                os.mknod(name, mode, extra.rdev, dir_fd=dir_fd)
            inherits = directory.inherits_acl
            try:
                apply_to_entry((dir_fd, name), node, path, self._problems, existing=inherits)
            except EntryError:
                if replace:
                    unlink_quietly(name, dir_fd)
                raise
            if replace:
                swap_in(name, node.name, dir_fd)
        except EntryError as error:
            self._problems.meet(path, error)
            return
        self._counts.others += 1

    def link(
        self,
        directory: TargetDirectory,
        node: Node,
        first: tuple[TargetDirectory, bytes],
        *,
        replace: bool,
    ) -> None:
        """Make a further name of a file when the file is complete."""
        self._window.after_content(lambda: self._link(directory, node, first, replace=replace))

    def remove(self, directory: TargetDirectory, name: bytes, base: bytes) -> bool:
        """Remove an entry; what is excluded or mounted below it stays."""
        exclude = self._options.exclude
        skipped = len(directory.path) + 1 + len(name)

        def keep(path: bytes, is_directory: bool) -> bool:
            return exclude.excludes(base + path[skipped:], is_directory)

        try:
            self._counts.deleted += self._tree.remove(
                directory, name, None if exclude.is_empty else keep
            )
            self._tree.stat(directory, name)
        except FileNotFoundError:
            return True
        except EntryError as error:
            self._problems.meet(directory.path + b"/" + name, error)
        return False

    def remove_leftover(self, directory: TargetDirectory, name: bytes) -> None:
        """Remove the temporary entry of a restore that was killed."""
        self._tree.remove_leftover(directory, name)

    def _link(
        self,
        directory: TargetDirectory,
        node: Node,
        first: tuple[TargetDirectory, bytes],
        *,
        replace: bool,
    ) -> None:
        path = directory.path + b"/" + node.name
        first_directory, first_name = first
        if self._window.link_failed(node):
            self._problems.add(path, "not restored: another name of the same file failed")
            return
        try:
            if replace:
                old = self._tree.stat(directory, node.name)
                new = self._tree.stat(first_directory, first_name)
                if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino):
                    self._counts.unchanged += 1
                    return
            # Opening one directory may close the other only if hundreds lie between them.
            source_fd = self._tree.open(first_directory)
            target_fd = self._tree.open(directory)
            name = temporary_name() if replace else node.name
            os.link(
                first_name,
                name,
                src_dir_fd=self._tree.open(first_directory)
                if first_directory.fd < 0
                else source_fd,
                dst_dir_fd=target_fd,
                follow_symlinks=False,
            )
            if replace:
                swap_in(name, node.name, target_fd)
        except EntryError as error:
            self._problems.meet(path, error)
            return
        self._counts.links += 1


class DryRunSink:
    """Counts what would be done; see `RestoreSink`."""

    def __init__(
        self, tree: TargetTree, source: BlobSource, hash_data: KeyedHash, counts: RestoreCounts
    ) -> None:
        self._tree = tree
        self._source = source
        self._hash = hash_data
        self._counts = counts

    def is_equal(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> bool:
        """Read an existing file and compare it with the snapshot."""
        try:
            fd = open_existing(self._tree, directory, node.name)
            try:
                return content_equals(fd, node, found.st_size, self._source, self._hash)
            finally:
                os.close(fd)
        except OSError:
            return False

    def make_directory(self, *_: object, **__: object) -> bool:
        """Count a directory."""
        self._counts.directories += 1
        return True

    def leave_directory(self, *_: object) -> None:
        """Do nothing."""

    def write_file(self, _directory: TargetDirectory, node: Node, *_: object) -> None:
        """Count a file, one to be rewritten as if all of it differed."""
        self._counts.files += 1
        self._counts.bytes_written += node.size

    replace_file = write_file
    rewrite_file = write_file

    def keep(self, *_: object) -> None:
        """Count an entry."""
        self._counts.unchanged += 1

    def make_other(self, *_: object, **__: object) -> None:
        """Count an entry."""
        self._counts.others += 1

    def link(self, *_: object, **__: object) -> None:
        """Count a name."""
        self._counts.links += 1

    def remove(self, *_: object) -> bool:
        """Count an entry, not what is below it."""
        self._counts.deleted += 1
        return True

    def remove_leftover(self, *_: object) -> None:
        """Do nothing."""


def finish_parents(made: list[bytes], parents: Sequence[Node], problems: TargetProblems) -> None:
    """Give directories that were made above the target, and the target, their metadata.

    Args:
        made: their paths, the outermost first.
        parents: nodes of all directories on the way to the target; empty if it has none.
        problems: where to report what cannot be set.
    """
    if len(parents) < len(made):
        return
    for path, node in zip(reversed(made), reversed(parents), strict=False):
        try:
            fd = os.open(path, DIRECTORY_FLAGS)
            try:
                apply_to_fd(fd, node, path, problems)
            finally:
                os.close(fd)
        except EntryError as error:
            problems.meet(path, error)
