"""What a storage does, judged by what a repository needs of it.

Probes look at promises that docs/prune.md builds upon; a broken one is named with what it means:
nothing worse than one host that prunes, or that no repository may be kept there. Speed, and what
an S3 bucket offers besides, is good to know.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from holdfast.backends.base import Backend
from holdfast.backends.location import Location
from holdfast.backends.options import StorageOptions
from holdfast.clock import Clock
from holdfast.errors import (
    AccessDeniedError,
    BackendError,
    NotFoundError,
    OutOfSpaceError,
    TransientBackendError,
)
from holdfast.format.config import CONFIG_NAME
from holdfast.operations.lifecycle import read_plan
from holdfast.operations.probe import PROBES, Observation, Scratch, scratch_on, sweep_leftovers
from holdfast.progress import NullProgress, Progress
from holdfast.storage_errors import (
    BucketNotFoundError,
    ClockSkewError,
    CredentialsError,
    RequestLimitError,
    WrongRegionError,
)
from holdfast.units import format_size

if TYPE_CHECKING:
    from holdfast.backends.s3_lifecycle import S3Lifecycle

_SMALL_LENGTH: Final = 1024
_SMALL_SAMPLES: Final = 7
_LARGE_LENGTH: Final = 8 << 20
_LARGE_SAMPLES: Final = 3
SLOW_S: Final = 0.25
"""A small request that takes longer is slow: a backup waits for some dozens."""
SLOW_BYTES_PER_S: Final = 1 << 20
_FATAL: Final = (
    OutOfSpaceError,
    CredentialsError,
    BucketNotFoundError,
    WrongRegionError,
    ClockSkewError,
    RequestLimitError,
)
"""Nothing can be found out about a storage that answers so."""


class Verdict(StrEnum):
    """What an observation means; the values are stable."""

    SAFE = "safe"
    """A promise that everything rests on was kept."""
    GOOD = "good"
    """There and in order, though nothing rests on it."""
    ONE_MAINTAINER = "one-maintainer"
    """Safe if only one host prunes."""
    NO_UNDO = "no-undo"
    """Safe, but `forget --undo` may claim too much."""
    SLOW = "slow"
    POOR = "poor"
    """It works, but somebody should look at it."""
    ABSENT = "not-available"
    UNSAFE = "unsafe"
    """No repository may be kept there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the diagnosis."""

    property: str
    """Stable name."""
    expected: str
    """Empty where nothing is expected."""
    seen: str
    verdict: Verdict
    means: str
    """For people; empty for the verdict's own words."""


@dataclass(slots=True, kw_only=True)
class Diagnosis:
    """All that was found out about a storage."""

    location: str
    has_repository: bool
    rows: list[Row] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    """Seconds and bytes per second, by stable names."""
    left: list[str] = field(default_factory=list)
    """Scratch objects that could not be deleted, and why where that is known."""

    @property
    def verdict(self) -> Verdict:
        """SAFE, ONE_MAINTAINER, NO_UNDO or UNSAFE: the worst of what was seen."""
        found = {row.verdict for row in self.rows}
        for verdict in (Verdict.UNSAFE, Verdict.ONE_MAINTAINER, Verdict.NO_UNDO):
            if verdict in found:
                return verdict
        return Verdict.SAFE

    @property
    def has_lied(self) -> bool:
        """Whether a promise was broken that a repository rests on."""
        return self.verdict != Verdict.SAFE

    @property
    def summary(self) -> str:
        """One sentence about what is safe on this storage."""
        return _SUMMARIES[self.verdict]


_SUMMARIES: Final = {
    Verdict.SAFE: "safe: back up, restore and prune from any host at any time",
    Verdict.NO_UNDO: (
        "safe to back up, restore and prune from any host at any time; but look with `holdfast "
        "snapshots` whether `holdfast forget --undo` has brought back what it names"
    ),
    Verdict.ONE_MAINTAINER: (
        "safe with one maintainer: back up and restore from any host at any time, but prune only "
        "from the host that `holdfast init --maintainer HOST` names"
    ),
    Verdict.UNSAFE: (
        "not safe: this storage breaks promises that every backup rests on; keep no repository here"
    ),
}
_BROKEN: Final = {
    "create-if-absent": Verdict.ONE_MAINTAINER,
    "create-raced": Verdict.ONE_MAINTAINER,
    "list-after-delete": Verdict.NO_UNDO,
    "read-after-delete": Verdict.NO_UNDO,
}
"""Promise -> what it means that it is broken; UNSAFE for all others."""


