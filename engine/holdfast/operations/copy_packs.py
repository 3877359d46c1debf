"""Copying to a mirror: packs are taken over as they are, byte for byte.

Both repositories have one root key, so blob ids are the same, and a pack of the one can be read in
the other. Nothing is decrypted, compressed or hashed blob by blob; the trailer tells whether the
bytes are those that were written. `copy_names` says which packs may be created at all; the others,
and those of which little is needed, are copied blob by blob.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from holdfast.errors import AlreadyExistsError, IntegrityError, NotFoundError
from holdfast.format.index import PackEntry
from holdfast.format.pack import PACK_HEADER_LENGTH, BlobKind, open_header
from holdfast.hashing import TRAILER_LENGTH, Bytes, TrailerHash
from holdfast.ids import BlobId, ObjectId
from holdfast.operations.copy_names import NameClaims
from holdfast.operations.copy_plan import CopyPlan, PlannedSnapshot, Step
from holdfast.operations.copy_transfer import CopyRun, WindowFetcher
from holdfast.repository.layout import pack_name

_BATCH: Final = 64
"""Packs of one copy list. A run that dies spends the names of one list at the most."""
_PIECE: Final = 8 << 20
"""Bytes of a pack that are read at once."""
_MOST_THREADS: Final = 8
"""64 MiB of pieces."""


class PackTransfer:
    """Copies packs, and blob by blob what packs cannot bring. For one thread.

    Args:
        run: what all parts of the copy work with.
        host: named in copy lists.
    """

    def __init__(self, run: CopyRun, *, host: str) -> None:
        self._run = run
        self._host = host
        self._whole: dict[int, ObjectId] = {}
        """Packs of the source to be taken over, by their numbers; tried at most once."""
        self._entered: set[ObjectId] = set()
        self._claims: NameClaims

    def is_missing(self, step: Step, blob_id: BlobId) -> bool:
        """Tell whether the destination lacks a blob; see `Transfer`."""
        del step
        return not self._run.writer.knows(blob_id)

    def prepare(self, plan: CopyPlan) -> int:
        """Choose the packs of which at least half is needed; see `Transfer`."""
        index = self._run.source.index
        needed: dict[int, int] = {}
        for blob_id in plan.missing():
            place = index.locate(blob_id)
            if place is not None:
                needed[place.pack] = needed.get(place.pack, 0) + place.length
        total = 0
        self._whole = {}
        for number, size in needed.items():
            table = index.pack(number)
            if 2 * size >= table.plain_size and index.is_usable(number):
                self._whole[number] = table.pack_id
                total += table.stored_size
            else:
                total += size
        if self._whole:
            packs = self._whole.values()
            # After the index was loaded: whoever brought a pack there had listed it before.
            self._claims = NameClaims(
                self._run.source, self._run.destination, packs, host=self._host
            )
        return total

    def copy(self, plan: CopyPlan, planned: PlannedSnapshot) -> bytes:
        """Take over packs, then copy what is left; see `Transfer`. The root stays the same."""
        if self._whole:
            self._take_over(self._packs_of(plan, planned))
        data = WindowFetcher(self._run, BlobKind.DATA, self._store_data)
        tree = WindowFetcher(self._run, BlobKind.TREE, self._store_tree)
        for step, blob_id in plan.records(planned):
            if self.is_missing(step, blob_id):
                (data if step == Step.DATA else tree).add(blob_id)
        data.finish()
        tree.finish()
        return planned.snapshot.root

    def _store_data(self, blob_id: BlobId, data: Bytes) -> None:
        self._run.writer.add_copy(BlobKind.DATA, blob_id, data)

    def _store_tree(self, blob_id: BlobId, data: Bytes) -> None:
        self._run.writer.add_copy(BlobKind.TREE, blob_id, data)

    def _packs_of(self, plan: CopyPlan, planned: PlannedSnapshot) -> dict[ObjectId, int]:
        """Return the packs to be taken over for a snapshot, with their numbers."""
        locate, whole = self._run.source.index.locate, self._whole
        found: dict[ObjectId, int] = {}
        for step, blob_id in plan.records(planned):
            if self.is_missing(step, blob_id):
                place = locate(blob_id)
                if place is not None and place.pack in whole:
                    found[whole[place.pack]] = place.pack
        return found

    def _take_over(self, packs: dict[ObjectId, int]) -> None:
        threads = min(
            self._run.source.backend.parallelism,
            self._run.destination.backend.parallelism,
            _MOST_THREADS,
        )
        with ThreadPoolExecutor(max(1, threads), "holdfast-copy") as pool:
            for batch in self._batches(packs):
                claimed = self._claims.claim([entry.pack_id for entry in batch])
                if claimed:
                    self._run.writer.begin_session()
                    self._copy_all(pool, [entry for entry in batch if entry.pack_id in claimed])
                self._run.checkpoint()
        for number in packs.values():
            self._whole.pop(number, None)

    def _batches(self, packs: dict[ObjectId, int]) -> Iterator[list[PackEntry]]:
        """Yield the entries of packs as the source's index objects have them."""
        batch: list[PackEntry] = []
        for entry in self._entries(packs):
            batch.append(entry)
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _entries(self, packs: dict[ObjectId, int]) -> Iterator[PackEntry]:
        """Yield the entry of each pack once; of one that no index object lists any more, none."""
        source = self._run.source
        assert source.view is not None, "the index is loaded"
        left = set(packs)
        listed = source.index.listed_packs()
        for index_id in sorted(source.index_ids(source.view)):
            numbers = set(listed.get(index_id, ()))
            if all(packs[one] not in numbers for one in left):
                continue
            try:
                entries = source.read_index(index_id)
            except IntegrityError:
                continue  # pruned meanwhile, or damaged: then blobs are looked for one by one
            for entry in entries:
                if entry.pack_id in left:
                    left.discard(entry.pack_id)
                    yield entry

    def _copy_all(self, pool: ThreadPoolExecutor, entries: Iterable[PackEntry]) -> None:
        """Copy packs at once, and enter those that are durable, whatever becomes of the others."""
        self._entered.clear()
        jobs = [(entry, pool.submit(self._copy_pack, entry)) for entry in entries]
        try:
            for entry, job in jobs:
                self._enter(entry, job)
        except BaseException:
            for _, job in jobs:
                job.cancel()
            for entry, job in jobs:
                if not job.cancelled() and job.exception() is None:
                    self._enter(entry, job)
            raise

    def _enter(self, entry: PackEntry, job: Future[bool]) -> None:
        run = self._run
        if job.result() and entry.pack_id not in self._entered:
            self._entered.add(entry.pack_id)
            run.writer.add_pack(entry)
            run.result.packs_copied += 1
            run.result.pack_bytes_copied += entry.stored_size
            run.on_bytes(entry.stored_size)

    def _copy_pack(self, entry: PackEntry) -> bool:
        """Copy one pack; runs in a thread. False if its bytes are not as they should be."""
        run = self._run
        name = pack_name(entry.pack_id)
        pieces = self._pieces(name, entry.stored_size)
        try:
            first = next(pieces, b"")
            if first[:PACK_HEADER_LENGTH] != entry.header:
                return False
            keys = run.source.keys
            open_header(entry.header, keys.data_key_wrap, run.source.repository_id, entry.pack_id)
        except IntegrityError:
            return False
        writer = run.destination.backend.open_writer(name, is_hot=entry.kind == BlobKind.TREE)
        try:
            seen = _TrailerCheck(entry.stored_size)
            for piece in _chain(first, pieces):
                seen.update(piece)
                writer.write(piece)
            if not seen.fits():
                writer.abort()
                return False
            writer.commit()
        except AlreadyExistsError:
            return False  # nobody else creates it, so an earlier request of ours was carried out
        except IntegrityError:
            writer.abort()
            return False
        except BaseException:
            writer.abort()
            raise
        return True

    def _pieces(self, name: str, size: int) -> Iterator[bytes]:
        """Yield a pack of the source piece by piece.

        Raises:
            IntegrityError: it is missing.
        """
        for at in range(0, size, _PIECE):
            try:
                yield self._run.source.backend.read_range(name, at, min(_PIECE, size - at))
            except NotFoundError as error:
                raise IntegrityError("pack", os.path.basename(name), "it is missing") from error


class _TrailerCheck:
    """Compares bytes that pass with the trailer at their end."""

    def __init__(self, size: int) -> None:
        self._left = size - TRAILER_LENGTH
        self._hash = TrailerHash()
        self._end = b""

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        content = memoryview(piece)[: max(0, self._left)]
        self._hash.update(content)
        self._end += piece[len(content) :]
        self._left -= len(piece)

    def fits(self) -> bool:
        """Tell whether all bytes came, and are those that were written."""
        return self._end == self._hash.digest()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
