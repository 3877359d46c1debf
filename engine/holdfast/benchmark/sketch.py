"""A sample of the distinct chunks of a stream, in constant memory; exact while they are few.

A chunk's id is a hash, so that "its id is below a threshold" draws chunks at random, and draws a
chunk with all its repetitions or not at all: what is kept is a sample of the *distinct* chunks,
each with a known probability. When there are too many, the threshold is halved and those that are
above it are dropped.

Source: Gibbons and Tirthapura, "Estimating simple functions on the union of data streams", SPAA
2001; for deduplication Harnik et al., "Estimating unseen deduplication", FAST 2016, and "Sketching
volume capacities in deduplicated storage", FAST 2019. That the probability grows with the length,
so that a few huge chunks do not decide by chance, is threshold sampling: Duffield, Lund and Thorup,
"Learn more, sample less", IEEE Transactions on Information Theory 51 (2005).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

MOST_KEPT: Final = 32 * 1024
"""Distinct chunks up to which everything is exact. Sums over distinct chunks of similar length are
within 2 % (two standard deviations) beyond."""
_FAVOURED_LENGTH: Final = 64 * 1024
"""A chunk is 1 + length / this times as likely to be kept as a very short one."""
_HASHES: Final = float(1 << 64)


class Kept(NamedTuple):
    """A distinct chunk of the sample."""

    length: int
    """Bytes, at least 1."""
    quick_length: float
    """Bytes that a quick compression makes of it, in 0 to about `length`; see `batch.Texture`."""
    first_version: int
    """Number of the first version that has it."""
    groups: int
    """Bit g is set if files of group g have it."""
    weight: float
    """How many distinct chunks of all it stands for: 1 / (probability to be kept), at least 1; about
    that if the sketch was calibrated.
    The sum of weight * f(chunk) is an unbiased estimate of the sum of f over all distinct chunks
    (Horvitz and Thompson), its variance about the sum of weight * (weight - 1) * f(chunk) ** 2."""


class Sketch:
    """The sample of one lane. For one thread at a time.

    Cost: 130 bytes for each kept chunk, 4 MB at the most; 0.5 us for each chunk that is added
    while the sketch is exact, 0.1 us later.
    """

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        """Prepare an empty sketch.

        Args:
            most_kept: chunks to keep, at least 1.
        """
        if most_kept < 1:
            raise ValueError("a sketch keeps at least one chunk")
        self._most_kept = most_kept
        self._rate = 1.0
        self._index: dict[int, int] = {}
        """Id -> place in the columns below."""
        self._lengths = array("Q")
        self._quick_lengths = array("d")
        self._first_versions = array("L")
        self._groups = array("L")
        self._corrections: dict[int, float] = {}
        """Version -> by what the weight of its chunks differs; see `calibrate`."""

    @property
    def is_exact(self) -> bool:
        """Whether all distinct chunks are kept."""
        return self._rate == 1.0

    @property
    def rate(self) -> float:
        """Return the probability that a very short chunk is kept: 2**-z, 1 while it is exact."""
        return self._rate

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Kept]:
        """Yield the kept chunks in any order."""
        columns = zip(
            self._lengths, self._quick_lengths, self._first_versions, self._groups, strict=True
        )
        for length, quick_length, version, groups in columns:
            weight = 1.0 / self._probability(length)
            if weight > 1.0:
                weight = max(1.0, weight * self._corrections.get(version, 1.0))
            yield Kept(length, quick_length, version, groups, weight)

    def calibrate(self, totals: Sequence[int]) -> None:
        """Change weights so that the bytes of each version are what is known from elsewhere.

        Called once, when everything was added. Other sums come nearer to the truth as far as they
        go with bytes (poststratification; Cochran, "Sampling Techniques", 1977, section 5A.9).

        Args:
            totals: bytes of the distinct chunks that each version is the first to have.
        """
        certain, drawn = [0.0] * len(totals), [0.0] * len(totals)
        for length, version in zip(self._lengths, self._first_versions, strict=True):
            probability = self._probability(length)
            if probability < 1.0:
                drawn[version] += length / probability
            else:
                certain[version] += length
        for version, total in enumerate(totals):
            if drawn[version]:
                self._corrections[version] = (total - certain[version]) / drawn[version]

    def add(
        self,
        ids: Sequence[int],
        spans: Sequence[tuple[int, int]],
        groups: Sequence[int],
        quick_length: Callable[[int, int], float],
        version: int,
    ) -> None:
        """Add chunks that were met; those that were met before only note their group.

        Args:
            ids: their hashes, uniform in 0..2**64-1.
            spans: where they begin and end in the data at hand, (start, end), end > start.
            groups: of their files, 0..31.
            quick_length: (start, end) -> see `Kept.quick_length`; asked for chunks that are new.
            version: number of the version, never less than in the call before.
        """
        index, masks = self._index, self._groups
        drawn: Iterable[tuple[int, tuple[int, int], int]] = zip(ids, spans, groups, strict=True)
        if self._rate < 1.0:
            scale = self._rate * _HASHES
            slope = scale / _FAVOURED_LENGTH
            drawn = [
                chunk for chunk in drawn if chunk[0] < scale + slope * (chunk[1][1] - chunk[1][0])
            ]
        for chunk_id, (start, end), group in drawn:
            place = index.get(chunk_id)
            if place is not None:
                masks[place] |= 1 << group
                continue
            index[chunk_id] = len(masks)
            self._lengths.append(end - start)
            self._quick_lengths.append(quick_length(start, end))
            self._first_versions.append(version)
            masks.append(1 << group)
        if len(index) > self._most_kept:
            self._thin_out()

    def _probability(self, length: int) -> float:
        return min(1.0, self._rate * (1.0 + length / _FAVOURED_LENGTH))

    def _thin_out(self) -> None:
        """Halve the threshold until no more are kept than may be."""
        while len(self._index) > self._most_kept:
            self._rate /= 2
            scale = self._rate * _HASHES
            slope = scale / _FAVOURED_LENGTH
            lengths = self._lengths
            self._index = {
                chunk: place
                for chunk, place in self._index.items()
                if chunk < scale + slope * lengths[place]
            }
            places = list(self._index.values())
            self._lengths = array("Q", [lengths[place] for place in places])
            self._quick_lengths = array("d", [self._quick_lengths[place] for place in places])
            self._first_versions = array("L", [self._first_versions[place] for place in places])
            self._groups = array("L", [self._groups[place] for place in places])
            self._index = {chunk: place for place, chunk in enumerate(self._index)}
