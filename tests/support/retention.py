"""Snapshots and policies for tests of retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from holdfast.format.snapshot import Snapshot, SnapshotStats
from holdfast.policy.retention import Decision, RetentionPolicy, decide
from support.zones import CENTRAL_EUROPE

NS: Final = 1_000_000_000


def at(text: str) -> int:
    """Return the nanoseconds of a time that is local in Central Europe."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CENTRAL_EUROPE).timestamp()) * NS


NOW: Final = at("2026-09-01 12:00")


def snapshot(
    time: str | int,
    *,
    files: int = 100,
    size: int = 10 << 20,
    tags: Sequence[str] = (),
    host: str = "h",
    paths: Sequence[bytes] = (b"/a",),
    partial: bool = False,
    number: int = 0,
) -> Snapshot:
    """Return one whose id tells the time and `number`."""
    time_ns = at(time) if isinstance(time, str) else time
    return Snapshot(
        id=f"{time_ns & (1 << 64) - 1:016x}{number:016x}",
        time_ns=time_ns,
        host=host,
        user="u",
        raw_paths=tuple(paths),
        root=bytes(32),
        tags=tuple(tags),
        partial=partial,
        stats=SnapshotStats(files_new=files, logical_bytes=size),
    )


def judge(snapshots: Sequence[Snapshot], policy: RetentionPolicy) -> list[Decision]:
    """Decide now, in Central Europe."""
    return decide(snapshots, policy, now_ns=NOW, zone=CENTRAL_EUROPE)


def kept(snapshots: Sequence[Snapshot], policy: RetentionPolicy) -> list[Snapshot]:
    """Return what stays."""
    return [decision.snapshot for decision in judge(snapshots, policy) if decision.kept]


def reasons(snapshots: Sequence[Snapshot], policy: RetentionPolicy) -> list[tuple[str, ...]]:
    """Return why each one stays, ascending by time."""
    return [decision.reasons for decision in judge(snapshots, policy)]
