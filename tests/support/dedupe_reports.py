"""Made-up reports of scans for duplicates, of any shape, for tests of what shows them."""

from __future__ import annotations

from dataclasses import replace

from holdfast.benchmark.grid import WHOLE_FILES, Candidate, Grid, WholeFiles
from holdfast.benchmark.report import (
    Cut,
    DedupeReport,
    Estimate,
    Forecast,
    Recommendation,
    Setting,
    Version,
)
from holdfast.chunking.cutting import Cutting

GRID = Grid(
    candidates=(
        WHOLE_FILES,
        Cutting("fixed", 8 << 10),
        Cutting("fixed", 32 << 10),
        Cutting("gear", 8 << 10),
        Cutting("gear", 32 << 10),
        Cutting("gear", 256 << 10),
    ),
    slice_sizes=(256 << 10, 1 << 20, 4 << 20),
    levels=(1, 3, 6, 12),
)
SENTENCE = "Use `--profile gear:8K --compression 12`: 3.00 GiB of data need 310 MiB (9.9 x less)."


def made_up_report(
    *,
    names: tuple[str, ...] = ("monday", "tuesday", "wednesday"),
    is_series: bool = True,
    share: float = 0.25,
    grid: Grid = GRID,
) -> DedupeReport:
    """Return a report in which smaller chunks and higher levels store less.

    Args:
        names: of the versions, each of 1 GiB.
        is_series: whether they are states of the same data, so that three have a forecast.
        share: of the data that was read; less than 1 gives every figure an error.
        grid: what was measured.
    """
    versions = tuple(
        Version(name=name, files=1000, logical_bytes=1 << 30, read_bytes=round(share * (1 << 30)))
        for name in names
    )
    logical = float(sum(version.logical_bytes for version in versions))
    error = 0.0 if share == 1 else 0.04
    cuts = tuple(_cut(candidate, logical, len(versions), error) for candidate in grid.candidates)
    settings = tuple(
        _setting(cut, slice_size, level, logical)
        for cut in cuts
        for slice_size in grid.slice_sizes
        for level in grid.levels
    )
    best = min(settings, key=lambda one: one.stored_bytes.value)
    later = tuple(
        (more, Estimate(best.stored_bytes.value * (1 + more / 20), error * 1e7 * more))
        for more in (7, 30, 90, 365)
    )
    return DedupeReport(
        versions=versions,
        is_series=is_series,
        sample_share=share,
        seconds=12.5,
        cuts=cuts,
        settings=settings,
        recommendation=Recommendation(
            setting=best, sentence=SENTENCE, options=("--profile", "gear:8K", "--compression", "12")
        ),
        forecast=(
            Forecast(per_version=best.added_bytes[-1], after=later)
            if is_series and len(versions) > 2
            else None
        ),
        unreadable=0,
        vanished=0,
        currency="USD",
        prices_of="AWS S3 Standard, us-east-1, 2026-03-13",
    )


def empty_report() -> DedupeReport:
    """Return the report of a directory without files."""
    report = made_up_report(names=("nothing",), is_series=False, share=1)
    versions = tuple(
        replace(version, files=0, logical_bytes=0, read_bytes=0) for version in report.versions
    )
    return replace(report, versions=versions, cuts=(), settings=(), recommendation=None)


def _cut(candidate: Candidate, logical: float, versions: int, error: float) -> Cut:
    size = 4 << 20 if isinstance(candidate, WholeFiles) else candidate.size
    is_fixed = not isinstance(candidate, WholeFiles) and candidate.kind == "fixed"
    unique = logical * min(1.0, 0.2 * (size / 8192) ** 0.12 * (2.5 if is_fixed else 1))
    first = unique * (0.7 if versions > 1 else 1)
    rest = (unique - first) / max(1, versions - 1)
    return Cut(
        candidate=candidate,
        unique_bytes=Estimate(unique, unique * error),
        chunks=Estimate(unique / size, unique / size * error),
        references=Estimate(logical / size, logical / size * error),
        added_bytes=tuple(
            Estimate(added, added * error) for added in (first, *[rest] * (versions - 1))
        ),
        decoded_per_byte=2.5,
        decoded_last=1.25,
        core_seconds_per_gib=1.5,
    )


def _setting(cut: Cut, slice_size: int, level: int, logical: float) -> Setting:
    compression = 2.0 + 0.05 * level + 0.01 * (slice_size >> 20)
    stored = Estimate(cut.unique_bytes.value / compression, cut.unique_bytes.error / compression)
    objects = int(stored.value) // (64 << 20) + 2
    return Setting(
        candidate=cut.candidate,
        slice_size=slice_size,
        level=level,
        stored_bytes=stored,
        added_bytes=tuple(
            Estimate(each.value / compression, each.error / compression) for each in cut.added_bytes
        ),
        dedupe_ratio=_ratio(logical, cut.unique_bytes),
        compression_ratio=Estimate(compression, 0.01 if stored.error else 0.0),
        total_ratio=_ratio(logical, stored),
        index_bytes=round(cut.chunks.value) * 75,
        memory_bytes=200 << 20,
        objects=objects,
        put_requests=objects + len(cut.added_bytes),
        price_once=objects * 5e-6,
        price_month=stored.value / (1 << 30) * 0.023,
        restore_decoded_per_byte=1 + slice_size / (1 << 20),
        mb_s=900 / level,
    )


def _ratio(whole: float, part: Estimate) -> Estimate:
    ratio = whole / part.value
    return Estimate(ratio, ratio * part.relative_error)
