"""One pass over the names of all sources, one over their content, with all lanes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from holdfast.benchmark.batch import Batch
from holdfast.benchmark.grid import Grid
from holdfast.benchmark.lane import new_lane
from holdfast.benchmark.measured import LaneResult
from holdfast.benchmark.naming import ChunkNamer
from holdfast.benchmark.reader import Reader
from holdfast.benchmark.report import Version
from holdfast.benchmark.sample import Sample, Sampler
from holdfast.benchmark.slices import Stream
from holdfast.benchmark.squeezer import Squeezer
from holdfast.benchmark.survey import Problems, SourceFile, SourceWalk, WalkRules, content_length
from holdfast.clock import Clock
from holdfast.fs.source import display
from holdfast.progress import NullProgress, Progress

_KEY: Final = bytes(32)
"""Names of chunks are forgotten with the scan, and the same in each: scans can be repeated."""
_REPORT_S: Final = 0.1
_REGIONS: Final = 4
"""Regions of each half of a source: of its first version, and of all others."""
_TAKE_ALL: Final = 4
"""Sources of up to so many regions are compressed whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What is scanned and how."""

    grid: Grid
    is_series: bool
    """Whether the sources are versions of the same data, one after another."""
    sample: Sample
    rules: WalkRules
    threads: int
    """At least 1; that reads comes on top."""
    seed: bytes = b""
    """Another one, of at most 32 bytes, draws another sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """All that a scan measured; estimates are made of it."""

    versions: tuple[Version, ...]
    lanes: tuple[LaneResult, ...]
    """In the order of the grid's candidates."""
    is_series: bool
    share: float
    """Of all bytes that were to be read, in (0, 1]; 1 is everything."""
    unreadable: int
    vanished: int

    @property
    def logical_bytes(self) -> int:
        """Return the size of all versions together."""
        return sum(version.logical_bytes for version in self.versions)

    @property
    def read_bytes(self) -> int:
        """Return what was read of them."""
        return sum(version.read_bytes for version in self.versions)


def scan(
    sources: Sequence[bytes], options: ScanOptions, progress: Progress, clock: Clock
) -> ScanResult:
    """Measure sources, each of them a version, in all ways of the grid.

    Whatever is wrong with single files and directories is told to `progress` and counted.

    Args:
        sources: paths of files or directories, in the order of the series.
        options: see there.
        progress: has the phases "survey", "measure", and "compress", which ends what is left of it.
        clock: paces reports.

    Cost with the default grid: 10 to 15 core-seconds for each GiB that is read, and 10 to 50 for
    compression, of large sources too. Memory: 300 MB, whatever the source.
    """
    survey = _Survey(options.rules, progress, clock)
    sizes = [survey.measure(source) for source in sources]
    progress.end()
    total = sum(sizes)
    share = options.sample.share_of(total)
    with ExitStack() as stack:
        content = _Content(stack, sizes, share, options, progress, clock)
        progress.begin("measure", total_items=survey.files, total_bytes=sum(content.planned))
        versions = tuple(content.measure(source) for source in sources)
        content.finish()
        progress.end()
        progress.begin("compress", total_items=len(options.grid.candidates))
        lanes = tuple(content.results())
        progress.end()
    return ScanResult(
        versions=versions,
        lanes=lanes,
        is_series=options.is_series,
        share=share,
        unreadable=content.problems.unreadable,
        vanished=content.problems.vanished,
    )


