"""Sizes, thresholds and keys of the content-defined chunker, and the profiles built on them.

Everything here decides where chunks end: any change makes existing repositories store their
sources a second time. The arithmetic is in integers, so that it is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from blake3 import blake3

KEY_LENGTH: Final = 32
"""Bytes of a chunker's key: 16 for the PRF, 16 to seed the gear hash."""

GEAR_WINDOW: Final = 32
"""Bytes before a position that the gear hash depends on."""
PRF_WINDOW: Final = 64
"""Bytes before a position that the decision depends on; also the least minimum size."""
SPACING: Final = 16
"""Least distance in bytes of a proposal from the last hit before it."""
HIT_BELOW: Final = 256
"""A position is a hit if its 16-bit gear hash is below this: 1 position in 256."""

LEAST_AVERAGE: Final = 256
GREATEST_AVERAGE: Final = 16 * 1024 * 1024

_PROPOSAL_GAP: Final = (543, 2)
# 256 * (256/255)^15: mean distance of proposals in random data, because SPACING drops some hits.
_RATE: Final = (99, 64)
# Cuts per average size that make the mean length of chunks the average, given min = avg/4,
# max = 4 avg and half the rate before the average, twice the rate after it: the solution k of
# 1/4 + (1 - e^(-3k/8)) 2/k + e^(-3k/8) (1 - e^(-6k)) / 2k = 1.
_ONE: Final = 1 << 64

_GEAR_CONTEXT: Final = "holdfast chunker 2026-11 gear hash"


class Profile(StrEnum):
    """How a source is cut; the value is recorded in snapshots."""

    FILES = "files"
    """Content-defined, 128 KiB on average."""
    DUMP = "dump"
    """Content-defined, 3 KiB on average: SQL dumps and other text streams."""
    PAGES = "pages"
    """Aligned halves of PostgreSQL's pages, 4 KiB: files of databases."""
    IMAGE = "image"
    """Content-defined, 64 KiB on average, long runs of zeros apart: disk images."""


AVERAGE_SIZES: Final = {
    Profile.FILES: 128 * 1024,
    Profile.DUMP: 3 * 1024,
    Profile.PAGES: 4 * 1024,
    Profile.IMAGE: 64 * 1024,
}
"""Average size of a profile's chunks in bytes; for PAGES the size of each."""


@dataclass(frozen=True, slots=True, repr=False)
class GearParameters:
    """All that a content-defined cut depends on besides the bytes."""

    sizes: tuple[int, int, int]
    """Minimum, average and maximum size in bytes, ascending, at least PRF_WINDOW."""
    thresholds: tuple[int, int]
    """A proposal is a cut if its PRF value (64 bits) is below the first of these where the chunk
    is shorter than the average, below the second where it is not."""
    key: bytes
    """22 bytes: SipHash key (16), then the gear hash's addend and its two odd multipliers, each
    16 bits, little-endian."""
    zero_runs: bool
    """Whether runs of at least the maximum size of zeros are chunks of their own."""


def gear_parameters(average: int, key: bytes, *, zero_runs: bool = False) -> GearParameters:
    """Return the parameters for chunks of `average` bytes.

    The minimum is average/4, the maximum 4 * average. The mean length in random data is the
    average within 1 % from 4 KiB on, and greater below.

    Args:
        average: bytes; a multiple of 4 from LEAST_AVERAGE to GREATEST_AVERAGE.
        key: KEY_LENGTH bytes.
        zero_runs: see GearParameters.

    Raises:
        ValueError: an argument is out of range.
    """
    if not LEAST_AVERAGE <= average <= GREATEST_AVERAGE or average % 4:
        raise ValueError(
            f"the average chunk size must be a multiple of 4 in {LEAST_AVERAGE}..{GREATEST_AVERAGE}"
        )
    if len(key) != KEY_LENGTH:
        raise ValueError(f"the key must be {KEY_LENGTH} bytes")
    share = _ONE * _PROPOSAL_GAP[0] * _RATE[0] // (_PROPOSAL_GAP[1] * _RATE[1] * average)
    return GearParameters(
        sizes=(average // 4, average, average * 4),
        thresholds=(min(share // 2, _ONE - 1), min(share * 2, _ONE - 1)),
        key=bytes(key[:16]) + _gear_constants(key[16:]),
        zero_runs=zero_runs,
    )


def _gear_constants(seed: bytes) -> bytes:
    """Derive addend and multipliers; they need no secrecy, only to differ between repositories."""
    constants = bytearray(blake3(bytes(seed), derive_key_context=_GEAR_CONTEXT).digest(length=6))
    constants[2] |= 1
    constants[4] |= 1
    return bytes(constants)
