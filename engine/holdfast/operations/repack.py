"""Copy the live blobs of packs to new ones, in the order in which a restore wants them.

The copy is an ordinary transaction of a writer: once it is committed every blob has a second
place, and the old packs are as dead as any that nobody needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, TypeAlias

from holdfast.errors import IntegrityError
from holdfast.format.node import Node, NodeType, list_ids
from holdfast.format.pack import BlobKind
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId, ObjectId
from holdfast.repository.blob_index import BlobIndex
from holdfast.repository.decoding import Decoded
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer

CHECKPOINT_BLOBS: Final = 200_000
"""Copied blobs are committed this often, so that memory stays flat: 110 bytes a blob."""
_WINDOW: Final = 32 << 20
"""Bytes of blobs that are read in storage order and written in the order of paths."""

_Item: TypeAlias = tuple[BlobKind, BlobId, int]
"""(kind, id, length) of a blob to copy."""


@dataclass(slots=True)
class RepackResult:
    """What a repack did."""

    bytes_written: int = 0
    damaged_packs: set[int] = field(default_factory=set)
    """Numbers of packs of which a live blob could not be read; they must stay."""
    problems: list[IntegrityError] = field(default_factory=list)


def repack(
    repository: Repository,
    snapshots: Collection[Snapshot],
    packs: Collection[ObjectId],
    *,
    level: int,
    host: str,
    on_progress: Callable[[int], None],
) -> RepackResult:
    """Copy what snapshots need of some packs, and commit the copies.

    Args:
        repository: its index must be loaded for writing.
        snapshots: everything they need that has no place but in `packs` is copied.
        packs: those to be removed, dead ones too: a blob may lie in several of them.
        level: zstd level.
        host: told to others.
        on_progress: called with the plaintext bytes copied so far.

    Raises:
        CommitVoidError: another prune went on meanwhile; nothing has happened.
        IntegrityError: a directory cannot be read.

    Memory: a window of 32 MiB, and what reading and writing need. Cost: about that of a backup
    of the blobs that are copied.
    """
    view = repository.view
    assert view is not None, "the index is loaded"
    index = repository.index
    result = RepackResult()
    committed = 0
    index.avoid(view.bad | set(packs))
    try:
        with (
            BlobReader(repository) as reader,
            Writer(repository, level=level, host=host) as writer,
        ):
            wanted = _wanted(reader, repository.index, writer.new, _in_order(snapshots))
            for window in _read_ahead(reader, _windows(wanted), writer.new):
                for kind, ids, pieces in window:
                    _write(reader, writer, kind, ids, pieces, result)
                on_progress(writer.bytes_added)
                writer.renew_session()
                if writer.blobs_added - committed >= CHECKPOINT_BLOBS:
                    committed = writer.blobs_added
                    writer.commit_index()
            writer.commit_index()
            writer.close_journal()
            result.bytes_written = writer.bytes_stored
    finally:
        index.avoid(view.bad)
    return result


def _in_order(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Sort by host and paths, the newest first: its files should lie closest together."""
    return sorted(snapshots, key=lambda one: (one.host, one.raw_paths, -one.time_ns))


def _wanted(
    reader: BlobReader, index: BlobIndex, new: set[bytes], snapshots: Iterable[Snapshot]
) -> Iterator[_Item]:
    """Yield the blobs that have to be copied, in order of path; those in `new` are under way."""
    seen: set[BlobId] = set()
    places, is_usable = index.places, index.is_usable
    for snapshot in snapshots:
        # Roots are pages; below them stand what their nodes refer to, in the order of names.
        stack: list[Iterator[tuple[BlobKind, BlobId, int]]] = [_pages(snapshot.root_pages, 0)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            kind, blob_id, depth = step
            if kind == BlobKind.TREE:
                if blob_id in seen:
                    continue
                seen.add(blob_id)
                stack.append(_below(reader, blob_id, depth))
            if blob_id not in new:
                found = places(blob_id)
                if found and not is_usable(found[0].pack):  # usable places come first
                    yield kind, blob_id, found[0].length


def _pages(ids: Iterable[BlobId], depth: int) -> Iterator[tuple[BlobKind, BlobId, int]]:
    return ((BlobKind.TREE, page_id, depth) for page_id in ids)


def _below(
    reader: BlobReader, page_id: BlobId, depth: int
) -> Iterator[tuple[BlobKind, BlobId, int]]:
    """Yield what a page refers to: of nodes if depth is 0, else of ids `depth` levels above data."""
    if depth:
        ids = list_ids(reader.read_ids(page_id))
        yield from _content(ids, depth - 1)
        return
    for node in reader.read_page(page_id):
        if node.type == NodeType.DIRECTORY:
            yield from _pages(node.blob_ids, 0)
        else:
            yield from _content(node.blob_ids, _depth(node))


def _content(ids: Iterable[BlobId], depth: int) -> Iterator[tuple[BlobKind, BlobId, int]]:
    return _pages(ids, depth) if depth else ((BlobKind.DATA, blob_id, 0) for blob_id in ids)


def _depth(node: Node) -> int:
    return node.extra.depth if node.extra is not None else 0


def _windows(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Group blobs up to the size of a window."""
    window: list[_Item] = []
    size = 0
    for item in items:
        window.append(item)
        size += item[2]
        if size >= _WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window


def _read_ahead(
    reader: BlobReader, windows: Iterator[list[_Item]], new: set[bytes]
) -> Iterator[list[tuple[BlobKind, list[BlobId], Iterator[Decoded]]]]:
    """Yield windows by kind, with their blobs as storage has them.

    Threads decode the beginning of the next window while the caller writes one.
    """
    ahead: list[tuple[BlobKind, list[BlobId], Iterator[Decoded]]] = []
    for window in windows:
        new.update(blob_id for _, blob_id, _ in window)
        begun = []
        for kind, fetch in ((BlobKind.DATA, reader.fetch), (BlobKind.TREE, reader.fetch_pages)):
            if ids := list(dict.fromkeys(blob_id for one, blob_id, _ in window if one == kind)):
                begun.append((kind, ids, _begin(fetch(ids))))
        if ahead:
            yield ahead
            new.update(blob_id for _, blob_id, _ in window)  # a commit has emptied the set
        ahead = begun
    if ahead:
        yield ahead


def _begin(pieces: Iterator[Decoded]) -> Iterator[Decoded]:
    """Have threads begin to decode."""
    blob_id, data = next(pieces)
    kept = data if isinstance(data, IntegrityError) else memoryview(bytes(data))
    return chain([(blob_id, kept)], pieces)


def _write(
    reader: BlobReader,
    writer: Writer,
    kind: BlobKind,
    ids: list[BlobId],
    pieces: Iterable[Decoded],
    result: RepackResult,
) -> None:
    """Write blobs in the order of `ids`; those that come too early are kept meanwhile."""
    early: dict[BlobId, bytes] = {}
    failed: set[BlobId] = set()
    at = 0
    add = writer.add_copy
    for blob_id, data in pieces:
        if isinstance(data, IntegrityError):
            result.problems.append(data)
            result.damaged_packs.update(reader.packs_of(blob_id))
            failed.add(blob_id)
        elif blob_id == ids[at]:
            add(kind, blob_id, data)
            at += 1
        else:
            early[blob_id] = bytes(data)
        while at < len(ids) and (ids[at] in early or ids[at] in failed):
            copy = early.pop(ids[at], None)
            if copy is not None:
                add(kind, ids[at], copy)
            at += 1
