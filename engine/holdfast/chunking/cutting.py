"""How a source is cut, as people write it: a profile, or a kind and a size of their own.

`files`, `dump`, `pages` and `image` are profiles; `gear:32K` cuts by content into 32 KiB on average,
`fixed:8K` into aligned pieces of 8 KiB. The name is what a snapshot records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from holdfast.chunking.base import Chunker
from holdfast.chunking.fixed import FixedChunker
from holdfast.chunking.gear import GearChunker
from holdfast.chunking.params import AVERAGE_SIZES, LEAST_AVERAGE, Profile, gear_parameters
from holdfast.errors import ConfigurationError
from holdfast.units import parse_size

Kind: TypeAlias = Literal["gear", "fixed"]

GREATEST_SIZE: Final = 4 << 20
"""Blobs are up to four times as long, and readers hold several."""
_KINDS: Final[tuple[Kind, ...]] = ("gear", "fixed")
_HINT: Final = (
    f"write {', '.join(Profile)}, or a kind and a size of chunks like gear:32K or fixed:8K"
)


@dataclass(frozen=True, slots=True)
class Cutting:
    """Where chunks end: by content ("gear") or at multiples of a size ("fixed")."""

    kind: Kind
    size: int
    """Bytes of a chunk; the average for "gear"."""
    zero_runs: bool = False
    """Whether long runs of zeros are chunks of their own; for "gear" only."""

    def __post_init__(self) -> None:
        if not LEAST_AVERAGE <= self.size <= GREATEST_SIZE or self.size % 4:
            raise ValueError(
                f"sizes of chunks are multiples of 4 from {LEAST_AVERAGE} bytes to 4 MiB"
            )

    @property
    def name(self) -> str:
        """Return the profile's name if it is one, else like "gear:32K"."""
        for profile in Profile:
            if CUTTINGS[profile] == self:
                return profile.value
        amount, unit = self.size, ""
        for larger in "KM":
            if amount % 1024 == 0:
                amount, unit = amount // 1024, larger
            else:
                break
        return f"{self.kind}:{amount}{unit}"

    @property
    def whole_file_limit(self) -> int:
        """Return the length in bytes up to which a file is always one chunk: no call is needed."""
        return self.size // (1 if self.kind == "fixed" else 4)

    def chunker(self, key: bytes) -> Chunker:
        """Return the chunker under a key of 32 bytes."""
        if self.kind == "fixed":
            return FixedChunker(self.size)
        return GearChunker(gear_parameters(self.size, key, zero_runs=self.zero_runs))


CUTTINGS: Final = {
    Profile.FILES: Cutting("gear", AVERAGE_SIZES[Profile.FILES]),
    Profile.DUMP: Cutting("gear", AVERAGE_SIZES[Profile.DUMP]),
    Profile.PAGES: Cutting("fixed", AVERAGE_SIZES[Profile.PAGES]),
    Profile.IMAGE: Cutting("gear", AVERAGE_SIZES[Profile.IMAGE], zero_runs=True),
}
"""What the profiles mean."""


def parse_cutting(text: str) -> Cutting:
    """Return what a person or a snapshot names: "files", "gear:32K", "fixed:8K".

    Raises:
        ConfigurationError: no such profile, kind or size.
    """
    if text in CUTTINGS:
        return CUTTINGS[Profile(text)]
    for kind in _KINDS:
        if text.startswith(kind + ":"):
            try:
                return Cutting(kind, parse_size(text.removeprefix(kind + ":")))
            except (ValueError, ConfigurationError) as error:
                raise ConfigurationError(f"{text!r}: {error}", _HINT) from error
    raise ConfigurationError(f"{text!r} is not a way to cut files", _HINT)
