"""What prune finds before it changes anything: what is needed, and what is in nobody's index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.errors import CommitVoidError, IntegrityError
from holdfast.ids import BlobId, ObjectId
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.references import roots_of
from holdfast.policy.prune_plan import PackUsage
from holdfast.repository import layout
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.listing import list_objects
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import LEASE_S
from holdfast.repository.view import View


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of a repository before a cycle of prune."""

    view: View
    present: dict[ObjectId, int]
    """Packs that the storage has, with their sizes."""
    packs: list[PackUsage]
    """Packs of the trusted index that are there."""
    orphans: list[ObjectId]
    """Packs that no trusted index object lists: interrupted runs left them."""
    stray_index: list[str]
    """Index objects that do not count."""
    index_objects: int
    """Those that do."""
    blobs: int
    """That they list."""
    lost: set[BlobId] = field(default_factory=set)
    """Needed blobs that have no place; check tells what that costs."""


@dataclass(frozen=True, slots=True)
class _Listing:
    packs: dict[ObjectId, tuple[int, float]]
    """Size, and when it was created by the storage's clock."""
    index: dict[ObjectId, float]


def require_sound(repository: Repository) -> None:
    """Refuse to go on where nobody can know what is needed.

    Raises:
        IntegrityError: a snapshot, an index object or the log cannot be read.
    """
    for problem in repository.problems:
        if problem.kind in ("snapshot", "index object", "gc entry"):
            raise problem


def survey(
    repository: Repository,
    live: LiveBlobs,
    *,
    has_sessions: bool,
    dry_run: bool = False,
    assume_forgotten: frozenset[str] = frozenset(),
) -> Survey:
    """Look at everything; the index is loaded then, for writing unless this is a dry run.

    Args:
        repository: opened.
        live: empty; takes what visible snapshots need.
        has_sessions: whether somebody may be writing: then what is new may be theirs.
        dry_run: look as a reader does, also while another prune is at work.
        assume_forgotten: snapshots to be taken for forgotten.

    Raises:
        IntegrityError: what is needed cannot be known, since something is damaged.
        CommitVoidError: another prune is at work.
    """
    # Listed first: a pack that is committed between the two is no orphan.
    listing = _list(repository)
    repository.problems.clear()
    view = repository.load_view(for_writing=not dry_run)
    require_sound(repository)
    if view.is_unsettled and not dry_run:
        raise CommitVoidError("the plan of a prune")
    live.add(roots_of(one for one in view.snapshots if one.id not in assume_forgotten))
    packs, lost = measure(repository.index, live)
    present = {pack_id: size for pack_id, (size, _) in listing.packs.items()}
    now_s = repository.clock.now_ns() / 1e9

    def is_ripe(modified_s: float) -> bool:
        return not has_sessions or now_s - modified_s > LEASE_S

    trusted = view.index_ids()
    known = {pack_id for _, pack_id in repository.index.pack_ids()} | view.bad
    return Survey(
        view,
        present,
        [pack for pack in packs if pack.pack_id in present and pack.pack_id not in view.bad],
        sorted(
            pack_id
            for pack_id, (_, modified_s) in listing.packs.items()
            if pack_id not in known and is_ripe(modified_s)
        ),
        sorted(
            index_id
            for index_id, modified_s in listing.index.items()
            if index_id not in trusted
            and index_id not in view.log.superseded
            and is_ripe(modified_s)
        ),
        len(trusted),
        sum(table.blob_count for _, table in repository.index.packs()),
        lost,
    )


def measure(index: BlobIndex, live: LiveBlobs) -> tuple[list[PackUsage], set[BlobId]]:
    """Return how much of each pack is needed, and which needed blobs have no place.

    A blob with several places counts for the pack of which most is needed anyway.
    """
    size_at: Counter[int] = Counter()
    lost: set[BlobId] = set()
    has_copies = False
    for blob_id, places in live.join(index):
        usable = [place for place in places if index.is_usable(place[0])]
        has_copies |= len(usable) > 1
        if not usable:
            lost.add(blob_id)
        for pack, length in usable:
            size_at[pack] += max(length, 1)
    if has_copies:
        plain = {number: table.plain_size for number, table in index.packs()}
        part = {pack: size / max(1, plain[pack]) for pack, size in size_at.items()}
        size_at = Counter()
        for _, places in live.join(index):
            usable = [place for place in places if index.is_usable(place[0])]
            if usable:
                pack, length = max(usable, key=lambda place: (part[place[0]], place[0]))
                size_at[pack] += max(length, 1)
    usages = [
        PackUsage(
            number,
            table.pack_id,
            table.kind,
            table.stored_size,
            table.plain_size,
            min(size_at[number], max(table.plain_size, 1)),
        )
        for number, table in index.packs()
    ]
    return usages, lost


def _list(repository: Repository) -> _Listing:
    packs = list_objects(repository.backend, layout.PACKS)
    index = list_objects(repository.backend, layout.INDEX)
    return _Listing(
        {pack_id: (info.size, info.modified_s) for pack_id, info in packs.items()},
        {index_id: info.modified_s for index_id, info in index.items()},
    )


def damage_of(lost: Iterable[BlobId]) -> list[IntegrityError]:
    """Describe needed blobs that have no place."""
    return [IntegrityError("blob", blob_id.hex(), "no pack has it") for blob_id in sorted(lost)]
