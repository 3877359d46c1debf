"""The local side of a diff: a directory as it is now, in the terms of a snapshot.

A file of the recorded size and mtime is believed to be unchanged, as a backup would; one of the
same size and another mtime is read. Ids are computed where the snapshot's blobs lie in the file,
so nothing is read from the repository, and how the file was cut does not matter.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.findings import Finding
from holdfast.format.node import NO_EXTRA, Node, NodeExtra, NodeType
from holdfast.fs.source import NODE_TYPES, describe, display, list_names, read_xattrs
from holdfast.hashing import KeyedHash
from holdfast.ids import BlobId
from holdfast.operations.backup_files import open_file
from holdfast.operations.backup_tree import SourceNode
from holdfast.operations.diff_types import OnDamage, OnFinding
from holdfast.operations.file_content import ContentSource, iter_holes, iter_spans

_PIECE: Final = 1 << 20
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR))
_DEVICES: Final = frozenset((stat.S_IFCHR, stat.S_IFBLK))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """A local tree and how it is compared."""

    directory: bytes
    """Absolute path of what is compared, usually a directory; a symbolic link to one is followed."""
    hash_data: KeyedHash
    """The repository's, for the ids of data blobs."""
    content: bool = False
    """Read every file, whatever its size and mtime say."""
    sources: Sequence[bytes] = ()
    """The snapshot's own paths: in directories above them only what leads there is looked at, since
    the rest was never backed up. Without any everything is."""
    one_file_system: bool = False
    """Take directories on which another file system is mounted for empty."""


class LocalTree:
    """A local tree, for `diff_join`.

    Args:
        options: where it is.
        base: absolute path in the snapshot that `options.directory` is compared with.
        on_finding: told of what cannot be read; without it nobody is.
    """

    def __init__(
        self, options: LocalOptions, *, base: bytes, on_finding: OnFinding | None = None
    ) -> None:
        self._options = options
        self._skipped = len(options.directory.rstrip(b"/"))
        self._base = base.rstrip(b"/")
        self._on_finding = on_finding
        self._sources = SourceNode.of(options.sources)
        self._mounts: set[bytes] = set()

    def root(self, old: Node | None) -> Node:
        """Return what is compared, under the name of its counterpart.

        Raises:
            ConfigurationError: it is not there or cannot be looked at.
        """
        directory = self._options.directory
        follows = old is None or old.type != NodeType.SYMLINK
        try:
            status = os.stat(directory, follow_symlinks=follows)
        except OSError as error:
            raise ConfigurationError(
                f"cannot read {display(directory)}: {describe(error)}",
                "name a directory that is there",
            ) from error
        node = _make_node(os.path.basename(directory) if old is None else old.name, status)
        if node is None:
            raise ConfigurationError(
                f"{display(directory)} is of a type that no snapshot holds", "name a directory"
            )
        return node

    def entries(
        self,
        node: Node,
        path: bytes,
        passed: Collection[BlobId],  # noqa: ARG002 - there are no pages here
    ) -> Iterator[Node | None]:
        """Yield the entries of a directory; see `Tree`. Memory: the names of one directory."""
        if path in self._mounts:
            return
        source = self._source_at(path)
        try:
            names = list_names(path or b"/")
        except OSError as error:
            if error.errno not in _GONE:
                self._report(path or b"/", error)
                yield None
            return
        for name in names:
            inner = path + b"/" + name
            above = False
            if source is not None:
                child = source.children.get(name)
                if child is None:
                    continue
                above = not child.is_source
            try:
                # A backup follows links on the way to its sources, and only there.
                status = os.stat(inner, follow_symlinks=above)
            except OSError as error:
                if error.errno not in _GONE:
                    self._report(inner, error)
                    yield None
                continue
            entry = _make_node(name, status)
            if entry is None:
                continue
            if self._options.one_file_system and status.st_dev != node.device and source is None:
                self._mounts.add(inner)
            yield entry

    def complete(self, node: Node, path: bytes) -> Node | None:
        """Return the entry with link target and attributes; None if they cannot be read."""
        try:
            target = os.readlink(path) if node.type == NodeType.SYMLINK else b""
            xattrs = read_xattrs(path or b"/")
        except OSError as error:
            self._report(path, error)
            return None
        if not target and not xattrs:
            return node
        rdev = (node.extra or NO_EXTRA).rdev
        extra = NodeExtra(target=target, xattrs=xattrs, rdev=rdev)
        return msgspec.structs.replace(node, extra=extra)

    def _source_at(self, path: bytes) -> SourceNode | None:
        """Return the part of the sources below a directory; None if it was backed up itself."""
        node = self._sources
        for name in (self._base + path[self._skipped :]).split(b"/"):
            if not name:
                continue
            if node.is_source or name not in node.children:
                return None
            node = node.children[name]
        return node if node.children and not node.is_source else None

    def _report(self, path: bytes, error: OSError) -> None:
        if self._on_finding is not None:
            self._on_finding(Finding(display(path), describe(error)))


