"""Where files are cut into chunks: content-defined under a key, or in fixed pages."""

from __future__ import annotations

from holdfast.chunking.base import Buffer, Chunker
from holdfast.chunking.fixed import FixedChunker
from holdfast.chunking.gear import IMPLEMENTATION, GearChunker
from holdfast.chunking.params import AVERAGE_SIZES, Profile, gear_parameters
from holdfast.chunking.stream import iter_chunks

__all__ = [
    "IMPLEMENTATION",
    "Buffer",
    "Chunker",
    "Profile",
    "chunker",
    "iter_chunks",
    "sized_chunker",
    "whole_file_limit",
]


def chunker(profile: Profile, key: bytes) -> Chunker:
    """Return the chunker of a profile under a key of 32 bytes."""
    if profile is Profile.PAGES:
        return FixedChunker(AVERAGE_SIZES[profile])
    return sized_chunker(AVERAGE_SIZES[profile], key, zero_runs=profile is Profile.IMAGE)


def sized_chunker(average: int, key: bytes, *, zero_runs: bool = False) -> Chunker:
    """Return a content-defined chunker for any average; see `gear_parameters`."""
    return GearChunker(gear_parameters(average, key, zero_runs=zero_runs))


def whole_file_limit(profile: Profile) -> int:
    """Return the length in bytes up to which a file is always one chunk: no call is needed."""
    return AVERAGE_SIZES[profile] // (1 if profile is Profile.PAGES else 4)
