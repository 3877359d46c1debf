"""An opened repository: its config, keys, commits, log of prune and index.

Opening costs two reads (config, key slot) and a key derivation; everything else is read when it
is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from holdfast.backends.base import Backend
from holdfast.clock import Clock
from holdfast.closing import Closing
from holdfast.crypto.aead import Suite
from holdfast.crypto.keys import Subkeys
from holdfast.crypto.secrets import Secret
from holdfast.errors import (
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    RepositoryNotFoundError,
)
from holdfast.format.config import CONFIG_NAME, Config, decode_config
from holdfast.format.envelope import Envelope, ObjectKind, check_header, check_version
from holdfast.format.index import PackEntry, decode_index
from holdfast.format.snapshot import Snapshot
from holdfast.ids import ObjectId
from holdfast.repository import layout
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.cache import Cache
from holdfast.repository.commits import CommitReader, StoredCommit
from holdfast.repository.gc_log import GcLog
from holdfast.repository.keyring import SlotMemory, unlock
from holdfast.repository.listing import list_objects
from holdfast.repository.lock_ledger import LedgerBackend, LockLedger, span_days
from holdfast.repository.log_state import LogState
from holdfast.repository.settling import Settler
from holdfast.repository.tree_cache import TreeCache
from holdfast.repository.view import View, make_view

_MOST_VIEWS: Final = 5
"""Views taken in a row because prune went on meanwhile; each needs a whole cycle of prune."""


class Repository(Closing):
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
        self.locks = _protect(backend, config, cache, clock)
        """What is known of Object Lock; None where objects are not protected."""
        if self.locks is not None:
            backend = LedgerBackend(backend, self.locks)
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
        self.trees: TreeCache | None = None
        """For storage far away: tree packs on this machine's disk."""
        if backend.is_remote:
            self.trees = TreeCache(backend, os.path.join(cache.directory, "trees"))
        self.index = BlobIndex(cache)
        self.log = GcLog(backend, self.envelope)
        self._commits = CommitReader(backend, self.envelope, self.keys, cache)
        self.settler = Settler(
            self.log, clock, self._read_whole_commits, may_seal=config.exclusive_create
        )
        self.view: View | None = None
        """What the index was last brought to; None before the first time."""
        self.problems: list[IntegrityError] = []
        """Damaged snapshot and index objects met so far; `check` explains them."""

    @classmethod
    def open(
        cls,
        backend: Backend,
        secret: Secret,
        *,
        cache_dir: str,
        clock: Clock,
        open_cache: Callable[[str], Cache] = Cache,
    ) -> Repository:
        """Open the repository behind `backend`.

        Args:
            backend: closed again with the repository, also if opening fails.
            secret: opens one of its key slots.
            cache_dir: parent of the caches of all repositories.
            clock: for times in new objects.
            open_cache: opens the cache in a directory; `AbsentCache` for who uses log archives only.

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
            directory = os.path.join(cache_dir, repository_id.hex())
            memory = SlotMemory(directory)
            likely = memory.recall()
            slot_id, root_key = unlock(backend, secret, repository_id, likely=likely)
            keys = Subkeys.derive(root_key, repository_id)
            envelope = Envelope(repository_id, keys.objects, Suite.AES_256_GCM)
            config = decode_config(envelope.open(ObjectKind.CONFIG, CONFIG_NAME, data))
            # Mirrors share the id of their origin, and nothing of what is true of the moment.
            cache = open_cache(
                os.path.join(cache_dir, config.instance.hex()) if config.instance else directory
            )
            if slot_id != likely:
                memory.remember(slot_id)
        except BaseException:
            backend.close()
            raise
        return cls(backend, config, repository_id, root_key, slot_id, cache=cache, clock=clock)

    def close(self) -> None:
        """Release cache and backend; harmless if repeated."""
        self.index.release()
        if self.trees is not None:
            self.trees.close()
        self.cache.close()
        self.backend.close()

    @property
    def journal_directory(self) -> str:
        """Where the journals of this repository's runs lie."""
        return os.path.join(self.cache.directory, "journal")

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots that nobody has forgotten, ascending by time.

        Cost: three LISTs, a GET for each snapshot that is new here, and for the log another LIST
        and three GETs at the most.
        """
        return self.take_view().snapshots

    def take_view(
        self,
        *,
        for_writing: bool = False,
        believe_cache: bool = True,
        before: LogState | None = None,
    ) -> View:
        """Read what counts now; damaged snapshot objects go to `problems`.

        Forget marks are listed before commits: whoever replaces a snapshot commits the new one
        before it marks the old one, so one of the two is always seen.

        Args:
            for_writing: as for `load_view`.
            believe_cache: as for `CommitReader.read_all`.
            before: the log as it was read just now; None to read it. Who only reads builds nothing
                upon commits, so what the log said before they were listed does not matter.

        Raises:
            IntegrityError: for writing: the log of prune is damaged.
        """
        if before is None and for_writing:
            before = self._read_log(for_writing=True)
        hidden = frozenset(list_objects(self.backend, layout.FORGETS))
        commits = self.read_commits(believe_cache=believe_cache)
        log = self._read_log(for_writing=for_writing)
        return make_view(
            log if before is None else before, log, hidden, commits, for_writing=for_writing
        )

    def _read_log(self, *, for_writing: bool) -> LogState:
        """Read the log of prune.

        If it is damaged nobody knows what counts. A reader takes everything then, since each
        blob is verified; a writer must not.
        """
        try:
            return self.log.read()
        except IntegrityError as error:
            if for_writing:
                raise
            self._note([error])
            return LogState()

    def read_commits(self, *, believe_cache: bool = True) -> list[StoredCommit]:
        """Return every commit, whether it counts or not; damaged ones go to `problems`."""
        self.index.release()
        damage: list[IntegrityError] = []
        commits = self._commits.read_all(damage.append, believe_cache=believe_cache)
        self._note(damage)
        return commits

    def remember_commit(self, commit_id: ObjectId, data: bytes) -> None:
        """Keep an object that was just created in the cache, so that nobody here fetches it."""
        self.index.release()
        self._commits.remember({commit_id: data})

    def _read_whole_commits(self) -> list[StoredCommit] | None:
        damage: list[IntegrityError] = []
        self.index.release()
        commits = self._commits.read_all(damage.append)
        return None if damage else commits

    def load_index(self) -> BlobIndex:
        """Bring the blob index up to date for reading, and return it; see `load_view`."""
        self.load_view()
        return self.index

    def load_view(self, *, for_writing: bool = False, settle: bool = True) -> View:
        """Read what counts and bring the blob index to it.

        Index objects that cannot be read go to `problems`; their blobs are unknown. On a local
        store index objects and packs are listed too (3 ms): blobs of a lost one count as unknown,
        so the next backup stores them again.

        Args:
            for_writing: whether blobs in it will be referred to by a new commit. Then nothing
                counts that may turn out void, nor packs that prune may delete; and an unsealed
                CLOSE is waited for, since nobody can say what counts before the SEAL.
            settle: False to wait for no SEAL, nor write one: for dry runs.
        """
        for attempt in range(_MOST_VIEWS):
            before = self.settler.wait() if for_writing and settle else None
            view = self.take_view(for_writing=for_writing, before=before)
            problems = self._bring_index_to(view)
            if not problems or attempt == _MOST_VIEWS - 1:
                break
            # What is missing may have been superseded since the view was taken.
            if self._read_log(for_writing=for_writing).last == view.log.last:
                break
        self._note(problems)
        self.view = view
        return view

    def refresh(self) -> bool:
        """Bring the index up to date while it is being read from; False if nothing has changed.

        For readers that miss a pack: prune may have moved its blobs. Pack numbers stay as they
        are. A writer's view never changes: what it builds upon was decided by it.
        """
        if self.view is None or self.view.for_writing:
            return False
        if self.view.log.last == self._read_log(for_writing=False).last:
            return False
        self.look_again()
        return True

    def look_again(self) -> View:
        """Read what counts now while the index is being read from: for readers that stay open.

        Pack numbers stay as they are.
        """
        view = self.take_view()
        self._bring_index_to(view, may_rebuild=False)
        self.view = view
        return view

    def _bring_index_to(self, view: View, *, may_rebuild: bool = True) -> list[IntegrityError]:
        """Load the index objects that count; return what is missing or damaged."""
        trusted = self.index_ids(view)
        problems: list[IntegrityError] = []
        if not self.backend.is_remote:
            listed = self.listed_index_ids()
            problems += [
                IntegrityError("index object", index_id, "it is missing")
                for index_id in sorted(trusted - listed)
            ]
            trusted &= listed
        problems += self.index.synchronize(trusted, self.read_index, may_rebuild=may_rebuild)
        self.index.avoid(view.bad)
        if not self.backend.is_remote:
            present = set(list_objects(self.backend, layout.PACKS))
            problems += [
                IntegrityError("pack", pack_id, "it is missing")
                for pack_id in self.index.set_present(present)
            ]
        return problems

    def index_ids(self, view: View) -> set[str]:
        """Return the index objects that count in a view.

        What a damaged snapshot object or SEAL names is not known. For reading, every index object
        counts then, since each blob is verified; a new snapshot must not rest on any that nobody
        names.
        """
        trusted = view.index_ids()
        damaged = {error.kind for error in self.problems}
        if view.for_writing or not damaged & {"snapshot", "gc entry"}:
            return trusted
        # What commits name besides may have been merged into others by a SEAL.
        listed = self.listed_index_ids()
        return listed if "gc entry" in damaged else trusted | listed

    def listed_index_ids(self) -> set[str]:
        """Return all index objects that there are."""
        return set(list_objects(self.backend, layout.INDEX))

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

    def _note(self, errors: Iterable[IntegrityError]) -> None:
        """Add what is not among the problems yet."""
        known = {str(error) for error in self.problems}
        for error in errors:
            if str(error) not in known:
                known.add(str(error))
                self.problems.append(error)


def _protect(backend: Backend, config: Config, cache: Cache, clock: Clock) -> LockLedger | None:
    """Have the storage protect what is created from now on, if that is the repository's wish.

    A copy on storage that cannot do it is a repository all the same; backups there tell people.
    """
    if not config.object_lock_days:
        return None
    try:
        backend.protect(span_days(config.object_lock_days))
    except ConfigurationError:
        return None
    path = os.path.join(cache.directory, "locks")
    return LockLedger(path, days=config.object_lock_days, clock=clock)
