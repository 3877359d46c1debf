"""What `restore-db` does with archived logs: finds them, and sees beforehand how far they lead.

A server that finds out by itself that a segment is missing does so after hours of copying.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.database_errors import LogGapError
from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.operations.logs import BaseReach, reach_of_snapshot
from holdfast.policy.log_order import WAL
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository
from holdfast.sources.base import RestoreTo
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.output.names import printable, short_id
from holdfast_cli.times import format_local

_NS: Final = 1_000_000_000
_SLACK_S: Final = 60.0
"""The storage's clock, which says when a segment was archived, and the server's may differ."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where to restore to, now with logs."""

    to: RestoreTo
    warnings: list[str] = field(default_factory=list)
    """What a person should know before it begins."""


def with_logs(
    to: RestoreTo,
    repository: Repository,
    snapshot: Snapshot,
    record: DatabaseRecord,
    *,
    wanted: bool,
) -> Recovery:
    """Add where the archived log of the snapshot's server is.

    A PostgreSQL server learns of it even if nothing beyond the backup is wanted: only who looks into
    the archive begins a timeline of its own there, and does not archive other content under names
    that are taken.

    Args:
        to: what was asked for.
        repository: opened.
        snapshot: to be restored.
        record: of it.
        wanted: whether more than the backup itself is to be restored.

    Raises:
        ConfigurationError: it is wanted, and no log can follow the snapshot, or there is none.
        LogGapError: a segment is missing before the moment that is wanted.
    """
    kind, identity = (record.properties.get(name, "") for name in ("log_kind", "log_identity"))
    if not (kind and identity):
        if wanted:
            raise ConfigurationError(
                f"no log leads from snapshot {short_id(snapshot.id)} to another moment",
                "choose one that `backup-db --method physical` made of a server whose log is "
                "archived",
            )
        return Recovery(to)
    archive = LogArchive(repository, kind, identity)
    if not archive.segments():
        if wanted:
            raise ConfigurationError(
                f"no log of {record.kind} {printable(record.instance)} is archived here",
                "docs/databases.md says how to set that up; without a moment to recover to the "
                "snapshot can be restored as it is",
            )
        return Recovery(to)
    if kind != WAL:
        # Whoever replays these looks for gaps itself, and takes an archive as an order to replay.
        return Recovery(replace(to, logs=archive) if wanted else to)
    fetch = (*to.own_command, "wal-fetch")
    to = replace(to, logs=archive, log_command=fetch, log_absent_code=ExitCode.NO_SEGMENT)
    if not wanted:
        return Recovery(to)
    if to.target_time_ns is None and not to.target:
        to = replace(to, target={"timeline": "latest"})
    return Recovery(
        to, _look_ahead(to, reach_of_snapshot(repository, snapshot, timeline=_line(to)))
    )


def _line(to: RestoreTo) -> int | None:
    """Return the timeline that was asked for; None for the newest."""
    text = to.target.get("timeline", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _look_ahead(to: RestoreTo, found: BaseReach | None) -> list[str]:
    """Return what a person should know of how far the log leads.

    Raises:
        LogGapError: a segment is missing before the moment that is wanted.
    """
    if found is None:
        return []
    gap, until_s = found.reach.gap, found.until_s
    wanted_s = None if to.target_time_ns is None else to.target_time_ns / _NS
    too_late = wanted_s is not None and (until_s is None or wanted_s > until_s + _SLACK_S)
    until = "the backup's own end" if until_s is None else format_local(int(until_s * _NS))
    if gap is not None and too_late:
        raise LogGapError(gap.first, f"the log leads without a gap only to {until}")
    warning = ""
    if gap is not None and wanted_s is None:
        warning = (
            f"the log segment {gap.first} is missing: what was written after {until} cannot be "
            "restored from this backup; `holdfast logs` shows what is there"
        )
    elif too_late:
        warning = (
            f"the archived log ends at {until}: a server that is to recover to a later moment "
            "refuses to start unless what is missing is archived by then"
        )
    return [warning] if warning else []
