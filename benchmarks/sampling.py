"""How near estimates from samples come to the whole: scans data whole, then samples of it.

    python benchmarks/sampling.py --series V1 V2 V3           (or PATH...; PYTHONPATH=engine from a checkout)

For each candidate, share and seed: what the sample says of unique bytes, stored bytes and the total
ratio against what the whole scan says, and whether the truth lies within the error bar. Prints Markdown;
`--output` adds the results to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from holdfast.benchmark.grid import DEFAULT_GRID, Grid, parse_candidate
from holdfast.benchmark.report import Estimate
from holdfast.benchmark.sample import Sample
from holdfast.benchmark.scan import ScanOptions, ScanResult, scan
from holdfast.benchmark.settings import Assessment, assess
from holdfast.benchmark.survey import WalkRules
from holdfast.clock import SystemClock
from holdfast.policy.prices import decode_prices
from holdfast.progress import NullProgress

_SLICE_SIZE: Final = 1 << 20
_LEVEL: Final = 3
_PRICES: Final = 'provider = "none"\ndate = 2026-01-01\ncurrency = "USD"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of one candidate from one sample, and the truth."""

    data: str
    candidate: str
    figure: str
    share: float
    seed: int
    read_share: float
    """Of all bytes: what was read indeed."""
    truth: float
    estimate: float
    error: float
    """The error bar: half its width."""

    @property
    def deviation(self) -> float:
        """Return how far the estimate is off, as a share of the truth."""
        return self.estimate / self.truth - 1

    @property
    def is_held(self) -> bool:
        """Return whether the error bar holds the truth."""
        return abs(self.estimate - self.truth) <= self.error


def main() -> None:
    """Scan, compare, print a table and, on request, write the results as JSON."""
    options = _parser().parse_args()
    grid = Grid(
        tuple(parse_candidate(name) for name in options.chunker) or DEFAULT_GRID.candidates,
        DEFAULT_GRID.slice_sizes,  # what is compressed is as long as the longest
        (_LEVEL,),
    )
    sources = [os.fsencode(path) for path in options.paths]
    whole = _scan(sources, grid, 1.0, 0, is_series=options.series)
    truth = _assess(whole, grid)
    comparisons: list[Comparison] = []
    for percent in options.share:
        for seed in range(options.seeds):
            part = _scan(sources, grid, percent / 100, seed, is_series=options.series)
            comparisons += _compare(options.name, truth, part, _assess(part, grid), seed)
    print(f"{options.name}: {whole.logical_bytes / 1e9:.2f} GB\n")
    print(format_table(comparisons))
    if options.output is not None:
        earlier = json.loads(options.output.read_text()) if options.output.exists() else []
        results = [*earlier, *(asdict(comparison) for comparison in comparisons)]
        options.output.write_text(json.dumps(results, indent=1) + "\n")


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Return a Markdown table: for each candidate, figure and share the deviations of all seeds."""
    lines = [
        "| candidate | figure | read | whole | mean estimate | off by, each sample (%) | bar (%) | held |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    keys = dict.fromkeys((one.candidate, one.figure, one.share) for one in comparisons)
    for key in keys:
        samples = [one for one in comparisons if (one.candidate, one.figure, one.share) == key]
        truth = samples[0].truth
        off = " ".join(f"{100 * one.deviation:+.1f}" for one in samples)
        bar = fmean(one.error / one.estimate if one.estimate else 0.0 for one in samples)
        lines.append(
            f"| {key[0]} | {key[1]} | {fmean(one.read_share for one in samples):.0%} "
            f"| {_number(truth)} | {_number(fmean(one.estimate for one in samples))} | {off} "
            f"| {100 * bar:.1f} | {sum(one.is_held for one in samples)} of {len(samples)} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value:.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare estimates from samples with the whole.")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--series", action="store_true", help="versions of the same data")
    parser.add_argument("--name", default="data", help="how tables call the data")
    parser.add_argument("--share", type=float, nargs="+", default=[10, 25], metavar="PERCENT")
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="samples of each share (3)"
    )
    parser.add_argument("--chunker", action="append", default=[], metavar="NAME")
    parser.add_argument("--output", type=Path, metavar="FILE", help="add results to a JSON list")
    return parser


def _scan(
    sources: Sequence[bytes], grid: Grid, share: float, seed: int, *, is_series: bool
) -> ScanResult:
    options = ScanOptions(
        grid=grid,
        is_series=is_series,
        sample=Sample(share, None),
        rules=WalkRules(),
        threads=len(os.sched_getaffinity(0)),
        seed=b"%d" % seed,
    )
    return scan(sources, options, NullProgress(), SystemClock())


def _assess(measured: ScanResult, grid: Grid) -> Assessment:
    return assess(measured, grid, decode_prices(tomllib.loads(_PRICES), "none"), threads=1)


def _compare(
    data: str, truth: Assessment, part: ScanResult, found: Assessment, seed: int
) -> Iterator[Comparison]:
    pairs: list[tuple[str, str, Estimate, Estimate]] = []
    for true_cut, cut in zip(truth.cuts, found.cuts, strict=True):
        name = cut.candidate.name
        pairs.append((name, "unique bytes", true_cut.unique_bytes, cut.unique_bytes))
    for true_setting, setting in zip(truth.settings, found.settings, strict=True):
        if setting.slice_size != _SLICE_SIZE:
            continue
        name = setting.candidate.name
        pairs.append((name, "stored bytes", true_setting.stored_bytes, setting.stored_bytes))
        pairs.append((name, "total ratio", true_setting.total_ratio, setting.total_ratio))
        pairs.append(
            (name, "compression", true_setting.compression_ratio, setting.compression_ratio)
        )
    circumstances: dict[str, Any] = {
        "data": data,
        "share": part.share,
        "seed": seed,
        "read_share": part.read_bytes / part.logical_bytes,
    }
    for name, figure, true, estimate in pairs:
        yield Comparison(
            candidate=name,
            figure=figure,
            truth=true.value,
            estimate=estimate.value,
            error=estimate.error,
            **circumstances,
        )


if __name__ == "__main__":
    main()
