"""The blob index follows the trusted index objects, exactly, in small memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import IntegrityError, MissingBlobError
from holdfast.format.index import PackEntry
from holdfast.format.pack import PACK_END_LENGTH, PACK_HEADER_LENGTH
from holdfast.hashing import trailer
from holdfast.ids import BlobId
from holdfast.repository import index_loader, record_sorter
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.cache import Cache

ONE, TWO, THREE, MERGED = (f"{number:032x}" for number in (1, 2, 3, 4))


def blob(number: int) -> BlobId:
    return BlobId(trailer(number.to_bytes(4, "big")))


def pack_name(number: int) -> str:
    return f"{number:032x}"


def entry_of(number: int, blobs: list[int], length: int = 10) -> PackEntry:
    header = bytearray(PACK_HEADER_LENGTH)
    header[24:40] = number.to_bytes(16, "big")
    header[40] = 1
    header[48:52] = (1 << 16).to_bytes(4, "little")
    size = PACK_HEADER_LENGTH + 50 + PACK_END_LENGTH
    lengths = array("I", [length] * len(blobs))
    return PackEntry(bytes(header), size, array("I", [50]), lengths, b"".join(map(blob, blobs)))


class Store:
    """Index objects by name, and how often each was loaded."""

    def __init__(self, objects: dict[str, list[PackEntry]]) -> None:
        self.objects = objects
        self.loaded: list[str] = []
        self.damaged: set[str] = set()

    def load(self, index_id: str) -> list[PackEntry]:
        self.loaded.append(index_id)
        if index_id in self.damaged:
            raise IntegrityError("index object", index_id, "damaged by the test")
        return self.objects[index_id]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    opened = Cache(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def store() -> Store:
    return Store(
        {
            ONE: [entry_of(1, [1, 2, 3]), entry_of(2, [4, 5])],
            TWO: [entry_of(3, [6, 1])],
            THREE: [entry_of(4, list(range(100, 400)))],
        }
    )


def known(index: BlobIndex) -> set[int]:
    return {number for number in range(500) if index.contains(blob(number))}


def test_a_fresh_index_knows_nothing(cache: Cache) -> None:
    index = BlobIndex(cache)
    assert known(index) == set()
    assert index.locate(blob(1)) is None
    with pytest.raises(MissingBlobError, match="tree of x"):
        index.require(blob(1), "tree of x")


def test_objects_are_loaded_once(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    assert index.synchronize([ONE], store.load) == []
    assert known(index) == {1, 2, 3, 4, 5}
    index.synchronize([ONE, TWO], store.load)
    index.synchronize([TWO, ONE], store.load)
    assert known(index) == {1, 2, 3, 4, 5, 6}
    assert store.loaded == [ONE, TWO]
    again = BlobIndex(cache)
    again.synchronize([ONE, TWO], store.load)
    assert known(again) == known(index)
    assert store.loaded == [ONE, TWO]


def test_places_are_offsets_in_the_packs(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, THREE], store.load)
    for number, (pack, offset) in {1: (1, 0), 3: (1, 20), 5: (2, 10), 399: (4, 2990)}.items():
        place = index.require(blob(number))
        assert (place.offset, place.length) == (offset, 10)
        table = index.pack(place.pack)
        assert table.pack_id == pack_name(pack)
    assert {table.pack_id: table.blob_count for _, table in index.packs()} == {
        pack_name(1): 3,
        pack_name(2): 2,
        pack_name(4): 300,
    }
    entries = list(index.entries())
    assert [blob_id for blob_id, _, _ in entries] == sorted(
        map(blob, [*range(1, 6), *range(100, 400)])
    )


def test_objects_that_lost_trust_are_forgotten(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO], store.load)
    index.synchronize([TWO], store.load)
    assert known(index) == {1, 6}
    index.synchronize([], store.load)
    assert known(index) == set()
    assert index.is_empty


def test_what_prune_merges_costs_the_cache_nothing(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO, THREE], store.load)
    before = sorted(index.entries())
    store.objects[MERGED] = [*store.objects[TWO], *store.objects[THREE], entry_of(2, [4, 5])]
    generation = index.generation
    assert index.synchronize([MERGED, ONE], store.load) == []
    assert sorted(index.entries()) == before
    assert index.synchronize([MERGED], store.load) == []
    assert known(index) == {1, 4, 5, 6, *range(100, 400)}, "blob 1 lies in pack 3 too"
    assert {pack_id for _, pack_id in index.pack_ids()} == set(map(pack_name, (2, 3, 4)))
    assert index.generation == generation, "no rebuild"


def test_a_cache_that_lists_much_that_is_gone_is_rebuilt(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO, THREE], store.load)
    generation = index.generation
    index.synchronize([TWO], store.load, may_rebuild=False)
    assert index.generation == generation, "who is reading keeps the numbers of its packs"
    index.synchronize([TWO], store.load)
    assert index.generation == generation + 1
    assert known(index) == {1, 6}


def test_packs_to_avoid_are_no_place_for_a_blob(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO], store.load)
    index.avoid({pack_name(1)})
    assert known(index) == {1, 4, 5, 6}
    assert index.pack(index.require(blob(1)).pack).pack_id == pack_name(3)
    assert index.locate(blob(2)) is not None, "a reader may still try"
    assert not index.has_lost_packs
    index.avoid(())
    assert known(index) == {1, 2, 3, 4, 5, 6}


def test_what_another_process_adds_is_not_trusted(tmp_path: Path, store: Store) -> None:
    """It may have read a later log, or trust more since it only reads."""
    one, other = Cache(str(tmp_path / "cache")), Cache(str(tmp_path / "cache"))
    ours, theirs = BlobIndex(one), BlobIndex(other)
    ours.synchronize([ONE], store.load)
    theirs.synchronize([ONE, TWO], store.load)
    assert known(theirs) == {1, 2, 3, 4, 5, 6}
    assert known(ours) == {1, 2, 3, 4, 5}
    assert ours.locate(blob(1)) is not None
    ours.add_committed(THREE, store.objects[THREE])
    assert known(ours) == {1, 2, 3, 4, 5, *range(100, 400)}
    for cache in (one, other):
        cache.close()


def test_a_damaged_object_is_reported_each_time_and_loaded_once_it_is_whole(
    cache: Cache, store: Store
) -> None:
    index = BlobIndex(cache)
    store.damaged = {TWO}
    for _ in range(2):
        problems = index.synchronize([ONE, TWO], store.load)
        assert [problem.name for problem in problems] == [TWO]
        assert known(index) == {1, 2, 3, 4, 5}
    store.damaged = set()
    assert index.synchronize([ONE, TWO], store.load) == []
    assert known(index) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("held", [1, 50, 10_000])
def test_rebuild_gives_what_adding_gives(
    held: int, cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_sorter, "_IN_MEMORY", held)
    monkeypatch.setattr(index_loader, "_BATCH", 7)
    index = BlobIndex(cache)
    index.synchronize([ONE], store.load)
    index.synchronize([ONE, TWO, THREE], store.load)
    added = list(index.entries())
    assert index.rebuild([ONE, TWO, THREE], store.load) == []
    assert list(index.entries()) == added
    assert len(added) == len(known(index)) + 1, "blob 1 has two places"


def test_blob_of_several_packs_is_found_where_one_is_present(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO], store.load)
    for present, expected in (({1, 2}, 1), ({2, 3}, 3)):
        index.set_present({pack_name(number) for number in present})
        place = index.require(blob(1))
        assert index.pack(place.pack).pack_id == pack_name(expected)
        assert index.contains(blob(1))


def test_blobs_of_absent_packs_count_as_unknown(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([ONE, TWO], store.load)
    assert index.set_present({pack_name(1), pack_name(2), pack_name(3)}) == []
    absent_before = index.has_lost_packs
    assert index.set_present({pack_name(2), pack_name(3)}) == [pack_name(1)]
    assert (absent_before, index.has_lost_packs) == (False, True)
    assert known(index) == {1, 4, 5, 6}
    assert index.locate(blob(2)) is not None, "a reader says which pack is missing"
    index.set_present({pack_name(n) for n in (1, 2, 3)})
    assert known(index) == {1, 2, 3, 4, 5, 6}


def test_committed_entries_are_known_without_loading(cache: Cache, store: Store) -> None:
    index = BlobIndex(cache)
    index.synchronize([], store.load)
    index.add_committed(ONE, store.objects[ONE])
    assert known(index) == {1, 2, 3, 4, 5}
    index.synchronize([ONE], store.load)
    assert store.loaded == []


def test_two_indexes_on_one_cache_follow_each_other(cache: Cache, store: Store) -> None:
    one, other = BlobIndex(cache), BlobIndex(cache)
    one.synchronize([ONE], store.load)
    other.synchronize([ONE, TWO], store.load)
    one.synchronize([ONE, TWO], store.load)
    assert known(one) == known(other) == {1, 2, 3, 4, 5, 6}
    assert store.loaded == [ONE, TWO]