class LocalContents:
    """Compares local files with those of a snapshot.

    Args:
        source: tells where the blobs of a file lie.
        options: what is believed.
        on_damage: called for a file of the snapshot of which the id pages cannot be read.
        on_finding: told of local files that cannot be read.
    """

    def __init__(
        self,
        source: ContentSource,
        options: LocalOptions,
        *,
        on_damage: OnDamage | None,
        on_finding: OnFinding,
    ) -> None:
        self._source = source
        self._options = options
        self._on_damage = on_damage
        self._on_finding = on_finding

    def same(self, old: Node, new: Node, path: bytes) -> bool | None:
        """Tell whether a local file has the recorded bytes; see `Contents`."""
        if old.size != new.size:
            return False
        if old.mtime_ns == new.mtime_ns and not self._options.content:
            return True
        try:
            return self._has_content(old, path)
        except OSError as error:
            self._on_finding(Finding(display(path), describe(error)))
        except IntegrityError as error:
            if self._on_damage is None:
                raise
            self._on_damage(path, error)
        return None

    def rename_key(self, node: Node, *, is_new: bool) -> bytes | None:  # noqa: ARG002
        """Return the size, and the mtime where that is believed; see `Contents`."""
        if not node.size:
            return None
        return b"%d %d" % (node.size, 0 if self._options.content else node.mtime_ns)

    def is_renamed(self, old: Node, new: Node, path: bytes) -> bool:  # noqa: ARG002
        """Tell whether a local file has the bytes of another; see `Contents`. It is always read."""
        try:
            return self._has_content(old, path)
        except (OSError, IntegrityError):
            return False  # then it is not known to be the same

    def directory_key(self, node: Node) -> bytes:
        """Return the inode: a directory that was renamed keeps it."""
        return b"%d" % node.inode

    keys_decide = False

    def _has_content(self, old: Node, path: bytes) -> bool:
        """Compare a file's bytes with the ids of a node, up to the first difference.

        Raises:
            OSError: it cannot be read.
            IntegrityError: the ids cannot be read.
        """
        descriptor = open_file(path)
        try:
            if os.fstat(descriptor).st_size != old.size:
                return False
            hash_data = self._options.hash_data
            for offset, length, blob_id in iter_spans(old, self._source):
                data = _read(descriptor, offset, length)
                if len(data) != length or hash_data(data) != blob_id:
                    return False
            return all(_is_zero(descriptor, *hole) for hole in iter_holes(old))
        finally:
            os.close(descriptor)


def _make_node(name: bytes, status: os.stat_result) -> Node | None:
    """Return a node without content; None for a type that no snapshot holds."""
    kind = stat.S_IFMT(status.st_mode)
    node_type = NODE_TYPES.get(kind)
    if node_type is None:
        return None
    return Node(
        name,
        node_type,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if kind == stat.S_IFREG else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        b"",
        NodeExtra(rdev=status.st_rdev) if kind in _DEVICES else None,
    )


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Read a part of a file, whatever the size of single reads; shorter at its end."""
    pieces: list[bytes] = []
    while length:
        piece = os.pread(descriptor, length, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _is_zero(descriptor: int, offset: int, length: int) -> bool:
    """Tell whether a part of a file is zeros; holes of the file itself are not read."""
    end = offset + length
    while offset < end:
        try:
            offset = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise
        size = min(_PIECE, end - offset)
        if size <= 0:
            return True
        piece = os.pread(descriptor, size, offset)
        if not piece:
            return True
        if any(piece):
            return False
        offset += len(piece)
    return True
