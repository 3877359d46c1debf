"""How fast blobs enter the index and are looked up in it: LMDB, by the engine's own index.

The index holds random ids, as keyed hashes are, and as many as the user says: what counts is
whether it fits into memory.
"""

from __future__ import annotations

import os
import random
from array import array
from itertools import count
from typing import Final

from holdfast.benchmark.speed_data import seeded_draw
from holdfast.benchmark.speed_report import Measure, Rate, Stage, Unit
from holdfast.benchmark.speed_timing import Stopwatch
from holdfast.format.index import PackEntry
from holdfast.format.pack import PACK_HEADER_LENGTH, BlobKind
from holdfast.ids import BLOB_ID_LENGTH
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.cache import Cache

DEFAULT_BLOBS: Final = 1_000_000
LEAST_BLOBS: Final = 1_000
MOST_BLOBS: Final = 1_000_000_000
BYTES_PER_BLOB: Final = 160
"""Of disk while an index is built: the index itself, and its entries while they are sorted."""
_OBJECT_BLOBS: Final = 50_000
"""Blobs of an index object."""
_PACK_BLOBS: Final = 500
_BLOB_SIZE: Final = 128 << 10
_ENTERED_BLOBS: Final = 10_000
"""Of the index objects that enter a full index, like those of a backup of 1 GiB."""
_LOOKUPS: Final = 2_000
"""Of one run."""
_MOST_KNOWN: Final = 50_000
_LOOKUP_S: Final = 0.4
_ENTER_S: Final = 0.5


def measure_index(directory: str, blobs: int, watch: Stopwatch) -> list[Measure]:
    """Build an index of `blobs` blobs in an empty directory and measure it; it is left there.

    Returns:
        Blobs a second that a build sorts and enters, once; that one more index object enters; and
        that are looked up, some that are there and some that are not.

    Raises:
        CacheError: the directory cannot be used.

    Cost: about 3 us a blob; memory does not grow with their number.
    """
    objects = _Objects(blobs)
    cache = Cache(os.path.join(directory, "index"))
    try:
        index = BlobIndex(cache)
        names = [f"{number:032x}" for number in range(-(-blobs // _OBJECT_BLOBS))]
        begin_s = watch.now_s()
        index.rebuild(names, objects.load)
        build = Rate(blobs / max(1e-9, watch.now_s() - begin_s), 0.0, 1)
        draw = seeded_draw(1)
        known = objects.known
        draw.shuffle(known)
        absent = [draw.randbytes(BLOB_ID_LENGTH) for _ in range(_LOOKUPS)]

        def look_up(ids: list[bytes], number: int) -> float:
            start = number * _LOOKUPS % len(ids)
            asked = ids[start : start + _LOOKUPS]
            for blob_id in asked:
                index.contains(blob_id)
            return len(asked)

        lookup_known = watch.rate(lambda number: look_up(known, number), _LOOKUP_S)
        lookup_new = watch.rate(lambda number: look_up(absent, number), _LOOKUP_S)
        numbers = count(len(names))

        def enter(_number: int) -> float:
            number = next(numbers)
            index.add_committed(f"{number:032x}", objects.entries(number, _ENTERED_BLOBS))
            return _ENTERED_BLOBS

        entering = watch.rate(enter, _ENTER_S)
        index.release()
    finally:
        cache.close()
    rates = {
        "build": build,
        "enter": entering,
        "look-up-known": lookup_known,
        "look-up-new": lookup_new,
    }
    return [
        Measure(stage=Stage.INDEX, name=name, unit=Unit.PER_S, single=rate)
        for name, rate in rates.items()
    ]


class _Objects:
    """Makes index objects that list random blobs, each time the same.

    Args:
        blobs: in all.
    """

    def __init__(self, blobs: int) -> None:
        self._blobs = blobs
        self._kept = max(1, _MOST_KNOWN * _PACK_BLOBS // blobs)
        """Ids that are noted of each pack."""
        self.known: list[bytes] = []
        """Some ids of every pack that was loaded."""

    def load(self, name: str) -> list[PackEntry]:
        """Return the packs of an index object, whose name is its number."""
        number = int(name, 16)
        length = min(_OBJECT_BLOBS, self._blobs - number * _OBJECT_BLOBS)
        entries = self.entries(number, length)
        for entry in entries:
            end = min(len(entry.ids), self._kept * BLOB_ID_LENGTH)
            self.known += [
                entry.ids[at : at + BLOB_ID_LENGTH] for at in range(0, end, BLOB_ID_LENGTH)
            ]
        return entries

    def entries(self, number: int, blobs: int) -> list[PackEntry]:
        """Return packs of `blobs` blobs that no other number gives."""
        draw = seeded_draw(number)
        return [
            _entry(draw, min(_PACK_BLOBS, blobs - first)) for first in range(0, blobs, _PACK_BLOBS)
        ]


def _entry(draw: random.Random, blobs: int) -> PackEntry:
    header = bytearray(PACK_HEADER_LENGTH)
    header[24:40] = draw.randbytes(16)
    header[40] = BlobKind.DATA
    lengths = array("I", [_BLOB_SIZE]) * blobs
    slices = array("I", [_BLOB_SIZE]) * (-(-blobs * _BLOB_SIZE // (1 << 20)))
    ids = draw.randbytes(BLOB_ID_LENGTH * blobs)
    return PackEntry(bytes(header), blobs * _BLOB_SIZE, slices, lengths, ids)
