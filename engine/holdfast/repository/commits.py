"""Reading commits: each snapshot object once from the repository, then from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.backends.base import Backend
from holdfast.crypto.keys import Subkeys
from holdfast.errors import IntegrityError, NotFoundError
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.format.snapshot import Commit, Snapshot, decode_commit, open_snapshot
from holdfast.hashing import TRAILER_LENGTH
from holdfast.ids import ObjectId
from holdfast.repository import layout
from holdfast.repository.cache import Cache
from holdfast.repository.listing import list_objects


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A snapshot object."""

    id: ObjectId
    commit: Commit
    snapshot: Snapshot | None
    """None for the commit of a repack: it only brings index objects."""
    object_hash: bytes
    """Trailer of the stored object: 32 bytes, the next commit's previous hash."""


class CommitReader:
    """Reads the snapshot objects of one repository. For one thread."""

    def __init__(self, backend: Backend, envelope: Envelope, keys: Subkeys, cache: Cache) -> None:
        self._backend = backend
        self._envelope = envelope
        self._keys = keys
        self._cache = cache

    def read_all(
        self,
        on_damage: Callable[[IntegrityError], None],
        *,
        believe_cache: bool = True,
    ) -> list[StoredCommit]:
        """Return every commit, whether it counts or not, in no particular order.

        Each is authenticated anew: the cache keeps sealed objects only.

        Args:
            on_damage: called for an object that cannot be opened.
            believe_cache: take objects that are in the repository from the cache where it has
                them; a copy may be sound while the object is not.

        Cost: a LIST, and a GET for each that is new here.
        """
        ids = sorted(list_objects(self._backend, layout.SNAPSHOTS))
        objects = self._cached_objects(ids) if believe_cache else {}
        commits: list[StoredCommit] = []
        fresh: dict[ObjectId, bytes] = {}
        for snapshot_id in ids:
            data = objects.get(snapshot_id)
            try:
                stored = None if data is None else self._open(snapshot_id, data)
            except IntegrityError:
                stored = None  # the cache's copy is damaged; the repository's may be sound
            try:
                if stored is None:
                    data = self._backend.read(layout.snapshot_name(snapshot_id))
                    stored = self._open(snapshot_id, data)
                    fresh[snapshot_id] = data
            except IntegrityError as error:
                on_damage(error)
                continue
            except NotFoundError:
                continue  # forgotten and pruned since the listing
            commits.append(stored)
        if fresh:
            self.remember(fresh)
        return commits

    def _open(self, snapshot_id: ObjectId, data: bytes) -> StoredCommit:
        name = layout.snapshot_name(snapshot_id)
        commit = decode_commit(self._envelope.open(ObjectKind.SNAPSHOT, name, data), snapshot_id)
        snapshot = None
        if commit.sealed:
            snapshot = open_snapshot(
                commit.sealed, snapshot_id, self._keys.snapshots, self._envelope.repository_id
            )
        return StoredCommit(snapshot_id, commit, snapshot, bytes(data[-TRAILER_LENGTH:]))

    def _cached_objects(self, ids: Iterable[ObjectId]) -> dict[ObjectId, bytes]:
        database = self._cache.database(b"snapshots")
        with self._cache.reading() as transaction:
            found = {
                snapshot_id: transaction.get(bytes.fromhex(snapshot_id), db=database)
                for snapshot_id in ids
            }
        return {snapshot_id: data for snapshot_id, data in found.items() if data is not None}

    def remember(self, objects: dict[ObjectId, bytes]) -> None:
        """Keep snapshot objects that are in the repository."""
        database = self._cache.database(b"snapshots")
        with self._cache.writing() as transaction:
            for snapshot_id, data in objects.items():
                transaction.put(bytes.fromhex(snapshot_id), data, db=database)
