"""What the snapshots of a repository share, and what each holds alone: plain figures. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast.benchmark.report import Forecast
from holdfast.errors import IntegrityError
from holdfast.operations.stats import RepositoryStats


@dataclass(frozen=True, slots=True)
class Amount:
    """Some blobs, before and after compression and encryption."""

    plain: int
    """Bytes of plaintext."""
    stored: int
    """Bytes that they take in packs; a blob counts by its share of the slices that it lies in."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.plain + other.plain, self.stored + other.stored)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.plain - other.plain, self.stored - other.stored)


NOTHING: Final = Amount(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSharing:
    """One snapshot: each blob that its tree names, pages included, counts once."""

    id: str
    time_ns: int
    host: str
    raw_paths: tuple[bytes, ...]
    logical_bytes: int
    """Sum of the sizes of its files."""
    unique: Amount
    """All that it needs."""
    exclusive: Amount
    """What no other snapshot needs: a prune frees it once this one alone is forgotten."""
    added: Amount
    """What no earlier snapshot needs, of any host: it came with this one."""

    @property
    def shared(self) -> Amount:
        """Return what other snapshots need too."""
        return self.unique - self.exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSharing:
    """All snapshots of one host together."""

    host: str
    snapshots: int
    logical_bytes: int
    unique: Amount
    """All that they need."""
    exclusive: Amount
    """What no other host's snapshots need: a prune frees it once this host is forgotten."""

    @property
    def shared(self) -> Amount:
        """Return what other hosts have too."""
        return self.unique - self.exclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class HotDirectory:
    """A directory that brings much that is new, backup after backup."""

    host: str
    path: bytes
    """Absolute."""
    added: Amount
    """What came with it and below it after the first snapshot of its timeline; without what other
    hot directories below it brought, so no byte counts twice."""
    changed: int
    """Snapshots in which it brought something."""
    snapshots: int
    """Snapshots of the host after the first of each timeline."""

    @property
    def stored_per_snapshot(self) -> float:
        """Return the stored bytes that it brings, on average over those snapshots."""
        return self.added.stored / max(1, self.snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A day on which at least one snapshot was made."""

    day: int
    """Days since 1970-01-01, in UTC."""
    snapshots: int
    added: Amount
    """What no snapshot of an earlier day needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingReport:
    """All that the snapshots of a repository say of what they share."""

    snapshots: tuple[SnapshotSharing, ...]
    """Ascending by time."""
    hosts: tuple[HostSharing, ...]
    """The one with most exclusive bytes first."""
    directories: tuple[HotDirectory, ...]
    """The one that brings most first; only those with at least 1 % of what all bring."""
    nights: tuple[Night, ...]
    """Ascending by day."""
    forecast: Forecast | None
    """Stored bytes per day and after so many days; None before there are three nights."""
    needed: Amount
    """What any snapshot of the repository needs."""
    unneeded: Amount
    """What none needs, or is stored twice: the next prune frees most of it."""
    saved_across_hosts: Amount
    """What would be stored in addition if each host had a repository of its own."""
    whole: RepositoryStats
    """The figures of `stats`: with what no snapshot needs any more, and archived logs."""
    problems: tuple[IntegrityError, ...]
    """Damaged pages, of which nobody knows what they name; the figures leave that out."""
    missing: int
    """Blobs that snapshots need and no pack has; in no figure."""
