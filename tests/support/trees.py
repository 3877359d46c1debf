"""Trees for tests: read a real tree into nodes and blobs, keep them in a dict, compare trees.

`snapshot_tree` is a small, slow and separate way to make what a backup makes, so that tests of
restore do not rest on backup being right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from holdfast.errors import IntegrityError, MissingBlobError
from holdfast.format.node import Node, NodeExtra, NodeType, decode_ids
from holdfast.hashing import keyed_hash
from holdfast.ids import BlobId

KEY = bytes(range(32))
hash_data = keyed_hash(KEY)

_TYPES = {
    stat.S_IFREG: NodeType.FILE,
    stat.S_IFDIR: NodeType.DIRECTORY,
    stat.S_IFLNK: NodeType.SYMLINK,
    stat.S_IFIFO: NodeType.FIFO,
    stat.S_IFSOCK: NodeType.SOCKET,
    stat.S_IFCHR: NodeType.CHARACTER_DEVICE,
    stat.S_IFBLK: NodeType.BLOCK_DEVICE,
}


class DictSource:
    """Pages and blobs in memory; what `damage` names cannot be read."""

    def __init__(self, *, chunk_size: int = 4096, page_length: int = 64) -> None:
        self.chunk_size = chunk_size
        self.page_length = page_length
        self.blobs: dict[BlobId, bytes] = {}
        self.pages: dict[BlobId, list[Node]] = {}
        self.damaged: set[BlobId] = set()
        self.fetched: list[BlobId] = []
        self.pages_read = 0

    def add_blob(self, data: bytes) -> BlobId:
        blob_id = BlobId(hash_data(data))
        self.blobs[blob_id] = data
        return blob_id

    def add_directory(self, nodes: Iterable[Node]) -> bytes:
        """Store the pages of a directory; return their ids, concatenated."""
        ordered = sorted(nodes, key=lambda node: node.name)
        content = b""
        for at in range(0, max(len(ordered), 1), self.page_length):
            page_id = BlobId(hash_data(b"page %d" % len(self.pages)))
            self.pages[page_id] = ordered[at : at + self.page_length]
            content += page_id
        return content

    def add_file(self, data: bytes) -> bytes:
        """Store a file's blobs; return their ids, concatenated."""
        step = self.chunk_size
        return b"".join(self.add_blob(data[at : at + step]) for at in range(0, len(data), step))

    def damage(self, data: bytes) -> None:
        self.damaged.add(BlobId(hash_data(data)))

    def read_page(self, page_id: BlobId) -> list[Node]:
        self.pages_read += 1
        if page_id in self.damaged:
            raise IntegrityError("tree", page_id.hex(), "damaged by the test")
        return self.pages[page_id]

    def fetch(self, ids: Iterable[BlobId]) -> Iterator[tuple[BlobId, memoryview | IntegrityError]]:
        wanted = list(ids)
        assert len(wanted) == len(set(wanted)), "each blob is asked for once"
        for blob_id in sorted(wanted):
            self.fetched.append(blob_id)
            if blob_id in self.damaged:
                yield blob_id, IntegrityError("data", blob_id.hex(), "damaged by the test")
            elif blob_id in self.blobs:
                # As the real one: a view that is not valid after the next step.
                buffer = bytearray(self.blobs[blob_id])
                with memoryview(buffer) as view:
                    yield blob_id, view
                buffer[:] = b"?" * len(buffer)
            else:
                yield blob_id, MissingBlobError("data", blob_id.hex(), "test")

    def add_ids(self, ids: bytes) -> bytes:
        """Store an id page; return its id."""
        return self.add_blob(ids)

    def read_ids(self, page_id: BlobId) -> bytes:
        if page_id in self.damaged or page_id not in self.blobs:
            raise IntegrityError("tree", page_id.hex(), "damaged by the test")
        return decode_ids(self.blobs[page_id], page_id.hex())

    def blob_length(self, blob_id: BlobId) -> int:
        if blob_id not in self.blobs:
            raise MissingBlobError("data", blob_id.hex(), "test")
        return len(self.blobs[blob_id])


def file_node(source: DictSource, name: bytes, data: bytes = b"", **fields: object) -> Node:
    """A regular file of the current user."""
    values: dict[str, object] = {
        "mode": 0o644,
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "size": len(data),
        "mtime_ns": 1_600_000_000_123_456_789,
        "ctime_ns": 0,
        "inode": 0,
        "device": 0,
        "content": source.add_file(data),
        **fields,
    }
    return Node(name, NodeType.FILE.value, **values)  # type: ignore[arg-type]


