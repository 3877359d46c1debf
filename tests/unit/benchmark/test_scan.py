"""Scans of sources in which everything may be wrong, and of those in which nothing is."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.benchmark import scan
from holdfast.benchmark.grid import WHOLE_FILES, Grid
from holdfast.benchmark.sample import Sample
from holdfast.benchmark.scan import ScanOptions, ScanResult
from holdfast.benchmark.survey import WalkRules
from holdfast.chunking.cutting import Cutting
from holdfast.findings import Finding
from holdfast.fs.source import list_names as plain_list
from holdfast.operations.backup_files import open_file as plain_open
from holdfast.policy.filters import ExcludeFilter
from support.lanes import count
from support.sessions import FakeClock

GRID = Grid(
    candidates=(WHOLE_FILES, Cutting("fixed", 4096), Cutting("gear", 4096)),
    slice_sizes=(64 << 10, 256 << 10),
    levels=(1, 3),
)


class Watcher:
    """Notes what a scan tells."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int | None, int | None]] = []
        self.updates: list[tuple[int, int]] = []
        self.findings: list[Finding] = []
        self.ended = 0

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        self.phases.append((phase, total_items, total_bytes))

    def update(self, items: int, size: int, current: str = "") -> None:
        self.updates.append((items, size))

    def expect(self, total_items: int, total_bytes: int) -> None:
        raise AssertionError("totals are known at the beginning")

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)

    def message(self, text: str) -> None:
        raise AssertionError(text)

    def end(self) -> None:
        self.ended += 1


def run(
    *sources: Path,
    watcher: Watcher | None = None,
    share: float | None = None,
    rules: WalkRules | None = None,
    threads: int = 2,
    is_series: bool = True,
    grid: Grid = GRID,
) -> ScanResult:
    options = ScanOptions(
        grid=grid,
        is_series=is_series,
        sample=Sample(share, None),
        rules=rules or WalkRules(),
        threads=threads,
    )
    paths = [bytes(source) for source in sources]
    return scan.scan(paths, options, watcher or Watcher(), FakeClock(step_s=0.05))


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def noise(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


def unique_bytes(result: ScanResult) -> list[float]:
    return [sum(kept.weight * kept.length for kept in lane.sketch) for lane in result.lanes]


def assert_counted(result: ScanResult, versions: Sequence[Sequence[bytes]]) -> None:
    for lane in result.lanes:
        expected = count(lane.candidate, versions)
        assert sorted(chunk.length for chunk in lane.sketch) == sorted(map(len, expected.chunks))


def test_a_series_with_files_longer_than_a_batch(tmp_path: Path) -> None:
    long = noise(11 << 20) + bytes(1 << 20)
    first = {"a/long": long, "a/same": noise(5000), "b/text": b"text " * 30_000, "empty": b""}
    second = {**first, "a/long": b"in front" + long, "c": noise(5000)}
    watcher = Watcher()
    result = run(write(tmp_path / "1", first), write(tmp_path / "2", second), watcher=watcher)
    assert_counted(result, [list(first.values()), list(second.values())])
    sizes = [sum(map(len, files.values())) for files in (first, second)]
    assert [version.logical_bytes for version in result.versions] == sizes
    assert [version.read_bytes for version in result.versions] == sizes
    assert [version.files for version in result.versions] == [4, 5]
    assert [version.name for version in result.versions] == [str(tmp_path / n) for n in "12"]
    assert (result.unreadable, result.vanished, watcher.findings) == (0, 0, [])
    assert watcher.phases == [
        ("survey", None, None), ("measure", 9, sum(sizes)), ("compress", 3, None),
    ]  # fmt: skip
    assert watcher.updates[-4:] == [(9, sum(sizes)), (1, 0), (2, 0), (3, 0)]
    assert watcher.ended == 3


def test_threads_change_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, {f"{n}": noise(40_000, n % 7) + b"x" * n * 1000 for n in range(60)})
    one, many = (run(source, threads=threads) for threads in (1, 4))
    for first, second in zip(one.lanes, many.lanes, strict=True):
        assert sorted(first.sketch) == sorted(second.sketch)
        assert first.references == second.references
        assert first.decoded_per_byte == second.decoded_per_byte
        stored = [
            [region.squeezed[64 << 10, 3].stored_bytes for region in lane.regions]
            for lane in (first, second)
        ]
        assert stored[0] == stored[1] != []


@pytest.mark.parametrize("sources", [0, 1, 3])
def test_nothing_to_measure(tmp_path: Path, sources: int) -> None:
    result = run(*[tmp_path] * sources)
    assert [version.logical_bytes for version in result.versions] == [0] * sources
    assert unique_bytes(result) == [0, 0, 0]
    assert all(lane.regions == [] for lane in result.lanes)


def test_a_source_that_is_gone_counts(tmp_path: Path) -> None:
    watcher = Watcher()
    result = run(tmp_path / "gone", write(tmp_path / "here", {"a": b"abc"}), watcher=watcher)
    assert (result.vanished, result.unreadable) == (1, 0)
    assert [version.files for version in result.versions] == [0, 1]
    assert watcher.findings == [Finding(str(tmp_path / "gone"), "no such file or directory")]


def test_what_cannot_be_opened_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a": b"a", "gone": b"b" * 10, "secret": b"c" * 10, "z": b"z"})
    failures = {b"gone": errno.ENOENT, b"secret": errno.EACCES}

    def open_file(path: bytes) -> int:
        if number := failures.get(os.path.basename(path)):
            raise OSError(number, os.strerror(number))
        return plain_open(path)

    monkeypatch.setattr("holdfast.benchmark.reader.open_file", open_file)
    watcher = Watcher()
    result = run(tmp_path, watcher=watcher)
    assert (result.vanished, result.unreadable) == (1, 1)
    assert result.versions[0].files == 2
    assert result.versions[0].logical_bytes == result.versions[0].read_bytes == 2
    assert [finding.problem for finding in watcher.findings] == [
        "no such file or directory",
        "permission denied",
    ]


