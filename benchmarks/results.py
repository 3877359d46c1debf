"""What was measured, set by set, in memory and as the file that reports are made of.

The file holds one entry for each data set; a later run replaces the entries of its own sets and
leaves the others, so sets can be measured one at a time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_set import DataSet, Extent
from measure import Sample, median


@dataclass(slots=True)
class Series:
    """All runs of one work by one peer."""

    samples: list[Sample] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of the repository after the work: they differ, as keyed chunkers cut elsewhere."""


class Results:
    """Samples by work and peer, and what failed."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}
        self._failures: dict[tuple[str, str], str] = {}

    def add(self, work: str, peer: str, sample: Sample, repository_size: int) -> None:
        """Add one run."""
        series = self._series.setdefault((work, peer), Series())
        series.samples.append(sample)
        series.sizes.append(repository_size)

    def fail(self, work: str, peer: str, problem: str) -> None:
        """Record that a peer failed at a work; no figure of it counts then."""
        self._series.pop((work, peer), None)
        self._failures[work, peer] = problem

    def as_json(self) -> dict[str, Any]:
        """Return each series with all its samples, in seconds and bytes, and the failures."""
        return {
            "results": [
                {
                    "work": work,
                    "peer": peer,
                    "samples": [asdict(sample) for sample in series.samples],
                    "repository_sizes": series.sizes,
                }
                for (work, peer), series in self._series.items()
                if (work, peer) not in self._failures
            ],
            "failures": [
                {"work": work, "peer": peer, "problem": problem}
                for (work, peer), problem in self._failures.items()
            ],
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One work by one peer: medians."""

    sample: Sample
    size: int
    """Bytes of the repository after it."""


@dataclass(frozen=True, slots=True)
class SetResult:
    """All that is known of one data set's comparison."""

    name: str
    title: str
    profile: str
    told: str
    nights: tuple[Extent, ...]
    facts: Mapping[str, Any]
    """`time`, `commit`, `machine`, `programs` and `runs`."""
    outcomes: Mapping[tuple[str, str], Outcome]
    """By work and peer."""
    failures: Mapping[tuple[str, str], str]

    @property
    def peers(self) -> tuple[str, ...]:
        """The peers that took part, in their order."""
        return tuple(self.facts["programs"])

    def of(self, work: str) -> dict[str, Outcome]:
        """Return the outcomes of one work by peer."""
        found = {peer: self.outcomes.get((work, peer)) for peer in self.peers}
        return {peer: outcome for peer, outcome in found.items() if outcome is not None}

    @property
    def night_works(self) -> tuple[str, ...]:
        """The names of the works that are backups of a night."""
        return tuple(f"night-{number}" for number in range(1, len(self.nights) + 1))


def entry(data_set: DataSet, results: Results, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's entry of the file."""
    return {
        "name": data_set.name,
        "title": data_set.title,
        "profile": data_set.profile,
        "told": data_set.told,
        "nights": [asdict(extent) for extent in data_set.extents],
        **facts,
        **results.as_json(),
    }


def merge(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Put entries into the file, each instead of the one of the same name, if there is one.

    Raises:
        OSError: the file cannot be read or written.
    """
    kept = json.loads(path.read_text(encoding="utf-8"))["sets"] if path.exists() else []
    sets = {one["name"]: one for one in kept}
    sets.update((one["name"], one) for one in entries)
    text = json.dumps({"sets": list(sets.values())}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> list[SetResult]:
    """Return what a file holds, with medians.

    Raises:
        OSError: the file cannot be read.
    """
    return [_set_result(one) for one in json.loads(path.read_text(encoding="utf-8"))["sets"]]


def _set_result(facts: Mapping[str, Any]) -> SetResult:
    return SetResult(
        name=facts["name"],
        title=facts["title"],
        profile=facts["profile"],
        told=facts["told"],
        nights=tuple(Extent(**night) for night in facts["nights"]),
        facts={key: facts[key] for key in ("time", "commit", "machine", "programs", "runs")},
        outcomes={
            (one["work"], one["peer"]): Outcome(
                median([Sample(**sample) for sample in one["samples"]]),
                int(statistics.median(one["repository_sizes"])),
            )
            for one in facts["results"]
        },
        failures={(one["work"], one["peer"]): one["problem"] for one in facts["failures"]},
    )


def total(outcomes: Sequence[Outcome]) -> Sample:
    """Return the sums of times, and the peak of memory, of several works."""
    return Sample(
        wall_s=sum(outcome.sample.wall_s for outcome in outcomes),
        cpu_s=sum(outcome.sample.cpu_s for outcome in outcomes),
        peak_rss=max((outcome.sample.peak_rss for outcome in outcomes), default=0),
    )
