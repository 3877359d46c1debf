"""The stream of new chunks: what restoring decodes of it, and which regions stand for it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.batch import Batch
from holdfast.benchmark.seen import Seen
from holdfast.benchmark.slices import RESTORE_SLICE, Stream
from holdfast.benchmark.squeezer import Squeezer
from holdfast.compression import compress

SMALL = 64 << 10
CHUNK = 16 << 10
BATCH = Batch(0, 4 << 20)
BATCH.view[:] = (
    random.Random(1).randbytes(2 << 20) + b"text " * 400_000 + bytes((2 << 20) - 2_000_000)
)
BATCH.used = BATCH.size
BATCH.find_texture()


@pytest.fixture(scope="module")
def squeezer() -> Iterator[Squeezer]:
    with Squeezer((SMALL,), (1,), 1) as opened:
        yield opened


def stream_of(squeezer: Squeezer, *, versions: int = 1, take_all: bool = True) -> Stream:
    return Stream((SMALL,), squeezer, versions - 1, take_all=take_all)


def put(stream: Stream, numbers: Sequence[int], group: int = 0) -> None:
    """Add a file of chunks of the batch, by their numbers."""
    spans = [(number * CHUNK, (number + 1) * CHUNK) for number in numbers]
    stream.add([number + 1 for number in numbers], spans, group, BATCH)
    stream.end_file()


def decoded(files: Sequence[Sequence[int]], size: int) -> float:
    """Decoded bytes per byte by the definition, if there is one version."""
    places: dict[int, int] = {}
    for number in (number for file in files for number in file):
        places.setdefault(number, len(places) * CHUNK)
    length = min(size, len(places) * CHUNK)
    touched = sum(len({places[number] // size for number in file}) for file in files)
    return touched * length / sum(len(file) * CHUNK for file in files)


@given(st.lists(st.lists(st.integers(0, 199), min_size=1, max_size=20), min_size=1, max_size=12))
def test_decoding_is_counted_by_the_slices_of_each_file(
    squeezer: Squeezer, files: list[list[int]]
) -> None:
    stream = stream_of(squeezer, take_all=False)
    for file in files:
        put(stream, file)
    stream.finish()
    assert stream.decoded_per_byte == pytest.approx(
        {size: decoded(files, size) for size in (SMALL, RESTORE_SLICE)}
    )


def test_a_restore_of_the_last_version_decodes_each_slice_once(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer, versions=2)
    put(stream, range(192))  # 3 MiB
    stream.begin_version(1)
    put(stream, [0, 1])
    put(stream, [2, 130])
    put(stream, [200])
    stream.finish()
    # Of the first version the first and third MiB, and one slice of its own.
    assert stream.decoded_last == pytest.approx(3 * RESTORE_SLICE / (5 * CHUNK))


def test_a_window_of_a_long_file_decodes_slices_again(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer, take_all=False)
    for _ in range(2):
        stream.add(range(1, 257), [(n * CHUNK, (n + 1) * CHUNK) for n in range(256)], 0, BATCH)
    before = stream.decoded_per_byte
    for _ in range(600):  # 2.3 GiB more of the same file
        stream.add(range(1, 257), [(n * CHUNK, (n + 1) * CHUNK) for n in range(256)], 0, BATCH)
    stream.end_file()
    stream.finish()
    assert before == {SMALL: 1.0, RESTORE_SLICE: 1.0}  # nothing is counted before a file ends
    assert stream.decoded_per_byte[RESTORE_SLICE] == pytest.approx(3 / 602, rel=0.01)


def test_regions_without_gaps_hold_the_stream(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer)
    stream.mark()
    put(stream, [3, 4, 3, 9, 10, 11, 200, 4])
    stream.finish()
    data = b"".join(bytes(BATCH.view[n * CHUNK : (n + 1) * CHUNK]) for n in (3, 4, 9, 10, 11, 200))
    regions = stream.regions()
    assert [region.length for region in regions] == [4 * CHUNK, 2 * CHUNK]
    for region, start in zip(regions, (0, SMALL), strict=True):
        part = data[start : start + SMALL]
        assert region.squeezed[SMALL, 1].stored_bytes == len(compress(part, 1)) + 16
        assert region.weight == 1.0
    assert regions[0].quick_length == pytest.approx(4 * CHUNK, rel=0.01)
    assert regions[1].quick_length < 1.2 * CHUNK  # half of it is text


def test_a_region_stands_for_the_stream_up_to_the_next(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer, take_all=False)
    stream.mark()
    put(stream, range(10))
    stream.mark()
    put(stream, [0, 1, 2, *range(20, 26)])
    stream.finish()
    regions = stream.regions()
    assert [region.length for region in regions] == [4 * CHUNK, 4 * CHUNK]
    assert [region.weight for region in regions] == [10 / 4, 6 / 4]


def test_a_mark_within_a_region_begins_none(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer, take_all=False)
    for number in range(4):
        stream.mark()
        put(stream, [number])
    stream.finish()
    assert [(region.length, region.weight) for region in stream.regions()] == [(4 * CHUNK, 1.0)]


def test_lanes_that_cut_elsewhere_collect_the_same_region(squeezer: Squeezer) -> None:
    regions = []
    for begin, length in ((0, 30_000), (20_000, 10_000)):  # the mark is at 24,000
        stream = stream_of(squeezer, take_all=False)
        stream.mark(24_000 - begin)
        spans = [(start, start + length) for start in range(begin, begin + 90_000, length)]
        stream.add(range(1, len(spans) + 1), spans, 0, BATCH)
        stream.finish()
        regions += stream.regions()
    assert regions[0].squeezed is regions[1].squeezed
    assert regions[0].length == SMALL
    noise = bytes(BATCH.view[24_000 : 24_000 + SMALL])
    assert regions[0].squeezed[SMALL, 1].stored_bytes == len(compress(noise, 1)) + 16


def test_an_empty_stream_has_no_regions(squeezer: Squeezer) -> None:
    stream = stream_of(squeezer)
    stream.mark()
    stream.finish()
    assert stream.regions() == []
    assert stream.decoded_last == 1.0
    assert set(stream.decoded_per_byte.values()) == {1.0}


def test_when_chunks_are_many_some_groups_stand_for_all(squeezer: Squeezer) -> None:
    stream = Stream((SMALL,), squeezer, 0, take_all=False, seen=Seen(most_slots=128))
    stream.mark()
    for number in range(192):
        if stream.takes(number % 32):
            put(stream, [number], number % 32)
    stream.finish()
    assert not stream.takes(31)
    (region,) = stream.regions()
    assert region.weight * region.length == pytest.approx(192 * CHUNK, rel=0.15)


def test_equal_regions_are_compressed_once(squeezer: Squeezer) -> None:
    one, other = bytearray(b"same" * 1000), bytearray(b"same" * 1000)
    assert squeezer.squeeze(one) is squeezer.squeeze(other)
    outcome = squeezer.squeeze(other).result()
    assert outcome[SMALL, 1].stored_bytes == len(compress(other, 1)) + 16
    assert outcome[SMALL, 1].seconds > 0
