"""`holdfast logs`: show archived logs, their gaps, and how far base backups reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from holdfast.errors import IntegrityError
from holdfast.operations.check_logs import describe_gaps
from holdfast.operations.logs import BaseReach, ServerLog, survey_logs
from holdfast.policy.log_reach import LogGap
from holdfast.units import format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import short_id
from holdfast_cli.output.tables import Column, Table
from holdfast_cli.times import format_local, format_rfc3339

_HELP: Final = """Show archived logs, their gaps, and which moments can be restored.

One row for each database server of which there is a log: PostgreSQL's write-ahead log ("wal") or
the binary log of MariaDB and MySQL ("binlog"). Then one row for each base backup that is kept: the
segment from which on it needs the log, the last one up to which it can be recovered, and when that
one was archived. Any moment in between can be restored with `restore-db --target-time`.

If segments are missing behind a base backup that is kept, the exit code is 39.

\b
Examples:
  holdfast logs
  holdfast logs --json
"""


@click.command("logs", help=_HELP)
@pass_app
def command(app: App) -> int:
    """Show what is archived."""
    problems: list[IntegrityError] = []
    with open_repository(app.settings) as repository:
        servers = survey_logs(repository, problems=problems)
        problems += repository.problems
    for server in servers:
        problems += server.problems
    if app.output.json:
        app.output.document([_server_json(server) for server in servers])
    else:
        _show(app, servers)
    for problem in problems:
        app.output.warn(str(problem))
    if problems:
        return ExitCode.DAMAGED
    return ExitCode.LOG_GAP if any(server.has_gap for server in servers) else ExitCode.SUCCESS


def _server_json(server: ServerLog) -> dict[str, Any]:
    return {
        "kind": server.kind,
        "identity": server.identity,
        "archive": server.archive_id,
        "first": server.complete[0] if server.complete else None,
        "last": server.complete[-1] if server.complete else None,
        "segments": len(server.complete),
        "objects": len(server.segments),
        "stored_bytes": server.stored_bytes,
        "gaps": [_gap_json(gap) for gap in server.gaps],
        "bases": [_base_json(one) for one in server.bases],
    }


def _gap_json(gap: LogGap) -> dict[str, Any]:
    return {"first_missing": gap.first, "last_missing": gap.last, "count": gap.count}


def _base_json(one: BaseReach) -> dict[str, Any]:
    gap = one.reach.gap
    return {
        "snapshot": one.base.snapshot_id,
        "time": format_rfc3339(one.base.time_ns),
        "needs_from": one.base.start,
        "reaches": one.reach.last,
        "until": None if one.until_s is None else format_rfc3339(round(one.until_s * 1e9)),
        "timeline": one.reach.timeline or None,
        "gap": None if gap is None else _gap_json(gap),
    }


def _show(app: App, servers: Sequence[ServerLog]) -> None:
    if not servers:
        app.output.summary("no log is archived, and no base backup belongs to one")
        return
    table = Table(
        (
            Column("Log"),
            Column("Server", fold=True),
            Column("First", fold=True),
            Column("Last", fold=True),
            Column("Segments", "right"),
            Column("Stored", "right"),
            Column("Missing", "right"),
        )
    )
    for server in servers:
        table.add(
            server.kind,
            server.identity,
            server.complete[0] if server.complete else "-",
            server.complete[-1] if server.complete else "-",
            str(len(server.complete)),
            format_size(server.stored_bytes),
            str(sum(gap.count for gap in server.gaps)),
        )
    app.output.table(table)
    if any(server.bases for server in servers):
        app.output.line("")
        app.output.table(_bases(servers))
    for server in servers:
        for finding in describe_gaps(server):
            app.output.warn(f"{finding.path}: {finding.problem}")


def _bases(servers: Sequence[ServerLog]) -> Table:
    table = Table(
        (
            Column("Base"),
            Column("Time"),
            Column("Server", fold=True),
            Column("Needs from", fold=True),
            Column("Reaches", fold=True),
            Column("Archived"),
        )
    )
    for server in servers:
        for one in server.bases:
            until_s = one.until_s
            table.add(
                short_id(one.base.snapshot_id),
                format_local(one.base.time_ns),
                server.identity,
                one.base.start or "-",
                one.reach.last or "its own end",
                "-" if until_s is None else format_local(round(until_s * 1e9)),
            )
    return table
