"""What a measurement of this machine found: plain figures, for tables and files. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Part of a backup that is measured by itself; the values are stable."""

    READ = "read"
    CUT = "cut"
    NAME = "name"
    INDEX = "index"
    COMPRESS = "compress"
    DECOMPRESS = "decompress"
    SEAL = "seal"
    OPEN = "open"
    STORAGE = "storage"
    BACKUP = "backup"


class Unit(StrEnum):
    """What a rate counts; the values are stable."""

    BYTES_PER_S = "bytes_per_s"
    PER_S = "per_s"
    """Operations a second."""
    SECONDS = "seconds"
    """Time of one operation: less is better."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A figure that was measured several times."""

    median: float
    spread: float
    """Half the distance between the quartiles of the runs, in the unit of the median."""
    runs: int

    @property
    def relative_spread(self) -> float:
        """Return the spread as a share of the median."""
        return self.spread / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How fast one thing is done."""

    stage: Stage
    name: str
    """What of the stage, unique in it; stable."""
    unit: Unit
    single: Rate
    """By one thread; for bytes always plaintext bytes but where storage is measured."""
    parallel: Rate | None = None
    """By several at once: `SpeedReport.threads`, or the storage's connections. None where a backup
    has one thread for it."""
    ratio: float | None = None
    """Plaintext bytes per compressed byte; for compression only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpeed:
    """What one stage of a backup could do if the others took no time."""

    name: str
    bytes_per_s: float
    """Bytes of source a second."""
    share: float
    """Of the processor time that a byte of source takes; 0 where the stage only waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How fast a backup can be here, and what holds it back."""

    stages: tuple[StageSpeed, ...]
    """In the order in which data passes them."""
    bytes_per_s: float
    """Of all stages together."""
    slowest: str
    """Name of the stage that limits."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What the stages were measured with."""

    is_own: bool
    """Whether it is the user's own; else it is made from a seed."""
    size: int
    """Bytes that are held."""
    files: int
    """Files of the whole from which they were taken, as far as it was looked at."""
    mean_file_bytes: float
    """Of that whole."""
    unreadable: int = 0
    """Files and directories that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport:
    """All that was found out about this machine."""

    threads: int
    """That compress and seal at once, as many as a backup has."""
    chunker: str
    """ "C" or "Python"."""
    data: DataFacts
    index_blobs: int
    """Of the index that blobs were looked up in."""
    storage: str
    """Location of the storage that was measured."""
    connections: int
    """Of the storage at once."""
    measures: tuple[Measure, ...]
    new: Prediction
    """Of a backup where everything is new."""
    unchanged: Prediction
    """Of a backup where nothing has changed."""
    seconds: float
    left: tuple[str, ...] = ()
    """Scratch objects that could not be deleted from the storage."""

    def measure(self, stage: Stage, name: str) -> Measure:
        """Return one measure.

        Raises:
            KeyError: there is none of that name.
        """
        for measure in self.measures:
            if (measure.stage, measure.name) == (stage, name):
                return measure
        raise KeyError((stage, name))
