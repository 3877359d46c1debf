"""The whole measurement against a backup of the same data."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest

from holdfast.benchmark.dedupe import DedupeOptions, measure_dedupe
from holdfast.benchmark.grid import Grid
from holdfast.benchmark.report import DedupeReport
from holdfast.benchmark.sample import Sample
from holdfast.chunking.cutting import Cutting
from holdfast.operations.stats import repository_stats
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.prices import PriceTable
from holdfast.progress import NullProgress
from support.sessions import FakeClock, backup, create, open_repository

PRICES = PriceTable(provider="Shop", date=date(2026, 1, 31), currency="EUR", stored_month=1.0)
SLICE = 256 << 10


def measure(*sources: Path, grid: Grid, is_series: bool = False) -> DedupeReport:
    options = DedupeOptions(
        grid=grid,
        is_series=is_series,
        sample=Sample(None, None),
        prices=PRICES,
        exclude=ExcludeFilter(["*.log"]),
        threads=2,
    )
    paths = [bytes(source) for source in sources]
    return measure_dedupe(paths, options, NullProgress(), FakeClock(step_s=0.01))


def nights(directory: Path) -> list[Path]:
    """Two versions of texts, binaries and copies; 6 MiB each."""
    draw = random.Random(7)
    words = [bytes(draw.choices(b"abcdefghij", k=draw.randint(2, 9))) for _ in range(3000)]
    files = {f"text/{n:03}": b" ".join(draw.choices(words, k=9000)) for n in range(60)}
    files |= {f"data/{n}": draw.randbytes(900_000) for n in range(3)}
    files["data/copy"] = files["data/0"]
    changed = dict(files)
    for name in draw.sample(sorted(files), 12):
        at = draw.randrange(len(files[name]))
        changed[name] = files[name][:at] + b"changed" + files[name][at:]
    versions = []
    for number, version in enumerate((files, changed)):
        source = directory / str(number)
        for name, data in version.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (source / "left out.log").write_bytes(b"x" * 1000)
        versions.append(source)
    return versions


@pytest.mark.parametrize(
    "cutting", [Cutting("gear", 8192), Cutting("fixed", 4096)], ids=lambda cutting: cutting.name
)
def test_it_is_what_a_backup_stores(tmp_path: Path, cutting: Cutting) -> None:
    versions = nights(tmp_path)
    grid = Grid(candidates=(cutting,), slice_sizes=(SLICE,), levels=(3,))
    report = measure(*versions, grid=grid, is_series=True)
    store = create(slice_size=SLICE, pack_size=32 << 20)
    with open_repository(store, tmp_path / "cache") as repository:
        for source in versions:
            exclude = ExcludeFilter(["*.log"])
            backup(repository, source, cutting=cutting, level=3, exclude=exclude)
        packs = dict(repository.index.packs()).values()
        stats = repository_stats(repository)
    data = [pack for pack in packs if pack.kind == 1]
    unique, stored = sum(p.plain_size for p in data), sum(p.stored_size for p in data)
    (cut,), (setting,) = report.cuts, report.settings
    assert cut.unique_bytes.value == pytest.approx(unique, rel=0.02)
    # The repository's random key cuts elsewhere, which changes the number more than the bytes.
    assert cut.chunks.value == pytest.approx(sum(pack.blob_count for pack in data), rel=0.15)
    assert setting.stored_bytes.value == pytest.approx(stored, rel=0.02)
    assert setting.total_ratio.value == pytest.approx(stats.total_ratio, rel=0.02)
    assert cut.unique_bytes.error == 0


def test_the_report_is_complete(tmp_path: Path) -> None:
    (source,) = (tmp_path,)
    (source / "a").write_bytes(b"text " * 1000)
    grid = Grid(candidates=(Cutting("gear", 8192),), slice_sizes=(SLICE, 2 * SLICE), levels=(1, 3))
    report = measure(source, source / "gone", grid=grid)
    assert report.logical_bytes == 5000
    assert (report.files, report.vanished, report.unreadable) == (1, 1, 0)
    assert report.sample_share == 1.0
    assert report.seconds > 0
    assert [(one.slice_size, one.level) for one in report.settings] == [
        (SLICE, 1), (SLICE, 3), (2 * SLICE, 1), (2 * SLICE, 3),
    ]  # fmt: skip
    assert (report.currency, report.prices_of) == ("EUR", "Shop, 2026-01-31")
    assert report.recommendation is not None
    assert not report.is_series


def test_nothing_to_recommend(tmp_path: Path) -> None:
    grid = Grid(candidates=(Cutting("gear", 8192),), slice_sizes=(SLICE,), levels=(1,))
    report = measure(tmp_path, grid=grid)
    assert (report.logical_bytes, report.recommendation, report.sample_share) == (0, None, 1.0)
    assert report.cuts[0].decoded_per_byte == report.cuts[0].decoded_last == 1.0
