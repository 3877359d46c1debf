"""Where new data comes in: the few directories that explain most of it.

A table of all directories answers nothing, and one of the topmost says "/". What is wanted are
the deepest directories that matter: hierarchical heavy hitters (Cormode, Korn, Muthukrishnan and
Srivastava, VLDB 2003). A directory is one if it brings a certain share of everything by itself and
by what is below it, without what other heavy hitters below it bring. So no byte counts twice, and
there are at most as many of them as shares make a whole.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from holdfast.benchmark.sharing_report import Amount
from holdfast.benchmark.snapshot_sums import Sum

NOWHERE: Final = 0
"""Number of no directory."""
_DEEPEST: Final = 12
"""Levels below "/" that are told apart; deeper directories count for the one that holds them."""


@dataclass(frozen=True, slots=True)
class HeavyDirectory:
    """One that brings a certain share, without what others below it bring."""

    host: str
    path: bytes
    """Absolute."""
    amount: Amount
    snapshots: int
    """Set of those in which it brought something: bit n is the nth."""


@dataclass(slots=True)
class _Arrivals:
    """What came in with a directory, and in which snapshots."""

    sum: Sum = field(default_factory=Sum)
    snapshots: int = 0


class DirectoryTree:
    """Directories of some hosts, by numbers, and what came in with each.

    Memory: 250 bytes a directory; 100 more for those that something came in with.
    """

    def __init__(self) -> None:
        # A directory has a larger number than the one that it is in. The first is NOWHERE.
        self._names: list[bytes] = [b""]
        self._above = array("I", [NOWHERE])
        self._depths = bytearray(1)
        self._hosts: dict[int, str] = {}
        """Number of "/" -> host."""
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._arrivals: dict[int, _Arrivals] = {}

    def root(self, host: str) -> int:
        """Return the number of a host's "/"."""
        for number, other in self._hosts.items():
            if other == host:
                return number
        number = self._append(NOWHERE, b"", 0)
        self._hosts[number] = host
        return number

    def below(self, number: int, name: bytes) -> int:
        """Return the number of a directory in a directory, or that of the latter if it is deep."""
        depth = self._depths[number]
        if depth == _DEEPEST:
            return number
        found = self._numbers.get((number, name))
        if found is None:
            found = self._numbers[number, name] = self._append(number, name, depth + 1)
        return found

    def add(self, number: int, plain: int, stored: float, snapshot: int) -> None:
        """Note that something came in with a directory.

        Args:
            number: of the directory; for NOWHERE nothing is noted.
            plain: bytes of plaintext.
            stored: bytes that they take.
            snapshot: the set with the snapshot that brought it.
        """
        if number == NOWHERE:
            return
        found = self._arrivals.get(number)
        if found is None:
            found = self._arrivals[number] = _Arrivals()
        found.sum.plain += plain
        found.sum.stored += stored
        found.snapshots |= snapshot

    def heavy(self, share: float) -> Iterator[HeavyDirectory]:
        """Yield the directories that bring at least a share of all stored bytes; once.

        Args:
            share: 0 to 1, without 0.
        """
        enough = share * sum(each.sum.stored for each in self._arrivals.values())
        for number in range(len(self._names) - 1, NOWHERE, -1):
            found = self._arrivals.pop(number, None)
            if found is None:
                continue
            if found.sum.stored >= enough:
                yield HeavyDirectory(*self._locate(number), found.sum.amount, found.snapshots)
            elif self._above[number] != NOWHERE:
                rest = self._arrivals.setdefault(self._above[number], _Arrivals())
                rest.sum.add(found.sum)
                rest.snapshots |= found.snapshots

    def _append(self, above: int, name: bytes, depth: int) -> int:
        self._names.append(name)
        self._above.append(above)
        self._depths.append(depth)
        return len(self._names) - 1

    def _locate(self, number: int) -> tuple[str, bytes]:
        """Return host and path of a directory."""
        names = []
        while number not in self._hosts:
            names.append(self._names[number])
            number = self._above[number]
        return self._hosts[number], b"/" + b"/".join(reversed(names))
