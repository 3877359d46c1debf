"""Encoding zip archives that stream: ZIP64, Unix modes, owners and times, symbolic links.

Files that are read whole come with their sizes in front; of longer ones they follow the content in
a data descriptor. Content is cut into blocks that threads deflate, each with the end of the one
before as its dictionary, so that the blocks together are one stream of deflate. The list of
entries at the end is kept compressed until then.

Python's zipfile takes no names that are not UTF-8 and deflates with one thread.

Source: PKWARE APPNOTE 6.3.10; extra fields "UT" and "ux" as Info-ZIP describes them; the idea of
blocks with dictionaries is that of pigz (M. Adler).
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.hashing import Bytes
from holdfast.threads import working_threads

LONGEST_NAME: Final = 0xFFFF - 1
_LEVEL: Final = 4
"""Two thirds of the time of level 6, and 3 % more bytes of source code."""
_BLOCK: Final = 1 << 20
_BATCH_ENTRIES: Final = 256
_DICTIONARY: Final = 32 << 10
_SAMPLE: Final = 64 << 10
_THREADS: Final = working_threads()
_AHEAD: Final = _THREADS + 2
_LONG: Final = 4_000_000_000
"""From here on sizes get 64 bits; what cannot be deflated grows by less than a thousandth."""
_MAX_32: Final = 0xFFFFFFFF
_MAX_16: Final = 0xFFFF
_STORED: Final = 0
_DEFLATED: Final = 8
_LATER: Final = 1 << 3
"""Sizes and checksum follow the content."""
_UTF8: Final = 1 << 11
_UNIX: Final = 3 << 8
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64: Final = struct.Struct("<4sIQI")
_DIRECTORY_BIT: Final = 0x10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOS_YEARS: Final = (1980, 2107)


@dataclass(slots=True)
class _Entry:
    """What the list of entries tells of one."""

    name: bytes
    node: Node
    method: int = _STORED
    flags: int = 0
    checksum: int = 0
    packed: int = 0
    size: int = 0
    offset: int = 0


class ZipEncoder:
    """Encodes one archive; a context manager, for one thread.

    Bytes come out of `take` in order, some time after they were put in.

    Memory: one MiB for each thread and two more, and as much deflated; 40 bytes an entry.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "holdfast-deflate")
        self._waiting: deque[tuple[Future[Any] | None, Callable[[Any], None]]] = deque()
        self._jobs = 0
        self.ready = 0
        """How many bytes `take` would return."""
        self._pieces: list[Bytes] = []
        self._offset = 0
        self._batch: list[tuple[_Entry, Bytes]] = []
        self._batch_bytes = 0
        self._list = _PackedList()
        self._long: _LongFile | None = None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def add(self, name: bytes, node: Node, content: Bytes = b"") -> None:
        """Add an entry whose content is at hand.

        Args:
            name: without "/" in front or at the end; at most `LONGEST_NAME` bytes.
            node: a file, directory or symbolic link.
            content: of a file; must stay as it is.
        """
        if node.type == NodeType.SYMLINK:
            content = (node.extra or NO_EXTRA).target
        elif node.type == NodeType.DIRECTORY:
            name += b"/"
        self._batch.append((_Entry(name, node, flags=_name_flag(name)), content))
        self._batch_bytes += len(content)
        if self._batch_bytes >= _BLOCK or len(self._batch) >= _BATCH_ENTRIES:
            self._submit_batch()

    def begin(self, name: bytes, node: Node) -> None:
        """Begin a file whose content follows piece by piece."""
        self._submit_batch()
        entry = _Entry(name, node, _DEFLATED, _name_flag(name) | _LATER)
        self._long = _LongFile(entry)
        self._wait_for(None, lambda _: self._begin_entry(entry))

    def write(self, data: Bytes) -> None:
        """Append to the file that was begun."""
        long = self._long
        assert long is not None
        for block in long.blocks(data):
            self._submit_block(long, block, last=False)

    def end(self, *, damaged: bool) -> None:
        """End the file that was begun; a damaged one gets a wrong checksum."""
        long, self._long = self._long, None
        assert long is not None
        self._submit_block(long, long.rest(), last=True)
        entry = long.entry
        entry.checksum = long.checksum ^ (_MAX_32 if damaged else 0)
        entry.size = long.size
        self._wait_for(None, lambda _: self._end_entry(entry))

    def finish(self) -> None:
        """Add the list of entries; nothing can be added after it."""
        self._submit_batch()
        while self._waiting:
            self._collect()
        start = self._offset
        for piece in self._list.pieces():
            self._emit(piece)
        self._emit(_end_records(self._list.count, start, self._offset - start))

    def take(self) -> bytes:
        """Return what is ready to be written."""
        joined = b"".join(self._pieces)
        self._pieces, self.ready = [], 0
        return joined

    def _submit_batch(self) -> None:
        if self._batch:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._wait_for(self._pool.submit(_pack_batch, batch), self._emit_batch)

    def _submit_block(self, long: _LongFile, block: bytes, *, last: bool) -> None:
        job = self._pool.submit(_deflate, block, long.dictionary, long.choose_level(block), last)
        long.dictionary = block[-_DICTIONARY:]
        entry = long.entry

        def emit(packed: bytes) -> None:
            entry.packed += len(packed)
            self._emit(packed)

        self._wait_for(job, emit)

    def _wait_for(self, job: Future[Any] | None, done: Callable[[Any], None]) -> None:
        """Have `done` called with the result of a job, after all that came before it."""
        self._waiting.append((job, done))
        self._jobs += job is not None
        while self._jobs > _AHEAD:
            self._collect()

    def _collect(self) -> None:
        job, done = self._waiting.popleft()
        self._jobs -= job is not None
        done(None if job is None else job.result())

    def _emit(self, data: Bytes) -> None:
        self._pieces.append(data)
        self._offset += len(data)
        self.ready += len(data)

    def _emit_batch(self, packed: Sequence[tuple[_Entry, Bytes]]) -> None:
        for entry, content in packed:
            self._begin_entry(entry)
            self._emit(content)
            self._list.add(_central_record(entry))

    def _begin_entry(self, entry: _Entry) -> None:
        entry.offset = self._offset
        self._emit(_local_header(entry))

    def _end_entry(self, entry: _Entry) -> None:
        layout = "<4sI2Q" if entry.node.size >= _LONG else "<4s3I"
        self._emit(struct.pack(layout, b"PK\7\x08", entry.checksum, entry.packed, entry.size))
        self._list.add(_central_record(entry))


