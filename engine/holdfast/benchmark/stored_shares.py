"""What single blobs take in the storage, though packs are compressed slice by slice.

A pack may hold text beside photos. So a blob counts by its share of the slices that it lies in, and
not of the whole pack; what a pack has besides slices is spread over its plaintext.
"""

from __future__ import annotations

from array import array
from typing import Final

from holdfast.benchmark.sharing_report import NOTHING, Amount
from holdfast.ids import BlobId
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.pack_table import PackTable

_SLICE_SIZE: Final = slice(48, 52)
"""Where a pack's header says how long its slices are; docs/format.md#packs."""


class StoredShares:
    """Finds how long blobs are and what they take, in an index that is loaded.

    Memory: 200 bytes a pack, and 8 for each of its slices.
    """

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._packs: dict[int, tuple[int, array[float]]] = {}
        """Pack number -> plaintext bytes of a slice, and stored per plaintext bytes of each."""
        self.blob_count = 0
        """Blobs in packs that can be read; those in several count several times."""
        self.total = NOTHING
        """What these packs hold."""
        for number, table in index.packs():
            # A pack that prune has deleted stays in the index until its index object is merged.
            if index.is_usable(number):
                self.blob_count += table.blob_count
                self.total += Amount(table.plain_size, table.stored_size)
                self._packs[number] = _densities(table)

    def find(self, blob_id: BlobId) -> tuple[int, float] | None:
        """Return the plaintext bytes of a blob and its stored ones; None if no pack has it.

        Cost: 4 us, if blobs are asked for in ascending order.
        """
        place = self._index.locate(blob_id)
        if place is None or not self._index.is_usable(place.pack):
            return None
        size, densities = self._packs[place.pack]
        at, end = place.offset, place.offset + place.length
        number = min(at // size, len(densities) - 1)
        stored = 0.0
        # What a damaged index object says to lie past the last slice counts as in it.
        while number + 1 < len(densities) and end > (border := (number + 1) * size):
            stored += (border - at) * densities[number]
            at = border
            number += 1
        return place.length, stored + (end - at) * densities[number]


def _densities(table: PackTable) -> tuple[int, array[float]]:
    size = max(1, int.from_bytes(table.header[_SLICE_SIZE], "little"))
    around = (table.stored_size - sum(table.slice_sizes)) / max(1, table.plain_size)
    densities = array("d")
    for number, stored in enumerate(table.slice_sizes):
        plain = min(size, table.plain_size - number * size)
        densities.append(stored / max(1, plain) + around)
    return size, densities or array("d", [0.0])
