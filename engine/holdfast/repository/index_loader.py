"""Entering index objects into the cache: one by one, or all into a fresh cache.

A pack gets a number when an index object that lists it is entered first. Other index objects that
list it, as those that prune consolidates, only note the number. So what prune does to index
objects costs a cache next to nothing; packs that no trusted object lists any more stay in it
until they are half of all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final, TypeAlias

from holdfast.errors import IntegrityError
from holdfast.format.index import PackEntry
from holdfast.ids import BLOB_ID_LENGTH, ObjectId
from holdfast.repository.cache import Cache, Database, Transaction
from holdfast.repository.pack_table import decode_pack_id, encode_pack
from holdfast.repository.record_sorter import RecordSorter

# Big-endian: the order of records is that of LMDB, also among the places of one blob.
PLACE: Final = struct.Struct(">III")
"""Pack number, offset and length of a blob."""
NUMBER: Final = struct.Struct(">I")
_RECORD_LENGTH: Final = BLOB_ID_LENGTH + PLACE.size
_BATCH: Final = 100_000
_DIRTY_BATCH: Final = 1_000
"""Random puts of one transaction into a large tree: 4 MB of dirty pages, 64 MiB mapped."""

Load: TypeAlias = Callable[[str], list[PackEntry]]


def listed_packs(cache: Cache) -> dict[str, list[int]]:
    """Return the numbers of the packs that each index object in the cache lists."""
    with cache.reading() as transaction:
        return {
            bytes(key).hex(): _decode_numbers(value)
            for key, value in transaction.cursor(db=cache.database(b"objects"))
        }


def packs_of(cache: Cache, index_id: str) -> list[int]:
    """Return the numbers of the packs that one index object lists; none if it is not there."""
    with cache.reading() as transaction:
        value = transaction.get(bytes.fromhex(index_id), db=cache.database(b"objects"))
        return _decode_numbers(value) if value is not None else []


def add_objects(cache: Cache, index_ids: Iterable[str], load: Load) -> list[IntegrityError]:
    """Enter index objects; return the errors of those that cannot be loaded.

    Small ones are entered together: each transaction costs an fsync, and a host that was away for
    a month finds thousands of them.
    """
    problems: list[IntegrityError] = []
    known: dict[ObjectId, int] | None = None
    waiting: dict[str, list[PackEntry]] = {}
    blobs = 0
    for index_id in index_ids:
        try:
            entries = load(index_id)
        except IntegrityError as error:
            problems.append(error)
            continue
        if known is None:
            known = _known_packs(cache)
        waiting[index_id] = entries
        blobs += sum(len(entry.lengths) for entry in entries)
        if blobs >= _BATCH:
            _enter(cache, waiting, known)
            waiting, blobs = {}, 0
    if waiting and known is not None:
        _enter(cache, waiting, known)
    return problems


def rebuild(cache: Cache, index_ids: Iterable[str], load: Load) -> list[IntegrityError]:
    """Build the cache anew out of nothing but these index objects; as `add_objects` else.

    Cost: 2 us an entry.
    """
    problems: list[IntegrityError] = []
    with (
        cache.rebuilding() as fresh,
        RecordSorter(cache.directory, _RECORD_LENGTH) as sorter,
    ):
        database = fresh.databases.__getitem__
        # Snapshot objects are not part of the index, and each would cost a request again.
        with (
            cache.reading() as old,
            old.cursor(db=cache.database(b"snapshots")) as snapshots,
            fresh.env.begin(write=True) as transaction,
        ):
            for key, data in snapshots:
                transaction.put(key, data, db=database(b"snapshots"))
        known: dict[ObjectId, int] = {}
        for index_id in index_ids:
            try:
                entries = load(index_id)
            except IntegrityError as error:
                problems.append(error)
                continue
            with fresh.env.begin(write=True) as transaction:
                added, records = _enter_packs(transaction, database, entries, known, len(known))
                sorter.extend(records)
                known |= added
                _note_object(transaction, database, index_id, entries, known)
        for records in sorter.sorted():
            for start in range(0, len(records), _BATCH):
                batch = records[start : start + _BATCH]
                with (
                    fresh.env.begin(write=True) as transaction,
                    transaction.cursor(db=database(b"blobs")) as cursor,
                ):
                    cursor.putmulti([(r[:32], r[32:]) for r in batch], append=True)
    return problems


def _enter(cache: Cache, objects: dict[str, list[PackEntry]], known: dict[ObjectId, int]) -> None:
    """Put the entries of index objects, range by range of ids; their packs are added to `known`.

    Random ids dirty a page each: in one transaction, 50,000 would hold 200 MB and map the
    whole file.
    """
    database = cache.database
    try:
        records: list[bytes] = []
        with cache.writing() as transaction:
            number = _next_number(transaction, database(b"packs"))
            for entries in objects.values():
                added, new = _enter_packs(transaction, database, entries, known, number)
                known |= added
                number += len(added)
                records += new
        records.sort()
        batch = _DIRTY_BATCH if cache.is_large else _BATCH
        for start in range(0, len(records), batch):
            with (
                cache.writing() as transaction,
                transaction.cursor(db=database(b"blobs")) as cursor,
            ):
                cursor.putmulti([(r[:32], r[32:]) for r in records[start : start + batch]])
            if cache.is_large:
                cache.remap()
        with cache.writing() as transaction:
            for index_id, entries in objects.items():
                _note_object(transaction, database, index_id, entries, known)
    except BaseException:
        cache.spoil()  # half of it: rebuilt when it is opened next
        raise


def _enter_packs(
    transaction: Transaction,
    database: Callable[[bytes], Database],
    entries: list[PackEntry],
    known: dict[ObjectId, int],
    number: int,
) -> tuple[dict[ObjectId, int], list[bytes]]:
    """Put the packs that are new, numbered from `number`; return them and their blobs' records."""
    added: dict[ObjectId, int] = {}
    records: list[bytes] = []
    for entry in entries:
        if entry.pack_id in known or entry.pack_id in added:
            continue
        transaction.put(NUMBER.pack(number), encode_pack(entry), db=database(b"packs"))
        records += _records(entry, number)
        added[entry.pack_id] = number
        number += 1
    return added, records


