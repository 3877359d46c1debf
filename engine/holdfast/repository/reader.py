"""Reading blobs: plan by pack, decode each slice once, verify every blob.

`fetch` is for bulk reads (restore, check): blobs in storage order, decoded by threads ahead of
the caller. `read` and `read_page` are for single blobs; they keep a few decoded slices.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType
from typing import Final, Protocol, Self

from holdfast.errors import HashMismatchError, IntegrityError, NotFoundError
from holdfast.format.node import Node, decode_ids, decode_page
from holdfast.format.pack import PACK_HEADER_LENGTH, BlobKind, PackHeader, open_header, open_slice
from holdfast.hashing import KeyedHash
from holdfast.ids import BlobId
from holdfast.repository.blob_index import Location
from holdfast.repository.decoding import Decoded, Place, decode_blobs, slices_of
from holdfast.repository.layout import pack_name
from holdfast.repository.pack_table import PackTable
from holdfast.repository.repository import Repository

_RUN_LENGTH: Final = 8 << 20
"""Plaintext bytes that one job of `fetch` decodes."""
_KEPT_SLICES: Final = 24
_KEPT_PACKS: Final = 512


class BlobSource(Protocol):
    """What restore, mount and the like need of a repository."""

    def read_page(self, page_id: BlobId) -> list[Node]:
        """Return one page of a directory.

        Raises:
            IntegrityError: it is damaged or missing.
        """

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page of a long file: concatenated ids.

        Raises:
            IntegrityError: it is damaged or missing.
        """

    def fetch(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        """Yield each distinct data blob once, in storage order, verified.

        A view is valid until the next step. A blob that cannot be read comes with its error;
        missing ones come first.
        """

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob.

        Raises:
            MissingBlobError: it is unknown.
        """


@dataclass(frozen=True, slots=True)
class OpenPack:
    """A pack ready for reading."""

    name: str
    header: PackHeader
    table: PackTable
    starts: list[int]
    """Where each slice begins in the object, and the end of the last one."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring blobs of one pack, decoded by one job."""

    pack: OpenPack
    blobs: list[Place]
    """(offset, length, id), ascending."""


class BlobReader:
    """Reads blobs of a repository whose index is loaded; a context manager. For one thread."""

    def __init__(self, repository: Repository, *, threads: int = 0) -> None:
        self._repository = repository
        self._index = repository.index
        self._data_hash = repository.keys.data_hash()
        self._tree_hash = repository.keys.tree_hash()
        self._threads = threads or max(2, min(os.cpu_count() or 2, 8))
        self._pool: ThreadPoolExecutor | None = None
        self._packs: OrderedDict[int, OpenPack] = OrderedDict()
        self._slices: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._generation = self._index.generation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob; see `BlobSource`."""
        return self._index.require(blob_id).length

    def packs_of(self, blob_id: BlobId) -> list[int]:
        """Return the numbers of the packs that a blob lies in."""
        return [place.pack for place in self._index.places(blob_id)]

    def read_page(self, page_id: BlobId) -> list[Node]:
        """Return one page of a directory; see `BlobSource`."""
        return decode_page(self.read(page_id, BlobKind.TREE), page_id.hex())

    def read_ids(self, page_id: BlobId) -> bytes:
        """Return an id page of a long file; see `BlobSource`."""
        return decode_ids(self.read(page_id, BlobKind.TREE), page_id.hex())

    def read(self, blob_id: BlobId, kind: BlobKind = BlobKind.DATA) -> bytes:
        """Return one blob, verified; of several places the first that is sound.

        A pack in which it is damaged is not trusted any more: a backup that meets it does not
        build upon it, but stores the blobs again.

        Raises:
            IntegrityError: it is damaged or missing.
        """
        location = self._require(blob_id)
        try:
            return self._read_at(location, blob_id, kind)
        except IntegrityError as error:
            self._index.distrust(location.pack)
            data = self._read_elsewhere(location, blob_id, kind)
            if data is None and self._repository.refresh():
                data = self._read_elsewhere(location, blob_id, kind)  # prune has moved it
            if data is None:
                raise error from None
            return data

    def _require(self, blob_id: BlobId) -> Location:
        """Return where a blob lies; look again where prune has changed the index meanwhile.

        Raises:
            MissingBlobError: it is unknown.
        """
        if self._generation != self._index.generation:
            self._generation = self._index.generation
            self._packs.clear()
            self._slices.clear()
        try:
            return self._index.require(blob_id)
        except IntegrityError:
            if not self._repository.refresh():
                raise
            return self._index.require(blob_id)

    def _read_elsewhere(
        self, location: Location | None, blob_id: BlobId, kind: BlobKind
    ) -> bytes | None:
        """Read a blob from any place but `location`, where it is damaged; None if there is none."""
        for place in self._index.places(blob_id):
            if place != location:
                try:
                    return self._read_at(place, blob_id, kind)
                except IntegrityError:
                    self._index.distrust(place.pack)
        return None

    def _read_at(self, location: Location, blob_id: BlobId, kind: BlobKind) -> bytes:
        pack = self.open_pack(location.pack)
        if kind != pack.header.kind:
            raise IntegrityError("blob", blob_id.hex(), "it lies in a pack of another kind")
        size = pack.header.slice_size
        first, end = location.offset // size, location.offset + location.length
        pieces = [
            self._slice(location.pack, pack, number)
            for number in range(first, max(first + 1, -(-end // size)))
        ]
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        start = location.offset - first * size
        data = joined[start : start + location.length]
        if self._hash(kind)(data) != blob_id:
            raise HashMismatchError("blob", blob_id.hex(), f"in pack {pack.table.pack_id}")
        return data

    def fetch(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        """Yield data blobs in storage order; see `BlobSource`.

        Memory: (threads + 1) runs of 8 MiB. Cost: that of zstd, spread over the threads, and
        8 us a blob.
        """
        return self._fetch(ids, BlobKind.DATA)

    def fetch_pages(self, ids: Iterable[BlobId]) -> Iterator[Decoded]:
        """Yield tree blobs in storage order, like `fetch`."""
        return self._fetch(ids, BlobKind.TREE)

    def open_pack(self, number: int) -> OpenPack:
        """Return a pack by its number in the index.

        Raises:
            IntegrityError: its header is not of this repository.
        """
        pack = self._packs.get(number)
        if pack is None:
            table = self._index.pack(number)
            header = open_header(
                table.header,
                self._repository.keys.data_key_wrap,
                self._repository.repository_id,
                table.pack_id,
            )
            starts = list(accumulate(table.slice_sizes, initial=PACK_HEADER_LENGTH))
            pack = OpenPack(pack_name(table.pack_id), header, table, starts)
            self._packs[number] = pack
            if len(self._packs) > _KEPT_PACKS:
                self._packs.popitem(last=False)
        return pack

    def _hash(self, kind: BlobKind) -> KeyedHash:
        return self._data_hash if kind == BlobKind.DATA else self._tree_hash

    def _slice(self, number: int, pack: OpenPack, index: int) -> bytes:
        key = (number, index)
        data = self._slices.get(key)
        if data is None:
            sealed = self._read_sealed(pack, index, index + 1)
            data = open_slice(pack.header, index, sealed, last=index == len(pack.starts) - 2)
            self._slices[key] = data
            if len(self._slices) > _KEPT_SLICES:
                self._slices.popitem(last=False)
        else:
            self._slices.move_to_end(key)
        return data

    def _read_sealed(self, pack: OpenPack, first: int, end: int) -> bytes:
        """Read the sealed bytes of slices [first, end) by one ranged read."""
        if end >= len(pack.starts):
            reason = "a blob lies past its pack's end"
            raise IntegrityError("index object", pack.table.pack_id, reason)
        start, stop = pack.starts[first], pack.starts[end]
        try:
            return self._repository.backend.read_range(pack.name, start, stop - start)
        except NotFoundError as error:
            raise IntegrityError("pack", pack.table.pack_id, "it is missing") from error

    def _fetch(self, ids: Iterable[BlobId], kind: BlobKind) -> Iterator[Decoded]:
        places: list[tuple[int, int, int, BlobId]] = []
        for blob_id in set(ids):
            try:
                found = self._require(blob_id)
            except IntegrityError as error:
                yield blob_id, error
                continue
            places.append((found.pack, found.offset, found.length, blob_id))
        places.sort()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "holdfast-decode")
        pending: deque[tuple[Future[list[Decoded]], bytearray]] = deque()
        size = _RUN_LENGTH + 3 * self._repository.config.slice_size
        buffers = [bytearray(size) for _ in range(self._threads + 1)]

        def oldest() -> Iterator[Decoded]:
            future, buffer = pending.popleft()
            for blob_id, decoded in future.result():
                yield blob_id, self._second_try(blob_id, decoded, kind)
            buffers.append(buffer)

        try:
            for run in self._runs(places, kind):
                if isinstance(run, tuple):
                    yield run[0], self._second_try(run[0], run[1], kind)
                    continue
                if not buffers:
                    yield from oldest()
                buffer = buffers.pop()
                pending.append((self._pool.submit(self._decode_run, run, kind, buffer), buffer))
            while pending:
                yield from oldest()
        finally:
            for future, _ in pending:
                future.cancel()

    def _second_try(
        self, blob_id: BlobId, found: memoryview | IntegrityError, kind: BlobKind
    ) -> memoryview | IntegrityError:
        """Look for a blob that is damaged in its first place in the others."""
        if isinstance(found, IntegrityError):
            # Which place was tried is not known here: a refresh may have changed the index since.
            data = self._read_elsewhere(None, blob_id, kind)
            if data is None and self._repository.refresh():
                data = self._read_elsewhere(None, blob_id, kind)
            if data is not None:
                return memoryview(data)
        return found

    def _runs(
        self, places: list[tuple[int, int, int, BlobId]], kind: BlobKind
    ) -> Iterator[_Run | tuple[BlobId, IntegrityError]]:
        """Group sorted places to runs; blobs of packs that cannot be opened come with the error."""
        blobs: list[Place] = []
        pack: OpenPack | None = None
        current, limit = -1, 0
        for number, offset, length, blob_id in places:
            if number != current or offset >= limit:
                if blobs and pack is not None:
                    yield _Run(pack, blobs)
                blobs = []
                try:
                    pack = self.open_pack(number)
                    if pack.header.kind != kind:
                        raise IntegrityError(
                            "blob", blob_id.hex(), "it lies in a pack of another kind"
                        )
                except IntegrityError as error:
                    yield blob_id, error
                    current = -1
                    continue
                current = number
                size = pack.header.slice_size
                # Runs begin at slice borders, so that few slices are decoded twice.
                limit = (offset // size) * size + max(_RUN_LENGTH, size)
            blobs.append((offset, length, blob_id))
        if blobs and pack is not None:
            yield _Run(pack, blobs)

    def _decode_run(self, run: _Run, kind: BlobKind, buffer: bytearray) -> list[Decoded]:
        """Read, decode and verify one run; runs in the pool and touches no shared state."""
        pack, blobs = run.pack, run.blobs
        try:
            data = self._read_sealed(pack, *slices_of(blobs, pack.header.slice_size))
        except IntegrityError as error:
            return [(blob_id, error) for _, _, blob_id in blobs]
        return decode_blobs(pack.header, pack.starts, data, blobs, self._hash(kind), buffer)
