"""From CONDEMN to SEAL: which condemned packs go, and what the index is from then on.

Whoever runs prune next can do this part, on any host: it needs nothing but the repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.errors import IntegrityError
from holdfast.format.envelope import ObjectKind
from holdfast.format.gc import Close, Seal, join_ids, split_joined
from holdfast.format.index import PackEntry, encode_index
from holdfast.ids import BlobId, ObjectId, new_object_id
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.log_expiry import decided_horizons
from holdfast.operations.prune_survey import require_sound
from holdfast.operations.references import roots_of
from holdfast.policy.prune_plan import IndexUsage, plan_index
from holdfast.repository import layout
from holdfast.repository.listing import list_objects
from holdfast.repository.log_state import LogState
from holdfast.repository.repository import Repository
from holdfast.repository.settling import live_ids
from holdfast.repository.view import View
from holdfast.repository.writer import INDEX_BLOBS


@dataclass(slots=True)
class Sealed:
    """What a SEAL that we wrote says."""

    kept: int = 0
    """Condemned packs that somebody needs."""
    forgotten: int = 0
    """Snapshots."""


@dataclass(slots=True)
class _Merge:
    """Index objects that take the place of others."""

    replaced: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


def decide(repository: Repository, live: LiveBlobs, log: LogState, host: str) -> Sealed | None:
    """Close the open cycle, unless it is closed, and seal it.

    What takes long is done before the CLOSE, since writers wait for the SEAL: the needed packs
    are found and index objects merged. After it only what commits have brought meanwhile is
    looked at.

    Args:
        repository: opened.
        live: what was needed a moment ago, or nothing yet; takes what is needed now.
        log: with an open cycle.
        host: where this runs, for people.

    Returns:
        None if somebody else went on with the cycle.

    Raises:
        IntegrityError: what is needed cannot be known; the cycle stays open and nothing is lost.
    """
    decision = _Decision(repository, live, log)
    decision.prepare()
    if not log.is_closed:
        close = Close(previous_hash=log.last_hash, time_ns=repository.clock.now_ns(), host=host)
        if not repository.log.append(log, close):
            return None
        closed = repository.log.read()
        if closed.last != log.next or not closed.is_closed:
            return None
        log = closed
    return decision.seal(log, host)


class _Decision:
    """One cycle's decision. For one thread."""

    def __init__(self, repository: Repository, live: LiveBlobs, log: LogState) -> None:
        self._repository = repository
        self._live = live
        self._condemned = log.condemned
        self._stray_index = split_joined(log.condemn.index_ids) if log.condemn else []
        self._kept: set[ObjectId] = set()
        """Condemned packs that are needed."""
        self._dropped: set[ObjectId] = set()
        """Packs that merged index objects do not list."""
        self._ids: dict[int, ObjectId] = {}
        self._merge = _Merge()

    def prepare(self) -> None:
        """Find out what is needed as of now, and merge index objects accordingly."""
        view = self._load()
        self._live.add(roots_of(view.snapshots))
        safe = self._safe_packs()
        for _, places in self._live.join(self._repository.index):
            for pack, _ in places:
                if pack in safe:
                    break
            else:
                self._keep_place([pack for pack, _ in places])
        self._dropped = set(self._condemned - self._kept)
        self._merge = self._merge_index(view)

    def seal(self, log: LogState, host: str) -> Sealed | None:
        """Look at what came until the CLOSE, and write the SEAL."""
        repository = self._repository
        view = self._load()
        if view.log.last != log.last:
            return None
        try:
            for blobs in self._live.iter_new(roots_of(view.snapshots)):
                for blob_id in blobs:
                    self._keep_place(self._packs_of(blob_id))
        except IntegrityError:
            self._kept = set(self._condemned)  # nobody knows what the newest commits need
        trusted = repository.index_ids(view)
        made = set(self._merge.made)
        if self._merge.replaced <= trusted:
            if missing := self._dropped & self._kept:
                made |= self._list_again(missing)
            index_ids = trusted - self._merge.replaced | made
            replaced = self._merge.replaced
        else:
            # A listing may miss both a partial snapshot and its successor, if one goes and the
            # other comes meanwhile: what they name must not be taken for merged.
            index_ids, replaced = trusted, set()
        present = set(list_objects(repository.backend, layout.PACKS))
        strays = {one for one in self._stray_index if one not in index_ids}
        listed_doomed = self._still_listed(log.doomed, index_ids)
        doomed = (self._condemned - self._kept) | listed_doomed | (log.doomed & present)
        forgotten = [item.id for item in view.commits if item.id in view.hidden]
        there = repository.listed_index_ids()
        entry = Seal(
            previous_hash=log.last_hash,
            time_ns=repository.clock.now_ns(),
            host=host,
            live=join_ids(live_ids(log, (i for i in view.commits if i.id not in view.hidden))),
            doomed=join_ids(doomed),
            index_ids=join_ids(index_ids),
            superseded=join_ids(replaced | strays | (log.superseded & there)),
            forgotten=join_ids(forgotten),
            logs=decided_horizons(repository, log, view.snapshots),
        )
        if not repository.log.append(log, entry):
            return None
        if repository.log.read().last != log.next:
            return None  # others went on, perhaps long ago: what the log says now holds
        return Sealed(len(self._kept), len(forgotten))

    def _load(self) -> View:
        """Load the index as readers see it: condemned packs are places."""
        repository = self._repository
        repository.problems.clear()
        view = repository.load_view()
        require_sound(repository)
        self._ids = dict(repository.index.pack_ids())
        return view

    def _safe_packs(self) -> set[int]:
        """Return the packs that stay whatever is decided."""
        is_usable = self._repository.index.is_usable
        return {
            number
            for number, pack_id in self._ids.items()
            if pack_id not in self._condemned and is_usable(number)
        }

    def _packs_of(self, blob_id: BlobId) -> list[int]:
        return [place.pack for place in self._repository.index.places(blob_id)]

    def _keep_place(self, packs: Iterable[int]) -> None:
        """Keep the condemned packs of a needed blob unless it lies elsewhere too."""
        is_usable, ids = self._repository.index.is_usable, self._ids
        there = [ids[pack] for pack in packs if is_usable(pack)]
        if all(pack_id in self._condemned for pack_id in there):
            self._kept.update(there)

    def _merge_index(self, view: View) -> _Merge:
        """Write index objects in the place of small ones and of those that list much that goes."""
        repository = self._repository
        trusted = repository.index_ids(view)
        dropped = self._dropped | view.log.doomed
        counts = {
            number: (table.blob_count, table.pack_id in dropped)
            for number, table in repository.index.packs()
        }
        usages = []
        for index_id, numbers in repository.index.listed_packs().items():
            if index_id in trusted:
                found = [counts[number] for number in numbers]
                dead = sum(count for count, is_dropped in found if is_dropped)
                usages.append(IndexUsage(index_id, sum(count for count, _ in found), dead))
        replaced = plan_index(usages, most_blobs=INDEX_BLOBS)
        entries = (
            entry
            for index_id in sorted(replaced)
            for entry in repository.read_index(index_id)
            if entry.pack_id not in dropped
        )
        return _Merge(replaced, self._write_index(entries))

    def _list_again(self, packs: set[ObjectId]) -> set[str]:
        """Write an index object of packs that were thought to go and are needed."""
        repository = self._repository
        return self._write_index(
            entry
            for index_id in sorted(self._merge.replaced)
            for entry in repository.read_index(index_id)
            if entry.pack_id in packs
        )

    def _write_index(self, entries: Iterable[PackEntry]) -> set[str]:
        """Store entries, each pack once, in as few index objects as may be."""
        made: set[str] = set()
        seen: set[ObjectId] = set()
        part: list[PackEntry] = []
        blobs = 0
        for entry in entries:
            if entry.pack_id in seen:
                continue
            seen.add(entry.pack_id)
            if part and blobs + len(entry.lengths) > INDEX_BLOBS:
                made.add(self._store(part))
                part, blobs = [], 0
            part.append(entry)
            blobs += len(entry.lengths)
        if part:
            made.add(self._store(part))
        return made

    def _store(self, entries: list[PackEntry]) -> str:
        index_id = new_object_id()
        name = layout.index_name(index_id)
        data = self._repository.envelope.seal(ObjectKind.INDEX, name, encode_index(entries))
        self._repository.backend.create(name, data)
        return index_id

    def _still_listed(self, doomed: Iterable[ObjectId], index_ids: set[str]) -> set[ObjectId]:
        """Return the doomed packs that an index object still lists, so that they stay named."""
        ids, doomed = self._ids, set(doomed)
        listed = self._repository.index.listed_packs()
        return {
            ids[number]
            for index_id in index_ids & listed.keys()
            for number in listed[index_id]
            if number in ids and ids[number] in doomed
        }
