"""Make a repository with an index of any size, in minutes and little space.

    python benchmarks/synthetic.py REPOSITORY KEY_FILE BLOBS

Index objects, snapshot, trees and pack names are real; the packs of data are empty files, since no
scenario that measures the index reads them. Blob ids are random, as keyed hashes are. The snapshot
has one long file that is made of nine packs of ten; the tenth is there for prune to remove.
"""

from __future__ import annotations

import random
import sys
import tempfile
from array import array
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
            entries.append(PackEntry(header.raw, stored, sizes, lengths, _ids_of(first)))
            path = Path(backend.location) / layout.pack_name(header.pack_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
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


def _ids_of(first: int) -> bytes:
    """Return the ids of the pack that begins with blob number `first`."""
    return random.Random(first).randbytes(32 * PACK_BLOBS)


def _long_file(writer: Writer, count: int) -> bytes:
    """Store the tree of a file that consists of nine packs of ten; return the root."""
    builder = ContentBuilder(writer.add_ids)
    size = 0
    for number, first in enumerate(range(0, count, PACK_BLOBS)):
        if number % 10:
            ids = _ids_of(first)
            for at in range(0, len(ids), 32):
                builder.add(ids[at : at + 32])
            size += PACK_BLOBS * _BLOB_SIZE
    content, depth = builder.finish()
    extra = NodeExtra(depth=depth) if depth else None
    node = Node(b"file", NodeType.FILE.value, 0o600, 0, 0, size, 1, 1, 1, 1, content, extra)
    return writer.add_page([node])


def main() -> int:
    """Fill the repository named on the command line."""
    location, key_file, count = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as cache,
        Repository.open(
            open_backend(location), read_key_file(key_file), cache_dir=cache, clock=SystemClock()
        ) as repository,
    ):
        add_blobs(repository, int(count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
