"""Which settings are compared: ways to cut, sizes of slices, levels of compression. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from holdfast.chunking.cutting import Cutting, parse_cutting


@dataclass(frozen=True, slots=True)
class WholeFiles:
    """Every file is one chunk: what programs save that only know equal files."""

    @property
    def name(self) -> str:
        """Return how tables call it."""
        return "whole"


WHOLE_FILES: Final = WholeFiles()
Candidate: TypeAlias = Cutting | WholeFiles
"""One way to cut that is measured."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is measured: every candidate with every slice size and every level."""

    candidates: tuple[Candidate, ...]
    slice_sizes: tuple[int, ...]
    """Bytes of plaintext that are compressed and sealed as one."""
    levels: tuple[int, ...]
    """zstd levels."""


DEFAULT_GRID: Final = Grid(
    candidates=(
        WHOLE_FILES,
        Cutting("fixed", 4 << 10),
        Cutting("fixed", 64 << 10),
        Cutting("gear", 3 << 10),
        Cutting("gear", 16 << 10),
        Cutting("gear", 64 << 10, zero_runs=True),
        Cutting("gear", 128 << 10),
        Cutting("gear", 512 << 10),
        Cutting("gear", 2 << 20),
    ),
    slice_sizes=(256 << 10, 1 << 20, 4 << 20),
    levels=(1, 3, 6, 12),
)
"""From the smallest chunks that pay to the sizes of other programs; the four profiles are among
them, so that a recommendation can be followed at once."""


def parse_candidate(text: str) -> Candidate:
    """Return what a person names: "whole", a profile, "gear:32K", "fixed:8K".

    Raises:
        ConfigurationError: it is none of these.
    """
    return WHOLE_FILES if text == WHOLE_FILES.name else parse_cutting(text)
