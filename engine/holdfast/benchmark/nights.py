"""How a repository grows from day to day, by what the snapshots in it brought. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from holdfast.benchmark.forecast import forecast
from holdfast.benchmark.report import Estimate, Forecast
from holdfast.benchmark.sharing_report import NOTHING, Night, SnapshotSharing

_DAY_NS: Final = 86_400 * 10**9


def make_nights(snapshots: Sequence[SnapshotSharing]) -> tuple[Night, ...]:
    """Join the snapshots of each day, in UTC; those given are ascending by time."""
    nights: dict[int, Night] = {}
    for snapshot in snapshots:
        day = snapshot.time_ns // _DAY_NS
        before = nights.get(day, Night(day=day, snapshots=0, added=NOTHING))
        nights[day] = Night(
            day=day, snapshots=before.snapshots + 1, added=before.added + snapshot.added
        )
    return tuple(nights.values())


def forecast_days(
    snapshots: Sequence[SnapshotSharing], later: Sequence[SnapshotSharing]
) -> Forecast | None:
    """Return what further days add, if nothing is forgotten meanwhile.

    The first snapshot of a timeline says how much there is and not how much of it changes, so it
    is in what is stored and not in what a day adds. Days without a snapshot share what the next
    one brings: so weekly backups, and nights of which retention has left few, count rightly.

    Args:
        snapshots: ascending by time.
        later: those of them with an earlier one in their timeline.

    Returns:
        Its versions are days; None before there are three days with snapshots.
    """
    nights = make_nights(snapshots)
    added = {night.day: night.added.stored for night in make_nights(later)}
    rates = [
        Estimate(added[night.day] / (night.day - before.day))
        for before, night in pairwise(nights)
        if night.day in added
    ]
    stored = Estimate(sum(night.added.stored for night in nights))
    return forecast(stored, [stored, *rates])
