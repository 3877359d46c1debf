"""Both implementations of the chunker, and data to cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest

from holdfast.chunking import Buffer, Chunker, _gear_py, iter_cuts
from holdfast.chunking.params import GearParameters, gear_parameters

FindCuts: TypeAlias = Callable[..., list[int]]

try:
    from holdfast.chunking import _gear

    FIND_CUTS_C: FindCuts | None = _gear.find_cuts
except ImportError:
    FIND_CUTS_C = None

NEEDS_C = pytest.mark.skipif(FIND_CUTS_C is None, reason="the C extension is not built")
IMPLEMENTATIONS = [
    pytest.param(FIND_CUTS_C, marks=NEEDS_C, id="C"),
    pytest.param(_gear_py.find_cuts, id="Python"),
]


@dataclass(frozen=True)
class Gear:
    """A chunker of one implementation."""

    find_cuts: FindCuts
    parameters: GearParameters

    @property
    def max_size(self) -> int:
        return self.parameters.sizes[2]

    def cuts(self, buffer: Buffer, length: int, final: bool) -> list[int]:
        p = self.parameters
        return self.find_cuts(buffer, length, final, p.sizes, p.thresholds, p.key, p.zero_runs)

    def never(self) -> Gear:
        """Return the same chunker without content-defined cuts."""
        return replace(self, parameters=replace(self.parameters, thresholds=(0, 0)))


def gear(
    find_cuts: FindCuts, average: int = 256, key: bytes = bytes(32), *, zero_runs: bool = False
) -> Gear:
    return Gear(find_cuts, gear_parameters(average, key, zero_runs=zero_runs))


def noise(name: str, length: int) -> bytes:
    """Return bytes that look random and are the same everywhere and for ever."""
    return hashlib.shake_128(name.encode()).digest(length)


def iter_chunks(
    readinto: Callable[[memoryview], int], chunker: Chunker, buffer: bytearray
) -> Iterator[bytes]:
    """Yield the chunks that `iter_cuts` finds."""
    for view, ends in iter_cuts(readinto, chunker, buffer):
        start = 0
        for end in ends:
            yield bytes(view[start:end])
            start = end


def pieces(data: bytes, ends: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
