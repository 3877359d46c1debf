"""What a measurement of deduplication found: plain figures, for tables, files and charts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.benchmark.grid import Candidate


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and how far off it may be."""

    value: float
    error: float = 0.0
    """Half the width of the interval that holds the true figure 19 times in 20; 0 if counted."""

    @property
    def relative_error(self) -> float:
        """Return the error as a share of the value."""
        return self.error / self.value if self.value else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One tree that was scanned: the only one, or one of a series."""

    name: str
    """As the user named it."""
    files: int
    """Regular files with content that can be read; hard links count once."""
    logical_bytes: int
    """Sum of their sizes without holes."""
    read_bytes: int
    """What was read of them: less than `logical_bytes` of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What one way to cut makes of all data."""

    candidate: Candidate
    unique_bytes: Estimate
    """Plaintext of distinct chunks."""
    chunks: Estimate
    """Distinct chunks."""
    references: Estimate
    """Chunks as files count them, repetitions included."""
    added_bytes: tuple[Estimate, ...]
    """Plaintext that each version brings that none before it had; in the order of versions."""
    decoded_per_byte: float
    """Restore amplification of one file: plaintext bytes of slices of 1 MiB that must be decoded,
    per byte of the file, summed over all files; 1 at the least for large files."""
    decoded_last: float
    """The same for restoring the whole last version, where each slice is decoded once."""
    core_seconds_per_gib: float
    """Processor time to cut and name (chunker, BLAKE3, look-up) a GiB of data here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one combination of the grid costs: a way to cut, a slice size, a level."""

    candidate: Candidate
    slice_size: int
    level: int
    stored_bytes: Estimate
    """In packs and index objects, compressed and sealed."""
    added_bytes: tuple[Estimate, ...]
    """Stored bytes that each version brings: "size per night"."""
    dedupe_ratio: Estimate
    """Logical bytes per unique byte."""
    compression_ratio: Estimate
    """Unique bytes per stored byte."""
    total_ratio: Estimate
    """Logical bytes per stored byte."""
    index_bytes: int
    """Of the client's index on disk (LMDB)."""
    memory_bytes: int
    """Peak of a backup's resident memory by what was measured of the engine; not of other programs."""
    objects: int
    """Packs and index objects in the storage."""
    put_requests: int
    """To store all versions, one backup each."""
    price_once: float
    """Of those requests, in the currency of the price table."""
    price_month: float
    """Of keeping the stored bytes for a month."""
    restore_decoded_per_byte: float
    """Restore amplification of one file with this slice size; see `Cut.decoded_per_byte`."""
    mb_s: float
    """10**6 bytes of source a second that this machine's cores could take in with this setting, from
    the processor time that cutting, naming, compressing and sealing took in the scan; reading is
    not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a series grows to if it goes on as it did."""

    per_version: Estimate
    """Stored bytes that one more version adds, by the median of those after the first."""
    after: tuple[tuple[int, Estimate], ...]
    """(number of versions, stored bytes then): at 7, 30, 90 and 365 versions more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The setting to use, and why in one sentence."""

    setting: Setting
    sentence: str
    """Names the options to use and what they save."""
    options: tuple[str, ...]
    """Words for the command line of `backup`; the slice size is chosen by `init`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeReport:
    """All that a scan found."""

    versions: tuple[Version, ...]
    is_series: bool
    """Whether the versions are states of the same data, one after another."""
    sample_share: float
    """Read bytes per logical byte; 1 if everything was read."""
    seconds: float
    cuts: tuple[Cut, ...]
    settings: tuple[Setting, ...]
    """Candidates outermost, then slice sizes, then levels, as the grid has them."""
    recommendation: Recommendation | None
    """None if there was nothing to measure."""
    forecast: Forecast | None
    """Of the recommended setting; None unless it is a series of at least three."""
    unreadable: int
    """Files and directories that could not be read."""
    vanished: int
    """Files that were gone, or shorter, when their turn came."""
    currency: str
    prices_of: str
    """Whose prices, and of which day."""

    @property
    def logical_bytes(self) -> int:
        """Return the size of all versions together."""
        return sum(version.logical_bytes for version in self.versions)

    @property
    def files(self) -> int:
        """Return the files of all versions together."""
        return sum(version.files for version in self.versions)
