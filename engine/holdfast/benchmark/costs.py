"""What a repository of given figures costs: storage besides the data, memory, requests, money. Pure.

The figures were measured with real backups, as docs/benchmarks.md tells; they are of this program and
not of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import zstandard

from holdfast.benchmark.grid import Candidate
from holdfast.chunking.cutting import Cutting
from holdfast.format.config import DEFAULT_PACK_SIZE
from holdfast.policy.prices import PriceTable

CHUNK_STORED_BYTES: Final = 69
"""Of each distinct chunk: its id in an index object and in a tree (32 each, incompressible), its
length in an index object and in the pack's directory (4 each, compressed)."""
FILE_STORED_BYTES: Final = 17
"""Of each new file in trees: name and metadata, compressed with those of its neighbours."""
PACK_STORED_BYTES: Final = 144 + 60
"""Header, footer and trailer of a pack; without padding."""

_INDEX_BYTES: Final = 75
"""Of a chunk in the client's LMDB index of ten million."""
_INDEX_OBJECT_CHUNKS: Final = 250_000
_OBJECTS_OF_VERSION: Final = 3
"""A pack of trees, an index object and a snapshot, at the least."""
_REQUESTS_OF_VERSION: Final = 2
"""PUTs besides objects that stay: the session's announcement, and its end."""

_BASE_MEMORY: Final = 73 << 20
_BOX_SHARE: Final = 1.4
"""Memory of a slice on its way to a pack, per byte: the plaintext and its box."""
_READ_BUFFER: Final = 4 << 20
_NEW_CHUNK_MEMORY: Final = 525
"""Of a new chunk until the next commit: its id, its place, and what enters both into the index."""
_MOST_NEW_CHUNKS: Final = 200_000
"""Between two commits."""
_MOST_MAPPED: Final = 128 << 20
"""Pages of the index in memory before they are given back."""
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Price:
    """In the currency of the table."""

    once: float
    """Of the requests that store everything, and of the bytes sent."""
    month: float
    """Of keeping it for a month."""


def index_bytes(chunks: float) -> int:
    """Return the size of the client's index on disk."""
    return round(chunks * _INDEX_BYTES)


def memory_bytes(
    candidate: Candidate, slice_size: int, level: int, chunks: float, threads: int
) -> int:
    """Return what the process of a first backup takes at its peak, within a tenth.

    Args:
        candidate: how it cuts; whole files are taken for as long as the read buffer.
        slice_size: bytes.
        level: of zstd.
        chunks: distinct ones of the repository.
        threads: that compress.
    """
    longest = 4 * candidate.size if isinstance(candidate, Cutting) else 0
    context = zstandard.ZstdCompressionParameters.from_level(level, source_size=slice_size)
    return round(
        _BASE_MEMORY
        + threads * context.estimated_compression_context_size()
        + (2 * threads + 2) * slice_size * _BOX_SHARE
        + max(_READ_BUFFER, 2 * longest)
        + min(chunks, _MOST_NEW_CHUNKS) * _NEW_CHUNK_MEMORY
        + min(index_bytes(chunks), _MOST_MAPPED)
    )


def count_packs(stored_bytes: float) -> int:
    """Return how many packs of the default size one backup writes for so many bytes."""
    return ceil(stored_bytes / DEFAULT_PACK_SIZE)


def count_objects(added_bytes: Sequence[float], added_chunks: Sequence[float]) -> int:
    """Return packs, index objects and snapshots after one backup of each version.

    Args:
        added_bytes: stored bytes that each version brings.
        added_chunks: distinct chunks that each version brings.
    """
    return sum(
        count_packs(size) + _OBJECTS_OF_VERSION + int(chunks) // _INDEX_OBJECT_CHUNKS
        for size, chunks in zip(added_bytes, added_chunks, strict=True)
    )


def count_put_requests(objects: int, versions: int) -> int:
    """Return the requests that write these objects, each version in a session of its own."""
    return objects + _REQUESTS_OF_VERSION * versions


def price(stored_bytes: float, put_requests: int, table: PriceTable) -> Price:
    """Return what it costs to store something, and to keep it."""
    gib = stored_bytes / _GIB
    per_request = table.per_1000_requests.get("put", 0.0) / 1000
    return Price(put_requests * per_request + gib * table.sent, gib * table.stored_month)
