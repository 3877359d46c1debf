"""What a blob takes follows from its slices; what all of a pack take is the pack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.benchmark.stored_shares import StoredShares
from holdfast.ids import BlobId
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository
from support.sessions import (
    SLICE_SIZE,
    create,
    open_repository,
    packs_of,
    random_bytes,
    store_blobs,
)

TEXT = b"the same words again and again " * 3000
NOISE = random_bytes(150_000)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(create(), tmp_path / "cache") as opened:
        yield opened


def test_shares_of_a_pack_are_the_pack(repository: Repository) -> None:
    blobs = [TEXT, NOISE, b"", random_bytes(100, 2), TEXT[5:], random_bytes(70_000, 3)]
    ids = store_blobs(repository, blobs)
    repository.load_view()
    shares = StoredShares(repository.index)
    packs = packs_of(repository)
    assert shares.blob_count == sum(len(entry.lengths) for entry in packs)
    found = [shares.find(blob_id) for blob_id in ids]
    assert [each and each[0] for each in found] == [len(blob) for blob in blobs]
    (pack,) = [entry for entry in packs if sum(entry.lengths) == sum(map(len, blobs))]
    assert sum(each[1] for each in found if each) == pytest.approx(pack.stored_size)


def test_text_beside_noise_takes_little(repository: Repository) -> None:
    text, noise = store_blobs(repository, [TEXT, NOISE])
    repository.load_view()
    shares = StoredShares(repository.index)
    of_text, of_noise = shares.find(text), shares.find(noise)
    assert of_text is not None
    assert of_noise is not None
    # The slice that holds the end of one and the beginning of the other counts for both.
    assert of_text[1] < 0.05 * len(TEXT) + SLICE_SIZE
    assert of_text[1] < of_noise[1] / 2
    assert of_noise[1] > 0.7 * len(NOISE)


def test_what_is_unknown_or_lost_takes_nothing(repository: Repository) -> None:
    (blob_id,) = store_blobs(repository, [NOISE])
    repository.load_view()
    assert StoredShares(repository.index).find(BlobId(bytes(32))) is None
    (pack,) = [entry for entry in packs_of(repository) if sum(entry.lengths) == len(NOISE)]
    repository.backend.delete(pack_name(pack.pack_id))
    repository.load_view()
    assert StoredShares(repository.index).find(blob_id) is None
