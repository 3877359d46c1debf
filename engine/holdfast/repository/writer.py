"""A writing session: blobs in, packs and index objects out, a commit at the end.

The order of durability is the repository's safety: packs, then index objects, then the
snapshot. Whatever dies in between leaves objects that nothing refers to. Once a snapshot is
there, the log of prune is read again: if prune went on without it, it is void.

Memory: ids of blobs that are new since the last commit are kept in a set (110 bytes each); the
caller commits a partial snapshot when `new_blobs` grows large, which moves them to the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from holdfast.backends.base import Backend, ObjectWriter
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.crypto.keys import new_data_key
from holdfast.errors import BackendError, CommitVoidError, NotFoundError
from holdfast.format.envelope import ObjectKind
from holdfast.format.index import PackEntry, encode_index
from holdfast.format.node import Node, encode_page
from holdfast.format.pack import BlobKind, PackHeader, make_header, wrap_data_key
from holdfast.format.snapshot import Commit, Snapshot, encode_commit, seal_snapshot
from holdfast.hashing import TRAILER_LENGTH, Bytes, keyed_hasher
from holdfast.ids import BlobId, ObjectId, new_object_id
from holdfast.repository import layout
from holdfast.repository.commits import StoredCommit
from holdfast.repository.journal import Journal, adopt_journals
from holdfast.repository.listing import list_objects
from holdfast.repository.pack_stream import PackStream
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import Session, delete_quietly, list_sessions
from holdfast.repository.tree_cache import KeepingWriter
from holdfast.threads import working_threads

INDEX_BLOBS: Final = 250_000
"""Blobs of one index object at most: about 9 MB."""
_MOST_UPLOADS: Final = 8
"""Packs on their way at once: where each waits for a network, one connection is not enough."""
_MOST_LOOKS: Final = 16
"""Packs that are looked for one by one; of more, a listing tells."""
_FIRST: Final = bytes(32)


class Writer:
    """One writing session of an opened repository; a context manager. For one thread.

    Args:
        repository: its index must be loaded for writing.
        level: zstd level of data, None to store as is; trees are always compressed.
        dry_run: do everything but store.
        threads: that compress and seal; as many as there are cores by default.
        host: told to whoever prunes meanwhile.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        level: int | None,
        dry_run: bool = False,
        threads: int = 0,
        host: str = "",
    ) -> None:
        view = repository.view
        if view is None or not view.for_writing:
            raise ValueError("the index is not loaded for writing")
        self._view = view
        self._host = host
        self._repository = repository
        self._dry_run = dry_run
        self._backend: Backend = repository.backend
        if dry_run:
            self._backend = DiscardingBackend(repository.backend)
        threads = threads or working_threads()
        self._pool = ThreadPoolExecutor(threads, "holdfast-seal")
        self._uploads = max(1, min(repository.backend.parallelism, _MOST_UPLOADS))
        self._closer = ThreadPoolExecutor(self._uploads, "holdfast-store")
        self._data_key = new_data_key()
        self._wrapped_key = wrap_data_key(
            self._data_key, repository.keys.data_key_wrap, repository.repository_id
        )
        config = repository.config
        self._trees = None if dry_run else repository.trees
        self.data = self._stream(BlobKind.DATA, config.slice_size, threads, level)
        self.tree = self._stream(BlobKind.TREE, config.tree_slice_size, threads, 3)
        self.data_hash = repository.keys.data_hash()
        self._hasher = keyed_hasher(repository.keys.data_id)
        self._tree_hash = repository.keys.tree_hash()
        self._contains = repository.index.contains
        self.new: set[bytes] = set()
        """Ids of blobs that this session has added since its last commit."""
        self._entries: list[PackEntry] = []
        self._entry_blobs = 0
        self._index_ids: list[str] = []
        self._uncached: list[tuple[str, list[PackEntry]]] = []
        self._journal: Journal | None = None
        self._session: Session | None = None
        self.bytes_stored = 0
        """Bytes of packs made durable so far."""
        self.blobs_added = 0
        self.bytes_added = 0

    def __enter__(self) -> Self:
        if self._dry_run:
            return self
        repository, session_id, view = self._repository, new_object_id(), self._view.number
        self._journal = Journal(repository.journal_directory, session_id, view)
        try:
            self._session = Session(
                self._backend,
                repository.envelope,
                repository.clock,
                session_id=session_id,
                host=self._host,
                view=view,
            )
            self._adopt()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._abandon()
            self._pool.shutdown(cancel_futures=True)
            self._closer.shutdown()
            if self._session is not None:
                self._session.end()
        finally:
            if self._journal is not None:
                self._journal.close(committed=not self._entries and not self._index_ids)

    def knows(self, blob_id: bytes) -> bool:
        """Tell whether a blob needs not be stored. Cost: 0.2 us if new in this run, else 2 us."""
        return blob_id in self.new or self._contains(blob_id)

    @property
    def meets_damage(self) -> bool:
        """Whether what the parent refers to may be unknown: packs are lost, or prune is at work."""
        return self._repository.index.has_lost_packs or self._view.is_unsettled

    def add_data(self, data: Bytes) -> bytes:
        """Store a data blob unless it is known; return its id."""
        return self.add_chunks(memoryview(data), (len(data),))[0]

    def add_chunks(self, view: memoryview, ends: Sequence[int]) -> list[bytes]:
        """Store the chunks of a buffer unless they are known; return their ids.

        Cost: 6 us a chunk beside BLAKE3 and the copy. A dump comes here once for 3 KiB.

        Args:
            view: begins with the first chunk.
            ends: of each chunk, ascending.
        """
        hasher, new, contains, add = self._hasher, self.new, self._contains, self.data.add
        ids: list[bytes] = []
        start = blobs = size = 0
        for end in ends:
            chunk = view[start:end]
            blob_id: bytes = hasher().update(chunk).digest()
            if blob_id not in new and not contains(blob_id):
                add(blob_id, chunk)
                new.add(blob_id)
                blobs += 1
                size += end - start
            ids.append(blob_id)
            start = end
        self.blobs_added += blobs
        self.bytes_added += size
        return ids

    def count(self, blob_id: bytes, length: int) -> None:
        """Note a blob that was added to the stream."""
        self.new.add(blob_id)
        self.blobs_added += 1
        self.bytes_added += length

    def add_copy(self, kind: BlobKind, blob_id: bytes, data: Bytes) -> None:
        """Store a blob of another pack that has been verified and is not known."""
        (self.data if kind == BlobKind.DATA else self.tree).add(blob_id, data)
        self.count(blob_id, len(data))

    def begin_session(self) -> None:
        """Announce the session unless that has been done: something is about to be stored."""
        if self._session is not None:
            self._session.begin()

    def add_pack(self, entry: PackEntry) -> None:
        """Enter a pack that was just stored under its own name: one of a mirror's origin."""
        self.bytes_stored += entry.stored_size
        self._adopt_pack(entry)

    def add_page(self, nodes: list[Node]) -> bytes:
        """Store one page of a directory unless it is known; return its id."""
        return self.add_tree(encode_page(nodes))

    def add_ids(self, ids: bytes) -> bytes:
        """Store one id page (concatenated ids) unless it is known; return its id."""
        return self.add_tree(ids)

    def add_tree(self, data: bytes) -> bytes:
        """Store an encoded page of either kind unless it is known; return its id."""
        blob_id = self._tree_hash(data)
        if not self.knows(blob_id):
            self.tree.add(blob_id, data)
            self.count(blob_id, len(data))
        return blob_id

    def flush(self) -> None:
        """Make all packs and their index objects durable; nothing is committed yet."""
        self.data.flush()
        self.tree.flush()
        self._write_index()

    def renew_session(self) -> None:
        """Tell whoever prunes that this session goes on. Cost: nothing, most of the time."""
        if self._session is not None:
            self._session.renew()

    def commit(self, snapshot: Snapshot, previous: StoredCommit | None) -> StoredCommit:
        """Make everything so far durable and create the snapshot.

        Args:
            snapshot: with a root that this session added or reused.
            previous: the host's newest commit, None if this is its first.

        Returns:
            The commit; on return it is durable and stays.

        Raises:
            CommitVoidError: prune went on without it. The packs of this session stay in the
                journal: the next writer takes over what is left of them.
        """
        self.flush()
        repository = self._repository
        sealed = seal_snapshot(snapshot, repository.keys.snapshots, repository.repository_id)
        commit = self._make_commit(snapshot.host, sealed, previous)
        stored = self._create(ObjectId(snapshot.id), commit, snapshot)
        self._end_transaction()
        return stored

    def commit_index(self) -> None:
        """Make everything so far durable, and count, without a snapshot; as `commit` else.

        For repacks: what was stored is known to all from now on, and no snapshot is touched.
        """
        self.flush()
        if self._index_ids:
            self._create(new_object_id(), self._make_commit(self._host, b"", None), None)
            self._end_transaction()

    def _make_commit(self, host: str, sealed: bytes, previous: StoredCommit | None) -> Commit:
        return Commit(
            view=self._view.number,
            index_ids=tuple(self._index_ids),
            host=host,
            host_sequence=1 if previous is None else previous.commit.host_sequence + 1,
            previous_hash=_FIRST if previous is None else previous.object_hash,
            sealed=sealed,
        )

    def _create(
        self, commit_id: ObjectId, commit: Commit, snapshot: Snapshot | None
    ) -> StoredCommit:
        repository = self._repository
        name = layout.snapshot_name(commit_id)
        data = repository.envelope.seal(ObjectKind.SNAPSHOT, name, encode_commit(commit))
        self._backend.create(name, data)
        if not self._dry_run and not repository.settler.is_committed(commit_id, commit.view):
            delete_quietly(self._backend, name)
            raise CommitVoidError(f"the backup {commit_id[:12]}" if snapshot else "a repack")
        if not self._dry_run:
            repository.remember_commit(commit_id, data)
        return StoredCommit(commit_id, commit, snapshot, data[-TRAILER_LENGTH:])

    def _end_transaction(self) -> None:
        if not self._dry_run:
            for index_id, entries in self._uncached:
                self._repository.index.add_committed(index_id, entries)
        # A later commit of this session names these index objects again: if the partial
        # snapshot is deleted, they stay trusted.
        self._uncached.clear()
        self.new.clear()

    def begin_transaction(self) -> None:
        """The last commit is not a partial one: later ones need not name its index objects."""
        self._index_ids.clear()

    def close_journal(self) -> None:
        """The final commit is durable: nothing of this run needs to be adopted."""
        if self._journal is not None:
            self._journal.close(committed=True)
            self._journal = None

    def _stream(
        self, kind: BlobKind, slice_size: int, threads: int, level: int | None
    ) -> PackStream:
        repository = self._repository

        def new_header() -> PackHeader:
            self.begin_session()
            return make_header(
                repository_id=repository.repository_id,
                pack_id=new_object_id(),
                kind=kind,
                slice_size=slice_size,
                suite=repository.envelope.suite,
                data_key=self._data_key,
                wrapped_key=self._wrapped_key,
            )

        def open_writer(name: str) -> ObjectWriter:
            is_tree = kind == BlobKind.TREE
            writer = self._backend.open_writer(name, is_hot=is_tree)
            if is_tree and self._trees is not None:
                return KeepingWriter(self._trees, writer, name)
            return writer

        return PackStream(
            open_writer,
            new_header,
            pool=self._pool,
            closer=self._closer,
            uploads=self._uploads,
            threads=threads,
            pack_size=repository.config.pack_size,
            level=level,
            on_stored=self._note_stored,
            on_pack=self._on_pack,
        )

    def _note_stored(self, entry: PackEntry) -> None:
        """Note a durable pack in the journal, whatever becomes of this process next."""
        if self._journal is not None:
            self._journal.append(entry)

    def _on_pack(self, entry: PackEntry) -> None:
        self.bytes_stored += entry.stored_size
        self._enter(entry)

    def _enter(self, entry: PackEntry) -> None:
        self._entries.append(entry)
        self._entry_blobs += len(entry.lengths)
        if self._entry_blobs >= INDEX_BLOBS:
            self._write_index()

    def _write_index(self) -> None:
        if not self._entries:
            return
        index_id: ObjectId = new_object_id()
        name = layout.index_name(index_id)
        body = encode_index(self._entries)
        self._backend.create(name, self._repository.envelope.seal(ObjectKind.INDEX, name, body))
        self._index_ids.append(index_id)
        self._uncached.append((index_id, self._entries))
        self._entries = []
        self._entry_blobs = 0

    def _adopt(self) -> None:
        """Take over what dead runs of this host stored, if it is still there.

        Prune may have found such packs to belong to nobody. So none is taken that is condemned
        or doomed, or that may have been doomed so long ago that the log does not tell any more.
        """
        bad, log = self._view.bad, self._view.log
        with adopt_journals(self._repository.journal_directory) as runs:
            found = [
                entry
                for run in runs
                if log.knows_dooms_since(run.view)
                for entry in run.entries
                # What the run has committed before it died is known already.
                if entry.pack_id not in bad and not self._contains(BlobId(entry.ids[:32]))
            ]
            sizes = self._sizes_of(found)
            for entry in found:
                if sizes.get(entry.pack_id) == entry.stored_size:
                    self._adopt_pack(entry)
            # Their packs are this session's now. Without their journals nobody would know that
            # they are dead, and prune would wait for them for a day.
            if dead := {run.session_id for run in runs}:
                for session in list_sessions(self._backend, self._repository.envelope):
                    if session.mark.session_id in dead:
                        delete_quietly(self._backend, session.name)

    def _sizes_of(self, entries: list[PackEntry]) -> dict[ObjectId, int]:
        """Return the sizes of those packs that are there."""
        packs = {entry.pack_id for entry in entries}
        if len(packs) > _MOST_LOOKS:
            present = list_objects(self._backend, layout.PACKS)
            return {pack_id: info.size for pack_id, info in present.items()}
        sizes: dict[ObjectId, int] = {}
        for pack_id in packs:
            try:
                sizes[pack_id] = self._backend.size(layout.pack_name(pack_id))
            except NotFoundError:
                pass
        return sizes

    def _adopt_pack(self, entry: PackEntry) -> None:
        """Enter a pack that is there already, as one of this session's."""
        self.begin_session()
        self._note_stored(entry)
        self._enter(entry)
        ids = entry.ids
        self.new.update(ids[at : at + 32] for at in range(0, len(ids), 32))

    def _abandon(self) -> None:
        """Drop the open packs; what is durable, or being made so, is in the journal.

        Nothing more is written, however harmless the error: Ctrl-C comes between any two
        instructions, also between those that note a blob and those that lay down its bytes.
        """
        for stream in (self.data, self.tree):
            try:
                stream.abandon()
            except BackendError:
                pass
