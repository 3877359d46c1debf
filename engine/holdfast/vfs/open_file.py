"""A file of a snapshot, read at any offset."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from holdfast.errors import BackendError, FormatError, IntegrityError
from holdfast.format.node import Node
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.vfs.content_map import ContentMap, LengthSource

_FIRST_AHEAD: Final = 1 << 20
_NEAR: Final = 1 << 20
"""A kernel that reads ahead itself asks from several threads, so a little out of order."""
_MOST_STREAMS: Final = 8
_SMALL: Final = 128 << 10
"""A file up to here is read by one request of a kernel, so its blob need not be kept."""


class ContentReader(LengthSource, Protocol):
    """What an open file needs of `SharedReader`."""

    most_ahead: int
    """Bytes that a sequential reader is ahead of at the most."""

    def read(self, blob_id: BlobId) -> bytes:
        """Return one data blob, verified, or raise IntegrityError or BackendError."""

    def read_once(self, blob_id: BlobId) -> bytes:
        """The same for a blob that is not wanted again soon."""

    def read_ahead(self, ids: list[BlobId]) -> None:
        """Begin to read data blobs."""


@dataclass(slots=True)
class _Stream:
    """One sequential reader of a file."""

    next: int
    """Where it goes on."""
    window: int
    """Bytes to be ahead of it."""
    ahead: int
    """To where blobs were asked for."""


class OpenFile:
    """Reads one file. Safe for many threads; nothing has to be closed.

    Sequential readers, of which there may be several, have the blobs ahead decoded by threads:
    from 1 MiB, doubled as long as they go on.

    Args:
        node: a file.
        reader: of its blobs.
    """

    def __init__(self, node: Node, reader: ContentReader) -> None:
        self.size = node.size
        self._node = node
        self._reader = reader
        holes = node.extra.holes if node.extra is not None else ()
        self.is_one_blob = len(node.content) == BLOB_ID_LENGTH and not (node.depth or holes)
        self._lock = threading.Lock()
        self._streams = [_Stream(0, 0, 0)]
        """The one that was used last is last."""

    @cached_property
    def _map(self) -> ContentMap:
        return ContentMap(self._node, self._reader)

    def read(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset` on; holes are zeros; b"" at the end.

        Raises:
            IntegrityError: a blob is damaged or missing, or the recorded content impossible.
            BackendError: the storage failed.
        """
        stop = min(offset + length, self.size)
        if offset < 0 or offset >= stop:
            return b""
        if self.is_one_blob:
            return self._read_one_blob()[offset:stop]
        self._look_ahead(offset, stop)
        pieces: list[bytes | memoryview] = []
        position = offset
        for start, span_length, blob_id in self._map.between(offset, stop):
            if start > position:
                pieces.append(bytes(start - position))
            end = min(start + span_length, stop)
            data = self._reader.read(blob_id)
            first = max(0, position - start)
            whole = first == 0 and end == start + span_length
            pieces.append(data if whole else memoryview(data)[first : end - start])
            position = end
        if position < stop:
            pieces.append(bytes(stop - position))
        return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], bytes) else b"".join(pieces)

    def _read_one_blob(self) -> bytes:
        """Read what most files are, by half of the steps."""
        blob_id = BlobId(self._node.content)
        small = self.size <= _SMALL
        data = self._reader.read_once(blob_id) if small else self._reader.read(blob_id)
        if len(data) != self.size:
            name = self._node.name.decode("utf-8", "backslashreplace")
            raise FormatError("file", name, "content does not add up to the recorded size")
        return data

    def _look_ahead(self, offset: int, stop: int) -> None:
        """Have the next blobs decoded if this read goes on where earlier ones ended."""
        with self._lock:
            stream = self._stream_at(offset)
            if stream is None:
                self._streams.append(_Stream(stop, 0, stop))
                del self._streams[:-_MOST_STREAMS]
                return
            stream.next = max(stream.next, stop)
            if stream.ahead >= self.size or stream.ahead - stream.next > stream.window // 2:
                return
            stream.window = min(max(2 * stream.window, _FIRST_AHEAD), self._reader.most_ahead)
            begin = max(stream.ahead, offset)
            end = stream.ahead = min(stream.next + stream.window, self.size)
        if end > stop:
            try:
                ids = [blob_id for _, _, blob_id in self._map.between(begin, end)]
                self._reader.read_ahead(ids)
            except (IntegrityError, BackendError):
                pass  # whoever reads there will meet it

    def _stream_at(self, offset: int) -> _Stream | None:
        """Return the reader that goes on about here, and make it the last one."""
        for at in range(len(self._streams) - 1, -1, -1):
            stream = self._streams[at]
            if stream.next - _NEAR <= offset <= stream.next + _NEAR:
                self._streams.append(self._streams.pop(at))
                return stream
        return None
