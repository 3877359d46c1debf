"""How much is stored, and what deduplication and compression save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.format.snapshot import Snapshot
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.log_expiry import needed_objects
from holdfast.operations.references import roots_of
from holdfast.repository import layout
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryStats:
    """Figures of a repository or of some of its snapshots."""

    snapshots: int
    logical_bytes: int
    """Sum of the sizes of all files in all snapshots: what plain copies would take."""
    unique_bytes: int
    """Plaintext bytes of distinct blobs, trees included."""
    stored_bytes: int
    """Bytes of packs for those blobs, after compression and encryption."""
    packs: int
    blobs: int
    log_segments: int = 0
    """Archived segments of databases' logs; of some snapshots those that they need."""
    log_bytes: int = 0
    """Stored bytes of these; in no other figure."""

    @property
    def dedupe_ratio(self) -> float:
        """Logical bytes per unique byte."""
        return _ratio(self.logical_bytes, self.unique_bytes)

    @property
    def compression_ratio(self) -> float:
        """Unique bytes per stored byte."""
        return _ratio(self.unique_bytes, self.stored_bytes)

    @property
    def total_ratio(self) -> float:
        """Logical bytes per stored byte."""
        return _ratio(self.logical_bytes, self.stored_bytes)


def repository_stats(
    repository: Repository, snapshots: Sequence[Snapshot] | None = None
) -> RepositoryStats:
    """Measure a repository, or what some of its snapshots use.

    Args:
        repository: opened.
        snapshots: those to count; None for all, which also counts blobs that no snapshot needs
            any more and reads no tree.

    Raises:
        IntegrityError: a tree of the chosen snapshots cannot be read.

    Cost: without a choice that of reading the index's table of packs; with one, of walking the
    trees and reading the index once. Memory: as `LiveBlobs`.
    """
    view = repository.load_view()
    chosen = view.snapshots if snapshots is None else list(snapshots)
    index = repository.index
    logical = sum(snapshot.stats.logical_bytes for snapshot in chosen)
    if snapshots is None:
        unique = stored = packs = blobs = 0
        # Index objects go on listing what prune has removed until they are merged.
        doomed = view.log.doomed
        for _, table in index.packs():
            if table.pack_id in doomed:
                continue
            unique += table.plain_size
            stored += table.stored_size
            packs += 1
            blobs += table.blob_count
        logs = [info.size for info in repository.backend.list(layout.LOGS)]
        return RepositoryStats(
            snapshots=len(chosen),
            logical_bytes=logical,
            unique_bytes=unique,
            stored_bytes=stored,
            packs=packs,
            blobs=blobs,
            log_segments=len(logs),
            log_bytes=sum(logs),
        )
    needed = needed_objects(repository, chosen)
    used: Counter[int] = Counter()
    count = 0
    with (
        BlobReader(repository) as reader,
        LiveBlobs(reader, repository.cache.directory) as live,
    ):
        live.add(roots_of(chosen))
        for blob_id, places in live.join(index):
            pack, length = next(
                (place for place in places if index.is_usable(place[0])),
                places[0] if places else (index.require(blob_id).pack, 0),
            )
            used[pack] += length
            count += 1
    return RepositoryStats(
        snapshots=len(chosen),
        logical_bytes=logical,
        unique_bytes=sum(used.values()),
        stored_bytes=sum(
            used[number] * table.stored_size // max(1, table.plain_size)
            for number, table in index.packs()
            if number in used
        ),
        packs=len(used),
        blobs=count,
        log_segments=len(needed),
        log_bytes=sum(segment.stored_size for segment in needed.values()),
    )


def _ratio(one: int, other: int) -> float:
    return one / other if other else 1.0
