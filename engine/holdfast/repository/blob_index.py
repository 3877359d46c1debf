"""The blob index: which blob lies where, out of the trusted index objects.

Kept in the cache, so memory does not grow with the repository. An entry is 44 bytes: the id, and
pack number, offset and length as 32-bit integers. Pack numbers are local to the cache; packs of
which no blob may count are known by their numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import lmdb
import msgspec

from holdfast.errors import IntegrityError, MissingBlobError
from holdfast.format.index import PackEntry
from holdfast.ids import BlobId, ObjectId
from holdfast.repository import index_loader
from holdfast.repository.cache import Cache, Database, Transaction
from holdfast.repository.index_loader import NUMBER, PLACE, Load
from holdfast.repository.pack_table import PackTable, decode_pack, decode_pack_id

_SCAN_BATCH: Final = 50_000
"""Places read at once: 6 MB; the pages of a large cache are given back after each batch."""
_REMAP_LOOKUPS: Final = 800
"""Look-ups between two remaps of a large cache: each maps 64 KiB at the most, 50 MiB in all."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a blob lies."""

    pack: int
    """The pack's number in this cache."""
    offset: int
    """Of the blob in the pack's plaintext stream."""
    length: int


class BlobIndex:
    """The trusted index of one repository as the cache holds it. For one thread."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._reader: Transaction = None
        self._cursor: Any = None
        self._blobs: Database = None
        self.is_empty = True
        self._untrusted: set[int] = set()
        """Packs that no trusted index object lists; the cache has not dropped them yet."""
        self._end = 0
        self._end_key = NUMBER.pack(0)
        """Packs from this number on were entered later, by another process that may trust more
        than this one; but for those in `_own`."""
        self._own: set[int] = set()
        self._avoided: set[int] = set()
        """Packs that are condemned or doomed."""
        self._lost: set[int] = set()
        """Packs that are missing or damaged."""
        self._absent: set[int] = set()
        """All of these: their blobs count as unknown."""
        self._lookups = 0
        self.generation = 0
        """Counts rebuilds: each gives packs other numbers."""

    def synchronize(
        self, trusted: Iterable[str], load: Load, *, may_rebuild: bool = True
    ) -> list[IntegrityError]:
        """Bring the index to exactly the index objects in `trusted`.

        Args:
            trusted: ids of index objects.
            load: reads and opens one; called once for each that is missing here.
            may_rebuild: whether pack numbers may change, which whoever reads at the same time
                could not bear.

        Returns:
            The errors of index objects that could not be loaded; their blobs are unknown.

        Cost: nothing if nothing changed; 2 us an entry for a fresh cache.
        """
        self.release()
        wanted = set(trusted)
        listed = index_loader.listed_packs(self._cache)
        missing = sorted(wanted - listed.keys())
        used = {number for index_id in wanted & listed.keys() for number in listed[index_id]}
        total = self._count(b"packs")
        is_worn = 2 * len(used) < total or (missing and not self._count(b"blobs"))
        if may_rebuild and is_worn:
            return self.rebuild(sorted(wanted), load)
        problems: list[IntegrityError] = []
        if missing:
            problems = index_loader.add_objects(self._cache, missing, load)
            listed = index_loader.listed_packs(self._cache)
        self._note_trusted(wanted, listed)
        return problems

    def rebuild(self, index_ids: list[str], load: Load) -> list[IntegrityError]:
        """Build the index anew from nothing but these index objects; as `synchronize` else."""
        self.release()
        self._avoided, self._lost = set(), set()
        self.generation += 1
        problems = index_loader.rebuild(self._cache, index_ids, load)
        self._note_trusted(set(index_ids), index_loader.listed_packs(self._cache))
        return problems

    def add_committed(self, index_id: str, entries: list[PackEntry]) -> None:
        """Enter an index object that this process has just committed; spares reading it back."""
        self.release()
        index_loader.add_objects(self._cache, [index_id], lambda _: entries)
        self._own.update(index_loader.packs_of(self._cache, index_id))
        self.is_empty = False

    def contains(self, blob_id: bytes) -> bool:
        """Tell whether a blob is known. Cost: 2 us."""
        if self.is_empty:
            return False
        # _value, inlined: a dump asks once for every 3 KiB.
        self._lookups += 1
        if self._reader is None or self._lookups >= _REMAP_LOOKUPS:
            value = self._value(blob_id)
        else:
            try:
                value = self._reader.get(blob_id, None, self._blobs)
            except lmdb.Error as error:
                raise self._cache.damaged(error) from error
        if value is None:
            return False
        if not self._absent and value[:4] < self._end_key:
            return True
        if self.is_usable(NUMBER.unpack_from(value)[0]):
            return True
        return any(self.is_usable(place.pack) for place in self._places(blob_id))

    def locate(self, blob_id: BlobId) -> Location | None:
        """Return where a blob lies, or None if it is unknown. Cost: 3 us.

        Of several places one whose pack is present is preferred.
        """
        value = self._value(blob_id)
        if value is None:
            return None
        place = Location(*PLACE.unpack(value))
        if not self.is_usable(place.pack):
            return next((p for p in self._places(blob_id) if self.is_usable(p.pack)), place)
        return place

    def set_present(self, pack_ids: Collection[str]) -> list[ObjectId]:
        """Tell which packs the storage has; blobs that lie only in others count as unknown.

        Returns:
            The packs that the index lists and the storage lacks.
        """
        lost = {
            number: pack_id
            for number, pack_id in self.pack_ids()
            if pack_id not in pack_ids and number not in self._avoided
        }
        self._lost = set(lost)
        self._join()
        return list(lost.values())

    def avoid(self, pack_ids: Collection[str]) -> None:
        """Tell which packs must not be built upon; blobs that lie only there count as unknown."""
        self._avoided = (
            {number for number, pack_id in self.pack_ids() if pack_id in pack_ids}
            if pack_ids
            else set()
        )
        self._join()

    def distrust(self, pack: int) -> None:
        """Treat a pack that turned out to be damaged like one that is not there."""
        self._lost.add(pack)
        self._absent.add(pack)

    def is_usable(self, pack: int) -> bool:
        """Tell whether blobs in a pack, by its number, count as known."""
        return pack not in self._absent and (pack < self._end or pack in self._own)

    def places(self, blob_id: BlobId) -> list[Location]:
        """Return every place of a blob, those in packs that are there and trusted first."""
        return sorted(self._places(blob_id), key=lambda place: not self.is_usable(place.pack))

    @property
    def has_lost_packs(self) -> bool:
        """Whether blobs that snapshots refer to may be lost."""
        return bool(self._lost)

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
            value = self._transaction().get(NUMBER.pack(number), db=self._cache.database(b"packs"))
            return decode_pack(value or b"")
        except (lmdb.Error, msgspec.DecodeError) as error:
            raise self._cache.damaged(error) from error

    def packs(self) -> Iterator[tuple[int, PackTable]]:
        """Yield every pack that the trusted index lists, with its number."""
        with self._cache.reading() as transaction:
            for key, value in transaction.cursor(db=self._cache.database(b"packs")):
                if self._is_trusted(number := NUMBER.unpack(key)[0]):
                    yield number, decode_pack(value)

    def listed_packs(self) -> dict[str, list[int]]:
        """Return the numbers of the packs that each index object in the cache lists."""
        return index_loader.listed_packs(self._cache)

    def pack_ids(self) -> Iterator[tuple[int, ObjectId]]:
        """Yield number and name of every pack that the trusted index lists. Cost: 0.5 us each."""
        with self._cache.reading() as transaction:
            for key, value in transaction.cursor(db=self._cache.database(b"packs")):
                if self._is_trusted(number := NUMBER.unpack(key)[0]):
                    yield number, decode_pack_id(value)

    def entries(self) -> Iterator[tuple[BlobId, int, int]]:
        """Yield (blob, number of a pack, length) for every trusted place, ascending by blob.

        Cost: 0.7 us a place.
        """
        is_trusted, unpack = self._is_trusted, PLACE.unpack
        last: tuple[bytes, bytes] | None = None
        while True:
            batch = self._batch_after(last)
            for key, value in batch:
                pack, _, length = unpack(value)
                if is_trusted(pack):
                    yield BlobId(key), pack, length
            if len(batch) < _SCAN_BATCH:
                return
            last = batch[-1]
            if self._cache.is_large:
                self.release()
                self._cache.remap()

    def _batch_after(self, last: tuple[bytes, bytes] | None) -> list[tuple[bytes, bytes]]:
        """Return the next places in the cache; whoever adds some meanwhile disturbs nothing."""
        with (
            self._cache.reading() as transaction,
            transaction.cursor(db=self._cache.database(b"blobs")) as cursor,
        ):
            if last is None:
                found = cursor.first()
            elif found := cursor.set_key_dup(*last):
                found = cursor.next()
            else:
                found = cursor.set_range(last[0])  # cannot be: nothing is ever taken out
            return list(islice(cursor.iternext(), _SCAN_BATCH)) if found else []

    def release(self) -> None:
        """End the open read transaction, so that the cache can change or be remapped."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
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

    def _note_trusted(self, wanted: set[str], listed: dict[str, list[int]]) -> None:
        used = {n for index_id in wanted & listed.keys() for n in listed[index_id]}
        with self._cache.reading() as transaction:
            packs = transaction.cursor(db=self._cache.database(b"packs"))
            numbers = {NUMBER.unpack(key)[0] for key in packs.iternext(values=False)}
        self._untrusted = numbers - used
        self._end = max(numbers, default=-1) + 1
        self._end_key = NUMBER.pack(self._end)
        self._own = set()
        self.is_empty = not self._count(b"blobs")
        self._join()

    def _is_trusted(self, pack: int) -> bool:
        return pack not in self._untrusted and (pack < self._end or pack in self._own)

    def _join(self) -> None:
        self._absent = self._untrusted | self._avoided | self._lost

    def _count(self, name: bytes) -> int:
        with self._cache.reading() as transaction:
            count: int = transaction.stat(db=self._cache.database(name))["entries"]
        return count

    def _places(self, blob_id: bytes) -> list[Location]:
        try:
            if self._cursor is None:
                self._cursor = self._transaction().cursor(db=self._cache.database(b"blobs"))
            if not self._cursor.set_key(blob_id):
                return []
            return [Location(*PLACE.unpack(value)) for value in self._cursor.iternext_dup()]
        except (lmdb.Error, struct.error) as error:
            raise self._cache.damaged(error) from error

    def _transaction(self) -> Transaction:
        if self._reader is None:
            self._reader = self._cache.begin()
            self._blobs = self._cache.database(b"blobs")
        return self._reader
