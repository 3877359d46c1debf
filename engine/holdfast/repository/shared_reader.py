"""Reading for whoever looks here and there, from many threads: mounts, servers, browsers.

Restore and check plan their reads and use `BlobReader.fetch`. Here nobody knows what is wanted
next, so what was decoded is kept, within a bound, and what lies ahead of a sequential reader is
decoded by threads before it is asked for. The repository and its index are for one thread: a
lock guards them, held for microseconds (look-ups) or where something is wrong (other places of a
damaged blob, a prune that has moved it); storage, zstd, AEAD and hashes work outside of it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from holdfast.closing import Closing
from holdfast.errors import BackendError, HashMismatchError, IntegrityError
from holdfast.format.node import Node, decode_ids, decode_page
from holdfast.format.pack import BlobKind, open_slice
from holdfast.hashing import Bytes
from holdfast.ids import BlobId
from holdfast.repository.decoding import Place
from holdfast.repository.pack_reader import OpenPack
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.shared_cache import SharedCache

DEFAULT_MEMORY: Final = 128 << 20
"""Bytes of decoded data that are kept: 3/8 of it blobs, 2/8 slices, 3/8 pages."""
_LOCAL_RUN: Final = 2 << 20
_REMOTE_RUN: Final = 8 << 20
"""Plaintext bytes that one thread decodes ahead; a request where each waits for a network."""
_LOCAL_AHEAD: Final = 4 << 20
_REMOTE_AHEAD: Final = 6 << 20
"""200 MB/s at 30 ms. Of eight readers at once nothing goes before it is read."""
_NOTHING: Final[Mapping[int, bytes]] = {}
_PAGE_FACTOR: Final = 4
"""A decoded page takes some four times the bytes of its encoding."""


class SharedReader(Closing):
    """Reads blobs and pages of a repository; a context manager. Safe for many threads.

    Args:
        repository: its view is loaded; nobody else uses it any more, but for `exclusively`.
        memory: bytes of decoded data that are kept, whatever is read.
        threads: that decode ahead; by default as many as there are cores, or as the storage takes
            requests at once.
    """

    def __init__(
        self, repository: Repository, *, memory: int = DEFAULT_MEMORY, threads: int = 0
    ) -> None:
        self._repository = repository
        self._reader = BlobReader(repository)
        self._lock = threading.RLock()
        self._blobs: SharedCache[BlobId, bytes] = SharedCache(memory * 3 // 8, keep_used=False)
        self._slices: SharedCache[tuple[str, int], bytes] = SharedCache(memory // 4)
        self._pages: SharedCache[BlobId, list[Node]] = SharedCache(memory * 3 // 8)
        backend = self.backend = repository.backend
        self.most_ahead = _REMOTE_AHEAD if backend.is_remote else _LOCAL_AHEAD
        """Bytes that a sequential reader is ahead of at the most."""
        self._run_length = _REMOTE_RUN if backend.is_remote else _LOCAL_RUN
        self._pool = ThreadPoolExecutor(
            threads or (min(backend.parallelism, 8) if backend.is_remote else os.cpu_count() or 2),
            "holdfast-ahead",
        )
        self._follow_count = self._run_length // repository.config.slice_size or 1
        self._closed = False

    def close(self) -> None:
        """End the threads; harmless if repeated."""
        with self._lock:
            self._closed = True
        self._pool.shutdown()

    @contextmanager
    def exclusively(self) -> Iterator[Repository]:
        """Give the repository to this thread alone; readers of what is not kept wait."""
        with self._lock:
            yield self._repository
            self._repository.index.release()

    def rest(self) -> None:
        """Give up what a reader holds of the cache, so that it can shrink while nobody reads.

        An open LMDB transaction keeps every page that other processes replace meanwhile.
        """
        with self._lock:
            self._repository.index.release()

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob; see `BlobSource`."""
        with self._lock:
            return self._reader.blob_length(blob_id)

    def blob_lengths(self, ids: Sequence[BlobId]) -> list[int]:
        """Return the plaintext lengths of blobs. Cost: 3 us each.

        Raises:
            MissingBlobError: one of them is unknown.
        """
        with self._lock:
            return [self._reader.blob_length(blob_id) for blob_id in ids]

    def read_page(self, page_id: BlobId) -> list[Node]:
        """Return one page of a directory, which the caller must not change; see `PageSource`."""

        def make() -> tuple[list[Node], int]:
            data = self._read(page_id, BlobKind.TREE)
            return decode_page(data, page_id.hex()), len(data) * _PAGE_FACTOR

        return self._pages.load(page_id, make)

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page of a long file; see `BlobSource`."""
        return decode_ids(self._read(page_id, BlobKind.TREE), page_id.hex())

    def read(self, blob_id: BlobId) -> bytes:
        """Return one data blob, verified.

        Raises:
            IntegrityError: it is damaged or missing.
            BackendError: the storage failed.
        """

        def make() -> tuple[bytes, int]:
            data = self._read(blob_id, BlobKind.DATA)
            return data, len(data)

        return self._blobs.load(blob_id, make)

    def read_once(self, blob_id: BlobId) -> bytes:
        """Return one data blob like `read`, without keeping it; the slice that it lies in is kept."""
        return self._read(blob_id, BlobKind.DATA)

    def read_ahead(self, ids: Sequence[BlobId]) -> None:
        """Begin to read data blobs that will be wanted soon; what fails is met when they are read."""
        places: list[tuple[str, int, int, BlobId]] = []
        packs: dict[str, OpenPack] = {}
        with self._lock:
            if self._closed:
                return
            for blob_id in ids:
                if blob_id in self._blobs:
                    continue
                try:
                    pack, location = self._reader.place(blob_id, BlobKind.DATA)
                except IntegrityError:
                    continue
                packs[pack.name] = pack
                places.append((pack.name, location.offset, location.length, blob_id))
        places.sort()
        run: list[Place] = []
        for at, (name, offset, length, blob_id) in enumerate(places):
            if self._blobs.claim(blob_id):
                run.append((offset, length, blob_id))
            ends = at + 1 == len(places) or places[at + 1][0] != name
            if run and (ends or places[at + 1][1] - run[0][0] >= self._run_length):
                self._submit(packs[name], run)
                run = []

    def _submit(self, pack: OpenPack, run: list[Place]) -> None:
        try:
            self._pool.submit(self._load_run, pack, run)
        except RuntimeError as error:  # closed in between
            for _, _, blob_id in run:
                self._blobs.fail(blob_id, error)

    def _load_run(self, pack: OpenPack, run: list[Place]) -> None:
        """Read the slices of a run by one request, and settle its blobs; runs in the pool."""
        first_offset, (last_offset, last_length, _) = run[0][0], run[-1]
        size = pack.header.slice_size
        first, end = first_offset // size, -(-(last_offset + last_length) // size)
        try:
            slices = self._decode_run(pack, first, end)
        except IntegrityError:
            slices = {}  # each blob is tried by itself, also in its other places
        except BaseException as error:  # noqa: BLE001 - goes to those who wait
            for _, _, blob_id in run:
                self._blobs.fail(blob_id, error)
            return
        for offset, length, blob_id in run:
            try:
                data = self._assemble(pack, offset, length, blob_id, BlobKind.DATA, slices)
            except BaseException as error:  # noqa: BLE001 - goes to those who wait for the blob
                self._blobs.fail(blob_id, error)
            else:
                self._blobs.settle(blob_id, data, length)

    def _decode_run(self, pack: OpenPack, first: int, end: int) -> dict[int, bytes]:
        """Return slices [first, end) but those that are damaged.

        The last one is kept, as the next run begins in it. The others are wanted no more: eight
        readers ahead of themselves would push out what each still needs.
        """
        slices: dict[int, bytes] = {}
        known = self._slices.get((pack.name, first))
        if known is not None:
            slices[first] = known
            first += 1
        end = min(end, len(pack.starts) - 1)
        for index, box in self._boxes(pack, first, end):
            try:
                slices[index] = _open(pack, index, box)
            except IntegrityError:
                continue
        last = (pack.name, end - 1)
        if end - 1 in slices and self._slices.claim(last):
            self._slices.settle(last, slices[end - 1], len(slices[end - 1]))
        return slices

    def _keep_slices(self, pack: OpenPack, first: int, most: int) -> None:
        """Decode and keep slices from `first` on, up to one that somebody has or makes."""
        end, stop = first, min(first + most, len(pack.starts) - 1)
        while end < stop and self._slices.claim((pack.name, end)):
            end += 1
        done = first
        try:
            for index, box in self._boxes(pack, first, end):
                data = _open(pack, index, box)
                self._slices.settle((pack.name, index), data, len(data))
                done = index + 1
        except BaseException as error:
            for index in range(done, end):
                self._slices.fail((pack.name, index), error)
            raise

    def _boxes(self, pack: OpenPack, first: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """Read the sealed slices [first, end) by one request, and yield each with its number."""
        if first >= end:
            return
        sealed = memoryview(self._reader.read_sealed(pack, first, end))
        base = pack.starts[first]
        for index in range(first, end):
            yield index, sealed[pack.starts[index] - base : pack.starts[index + 1] - base]

    def _read(self, blob_id: BlobId, kind: BlobKind) -> bytes:
        """Read one blob from its first place, or from any other where that one is not sound."""
        with self._lock:
            pack, location = self._reader.place(blob_id, kind)
        return self._assemble(pack, location.offset, location.length, blob_id, kind)

    def _assemble(
        self,
        pack: OpenPack,
        offset: int,
        length: int,
        blob_id: BlobId,
        kind: BlobKind,
        known: Mapping[int, bytes] = _NOTHING,
    ) -> bytes:
        """Cut a blob out of its slices and verify it; `known` are slices that are at hand."""
        size = pack.header.slice_size
        first, end = offset // size, offset + length
        try:
            slices = [
                known[index] if index in known else self._slice(pack, index)
                for index in range(first, max(first + 1, -(-end // size)))
            ]
            start = offset - first * size
            if len(slices) == 1:
                data = slices[0][start : start + length]
            else:
                stop = end - (first + len(slices) - 1) * size
                pieces: list[Bytes] = [memoryview(slices[0])[start:], *slices[1:-1]]
                data = b"".join([*pieces, memoryview(slices[-1])[:stop]])
            if self._reader.hash_of(kind)(data) != blob_id:
                raise HashMismatchError("blob", blob_id.hex(), f"in pack {pack.table.pack_id}")
        except IntegrityError:
            with self._lock:
                return self._reader.read(blob_id, kind)
        return data

    def _slice(self, pack: OpenPack, index: int) -> bytes:
        def make() -> tuple[bytes, int]:
            if (pack.name, index - 1) in self._slices and pack.header.kind == BlobKind.DATA:
                self._follow(pack, index + 1)
            data = _open(pack, index, self._reader.read_sealed(pack, index, index + 1))
            return data, len(data)

        return self._slices.load((pack.name, index), make)

    def _follow(self, pack: OpenPack, index: int) -> None:
        """Decode what lies behind: who copies small files reads packs from end to end."""

        def load() -> None:
            try:
                self._keep_slices(pack, index, self._follow_count)
            except (IntegrityError, BackendError):
                pass  # whoever needs the slice will meet it

        try:
            self._pool.submit(load)
        except RuntimeError:  # closed in between
            return


def _open(pack: OpenPack, index: int, box: bytes | memoryview) -> bytes:
    return open_slice(pack.header, index, box, last=index == len(pack.starts) - 2)