class _Pace:
    """Lets a report through now and then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = clock.monotonic_s()

    def is_due(self) -> bool:
        """Tell whether it is time. Cost: 0.2 us."""
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s < _REPORT_S:
            return False
        self._last_s = now_s
        return True


class _Survey:
    """The pass over names; what it meets the other pass meets again, and reports."""

    def __init__(self, rules: WalkRules, progress: Progress, clock: Clock) -> None:
        self._rules = rules
        self._progress = progress
        self._pace = _Pace(clock)
        self.files = 0
        self._bytes = 0
        progress.begin("survey")

    def measure(self, source: bytes) -> int:
        """Return the bytes of a source, without holes."""
        before = self._bytes
        for file in SourceWalk(source, self._rules, Problems(NullProgress())).files():
            self.files += 1
            self._bytes += content_length(file)
            if self._pace.is_due():
                self._progress.update(self.files, self._bytes, display(file.path))
        return self._bytes - before


class _Marks:
    """Decides where regions begin: at equal distances in what is read."""

    def __init__(self, planned: Sequence[int], region: int) -> None:
        self.take_all: Final = sum(planned) <= _TAKE_ALL * region
        """Whether regions follow each other without gaps."""
        first, rest = planned[0] if planned else 0, sum(planned[1:])
        regions = _REGIONS if rest else 2 * _REGIONS
        self._first_spacing = first // regions
        self._spacing = rest // _REGIONS
        self._next = 0

    def begin_version(self, number: int, read: int) -> None:
        """Note that another version begins, after so many bytes."""
        if number == 1:
            self._next = read
            self._first_spacing = self._spacing

    def is_mark(self, read: int) -> bool:
        """Tell whether a region begins after so many bytes; asked once for each place."""
        if self.take_all:
            return True
        if read < self._next:
            return False
        self._next = read + self._first_spacing
        return True


class _Content:
    """The pass over content: one thread reads a batch while lanes cut the one before."""

    def __init__(
        self,
        stack: ExitStack,
        sizes: Sequence[int],
        share: float,
        options: ScanOptions,
        progress: Progress,
        clock: Clock,
    ) -> None:
        grid = options.grid
        self.planned = [round(size * share) for size in sizes]
        self.problems = Problems(progress)
        self._rules = options.rules
        self._progress = progress
        self._pace = _Pace(clock)
        self._marks = _Marks(self.planned, max(grid.slice_sizes))
        self._sampler = Sampler(share, sum(sizes), is_series=options.is_series, seed=options.seed)
        # Lanes wait for compression, so their threads end first, whatever happens.
        squeezer = stack.enter_context(Squeezer(grid.slice_sizes, grid.levels, options.threads))
        self._pool = ThreadPoolExecutor(options.threads, "holdfast-lane")
        stack.callback(self._pool.shutdown, cancel_futures=True)
        namer = ChunkNamer(_KEY)
        self._lanes = [
            new_lane(
                candidate,
                namer,
                Stream(grid.slice_sizes, squeezer, len(sizes) - 1, take_all=self._marks.take_all),
                len(sizes),
                self._sampler.cell,
            )
            for candidate in grid.candidates
        ]
        self._by_cost = sorted(self._lanes, key=lambda lane: lane.typical_length)
        history = max((lane.history for lane in self._lanes), default=0)
        self._batches = [Batch(history), Batch(history)]
        self._running: list[Future[None]] = []
        self._reader = Reader(
            self._batches[0],
            self._next_batch,
            self._sampler,
            namer,
            self._marks.is_mark,
            self.problems,
        )
        self._version = -1
        self._files = 0
        self._path = b""

    def measure(self, source: bytes) -> Version:
        """Read a source, the next version."""
        self._version += 1
        self._reader.begin_version(self._version)
        read_before = self._reader.bytes_read
        self._marks.begin_version(self._version, read_before)
        files = logical = 0
        for file in SourceWalk(source, self._rules, self.problems).files():
            self._path = file.path
            length = self._measure_file(file)
            self._files += 1
            if length is not None:
                files += 1
                logical += length
            if self._pace.is_due():
                self._report()
        return Version(
            name=display(source),
            files=files,
            logical_bytes=logical,
            read_bytes=self._reader.bytes_read - read_before,
        )

    def finish(self) -> None:
        """Wait until the lanes have taken everything."""
        self._reader.finish()
        self._wait()
        self._report()

    def results(self) -> Iterator[LaneResult]:
        """Yield what each lane measured, as soon as its regions are compressed."""
        for number, lane in enumerate(self._lanes, 1):
            yield lane.finish(take_all=self._marks.take_all)
            self._progress.update(number, 0)

    def _measure_file(self, file: SourceFile) -> int | None:
        if file.size == 0:
            return 0
        if self._sampler.planned(file.name, file.size) == 0:
            return content_length(file)
        return self._reader.read(file)

    def _next_batch(self, batch: Batch) -> Batch:
        """Give a batch to the lanes; return the one that they are done with, empty."""
        batch.find_texture()
        self._wait()
        self._running = [self._pool.submit(lane.take, batch) for lane in self._by_cost]
        self._batches.reverse()
        following = self._batches[0]
        following.clear(batch.version)
        if self._pace.is_due():
            self._report()
        return following

    def _wait(self) -> None:
        for future in self._running:
            future.result()
        self._running = []

    def _report(self) -> None:
        self._progress.update(self._files, self._reader.bytes_read, display(self._path))
