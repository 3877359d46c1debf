"""The blob index: which blob lies where, out of the trusted index objects.

Kept in the cache, so memory does not grow with the repository. An entry is 44 bytes: the id, and
pack number, offset and length as 32-bit integers. Pack numbers are local to the cache.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import lmdb
import msgspec

from holdfast.errors import IntegrityError, MissingBlobError
from holdfast.format.index import PackEntry
from holdfast.format.pack import decode_u32s, encode_u32s
from holdfast.ids import BLOB_ID_LENGTH, BlobId, ObjectId
from holdfast.repository.cache import Cache, Database, Transaction
from holdfast.repository.record_sorter import RecordSorter

# Big-endian: the order of records is that of LMDB, also among the places of one blob.
_VALUE: Final = struct.Struct(">III")
_RECORD_LENGTH: Final = BLOB_ID_LENGTH + _VALUE.size
_NUMBER: Final = struct.Struct(">I")
_BATCH: Final = 100_000
_DIRTY_BATCH: Final = 1_000
"""Random puts of one transaction into a large tree: 4 MB of dirty pages, 64 MiB mapped."""
_REMAP_LOOKUPS: Final = 800
"""Look-ups between two remaps of a large cache: each maps 64 KiB at the most, 50 MiB in all."""


class _StoredPack(msgspec.Struct, array_like=True, frozen=True):
    header: bytes
    stored_size: int
    slice_sizes: bytes
    plain_size: int
    blob_count: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a blob lies."""

    pack: int
    """The pack's number in this cache."""
    offset: int
    """Of the blob in the pack's plaintext stream."""
    length: int


@dataclass(frozen=True, slots=True)
class PackTable:
    """What reading a pack needs: its header and where its slices lie."""

    header: bytes
    stored_size: int
    slice_sizes: list[int]
    plain_size: int
    blob_count: int

    @property
    def pack_id(self) -> ObjectId:
        """The pack's name."""
        return ObjectId(self.header[24:40].hex())


