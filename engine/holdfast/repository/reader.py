"""Reading blobs: plan by pack, decode each slice once, verify every blob.

`fetch` is for bulk reads (restore, check): blobs in storage order, decoded by threads ahead of
the caller. `read` and `read_page` are for single blobs; they keep a few decoded slices.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from holdfast.closing import Closing
from holdfast.errors import HashMismatchError, IntegrityError
from holdfast.format.node import Node, decode_ids, decode_page
from holdfast.format.pack import BlobKind, open_slice
from holdfast.hashing import KeyedHash
from holdfast.ids import BlobId
from holdfast.repository.blob_index import Location
from holdfast.repository.bulk_reader import BlobPlace, BulkReader
from holdfast.repository.decoding import Decoded
from holdfast.repository.pack_reader import OpenPack, PackReader
from holdfast.repository.repository import Repository

_KEPT_SLICES: Final = 24
_MOST_LOCATED: Final = 100_000


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


class BlobReader(Closing):
    """Reads blobs of a repository whose index is loaded; a context manager. For one thread.

    Args:
        repository: whose blobs.
        threads: that decode; as many as there are cores by default.
        believe_cache: read trees on this machine's disk where they are kept there; a copy may be
            sound while the pack is not.
    """

    def __init__(
        self, repository: Repository, *, threads: int = 0, believe_cache: bool = True
    ) -> None:
        self._repository = repository
        self._index = repository.index
        self._data_hash = repository.keys.data_hash()
        self._tree_hash = repository.keys.tree_hash()
        backend = repository.backend
        self._packs = PackReader(repository, believe_cache=believe_cache)
        self._bulk = BulkReader(
            self._packs,
            threads=threads,
            connections=backend.parallelism if backend.is_remote else 0,
            slice_size=repository.config.slice_size,
        )
        self._slices: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._generation = self._index.generation
        self._located: dict[BlobId, Location] = {}
        """Where blobs lie whose length was asked for: they are about to be fetched."""

    def close(self) -> None:
        """End the threads; harmless if repeated."""
        self._bulk.close()

    def blob_length(self, blob_id: BlobId) -> int:
        """Return the plaintext length of a blob; see `BlobSource`."""
        location = self._index.require(blob_id)
        if len(self._located) < _MOST_LOCATED:
            self._located[blob_id] = location
        return location.length

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

    def place(self, blob_id: BlobId, kind: BlobKind) -> tuple[OpenPack, Location]:
        """Return the pack that holds a blob, ready for reading, and where in it.

        Raises:
            IntegrityError: the blob is unknown, or its pack cannot be what the index says.
        """
        location = self._require(blob_id)
        pack = self.open_pack(location.pack)
        pack.require_kind(kind, blob_id)
        return pack, location

    def hash_of(self, kind: BlobKind) -> KeyedHash:
        """Return what names blobs of a kind; threads may share it."""
        return self._data_hash if kind == BlobKind.DATA else self._tree_hash

    def read_sealed(self, pack: OpenPack, first: int, end: int) -> bytes:
        """Return sealed slices [first, end) of a pack; see `PackReader`. Safe for many threads."""
        return self._packs.read_sealed(pack, first, end)

    def _require(self, blob_id: BlobId) -> Location:
        """Return where a blob lies; look again where prune has changed the index meanwhile.

        Raises:
            MissingBlobError: it is unknown.
        """
        if self._generation != self._index.generation:
            self._generation = self._index.generation
            self._packs.clear()
            self._slices.clear()
            self._located.clear()
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
        pack.require_kind(kind, blob_id)
        size = pack.header.slice_size
        first, end = location.offset // size, location.offset + location.length
        pieces = [
            self._slice(location.pack, pack, number)
            for number in range(first, max(first + 1, -(-end // size)))
        ]
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        start = location.offset - first * size
        data = joined[start : start + location.length]
        if self.hash_of(kind)(data) != blob_id:
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
        """Return a pack by its number in the index; see `PackReader.open`."""
        return self._packs.open(number)

    def _slice(self, number: int, pack: OpenPack, index: int) -> bytes:
        key = (number, index)
        data = self._slices.get(key)
        if data is None:
            sealed = self._packs.read_sealed(pack, index, index + 1)
            data = open_slice(pack.header, index, sealed, last=index == len(pack.starts) - 2)
            self._slices[key] = data
            if len(self._slices) > _KEPT_SLICES:
                self._slices.popitem(last=False)
        else:
            self._slices.move_to_end(key)
        return data

    def _fetch(self, ids: Iterable[BlobId], kind: BlobKind) -> Iterator[Decoded]:
        places: list[BlobPlace] = []
        if self._generation != self._index.generation:
            self._located.clear()
        located = self._located.pop
        for blob_id in set(ids):
            try:
                place = located(blob_id, None) or self._require(blob_id)
            except IntegrityError as error:
                yield blob_id, error
                continue
            places.append((place.pack, place.offset, place.length, blob_id))
        for found in self._bulk.fetch(places, kind, self.hash_of(kind)):
            if isinstance(found[1], IntegrityError):
                yield found[0], self._second_try(found[0], found[1], kind)
            else:
                yield found

    def _second_try(
        self, blob_id: BlobId, error: IntegrityError, kind: BlobKind
    ) -> memoryview | IntegrityError:
        """Look for a blob that is damaged in its first place in the others."""
        # Which place was tried is not known here: a refresh may have changed the index since.
        data = self._read_elsewhere(None, blob_id, kind)
        if data is None and self._repository.refresh():
            data = self._read_elsewhere(None, blob_id, kind)
        return error if data is None else memoryview(data)
