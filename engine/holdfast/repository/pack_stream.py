"""Writes one kind of blob into packs: buffer, compress, seal, store.

Blobs are laid one after another into a reused buffer; each full slice goes to the thread pool
(zstd and AEAD run without the GIL) and comes back in order to be written. The caller's thread
writes them while it waits for nothing else, so no further thread and no queue is needed. When a
pack is full, a thread of its own fsyncs and links it while the next one begins.

Memory: (threads x 2 + 2) slices of plaintext and as many sealed ones, about 20 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from holdfast.backends.base import ObjectWriter
from holdfast.format.index import PackEntry
from holdfast.format.pack import (
    PACK_END_LENGTH,
    PackHeader,
    encode_end,
    seal_slice,
)
from holdfast.hashing import Bytes, TrailerHash
from holdfast.repository.layout import pack_name

TAIL_ROOM: Final = 4 << 20
"""Bytes of a buffer beyond one slice: more than any chunk and nearly any page."""
_RECENT: Final = 16
_MOST_PLAIN: Final = 2 << 30
"""Plaintext of a pack: offsets are 32-bit integers, and zeros pack 10,000 to 1."""


@dataclass(slots=True, eq=False)
class _OpenPack:
    """A pack that is being filled."""

    header: PackHeader
    writer: ObjectWriter
    trailer: TrailerHash = field(default_factory=TrailerHash)
    ids: list[bytes] = field(default_factory=list)
    lengths: array[int] = field(default_factory=lambda: array("I"))
    slice_sizes: array[int] = field(default_factory=lambda: array("I"))
    stored: int = 0
    slices: int = 0
    in_flight: int = 0
    ended: bool = False


class PackStream:
    """All packs of one kind that one session writes. Not thread-safe: one caller.

    Args:
        open_writer: begins a pack of that name.
        new_header: makes the header of the next pack.
        pool: compresses and seals.
        closer: makes finished packs durable.
        uploads: packs that wait for that at once.
        pack_size: target of a pack's stored size.
        level: zstd level, None to store as is.
        on_stored: called for each pack that is durable, at once, by the thread that stored it.
        on_pack: called after that by the caller's thread.
    """

    def __init__(
        self,
        open_writer: Callable[[str], ObjectWriter],
        new_header: Callable[[], PackHeader],
        *,
        pool: ThreadPoolExecutor,
        closer: ThreadPoolExecutor,
        uploads: int,
        threads: int,
        pack_size: int,
        level: int | None,
        on_stored: Callable[[PackEntry], None],
        on_pack: Callable[[PackEntry], None],
    ) -> None:
        self._open_writer = open_writer
        self._new_header = new_header
        self._pool = pool
        self._closer = closer
        self._uploads = uploads
        self._pack_size = pack_size
        self._level = level
        self._on_stored = on_stored
        self._on_pack = on_pack
        self._most_in_flight = threads * 2 + 2
        self._in_flight: deque[tuple[Future[bytes], _OpenPack, bytearray]] = deque()
        self._closing: deque[tuple[Future[PackEntry], ObjectWriter]] = deque()
        self._open: list[_OpenPack] = []
        """Packs whose writer has been neither handed to `closer` nor aborted."""
        self._recent: deque[int] = deque((0,), maxlen=_RECENT)
        self._buffers: list[bytearray] = []
        self._pack: _OpenPack | None = None
        self._slice_size = 0
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._used = 0
        self._shipped = 0
        self._plain_ends = array("Q")
        """Where each slice ends in all that was appended; with the next 12 bytes a slice."""
        self._sealed_sizes = array("I")

    @property
    def position(self) -> int:
        """Plaintext bytes appended so far, in all packs."""
        return self._shipped + self._used

    def stored_between(self, start: int, end: int) -> int:
        """Return what the plaintext from position `start` to `end` became, after `flush`.

        A slice that goes beyond counts by the share of it that does not.
        """
        stored = 0.0
        ends = self._plain_ends
        at = bisect_right(ends, start)
        while at < len(self._sealed_sizes):
            begins = ends[at - 1] if at else 0
            if begins >= end:
                break
            part = min(end, ends[at]) - max(start, begins)
            stored += self._sealed_sizes[at] * part / (ends[at] - begins)
            at += 1
        return round(stored)

    def room(self, length: int) -> memoryview:
        """Return the next `length` writable bytes of the stream, at most `TAIL_ROOM`.

        What is written there counts only once `take` is called; valid until the next call.
        """
        if self._pack is None:
            self._begin()
        used = self._used
        return self._view[used : used + length]

    def take(self, blob_id: bytes, length: int) -> None:
        """Make the first `length` bytes of `room` a blob."""
        pack = self._pack
        assert pack is not None, "room() comes first"
        pack.ids.append(blob_id)
        pack.lengths.append(length)
        self._used += length
        if self._used >= self._slice_size:
            self._ship_full_slices()

    def add(self, blob_id: bytes, data: Bytes) -> None:
        """Append a copy of a blob."""
        length = len(data)
        if length > TAIL_ROOM:
            self._add_long(blob_id, memoryview(data))
            return
        # room() and take(), inlined: a dump comes here once for every 3 KiB.
        pack = self._pack or self._begin()
        used = self._used
        end = used + length
        self._view[used:end] = data
        pack.ids.append(blob_id)
        pack.lengths.append(length)
        self._used = end
        if end >= self._slice_size:
            self._ship_full_slices()

    def flush(self) -> None:
        """Close the open pack and wait until every pack is durable."""
        pack = self._pack
        if pack is not None and pack.ids:
            self._end_pack()
        elif pack is not None:
            pack.writer.abort()
            self._open.remove(pack)
            self._pack = None
        while self._in_flight:
            self._store_oldest()
        while self._closing:
            self._end_oldest()

    def abandon(self) -> None:
        """Drop the open pack; packs that are durable already, or are being made so, stay."""
        for future, _, _ in self._in_flight:
            future.cancel()
        for pack in self._open:
            pack.writer.abort()
        self._open.clear()
        self._in_flight.clear()
        self._pack = None
        while self._closing:
            stored, writer = self._closing.popleft()
            if stored.cancel():  # it was still waiting for a thread
                writer.abort()
            elif stored.exception() is None:
                self._on_pack(stored.result())

    def _add_long(self, blob_id: bytes, data: memoryview) -> None:
        """Append a blob longer than a buffer: a page whose nodes have megabytes of blob ids."""
        if self._pack is None:
            self._begin()
        pack, size, length = self._pack, self._slice_size, len(data)
        assert pack is not None
        while self._used + len(data) > len(self._buffer):
            step = size - self._used
            self._view[self._used : size] = data[:step]
            self._used = size
            self._ship(size, last=False)
            data = data[step:]
        self.room(len(data))[:] = data
        self._used -= length - len(data)
        self.take(blob_id, length)

    def _begin(self) -> _OpenPack:
        header = self._new_header()
        writer = self._open_writer(pack_name(header.pack_id))
        pack = self._pack = _OpenPack(header, writer)
        self._open.append(pack)
        self._slice_size = header.slice_size
        self._write(pack, header.raw)
        if not len(self._buffer):
            self._next_buffer()
        return pack

    def _next_buffer(self) -> None:
        self._buffer = (
            self._buffers.pop() if self._buffers else bytearray(self._slice_size + TAIL_ROOM)
        )
        self._view = memoryview(self._buffer)

    def _ship_full_slices(self) -> None:
        size = self._slice_size
        while self._used >= size:
            full = self._is_nearly_full()
            rest = self._used - size
            self._ship(size, last=full and rest == 0)
            if full and rest == 0:
                return
            if full and rest < size:
                # A blob crosses the border, and no blob may cross into another pack.
                self._end_pack()
                return

    def _ship(self, length: int, *, last: bool) -> None:
        pack, buffer, used = self._pack, self._buffer, self._used
        assert pack is not None
        pack.ended = last
        pack.in_flight += 1
        old = self._view
        job = self._pool.submit(
            seal_slice, pack.header, pack.slices, old[:length], last=last, level=self._level
        )
        pack.slices += 1
        self._shipped += length
        self._plain_ends.append(self._shipped)
        self._in_flight.append((job, pack, buffer))
        while len(self._in_flight) >= self._most_in_flight or (
            self._in_flight and self._in_flight[0][0].done()
        ):
            self._store_oldest()
        self._next_buffer()
        rest = used - length
        if rest > 0:
            self._view[:rest] = old[length:used]
        self._used = rest
        if last:
            self._pack = None

    def _end_pack(self) -> None:
        """Ship what is in the buffer as the pack's last slice."""
        while self._used > self._slice_size:
            self._ship(self._slice_size, last=False)
        self._ship(self._used, last=True)

    def _is_nearly_full(self) -> bool:
        """Tell whether the slice in hand should be the last but a rest of this pack."""
        pack = self._pack
        assert pack is not None
        if pack.slices * self._slice_size >= _MOST_PLAIN:
            return True
        typical = max(self._recent)
        reserve = typical + PACK_END_LENGTH + 1024 + 4 * (len(pack.lengths) + pack.slices)
        while True:
            if pack.stored + (pack.in_flight + 1) * typical + reserve < self._pack_size:
                return False
            if not pack.in_flight:
                return True
            self._store_oldest()
            typical = max(self._recent)

    def _store_oldest(self) -> None:
        job, pack, buffer = self._in_flight.popleft()
        sealed = job.result()
        self._buffers.append(buffer)
        self._write(pack, sealed)
        pack.slice_sizes.append(len(sealed))
        self._sealed_sizes.append(len(sealed))
        self._recent.append(len(sealed))
        pack.in_flight -= 1
        if pack.ended and not pack.in_flight:
            self._close(pack)

    def _write(self, pack: _OpenPack, data: bytes) -> None:
        pack.writer.write(data)
        pack.trailer.update(data)
        pack.stored += len(data)

    def _close(self, pack: _OpenPack) -> None:
        while len(self._closing) >= self._uploads or (self._closing and self._closing[0][0].done()):
            self._end_oldest()
        end = encode_end(pack.header, pack.stored, pack.slice_sizes, pack.lengths, self._pack_size)
        self._write(pack, end)
        pack.writer.write(pack.trailer.digest())
        entry = PackEntry(
            pack.header.raw, pack.stored + 32, pack.slice_sizes, pack.lengths, b"".join(pack.ids)
        )
        self._closing.append((self._closer.submit(self._commit, pack.writer, entry), pack.writer))
        self._open.remove(pack)

    def _commit(self, writer: ObjectWriter, entry: PackEntry) -> PackEntry:
        try:
            writer.commit()
        except BaseException:
            writer.abort()
            raise
        self._on_stored(entry)
        return entry

    def _end_oldest(self) -> None:
        self._on_pack(self._closing.popleft()[0].result())
