"""What snapshots share, as people and programs see it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.benchmark.report import Estimate, Forecast
from holdfast.benchmark.sharing_report import (
    Amount,
    HotDirectory,
    Night,
    SharingReport,
    SnapshotSharing,
)
from holdfast.units import format_size
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.tables import Column, Table
from holdfast_cli.snapshot_options import display_paths
from holdfast_cli.times import format_local, format_rfc3339

_MOST_SNAPSHOTS: Final = 20
_MOST_DIRECTORIES: Final = 10
_MOST_PROBLEMS: Final = 20
_SHOWN_DAYS: Final = (30, 365)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def show_sharing(output: Output, report: SharingReport, *, everything: bool = False) -> ExitCode:
    """Write a report: tables, or one document with --json; return what the command ends with.

    Args:
        output: where to.
        report: what was found.
        everything: show all rows; else the snapshots that free most and the hottest directories.
    """
    for error in report.problems[:_MOST_PROBLEMS]:
        output.warn(str(error))
    if len(report.problems) > _MOST_PROBLEMS:
        output.warn(f"and {len(report.problems) - _MOST_PROBLEMS} more; `holdfast check` lists all")
    if report.missing:
        output.warn(f"no pack has {count(report.missing, 'needed blob')}; run `holdfast check`")
    if output.json:
        output.document(sharing_json(report))
    elif report.snapshots:
        _show_snapshots(output, report, everything=everything)
        _show_hosts(output, report)
        _show_directories(output, report, everything=everything)
        output.line()
        for line in _summary(report):
            output.line(line)
    else:
        output.note("no snapshots")
    return ExitCode.DAMAGED if report.problems or report.missing else ExitCode.SUCCESS


def sharing_json(report: SharingReport) -> dict[str, Any]:
    """Return the stable keys of a report."""
    return {
        "snapshots": [_snapshot_json(snapshot) for snapshot in report.snapshots],
        "hosts": [
            {
                "host": host.host,
                "snapshots": host.snapshots,
                "logical_bytes": host.logical_bytes,
                "unique": _amount(host.unique),
                "exclusive": _amount(host.exclusive),
                "shared": _amount(host.shared),
            }
            for host in report.hosts
        ],
        "directories": [
            {
                "host": directory.host,
                "path": os.fsdecode(directory.path),
                "added": _amount(directory.added),
                "changed": directory.changed,
                "snapshots": directory.snapshots,
                "stored_per_snapshot": round(directory.stored_per_snapshot),
            }
            for directory in report.directories
        ],
        "nights": [
            {
                "day": _day(night),
                "snapshots": night.snapshots,
                "added": _amount(night.added),
            }
            for night in report.nights
        ],
        "forecast": _forecast(report.forecast),
        "needed": _amount(report.needed),
        "unneeded": _amount(report.unneeded),
        "saved_across_hosts": _amount(report.saved_across_hosts),
        "repository": {
            "snapshots": report.whole.snapshots,
            "logical_bytes": report.whole.logical_bytes,
            "unique_bytes": report.whole.unique_bytes,
            "stored_bytes": report.whole.stored_bytes,
            "packs": report.whole.packs,
            "blobs": report.whole.blobs,
            "log_segments": report.whole.log_segments,
            "log_bytes": report.whole.log_bytes,
        },
        "damaged": [str(error) for error in report.problems],
        "missing_blobs": report.missing,
    }


def sharing_rows(report: SharingReport) -> Iterator[tuple[str | int, ...]]:
    """Yield the rows of a CSV file: titles, then one for each snapshot; sizes in bytes."""
    kinds = ("unique", "exclusive", "shared", "added")
    sizes = [f"{kind}_{part}_bytes" for kind in kinds for part in ("plain", "stored")]
    yield ("id", "time", "host", "paths", "logical_bytes", *sizes)
    for each in report.snapshots:
        amounts = (each.unique, each.exclusive, each.shared, each.added)
        yield (
            each.id,
            format_rfc3339(each.time_ns),
            each.host,
            "\n".join(display_paths(each.raw_paths)),
            each.logical_bytes,
            *(size for amount in amounts for size in (amount.plain, amount.stored)),
        )


def _show_snapshots(output: Output, report: SharingReport, *, everything: bool) -> None:
    shown = report.snapshots if everything else _largest(report.snapshots)
    table = Table(
        (
            Column("ID"),
            Column("Time"),
            Column("Host"),
            Column("Size", "right"),
            Column("Stored", "right"),
            Column("Shared", "right"),
            Column("Frees", "right"),
            Column("New", "right"),
            Column("Paths", fold=True),
        )
    )
    for snapshot in shown:
        table.add(
            short_id(snapshot.id),
            format_local(snapshot.time_ns),
            snapshot.host,
            format_size(snapshot.logical_bytes),
            format_size(snapshot.unique.stored),
            format_size(snapshot.shared.stored),
            format_size(snapshot.exclusive.stored),
            format_size(snapshot.added.stored),
            ", ".join(display_paths(snapshot.raw_paths)),
        )
    output.table(table)
    left_out = len(report.snapshots) - len(shown)
    if left_out:
        output.line(f"and {count(left_out, 'snapshot')} that would free less; --all shows all")


def _largest(snapshots: Sequence[SnapshotSharing]) -> list[SnapshotSharing]:
    """Return those that free most, in the order of time."""
    chosen = heapq.nlargest(
        _MOST_SNAPSHOTS, enumerate(snapshots), key=lambda pair: (pair[1].exclusive.stored, pair[0])
    )
    return [snapshot for _, snapshot in sorted(chosen, key=lambda pair: pair[0])]


def _show_hosts(output: Output, report: SharingReport) -> None:
    if len(report.hosts) < 2:
        return
    table = Table(
        (
            Column("Host"),
            Column("Snapshots", "right"),
            Column("Size", "right"),
            Column("Stored", "right"),
            Column("Shared with others", "right"),
            Column("Frees", "right"),
        )
    )
    for host in report.hosts:
        table.add(
            host.host,
            str(host.snapshots),
            format_size(host.logical_bytes),
            format_size(host.unique.stored),
            format_size(host.shared.stored),
            format_size(host.exclusive.stored),
        )
    output.line()
    output.table(table)


def _show_directories(output: Output, report: SharingReport, *, everything: bool) -> None:
    if not report.directories:
        return
    shown = report.directories if everything else report.directories[:_MOST_DIRECTORIES]
    has_hosts = len({directory.host for directory in report.directories}) > 1
    table = Table(
        (
            Column("New a snapshot", "right"),
            Column("New in all", "right"),
            Column("In snapshots", "right"),
            *((Column("Host"),) if has_hosts else ()),
            Column("Directory", fold=True),
        )
    )
    for directory in shown:
        table.add(
            format_size(directory.stored_per_snapshot),
            format_size(directory.added.stored),
            f"{directory.changed} of {directory.snapshots}",
            *((directory.host,) if has_hosts else ()),
            _directory_name(directory, report.directories),
        )
    output.line()
    output.table(table)
    left_out = len(report.directories) - len(shown)
    if left_out:
        more = "directory" if left_out == 1 else "directories"
        output.line(f"and {left_out} more {more}; --all shows all")


def _directory_name(directory: HotDirectory, others: Sequence[HotDirectory]) -> str:
    """Return a path; a directory that is shown without others in it is called the rest."""
    prefix = directory.path.rstrip(b"/") + b"/"
    is_rest = any(
        other.host == directory.host and other is not directory and other.path.startswith(prefix)
        for other in others
    )
    return os.fsdecode(directory.path) + (" (the rest)" if is_rest else "")


def _summary(report: SharingReport) -> Iterator[str]:
    """Yield the totals as lines for people."""
    whole, stored = report.whole, report.needed.stored
    ratio = f", {whole.logical_bytes / stored:.2f} x smaller" if stored else ""
    yield (
        f"in all, {count(whole.snapshots, 'snapshot')} of {format_size(whole.logical_bytes)} "
        f"take {format_size(stored)}{ratio}"
    )
    if report.unneeded.stored > 0:
        yield f"no snapshot needs {format_size(report.unneeded.stored)}; `holdfast prune` frees most of it"
    if report.saved_across_hosts.stored > 0:
        saved = format_size(report.saved_across_hosts.stored)
        yield f"what hosts have in common is stored once, which saves {saved}"
    if report.forecast is not None:
        yield _growth(report.forecast)


def _growth(forecast: Forecast) -> str:
    after = ", ".join(
        f"{_estimate(size)} after {days} days"
        for days, size in forecast.after
        if days in _SHOWN_DAYS
    )
    return f"growth: {_estimate(forecast.per_version)} a day; {after}, if nothing is forgotten"


def _estimate(estimate: Estimate) -> str:
    error = f" ± {format_size(estimate.error)}" if estimate.error else ""
    return format_size(estimate.value) + error


def _snapshot_json(snapshot: SnapshotSharing) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "time": format_rfc3339(snapshot.time_ns),
        "host": snapshot.host,
        "paths": display_paths(snapshot.raw_paths),
        "logical_bytes": snapshot.logical_bytes,
        "unique": _amount(snapshot.unique),
        "exclusive": _amount(snapshot.exclusive),
        "shared": _amount(snapshot.shared),
        "added": _amount(snapshot.added),
    }


def _amount(amount: Amount) -> dict[str, int]:
    return {"plain_bytes": amount.plain, "stored_bytes": amount.stored}


def _forecast(forecast: Forecast | None) -> dict[str, Any] | None:
    if forecast is None:
        return None
    return {
        "stored_per_day": _estimate_json(forecast.per_version),
        "after": [
            {"days": days, "stored_bytes": _estimate_json(size)} for days, size in forecast.after
        ],
    }


def _estimate_json(estimate: Estimate) -> dict[str, int]:
    return {"value": round(estimate.value), "error": round(estimate.error)}


def _day(night: Night) -> str:
    """Return the day as RFC 3339 has it; days beyond the calendar's end as its last one."""
    try:
        return (_EPOCH + timedelta(days=night.day)).date().isoformat()
    except OverflowError:
        return "9999-12-31" if night.day > 0 else "0001-01-01"
