"""Sums over blobs that sets of snapshots hold: what each snapshot and each host has, and has alone.

A repository holds millions of blobs in few distinct sets of snapshots, most of them runs of
neighbours: a file comes, stays and goes. So sums are kept by set, and now and then unfolded to
snapshots, run by run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from holdfast.benchmark.sharing_report import Amount

_MOST_SETS: Final = 1 << 16
"""Sets that are held before they are unfolded: 20 MB with a few hundred snapshots."""


@dataclass(slots=True)
class Sum:
    """What some blobs take; the stored bytes are shares of packs, hence no integers."""

    plain: int = 0
    stored: float = 0.0

    def add(self, other: Sum, times: int = 1) -> None:
        """Add another one, so many times."""
        self.plain += times * other.plain
        self.stored += times * other.stored

    @property
    def amount(self) -> Amount:
        """Return it in whole bytes."""
        return Amount(self.plain, round(self.stored))


class SnapshotSums:
    """Takes blobs with the sets of snapshots that hold them.

    Args:
        snapshots: how many there are.
        hosts: the set of each host's snapshots; disjoint.
    """

    def __init__(self, snapshots: int, hosts: Sequence[int]) -> None:
        self._hosts = hosts
        self._pending: dict[int, Sum] = {}
        self._steps = _sums(snapshots + 1)
        """By how much each snapshot holds more than the one before it."""
        self._exclusive = _sums(snapshots)
        self._added = _sums(snapshots)
        self._host_unique = _sums(len(hosts))
        self._host_exclusive = _sums(len(hosts))
        self._saved = Sum()
        self._total = Sum()
        self.blobs = 0

    def add(self, holders: int, plain: int, stored: float) -> None:
        """Take a blob. Cost: 0.4 us.

        Args:
            holders: set of snapshots, not empty; bit n is the nth.
            plain: bytes of plaintext.
            stored: bytes that they take.
        """
        self.blobs += 1
        found = self._pending.get(holders)
        if found is None:
            if len(self._pending) >= _MOST_SETS:
                self._unfold()
            found = self._pending[holders] = Sum()
        found.plain += plain
        found.stored += stored

    def unique(self) -> list[Amount]:
        """Return what each snapshot holds."""
        self._unfold()
        plain = accumulate(step.plain for step in self._steps[:-1])
        stored = accumulate(step.stored for step in self._steps[:-1])
        return [Amount(*both) for both in zip(plain, map(round, stored), strict=True)]

    def exclusive(self) -> list[Amount]:
        """Return what each snapshot alone holds."""
        self._unfold()
        return [each.amount for each in self._exclusive]

    def added(self) -> list[Amount]:
        """Return what each snapshot holds and no earlier one."""
        self._unfold()
        return [each.amount for each in self._added]

    def of_hosts(self) -> list[tuple[Amount, Amount]]:
        """Return of each host what its snapshots hold, and what no other host's do."""
        self._unfold()
        both = zip(self._host_unique, self._host_exclusive, strict=True)
        return [(unique.amount, exclusive.amount) for unique, exclusive in both]

    def saved_across_hosts(self) -> Amount:
        """Return what blobs of several hosts would take in addition, were they stored for each."""
        self._unfold()
        return self._saved.amount

    def total(self) -> Amount:
        """Return what all snapshots hold together."""
        self._unfold()
        return self._total.amount

    def _unfold(self) -> None:
        for holders, found in self._pending.items():
            first = (holders & -holders).bit_length() - 1
            self._total.add(found)
            self._added[first].add(found)
            if holders.bit_count() == 1:
                self._exclusive[first].add(found)
            for begin, end in runs(holders):
                self._steps[begin].add(found)
                self._steps[end].add(found, -1)
            having = [host for host, mask in enumerate(self._hosts) if holders & mask]
            for host in having:
                self._host_unique[host].add(found)
            if len(having) == 1:
                self._host_exclusive[having[0]].add(found)
            else:
                self._saved.add(found, len(having) - 1)
        self._pending.clear()


def runs(members: int) -> Iterator[tuple[int, int]]:
    """Yield the runs [begin, end) of neighbouring members of a set, ascending."""
    at = 0
    while members:
        gap = (members & -members).bit_length() - 1
        members >>= gap
        length = (~members & (members + 1)).bit_length() - 1
        members >>= length
        yield at + gap, at + gap + length
        at += gap + length


def _sums(count: int) -> list[Sum]:
    return [Sum() for _ in range(count)]
