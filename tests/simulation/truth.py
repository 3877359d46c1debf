"""What must be true of the snapshots of a simulation, whatever the schedule was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from support.repos import Tree


class Fate(Enum):
    """What must be seen of a snapshot."""

    KEPT = auto()
    """It is listed and reads back."""
    FORGOTTEN = auto()
    """It is not listed."""
    OPEN = auto()
    """Either: somebody died over a change, or two changes overlapped."""


@dataclass(slots=True, eq=False)
class Change:
    """A change of the fate of some snapshots that is under way."""

    outcome: Fate
    """Theirs when it is acknowledged."""
    overlapped: set[str] = field(default_factory=set)
    """Those that another change was aimed at meanwhile."""
    contested: set[str] = field(default_factory=set)
    """… with another outcome."""
    is_withdrawn: bool = False
    """Whether it turned out that nothing was done."""


@dataclass(slots=True)
class _Record:
    fate: Fate
    version: int = 0
    """Rises with every change of the fate."""
    under_way: list[Change] = field(default_factory=list)


class Truth:
    """What was acknowledged, kept by the simulation beside the repository."""

    def __init__(self) -> None:
        self.contents: dict[str, Tree] = {}
        """Tag of a backup -> what its source held. Snapshots keep that tag when others come."""
        self._records: dict[str, _Record] = {}

    def acknowledge(self, snapshot_id: str) -> None:
        """A new snapshot was reported as made; others may have seen, and changed, it before."""
        if snapshot_id not in self._records:
            self._records[snapshot_id] = _Record(Fate.KEPT)

    @contextmanager
    def change(self, ids: Iterable[str], outcome: Fate) -> Iterator[Change]:
        """Carry out a change within the block; if it raises, the snapshots' fate is open."""
        before = {snapshot_id: self.fate(snapshot_id) for snapshot_id in ids}
        change = Change(outcome)
        for snapshot_id in before:
            record = self._records.setdefault(snapshot_id, _Record(Fate.OPEN))
            for other in record.under_way:
                other.overlapped.add(snapshot_id)
                change.overlapped.add(snapshot_id)
                if other.outcome is not outcome:
                    other.contested.add(snapshot_id)
                    change.contested.add(snapshot_id)
            record.under_way.append(change)
            self._set(record, Fate.OPEN)
        is_done = False
        try:
            yield change
            is_done = True
        finally:
            for snapshot_id in before:
                record = self._records[snapshot_id]
                record.under_way.remove(change)
                if not is_done or (snapshot_id in change.contested and not change.is_withdrawn):
                    self._set(record, Fate.OPEN)
                elif not change.is_withdrawn:
                    self._set(record, change.outcome)
                elif snapshot_id not in change.overlapped:
                    self._set(record, before[snapshot_id])

    def fate(self, snapshot_id: str) -> Fate:
        """Return what must be seen of a snapshot now."""
        record = self._records.get(snapshot_id)
        return Fate.OPEN if record is None else record.fate

    def all_of(self, fate: Fate) -> dict[str, int]:
        """Return the snapshots of that fate; the numbers change whenever the fate does."""
        return {one: rec.version for one, rec in self._records.items() if rec.fate is fate}

    @staticmethod
    def _set(record: _Record, fate: Fate) -> None:
        record.fate = fate
        record.version += 1
