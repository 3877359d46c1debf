"""Reading packs whole: header, every slice, every blob, directory, footer and trailer.

The caller's thread reads runs of slices and feeds the trailer's hash (9 GB/s); threads open,
decompress and hash the blobs. A blob belongs to the run it begins in; the slice that the last
one of a run reaches into is read twice, one in seventeen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from holdfast.errors import HashMismatchError, IntegrityError, NotFoundError
from holdfast.format.index import PackEntry
from holdfast.format.pack import (
    FOOTER_LENGTH,
    PACK_END_LENGTH,
    PACK_HEADER_LENGTH,
    BlobKind,
    PackHeader,
    decode_directory,
    decode_footer,
    open_header,
)
from holdfast.hashing import TRAILER_LENGTH, TrailerHash
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.repository.decoding import Decoded, Place, decode_blobs, slices_of
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository

_RUN_BYTES: Final = 16 << 20
"""Plaintext of one run."""
_AHEAD: Final = 3
"""Runs that are read ahead over a network; each is a request."""
_TAIL_STEP: Final = 4 << 20


@dataclass(slots=True)
class PackReport:
    """What reading one pack found."""

    problems: list[IntegrityError] = field(default_factory=list)
    bad_blobs: list[BlobId] = field(default_factory=list)


class PackVerifier:
    """Verifies packs one after another. For one thread; pools do the heavy part.

    Memory: as many runs of 16 MiB as it may have, and the sealed bytes of `_AHEAD` runs if there
    are readers.

    Args:
        repository: whose packs.
        pool: decodes.
        runs: that may be decoded or wait for it at once.
        readers: read the next runs meanwhile, where a request waits for a network.
    """

    def __init__(
        self,
        repository: Repository,
        pool: ThreadPoolExecutor,
        runs: int,
        readers: ThreadPoolExecutor | None = None,
    ) -> None:
        self._repository = repository
        self._backend = repository.backend
        self._pool = pool
        self._readers = readers
        size = _RUN_BYTES + 3 * repository.config.slice_size
        self._buffers = [bytearray(size) for _ in range(runs)]
        self._hashes = {
            BlobKind.DATA: repository.keys.data_hash(),
            BlobKind.TREE: repository.keys.tree_hash(),
        }

    def verify(self, entry: PackEntry) -> PackReport:
        """Read one pack and compare it with its index entry.

        The only errors raised are those of the storage itself.
        """
        report = PackReport()
        keys = self._repository.keys
        try:
            header = open_header(
                entry.header, keys.data_key_wrap, self._repository.repository_id, entry.pack_id
            )
            trailer = self._verify_blobs(entry, header, report)
            self._verify_end(entry, header, trailer)
        except NotFoundError:
            report.problems = [IntegrityError("pack", entry.pack_id, "it is missing")]
            report.bad_blobs = [
                BlobId(entry.ids[at : at + 32]) for at in range(0, len(entry.ids), 32)
            ]
        except IntegrityError as error:
            report.problems.append(error)
        return report

    def _verify_blobs(
        self, entry: PackEntry, header: PackHeader, report: PackReport
    ) -> TrailerHash:
        """Verify header and blobs; return the hash of everything up to the end of the slices."""
        name = pack_name(entry.pack_id)
        starts = list(accumulate(entry.slice_sizes, initial=PACK_HEADER_LENGTH))
        hashes = self._hashes[entry.kind]
        trailer = TrailerHash()
        stored = self._backend.read_range(name, 0, PACK_HEADER_LENGTH)
        trailer.update(stored)
        if stored != entry.header:
            report.problems.append(
                HashMismatchError("pack", entry.pack_id, "its header was altered")
            )
        pending: deque[tuple[Future[list[Decoded]], bytearray]] = deque()
        at = 0
        for blobs, begin, stored in self._read_runs(entry, starts):
            first, end = slices_of(blobs, header.slice_size)
            data = memoryview(stored)
            trailer.update(data[starts[at] - begin :])
            at = end
            sealed = data[starts[first] - begin :]
            if not self._buffers:
                self._collect(pending, report)
            buffer = self._buffers.pop()
            job = self._pool.submit(decode_blobs, header, starts, sealed, blobs, hashes, buffer)
            pending.append((job, buffer))
        if starts[at] < starts[-1]:
            trailer.update(self._backend.read_range(name, starts[at], starts[-1] - starts[at]))
        while pending:
            self._collect(pending, report)
        if report.bad_blobs:
            reason = f"{len(report.bad_blobs)} of its {len(entry.lengths)} blobs cannot be read"
            report.problems.append(IntegrityError("pack", entry.pack_id, reason))
        return trailer

    def _read_runs(
        self, entry: PackEntry, starts: list[int]
    ) -> Iterator[tuple[list[Place], int, bytes]]:
        """Yield the runs of a pack with where their stored bytes begin, and these."""
        name = pack_name(entry.pack_id)
        waiting: deque[tuple[list[Place], int, Future[bytes]]] = deque()
        at = 0
        for blobs in _runs(entry):
            first, end = slices_of(blobs, entry.slice_size)
            begin = min(starts[first], starts[at])
            length, at = starts[end] - begin, end
            if self._readers is None:
                yield blobs, begin, self._backend.read_range(name, begin, length)
                continue
            job = self._readers.submit(self._backend.read_range, name, begin, length)
            waiting.append((blobs, begin, job))
            if len(waiting) > _AHEAD:
                blobs, begin, job = waiting.popleft()
                yield blobs, begin, job.result()
        for blobs, begin, job in waiting:
            yield blobs, begin, job.result()

    def _collect(
        self, pending: deque[tuple[Future[list[Decoded]], bytearray]], report: PackReport
    ) -> None:
        job, buffer = pending.popleft()
        report.bad_blobs += [
            blob_id for blob_id, found in job.result() if isinstance(found, IntegrityError)
        ]
        self._buffers.append(buffer)

    def _verify_end(self, entry: PackEntry, header: PackHeader, trailer: TrailerHash) -> None:
        """Verify directory, footer, size and trailer.

        Raises:
            IntegrityError: one of them is wrong.
        """
        pack_id = entry.pack_id
        name = pack_name(pack_id)
        size = self._backend.size(name)
        if size != entry.stored_size:
            reason = f"it has {size} bytes instead of {entry.stored_size}"
            raise IntegrityError("pack", pack_id, reason)
        at = PACK_HEADER_LENGTH + sum(entry.slice_sizes)
        tail = b""
        while at < size:
            step = self._backend.read_range(name, at, min(_TAIL_STEP, size - at))
            if not step:
                raise IntegrityError("pack", pack_id, "it is cut off")
            tail += step
            at += len(step)
        trailer.update(memoryview(tail)[:-TRAILER_LENGTH])
        if trailer.digest() != tail[-TRAILER_LENGTH:]:
            raise HashMismatchError("pack", pack_id, "its checksum differs")
        footer = tail[-PACK_END_LENGTH : -PACK_END_LENGTH + FOOTER_LENGTH]
        offset, length = decode_footer(header, footer, size)
        begin = offset - (size - len(tail))
        if begin < 0:
            raise IntegrityError("pack", pack_id, "its directory is not where the index says")
        sizes, lengths = decode_directory(header, tail[begin : begin + length])
        if sizes != entry.slice_sizes or lengths != entry.lengths:
            raise IntegrityError("pack", pack_id, "its directory differs from the index")


def _runs(entry: PackEntry) -> Iterator[list[Place]]:
    """Yield the blobs of a pack, grouped by the run of slices they begin in."""
    ids = entry.ids
    offset, limit = 0, _RUN_BYTES
    blobs: list[Place] = []
    for number, length in enumerate(entry.lengths):
        if offset >= limit and blobs:
            yield blobs
            blobs = []
            limit = offset // entry.slice_size * entry.slice_size + _RUN_BYTES
        at = number * BLOB_ID_LENGTH
        blobs.append((offset, length, BlobId(ids[at : at + BLOB_ID_LENGTH])))
        offset += length
    if blobs:
        yield blobs