class _LongFile:
    """A file whose content comes in pieces."""

    def __init__(self, entry: _Entry) -> None:
        self.entry = entry
        self.checksum = 0
        self.size = 0
        self.dictionary = b""
        self._level: int | None = None
        self._pieces: list[Bytes] = []
        self._length = 0

    def blocks(self, data: Bytes) -> Iterator[bytes]:
        """Take a piece; yield a block if there is one."""
        self.checksum = zlib.crc32(data, self.checksum)
        self.size += len(data)
        self._pieces.append(data)
        self._length += len(data)
        if self._length >= _BLOCK:
            yield self.rest()

    def rest(self) -> bytes:
        """Return what is in no block yet."""
        block = b"".join(self._pieces)
        self._pieces, self._length = [], 0
        return block

    def choose_level(self, block: bytes) -> int:
        """Return the level of all blocks of the file, decided by its first one."""
        if self._level is None:
            self._level = 0 if _is_dense(block) else _LEVEL
        return self._level


class _PackedList:
    """The list of entries, compressed until it is written."""

    def __init__(self) -> None:
        self.count = 0
        self._packer = zlib.compressobj(1)
        self._pieces: list[bytes] = []

    def add(self, record: bytes) -> None:
        """Append a record."""
        self.count += 1
        piece = self._packer.compress(record)
        if piece:
            self._pieces.append(piece)

    def pieces(self) -> Iterator[bytes]:
        """Yield all records, joined."""
        self._pieces.append(self._packer.flush())
        unpacker = zlib.decompressobj()
        for piece in self._pieces:
            yield unpacker.decompress(piece)


def _pack_batch(batch: list[tuple[_Entry, Bytes]]) -> list[tuple[_Entry, Bytes]]:
    """Deflate the contents that become smaller; runs in the pool."""
    packed = []
    for entry, content in batch:
        entry.checksum, entry.size = zlib.crc32(content), len(content)
        if entry.node.type == NodeType.FILE and content and not _is_dense(content):
            deflated = _deflate(content, b"", _LEVEL, True)
            if len(deflated) < len(content):
                content, entry.method = deflated, _DEFLATED
        entry.packed = len(content)
        packed.append((entry, content))
    return packed


