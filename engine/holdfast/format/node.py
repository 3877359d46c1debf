"""Nodes: the entries of a directory, and the pages in which a tree stores them.

A directory is a sequence of pages, each a msgpack array of at most `MAX_PAGE_NODES` nodes in
ascending order of name bytes; each page is one tree blob. A page ends after a node whose name's
checksum says so, hence a change to one entry of a directory with a million rewrites one page,
and a page can be read without its neighbours. Boundaries depend on names alone: a `chmod -R`
rewrites pages but never moves a border.

Source: docs/format.md#trees; the idea of borders chosen by the content of ordered entries is
that of prolly trees (Noms, 2015).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from enum import IntEnum
from operator import lt
from typing import Final
from zlib import crc32

import msgspec

from holdfast.errors import FormatError
from holdfast.ids import BLOB_ID_LENGTH, BlobId

MIN_PAGE_NODES: Final = 64
MAX_PAGE_NODES: Final = 1024
MAX_CONTENT_IDS: Final = 1024
"""Ids in a node; the ids of longer files lie in id pages."""
MIN_PAGE_IDS: Final = 64
MAX_PAGE_IDS: Final = 4096
MAX_DEPTH: Final = 4
"""1024 x 64 ** 4 blobs at the least: 2 PB of files, 70 TB of dumps."""


def list_ids(content: bytes) -> list[BlobId]:
    """Return the ids that `content` joins, in order."""
    return [
        BlobId(content[at : at + BLOB_ID_LENGTH]) for at in range(0, len(content), BLOB_ID_LENGTH)
    ]


class NodeType(IntEnum):
    """What a directory entry is; the values are stored and never change."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    SOCKET = 5
    CHARACTER_DEVICE = 6
    BLOCK_DEVICE = 7


FORMATS: Final = {
    NodeType.FILE.value: stat.S_IFREG,
    NodeType.DIRECTORY.value: stat.S_IFDIR,
    NodeType.SYMLINK.value: stat.S_IFLNK,
    NodeType.FIFO.value: stat.S_IFIFO,
    NodeType.SOCKET.value: stat.S_IFSOCK,
    NodeType.CHARACTER_DEVICE.value: stat.S_IFCHR,
    NodeType.BLOCK_DEVICE.value: stat.S_IFBLK,
}
"""`Node.type` -> the bits of st_mode that say the same."""


class NodeFlag:
    """Bits of `NodeExtra.flags`; the values are stored and never change."""

    CHANGED_WHILE_READ: Final = 1


class NodeExtra(msgspec.Struct, array_like=True, gc=False, frozen=True, kw_only=True):
    """What few nodes have. Fields are only ever added at the end, each with a default."""

    flags: int = 0
    link_count: int = 1
    """st_nlink of a file that is not a directory; names with one (device, inode) are hard links."""
    rdev: int = 0
    """st_rdev of a device node."""
    target: bytes = b""
    """What a symbolic link points to."""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """(name, value) in ascending order of name; POSIX ACLs are system.posix_acl_access and _default."""
    holes: tuple[int, ...] = ()
    """Sparse map: offset, length, offset, length … of the holes, ascending and disjoint.

    Holes are not in `content`, which joins the data extents; no blob reaches across a hole.
    """
    atime_ns: int | None = None
    """Recorded on request only: it changes at each read and would rewrite pages."""
    depth: int = 0
    """Levels of id pages between `content` and the data blobs of a file; 0 up to 1024 blobs."""


