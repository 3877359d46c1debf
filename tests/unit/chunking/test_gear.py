"""Content-defined cuts: arguments, buffers, statistics, zero runs, both implementations."""

from __future__ import annotations

import mmap
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import chunking
from holdfast.chunking import _gear_py
from support.chunking import FIND_CUTS_C, IMPLEMENTATIONS, NEEDS_C, FindCuts, gear, noise, pieces

ENGINE = str(Path(chunking.__file__).parents[2])


@pytest.fixture(params=IMPLEMENTATIONS)
def find_cuts(request: pytest.FixtureRequest) -> FindCuts:
    implementation: FindCuts = request.param
    return implementation


def test_siphash_gives_the_published_vector() -> None:
    # Appendix A of Aumasson, Bernstein, SipHash (2012).
    key = bytes(range(16))
    halves = (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"))
    assert _gear_py.siphash(halves, bytes(range(15))) == 0xA129CA6149BE45E5


def test_empty_buffer_has_no_cuts(find_cuts: FindCuts) -> None:
    assert gear(find_cuts).cuts(b"", 0, True) == []
    assert gear(find_cuts).cuts(b"abc", 0, True) == []
    assert gear(find_cuts).cuts(b"", 0, False) == []


def test_up_to_the_minimum_there_is_one_chunk(find_cuts: FindCuts) -> None:
    data = noise("short", 64)
    for length in (1, 63, 64):
        assert gear(find_cuts).cuts(data, length, True) == [length]
        assert gear(find_cuts).cuts(data, length, False) in ([], [64])


@pytest.mark.parametrize("zero_runs", [False, True])
def test_every_kind_of_buffer_is_cut_alike(
    find_cuts: FindCuts, zero_runs: bool, tmp_path: Path
) -> None:
    data = noise("kinds", 5000)
    path = tmp_path / "data"
    path.write_bytes(data)
    chunker = gear(find_cuts, zero_runs=zero_runs)
    expected = chunker.cuts(data, 5000, True)
    padded = memoryview(b"x" + data)[1:]
    assert chunker.cuts(bytearray(data), 5000, True) == expected
    assert chunker.cuts(memoryview(data), 5000, True) == expected
    assert chunker.cuts(padded, 5000, True) == expected
    assert chunker.cuts(data + noise("rest", 100), 5000, True) == expected
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert chunker.cuts(mapped, 5000, True) == expected


def test_buffers_are_released(find_cuts: FindCuts) -> None:
    data = bytearray(noise("release", 1000))
    gear(find_cuts).cuts(data, 1000, True)
    with pytest.raises(ValueError, match="length"):
        gear(find_cuts).cuts(data, 1001, True)
    data.append(0)  # BufferError while anybody holds it


def test_length_outside_the_buffer_is_refused(find_cuts: FindCuts) -> None:
    for length in (-1, 4):
        with pytest.raises(ValueError, match="length"):
            gear(find_cuts).cuts(b"abc", length, True)


@pytest.mark.parametrize(
    ("sizes", "key_length"),
    [((63, 256, 1024), 22), ((256, 255, 1024), 22), ((64, 256, 255), 22), ((64, 256, 1024), 21)],
)
def test_impossible_parameters_are_refused(
    find_cuts: FindCuts, sizes: tuple[int, int, int], key_length: int
) -> None:
    with pytest.raises(ValueError, match="impossible parameters"):
        find_cuts(b"abc", 3, True, sizes, (1, 1), bytes(key_length), False)


def test_wrong_types_are_refused(find_cuts: FindCuts) -> None:
    chunker = gear(find_cuts)
    with pytest.raises(TypeError):
        chunker.cuts("text", 4, True)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        chunker.cuts(b"text", "4", True)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        find_cuts(b"text", 4, True)


def test_without_content_defined_cuts_chunks_have_the_maximum_size(find_cuts: FindCuts) -> None:
    data = noise("never", 5000)
    assert gear(find_cuts).never().cuts(data, 5000, True) == [1024, 2048, 3072, 4096, 5000]
    assert gear(find_cuts).never().cuts(data, 5000, False) == [1024, 2048, 3072, 4096]
    assert gear(find_cuts).never().cuts(data, 4096, False) == [1024, 2048, 3072, 4096]


@pytest.mark.parametrize("byte", [0, 1, 0x20, 0xFF])
def test_equal_bytes_are_cut_at_the_maximum_only(find_cuts: FindCuts, byte: int) -> None:
    data = bytes([byte]) * 5000
    for name in ("a", "b", "c"):
        ends = gear(find_cuts, key=noise(name, 32)).cuts(data, 5000, True)
        assert ends == [1024, 2048, 3072, 4096, 5000]


def test_mean_size_is_the_average(find_cuts: FindCuts) -> None:
    average, length = (8192, 16 << 20) if find_cuts is FIND_CUTS_C else (4096, 2 << 20)
    data = random.Random(5).randbytes(length)
    ends = gear(find_cuts, average, noise("mean", 32)).cuts(data, length, True)
    assert length / len(ends) == pytest.approx(average, rel=0.05)


@NEEDS_C
def test_mean_size_of_the_profiles_is_their_average() -> None:
    data = random.Random(6).randbytes(64 << 20)
    for profile in (chunking.Profile.FILES, chunking.Profile.IMAGE):
        cutter = chunking.CUTTINGS[profile].chunker(noise("mean", 32))
        ends = cutter.cuts(data, len(data), True)
        average = chunking.params.AVERAGE_SIZES[profile]
        assert len(data) / len(ends) == pytest.approx(average, rel=0.08)


def test_before_the_average_cuts_are_four_times_rarer_than_after(find_cuts: FindCuts) -> None:
    average, length = (4096, 8 << 20) if find_cuts is FIND_CUTS_C else (4096, 2 << 20)
    data = random.Random(7).randbytes(length)
    ends = gear(find_cuts, average, noise("levels", 32)).cuts(data, length, True)
    sizes = [len(piece) for piece in pieces(data, ends)][:-1]
    early = sum(size < average for size in sizes)
    late = sum(average <= size < 4 * average for size in sizes)
    exposed_early = sum(min(size, average) - average // 4 for size in sizes)
    exposed_late = sum(max(size - average, 0) for size in sizes)
    assert (late / exposed_late) / (early / exposed_early) == pytest.approx(4, rel=0.25)


def test_an_insertion_disturbs_few_chunks(find_cuts: FindCuts) -> None:
    average, length = (8192, 4 << 20) if find_cuts is FIND_CUTS_C else (1024, 256 << 10)
    rng = random.Random(8)
    chunker = gear(find_cuts, average, noise("insertion", 32))
    data = rng.randbytes(length)
    known = set(pieces(data, chunker.cuts(data, length, True)))
    counts = []
    for _ in range(20):
        at = rng.randrange(length)
        changed = data[:at] + rng.randbytes(rng.randrange(1, 50)) + data[at:]
        parts = pieces(changed, chunker.cuts(changed, len(changed), True))
        counts.append(sum(part not in known for part in parts))
    assert min(counts) >= 1
    assert sum(counts) / len(counts) < 3
    assert max(counts) <= 8


def test_different_keys_give_different_cuts(find_cuts: FindCuts) -> None:
    data = noise("keys", 1 << 20)
    base = noise("key", 32)
    other_prf = noise("other", 16) + base[16:]
    other_gear = base[:16] + noise("other", 16)
    ends = [
        set(gear(find_cuts, 8192, key).cuts(data, len(data), True)[:-1])
        for key in (base, other_prf, other_gear)
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert len(ends[first] & ends[second]) < 0.15 * len(ends[first])


class TestZeroRuns:
    """Maximum 1024: a run of that many zeros or more is chunks of its own."""

    @pytest.mark.parametrize("run", [1024, 1025, 2047, 2048, 5000])
    @pytest.mark.parametrize("before", [0, 1, 63, 64, 700, 3333])
    def test_a_long_run_becomes_equal_chunks(
        self, find_cuts: FindCuts, run: int, before: int
    ) -> None:
        head, tail = noise("head", before).replace(b"\0", b"a"), noise("tail", 2000)
        data = head + bytes(run) + b"x" + tail
        ends = gear(find_cuts, zero_runs=True).cuts(data, len(data), True)
        inside = [end for end in ends if before < end <= before + run]
        whole = [before + 1024 * (i + 1) for i in range(run // 1024)]
        assert inside[: len(whole)] == whole
        assert before == 0 or before in ends
        assert pieces(data, ends).count(bytes(1024)) == run // 1024

    def test_a_short_run_is_ordinary_data(self, find_cuts: FindCuts) -> None:
        data = noise("head", 900) + b"x" + bytes(1023) + b"x" + noise("tail", 900)
        plain = gear(find_cuts)
        zeros = gear(find_cuts, zero_runs=True)
        assert zeros.cuts(data, len(data), True) == plain.cuts(data, len(data), True)

    def test_a_run_at_the_end_is_undecided_until_it_is_long_enough(
        self, find_cuts: FindCuts
    ) -> None:
        chunker = gear(find_cuts, zero_runs=True).never()
        data = b"x" * 500 + bytes(1024)
        assert chunker.cuts(data, 500, False) == []
        assert chunker.cuts(data, 1523, False) == []
        assert chunker.cuts(data, 1524, False) == [500, 1524]
        assert chunker.cuts(data, 1523, True) == [1024, 1523]
        assert chunker.cuts(bytes(1023), 1023, False) == []
        assert chunker.cuts(bytes(1023), 1023, True) == [1023]

    def test_a_run_that_begins_at_the_maximum_changes_nothing(self, find_cuts: FindCuts) -> None:
        chunker = gear(find_cuts, zero_runs=True).never()
        data = b"x" * 1024 + bytes(10)
        assert chunker.cuts(data, len(data), False) == [1024]


def test_two_chunks_of_maximum_size_always_decide_one(find_cuts: FindCuts) -> None:
    for data in (bytes(2048), b"x" * 1023 + bytes(1025), noise("two", 2048)):
        for zero_runs in (False, True):
            chunker = gear(find_cuts, zero_runs=zero_runs).never()
            assert chunker.cuts(data, 2048, False)


def test_a_threshold_of_all_ones_cuts_at_every_proposal(find_cuts: FindCuts) -> None:
    chunker = gear(find_cuts)
    ends = replace(
        chunker, parameters=replace(chunker.parameters, thresholds=(2**64 - 1, 2**64 - 1))
    ).cuts(noise("all", 50_000), 50_000, True)
    # 1/271 a position from 64 on, at most 1024: 64 + 271 (1 - e^(-960/271)) = 327 on average
    assert 50_000 / len(ends) == pytest.approx(327, rel=0.15)


LEAK = """
import random, sys
sys.path.insert(0, sys.argv[1])
from holdfast.chunking import _gear, params
p = params.gear_parameters(256, bytes(32))
data = random.Random(1).randbytes(200_000)
def pages():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
def work(count):
    for _ in range(count):
        _gear.find_cuts(data, len(data), True, p.sizes, p.thresholds, p.key, True)
        for bad in ((data, -1, True, p.sizes, p.thresholds, p.key, True),
                    (data, 1, True, p.sizes, p.thresholds, b"", True),
                    (data, 1, True, p.sizes, p.thresholds, p.key, True, 1),
                    (data, 1, True, p.sizes, p.thresholds, "", True)):
            try:
                _gear.find_cuts(*bad)
            except (ValueError, TypeError):
                pass
work(100)
before = pages()
work(1000)
print(pages() - before)
"""


@NEEDS_C
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_calls_leak_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK, ENGINE], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 256  # pages; one leaked list of cuts a call would be thousands


FALLBACK = """
import sys
sys.modules["holdfast.chunking._gear"] = None
sys.path.insert(0, sys.argv[1])
from holdfast import chunking
data = bytes(range(256)) * 400
cutter = chunking.Cutting("gear", 256).chunker(bytes(32))
print(chunking.IMPLEMENTATION, cutter.cuts(data, len(data), True))
"""


def test_without_the_extension_python_cuts_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FALLBACK, ENGINE], capture_output=True, text=True, check=True
    )
    data = bytes(range(256)) * 400
    expected = chunking.Cutting("gear", 256).chunker(bytes(32)).cuts(data, len(data), True)
    assert done.stdout == f"Python {expected}\n"


def test_implementation_says_which_one_is_used() -> None:
    expected = "Python" if FIND_CUTS_C is None else "C"
    assert expected == chunking.IMPLEMENTATION
