"""Which packs a partial `check --read-data-subset` reads."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import ConfigurationError
from holdfast.ids import ObjectId
from holdfast.units import parse_size

_HINT = "give n/m (part n of m), a share like 5%, or an amount like 10G"
_PART = re.compile(r"(\d+)/(\d+)\Z")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)%\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSubset:
    """What share of the packs is read; without any field set, all."""

    part: int = 0
    parts: int = 0
    share: float = 0.0
    """Of the packs, 0 to 1, chosen at random."""
    size: int = 0
    """Bytes at most, of packs chosen at random; at least one pack."""


ALL_DATA = DataSubset()


def parse_subset(text: str) -> DataSubset:
    """Return the subset meant by "n/m", "x%" or a size.

    Part n of m is a fixed share: m runs with n = 1 … m read everything once.

    Raises:
        ConfigurationError: none of the three, or out of range.
    """
    if match := _PART.match(text):
        part, parts = map(int, match.groups())
        if not 1 <= part <= parts:
            raise ConfigurationError(f"{text} is no part: n goes from 1 to m", _HINT)
        return DataSubset(part=part, parts=parts)
    if match := _SHARE.match(text):
        share = float(match.group(1)) / 100
        if not 0 < share <= 1:
            raise ConfigurationError(f"{text} is not above 0 % and at most 100 %", _HINT)
        return DataSubset(share=share)
    try:
        size = parse_size(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{text!r} is no part, share or size", _HINT) from error
    if size <= 0:
        raise ConfigurationError("the size must be above 0", _HINT)
    return DataSubset(size=size)


def choose_packs(
    packs: Sequence[tuple[ObjectId, int]], subset: DataSubset, chance: random.Random
) -> set[ObjectId]:
    """Return the packs to read.

    Args:
        packs: (id, stored size) of every pack.
        subset: what is wanted.
        chance: decides where the subset does not.
    """
    if subset.parts:
        return {pack for pack, _ in packs if int(pack[:8], 16) % subset.parts == subset.part - 1}
    shuffled = list(packs)
    chance.shuffle(shuffled)
    if subset.share:
        return {pack for pack, _ in shuffled[: max(1, round(len(shuffled) * subset.share))]}
    if not subset.size:
        return {pack for pack, _ in packs}
    chosen: set[ObjectId] = set()
    total = 0
    for pack, size in shuffled:
        if chosen and total + size > subset.size:
            break
        chosen.add(pack)
        total += size
    return chosen