def _note_object(
    transaction: Transaction,
    database: Callable[[bytes], Database],
    index_id: str,
    entries: list[PackEntry],
    known: dict[ObjectId, int],
) -> None:
    numbers = b"".join(NUMBER.pack(known[entry.pack_id]) for entry in entries)
    transaction.put(bytes.fromhex(index_id), numbers, db=database(b"objects"))


def _known_packs(cache: Cache) -> dict[ObjectId, int]:
    """Return the packs whose blobs are surely all in the cache.

    Another process may be entering an index object right now: packs count only once an index
    object that lists them is noted, which is the last thing to happen.
    """
    complete = {number for numbers in listed_packs(cache).values() for number in numbers}
    with cache.reading() as transaction:
        found = (
            (decode_pack_id(value), NUMBER.unpack(key)[0])
            for key, value in transaction.cursor(db=cache.database(b"packs"))
        )
        return {pack_id: number for pack_id, number in found if number in complete}


def _records(entry: PackEntry, number: int) -> list[bytes]:
    ids = entry.ids
    pack = PLACE.pack
    offsets = accumulate(entry.lengths, initial=0)
    return [
        ids[at : at + BLOB_ID_LENGTH] + pack(number, offset, length)
        for at, offset, length in zip(
            range(0, len(ids), BLOB_ID_LENGTH), offsets, entry.lengths, strict=False
        )
    ]


def _decode_numbers(value: bytes) -> list[int]:
    return [number for (number,) in NUMBER.iter_unpack(value)]


def _next_number(transaction: Transaction, packs: Database) -> int:
    with transaction.cursor(db=packs) as cursor:
        return NUMBER.unpack(cursor.key())[0] + 1 if cursor.last() else 0
