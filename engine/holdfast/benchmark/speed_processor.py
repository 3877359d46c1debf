"""How fast the processor cuts, names, compresses and seals, by one thread and by all.

Each stage does what a backup has it do, with the same functions and the same sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.benchmark.speed_data import SpeedData
from holdfast.benchmark.speed_report import Measure, Stage, Unit
from holdfast.benchmark.speed_timing import Stopwatch, Work
from holdfast.chunking import Chunker, Profile
from holdfast.chunking.cutting import CUTTINGS
from holdfast.chunking.stream import BUFFER_SIZE
from holdfast.compression import compress, decompress_into
from holdfast.crypto.aead import KEY_LENGTH, NONCE_LENGTH, Suite, cipher
from holdfast.format.config import DEFAULT_SLICE_SIZE
from holdfast.hashing import keyed_hasher

LEVELS: Final = (1, 3, 6, 12)
_LEVEL_S: Final = {1: 0.5, 3: 1.0, 6: 1.0, 12: 1.5}
_CUT_S: Final = 0.3
_NAME_S: Final = 0.4
_DECOMPRESS_S: Final = 0.6
_SEAL_S: Final = 0.3
_FRAMES: Final = 16
"""Slices that are kept compressed, to be decompressed again and again."""
_DECOMPRESS_LEVEL: Final = 3
_KEY: Final = bytes(range(KEY_LENGTH))
_BINDING: Final = bytes(6)


def measure_cutting(data: SpeedData, watch: Stopwatch) -> list[Measure]:
    """Measure the chunker of each profile that searches for cuts, a buffer of 4 MiB at a time."""
    blocks = data.blocks(BUFFER_SIZE)
    return [
        watch.bytes_measure(
            Stage.CUT, profile.value, _cutting(CUTTINGS[profile].chunker(_KEY), blocks), _CUT_S
        )
        for profile in Profile
        if CUTTINGS[profile].kind == "gear"
    ]


def _cutting(chunker: Chunker, blocks: Sequence[memoryview]) -> Work:
    def work(number: int) -> float:
        block = blocks[number % len(blocks)]
        chunker.cuts(block, len(block), True)
        return len(block)

    return work


def measure_naming(data: SpeedData, watch: Stopwatch) -> list[Measure]:
    """Measure ids of chunks: keyed BLAKE3 of those of the profiles "files" and "dump"."""
    blocks = data.blocks(BUFFER_SIZE)
    return [
        watch.bytes_measure(
            Stage.NAME, profile.value, _naming(CUTTINGS[profile].size, blocks), _NAME_S
        )
        for profile in (Profile.FILES, Profile.DUMP)
    ]


def _naming(size: int, blocks: Sequence[memoryview]) -> Work:
    hasher = keyed_hasher(_KEY)

    def work(number: int) -> float:
        block = blocks[number % len(blocks)]
        for at in range(0, len(block), size):
            hasher().update(block[at : at + size]).digest()
        return len(block)

    return work


def measure_compression(data: SpeedData, watch: Stopwatch) -> list[Measure]:
    """Measure zstd on slices of 1 MiB: some levels, and decompression."""
    slices = data.blocks(DEFAULT_SLICE_SIZE)
    measures = _measure_levels(slices, watch)
    frames = [compress(piece, _DECOMPRESS_LEVEL) for piece in slices[:_FRAMES]]
    lengths = [len(piece) for piece in slices[:_FRAMES]]
    targets = [bytearray(DEFAULT_SLICE_SIZE) for _ in range(watch.threads)]

    def work(number: int) -> float:
        at = number % len(frames)
        target = memoryview(targets[number % len(targets)])[: lengths[at]]
        return decompress_into(frames[at], target, "slice", "benchmark")

    name = f"level-{_DECOMPRESS_LEVEL}"
    measures.append(watch.bytes_measure(Stage.DECOMPRESS, name, work, _DECOMPRESS_S))
    return measures


def _measure_levels(slices: Sequence[memoryview], watch: Stopwatch) -> list[Measure]:
    """Measure each level; their ratios are of the same slices, those that the slowest came to."""
    sizes: dict[int, dict[int, int]] = {level: {} for level in LEVELS}
    rates = {}
    for level in LEVELS:
        work = _compressing(level, slices, sizes[level])
        seconds = _LEVEL_S[level] / 2
        rates[level] = watch.rate(work, seconds), watch.parallel_rate(work, seconds)
    common = set.intersection(*(set(done) for done in sizes.values()))
    plain = sum(len(slices[at]) for at in common)
    return [
        Measure(
            stage=Stage.COMPRESS,
            name=f"level-{level}",
            unit=Unit.BYTES_PER_S,
            single=single,
            parallel=parallel,
            ratio=plain / sum(sizes[level][at] for at in common),
        )
        for level, (single, parallel) in rates.items()
    ]


def _compressing(level: int, slices: Sequence[memoryview], sizes: dict[int, int]) -> Work:
    def work(number: int) -> float:
        at = number % len(slices)
        sizes[at] = len(compress(slices[at], level))
        return len(slices[at])

    return work


def measure_sealing(data: SpeedData, watch: Stopwatch) -> list[Measure]:
    """Measure both suites on slices of 1 MiB, sealing and opening."""
    slices = data.blocks(DEFAULT_SLICE_SIZE)
    return [
        watch.bytes_measure(
            stage, suite.name.lower().replace("_", "-"), work(suite, slices), _SEAL_S
        )
        for stage, work in ((Stage.SEAL, _sealing), (Stage.OPEN, _opening))
        for suite in Suite
    ]


def _sealing(suite: Suite, slices: Sequence[memoryview]) -> Work:
    box = cipher(suite, _KEY)

    def work(number: int) -> float:
        piece = slices[number % len(slices)]
        # Nothing that is sealed here is kept, so nonces may come again.
        box.encrypt(number.to_bytes(NONCE_LENGTH, "little"), piece, _BINDING)
        return len(piece)

    return work


def _opening(suite: Suite, slices: Sequence[memoryview]) -> Work:
    box, nonce = cipher(suite, _KEY), bytes(NONCE_LENGTH)
    sealed = [box.encrypt(nonce, piece, _BINDING) for piece in slices[:_FRAMES]]

    def work(number: int) -> float:
        return len(box.decrypt(nonce, sealed[number % len(sealed)], _BINDING))

    return work
