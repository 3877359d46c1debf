"""What one lane measured, before anything is estimated from it. Pure.

A *lane* is all data cut in one way. Sums over distinct chunks come from its sketch, what
compression makes of them from *regions*: runs of the stream of new chunks, as packs would hold it,
that were really compressed with every slice size and level.

A scan compresses a little of each 64 KiB of all data quickly (`batch.Texture`), so every chunk has a
*quick length*, and a region has the exact length for each setting. Their ratio varies from region to
region far less than the compression ratio does: estimate the sum of quick lengths over distinct
chunks like the sum of lengths, then multiply by sum(weight * stored_bytes) / sum(weight *
quick_length) of the regions (ratio estimator; Cochran, "Sampling Techniques", 1977, chapter 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.benchmark.grid import Candidate
from holdfast.benchmark.sketch import Sketch


@dataclass(slots=True)
class Tally:
    """Chunks as files count them, repetitions included, of one version and group."""

    chunks: int = 0
    bytes: int = 0
    """Of these chunks: what was read, without those that a sampled extent cuts off at its ends."""


@dataclass(slots=True)
class Squeezed:
    """What compression at one level made of the slices of a region."""

    stored_bytes: int = 0
    """Boxes of the slices: compressed (or as they are, if that is shorter) and sealed."""
    seconds: float = 0.0
    """Processor time of compressing and sealing."""


@dataclass(frozen=True, slots=True)
class Region:
    """A run of the stream of new chunks that was compressed in every way."""

    version: int
    """Number of the version that brought it."""
    length: int
    """Bytes of plaintext, at least 1 and at most the largest slice size of the grid."""
    quick_length: float
    """Sum of the quick lengths of the chunks, or parts of chunks, in it."""
    weight: float
    """Bytes of the stream from its beginning to the next region's, per byte of `length`; 1 at the
    least. Regions begin at the same places of the source in all lanes, not at random."""
    squeezed: Mapping[tuple[int, int], Squeezed]
    """(slice size, level) -> what became of it, divided into slices of that size."""


@dataclass(slots=True, kw_only=True)
class LaneResult:
    """All that a lane measured."""

    candidate: Candidate
    sketch: Sketch
    """The distinct chunks, or a sample of them."""
    references: list[list[Tally]]
    """By number of the version, then by group (all GROUPS of them)."""
    regions: list[Region] = field(default_factory=list)
    """Spread over the source, a dozen or two; the whole stream if `are_regions_all`."""
    are_regions_all: bool = True
    decoded_per_byte: Mapping[int, float] = field(default_factory=dict)
    """Slice size -> see `report.Cut.decoded_per_byte`; of the grid's sizes, and of 1 MiB."""
    decoded_last: float = 1.0
    """See `report.Cut.decoded_last`; slices of 1 MiB."""
    core_seconds: float = 0.0
    """Processor time of cutting, naming, and looking up."""
    cut_bytes: int = 0
    """Bytes that this time was spent on."""
