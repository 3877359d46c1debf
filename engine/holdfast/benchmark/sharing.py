"""Which snapshots share what: read off the trees and the index of a repository, not the source.

Three steps, none of which grows with the blobs in memory: each distinct page is read once, and
(blob, page) noted in files; sets of snapshots go down from page to page; then one pass over the
sorted notes, beside the index, which is sorted too, adds up what each set of snapshots holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import and_
from typing import Final

from holdfast.benchmark.directory_tree import NOWHERE, DirectoryTree
from holdfast.benchmark.nights import forecast_days, make_nights
from holdfast.benchmark.page_graph import PageGraph
from holdfast.benchmark.sharing_report import (
    Amount,
    HostSharing,
    HotDirectory,
    SharingReport,
    SnapshotSharing,
)
from holdfast.benchmark.snapshot_sums import SnapshotSums
from holdfast.benchmark.stored_shares import StoredShares
from holdfast.errors import IntegrityError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.stats import RepositoryStats, repository_stats
from holdfast.progress import Progress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository

_HOT: Final = 0.01
"""Share of all that came in from which on a directory is worth a row."""
_UPDATE: Final = 1 << 16
"""Blobs between two updates of the progress: a tenth of a second."""


def analyse_snapshots(
    repository: Repository, snapshots: Sequence[Snapshot], progress: Progress
) -> SharingReport:
    """Measure what snapshots share, and what each of them holds alone.

    Args:
        repository: opened.
        snapshots: those to report on. Whatever is chosen, they are compared with all snapshots
            of the repository: what others need is freed by forgetting none of these.
        progress: watches.

    Returns:
        The figures; damaged pages are left out of them and named there.

    Raises:
        BackendError: the storage failed.

    Memory: 200 bytes for each distinct page, 50 MB, and 250 bytes for each directory that
    changed. Disk: 36 bytes beside the cache for each blob that a page names. Cost: decoding
    each distinct page once, and 10 us for each blob that it names.
    """
    whole = repository_stats(repository)
    view = repository.view or repository.load_view()
    problems = list(repository.problems)
    history = _History(view.snapshots, {snapshot.id for snapshot in snapshots})
    with (
        BlobReader(repository) as reader,
        PageGraph(
            reader, history.directories, repository.cache.directory, problems.append
        ) as graph,
    ):
        history.read(graph, progress)
        shares = StoredShares(repository.index)
        missing = history.count(graph, shares, progress)
    return history.report(whole, shares.total, problems, missing)


class _History:
    """All snapshots of a repository, in the order in which they were made."""

    def __init__(self, snapshots: Sequence[Snapshot], chosen: set[str]) -> None:
        self.directories = DirectoryTree()
        self._snapshots = sorted(snapshots, key=lambda each: (each.time_ns, each.id))
        self._chosen = [snapshot.id in chosen for snapshot in self._snapshots]
        self._later = _find_later(self._snapshots)
        members: dict[str, int] = {}
        for number, snapshot in enumerate(self._snapshots):
            members[snapshot.host] = members.get(snapshot.host, 0) | 1 << number
        self._hosts = members
        self._sums = SnapshotSums(len(self._snapshots), list(members.values()))

    def read(self, graph: PageGraph, progress: Progress) -> None:
        """Read each distinct page once."""
        progress.begin("read trees", total_items=len(self._snapshots))
        size = 0
        for number, snapshot in enumerate(self._snapshots):
            is_counted = self._chosen[number] and self._later[number]
            root = self.directories.root(snapshot.host) if is_counted else NOWHERE
            for page_size in graph.add(snapshot.root_pages, root):
                size += page_size
                progress.update(number, size)
        progress.update(len(self._snapshots), size)
        progress.end()

    def count(self, graph: PageGraph, shares: StoredShares, progress: Progress) -> int:
        """Add up what each set of snapshots holds; return how many blobs no pack has."""
        progress.begin("count blobs", total_items=shares.blob_count)
        holders = graph.holders()
        missing = 0
        for blob_id, pages in graph.references():
            found = shares.find(blob_id)
            if found is None:
                missing += 1
                continue
            plain, stored = found
            held = holders[pages[0]]
            for page in pages[1:]:
                held |= holders[page]
            self._sums.add(held, plain, stored)
            self.directories.add(graph.directory_of(pages[0]), plain, stored, held & -held)
            if self._sums.blobs % _UPDATE == 0:
                progress.update(self._sums.blobs, 0)
        progress.update(self._sums.blobs, 0)
        progress.end()
        return missing

    def report(
        self,
        whole: RepositoryStats,
        in_packs: Amount,
        problems: Sequence[IntegrityError],
        missing: int,
    ) -> SharingReport:
        """Return the figures."""
        sums = self._sums
        measured = [
            SnapshotSharing(
                id=snapshot.id,
                time_ns=snapshot.time_ns,
                host=snapshot.host,
                raw_paths=snapshot.raw_paths,
                logical_bytes=snapshot.stats.logical_bytes,
                unique=unique,
                exclusive=exclusive,
                added=added,
            )
            for snapshot, unique, exclusive, added in zip(
                self._snapshots, sums.unique(), sums.exclusive(), sums.added(), strict=True
            )
        ]
        reported = tuple(compress(measured, self._chosen))
        later = compress(measured, map(and_, self._chosen, self._later))
        return SharingReport(
            snapshots=reported,
            hosts=self._report_hosts({snapshot.host for snapshot in reported}),
            directories=self._report_directories(),
            nights=make_nights(reported),
            forecast=forecast_days(reported, tuple(later)),
            needed=sums.total(),
            unneeded=in_packs - sums.total(),
            saved_across_hosts=sums.saved_across_hosts(),
            whole=whole,
            problems=tuple(problems),
            missing=missing,
        )

    def _report_hosts(self, chosen: set[str]) -> tuple[HostSharing, ...]:
        count = Counter(snapshot.host for snapshot in self._snapshots)
        size: Counter[str] = Counter()
        for snapshot in self._snapshots:
            size[snapshot.host] += snapshot.stats.logical_bytes
        reported = [
            HostSharing(
                host=host,
                snapshots=count[host],
                logical_bytes=size[host],
                unique=unique,
                exclusive=exclusive,
            )
            for host, (unique, exclusive) in zip(self._hosts, self._sums.of_hosts(), strict=True)
            if host in chosen
        ]
        return tuple(sorted(reported, key=lambda each: (-each.exclusive.stored, each.host)))

    def _report_directories(self) -> tuple[HotDirectory, ...]:
        counted = Counter(
            snapshot.host
            for snapshot in compress(self._snapshots, map(and_, self._chosen, self._later))
        )
        reported = [
            HotDirectory(
                host=each.host,
                path=each.path,
                added=each.amount,
                changed=each.snapshots.bit_count(),
                snapshots=counted[each.host],
            )
            for each in self.directories.heavy(_HOT)
        ]
        return tuple(
            sorted(reported, key=lambda each: (-each.stored_per_snapshot, each.host, each.path))
        )


def _find_later(snapshots: Sequence[Snapshot]) -> list[bool]:
    """Tell of each whether its timeline has a complete snapshot before it.

    What the first one brings says how much there is, not how much of it changes.
    """
    begun: set[tuple[str, tuple[bytes, ...]]] = set()
    later = []
    for snapshot in snapshots:
        timeline = snapshot.host, tuple(sorted(set(snapshot.raw_paths)))
        later.append(timeline in begun)
        if not snapshot.partial:
            begun.add(timeline)
    return later