class BlobIndex:
    """The trusted index of one repository as the cache holds it. For one thread."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._reader: Transaction = None
        self._blobs: Database = None
        self.is_empty = True
        self._absent: set[int] = set()
        self._lookups = 0

    def synchronize(
        self, trusted: Iterable[str], load: Callable[[str], list[PackEntry]]
    ) -> list[IntegrityError]:
        """Bring the cache to exactly the index objects in `trusted`.

        Args:
            trusted: ids of index objects.
            load: reads and opens one; called once for each that is missing here.

        Returns:
            The errors of index objects that could not be loaded; their blobs are unknown.

        Cost: nothing if nothing changed; 2 us an entry for a fresh cache; an index object that is
        no longer trusted costs a rebuild.
        """
        self.release()
        wanted = set(trusted)
        with self._cache.reading() as transaction:
            objects = self._cache.database(b"objects")
            present = {bytes(key).hex() for key, _ in transaction.cursor(db=objects)}
            count = transaction.stat(db=self._cache.database(b"blobs"))["entries"]
        problems: list[IntegrityError] = []
        missing = sorted(wanted - present)
        if present - wanted or (missing and count == 0):
            problems = self.rebuild(sorted(wanted), load)
        elif missing:
            problems = self._add(missing, load)
        self._note_emptiness()
        return problems

    def rebuild(
        self, index_ids: list[str], load: Callable[[str], list[PackEntry]]
    ) -> list[IntegrityError]:
        """Build the index anew from nothing but these index objects; as `synchronize` else."""
        self.release()
        self._absent = set()
        problems = self._rebuild(index_ids, load)
        self._note_emptiness()
        return problems

    def add_committed(self, index_id: str, entries: list[PackEntry]) -> None:
        """Enter an index object that this process has just committed; spares reading it back."""
        self._add([index_id], lambda _: entries)
        self.is_empty = False

    def contains(self, blob_id: bytes) -> bool:
        """Tell whether a blob is known. Cost: 2 us."""
        if self.is_empty:
            return False
        # _value, inlined: a dump asks once for every 4 KiB.
        self._lookups += 1
        if self._reader is None or self._lookups >= _REMAP_LOOKUPS:
            value = self._value(blob_id)
        else:
            try:
                value = self._reader.get(blob_id, None, self._blobs)
            except lmdb.Error as error:
                raise self._cache.damaged(error) from error
        if value is None or not self._absent:
            return value is not None
        return any(place.pack not in self._absent for place in self._places(blob_id))

    def locate(self, blob_id: BlobId) -> Location | None:
        """Return where a blob lies, or None if it is unknown. Cost: 3 us.

        Of several places one whose pack is present is preferred.
        """
        value = self._value(blob_id)
        if value is None:
            return None
        place = Location(*_VALUE.unpack(value))
        if place.pack in self._absent:
            return next((p for p in self._places(blob_id) if p.pack not in self._absent), place)
        return place

    def set_present(self, pack_ids: Collection[str]) -> list[ObjectId]:
        """Tell which packs the storage has; blobs that lie only in others count as unknown.

        Returns:
            The packs that the index lists and the storage lacks.
        """
        absent = {
            number: table.pack_id for number, table in self.packs() if table.pack_id not in pack_ids
        }
        self._absent = set(absent)
        return list(absent.values())

    def distrust(self, pack: int) -> None:
        """Treat a pack that turned out to be damaged like one that is not there."""
        self._absent.add(pack)

    def places(self, blob_id: BlobId) -> list[Location]:
        """Return every place of a blob, those in packs that are there and trusted first."""
        return sorted(self._places(blob_id), key=lambda place: place.pack in self._absent)

    @property
    def has_absent_packs(self) -> bool:
        """Whether blobs that snapshots refer to may be lost."""
        return bool(self._absent)

    def require(self, blob_id: BlobId, referrer: str = "no index object lists it") -> Location:
        """Return where a blob lies.

        Raises:
            MissingBlobError: it is unknown.
        """
        location = self.locate(blob_id)
        if location is None:
            raise MissingBlobError("blob", blob_id.hex(), referrer)
        return location

    def pack(self, number: int) -> PackTable:
        """Return a pack's table by its number in this cache."""
        try:
            value = self._transaction().get(_NUMBER.pack(number), db=self._cache.database(b"packs"))
            return _decode_pack(value or b"")
        except (lmdb.Error, msgspec.DecodeError) as error:
            raise self._cache.damaged(error) from error

    def packs(self) -> Iterator[tuple[int, PackTable]]:
        """Yield every pack with its number."""
        with self._cache.reading() as transaction:
            for key, value in transaction.cursor(db=self._cache.database(b"packs")):
                yield _NUMBER.unpack(key)[0], _decode_pack(value)

    def entries(self) -> Iterator[tuple[BlobId, Location]]:
        """Yield every blob in ascending order of id. Cost: 0.7 us a blob."""
        with self._cache.reading() as transaction:
            for key, value in transaction.cursor(db=self._cache.database(b"blobs")):
                yield BlobId(key), Location(*_VALUE.unpack(value))

    def release(self) -> None:
        """End the open read transaction, so that the cache can change or be remapped."""
        if self._reader is not None:
            self._reader.abort()
            self._reader = None

    def _value(self, blob_id: bytes) -> bytes | None:
        self._lookups += 1
        if self._lookups >= _REMAP_LOOKUPS:
            self._lookups = 0
            if self._cache.is_large:
                self.release()
                self._cache.remap()
        try:
            value: bytes | None = self._transaction().get(
                blob_id, db=self._cache.database(b"blobs")
            )
        except lmdb.Error as error:
            raise self._cache.damaged(error) from error
        return value

    def _note_emptiness(self) -> None:
        with self._cache.reading() as transaction:
            self.is_empty = transaction.stat(db=self._cache.database(b"blobs"))["entries"] == 0

    def _places(self, blob_id: bytes) -> list[Location]:
        try:
            with self._transaction().cursor(db=self._cache.database(b"blobs")) as cursor:
                if not cursor.set_key(blob_id):
                    return []
                return [Location(*_VALUE.unpack(value)) for value in cursor.iternext_dup()]
        except (lmdb.Error, struct.error) as error:
            raise self._cache.damaged(error) from error

    def _transaction(self) -> Transaction:
        if self._reader is None:
            self._reader = self._cache.begin()
            self._blobs = self._cache.database(b"blobs")
        return self._reader

    def _add(
        self, index_ids: list[str], load: Callable[[str], list[PackEntry]]
    ) -> list[IntegrityError]:
        problems: list[IntegrityError] = []
        self.release()
        for index_id in index_ids:
            try:
                entries = load(index_id)
            except IntegrityError as error:
                problems.append(error)
                continue
            try:
                self._enter(index_id, entries)
            except BaseException:
                self._cache.spoil()  # half an index object: rebuilt when it is opened next
                raise
        return problems

    def _enter(self, index_id: str, entries: list[PackEntry]) -> None:
        """Put the entries of one index object, range by range of ids.

        Random ids dirty a page each: in one transaction, 50,000 would hold 200 MB and map the
        whole file.
        """
        database = self._cache.database
        with self._cache.writing() as transaction:
            number = _next_number(transaction, database(b"packs"))
            records: list[bytes] = []
            for entry in entries:
                _put_pack(transaction, database, number, entry)
                records += _records(entry, number)
                number += 1
        records.sort()
        batch = _DIRTY_BATCH if self._cache.is_large else _BATCH
        for start in range(0, len(records), batch):
            with (
                self._cache.writing() as transaction,
                transaction.cursor(db=database(b"blobs")) as cursor,
            ):
                cursor.putmulti([(r[:32], r[32:]) for r in records[start : start + batch]])
            if self._cache.is_large:
                self._cache.remap()
        with self._cache.writing() as transaction:
            transaction.put(bytes.fromhex(index_id), b"", db=database(b"objects"))

    def _rebuild(
        self, index_ids: list[str], load: Callable[[str], list[PackEntry]]
    ) -> list[IntegrityError]:
        problems: list[IntegrityError] = []
        with (
            self._cache.rebuilding() as fresh,
            RecordSorter(self._cache.directory, _RECORD_LENGTH) as sorter,
        ):
            database = fresh.databases.__getitem__
            number = 0
            for index_id in index_ids:
                try:
                    entries = load(index_id)
                except IntegrityError as error:
                    problems.append(error)
                    continue
                with fresh.env.begin(write=True) as transaction:
                    for entry in entries:
                        _put_pack(transaction, database, number, entry)
                        sorter.extend(_records(entry, number))
                        number += 1
                    transaction.put(bytes.fromhex(index_id), b"", db=database(b"objects"))
            for records in sorter.sorted():
                for start in range(0, len(records), _BATCH):
                    batch = records[start : start + _BATCH]
                    with (
                        fresh.env.begin(write=True) as transaction,
                        transaction.cursor(db=database(b"blobs")) as cursor,
                    ):
                        cursor.putmulti([(r[:32], r[32:]) for r in batch], append=True)
        return problems


