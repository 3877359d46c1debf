"""The walk of a backup: directories depth first, names in order, pages out.

Every Python instruction here runs once per file. A file that is unchanged costs an lstat and the
comparison with the parent's node (about 4 us); its node is taken over as it is, and a page of
such nodes is recognised by comparing pointers and neither encoded nor hashed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.findings import Finding
from holdfast.format.node import NO_EXTRA, Node, NodeExtra, NodeFlag, NodeType, split_pages
from holdfast.fs.read_ahead import ReadAhead
from holdfast.fs.source import (
    CACHE_TAG,
    NODE_TYPES,
    Xattrs,
    describe,
    display,
    is_cache_directory,
    list_names,
    read_xattrs,
)
from holdfast.ids import BlobId
from holdfast.operations.backup_parent import ParentDirectory
from holdfast.operations.backup_session import BackupSession
from holdfast.operations.file_content import content_ids
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.unchanged import UNKNOWN_CTIME, is_unchanged, recorded_ctime
from holdfast.repository.reader import BlobSource

_EMIT_NODES: Final = 4096
_TICK: Final = 64
_NO_LIMIT: Final = 1 << 63
_FILE: Final = NodeType.FILE.value
_DIRECTORY: Final = NodeType.DIRECTORY.value


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkOptions:
    """What the walk takes and leaves."""

    exclude: ExcludeFilter | None = None
    exclude_caches: bool = False
    exclude_if_present: tuple[bytes, ...] = ()
    exclude_larger_than: int | None = None
    one_file_system: bool = False
    with_atime: bool = False
    force: bool = False
    """Read every file, whatever the parent says."""
    check_reused: bool = False
    """Look up every blob of unchanged files: some packs or index objects are lost."""


@dataclass(slots=True)
class SourceNode:
    """The sources as a tree of names: what to take whole, and what lies above it."""

    is_source: bool = False
    children: dict[bytes, SourceNode] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[bytes]) -> SourceNode:
        """Build the tree of absolute, normalised paths; a source below another is part of it."""
        root = cls()
        for path in paths:
            node = root
            for name in path.split(b"/"):
                if name and not node.is_source:
                    node = node.children.setdefault(name, cls())
            node.is_source = True
            node.children.clear()
        return root


class _Frame:
    """A directory that is being walked."""

    __slots__ = (
        "content",
        "device",
        "name",
        "names",
        "nodes",
        "old",
        "parent",
        "prefix",
        "source",
        "status",
    )

    def __init__(
        self,
        prefix: bytes,
        name: bytes,
        status: os.stat_result,
        names: Iterator[bytes],
        old: Node | None,
        parent: ParentDirectory,
        source: SourceNode | None,
        device: int,
    ) -> None:
        self.prefix = prefix
        """Path with a "/" at its end."""
        self.name = name
        self.status = status
        self.names = names
        self.old = old
        self.parent = parent
        self.source = source
        """Where in the tree of sources; None below a source."""
        self.device = device
        """File system of the source, for one_file_system."""
        self.nodes: list[Node] = []
        self.content: list[bytes] = []


class TreeBackup:
    """Walks the sources of one backup. For one thread.

    Args:
        session: takes blobs, pages, findings and figures.
        options: what to take.
        ahead: keeps a cold disk busy.
    """

    def __init__(self, session: BackupSession, options: WalkOptions, ahead: ReadAhead) -> None:
        self._session = session
        self._writer = session.writer
        self._files = session.files
        self._reader: BlobSource = session.reader
        self._options = options
        self._started_ns = session.started_ns
        self._on_finding = session.on_finding
        self._ahead = ahead
        self._stack: list[_Frame] = []
        self._owner = (-1, -1)
        """Of the entry noted last."""
        self._stats = session.stats
        self._exclude = (
            options.exclude if options.exclude and not options.exclude.is_empty else None
        )

    def run(self, sources: SourceNode, parent_pages: Sequence[BlobId]) -> bytes:
        """Walk everything; return the content of the root: concatenated page ids."""
        status = os.lstat(b"/")
        parent = ParentDirectory(self._reader, parent_pages)
        names = self._names(b"/", sources, None)
        self._stack = [_Frame(b"/", b"", status, names, None, parent, sources, status.st_dev)]
        while True:
            frame = self._stack[-1]
            if self._walk(frame):
                continue
            self._stack.pop()
            content = self._end(frame)
            if not self._stack:
                return content
            node = self._directory_node(frame, content)
            self._note_source(self._stack[-1], frame.name, node, frame.old)
            self._stack[-1].nodes.append(node)

    def partial_root(self) -> bytes:
        """Return the root of what has been walked so far; the walk can go on afterwards."""
        content = b""
        below: Node | None = None
        for frame in reversed(self._stack):
            nodes = frame.nodes if below is None else [*frame.nodes, below]
            pages = [
                *frame.content,
                *(self._writer.add_page(list(p)) for p in split_pages(nodes, final=True)),
            ]
            content = b"".join(pages)
            if frame.name:
                below = self._make_node(frame.name, frame.status, content, frame.prefix[:-1], None)
        return content

    def _walk(self, frame: _Frame) -> bool:
        """Go on in a directory; True if a directory was pushed, False at its end."""
        prefix, parent, nodes = frame.prefix, frame.parent, frame.nodes
        stats, options = self._stats, self._options
        exclude, reuse = self._exclude, not options.force
        limit = options.exclude_larger_than
        largest = _NO_LIMIT if limit is None else limit
        lstat, match, append = os.lstat, parent.match, nodes.append
        for name in frame.names:
            path = prefix + name
            above = frame.source is not None and self._leads_to_source(frame, name)
            try:
                status = os.stat(path) if above else lstat(path)
            except OSError as error:
                self._problem(path, error)
                continue
            kind = stat.S_IFMT(status.st_mode)
            if above:
                kind = stat.S_IFDIR
            elif exclude is not None and exclude.excludes(path, kind == stat.S_IFDIR):
                continue
            old = match(name)
            if kind == stat.S_IFREG:
                if status.st_size > largest:
                    continue
                if (
                    reuse
                    and old is not None
                    and old.type == _FILE
                    and is_unchanged(old, status)
                    and (not options.check_reused or self._all_known(old))
                ):
                    stats.files_unmodified += 1
                    stats.logical_bytes += old.size
                    append(old)
                else:
                    self._add_file(frame, name, path, status, old)
                if (stats.files_new + stats.files_unmodified) % _TICK == 0:
                    self._session.tick(display(path), self.partial_root)
                    self._ahead.observe()
            elif kind == stat.S_IFDIR:
                self._push(frame, name, path, status, old)
                return True
            else:
                self._add_other(frame, name, path, status, old)
            if len(nodes) >= _EMIT_NODES:
                self._emit(frame, final=False)
        return False

    def _note_source(self, frame: _Frame, name: bytes, node: Node, old: Node | None) -> None:
        """Note whether a source itself is unlike the parent's; directories above do not count."""
        source = frame.source.children.get(name) if frame.source is not None else None
        if source is not None and source.is_source and node is not old:
            self._session.differs = True

    def _leads_to_source(self, frame: _Frame, name: bytes) -> bool:
        source = frame.source
        assert source is not None
        return not source.is_source and not source.children[name].is_source

    def _push(
        self, frame: _Frame, name: bytes, path: bytes, status: os.stat_result, old: Node | None
    ) -> None:
        source = frame.source.children.get(name) if frame.source is not None else None
        if source is not None and source.is_source:
            source = None
            device = status.st_dev
        else:
            device = frame.device
        if old is not None and old.type != _DIRECTORY:
            old = None
        names: Iterator[bytes] = iter(())
        if source is not None or not self._options.one_file_system or status.st_dev == device:
            names = self._names(path, source, old)
        parent = ParentDirectory(self._reader, old.blob_ids if old is not None else ())
        self._stack.append(_Frame(path + b"/", name, status, names, old, parent, source, device))

    def _names(self, path: bytes, source: SourceNode | None, old: Node | None) -> Iterator[bytes]:
        if source is not None and not source.is_source:
            return iter(sorted(source.children))
        try:
            names = list_names(path)
        except OSError as error:
            self._problem(path, error)
            return iter(())
        options = self._options
        # The tag itself is kept, so that a restored tree says why it is empty.
        if options.exclude_caches and CACHE_TAG in names and is_cache_directory(path):
            return iter((CACHE_TAG,))
        for marker in options.exclude_if_present:
            if marker in names:
                return iter((marker,))
        return self._ahead.names(path + b"/", names, content=old is None or options.force)

    def _end(self, frame: _Frame) -> bytes:
        self._emit(frame, final=True)
        return b"".join(frame.content)

    def _emit(self, frame: _Frame, *, final: bool) -> None:
        """Turn the nodes collected so far into pages."""
        used = 0
        checks = self._options.check_reused or self._writer.meets_damage
        for page in split_pages(frame.nodes, final=final):
            page_id: bytes | None = frame.parent.page_id(page)
            if page_id is None and frame.source is None:
                self._session.differs = True
            if page_id is None or (checks and not self._writer.knows(page_id)):
                page_id = self._writer.add_page(list(page))
            frame.content.append(page_id)
            used += len(page)
        del frame.nodes[:used]

    def _directory_node(self, frame: _Frame, content: bytes) -> Node:
        self._stats.directories += 1
        return self._make_node(frame.name, frame.status, content, frame.prefix[:-1], frame.old)

    def _add_file(
        self, frame: _Frame, name: bytes, path: bytes, status: os.stat_result, old: Node | None
    ) -> None:
        try:
            found = self._files.read(path, status)
            after = found.status
            changed = (
                after.st_mtime_ns != status.st_mtime_ns
                or after.st_size != found.size
                or after.st_ino != status.st_ino
            )
            flags = NodeFlag.CHANGED_WHILE_READ if changed else 0
            # Nearly all files have nothing extra, and a structure to find that out costs 2 us.
            if (
                after.st_nlink == 1
                and not (found.xattrs or changed or found.holes or found.depth)
                and not self._options.with_atime
            ):
                extra = None
            else:
                extra = self._extra(path, after, found.xattrs, flags, found.holes, found.depth)
        except OSError as error:
            self._problem(path, error)
            return
        self._note_owner(after)
        stats = self._stats
        stats.logical_bytes += found.size
        ctime_ns = UNKNOWN_CTIME if changed else recorded_ctime(after.st_ctime_ns, self._started_ns)
        node = Node(
            name,
            _FILE,
            after.st_mode & 0o7777,
            after.st_uid,
            after.st_gid,
            found.size,
            after.st_mtime_ns,
            ctime_ns,
            after.st_ino,
            after.st_dev,
            found.content,
            extra,
        )
        if old is None or old.type != _FILE:
            stats.files_new += 1
        elif old.content == node.content and old.size == node.size:
            stats.files_unmodified += 1
        else:
            stats.files_changed += 1
        if changed:
            self._on_finding(Finding(display(path), "it changed while it was read"))
        if old is not None and node == old:
            node = old
        self._note_source(frame, name, node, old)
        frame.nodes.append(node)

    def _add_other(
        self, frame: _Frame, name: bytes, path: bytes, status: os.stat_result, old: Node | None
    ) -> None:
        kind = NODE_TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            self._on_finding(Finding(display(path), "of a type that cannot be stored"))
            return
        self._stats.others += 1
        if (
            old is not None
            and old.type == kind
            and is_unchanged(old, status)
            and not self._options.force
        ):
            frame.nodes.append(old)
            return
        node = self._make_node(name, status, b"", path, old)
        self._note_source(frame, name, node, old)
        frame.nodes.append(node)

    def _make_node(
        self, name: bytes, status: os.stat_result, content: bytes, path: bytes, old: Node | None
    ) -> Node:
        """Return the node of anything but a regular file; the old one if nothing changed."""
        kind = NODE_TYPES[stat.S_IFMT(status.st_mode)]
        ctime_ns = recorded_ctime(status.st_ctime_ns, self._started_ns)
        if old is not None and old.type == kind and old.ctime_ns == ctime_ns != UNKNOWN_CTIME:
            extra = old.extra
        else:
            try:
                extra = self._extra(path, status, read_xattrs(path))
            except OSError as error:
                self._problem(path, error)
                extra = None
        self._note_owner(status)
        node = Node(
            name,
            kind,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            0,
            status.st_mtime_ns,
            ctime_ns,
            status.st_ino,
            status.st_dev,
            content,
            extra,
        )
        return old if old is not None and node == old else node

    def _extra(
        self,
        path: bytes,
        status: os.stat_result,
        xattrs: Xattrs,
        flags: int = 0,
        holes: tuple[int, ...] = (),
        depth: int = 0,
    ) -> NodeExtra | None:
        """Return what few nodes have, None for the others.

        Raises:
            OSError: the link cannot be read.
        """
        if xattrs:
            self._session.xattr_names.update(name for name, _ in xattrs)
        kind = stat.S_IFMT(status.st_mode)
        is_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        extra = NodeExtra(
            flags=flags,
            link_count=1 if kind == stat.S_IFDIR else status.st_nlink,
            rdev=status.st_rdev if is_device else 0,
            target=os.readlink(path) if kind == stat.S_IFLNK else b"",
            xattrs=xattrs,
            holes=holes,
            atime_ns=status.st_atime_ns if self._options.with_atime else None,
            depth=depth,
        )
        return None if extra == NO_EXTRA else extra

    def _note_owner(self, status: os.stat_result) -> None:
        owner = (status.st_uid, status.st_gid)
        if owner != self._owner:
            self._owner = owner
            self._session.uids.add(owner[0])
            self._session.gids.add(owner[1])

    def _all_known(self, node: Node) -> bool:
        knows = self._writer.knows
        try:
            return all(map(knows, node.blob_ids)) and (
                not node.depth or all(map(knows, content_ids(self._reader, node)))
            )
        except IntegrityError:
            return False

    def _problem(self, path: bytes, error: OSError) -> None:
        self._on_finding(Finding(display(path), describe(error)))
