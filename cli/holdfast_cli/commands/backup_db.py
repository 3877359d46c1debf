"""`holdfast backup-db`: save databases as a snapshot, straight from their own tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from holdfast.compression import DEFAULT_LEVEL
from holdfast.format.snapshot import DatabaseRecord
from holdfast.operations.backup import BackupOptions, BackupResult
from holdfast.operations.backup_database import backup_database
from holdfast.operations.object_lock import LockReport
from holdfast.repository.repository import Repository
from holdfast.sources.base import DatabaseSource, Method
from holdfast.sources.registry import KINDS, find_kind
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.database_options import (
    METHODS,
    check_instance,
    make_options,
    server_options,
    tool_options,
)
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.host import host_name, user_name
from holdfast_cli.object_lock import keep_locked_after, locks_json, show_locks
from holdfast_cli.opening import open_repository
from holdfast_cli.output.databases import previous_sizes, stream_json, streams_table
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.parameters import LEVEL, TIME
from holdfast_cli.slow_chunker import tell_of_slow_chunker
from holdfast_cli.snapshot_options import split_tags
from holdfast_cli.unended_prune import telling_of_unended_prune

_KINDS: Final = "\n".join(f"  {name:<11} {what}" for name, what in KINDS.items())
_HELP: Final = f"""Save databases as a snapshot, straight from their own tools.

What the tools write is cut and stored while it comes; nothing lies on disk in between. If a tool
fails or is killed, no snapshot is made. Without names all databases of the server are saved; for
databases that are files, the names are their paths, for commands those of the streams.

Passwords are never given here: the tools find them where they always do, in ~/.pgpass, in
~/.my.cnf or in variables like PGPASSWORD.

\b
KIND is one of:
{_KINDS}

\b
Examples:
  holdfast backup-db postgresql
  holdfast backup-db postgresql shop crm --db-host /run/postgresql --db-user backup
  holdfast backup-db postgresql --method physical --instance web1
  holdfast backup-db sqlite /var/lib/app/app.db --tag daily
  holdfast backup-db command --instance ldap --set file=/etc/holdfast/ldap.toml
"""


@click.command("backup-db", help=_HELP)
@click.argument("kind", metavar="KIND")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--instance",
    default="main",
    show_default=True,
    metavar="NAME",
    help="Name of the server in paths of snapshots.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="As statements, or as the server's own files; default: what is usual for the kind.",
)
@server_options
@tool_options
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Tag the snapshot; repeat or separate by commas for several.",
)
@click.option("--host", metavar="HOST", help="Name of the host in the snapshot, not this one's.")
@click.option(
    "--time", "time_ns", type=TIME, metavar="TIME", help="Time of the snapshot, instead of now."
)
@click.option(
    "--compression",
    "level",
    type=LEVEL,
    default=DEFAULT_LEVEL,
    show_default=True,
    metavar="LEVEL",
    help="How hard to compress, or off.",
)
@click.option(
    "--dry-run", "-n", is_flag=True, help="Look whether it would work and list what would be saved."
)
@pass_app
def command(app: App, /, kind: str, names: Sequence[str], **given: Any) -> int:
    """Run the tools and store what they write."""
    tell_of_slow_chunker(app)
    method = Method(given["method"]) if given["method"] else None
    instance = check_instance(given["instance"])
    _, how = find_kind(kind)
    source = how.open_source(make_options(given, names=names, instance=instance, method=method))
    with (
        open_repository(app.settings) as repository,
        telling_of_unended_prune(app, repository),
        watching(app.output, calm=given["dry_run"]) as progress,
    ):
        if given["dry_run"]:
            version = source.check()
            _show_plan(app, source, instance, version)
            return ExitCode.SUCCESS
        options = _backup_options(given)
        result = backup_database(repository, source, options, instance=instance, progress=progress)
        locks = keep_locked_after(app, repository, result, progress)
        before = _previous(repository, result)
    _show(app, result, before, locks)
    show_locks(app, locks)
    has_failed = locks is not None and locks.failed
    return ExitCode.FINDINGS if result.finding_count or has_failed else ExitCode.SUCCESS


def _backup_options(given: dict[str, Any]) -> BackupOptions:
    return BackupOptions(
        host=given["host"] or host_name(),
        user=user_name(),
        tags=split_tags(given["tags"]),
        time_ns=given["time_ns"],
        level=given["level"],
    )


def _previous(repository: Repository, result: BackupResult) -> DatabaseRecord | None:
    """Return what the run before made, if its snapshot is still there."""
    found = (one for one in repository.snapshots() if one.id == result.parent)
    parent = next(found, None)
    return None if parent is None else parent.database


def _show_plan(app: App, source: DatabaseSource, instance: str, version: str) -> None:
    plan = list(source.plan())
    if app.output.json:
        app.output.event(
            "summary",
            snapshot=None,
            parent=None,
            kind=source.kind,
            method=source.method.value,
            instance=instance,
            server_version=version,
            dry_run=True,
            plan=plan,
        )
        return
    app.output.summary(
        f"dry run: {source.kind} {instance} ({version}, {source.method.value}) would be saved:"
    )
    for line in plan:
        app.output.line(f"  {line}")


def _show(
    app: App, result: BackupResult, before: DatabaseRecord | None, locks: LockReport | None
) -> None:
    assert result.kept is not None  # since it was no dry run
    record = result.kept.database
    assert record is not None
    if app.output.json:
        _write_summary(app, result, record, before, locks)
        return
    stats = result.stats
    if not app.output.quiet and record.streams:
        app.output.table(streams_table(record.streams, previous_sizes(before)))
    parent = f", parent {short_id(result.parent)}" if result.parent else ""
    app.output.summary(
        f"snapshot {short_id(result.snapshot or '')} of {record.kind} {record.instance} "
        f"({record.server_version}, {record.method}) saved in "
        f"{format_duration(result.seconds)}{parent}"
    )
    app.output.summary(
        f"read {format_size(stats.bytes_read)}, {format_size(stats.bytes_added)} new with metadata,"
        f" stored as {format_size(stats.bytes_stored)}"
    )
    if result.finding_count:
        problems = count(result.finding_count, "problem")
        app.output.warn(f"{problems}, listed above and kept with the snapshot")


def _write_summary(
    app: App,
    result: BackupResult,
    record: DatabaseRecord,
    before: DatabaseRecord | None,
    locks: LockReport | None,
) -> None:
    stats, sizes = result.stats, previous_sizes(before)
    app.output.event(
        "summary",
        snapshot=result.snapshot,
        parent=result.parent,
        kind=record.kind,
        method=record.method,
        instance=record.instance,
        server_version=record.server_version,
        dry_run=False,
        streams=[
            {**stream_json(one), "previous_bytes": sizes.get(one.label)} for one in record.streams
        ],
        properties=dict(record.properties),
        logical_bytes=stats.logical_bytes,
        bytes_read=stats.bytes_read,
        bytes_added=stats.bytes_added,
        bytes_stored=stats.bytes_stored,
        blobs_added=stats.blobs_added,
        seconds=round(result.seconds, 3),
        findings=result.finding_count,
        locks=None if locks is None else locks_json(locks),
    )
