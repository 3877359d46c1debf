"""`holdfast wal-push`: archive one file of PostgreSQL's write-ahead log."""

from __future__ import annotations

from typing import Final

import click

from holdfast.operations.wal import push_wal
from holdfast_cli.app import App, pass_app
from holdfast_cli.wal_access import open_for_wal, segments_ahead

_HELP: Final = """Archive one file of PostgreSQL's write-ahead log; for archive_command.

Ends with 0 only when the file is durable in the repository, or was there already with the same
bytes. Nothing is ever overwritten: other bytes under the same name are an error, and so is a file
that is not what its name says. After any error PostgreSQL keeps the file and tries again.

PATH lies in pg_wal of the server's data directory, whose control file tells which server it is.
Write absolute paths into archive_command, and take a key file: a password costs half a second and
64 MiB for each file.

\b
Examples:
  archive_command = 'holdfast -r /mnt/backup --key-file /etc/holdfast/key wal-push "%p"'
  holdfast wal-push /var/lib/postgresql/15/main/pg_wal/00000001000000000000000A
"""


@click.command("wal-push", help=_HELP)
@click.argument("path")
@click.option(
    "--system-id", metavar="ID", help="The server's system identifier; else its control file's."
)
@pass_app
def command(app: App, path: str, system_id: str | None) -> None:
    """Archive one file."""
    with open_for_wal(app.settings) as repository:
        pushed = push_wal(repository, path, system_id=system_id)
    # A server that archives asks for nothing any more; but a standby beside it may.
    segments_ahead(app.settings, pushed.system_id).clean()
    if app.output.json:
        app.output.document(
            {
                "name": pushed.name,
                "system_id": pushed.system_id,
                "logical_bytes": pushed.size,
                "is_new": pushed.is_new,
            }
        )
    elif app.output.verbosity:
        # Silent otherwise: it would fill the server's log.
        app.output.line(
            f"{pushed.name} {'is archived' if pushed.is_new else 'was archived already'}"
        )
