"""What the log of prune means: which commits and index objects count, which packs must be avoided.

Pure. docs/prune.md explains the protocol and argues that it loses nothing; the names of the
predicates are those of that page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from holdfast.format.gc import FIRST_HASH, NO_ENTRY, Condemn, Seal, first_of_cycle, split_joined
from holdfast.ids import ObjectId


@dataclass(frozen=True)
class LogState:
    """The log as one reading found it: the last SEAL and what came after it."""

    last: int = NO_ENTRY
    """Number of the last entry."""
    last_hash: bytes = FIRST_HASH
    """Trailer of the last entry."""
    seal_number: int = NO_ENTRY
    seal: Seal | None = None
    condemn: Condemn | None = None
    """Of the cycle that is open: not sealed yet."""
    is_closed: bool = False
    """Whether the open cycle is closed: its SEAL decides about commits of older views."""
    stale: tuple[int, ...] = field(default=(), compare=False)
    """Entries that mean nothing any more: older than the last sealed cycle."""

    @property
    def next(self) -> int:
        """Number of the entry to come."""
        return self.last + 1

    @property
    def is_open(self) -> bool:
        """Whether a cycle has begun and is not sealed."""
        return self.condemn is not None

    @property
    def open_cycle(self) -> int:
        """Number of the open cycle's CONDEMN; of the next cycle's if none is open."""
        return first_of_cycle(self.last) if self.is_open else self.next

    @cached_property
    def live(self) -> frozenset[ObjectId]:
        """Snapshots that the last SEAL named."""
        return frozenset(split_joined(self.seal.live)) if self.seal else frozenset()

    @cached_property
    def forgotten(self) -> frozenset[ObjectId]:
        """Snapshots whose forget marks the last SEAL made final."""
        return frozenset(split_joined(self.seal.forgotten)) if self.seal else frozenset()

    @cached_property
    def doomed(self) -> frozenset[ObjectId]:
        """Packs that are deleted or about to be."""
        return frozenset(split_joined(self.seal.doomed)) if self.seal else frozenset()

    @cached_property
    def superseded(self) -> frozenset[ObjectId]:
        """Index objects that are deleted or about to be."""
        return frozenset(split_joined(self.seal.superseded)) if self.seal else frozenset()

    @cached_property
    def sealed_index(self) -> frozenset[ObjectId]:
        """Index objects that the last SEAL named."""
        return frozenset(split_joined(self.seal.index_ids)) if self.seal else frozenset()

    @cached_property
    def condemned(self) -> frozenset[ObjectId]:
        """Packs that the open cycle may delete."""
        return frozenset(split_joined(self.condemn.packs)) if self.condemn else frozenset()

    @cached_property
    def bad(self) -> frozenset[ObjectId]:
        """Packs that no writer may build upon."""
        return self.condemned | self.doomed

    def is_valid(self, snapshot_id: str, view: int) -> bool:
        """Tell whether a commit counts. One that does not is void: nobody relies on it.

        A commit that is younger than the last cycle counts unless that cycle forgot it.
        """
        if self.seal is None:
            return True
        if view >= first_of_cycle(self.seal_number):
            return snapshot_id not in self.forgotten
        return snapshot_id in self.live

    def is_decided(self, view: int) -> bool:
        """Tell whether a valid commit stays so whatever the next SEAL says."""
        return not self.is_closed or view >= self.open_cycle

    def trusted_index(self, later: Iterable[tuple[str, Iterable[str]]]) -> set[str]:
        """Return the index objects that count.

        Args:
            later: id and index objects of each commit that counts. What a commit in `live` names
                is in the SEAL's own list already, or was superseded by it.
        """
        trusted: set[str] = set(self.sealed_index)
        for snapshot_id, index_ids in later:
            if snapshot_id not in self.live:
                trusted.update(index_ids)
        return trusted - self.superseded

    def knows_dooms_since(self, view: int) -> bool:
        """Tell whether every pack doomed since a view was read is still named by this log.

        A SEAL names doomed packs while they exist; one that is gone may be dropped by the SEAL
        after it. So at most one SEAL may have come since.
        """
        return first_of_cycle(self.seal_number) - 3 <= view if self.seal else True
