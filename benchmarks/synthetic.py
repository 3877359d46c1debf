"""Make a repository with any number of blobs or snapshots, in minutes and little space.

    python benchmarks/synthetic.py blobs REPOSITORY KEY_FILE COUNT
    python benchmarks/synthetic.py snapshots REPOSITORY KEY_FILE COUNT

blobs: index objects, snapshot, trees and pack names are real; the packs of data are holes of the
right size, since nothing that measures the index reads them. Blob ids are random, as keyed hashes
are. The snapshot has one long file that is made of nine packs of ten; the tenth is there for prune
to remove.

snapshots: everything is real and tiny. One host backs up a directory of a hundred files each hour,
and one of the files is new each time.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.keys import new_data_key
from holdfast.crypto.secrets import read_key_file
from holdfast.format.envelope import ObjectKind
from holdfast.format.index import PackEntry, encode_index
from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.format.pack import (
    PACK_END_LENGTH,
    PACK_HEADER_LENGTH,
    BlobKind,
    make_header,
    wrap_data_key,
)
from holdfast.format.snapshot import Commit, Snapshot, encode_commit
from holdfast.ids import new_object_id
from holdfast.operations.content_builder import ContentBuilder
from holdfast.repository import layout
from holdfast.repository.repository import Repository
from holdfast.repository.writer import INDEX_BLOBS, Writer

PACK_BLOBS: Final = 500
"""Blobs of a pack: 64 MiB of 128 KiB each."""
_BLOB_SIZE: Final = 128 << 10
_SLICE_STORED: Final = 1 << 20
_FILES: Final = 100
_FIRST_NS: Final = 1_700_000_000 * 10**9
_HOUR_NS: Final = 3600 * 10**9


def add_blobs(repository: Repository, count: int) -> None:
    """Commit index objects that list `count` random blobs."""
    backend, keys = repository.backend, repository.keys
    data_key = new_data_key()
    wrapped = wrap_data_key(data_key, keys.data_key_wrap, repository.repository_id)
    index_ids = []
    for start in range(0, count, INDEX_BLOBS):
        entries = []
        for first in range(start, min(start + INDEX_BLOBS, count), PACK_BLOBS):
            header = make_header(
                repository_id=repository.repository_id,
                pack_id=new_object_id(),
                kind=BlobKind.DATA,
                slice_size=repository.config.slice_size,
                suite=repository.envelope.suite,
                data_key=data_key,
                wrapped_key=wrapped,
            )
            slices = -(-PACK_BLOBS * _BLOB_SIZE // header.slice_size)
            stored = PACK_HEADER_LENGTH + slices * _SLICE_STORED + PACK_END_LENGTH
            lengths = array("I", [_BLOB_SIZE]) * PACK_BLOBS
            sizes = array("I", [_SLICE_STORED]) * slices
            entries.append(PackEntry(header.raw, stored, sizes, lengths, ids_of(first)))
            path = Path(backend.location) / layout.pack_name(header.pack_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as file:
                os.truncate(file.fileno(), stored)
        index_id = new_object_id()
        name = layout.index_name(index_id)
        sealed = repository.envelope.seal(ObjectKind.INDEX, name, encode_index(entries))
        backend.create(name, sealed)
        index_ids.append(index_id)
    repository.load_view(for_writing=True)
    with Writer(repository, level=3) as writer:
        root = _long_file(writer, count)
        # First the packs of data as a commit of their own, then the snapshot in the usual way.
        commit = Commit(
            view=-1,
            index_ids=tuple(index_ids),
            host="synthetic",
            host_sequence=1,
            previous_hash=bytes(32),
            sealed=b"",
        )
        name = layout.snapshot_name(new_object_id())
        data = repository.envelope.seal(ObjectKind.SNAPSHOT, name, encode_commit(commit))
        backend.create(name, data)
        snapshot = Snapshot(
            id=new_object_id(), time_ns=0, host="synthetic", user="", raw_paths=(b"/",), root=root
        )
        writer.commit(snapshot, None)
        writer.close_journal()


def add_snapshots(repository: Repository, count: int) -> None:
    """Commit `count` snapshots, an hour apart, each with one new file among a hundred.

    Cost: five small objects for each, durable one after another.
    """
    repository.load_view(for_writing=True)
    with Writer(repository, level=3) as writer:
        ids = [writer.add_data(f"file {number}".encode()) for number in range(_FILES)]
        previous = None
        for number in range(count):
            ids[number % _FILES] = writer.add_data(f"file of snapshot {number}".encode())
            time_ns = _FIRST_NS + number * _HOUR_NS
            files = [_file(at, blob_id, time_ns) for at, blob_id in enumerate(ids)]
            home = Node(
                b"home",
                NodeType.DIRECTORY.value,
                0o755,
                0,
                0,
                0,
                1,
                1,
                1,
                1,
                writer.add_page(files),
            )
            snapshot = Snapshot(
                id=new_object_id(),
                time_ns=time_ns,
                host="synthetic",
                user="",
                raw_paths=(b"/home",),
                root=writer.add_page([home]),
            )
            previous = writer.commit(snapshot, previous)
            writer.begin_transaction()
        writer.close_journal()


def ids_of(first: int) -> bytes:
    """Return the ids of the pack that begins with blob number `first`, a multiple of its size."""
    return random.Random(first).randbytes(32 * PACK_BLOBS)


def _file(number: int, blob_id: bytes, time_ns: int) -> Node:
    name = f"{number:04d}.txt".encode()
    return Node(name, NodeType.FILE.value, 0o600, 0, 0, 20, time_ns, time_ns, 1, number, blob_id)


def _long_file(writer: Writer, count: int) -> bytes:
    """Store the tree of a file that consists of nine packs of ten; return the root."""
    builder = ContentBuilder(writer.add_ids)
    size = 0
    for number, first in enumerate(range(0, count, PACK_BLOBS)):
        if number % 10:
            ids = ids_of(first)
            for at in range(0, len(ids), 32):
                builder.add(ids[at : at + 32])
            size += PACK_BLOBS * _BLOB_SIZE
    content, depth = builder.finish()
    extra = NodeExtra(depth=depth) if depth else None
    node = Node(b"file", NodeType.FILE.value, 0o600, 0, 0, size, 1, 1, 1, 1, content, extra)
    return writer.add_page([node])


KINDS: Final[dict[str, Callable[[Repository, int], None]]] = {
    "blobs": add_blobs,
    "snapshots": add_snapshots,
}


def main() -> None:
    """Fill the repository named on the command line, which exists and is new."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("repository", help="its location")
    parser.add_argument("key_file")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as cache,
        Repository.open(
            open_backend(given.repository),
            read_key_file(given.key_file),
            cache_dir=cache,
            clock=SystemClock(),
        ) as repository,
    ):
        KINDS[given.kind](repository, given.count)


if __name__ == "__main__":
    main()
