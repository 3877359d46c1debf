"""The definition of content-defined cuts. `_gear.c` computes the same, some hundred times faster.

A position p of a stream is the border before byte p. Three things make it the end of a chunk:

1. *Hit*: a rolling gear hash that takes two bytes at a time, ending at p, is below HIT_BELOW:
   h(p) = 2 h(p - 2) + g(b[p-2] + 256 b[p-1]) mod 2^16, so that only the last 32 bytes count.
   g scrambles 16 bits: add, multiply, fold the upper half into the lower, multiply.
2. *Proposal*: a hit with no other hit among the 15 positions before it, at least the minimum
   size behind the chunk's start. Periodic data may hit everywhere; this bounds its cost.
3. *Decision*: SipHash-2-4 of the 64 bytes before p, under the repository's key, is below a
   threshold: one bit harder before the average size than after it is easier.

At the maximum size the chunk ends anyway. All bytes looked at lie within the chunk, so cuts do
not depend on how a stream was read, and an edit is forgotten at the next cut behind it.

With `zero_runs`, wherever max_size zeros follow, a chunk ends and the zeros are a chunk; so a run
of n >= max_size zeros becomes n // max_size equal chunks whatever surrounds it, and its rest
begins the next chunk. The chunk before a run may be shorter than the minimum.

The decision carries the privacy: whoever lacks the key cannot tell cuts from random, however
many they have seen. The gear hash is linear and needs no secrecy.

Source: gear hash and normalisation: Xia et al., FastCDC (USENIX ATC 2016); rolling hash, then
PRF: Truong et al., Breaking and Fixing Content-Defined Chunking (eprint 2025/558); Aumasson,
Bernstein, SipHash (2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from holdfast.chunking.base import Buffer
from holdfast.chunking.params import GEAR_WINDOW, HIT_BELOW, PRF_WINDOW, SPACING

_MASK64: Final = (1 << 64) - 1
_MASK16: Final = (1 << 16) - 1


def find_cuts(
    buffer: Buffer,
    length: int,
    final: bool,
    sizes: tuple[int, int, int],
    thresholds: tuple[int, int],
    key: bytes,
    zero_runs: bool,
) -> list[int]:
    """Return the ends of all decided chunks of buffer[:length]; see `Chunker.cuts`.

    The last four arguments are the fields of `GearParameters`.

    Cost: about 0.3 us a byte.

    Raises:
        ValueError: `length` does not lie within the buffer, or a parameter is impossible.
    """
    data = memoryview(buffer).cast("B")
    if not 0 <= length <= len(data):
        raise ValueError("length must lie within the buffer")
    if not PRF_WINDOW <= sizes[0] <= sizes[1] <= sizes[2] or len(key) != 16 + 6:
        raise ValueError("impossible parameters")
    cutter = _Cutter(bytes(data[:length]), final, sizes, thresholds, key, zero_runs)
    cuts: list[int] = []
    start = 0
    while start < length:
        cut = cutter.next_cut(start)
        if cut is None:
            break
        cuts.append(cut)
        start = cut
    return cuts


class _Cutter:
    """Finds the end of one chunk after the other."""

    def __init__(
        self,
        data: bytes,
        final: bool,
        sizes: tuple[int, int, int],
        thresholds: tuple[int, int],
        key: bytes,
        zero_runs: bool,
    ) -> None:
        self._data = data
        self._final = final
        self._min_size, self._average_size, self._max_size = sizes
        self._thresholds = thresholds
        self._prf_keys = (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little"))
        self._gear = _gear_table(key[16:])
        self._zero_runs = zero_runs

    def next_cut(self, start: int) -> int | None:
        """Return the end of the chunk that begins at `start`, None if it is undecided."""
        limit = min(start + self._max_size, len(self._data))
        run, run_decided = self._find_run(start, limit) if self._zero_runs else (limit, True)
        if run == start:
            return start + self._max_size if run_decided else None
        for position in self._proposals(start + self._min_size, run):
            threshold = self._thresholds[position - start >= self._average_size]
            if siphash(self._prf_keys, self._data[position - PRF_WINDOW : position]) < threshold:
                return position
        if run < limit:
            return run if run_decided else None
        return limit if self._final or limit == start + self._max_size else None

    def _find_run(self, start: int, limit: int) -> tuple[int, bool]:
        """Return where in [start, limit) a run of max_size zeros begins, `limit` if nowhere.

        The flag is False if the end of the buffer interrupts the run.
        """
        run = self._data.find(bytes(self._max_size), start, limit + self._max_size)
        if start <= run < limit:
            return run, True
        if not self._final:
            run = max(start, len(self._data[start:].rstrip(b"\0")) + start)
            if run < limit:
                return run, False
        return limit, True

    def _proposals(self, first: int, last: int) -> Iterator[int]:
        """Yield the proposals in [first, last], ascending."""
        last_hit = first - 2 * SPACING
        for position in self._hits(first - (SPACING - 1), last):
            if position >= first and position - last_hit >= SPACING:
                yield position
            last_hit = position

    def _hits(self, first: int, last: int) -> Iterator[int]:
        """Yield the hits in [first, last], ascending."""
        if first > last:
            return
        data, gear = self._data, self._gear
        begin = first - GEAR_WINDOW
        previous, current = 0, 0  # hashes at the last position but one, at the last one
        low = data[begin]
        for position, high in enumerate(data[begin + 1 : last], begin + 2):
            previous, current = current, (2 * previous + gear[low | high << 8]) & _MASK16
            low = high
            if current < HIT_BELOW and position >= first:
                yield position


@lru_cache(maxsize=4)
def _gear_table(constants: bytes) -> list[int]:
    """Return g for all 65,536 pairs of bytes."""
    add, first, second = (int.from_bytes(constants[i : i + 2], "little") for i in (0, 2, 4))
    table = []
    for pair in range(1 << 16):
        x = (pair + add) * first & _MASK16
        table.append((x ^ x >> 8) * second & _MASK16)
    return table


def siphash(keys: tuple[int, int], message: bytes) -> int:
    """Return SipHash-2-4 of a message under two little-endian halves of a key, as 64 bits."""
    v = [
        keys[0] ^ 0x736F6D6570736575,
        keys[1] ^ 0x646F72616E646F6D,
        keys[0] ^ 0x6C7967656E657261,
        keys[1] ^ 0x7465646279746573,
    ]
    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for offset in range(0, len(padded), 8):
        word = int.from_bytes(padded[offset : offset + 8], "little")
        v[3] ^= word
        _sip_rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_rounds(v: list[int], count: int) -> None:
    v0, v1, v2, v3 = v
    for _ in range(count):
        v0 = (v0 + v1) & _MASK64
        v2 = (v2 + v3) & _MASK64
        v1 = (v1 << 13 & _MASK64 | v1 >> 51) ^ v0
        v3 = (v3 << 16 & _MASK64 | v3 >> 48) ^ v2
        v0 = v0 << 32 & _MASK64 | v0 >> 32
        v2 = (v2 + v1) & _MASK64
        v0 = (v0 + v3) & _MASK64
        v1 = (v1 << 17 & _MASK64 | v1 >> 47) ^ v2
        v3 = (v3 << 21 & _MASK64 | v3 >> 43) ^ v0
        v2 = v2 << 32 & _MASK64 | v2 >> 32
    v[:] = v0, v1, v2, v3
