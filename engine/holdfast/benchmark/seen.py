"""Which chunks a stream already has, and where, in constant memory."""

from __future__ import annotations

from array import array
from typing import Final

from holdfast.benchmark.sample import GROUPS

MOST_SLOTS: Final = 1 << 20
"""16 bytes each; chunks of 4 KiB fill it with 3 GiB of distinct data."""
_FIRST_SLOTS: Final = 1 << 12
_POSITION_BITS: Final = 56
_POSITION: Final = (1 << _POSITION_BITS) - 1


class Seen:
    """A hash table from ids of chunks to positions. For one thread at a time.

    When it is full, only half of the groups go on, then a quarter, and so on: what is
    known of them is complete, so that a later version is recognised, and they stand for the others.
    If that frees too little, since most data is in one group, everything is forgotten.

    Linear probing: Knuth, "The Art of Computer Programming", volume 3, section 6.4, algorithm L.
    Cost: 0.3 us for each call.
    """

    def __init__(self, most_slots: int = MOST_SLOTS) -> None:
        """Prepare an empty table.

        Args:
            most_slots: of the table, a power of two.
        """
        self._most_slots = most_slots
        self.groups = GROUPS
        """Files of the groups 0 to this - 1 take part. Never grows."""
        self.is_complete = True
        """Whether nothing was ever let go."""
        self._clear(min(_FIRST_SLOTS, most_slots))

    def find(self, chunk_id: int) -> int:
        """Return the position of a chunk (id at least 1), -1 if it is not known."""
        ids, mask = self._ids, self._mask
        slot = chunk_id & mask
        while (known := ids[slot]) != chunk_id:
            if not known:
                return -1
            slot = (slot + 1) & mask
        return self._places[slot] & _POSITION

    def add(self, chunk_id: int, position: int, group: int) -> None:
        """Note a chunk that is not known.

        Args:
            chunk_id: at least 1.
            position: in the stream, below 2**56.
            group: of its file, less than `groups`.
        """
        self._put(chunk_id, position | group << _POSITION_BITS)
        if self._count > self._most:
            self._make_room()

    def _put(self, chunk_id: int, place: int) -> None:
        ids, mask = self._ids, self._mask
        slot = chunk_id & mask
        while ids[slot]:
            slot = (slot + 1) & mask
        ids[slot] = chunk_id
        self._places[slot] = place
        self._count += 1

    def _make_room(self) -> None:
        """Grow, or let groups go, or forget everything."""
        ids, places, before = self._ids, self._places, self._count
        if len(ids) < self._most_slots:
            self._clear(len(ids) * 2)
        else:
            self.is_complete = False
            self.groups = max(1, self.groups // 2)
            self._clear(len(ids))
        for chunk_id, place in zip(ids, places, strict=True):
            if chunk_id and place >> _POSITION_BITS < self.groups:
                self._put(chunk_id, place)
        if len(ids) == len(self._ids) and self._count * 4 > before * 3:
            self._clear(len(ids))

    def _clear(self, slots: int) -> None:
        self._ids = array("Q", bytes(8 * slots))
        self._places = array("Q", bytes(8 * slots))
        self._mask = slots - 1
        self._most = slots // 4 * 3
        self._count = 0
