"""What limits a backup on this machine, by what its stages were measured to do. Pure.

The model follows how a backup works (docs/architecture.md): one thread walks, reads, cuts, names
and looks up; others compress and seal; disk and storage are waited for by nobody who could work
meanwhile. So four things can limit: the first thread, all processors together, the source's disk
and the storage; the least of them is what a backup of new data can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.benchmark.speed_report import (
    DataFacts,
    Measure,
    Prediction,
    Rate,
    Stage,
    StageSpeed,
)
from holdfast.chunking.params import AVERAGE_SIZES, Profile

LEVEL: Final = "level-3"
SUITE: Final = "aes-256-gcm"
"""What a backup uses unless it is told otherwise."""
_UNLIMITED: Final = float("inf")
_PHRASES: Final = {
    "walk": "walking through directories",
    "read": "opening and reading files",
    "cut": "finding cuts",
    "name": "naming chunks",
    "look-up": "looking up chunks",
    "compress": "compressing at level 3",
    "seal": "encrypting",
}


@dataclass(frozen=True, slots=True)
class _Work:
    """What a byte of source costs the processor in one stage."""

    name: str
    seconds: float
    """Of one processor."""
    alone: float
    """Bytes a second, by all threads that work on this stage."""
    is_serial: bool
    """Whether the thread that walks does it."""


class Figures:
    """Looks measures up; a missing one does not limit."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._measures = {(one.stage, one.name): one for one in measures}

    def find(self, stage: Stage, name: str) -> Measure | None:
        """Return a measure, or None if it was not made."""
        return self._measures.get((stage, name))

    def single(self, stage: Stage, name: str) -> float:
        """Return what one thread does in a second; infinite if nobody measured."""
        found = self.find(stage, name)
        return found.single.median or _UNLIMITED if found is not None else _UNLIMITED

    def parallel(self, stage: Stage, name: str) -> float:
        """Return what all threads do in a second; never less than one of them."""
        found = self.find(stage, name)
        rate: Rate | None = found.parallel if found is not None else None
        return max(self.single(stage, name), rate.median if rate is not None else 0.0)


def predict_new(measures: Sequence[Measure], data: DataFacts) -> Prediction:
    """Tell how fast new data can be backed up, by the default settings."""
    figures = Figures(measures)
    works = _works(figures, data)
    ratio = _ratio(figures)
    total_s = sum(work.seconds for work in works)
    walker_s = sum(work.seconds for work in works if work.is_serial)
    speedup = max(1.0, _speedup(figures))
    limits = {
        "walker": _inverse(walker_s),
        "processor": _inverse(total_s / speedup),
        "disk": figures.single(Stage.READ, "long-from-disk"),
        "store": figures.parallel(Stage.STORAGE, "write") * ratio,
    }
    limit = min(limits, key=lambda name: limits[name])
    computing = min(limits["walker"], limits["processor"])
    candidates = [work for work in works if work.is_serial or limit != "walker"]
    heaviest = max(candidates, key=lambda work: work.seconds)
    rate = f"New data: about {megabytes(limits[limit])}"
    share = round(100 * heaviest.seconds / total_s) if total_s else 0
    reasons = {
        "walker": (
            "the one thread that reads files limits, and most of its time goes into "
            f"{_PHRASES[heaviest.name]}"
        ),
        "processor": (
            f"the processor limits, and {share} % of its time goes into {_PHRASES[heaviest.name]}"
        ),
        "disk": f"the disk of the files limits; the processor could do {megabytes(computing)}",
        "store": (
            f"the storage limits, which takes {megabytes(limits['store'] / ratio)} of compressed "
            f"data; the processor could do {megabytes(computing)}"
        ),
    }
    stages = [
        StageSpeed(name="disk", bytes_per_s=limits["disk"], share=0.0),
        *(
            StageSpeed(name=work.name, bytes_per_s=work.alone, share=work.seconds / total_s)
            for work in works
        ),
        StageSpeed(name="store", bytes_per_s=limits["store"], share=0.0),
    ]
    return Prediction(
        stages=tuple(stage for stage in stages if stage.bytes_per_s < _UNLIMITED),
        bytes_per_s=limits[limit],
        slowest=limit if limit in ("disk", "store") else heaviest.name,
        sentence=f"{rate}; {reasons[limit]}.",
    )


