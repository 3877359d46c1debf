"""How much is stored, and what deduplication and compression save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.log_expiry import needed_objects
from holdfast.operations.references import iter_references, roots_of
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

    Cost: without a choice that of reading the index; with one, of walking the trees, and 100
    bytes of memory a blob.
    """
    view = repository.load_view()
    chosen = view.snapshots if snapshots is None else list(snapshots)
    index = repository.index
    logical = sum(snapshot.stats.logical_bytes for snapshot in chosen)
    tables = dict(index.packs())
    if snapshots is None:
        logs = [info.size for info in repository.backend.list(layout.LOGS)]
        return RepositoryStats(
            snapshots=len(chosen),
            logical_bytes=logical,
            unique_bytes=sum(table.plain_size for table in tables.values()),
            stored_bytes=sum(table.stored_size for table in tables.values()),
            packs=len(tables),
            blobs=sum(table.blob_count for table in tables.values()),
            log_segments=len(logs),
            log_bytes=sum(logs),
        )
    needed = needed_objects(repository, chosen)
    used: dict[int, int] = {}
    blobs = _referenced(repository, chosen)
    for blob_id in blobs:
        location = index.require(blob_id)
        used[location.pack] = used.get(location.pack, 0) + location.length
    return RepositoryStats(
        snapshots=len(chosen),
        logical_bytes=logical,
        unique_bytes=sum(used.values()),
        stored_bytes=sum(
            length * tables[pack].stored_size // max(1, tables[pack].plain_size)
            for pack, length in used.items()
        ),
        packs=len(used),
        blobs=len(blobs),
        log_segments=len(needed),
        log_bytes=sum(segment.stored_size for segment in needed.values()),
    )


def _referenced(repository: Repository, snapshots: Sequence[Snapshot]) -> set[BlobId]:
    """Return the ids of all blobs, pages included, that the snapshots refer to."""
    referenced: set[BlobId] = set()
    roots = roots_of(snapshots)
    with BlobReader(repository) as reader:
        for page_id, blobs in iter_references(reader, roots):
            referenced.add(page_id)
            referenced.update(blobs)
    return referenced


def _ratio(one: int, other: int) -> float:
    return one / other if other else 1.0
