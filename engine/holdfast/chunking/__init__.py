"""Where files are cut into chunks: content-defined under a key, or in fixed pages."""

from __future__ import annotations

from holdfast.chunking.base import Buffer, Chunker
from holdfast.chunking.cutting import CUTTINGS, Cutting, parse_cutting
from holdfast.chunking.gear import IMPLEMENTATION
from holdfast.chunking.params import Profile
from holdfast.chunking.stream import iter_cuts

__all__ = [
    "CUTTINGS",
    "IMPLEMENTATION",
    "Buffer",
    "Chunker",
    "Cutting",
    "Profile",
    "iter_cuts",
    "parse_cutting",
]