def _is_dense(content: Bytes) -> bool:
    """Tell whether content is large and its beginning cannot be compressed, as that of photos."""
    if len(content) < _SAMPLE:
        return False
    sample = memoryview(content)[:_SAMPLE]
    return len(zlib.compress(sample, 1)) > _SAMPLE * 0.97


def _deflate(data: Bytes, dictionary: bytes, level: int, last: bool) -> bytes:
    """Deflate one block of a stream; the last one ends it."""
    if dictionary and level:
        packer = zlib.compressobj(
            level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, dictionary
        )
    else:
        packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    packed = packer.compress(data)
    return packed + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _name_flag(name: bytes) -> int:
    """Say UTF-8 only of names that are; others are bytes, as Unix programs take them."""
    if name.isascii():
        return 0
    try:
        name.decode()
    except UnicodeDecodeError:
        return 0
    return _UTF8


def _local_header(entry: _Entry) -> bytes:
    name, node = entry.name, entry.node
    extra = _extra_fields(node)
    checksum, packed, size = entry.checksum, entry.packed, entry.size
    version = 20
    if entry.flags & _LATER:
        checksum = packed = size = 0
        if node.size >= _LONG:
            version, packed, size = 45, _MAX_32, _MAX_32
            extra = struct.pack("<2H2Q", 1, 16, 0, 0) + extra
    return (
        _LOCAL.pack(
            b"PK\3\4", version, entry.flags, entry.method, *_dos_time(node.mtime_ns),
            checksum, packed, size, len(name), len(extra),
        )
        + name
        + extra
    )  # fmt: skip


def _central_record(entry: _Entry) -> bytes:
    name, node = entry.name, entry.node
    extra = _extra_fields(node)
    packed, size, offset = entry.packed, entry.size, entry.offset
    version = 20
    if (entry.flags & _LATER and node.size >= _LONG) or offset >= _MAX_32:
        version = 45
        extra = struct.pack("<2H3Q", 1, 24, size, packed, offset) + extra
        packed = size = offset = _MAX_32
    attributes = node.full_mode << 16
    if node.type == NodeType.DIRECTORY:
        attributes |= _DIRECTORY_BIT
    return (
        _CENTRAL.pack(
            b"PK\1\2", _UNIX | version, version, entry.flags, entry.method,
            *_dos_time(node.mtime_ns), entry.checksum, packed, size, len(name), len(extra),
            0, 0, 0, attributes, offset,
        )
        + name
        + extra
    )  # fmt: skip


def _end_records(count: int, start: int, length: int) -> bytes:
    """Encode what tells where the list of entries is."""
    records = b""
    if count >= _MAX_16 or start >= _MAX_32 or length >= _MAX_32:
        records = _END_64.pack(b"PK\6\6", 44, _UNIX | 45, 45, 0, 0, count, count, length, start)
        records += _LOCATOR_64.pack(b"PK\6\7", 0, start + length, 1)
    few = min(count, _MAX_16)
    return records + _END.pack(
        b"PK\5\6", 0, 0, few, few, min(length, _MAX_32), min(start, _MAX_32), 0
    )


def _extra_fields(node: Node) -> bytes:
    """Encode time and owner as Unix has them, where they fit."""
    fields = b""
    seconds = node.mtime_ns // 10**9
    if -(2**31) <= seconds < 2**31:
        fields = struct.pack("<2HBi", 0x5455, 5, 1, seconds)
    if 0 <= node.uid <= _MAX_32 and 0 <= node.gid <= _MAX_32:
        fields += struct.pack("<2H2BIBI", 0x7875, 11, 1, 4, node.uid, 4, node.gid)
    return fields


def _dos_time(time_ns: int) -> tuple[int, int]:
    """Return time and date in UTC as old programs read them, in two-second steps."""
    try:
        moment = _EPOCH + timedelta(seconds=time_ns // 10**9)
    except OverflowError:
        moment = _EPOCH
    if moment.year < _DOS_YEARS[0]:
        return 0, 1 << 5 | 1
    if moment.year > _DOS_YEARS[1]:
        return 23 << 11 | 59 << 5 | 29, (_DOS_YEARS[1] - 1980) << 9 | 12 << 5 | 31
    return (
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
        (moment.year - 1980) << 9 | moment.month << 5 | moment.day,
    )
