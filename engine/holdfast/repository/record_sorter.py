"""Sorts more fixed-size records than memory should hold.

LMDB takes sorted appends at 1 us and 60 to 85 bytes an entry, unsorted ones at 8 us and 196
bytes. Blob ids are uniform, so a split by their first bits gives even partitions: records beyond
a bound are spilled to one file per partition, and each partition is sorted by itself. A partition
that is too large for memory is split by the next bits in the same way.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, Final

from holdfast.closing import Closing

_BITS: Final = 6
_PARTITIONS: Final = 1 << _BITS
_DEEPEST: Final = 5
"""Splits below one another, which is more than there can be records. What is still too much has
the same first bits because it is the same record."""
_IN_MEMORY: Final = 200_000
"""Records held before they are spilled: about 20 MB."""


class RecordSorter(Closing):
    """Takes records in any order and gives them back in ascending order.

    Args:
        directory: where to spill; files there have no name and vanish with the process.
        record_length: bytes of each record, 8 at the least; its first bytes are uniformly
            distributed.
        depth: how often records have been split already.
        prefix: the first `6 * depth` bits, which all records share.
    """

    def __init__(
        self, directory: str, record_length: int, *, depth: int = 0, prefix: int = 0
    ) -> None:
        self._directory = directory
        self._length = record_length
        self._depth = depth
        self._prefix = prefix
        self._records: list[bytes] = []
        self._files: list[IO[bytes]] = []

    def close(self) -> None:
        """Give up the files; harmless if repeated."""
        for file in self._files:
            file.close()

    def extend(self, records: Sequence[bytes]) -> None:
        """Take records."""
        self._records += records
        if len(self._records) >= _IN_MEMORY:
            self._spill()

    def sorted(self) -> Iterator[list[bytes]]:
        """Yield all records in ascending order, in lists of bounded length."""
        if not self._files:
            self._records.sort()
            yield self._records
            return
        self._spill()
        for number, file in enumerate(self._files):
            yield from self._sorted_part(number, file)

    def _sorted_part(self, number: int, file: IO[bytes]) -> Iterator[list[bytes]]:
        count = file.tell() // self._length
        file.seek(0)
        if count <= _IN_MEMORY or self._depth == _DEEPEST:
            records = self._split(file.read())
            records.sort()
            yield records
            return
        prefix = self._prefix << _BITS | number
        with RecordSorter(
            self._directory, self._length, depth=self._depth + 1, prefix=prefix
        ) as finer:
            while data := file.read(_IN_MEMORY * self._length):
                finer.extend(self._split(data))
            yield from finer.sorted()

    def _split(self, data: bytes) -> list[bytes]:
        return [data[at : at + self._length] for at in range(0, len(data), self._length)]

    def _spill(self) -> None:
        if not self._files:
            self._files = [
                tempfile.TemporaryFile(dir=os.fspath(self._directory))  # noqa: SIM115  # closed in __exit__
                for _ in range(_PARTITIONS)
            ]
        records = self._records
        records.sort()
        cuts = [bisect_left(records, first) for first in self._firsts()]
        for file, (start, stop) in zip(self._files, pairwise([*cuts, len(records)]), strict=True):
            file.write(b"".join(records[start:stop]))
        self._records = []

    def _firsts(self) -> Iterator[bytes]:
        """Yield what the records of each partition begin with at the least."""
        unused = 64 - _BITS * (self._depth + 1)
        for number in range(_PARTITIONS):
            yield ((self._prefix << _BITS | number) << unused).to_bytes(8, "big")
