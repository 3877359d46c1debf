"""Which snapshots of a group a policy keeps, and why.

The rules count as those of restic do, so that policies can be taken over; quarters are added.
What we add is against clients that are hacked or mistaken: what they store must not make a
policy throw good snapshots away. So times in the future evict nobody, and the last snapshot
before a loss of content stays.

Source: docs/cli.md#forget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from functools import partial
from itertools import islice, takewhile
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import Snapshot
from holdfast.policy.durations import NANOSECONDS, Duration
from holdfast.policy.grouping import SnapshotGroup

UNLIMITED: Final = -1

FROM_THE_FUTURE: Final = "its time lies in the future"
BEFORE_THE_FUTURE: Final = "newest before a time in the future"
BEFORE_A_LOSS: Final = "last before most of the content was lost"
UNFINISHED: Final = "partial, and no whole one is newer"

_NEVER: Final = Duration()
_MOST_AHEAD_NS: Final = 24 * 3600 * NANOSECONDS
_FEW_FILES: Final = 10
_SMALL_LOSS: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What is kept. Counts: 0 is no rule, -1 no limit; an empty duration is no rule either.

    Raises:
        ConfigurationError: a count below -1, or an empty tag.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_quarterly: int = 0
    keep_yearly: int = 0
    keep_within: Duration = _NEVER
    """Everything that is less than this older than the newest snapshot of the group."""
    keep_within_hourly: Duration = _NEVER
    keep_within_daily: Duration = _NEVER
    keep_within_weekly: Duration = _NEVER
    keep_within_monthly: Duration = _NEVER
    keep_within_quarterly: Duration = _NEVER
    keep_within_yearly: Duration = _NEVER
    keep_tags: tuple[tuple[str, ...], ...] = ()
    """Snapshots that have all tags of one of these."""

    def __post_init__(self) -> None:
        counts = (self.keep_last, *(getattr(self, f"keep_{period}") for period in _PERIODS))
        if any(count < UNLIMITED for count in counts):
            raise ConfigurationError(
                "a number of snapshots to keep is negative", "write 0 or more, -1 or unlimited"
            )
        if not all(tags and all(tags) for tags in self.keep_tags):
            raise ConfigurationError("a tag to keep is empty", "name one")

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all."""
        return not any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one snapshot."""

    snapshot: Snapshot
    reasons: tuple[str, ...]
    """Why it stays, for people; empty: it is forgotten."""

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


def decide(
    snapshots: Sequence[Snapshot], policy: RetentionPolicy, *, now_ns: int, zone: tzinfo
) -> list[Decision]:
    """Apply a policy to the snapshots of one group.

    Partial snapshots and those whose time lies more than a day ahead of now take no part: they
    fill no count and `within` never starts at them. The first stay until there is a newer whole
    one, the others until they are forgotten by name.

    Args:
        snapshots: of one group, in any order.
        policy: not empty.
        now_ns: nanoseconds since 1970 UTC.
        zone: whose calendar says when an hour, a day, a week, … begins.

    Returns:
        A decision for each snapshot, ascending by time.

    Raises:
        ConfigurationError: the policy is empty.
    """
    if policy.is_empty:
        raise ConfigurationError(
            "nothing says which snapshots to keep", "give a policy, like --keep-daily 7"
        )
    ordered = sorted(snapshots, key=_age)
    reasons: dict[str, list[str]] = {snapshot.id: [] for snapshot in ordered}
    plausible = [each for each in ordered if each.time_ns <= now_ns + _MOST_AHEAD_NS]
    whole = [each for each in plausible if not each.partial]
    for snapshot, reason in (
        *_tagged(ordered, policy),
        *_last(whole, policy),
        *_counted(whole, policy, zone),
        *_recent(whole, policy, now_ns, zone),
        *_out_of_turn(ordered, plausible, whole),
    ):
        reasons[snapshot.id].append(reason)
    last = _last_before_loss(whole, {key for key, found in reasons.items() if found})
    if last is not None:
        reasons[last.id].append(BEFORE_A_LOSS)
    return [Decision(snapshot, tuple(reasons[snapshot.id])) for snapshot in ordered]


def check_something_stays(group: SnapshotGroup, decisions: Sequence[Decision]) -> None:
    """Refuse a policy that keeps nothing of a group: far more often a mistake than meant.

    Raises:
        ConfigurationError: it does.
    """
    if not any(decision.kept for decision in decisions):
        raise ConfigurationError(
            f"the policy would forget every snapshot of the group ({group})",
            "keep more, leave the group out by --host, --path or --tag, or say that this is "
            "meant with --allow-keep-nothing",
        )


def lost_most(before: Snapshot, after: Snapshot) -> bool:
    """Tell whether `after` lacks most of what `before` had, as if a disk were not mounted.

    More than half of the bytes must be gone, and of the files too; where there were few files,
    their number says nothing, and more than 1 MiB must be gone instead.
    """
    had, has = before.stats.logical_bytes, after.stats.logical_bytes
    if 2 * has >= had:
        return False
    if _files(before) < _FEW_FILES:
        return had - has > _SMALL_LOSS
    return 2 * _files(after) < _files(before)


def _age(snapshot: Snapshot) -> tuple[int, str]:
    return snapshot.time_ns, snapshot.id


def _files(snapshot: Snapshot) -> int:
    stats = snapshot.stats
    return stats.files_new + stats.files_changed + stats.files_unmodified


def _tagged(
    snapshots: Sequence[Snapshot], policy: RetentionPolicy
) -> Iterator[tuple[Snapshot, str]]:
    for snapshot in snapshots:
        for tags in policy.keep_tags:
            if set(tags) <= set(snapshot.tags):
                yield snapshot, ("tag " if len(tags) == 1 else "tags ") + ", ".join(tags)


def _last(whole: Sequence[Snapshot], policy: RetentionPolicy) -> Iterator[tuple[Snapshot, str]]:
    first = 0 if policy.keep_last == UNLIMITED else max(0, len(whole) - policy.keep_last)
    for snapshot in whole[first:]:
        yield snapshot, "last snapshot"


def _counted(
    whole: Sequence[Snapshot], policy: RetentionPolicy, zone: tzinfo
) -> Iterator[tuple[Snapshot, str]]:
    """Keep the newest snapshot of each of so many days, weeks, …: those that have one count.

    While a count is not used up, the oldest snapshot stays too, so that a history that is
    younger than the policy begins at its beginning.
    """
    for period in _PERIODS:
        count: int = getattr(policy, f"keep_{period}")
        for snapshot, first in islice(
            _newest_of_each(whole, period, zone), None if count == UNLIMITED else count
        ):
            yield snapshot, f"{period} snapshot" if first else f"oldest {period} snapshot"


def _recent(
    whole: Sequence[Snapshot], policy: RetentionPolicy, now_ns: int, zone: tzinfo
) -> Iterator[tuple[Snapshot, str]]:
    """Keep everything, or the newest of each day, week, …, that is recent.

    Recent is seen from the newest snapshot that is not ahead of now; so nothing goes by this
    rule while no backup is made.
    """
    past = [snapshot for snapshot in whole if snapshot.time_ns <= now_ns]
    if not whole:
        return
    newest_ns = past[-1].time_ns if past else whole[0].time_ns
    if policy.keep_within:
        start_ns = policy.keep_within.before(newest_ns, zone)
        for snapshot in whole:
            if snapshot.time_ns > start_ns:
                yield snapshot, f"within {policy.keep_within}"
    for period in _PERIODS:
        within: Duration = getattr(policy, f"keep_within_{period}")
        start_ns = within.before(newest_ns, zone)
        for snapshot, first in _newest_of_each(whole, period, zone) if within else ():
            if snapshot.time_ns > start_ns:
                yield snapshot, f"{'' if first else 'oldest '}{period} within {within}"


def _newest_of_each(
    whole: Sequence[Snapshot], period: str, zone: tzinfo
) -> Iterator[tuple[Snapshot, bool]]:
    """Yield the newest snapshot of each day, week, …, and the oldest of all; newest first.

    The second value is false for an oldest one that is not the newest of its day, week, ….
    """
    bucket_of = _PERIODS[period]
    previous = None
    for snapshot in reversed(whole):
        bucket = bucket_of(datetime.fromtimestamp(snapshot.time_ns // NANOSECONDS, zone))
        if bucket != previous or snapshot is whole[0]:
            yield snapshot, bucket != previous
        previous = bucket


def _out_of_turn(
    ordered: Sequence[Snapshot], plausible: Sequence[Snapshot], whole: Sequence[Snapshot]
) -> Iterator[tuple[Snapshot, str]]:
    """Keep what takes no part, and the newest snapshot that does if a time cannot be right.

    Args:
        ordered: all, ascending by time.
        plausible: those whose time can be right.
        whole: those of them that are not partial.
    """
    for snapshot in plausible:
        if snapshot.partial and (not whole or _age(snapshot) > _age(whole[-1])):
            yield snapshot, UNFINISHED
    if whole and len(plausible) < len(ordered):
        yield whole[-1], BEFORE_THE_FUTURE
    for snapshot in ordered[len(plausible) :]:
        yield snapshot, FROM_THE_FUTURE


def _last_before_loss(whole: Sequence[Snapshot], kept: set[str]) -> Snapshot | None:
    """Return the newest snapshot after which most content was missing, if it is still needed.

    It is needed while one of those is kept that came after it without the content. Not only the
    first of them counts: a disk that is not mounted gives an empty snapshot every day, and with
    the policy alone the last good one would go when enough of them have come.

    Args:
        whole: ascending by time.
        kept: ids of those that the policy keeps.
    """
    for at in range(len(whole) - 2, -1, -1):
        poor = takewhile(partial(lost_most, whole[at]), whole[at + 1 :])
        if any(snapshot.id in kept for snapshot in poor):
            return whole[at]
    return None


_PERIODS: Final[dict[str, Callable[[datetime], tuple[int, ...]]]] = {
    "hourly": lambda moment: (moment.year, moment.month, moment.day, moment.hour),
    "daily": lambda moment: (moment.year, moment.month, moment.day),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "quarterly": lambda moment: (moment.year, (moment.month - 1) // 3),
    "yearly": lambda moment: (moment.year,),
}
"""Kind of rule -> what of a moment tells whether two snapshots share its hour, day, …"""
