"""Reading: each blob once, in storage order, verified; damage costs what it must and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.errors import IntegrityError, MissingBlobError
from holdfast.format.pack import PACK_HEADER_LENGTH, BlobKind
from holdfast.ids import BlobId
from holdfast.repository.layout import pack_name
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from support.sessions import (
    SLICE_SIZE,
    create,
    flip,
    make_node,
    make_snapshot,
    names_in,
    open_repository,
    packs_of,
    random_bytes,
    replace_object,
    store_blobs,
)

BLOBS = [random_bytes(SLICE_SIZE // 3 + seed, seed) for seed in range(100)]
UNKNOWN = BlobId(b"u" * 32)


def fetched(repository: Repository, ids: list[BlobId]) -> dict[BlobId, bytes | IntegrityError]:
    with BlobReader(repository) as reader:
        return {
            blob_id: found if isinstance(found, IntegrityError) else bytes(found)
            for blob_id, found in reader.fetch(ids)
        }


def data_packs(repository: Repository) -> list[str]:
    entries = [entry for entry in packs_of(repository) if entry.kind == BlobKind.DATA]
    return [pack_name(entry.pack_id) for entry in entries]


def test_each_distinct_blob_comes_once_in_storage_order(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        with BlobReader(repository) as reader:
            order = [blob_id for blob_id, _ in reader.fetch([*reversed(ids), *ids])]
            places = [repository.index.require(blob_id) for blob_id in order]
        assert sorted(order) == sorted(ids)
        keys = [(place.pack, place.offset) for place in places]
        assert keys == sorted(keys)
        assert len({pack for pack, _ in keys}) > 1


def test_missing_blobs_come_first_with_their_error(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS[:3])
        with BlobReader(repository) as reader:
            found = [(blob_id, type(blob)) for blob_id, blob in reader.fetch([*ids, UNKNOWN])]
            assert found[0] == (UNKNOWN, MissingBlobError)
            assert len(found) == 4
            for read in (reader.read, reader.read_page, reader.blob_length):
                with pytest.raises(MissingBlobError):
                    read(UNKNOWN)


def test_nothing_asked_nothing_given(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        repository.load_index()
        assert fetched(repository, []) == {}


def test_fetch_that_is_broken_off_leaves_the_reader_usable(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        with BlobReader(repository) as reader:
            stream = reader.fetch(ids)
            next(stream)
            stream.close()  # type: ignore[attr-defined]
            assert len(list(reader.fetch(ids))) == len(ids)
            assert reader.blob_length(ids[5]) == len(BLOBS[5])


def test_pages_and_data_do_not_pass_for_each_other(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        repository.load_view(for_writing=True)
        nodes = [make_node(b"a"), make_node(b"b")]
        with Writer(repository, level=1) as writer:
            data = BlobId(writer.add_data(b"data"))
            page = BlobId(writer.add_page(nodes))
            writer.commit(make_snapshot(page), None)
        with BlobReader(repository) as reader:
            assert reader.read_page(page) == nodes
            assert reader.read(data) == b"data"
            for wrong in (lambda: reader.read(page), lambda: reader.read_page(data)):
                with pytest.raises(IntegrityError, match="another kind"):
                    wrong()
            ((_, found),) = reader.fetch([page])
            assert isinstance(found, IntegrityError)
            ((_, found),) = reader.fetch_pages([data])
            assert isinstance(found, IntegrityError)


def test_a_damaged_slice_costs_its_blobs_only(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        name = data_packs(repository)[0]
        entry = next(e for e in packs_of(repository) if pack_name(e.pack_id) == name)
        third = PACK_HEADER_LENGTH + sum(entry.slice_sizes[:2]) + 100
        replace_object(repository.backend, name, flip(repository.backend.read(name), third))
        found = fetched(repository, ids)
        expected = set()
        for blob_id in ids:
            place = repository.index.require(blob_id)
            inside = repository.index.pack(place.pack).pack_id == entry.pack_id
            if (
                inside
                and place.offset < 3 * SLICE_SIZE
                and place.offset + place.length > 2 * SLICE_SIZE
            ):
                expected.add(blob_id)
        assert {b for b, blob in found.items() if isinstance(blob, IntegrityError)} == expected
        assert 3 <= len(expected) <= 5
        assert [found[b] for b in ids if b not in expected] == [
            blob for b, blob in zip(ids, BLOBS, strict=True) if b not in expected
        ]
        with BlobReader(repository) as reader, pytest.raises(IntegrityError):
            reader.read(next(iter(expected)))


@pytest.mark.parametrize("length", [0, 10, PACK_HEADER_LENGTH, 300_000])
def test_a_pack_that_was_cut_off_costs_what_is_gone(length: int, tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS[:40])
        name = data_packs(repository)[0]
        replace_object(repository.backend, name, repository.backend.read(name)[:length])
        found = fetched(repository, ids)
        bad = [blob_id for blob_id, blob in found.items() if isinstance(blob, IntegrityError)]
        assert 0 < len(bad) <= 40
        assert (len(bad) < 40) == (length == 300_000)


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS[:3])
        (name,) = data_packs(repository)
        repository.backend.delete(name)
        found = fetched(repository, ids)
        assert {str(error) for error in found.values()} == {
            str(IntegrityError("pack", name[-32:], "it is missing"))
        }
        with BlobReader(repository) as reader, pytest.raises(IntegrityError, match=name[-32:]):
            reader.read(ids[0])


def test_packs_swapped_by_the_storage_are_noticed(tmp_path: Path) -> None:
    backend: Backend = create()
    with open_repository(backend, tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        first, second = data_packs(repository)[:2]
        one, two = backend.read(first), backend.read(second)
        replace_object(backend, first, two)
        replace_object(backend, second, one)
        found = fetched(repository, ids)
        wrong = [blob for blob in found.values() if isinstance(blob, IntegrityError)]
        assert len(wrong) > 50
        assert all(blob in BLOBS for blob in found.values() if not isinstance(blob, IntegrityError))


def test_one_blob_of_a_pack_costs_one_short_read(tmp_path: Path) -> None:
    with open_repository(create(), tmp_path) as repository:
        ids = store_blobs(repository, BLOBS)
        reads: list[int] = []
        inner = repository.backend.read_range

        def counted(name: str, offset: int, length: int) -> bytes:
            reads.append(length)
            return inner(name, offset, length)

        repository.backend.read_range = counted  # type: ignore[method-assign]
        with BlobReader(repository) as reader:
            reader.read(ids[50])
            reader.read(ids[50])
        assert len(reads) <= 2
        assert sum(reads) <= 2 * SLICE_SIZE + 100
        assert names_in(repository.backend, "packs/")
