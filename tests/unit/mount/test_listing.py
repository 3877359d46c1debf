"""Entries of a directory from any number on, in any order of questions."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from holdfast.errors import IntegrityError
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.vfs.directory import SnapshotDirectory
from holdfast.vfs.listing import Listing
from support.snapshots import snapshot_at
from support.trees import DictSource, directory_node, file_node

ENTRIES = 1000
PAGE = 64


def listing_of(source: DictSource, count: int) -> Listing:
    nodes = [file_node(source, b"%06d" % number) for number in range(count)]
    node = directory_node(source, b"d", nodes)
    return Listing(SnapshotDirectory(source, snapshot_at(0), 1, node, b"/d"))


def some(listing: Listing, start: int, count: int) -> list[tuple[int, bytes]]:
    return [(number, node.name) for number, node in islice(listing.iterate(start), count)]


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, ENTRIES])
def test_from_any_number_on(count: int) -> None:
    source = DictSource(page_length=PAGE)
    expected = [(number, b"%06d" % number) for number in range(count)]
    for seed in range(3):
        choose = random.Random(seed)
        listing = listing_of(source, count)
        starts = [*range(count + 2), ENTRIES * 2]
        choose.shuffle(starts)
        for start in starts:
            length = choose.choice([1, 3, PAGE, 2 * PAGE])
            assert some(listing, start, length) == expected[start : start + length]
        assert some(listing, 0, count + 1) == expected


def test_going_on_reads_few_pages() -> None:
    source = DictSource(page_length=PAGE)
    listing = listing_of(source, ENTRIES)
    assert len(some(listing, 0, ENTRIES)) == ENTRIES
    source.pages_read = 0
    assert some(listing, 900, 10)[-1] == (909, b"000909")
    assert source.pages_read == 1


def test_a_damaged_page() -> None:
    """It is an error to come by it, and what is before it is found."""
    source = DictSource(page_length=PAGE)
    listing = listing_of(source, ENTRIES)
    content = listing.directory.node.content
    source.damaged.add(BlobId(content[5 * BLOB_ID_LENGTH : 6 * BLOB_ID_LENGTH]))
    with pytest.raises(IntegrityError):
        some(listing, 0, ENTRIES)
    assert len(some(listing, 0, 5 * PAGE)) == 5 * PAGE
    for start in (5 * PAGE, 400, ENTRIES - 1):
        with pytest.raises(IntegrityError):
            some(listing, start, 1)
