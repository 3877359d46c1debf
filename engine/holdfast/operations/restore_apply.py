"""Carrying out a restore, or in a dry run only counting what it would do."""

from __future__ import annotations

import os
import stat

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.fs.target_file import open_existing
from holdfast.fs.target_metadata import apply_to_entry, apply_to_fd
from holdfast.fs.target_problems import EntryError
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from holdfast.hashing import KeyedHash
from holdfast.operations.restore_content import ContentWindow, content_equals
from holdfast.operations.restore_types import RestoreCounts, RestoreOptions
from holdfast.repository.reader import BlobSource

_FORMATS = {
    NodeType.FIFO: stat.S_IFIFO,
    NodeType.SOCKET: stat.S_IFSOCK,
    NodeType.CHARACTER_DEVICE: stat.S_IFCHR,
    NodeType.BLOCK_DEVICE: stat.S_IFBLK,
}


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

        self._window.after_content(finish)

    def keep(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        """Make metadata equal; a symbolic link that points elsewhere is made anew."""
        path = directory.path + b"/" + node.name
        try:
            dir_fd = self._tree.open(directory)
            if node.type == NodeType.FILE:
                fd = open_existing(self._tree, directory, node.name)
                try:
                    apply_to_fd(fd, node, path, self._problems, found=found)
                finally:
                    os.close(fd)
            elif (
                node.type == NodeType.SYMLINK
                and os.readlink(node.name, dir_fd=dir_fd) != (node.extra or NO_EXTRA).target
            ):
                self.make_other(directory, node, replace=True)
                return
            else:
                apply_to_entry(dir_fd, node, path, self._problems, existing=True)
        except EntryError as error:
            self._problems.meet(path, error)
            return
        self._counts.unchanged += 1

    def make_other(self, directory: TargetDirectory, node: Node, *, replace: bool) -> None:
        """Make a symbolic link, fifo, socket or device; devices only root can make."""
        path = directory.path + b"/" + node.name
        extra = node.extra or NO_EXTRA
        try:
            dir_fd = self._tree.open(directory)
            if replace:
                os.unlink(node.name, dir_fd=dir_fd)
            if node.type == NodeType.SYMLINK:
                os.symlink(extra.target, node.name, dir_fd=dir_fd)
            else:
                mode = _FORMATS[NodeType(node.type)] | 0o600
                os.mknod(node.name, mode, extra.rdev, dir_fd=dir_fd)
            apply_to_entry(dir_fd, node, path, self._problems, existing=directory.inherits_acl)
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

    def remove(self, directory: TargetDirectory, name: bytes, base: bytes) -> None:
        """Remove an entry; what is excluded below it stays."""
        exclude = self._options.exclude
        skipped = len(directory.path) + 1 + len(name)

        def keep(path: bytes, is_directory: bool) -> bool:
            return exclude.excludes(base + path[skipped:], is_directory)

        try:
            removed = self._tree.remove(directory, name, None if exclude.is_empty else keep)
        except EntryError as error:
            self._problems.meet(directory.path + b"/" + name, error)
            return
        self._counts.deleted += removed

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
                os.unlink(node.name, dir_fd=self._tree.open(directory))
            # Opening one directory may close the other only if hundreds lie between them.
            source_fd = self._tree.open(first_directory)
            target_fd = self._tree.open(directory)
            os.link(
                first_name,
                node.name,
                src_dir_fd=self._tree.open(first_directory)
                if first_directory.fd < 0
                else source_fd,
                dst_dir_fd=target_fd,
                follow_symlinks=False,
            )
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

    def remove(self, *_: object) -> None:
        """Count an entry, not what is below it."""
        self._counts.deleted += 1
