"""What deduplication, compression and their costs would be on given data: the whole measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.benchmark.grid import DEFAULT_GRID, Grid
from holdfast.benchmark.report import DedupeReport
from holdfast.benchmark.sample import Sample
from holdfast.benchmark.scan import ScanOptions, scan
from holdfast.benchmark.settings import assess
from holdfast.benchmark.survey import WalkRules
from holdfast.clock import Clock
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.prices import PriceTable
from holdfast.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeOptions:
    """What is measured and how."""

    grid: Grid = DEFAULT_GRID
    is_series: bool = False
    """Whether the sources are versions of the same data, one after another."""
    sample: Sample
    prices: PriceTable
    exclude: ExcludeFilter | None = None
    exclude_caches: bool = False
    one_file_system: bool = False
    threads: int = 1
    """That cut and compress, at least 1; the one that reads comes on top."""


def measure_dedupe(
    sources: Sequence[bytes], options: DedupeOptions, progress: Progress, clock: Clock
) -> DedupeReport:
    """Measure what each setting of the grid would make of sources, each of them a version.

    What is wrong with single files and directories, or with a whole source, is told to `progress`
    and counted in the report.

    Args:
        sources: paths of directories or files, in the order of the series.
        options: see there.
        progress: see `scan.scan`.
        clock: times the measurement.

    Cost: see `scan.scan`; the estimates take a second.
    """
    started_s = clock.monotonic_s()
    rules = WalkRules(
        exclude=options.exclude,
        exclude_caches=options.exclude_caches,
        one_file_system=options.one_file_system,
    )
    measured = scan(
        sources,
        ScanOptions(
            grid=options.grid,
            is_series=options.is_series,
            sample=options.sample,
            rules=rules,
            threads=options.threads,
        ),
        progress,
        clock,
    )
    found = assess(measured, options.grid, options.prices, options.threads)
    logical = measured.logical_bytes
    return DedupeReport(
        versions=measured.versions,
        is_series=measured.is_series,
        sample_share=measured.read_bytes / logical if logical else 1.0,
        seconds=clock.monotonic_s() - started_s,
        cuts=found.cuts,
        settings=found.settings,
        recommendation=found.recommendation,
        forecast=found.forecast,
        unreadable=measured.unreadable,
        vanished=measured.vanished,
        currency=options.prices.currency,
        prices_of=f"{options.prices.provider}, {options.prices.date.isoformat()}",
    )
