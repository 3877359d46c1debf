"""Results as a table for a terminal or a document, and as JSON.

Sizes are decimal: 1 MB = 1,000,000 bytes.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from measure import Sample, median
from peers import REFERENCE

TITLES: Final = {
    "first": "first backup",
    "unchanged": "nothing changed",
    "next": "next version, changed files only",
    "restore": "full restore to tmpfs",
    "check": "check --read-data",
    "snapshots": "snapshots, warm",
    "dump": "first dump",
    "dump-next": "changed dump",
    "prune": "prune, all but the last version",
    "fresh": "the last version alone",
}
"""Works in the order in which they are reported."""


@dataclass(slots=True)
class Series:
    """All runs of one work by one peer."""

    samples: list[Sample] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of the repository after the work: they differ, as keyed chunkers cut elsewhere."""

    @property
    def repository_size(self) -> int:
        """Median of the sizes."""
        return int(statistics.median(self.sizes))


class Results:
    """Samples by work and peer."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def add(self, work: str, peer: str, sample: Sample, repository_size: int) -> None:
        """Add one run."""
        series = self._series.setdefault((work, peer), Series())
        series.samples.append(sample)
        series.sizes.append(repository_size)

    def of(self, work: str) -> dict[str, Series]:
        """Return the series of one work by peer, in the order in which they ran."""
        return {peer: series for (done, peer), series in self._series.items() if done == work}

    def as_json(self) -> list[dict[str, Any]]:
        """Return each series with its median and all its samples; seconds and bytes."""
        return [
            {
                "work": work,
                "peer": peer,
                "median": asdict(median(series.samples)),
                "samples": [asdict(sample) for sample in series.samples],
                "repository_size": series.repository_size,
                "repository_sizes": series.sizes,
            }
            for work in TITLES
            for peer, series in self.of(work).items()
        ]


_HEAD: Final = ("work", "program", "wall s", "CPU s", "peak RSS MB", "repository MB")


def format_table(results: Results, *, markdown: bool) -> str:
    """Return all medians, each with its ratio to the reference peer, if that ran too."""
    rows: list[Sequence[str]] = []
    for work, title in TITLES.items():
        series_by_peer = results.of(work)
        reference = series_by_peer.get(REFERENCE)
        base = None if reference is None else _figures(reference)
        for number, (peer, series) in enumerate(series_by_peer.items()):
            own = base if peer != REFERENCE else None
            rows.append((title if number == 0 else "", peer, *_cells(_figures(series), own)))
    return _markdown(rows) if markdown else _plain(rows)


def format_machine(facts: dict[str, Any], programs: dict[str, dict[str, Any]]) -> str:
    """Return where and with what the figures were measured: a few lines."""
    size = f"{facts['cores']} cores, {facts['memory'] / 1e9:.0f} GB"
    lines = [f"{facts['processor']}, {size}, {facts['kernel']}, Python {facts['python']}"]
    for name, told in programs.items():
        facts_told = {k: v for k, v in told.items() if k != "version" and isinstance(v, str)}
        details = ", ".join(f"{key} {value}" for key, value in facts_told.items())
        lines.append(f"{name} {told['version']}" + (f" ({details})" if details else ""))
    return "\n".join(lines)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write results, indented, so that two runs can be compared line by line."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _figures(series: Series) -> tuple[float, float, float, float]:
    middle = median(series.samples)
    return middle.wall_s, middle.cpu_s, middle.peak_rss / 1e6, series.repository_size / 1e6


def _cells(figures: Sequence[float], base: Sequence[float] | None) -> list[str]:
    digits = (2, 2, 0, 1)
    cells = [f"{figure:.{count}f}" for figure, count in zip(figures, digits, strict=True)]
    if base is None:
        return cells
    return [
        f"{cell} ({figure / whole:.2f}x)" if whole else cell
        for cell, figure, whole in zip(cells, figures, base, strict=True)
    ]


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|---|" + "---:|" * (len(_HEAD) - 2)]
    lines.extend("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join(lines)


def _plain(rows: Sequence[Sequence[str]]) -> str:
    table = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines: list[str] = []
    for row in table:
        named = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        counted = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join((*named, *counted)))
    return "\n".join(lines)