def predict_unchanged(measures: Sequence[Measure], data: DataFacts) -> Prediction:
    """Tell how fast files are passed over that have not changed, with metadata in memory."""
    figures = Figures(measures)
    mean = data.mean_file_bytes
    per_s = figures.single(Stage.BACKUP, "unchanged")
    metadata_per_s = figures.single(Stage.READ, "metadata")
    share = min(1.0, per_s / metadata_per_s) if metadata_per_s < _UNLIMITED else 0.0
    stages = (
        StageSpeed(name="metadata", bytes_per_s=metadata_per_s * mean, share=share),
        StageSpeed(
            name="compare",
            bytes_per_s=per_s * mean / (1 - share) if share < 1 else _UNLIMITED,
            share=1 - share,
        ),
    )
    slowest = "metadata" if share > 1 / 2 else "compare"
    sentence = (
        f"Unchanged files: about {round(per_s, -3):,.0f} a second while their metadata is in "
        f"memory ({megabytes(per_s * mean)} of files like these); {round(100 * share)} % of that time is the "
        "file system's."
    )
    return Prediction(
        stages=tuple(stage for stage in stages if stage.bytes_per_s < _UNLIMITED),
        bytes_per_s=per_s * mean,
        slowest=slowest,
        sentence=sentence,
    )


def megabytes(bytes_per_s: float) -> str:
    """Return a speed in 10**6 or 10**9 bytes a second: "310 MB/s", "3.6 GB/s"."""
    value, unit = bytes_per_s / 1e6, "MB/s"
    if value >= 999.5:
        value, unit = value / 1e3, "GB/s"
    digits = 1 if value < 9.95 else 0
    return f"{value:.{digits}f} {unit}"


def _works(figures: Figures, data: DataFacts) -> list[_Work]:
    """Return what each stage costs a byte, in the order of the data flow."""
    mean = data.mean_file_bytes
    chunk = min(mean, AVERAGE_SIZES[Profile.FILES])
    files, ratio = Profile.FILES.value, _ratio(figures)
    opening_s = 1 / (figures.single(Stage.READ, "small") * mean)
    reading_s = opening_s + 1 / figures.single(Stage.READ, "long-from-memory")
    serial = {
        "walk": figures.single(Stage.BACKUP, "unchanged") * mean,
        "read": _inverse(reading_s),
        "cut": figures.single(Stage.CUT, files),
        "name": figures.single(Stage.NAME, files),
        "look-up": figures.single(Stage.INDEX, "look-up-new") * chunk,
    }
    works = [_Work(name, 1 / alone, alone, True) for name, alone in serial.items()]
    for name, stage, what, factor in (
        ("compress", Stage.COMPRESS, LEVEL, 1.0),
        ("seal", Stage.SEAL, SUITE, ratio),
    ):
        seconds = 1 / (figures.single(stage, what) * factor)
        works.append(_Work(name, seconds, figures.parallel(stage, what) * factor, False))
    return works


def _ratio(figures: Figures) -> float:
    """Return the bytes of source that one stored byte holds."""
    found = figures.find(Stage.COMPRESS, LEVEL)
    return (found.ratio if found is not None else None) or 1.0


def _speedup(figures: Figures) -> float:
    """Return how many processors' work all threads do: compression shows it best."""
    single = figures.single(Stage.COMPRESS, LEVEL)
    return figures.parallel(Stage.COMPRESS, LEVEL) / single if single < _UNLIMITED else 1.0


def _inverse(seconds: float) -> float:
    return 1 / seconds if seconds > 0 else _UNLIMITED