def test_a_directory_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a/x": b"1", "b/y": b"2"})

    def list_names(path: bytes) -> list[bytes]:
        if path.endswith(b"/a/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain_list(path)

    monkeypatch.setattr("holdfast.benchmark.survey.list_names", list_names)
    watcher = Watcher()
    result = run(tmp_path, watcher=watcher)
    assert (result.unreadable, result.versions[0].files) == (1, 1)
    assert watcher.findings == [Finding(str(tmp_path / "a"), "permission denied")]


@pytest.mark.parametrize(("name", "after"), [("short", 100_000), ("long", 9 << 20)])
def test_a_file_that_shrinks_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    size = 300_000 if name == "short" else 20 << 20
    data = noise(size)
    write(tmp_path, {name: data, "z": b"last"})
    plain = os.preadv

    def preadv(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        allowed = after - offset if os.fstat(descriptor).st_size == size else 1 << 30
        if allowed <= 0:
            return 0
        return plain(descriptor, [buffers[0][:allowed]], offset)

    monkeypatch.setattr(os, "preadv", preadv)
    watcher = Watcher()
    result = run(tmp_path, watcher=watcher)
    assert_counted(result, [[data[:after], b"last"]])
    assert (result.vanished, result.versions[0].logical_bytes) == (1, after + 4)
    assert watcher.findings == [
        Finding(str(tmp_path / name), "it became shorter while it was read")
    ]


def test_an_error_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 20 << 20
    write(tmp_path, {"bad": noise(size), "z": b"last"})
    plain = os.preadv

    def preadv(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        if offset > 9 << 20:
            raise OSError(errno.EIO, "Input/output error")
        return plain(descriptor, [buffers[0][: 1 << 20]], offset)

    monkeypatch.setattr(os, "preadv", preadv)
    watcher = Watcher()
    result = run(tmp_path, watcher=watcher)
    assert (result.unreadable, result.versions[0].files) == (1, 1)
    assert result.versions[0].logical_bytes == 4
    assert watcher.findings == [Finding(str(tmp_path / "bad"), "input/output error")]
    assert all(4 in [kept.length for kept in lane.sketch] for lane in result.lanes)


def test_a_file_that_became_a_fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a": b"regular"})

    def open_file(path: bytes) -> int:
        os.unlink(path)
        os.mkfifo(path)
        return plain_open(path)

    monkeypatch.setattr("holdfast.benchmark.reader.open_file", open_file)
    watcher = Watcher()
    result = run(tmp_path, watcher=watcher)
    assert (result.vanished, result.versions[0].files) == (1, 0)
    assert watcher.findings[0].problem == "it is no longer a regular file"


def test_a_file_that_grows_is_read_as_far_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line\n" * 1000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(b"line\n" * 1000)
                file.flush()
                stop.wait(0.001)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        result = run(tmp_path)
    finally:
        stop.set()
        writer.join()
    assert result.versions[0].logical_bytes == result.versions[0].read_bytes >= 5000
    assert result.vanished == 0


def test_holes_are_cut_around_as_in_a_backup(tmp_path: Path) -> None:
    parts = [noise(200_000, 1), noise(70_000, 2)]
    with (tmp_path / "sparse").open("wb") as file:
        file.write(parts[0])
        file.seek(4 << 20)
        file.write(parts[1])
        file.truncate(16 << 20)
    if os.stat(tmp_path / "sparse").st_blocks * 512 >= 16 << 20:
        pytest.skip("no sparse files here")
    result = run(tmp_path)
    blocks = [200_704, 73_728]  # files consist of blocks of 4 KiB
    assert result.versions[0].logical_bytes == result.versions[0].read_bytes <= sum(blocks)
    padded = [part.ljust(size, b"\0") for part, size in zip(parts, blocks, strict=True)]
    padded[1] = padded[1][: result.versions[0].read_bytes - blocks[0]]
    expected = count(Cutting("gear", 4096), [padded])
    assert unique_bytes(result)[2] == sum(map(len, expected.chunks))


def test_a_sample_reads_less_and_says_so(tmp_path: Path) -> None:
    files = {f"{n:03}": noise(2000, n) for n in range(500)}
    result = run(write(tmp_path, files), share=0.2, rules=WalkRules(exclude=ExcludeFilter(["4*"])))
    assert result.versions[0].files == 400
    assert result.versions[0].logical_bytes == 800_000
    assert 80_000 < result.read_bytes < 250_000
    assert result.share == 0.2
    assert unique_bytes(result) == [result.read_bytes] * 3


def test_regions_of_a_large_source_are_spread(tmp_path: Path) -> None:
    files = {f"{n:02}": noise(300_000, n) + b"words " * 20_000 for n in range(40)}
    size = 512 << 10
    grid = Grid(candidates=GRID.candidates, slice_sizes=(size,), levels=(1,))
    result = run(write(tmp_path, files), grid=grid)
    for lane, unique in zip(result.lanes, unique_bytes(result), strict=True):
        assert not lane.are_regions_all
        assert 7 <= len(lane.regions) <= 8
        stood_for = sum(region.weight * region.length for region in lane.regions)
        assert stood_for == pytest.approx(unique, rel=0.001)
        quick = sum(kept.quick_length for kept in lane.sketch)
        stored = sum(
            region.weight * region.squeezed[size, 1].stored_bytes for region in lane.regions
        )
        by_regions = sum(region.weight * region.quick_length for region in lane.regions)
        assert stored / by_regions * quick == pytest.approx(40 * 300_000, rel=0.1)
