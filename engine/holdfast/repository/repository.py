"""An opened repository: its config, keys, commits and index.

Opening costs two reads (config, key slot) and a key derivation; everything else is read when it
is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from holdfast.backends.base import Backend
from holdfast.clock import Clock
from holdfast.crypto.aead import Suite
from holdfast.crypto.keys import Subkeys
from holdfast.crypto.secrets import Secret
from holdfast.errors import IntegrityError, NotFoundError, RepositoryNotFoundError
from holdfast.format.config import CONFIG_NAME, Config, decode_config
from holdfast.format.envelope import Envelope, ObjectKind, check_header, check_version
from holdfast.format.index import PackEntry, decode_index
from holdfast.format.snapshot import Commit, Snapshot, decode_commit, open_snapshot
from holdfast.hashing import TRAILER_LENGTH
from holdfast.ids import ObjectId
from holdfast.repository import layout
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.cache import Cache
from holdfast.repository.keyring import unlock


@dataclass(frozen=True, slots=True)
class CommittedSnapshot:
    """A snapshot together with the commit that carries it."""

    snapshot: Snapshot
    commit: Commit
    object_hash: bytes
    """Trailer of the stored object: 32 bytes, the next commit's previous hash."""


class Repository:
    """An opened repository; a context manager. For one thread.

    Made by `open`; closing releases the cache and the backend.
    """

    def __init__(
        self,
        backend: Backend,
        config: Config,
        repository_id: bytes,
        root_key: bytes,
        slot_id: str,
        *,
        cache: Cache,
        clock: Clock,
    ) -> None:
        self.backend = backend
        self.config = config
        self.repository_id = repository_id
        self.root_key = root_key
        self.slot_id = slot_id
        """The key slot that opened this session."""
        self.keys = Subkeys.derive(root_key, repository_id)
        self.envelope = Envelope(repository_id, self.keys.objects, Suite(config.suite))
        self.cache = cache
        self.clock = clock
        self.index = BlobIndex(cache)
        self.problems: list[IntegrityError] = []
        """Damaged snapshot and index objects met so far; `check` explains them."""

    @classmethod
    def open(cls, backend: Backend, secret: Secret, *, cache_dir: str, clock: Clock) -> Repository:
        """Open the repository behind `backend`.

        Args:
            backend: closed again with the repository, also if opening fails.
            secret: opens one of its key slots.
            cache_dir: parent of the caches of all repositories.
            clock: for times in new objects.

        Raises:
            RepositoryNotFoundError: there is no config.
            UnsupportedVersionError: of a newer format.
            WrongKeyError: the secret opens no slot.
            IntegrityError: the config is damaged.
            CacheError: the cache cannot be used.
        """
        try:
            try:
                data = backend.read(CONFIG_NAME)
            except NotFoundError as error:
                raise RepositoryNotFoundError(backend.location) from error
            check_version(data, backend.location)
            repository_id = check_header(data, ObjectKind.CONFIG, CONFIG_NAME)
            slot_id, root_key = unlock(backend, secret, repository_id)
            keys = Subkeys.derive(root_key, repository_id)
            envelope = Envelope(repository_id, keys.objects, Suite.AES_256_GCM)
            config = decode_config(envelope.open(ObjectKind.CONFIG, CONFIG_NAME, data))
            cache = Cache(os.path.join(cache_dir, repository_id.hex()))
        except BaseException:
            backend.close()
            raise
        return cls(backend, config, repository_id, root_key, slot_id, cache=cache, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release cache and backend; harmless if repeated."""
        self.index.release()
        self.cache.close()
        self.backend.close()

    @property
    def journal_directory(self) -> str:
        """Where the journals of this repository's runs lie."""
        return os.path.join(self.cache.directory, "journal")

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots, ascending by time. Cost: two LISTs and a GET for each new one."""
        return [committed.snapshot for committed in self.committed_snapshots()]

    def committed_snapshots(self) -> list[CommittedSnapshot]:
        """Return all snapshots that no forget mark hides, ascending by time."""
        hidden = {info.name.rsplit("/", 1)[-1] for info in self.backend.list(layout.FORGETS)}
        shown = [item for item in self.commits() if item.snapshot.id not in hidden]
        shown.sort(key=lambda item: (item.snapshot.time_ns, item.snapshot.id))
        return shown

    def commits(self, *, believe_cache: bool = True) -> list[CommittedSnapshot]:
        """Return every commit, hidden ones too; damaged ones go to `problems`.

        Each is authenticated anew: the cache keeps sealed objects only.

        Args:
            believe_cache: take objects that are in the repository from the cache where it has
                them; a copy may be sound while the object is not.
        """
        ids = sorted(
            snapshot_id
            for info in self.backend.list(layout.SNAPSHOTS)
            if (snapshot_id := layout.id_of(info.name)) is not None
        )
        objects = self._cached_objects(ids) if believe_cache else {}
        commits: list[CommittedSnapshot] = []
        fresh: dict[ObjectId, bytes] = {}
        for snapshot_id in ids:
            data = objects.get(snapshot_id)
            try:
                committed = None if data is None else self._open_commit(snapshot_id, data)
            except IntegrityError:
                committed = None  # the cache's copy is damaged; the repository's may be sound
            try:
                if committed is None:
                    data = self.backend.read(layout.snapshot_name(snapshot_id))
                    committed = self._open_commit(snapshot_id, data)
                    fresh[snapshot_id] = data
            except IntegrityError as error:
                self._note(error)
                continue
            except NotFoundError:
                continue  # forgotten and pruned since the listing
            commits.append(committed)
        if fresh:
            self._remember(fresh)
        return commits

    def load_index(self, *, for_writing: bool = False) -> BlobIndex:
        """Bring the blob index up to date with all commits, and return it.

        Index objects that cannot be read go to `problems`; their blobs are unknown. On a local
        store index objects and packs are listed too (3 ms): blobs of a lost one count as unknown,
        so the next backup stores them again.

        Args:
            for_writing: whether blobs in it will be referred to by a new snapshot; see
                `index_ids`.
        """
        trusted = self.index_ids(self.commits(), for_writing=for_writing)
        if not self.backend.is_remote:
            listed = self._listed_index_ids()
            for index_id in sorted(trusted - listed):
                self._note(IntegrityError("index object", index_id, "it is missing"))
            trusted &= listed
        for error in self.index.synchronize(trusted, self.read_index):
            self._note(error)
        if not self.backend.is_remote:
            present = {layout.id_of(info.name) or "" for info in self.backend.list(layout.PACKS)}
            for pack_id in self.index.set_present(present):
                self._note(IntegrityError("pack", pack_id, "it is missing"))
        return self.index

    def index_ids(self, commits: Iterable[CommittedSnapshot], *, for_writing: bool) -> set[str]:
        """Return the index objects that count: those that commits name.

        What a damaged snapshot object names is not known. For reading, every index object counts
        then, since each blob is verified; a new snapshot must not rest on any that nobody names.
        """
        trusted = {index_id for item in commits for index_id in item.commit.index_ids}
        if not for_writing and any(error.kind == "snapshot" for error in self.problems):
            trusted |= self._listed_index_ids()
        return trusted

    def read_index(self, index_id: str) -> list[PackEntry]:
        """Read and open one index object.

        Raises:
            IntegrityError: it is damaged or missing.
        """
        name = layout.index_name(index_id)
        try:
            data = self.backend.read(name)
        except NotFoundError as error:
            raise IntegrityError("index object", index_id, "it is missing") from error
        return decode_index(self.envelope.open(ObjectKind.INDEX, name, data), index_id)

    def _listed_index_ids(self) -> set[str]:
        listed = (layout.id_of(info.name) for info in self.backend.list(layout.INDEX))
        return {index_id for index_id in listed if index_id is not None}

    def _open_commit(self, snapshot_id: ObjectId, data: bytes) -> CommittedSnapshot:
        name = layout.snapshot_name(snapshot_id)
        commit = decode_commit(self.envelope.open(ObjectKind.SNAPSHOT, name, data), snapshot_id)
        snapshot = open_snapshot(
            commit.sealed, snapshot_id, self.keys.snapshots, self.repository_id
        )
        return CommittedSnapshot(snapshot, commit, bytes(data[-TRAILER_LENGTH:]))

    def _cached_objects(self, ids: Iterable[ObjectId]) -> dict[ObjectId, bytes]:
        database = self.cache.database(b"snapshots")
        with self.cache.reading() as transaction:
            found = {
                snapshot_id: transaction.get(bytes.fromhex(snapshot_id), db=database)
                for snapshot_id in ids
            }
        return {snapshot_id: data for snapshot_id, data in found.items() if data is not None}

    def _remember(self, objects: dict[ObjectId, bytes]) -> None:
        database = self.cache.database(b"snapshots")
        self.index.release()
        with self.cache.writing() as transaction:
            for snapshot_id, data in objects.items():
                transaction.put(bytes.fromhex(snapshot_id), data, db=database)

    def _note(self, error: IntegrityError) -> None:
        if all(str(error) != str(known) for known in self.problems):
            self.problems.append(error)