class Node(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One directory entry. Fields are only ever added at the end, each with a default."""

    name: bytes
    """1 to 255 bytes of any value but 0 and "/"; neither "." nor ".."."""
    type: int
    """A `NodeType` value, as a plain int: enum objects cost 0.4 us each to decode."""
    mode: int
    """Permission bits, 0 to 0o7777."""
    uid: int
    gid: int
    size: int
    """Bytes of a file; 0 for all other types."""
    mtime_ns: int
    ctime_ns: int
    """Of the source; tells changed files, cannot be restored."""
    inode: int
    device: int
    content: bytes
    """Concatenated 32-byte blob ids: data blobs of a file (or id pages), pages of a directory."""
    extra: NodeExtra | None = None

    @property
    def blob_ids(self) -> list[BlobId]:
        """The ids in `content`, in order."""
        return list_ids(self.content)

    @property
    def full_mode(self) -> int:
        """The st_mode: type and permission bits."""
        return FORMATS[self.type] | self.mode

    @property
    def depth(self) -> int:
        """Levels of id pages between `content` and the data blobs."""
        return 0 if self.extra is None else self.extra.depth


NO_EXTRA: Final = NodeExtra()
"""What a node without `extra` has."""

_FORBIDDEN: Final = frozenset((b"", b".", b".."))
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Node]).decode


def encode_page(nodes: Sequence[Node]) -> bytes:
    """Encode one page; the nodes are in ascending order of name."""
    return _encode(nodes)


def decode_page(data: bytes, name: str = "") -> list[Node]:
    """Decode and validate one page. Unknown trailing fields are passed over.

    Args:
        data: the plaintext of a tree blob.
        name: how errors call it, usually the blob id in hex.

    Raises:
        FormatError: not a page; a name that could leave the directory; names out of order;
            content that is no sequence of ids.
    """
    try:
        nodes = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError("tree", name, f"not a page of nodes: {error}") from error
    names = [node.name for node in nodes]
    joined = b"\n".join(names)
    # A hostile page must not be able to name anything outside of its directory.
    if (
        b"/" in joined
        or b"\0" in joined
        or not _FORBIDDEN.isdisjoint(names)
        or not all(map(lt, names, names[1:]))
        or max(map(len, names), default=0) > 255
    ):
        raise FormatError("tree", name, "impossible or misplaced names")
    for node in nodes:
        if (
            len(node.content) % BLOB_ID_LENGTH
            or not 1 <= node.type <= 7
            or not 0 <= node.mode <= 0o7777
            or node.size < 0
            or (node.extra is not None and not 0 <= node.extra.depth <= MAX_DEPTH)
        ):
            raise FormatError("tree", name, f"impossible node {node.name!r}")
    return nodes


def split_pages(nodes: Sequence[Node], *, final: bool) -> Iterator[Sequence[Node]]:
    """Split a run of nodes into pages.

    A page ends after its 1024th node, or after a node behind its 63rd whose name has a CRC-32
    (zlib's) with 8 low zero bits: 320 nodes on average. No key is needed, since sizes of tree
    blobs are not visible in packs, and both bounds hold for hostile names.

    Args:
        nodes: entries in ascending order of name; the first one begins a page.
        final: whether the directory ends here. If not, the last, undecided page is left out.

    Yields:
        The pages in order; for a final run at least one, possibly empty.
    """
    start = 0
    count = len(nodes)
    while count - start >= MIN_PAGE_NODES:
        end = start + MIN_PAGE_NODES
        limit = min(start + MAX_PAGE_NODES, count)
        while end < limit and crc32(nodes[end - 1].name) & 0xFF:
            end += 1
        decided = end - start == MAX_PAGE_NODES or crc32(nodes[end - 1].name) & 0xFF == 0
        if not decided:
            break
        yield nodes[start:end]
        start = end
    if final and (start < count or count == 0):
        yield nodes[start:]


def split_ids(ids: Sequence[bytes], *, final: bool) -> Iterator[Sequence[bytes]]:
    """Split the ids of a file's blobs into id pages, at ids whose first byte is zero.

    A page has 64 to 4096 ids, 320 on average. So a long file that changed in one place shares
    all id pages but one with its parent, as its blobs do.

    Args:
        ids: 32 bytes each; the first one begins a page.
        final: whether the file ends here. If not, the last, undecided page is left out.
    """
    start = 0
    count = len(ids)
    while count - start >= MIN_PAGE_IDS:
        end = start + MIN_PAGE_IDS
        limit = min(start + MAX_PAGE_IDS, count)
        while end < limit and ids[end - 1][0]:
            end += 1
        if end - start < MAX_PAGE_IDS and ids[end - 1][0]:
            break
        yield ids[start:end]
        start = end
    if final and start < count:
        yield ids[start:]


def decode_ids(data: bytes, name: str) -> bytes:
    """Validate an id page: concatenated ids, at least one.

    Raises:
        FormatError: not an id page.
    """
    if not data or len(data) % BLOB_ID_LENGTH:
        raise FormatError("tree", name, "not a page of ids")
    return data