def diagnose(
    backend: Backend,
    *,
    clock: Clock,
    more: Callable[[Diagnosis], None] | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Try out a storage: a repository, of which no key is needed, or an empty place.

    Everything happens on scratch objects that are deleted again. Leftovers of probes that died
    a day ago or earlier are deleted too.

    Args:
        backend: of the storage.
        clock: measures.
        more: looks at what only storage of this kind has, like `diagnose_bucket`.
        progress: watches.

    Raises:
        RepositoryExistsError: neither a repository nor empty.
        AccessDeniedError: not even a scratch object can be created.
        BackendError: the storage cannot be reached, or refuses the credentials.
    """
    watch = progress or NullProgress()
    found = Diagnosis(location=backend.location, has_repository=_has_repository(backend))
    if not found.has_repository:
        backend.initialize()
    with scratch_on(backend) as scratch:
        scratch.create(b"first of all")
        sweep_leftovers(backend)
        watch.begin("try out the storage", total_items=len(PROBES) + 1)
        try:
            for number, (promise, probe) in enumerate(PROBES):
                watch.update(number, 0, promise)
                found.rows.append(_row_of(promise, probe, scratch))
            watch.update(len(PROBES), 0, "speed")
            found.rows += _measure(scratch, clock, found.measures)
        finally:
            watch.end()
    found.left += scratch.left
    if more is not None:
        more(found)
    return found


def diagnose_bucket(location: Location, options: StorageOptions, found: Diagnosis) -> None:
    """Add what an S3 location has besides; see `holdfast.backends.s3_bucket`.

    Raises:
        BackendError: the server stopped answering.
    """
    from holdfast.backends.s3_bucket import BucketProbe, State
    from holdfast.backends.s3_client import open_s3_client
    from holdfast.backends.s3_lifecycle import S3Lifecycle

    verdicts = {
        State.GOOD: Verdict.GOOD,
        State.POOR: Verdict.POOR,
        State.ABSENT: Verdict.ABSENT,
        State.BROKEN: Verdict.UNSAFE,
    }
    client = open_s3_client(location, options)
    probe = BucketProbe(client)
    try:
        for fact in probe.facts():
            found.rows.append(
                Row(fact.property, fact.expected, fact.seen, verdicts[fact.state], fact.means)
            )
        found.rows.append(_lifecycle(location, S3Lifecycle(client)))
    finally:
        probe.clear()
        client.close()
        found.left += probe.left
    found.measures["clock_difference_s"] = probe.clock_difference_s


def _lifecycle(location: Location, bucket: S3Lifecycle) -> Row:
    """Look whether rules of the bucket would delete or archive objects of a repository there."""
    expected = "no rule of the bucket harms a repository"
    try:
        plan = read_plan(bucket.rules(), location)
    except TransientBackendError:
        raise
    except AccessDeniedError:
        return Row("lifecycle", "", "no permission to look", Verdict.ABSENT, "not known")
    except BackendError as error:
        return Row("lifecycle", "", f"failed{_because(error)}", Verdict.ABSENT, "")
    if plan.dangers:
        seen = "; ".join(f"{one.rule}: {one.problem}" for one in plan.dangers)
        means = "exclude the prefix of the repository from these rules, or snapshots will be lost"
        return Row("lifecycle", expected, seen, Verdict.POOR, means)
    seen = "no rules" if not plan.rules else "no rule harms"
    return Row("lifecycle", expected, seen, Verdict.GOOD, "")


def _has_repository(backend: Backend) -> bool:
    try:
        backend.size(CONFIG_NAME)
    except NotFoundError:
        return False
    return True


def _row_of(promise: str, probe: Callable[[Scratch], Observation], scratch: Scratch) -> Row:
    """Make a probe, and judge it."""
    try:
        seen = probe(scratch)
    except TransientBackendError as error:
        # Some servers cannot do just this; whoever fails altogether is unreachable.
        scratch.backend.size(scratch.create(b"still there?"))
        verdict = _BROKEN.get(promise, Verdict.UNSAFE)
        return Row(promise, "", f"failed{_because(error)}", verdict, "")
    except _FATAL:
        raise
    except AccessDeniedError as error:
        means = "not available with these credentials"
        return Row(promise, "", f"refused{_because(error)}", Verdict.ABSENT, means)
    except BackendError as error:
        verdict = _BROKEN.get(promise, Verdict.UNSAFE)
        return Row(promise, "", f"failed{_because(error)}", verdict, "")
    verdict = Verdict.SAFE if seen.holds else _BROKEN.get(promise, Verdict.UNSAFE)
    return Row(promise, seen.expected, seen.seen, verdict, "")


def _because(error: BackendError) -> str:
    return f": {error.reason}" if error.reason else ""


def _measure(scratch: Scratch, clock: Clock, measures: dict[str, float]) -> list[Row]:
    """Return rows about the time of small requests and the speed of a large object."""
    small = [_time_object(scratch, clock, os.urandom(_SMALL_LENGTH)) for _ in range(_SMALL_SAMPLES)]
    data = os.urandom(_LARGE_LENGTH)
    large = [_time_object(scratch, clock, data) for _ in range(_LARGE_SAMPLES)]
    write_s = statistics.median(one for one, _ in small)
    read_s = statistics.median(one for _, one in small)
    upload = _LARGE_LENGTH / max(1e-9, statistics.median(one for one, _ in large))
    download = _LARGE_LENGTH / max(1e-9, statistics.median(one for _, one in large))
    measures.update(
        small_write_s=write_s,
        small_read_s=read_s,
        upload_bytes_per_s=upload,
        download_bytes_per_s=download,
    )
    is_late = max(write_s, read_s) > SLOW_S
    is_narrow = min(upload, download) < SLOW_BYTES_PER_S
    return [
        Row(
            "latency",
            "",
            f"{_format_ms(write_s)} to write 1 KiB, {_format_ms(read_s)} to read it",
            Verdict.SLOW if is_late else Verdict.GOOD,
            "",
        ),
        Row(
            "throughput",
            "",
            f"{format_size(int(upload))}/s up, {format_size(int(download))}/s down, 8 MiB at once",
            Verdict.SLOW if is_narrow else Verdict.GOOD,
            "",
        ),
    ]


def _format_ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms" if seconds < 0.001 else f"{1000 * seconds:.0f} ms"


def _time_object(scratch: Scratch, clock: Clock, data: bytes) -> tuple[float, float]:
    """Return the seconds that writing an object takes, and reading it."""
    begin_s = clock.monotonic_s()
    name = scratch.create(data)
    written_s = clock.monotonic_s()
    with suppress(NotFoundError):  # a probe of its own looks at that
        scratch.backend.read(name)
    return written_s - begin_s, clock.monotonic_s() - written_s