def node_of(type_: NodeType, name: bytes, **fields: object) -> Node:
    """An entry of another type, of the current user."""
    values: dict[str, object] = {
        "mode": 0o755 if type_ == NodeType.DIRECTORY else 0o644,
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "size": 0,
        "mtime_ns": 1_500_000_000_987_654_321,
        "ctime_ns": 0,
        "inode": 0,
        "device": 0,
        "content": b"",
        **fields,
    }
    return Node(name, type_.value, **values)  # type: ignore[arg-type]


def directory_node(
    source: DictSource, name: bytes, nodes: Iterable[Node] = (), **fields: object
) -> Node:
    """A directory of the current user with these entries."""
    return node_of(NodeType.DIRECTORY, name, content=source.add_directory(nodes), **fields)


def snapshot_tree(source: DictSource, path: bytes, name: bytes = b"") -> Node:
    """Read a real tree, with every kind of entry and all metadata, into a source."""
    status = os.lstat(path)
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    holes: tuple[int, ...] = ()
    content = b""
    size = 0
    target = b""
    if kind == NodeType.FILE:
        content, holes = _read_file(source, path)
        size = status.st_size
    elif kind == NodeType.DIRECTORY:
        names = [os.fsencode(entry) for entry in os.listdir(path)]
        content = source.add_directory(
            snapshot_tree(source, path + b"/" + entry, entry) for entry in names
        )
    elif kind == NodeType.SYMLINK:
        target = os.fsencode(os.readlink(path))
    extra = NodeExtra(
        link_count=1 if kind == NodeType.DIRECTORY else status.st_nlink,
        rdev=status.st_rdev,
        target=target,
        xattrs=_xattrs(path),
        holes=holes,
    )
    return Node(
        name,
        kind.value,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        content,
        None if extra == NodeExtra() else extra,
    )


def _read_file(source: DictSource, path: bytes) -> tuple[bytes, tuple[int, ...]]:
    content = b""
    holes: list[int] = []
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                start = size
            if start > at:
                holes += [at, start - at]
            if start == size:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            content += source.add_file(os.pread(file.fileno(), at - start, start))
    return content, tuple(holes)


def _xattrs(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple(
            sorted((os.fsencode(n), os.getxattr(path, n, follow_symlinks=False)) for n in names)
        )
    except OSError:
        return ()


@dataclass(frozen=True)
class EntryState:
    """Everything of an entry that a restore brings back."""

    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    rdev: int
    body: bytes
    """Content or target."""
    holes: tuple[int, ...]
    xattrs: tuple[tuple[bytes, bytes], ...]
    names: tuple[bytes, ...]
    """All names of the same file in the tree."""


def read_tree(path: bytes, *, with_root: bool = True) -> Mapping[bytes, EntryState]:
    """Return the state of everything in a tree by relative path, the root being b""."""
    paths = [b""] if with_root else []
    for directory, directories, files in os.walk(path):
        paths += [os.path.join(directory, name)[len(path) + 1 :] for name in (*directories, *files)]
    names: dict[tuple[int, int], list[bytes]] = {}
    for relative in paths:
        status = os.lstat(os.path.join(path, relative))
        names.setdefault((status.st_dev, status.st_ino), []).append(relative)
    return {relative: _state(os.path.join(path, relative), names) for relative in paths}


def _state(path: bytes, names: dict[tuple[int, int], list[bytes]]) -> EntryState:
    status = os.lstat(path)
    body = b""
    holes: tuple[int, ...] = ()
    is_file = stat.S_ISREG(status.st_mode)
    if is_file:
        with open(path, "rb") as file:
            body = file.read()
        holes = _read_file(DictSource(chunk_size=1 << 30), path)[1]
    elif stat.S_ISLNK(status.st_mode):
        body = os.fsencode(os.readlink(path))
    return EntryState(
        kind=stat.S_IFMT(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if is_file else 0,
        mtime_ns=status.st_mtime_ns,
        rdev=status.st_rdev,
        body=body,
        holes=holes,
        xattrs=_xattrs(path),
        names=tuple(sorted(names[status.st_dev, status.st_ino])),
    )