def _records(entry: PackEntry, number: int) -> list[bytes]:
    ids = entry.ids
    pack = _VALUE.pack
    offsets = accumulate(entry.lengths, initial=0)
    return [
        ids[at : at + BLOB_ID_LENGTH] + pack(number, offset, length)
        for at, offset, length in zip(
            range(0, len(ids), BLOB_ID_LENGTH), offsets, entry.lengths, strict=False
        )
    ]


def _put_pack(
    transaction: Transaction, database: Callable[[bytes], Database], number: int, entry: PackEntry
) -> None:
    stored = _StoredPack(
        entry.header,
        entry.stored_size,
        encode_u32s(entry.slice_sizes),
        sum(entry.lengths),
        len(entry.lengths),
    )
    key = _NUMBER.pack(number)
    transaction.put(key, msgspec.msgpack.encode(stored), db=database(b"packs"))


def _decode_pack(value: bytes) -> PackTable:
    stored = msgspec.msgpack.decode(value, type=_StoredPack)
    sizes = decode_u32s(stored.slice_sizes, "cache", "packs")
    return PackTable(
        stored.header, stored.stored_size, list(sizes), stored.plain_size, stored.blob_count
    )


def _next_number(transaction: Transaction, packs: Database) -> int:
    with transaction.cursor(db=packs) as cursor:
        return _NUMBER.unpack(cursor.key())[0] + 1 if cursor.last() else 0
