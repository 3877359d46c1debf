"""The two formats of archives, behind one protocol."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.hashing import Bytes
from holdfast.operations.archive_tar import END, TarEncoder, content_length, padding, whole_blocks
from holdfast.operations.archive_zip import LONGEST_NAME, ZipEncoder

_ZEROS: Final = bytes(1 << 20)
_NOUNS: Final = {
    NodeType.FIFO.value: "fifo",
    NodeType.SOCKET.value: "socket",
    NodeType.CHARACTER_DEVICE.value: "device",
    NodeType.BLOCK_DEVICE.value: "device",
}


class ArchiveKind(StrEnum):
    """Formats of archives."""

    TAR = "tar"
    """POSIX pax: everything that a snapshot has, but for sockets."""
    ZIP = "zip"
    """Files, directories and symbolic links with modes, owners and times in seconds. Hard links
    become files of their own; no extended attributes."""


class ArchiveFormat(Protocol):
    """Encodes entries; their bytes come out of `take`. Names have no "/" in front."""

    has_links: bool
    """Whether a further name of a file can be said to be one."""

    @property
    def ready(self) -> int:
        """How many bytes `take` would return."""

    def refusal(self, name: bytes, node: Node) -> str | None:
        """Return why an entry cannot be in such an archive, as a clause."""

    def add(self, name: bytes, node: Node, content: Bytes = b"") -> None:
        """Add an entry; a file with its whole content, and without holes."""

    def link(self, name: bytes, node: Node, link_to: bytes) -> None:
        """Add a further name of the file that is called `link_to` in the archive."""

    def begin(self, name: bytes, node: Node) -> None:
        """Begin a file whose content follows with `write` and `hole`.

        Raises:
            FormatError: its map of holes is impossible; nothing was begun.
        """

    def write(self, data: Bytes) -> None:
        """Append to the file that was begun."""

    def hole(self, length: int) -> None:
        """Pass over a hole of the file that was begun."""

    def end(self, *, damaged: bool) -> None:
        """End the file that was begun; what lacks of it becomes zeros."""

    def finish(self) -> None:
        """End the archive."""

    def take(self) -> bytes:
        """Return the bytes that are ready."""

    def close(self) -> None:
        """End what works in the background."""


def new_format(kind: ArchiveKind, snapshot: Snapshot) -> ArchiveFormat:
    """Return the encoder of one archive; to be closed."""
    if kind is ArchiveKind.TAR:
        return TarFormat(TarEncoder(snapshot.user_names, snapshot.group_names))
    return ZipFormat()


class TarFormat:
    """Tar archives."""

    has_links = True

    def __init__(self, encoder: TarEncoder) -> None:
        self.ready = 0
        self._encoder = encoder
        self._pieces: list[Bytes] = []
        self._length = self._left = 0
        """Of the file that was begun: content, without holes, and how much of it is to come."""
        self._position = self._size = 0

    def refusal(self, name: bytes, node: Node) -> str | None:  # noqa: ARG002
        """Refuse sockets; see `ArchiveFormat`."""
        return "a tar archive cannot hold a socket" if node.type == NodeType.SOCKET else None

    def add(self, name: bytes, node: Node, content: Bytes = b"") -> None:
        """Add an entry; see `ArchiveFormat`."""
        self._put(self._encoder.header(name, node))
        if content:
            self._put(content)
            self._put(padding(len(content)))

    def link(self, name: bytes, node: Node, link_to: bytes) -> None:
        """Add a hard link; see `ArchiveFormat`."""
        self._put(self._encoder.header(name, node, link_to=link_to))

    def begin(self, name: bytes, node: Node) -> None:
        """Write the header; see `ArchiveFormat`."""
        self._length = self._left = content_length(node)
        self._position, self._size = 0, node.size
        self._put(self._encoder.header(name, node))

    def write(self, data: Bytes) -> None:
        """Append; see `ArchiveFormat`."""
        self._left -= len(data)
        self._position += len(data)
        self._put(data)

    def hole(self, length: int) -> None:
        """Pass over what the header's map has as a hole; see `ArchiveFormat`."""
        if not length:
            return
        end = self._position + length
        hole_start, hole_end = whole_blocks(self._position, end, self._size)
        _write_zeros(self, hole_start - self._position)
        self._position = hole_end
        _write_zeros(self, end - hole_end)

    def end(self, *, damaged: bool) -> None:  # noqa: ARG002
        """Fill up; see `ArchiveFormat`."""
        _write_zeros(self, self._left)
        self._put(padding(self._length))

    def finish(self) -> None:
        """Write two empty blocks."""
        self._put(END)

    def take(self) -> bytes:
        """Return what is ready."""
        joined = b"".join(self._pieces)
        self._pieces, self.ready = [], 0
        return joined

    def close(self) -> None:
        """Do nothing."""

    def _put(self, data: Bytes) -> None:
        self._pieces.append(data)
        self.ready += len(data)


class ZipFormat:
    """Zip archives."""

    has_links = False

    def __init__(self) -> None:
        self._encoder = ZipEncoder()
        self._left = 0
        self.finish = self._encoder.finish
        self.add = self._encoder.add
        self.close = self._encoder.close

    @property
    def ready(self) -> int:
        """How many bytes `take` would return."""
        return self._encoder.ready

    def refusal(self, name: bytes, node: Node) -> str | None:
        """Refuse what is neither file nor directory nor symbolic link; see `ArchiveFormat`."""
        if node.type in _NOUNS:
            return f"a zip archive cannot hold a {_NOUNS[node.type]}"
        return "its path is too long for a zip archive" if len(name) > LONGEST_NAME else None

    def link(self, name: bytes, node: Node, link_to: bytes) -> None:
        """Zip archives have no links."""
        raise NotImplementedError

    def begin(self, name: bytes, node: Node) -> None:
        """Write the header; see `ArchiveFormat`."""
        content_length(node)  # is the map of holes possible?
        self._left = node.size
        self._encoder.begin(name, node)

    def write(self, data: Bytes) -> None:
        """Append; see `ArchiveFormat`."""
        self._left -= len(data)
        self._encoder.write(data)

    def hole(self, length: int) -> None:
        """Append zeros."""
        _write_zeros(self, length)

    def end(self, *, damaged: bool) -> None:
        """Fill up; a damaged file gets a wrong checksum."""
        _write_zeros(self, self._left)
        self._encoder.end(damaged=damaged)

    def take(self) -> bytes:
        """Return what is ready."""
        return self._encoder.take()


def _write_zeros(form: TarFormat | ZipFormat, length: int) -> None:
    while length > 0:
        form.write(_ZEROS[:length])
        length -= len(_ZEROS)
