"""Bulk reads for restore, check and prune: blobs in storage order, decoded ahead of the caller.

Neighbouring blobs of a pack are a run, read by one request and decoded by one job. On a disk the
job reads its run itself. Where a request waits for a network, more threads than there are cores
read the next runs meanwhile, so that latency costs once and not for each run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

from holdfast.errors import IntegrityError
from holdfast.format.pack import BlobKind
from holdfast.hashing import KeyedHash
from holdfast.ids import BlobId
from holdfast.repository.decoding import Decoded, Place, decode_blobs, slices_of
from holdfast.repository.pack_reader import OpenPack, PackReader
from holdfast.threads import working_threads

RUN_LENGTH: Final = 8 << 20
"""Plaintext bytes of a run, about."""
_AHEAD: Final = 32 << 20
"""Sealed bytes that are read ahead: a third of a second of a gigabit line."""

BlobPlace: TypeAlias = tuple[int, int, int, BlobId]
"""(number of the pack, offset, length, id)."""
_Failed: TypeAlias = tuple[BlobId, IntegrityError]


@dataclass(slots=True)
class _Run:
    """Neighbouring blobs of one pack, decoded by one job."""

    pack: OpenPack
    blobs: list[Place]
    """(offset, length, id), ascending."""
    before: Future[bytes] | None = None
    """On its way to the run before, and ends with this one's first slice."""
    shared: int = 0
    """Length of that slice."""
    sealed: Future[bytes] | None = None
    """The other slices, on their way. If this is None too, they are read when they are needed."""


class BulkReader:
    """Reads and decodes many blobs; `close` ends its threads. For one thread.

    Args:
        packs: opens packs and reads their slices.
        threads: that decode; as many as there are cores if 0.
        connections: requests at once where they are slow; 0 where a decoding thread reads itself.
        slice_size: plaintext bytes of a slice of data.
    """

    def __init__(
        self, packs: PackReader, *, threads: int, connections: int, slice_size: int
    ) -> None:
        self._packs = packs
        self._threads = threads or working_threads()
        self._connections = connections
        self._buffer_size = RUN_LENGTH + 3 * slice_size
        self._decoders: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the threads."""
        for pool in (self._readers, self._decoders):
            if pool is not None:
                pool.shutdown(cancel_futures=True)
        self._readers = self._decoders = None

    def fetch(
        self, places: list[BlobPlace], kind: BlobKind, hash_blob: KeyedHash
    ) -> Iterator[Decoded]:
        """Yield the blobs at these places in storage order, verified, or why each cannot be read.

        A view is valid until the next step. Memory: (threads + 1) runs, and `_AHEAD` if there are
        connections.
        """
        places.sort()
        pool = self._decoders = self._decoders or ThreadPoolExecutor(
            self._threads, "holdfast-decode"
        )
        pending: deque[tuple[Future[list[Decoded]], bytearray]] = deque()
        buffers: list[bytearray] = []

        def oldest() -> Iterator[Decoded]:
            future, buffer = pending.popleft()
            yield from future.result()
            buffers.append(buffer)

        try:
            for run in self._read_ahead(self._runs(places, kind)):
                if isinstance(run, tuple):
                    yield run
                    continue
                if len(pending) > self._threads:
                    yield from oldest()
                buffer = buffers.pop() if buffers else bytearray(self._buffer_size)
                pending.append((pool.submit(self._decode, run, hash_blob, buffer), buffer))
            while pending:
                yield from oldest()
        finally:
            for future, _ in pending:
                future.cancel()

    def _runs(self, places: Iterable[BlobPlace], kind: BlobKind) -> Iterator[_Run | _Failed]:
        """Group sorted places to runs; blobs of packs that cannot be opened come with the error."""
        run: _Run | None = None
        current, limit = -1, 0
        for number, offset, length, blob_id in places:
            if number != current or offset >= limit:
                if run is not None:
                    yield run
                run = None
                try:
                    pack = self._packs.open(number)
                    pack.require_kind(kind, blob_id)
                except IntegrityError as error:
                    yield blob_id, error
                    current = -1
                    continue
                run, current = _Run(pack, []), number
                size = pack.header.slice_size
                # Runs begin at slice borders, so that few slices are decoded twice.
                limit = (offset // size) * size + max(RUN_LENGTH, size)
            assert run is not None
            run.blobs.append((offset, length, blob_id))
        if run is not None:
            yield run

    def _read_ahead(self, runs: Iterable[_Run | _Failed]) -> Iterator[_Run | _Failed]:
        """Begin to read runs before they are decoded, where requests are slow.

        `_AHEAD` bytes at the most, however many runs that are: where data compresses well the
        processor is busy and the line is not, and the other way round. A slice that two
        runs need is read once: one in eight, of which each byte may cost money.
        """
        if not self._connections:
            yield from runs
            return
        pool = self._readers = self._readers or ThreadPoolExecutor(
            self._connections, "holdfast-read"
        )
        window: deque[tuple[_Run | _Failed, int]] = deque()
        total = 0
        last: tuple[OpenPack, int, Future[bytes]] | None = None
        """Of the run before: its pack, the number of its last slice, its bytes."""
        try:
            for run in runs:
                size = 0
                if isinstance(run, _Run):
                    first, end = slices_of(run.blobs, run.pack.header.slice_size)
                    if last is not None and last[0] is run.pack and last[1] == first:
                        run.before, run.shared = last[2], run.pack.sealed_size(first, first + 1)
                        first += 1
                    if first < end:
                        size = run.pack.sealed_size(first, end)
                        run.sealed = pool.submit(self._packs.read_sealed, run.pack, first, end)
                        last = (run.pack, end - 1, run.sealed)
                window.append((run, size))
                total += size
                while total > _AHEAD:
                    ready, size = window.popleft()
                    total -= size
                    yield ready
            while window:
                yield window.popleft()[0]
        finally:
            for waiting, _ in window:
                if isinstance(waiting, _Run) and waiting.sealed is not None:
                    waiting.sealed.cancel()

    def _decode(self, run: _Run, hash_blob: KeyedHash, buffer: bytearray) -> list[Decoded]:
        """Decode and verify one run; runs in the pool and touches no shared state."""
        pack, blobs = run.pack, run.blobs
        try:
            data = b"" if run.before is None else run.before.result()[-run.shared :]
            if run.sealed is not None:
                data += run.sealed.result()
            elif run.before is None:
                data = self._packs.read_sealed(pack, *slices_of(blobs, pack.header.slice_size))
        except IntegrityError as error:
            return [(blob_id, error) for _, _, blob_id in blobs]
        return decode_blobs(pack.header, pack.starts, data, blobs, hash_blob, buffer)
