"""`holdfast restore-db`: bring databases back, also to a moment between two backups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from holdfast.database_errors import DatabaseNotEmptyError
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.operations.stored_database import StoredDatabase
from holdfast.policy.selection import SnapshotFilter
from holdfast.repository.reader import BlobReader
from holdfast.sources.base import Method, RestoreTo
from holdfast.units import format_duration
from holdfast_cli.app import App, pass_app
from holdfast_cli.database_options import (
    DatabaseFilter,
    choice_options,
    choose_database,
    find_recorded,
    make_database_filter,
    make_options,
    parse_pairs,
    parse_renames,
    server_options,
    tool_options,
)
from holdfast_cli.log_recovery import with_logs
from holdfast_cli.opening import open_repository
from holdfast_cli.output.handed_over import HandedOver
from holdfast_cli.output.names import short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.own_command import own_command, secret_hint
from holdfast_cli.parameters import TIME
from holdfast_cli.snapshot_options import filter_options
from holdfast_cli.times import format_local, format_rfc3339

_HELP: Final = """Bring databases back, also to a moment between two backups.

SNAPSHOT is the id of a snapshot of a database or `latest`, the newest one; of several servers
--kind, --instance, --method or --host says whose. Without names everything in it is restored: to
the server that --db-host and --db-port name, or to --target DIR for backups that are made of
files: physical ones, and those of SQLite and Redis. What is not empty is left alone unless
--overwrite is given.

With --target-time `latest` is the newest backup that was complete by then, and the logs that were
archived since lead from it to that moment; --to-end takes all logs there are.

\b
Examples:
  holdfast restore-db latest shop --rename shop=shop_before --kind postgresql
  holdfast restore-db 3f2a --db-host db2 --db-user postgres --dry-run
  holdfast restore-db latest --kind postgresql --target /var/lib/postgresql/15/restored \\
      --target-time '2026-11-21 08:30:00'
  holdfast restore-db latest --kind sqlite --target /tmp/app.db
"""


@click.command("restore-db", help=_HELP)
@click.argument("name", metavar="SNAPSHOT")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@server_options
@tool_options
@click.option(
    "--target",
    "-t",
    metavar="DIR",
    help="Data directory to make; of databases that are files, where to put them.",
)
@click.option(
    "--rename", "renames", multiple=True, metavar="OLD=NEW", help="Restore a database as NEW."
)
@click.option("--overwrite", is_flag=True, help="Replace what is there; without it, that is left.")
@click.option(
    "--target-time",
    "time_ns",
    type=TIME,
    metavar="TIME",
    help="Recover to this moment, by the logs.",
)
@click.option("--to-end", is_flag=True, help="Recover as far as the archived logs go.")
@click.option(
    "--recovery-target",
    "targets",
    multiple=True,
    metavar="NAME=VALUE",
    help="Recover to what the database calls so: xid, lsn, name, timeline, position.",
)
@click.option(
    "--dry-run", "-n", is_flag=True, help="Look whether it would work, and list the steps."
)
@choice_options
@filter_options
@pass_app
def command(
    app: App, /, name: str, names: Sequence[str], wanted: SnapshotFilter, **given: Any
) -> None:
    """Restore one snapshot of a database."""
    renamed = parse_renames(given["renames"], names)
    targets = parse_pairs(given["targets"], "--recovery-target")
    uses_logs = given["time_ns"] is not None or given["to_end"] or bool(targets)
    chosen = _database_filter(given, wanted, uses_logs=uses_logs)
    dry_run: bool = given["dry_run"]
    with (
        open_repository(app.settings) as repository,
        watching(app.output, calm=dry_run) as progress,
    ):
        snapshot, record = choose_database(repository.load_view().snapshots, name, chosen, names)
        kind, method = find_recorded(record)
        to = RestoreTo(
            options=make_options(given, names=names, instance=record.instance, method=method),
            directory=os.path.abspath(given["target"]) if given["target"] else None,
            renamed=renamed,
            overwrite=given["overwrite"],
            target_time_ns=given["time_ns"],
            target=targets,
            own_command=own_command(app.settings),
        )
        recovery = with_logs(to, repository, snapshot, record, wanted=uses_logs)
        to = recovery.to
        for warning in recovery.warnings:
            app.output.warn(warning)
        target = kind.open_target(to, method)
        with BlobReader(repository) as reader:
            files = StoredDatabase(repository, reader, snapshot, progress)
            target.check(files)
            if dry_run:
                plan, steps, handed = list(target.plan(files)), [], None
            else:
                plan, size = [], 0 if names else snapshot.stats.logical_bytes
                handed = HandedOver(progress, "restore", size)
                with _telling_how_to_go_on(app):
                    steps = list(target.restore(files, handed))
    hint = secret_hint(app.settings)
    if to.log_command and handed is not None and hint is not None:
        steps.append(hint)
    if app.output.json:
        _write_summary(app, snapshot, record, to, plan, steps, handed)
    else:
        _show(app, snapshot, record, plan, steps, handed)


def _database_filter(
    given: dict[str, Any], wanted: SnapshotFilter, *, uses_logs: bool
) -> DatabaseFilter:
    """Return what `latest` may mean: before a moment to recover to, and made of files then."""
    if given["time_ns"] is not None and given["to_end"]:
        raise ConfigurationError("--target-time and --to-end exclude each other", "give only one")
    if uses_logs and given["method"] is None:
        given = {**given, "method": Method.PHYSICAL.value}
    return make_database_filter(given, wanted, ended_by_ns=given["time_ns"])


@contextmanager
def _telling_how_to_go_on(app: App) -> Iterator[None]:
    """Say what to do about a restore that ended in the middle."""
    try:
        yield
    except DatabaseNotEmptyError:
        raise
    except (KeyboardInterrupt, HoldfastError):
        app.output.warn(
            "the restore is not complete; the same command with --overwrite begins anew"
        )
        raise


def _show(
    app: App,
    snapshot: Snapshot,
    record: DatabaseRecord,
    plan: Sequence[str],
    steps: Sequence[str],
    handed: HandedOver | None,
) -> None:
    what = (
        f"snapshot {short_id(snapshot.id)} of {record.kind} {record.instance} "
        f"({record.server_version}, {record.method}, {format_local(snapshot.time_ns)})"
    )
    if handed is None:
        app.output.summary(f"dry run: {what} would be restored:")
        for line in plan:
            app.output.line(f"  {line}")
        return
    app.output.summary(f"restored {what} in {format_duration(handed.seconds)}")
    if steps:
        app.output.line("what is left to do:")
    for step in steps:
        app.output.line(f"  {step}")


def _write_summary(
    app: App,
    snapshot: Snapshot,
    record: DatabaseRecord,
    to: RestoreTo,
    plan: Sequence[str],
    steps: Sequence[str],
    handed: HandedOver | None,
) -> None:
    moment = to.target_time_ns
    app.output.event(
        "summary",
        snapshot=snapshot.id,
        kind=record.kind,
        method=record.method,
        instance=record.instance,
        databases=list(to.options.names),
        target=to.directory,
        target_time=None if moment is None else format_rfc3339(moment),
        dry_run=handed is None,
        plan=plan,
        steps=steps,
        bytes_restored=0 if handed is None else handed.size,
        seconds=0.0 if handed is None else round(handed.seconds, 3),
    )
