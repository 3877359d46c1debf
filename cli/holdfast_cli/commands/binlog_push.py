"""`holdfast binlog-push`: archive the binary logs of MariaDB or MySQL that are complete."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from holdfast.operations.binlog import PushedBinlogs, push_binlogs
from holdfast.sources.mariadb.binlog_server import BinlogServer
from holdfast.units import format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.database_options import make_options, server_options, tool_options
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.output.names import count
from holdfast_cli.wal_access import open_for_wal

_HELP: Final = """Archive the binary logs of MariaDB or MySQL that are complete.

A log is complete when the server has begun the next one; --flush makes it do so now, so that
everything until now can be restored. Run it every few minutes. What is archived is durable, and
never overwritten; running it again is always safe. `restore-db --target-time` replays it on top of
a physical backup.

The server must keep its logs until they are archived (expire_logs_days). If it has removed one
too early, the gap is told and the exit code is 39: make a new physical backup then.

\b
Examples:
  holdfast binlog-push --flush
  holdfast binlog-push --db-host db.example.org --db-user backup
  holdfast binlog-push --set defaults-file=/etc/holdfast/my.cnf --set log-name=shop
"""


@click.command("binlog-push", help=_HELP)
@server_options
@tool_options
@click.option("--flush", is_flag=True, help="Make the server begin a new log first.")
@pass_app
def command(app: App, /, flush: bool, **given: Any) -> ExitCode:
    """Archive what is complete."""
    server = BinlogServer(make_options(given))
    with open_for_wal(app.settings) as repository:
        if app.settings.cache_dir is not None:
            os.makedirs(app.settings.cache_dir, exist_ok=True)
        pushed = push_binlogs(repository, server, flush=flush, scratch=app.settings.cache_dir)
    if app.output.json:
        app.output.document(
            {
                "identity": pushed.identity,
                "pushed": list(pushed.pushed),
                "already": pushed.already,
                "logical_bytes": pushed.size,
                "missing": pushed.missing,
                "active": pushed.active,
            }
        )
    else:
        _show(app, pushed)
    if pushed.missing is not None:
        app.output.warn(
            f"the binary log {pushed.missing} was removed from the server before it was archived: "
            "backups before it cannot be followed beyond; make a new physical backup"
        )
        return ExitCode.LOG_GAP
    return ExitCode.SUCCESS


def _show(app: App, pushed: PushedBinlogs) -> None:
    what = f"archived {count(len(pushed.pushed), 'binary log')} ({format_size(pushed.size)})"
    before = f", {pushed.already} were archived already" if pushed.already else ""
    app.output.summary(f"{what}{before}; the server writes {pushed.active} now")
