"""`holdfast wal-fetch`: fetch one file of PostgreSQL's write-ahead log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.database_errors import LogSegmentNotFoundError
from holdfast.errors import TargetError
from holdfast.operations.wal_ahead import AHEAD, SegmentsAhead
from holdfast.operations.wal_identity import choose_system_id, require_name, require_system_id
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.wal_access import open_for_wal, segments_ahead

if TYPE_CHECKING:
    from holdfast.sources.postgresql.wal import WalName

_HELP: Final = """Fetch one file of PostgreSQL's write-ahead log; for restore_command.

Ends with 0 when the file lies whole at PATH, with 40 and without a word if it is not in the archive,
which is how a recovery finds the end of the log, and with 126 if anything else is wrong: then
PostgreSQL stops instead of going on without the rest.

The segments that follow are fetched too, and kept in the cache for an hour.

PATH lies in pg_wal of the server's data directory, whose control file tells which server it is.
Write absolute paths into restore_command.

\b
Examples:
  restore_command = 'holdfast -r /mnt/backup --key-file /etc/holdfast/key wal-fetch %f "%p"'
  holdfast wal-fetch 00000001000000000000000A /tmp/segment --system-id 7311234567890123456
"""


@click.command("wal-fetch", help=_HELP)
@click.argument("name")
@click.argument("path")
@click.option(
    "--system-id", metavar="ID", help="The server's system identifier; else its control file's."
)
@click.option(
    "--ahead",
    type=click.IntRange(0, 64),
    default=AHEAD,
    show_default=True,
    metavar="N",
    help="Fetch up to N of the segments that follow, 256 MiB at the most.",
)
@pass_app
def command(app: App, name: str, path: str, system_id: str | None, ahead: int) -> int:
    """Fetch one file; the result is the exit code, errors are mapped by `code_for_server`."""
    wal_name = require_name(name)
    server = require_system_id(choose_system_id(path, system_id))
    kept = segments_ahead(app.settings, server)
    target = os.path.abspath(path)
    try:
        size = kept.take(wal_name.text, target) if ahead else None
    except OSError as error:
        raise TargetError(target, (error.strerror or "unknown error").lower()) from error
    was_ahead = size is not None
    if size is None:
        size = _fetch(app, server, wal_name, target, kept if ahead else None, ahead)
    if app.output.json:
        result: dict[str, Any] = {
            "name": wal_name.text,
            "system_id": server,
            "logical_bytes": size,
            "was_ahead": was_ahead,
        }
        app.output.document(result)
    elif app.output.verbosity:
        app.output.line(f"{name} {'is not archived' if size is None else f'lies at {path}'}")
    return ExitCode.NO_SEGMENT if size is None else ExitCode.SUCCESS


def _fetch(
    app: App, server: str, name: WalName, target: str, ahead: SegmentsAhead | None, count: int
) -> int | None:
    """Fetch it from the repository; None if it is not there."""
    # Imported here, as all that reads the repository: see `open_for_wal`.
    from holdfast.operations.wal import FetchOptions, fetch_wal

    with open_for_wal(app.settings) as repository:
        try:
            return fetch_wal(
                repository, server, name, target, FetchOptions(ahead=ahead, count=count)
            )
        except LogSegmentNotFoundError:
            return None
