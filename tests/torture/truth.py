"""What must be in the repository, whatever happened: kept apart from the program under test.

A snapshot is kept, gone, or unsure: the command that was to change its fate was killed, or two
commands did so at once. As long as any such command is running nothing is expected of it. A
listing made while nothing touches a snapshot tells what became of an unsure one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum

from torture.sources import Manifest


class Fate(Enum):
    """What is known of a snapshot."""

    KEPT = "kept"
    UNSURE = "unsure"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Backup:
    """One run of backup; its tag leads from any snapshot to it, also from those nobody reported."""

    number: int
    host: str
    path: str
    """Absolute path in the snapshot of what the manifest describes."""
    manifest: Manifest = field(repr=False)

    @property
    def tag(self) -> str:
        return f"backup-{self.number}"


@dataclass(eq=False, slots=True)
class Record:
    """A snapshot that was acknowledged."""

    id: str
    backup: Backup
    fate: Fate = Fate.KEPT
    busy: int = 0
    """Running commands that may change its fate."""
    touched: int = 0
    """Such commands that have begun or ended."""
    muddled: bool = False
    """Whether two of them ran at once."""
    can_clear: bool = True
    """Whether a listing can tell what became of it."""
    retagged: bool = False
    """Whether all that can have happened is that a killed `tag` has replaced it."""

    @property
    def is_certain(self) -> bool:
        return self.fate is Fate.KEPT and not self.busy


@dataclass(eq=False, slots=True)
class Change:
    """A running command that changes fates."""

    records: list[Record]
    hosts: Collection[str] = ()
    """Whose snapshots it may all change, those to come included."""
    is_undo: bool = False
    is_tag: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """What was certain when a command began to read."""

    touched: dict[Record, int]

    def still_certain(self) -> list[Record]:
        """Return the snapshots that were certain all the time since."""
        return [
            record
            for record, touched in self.touched.items()
            if record.is_certain and record.touched == touched
        ]


class Truth:
    """All snapshots, and the running commands that change their fates."""

    def __init__(self) -> None:
        self.backups: dict[str, Backup] = {}
        """By tag."""
        self.records: dict[str, Record] = {}
        self._numbers = itertools.count(1)
        self._changes: list[Change] = []
        self._forgotten_early: set[str] = set()
        """Forgotten before the backup itself had reported them."""
        self._unclear_ends: list[tuple[float, Collection[str]]] = []
        """When commands about all snapshots of hosts ended in an unclear way."""

    def new_backup(self, host: str, path: str, manifest: Manifest) -> Backup:
        """Note what a backup is about to save."""
        backup = Backup(next(self._numbers), host, path, manifest)
        self.backups[backup.tag] = backup
        return backup

    def acknowledge(self, snapshot_id: str, backup: Backup, started_s: float) -> None:
        """Note a snapshot that a command, begun at `started_s`, has reported as saved."""
        record = self.records[snapshot_id] = Record(snapshot_id, backup)
        if snapshot_id in self._forgotten_early:
            record.fate = Fate.GONE
        elif any(end > started_s and backup.host in hosts for end, hosts in self._unclear_ends):
            record.fate = Fate.UNSURE
        self._join_changes(record)

    def known(self, *fates: Fate) -> list[Record]:
        """Return the snapshots of some fates, the oldest first."""
        return [record for record in self.records.values() if record.fate in fates]

    def expect(self) -> Expectation:
        """Remember what is certain now, whether it is there or not."""
        return Expectation({r: r.touched for r in self.records.values() if not r.busy})

    def begin(self, records: Iterable[Record], hosts: Collection[str] = (), **kind: bool) -> Change:
        """A command begins that may change the fate of these, and of all that hosts have."""
        chosen = set(records)
        chosen |= {
            record
            for record in self.records.values()
            if record.backup.host in hosts and (record.fate is not Fate.GONE or record.busy)
        }
        change = Change([], hosts, **kind)
        for record in sorted(chosen, key=lambda record: record.id):
            self._join_changes(record)
            self._join(change, record)
            record.retagged = False
        self._changes.append(change)
        return change

    def _join_changes(self, record: Record) -> None:
        """Let commands about all snapshots of a host find one that has just become visible."""
        for change in self._changes:
            if record.backup.host in change.hosts and record not in change.records:
                self._join(change, record)

    def _join(self, change: Change, record: Record) -> None:
        change.records.append(record)
        record.busy += 1
        record.touched += 1
        record.muddled |= record.busy > 1

    def end(
        self,
        change: Change,
        now_s: float,
        *,
        gone: Collection[str] = (),
        kept: Collection[str] = (),
        is_unclear: bool = False,
    ) -> None:
        """The command has ended; fates that it does not name are as before unless it was killed."""
        self._changes.remove(change)
        self._forgotten_early.update(set(gone) - self.records.keys())
        if is_unclear:
            self._unclear_ends.append((now_s, change.hosts))
        for record in change.records:
            was_kept = record.fate is Fate.KEPT
            if record.muddled or is_unclear:
                record.fate = Fate.UNSURE
                record.can_clear &= not change.is_undo
                record.retagged = change.is_tag and was_kept and not record.muddled
            elif record.id in gone:
                record.fate = Fate.GONE
            elif record.id in kept:
                record.fate = Fate.KEPT
            record.busy -= 1
            record.touched += 1
            record.muddled &= record.busy > 0

    def compare_listing(
        self, listed: dict[str, str], expectation: Expectation, started_s: float
    ) -> list[str]:
        """Compare a listing with what must be there, and learn from it about what is unsure.

        Args:
            listed: id of each snapshot -> tag that leads to its backup.
            expectation: of when the listing began.
            started_s: when it began.

        Returns:
            What is wrong.
        """
        wrong = []
        for record, touched in expectation.touched.items():
            if record.busy or record.touched != touched:
                continue
            is_there = record.id in listed
            if record.fate is Fate.KEPT and not is_there:
                wrong.append(f"{record.id} of {record.backup.tag} is not listed any more")
            elif record.fate is Fate.GONE and is_there:
                wrong.append(f"{record.id} of {record.backup.tag} was forgotten and is listed")
            elif record.fate is Fate.UNSURE and record.can_clear:
                wrong += self._clear(record, listed, started_s)
        return wrong

    def _clear(self, record: Record, listed: dict[str, str], started_s: float) -> list[str]:
        if record.id in listed:
            record.fate = Fate.KEPT
            return []
        if not record.retagged:
            record.fate = Fate.GONE
            return []
        if any(record.backup.host in change.hosts for change in self._changes):
            return []  # its successor may just have been forgotten
        tag = record.backup.tag
        successors = [one for one in listed if listed[one] == tag and one not in self.records]
        record.fate = Fate.GONE
        if not successors:
            return [f"{record.id} of {tag} is gone, and no snapshot with the new tags is there"]
        for successor in successors:
            self.acknowledge(successor, record.backup, started_s)
        return []
