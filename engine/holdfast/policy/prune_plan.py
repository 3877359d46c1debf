"""Which packs prune removes, rewrites or leaves, and which index objects it merges. Pure.

A pack cannot be changed, so space in it comes back only when the whole pack goes: at once if
nothing in it is needed, else after its live blobs were copied out. That costs reading,
compressing and writing them, so a little unused space is left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.format.pack import BlobKind
from holdfast.ids import ObjectId
from holdfast.units import parse_size

DEFAULT_UNUSED: Final = "3%"
_TINY: Final = 4
"""A pack below this part of the target size is tiny."""
_MOST_TINY: Final = 16
"""So many tiny packs of one kind are merged, or as many as fill one."""
_WORN: Final = 4
"""An index object is rewritten when this part of its blobs is in removed packs."""


@dataclass(frozen=True, slots=True)
class UnusedLimit:
    """How much unused space may stay: bytes, or a part of what the packs take; inf for any."""

    size: float = math.inf
    part: float | None = None

    def bytes_of(self, used: float) -> float:
        """Return the bytes that may stay unused beside so many used ones."""
        if self.part is None:
            return self.size
        return used * self.part / (1 - self.part) if self.part < 1 else math.inf


def parse_unused(text: str) -> UnusedLimit:
    """Return the limit meant by "5%", "2G" or "unlimited".

    Raises:
        ConfigurationError: no limit.
    """
    if text.strip().lower() == "unlimited":
        return UnusedLimit()
    if match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text):
        part = float(match[1]) / 100
        if part > 1:
            raise ConfigurationError(f"{text} is more than everything", "give at most 100%")
        return UnusedLimit(part=part)
    return UnusedLimit(size=parse_size(text))


@dataclass(frozen=True, slots=True)
class PackUsage:
    """How much of a pack is needed."""

    number: int
    """In the index."""
    pack_id: ObjectId
    kind: BlobKind
    stored_size: int
    plain_size: int
    live_size: int
    """Plaintext bytes of blobs for which this pack is the place to keep."""

    @property
    def live_stored(self) -> float:
        """Stored bytes of what is needed, taking all of the pack as equally compressed."""
        return self.stored_size * self.live_size / self.plain_size if self.plain_size else 0.0

    @property
    def unused(self) -> float:
        """Stored bytes of what is not needed."""
        return self.stored_size - self.live_stored


@dataclass(frozen=True, slots=True)
class PackPlan:
    """What happens to each pack."""

    dead: list[PackUsage] = field(default_factory=list)
    """Removed: nothing in them is needed."""
    repack: list[PackUsage] = field(default_factory=list)
    """Removed once what is needed of them has been copied."""
    keep: list[PackUsage] = field(default_factory=list)

    @property
    def unused_kept(self) -> float:
        """Stored bytes that stay although nobody needs them."""
        return sum(pack.unused for pack in self.keep)


def plan_packs(
    packs: Iterable[PackUsage],
    *,
    max_unused: UnusedLimit,
    max_repack: int | None,
    pack_size: int,
) -> PackPlan:
    """Choose what happens to each pack.

    Args:
        packs: all that the trusted index lists and the storage has.
        max_unused: what may stay unused.
        max_repack: stored bytes of packs to copy from at the most; None for no limit.
        pack_size: target size of a pack.

    The packs with the largest unused part are rewritten first, until no more is unused than may
    be; then tiny packs, once there are many.
    """
    plan = PackPlan()
    used: list[PackUsage] = []
    for pack in packs:
        (used if pack.live_size else plan.dead).append(pack)
    budget = math.inf if max_repack is None else max_repack
    limit = max_unused.bytes_of(sum(pack.live_stored for pack in used))
    unused = sum(pack.unused for pack in used)
    used.sort(key=lambda pack: (-pack.unused / pack.stored_size, pack.pack_id))
    chosen: set[ObjectId] = set()
    for pack in used:
        if unused <= limit:
            break
        if pack.live_size < pack.plain_size and pack.stored_size <= budget:
            chosen.add(pack.pack_id)
            unused -= pack.unused
            budget -= pack.stored_size
    for kind in BlobKind:
        chosen |= _tiny([pack for pack in used if pack.kind == kind], chosen, budget, pack_size)
    for pack in used:
        (plan.repack if pack.pack_id in chosen else plan.keep).append(pack)
    return plan


def _tiny(
    packs: Sequence[PackUsage], chosen: set[ObjectId], budget: float, pack_size: int
) -> set[ObjectId]:
    """Return the tiny packs of one kind if it is time to merge them."""
    tiny = [pack for pack in packs if pack.stored_size < pack_size // _TINY]
    rest = [pack for pack in tiny if pack.pack_id not in chosen]
    if len(tiny) < _MOST_TINY and sum(pack.stored_size for pack in tiny) < pack_size:
        return set()
    if len(rest) < 2 and len(rest) == len(tiny):
        return set()
    if sum(pack.stored_size for pack in rest) > budget:
        return set()
    return {pack.pack_id for pack in rest}


@dataclass(frozen=True, slots=True)
class IndexUsage:
    """How much of an index object is needed."""

    index_id: str
    blobs: int
    dead_blobs: int
    """Of them in packs that are removed."""


def plan_index(objects: Iterable[IndexUsage], *, most_blobs: int) -> set[str]:
    """Return the index objects to replace by merged ones.

    Args:
        objects: the trusted ones.
        most_blobs: of one index object.
    """
    worn: set[str] = set()
    small: set[str] = set()
    for item in objects:
        if item.dead_blobs * _WORN >= item.blobs:
            worn.add(item.index_id)
        elif (item.blobs - item.dead_blobs) * _WORN < most_blobs:
            small.add(item.index_id)
    return worn | small if len(worn | small) > 1 else worn
