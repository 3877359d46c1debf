"""`holdfast browse`: look through snapshots on the terminal."""

from __future__ import annotations

import sys
from typing import Final

import click

from holdfast.errors import ConfigurationError, MissingExtraError
from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.snapshot_options import filter_options, split_name

_HELP: Final = """Look through snapshots on the terminal.

Goes from hosts to snapshots to folders, shows files and what changed since the snapshot before,
and restores what is marked. The last line of the screen shows the keys, ? explains all of them.
It needs no mouse and works over ssh.

\b
Examples:
  holdfast browse
  holdfast browse latest
  holdfast browse 3f2a:/home/anna
  holdfast browse --host web1 --tag daily
"""


@click.command("browse", help=_HELP)
@click.argument("name", metavar="[SNAPSHOT[:PATH]]", required=False)
@filter_options
@pass_app
def command(app: App, name: str | None, wanted: SnapshotFilter) -> int:
    """Run the browser until the person has enough."""
    if app.settings.json:
        raise ConfigurationError(
            "`holdfast browse` is for people", "with --json use ls, find, diff and restore"
        )
    # The screen is drawn on standard error; who sends one of the three elsewhere wants no screen.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigurationError(
            "`holdfast browse` needs a terminal", "elsewhere use ls, find, diff and restore"
        )
    snapshot, path = (None, b"/") if name is None else split_name(name)
    try:
        from holdfast_cli.browse.app import BrowseApp, Start
        from holdfast_cli.browse.library import Library
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "textual":
            raise
        raise MissingExtraError("the terminal browser", "browse") from error
    with open_repository(app.settings) as repository:
        library = Library(repository, app.settings, wanted)
        browser = BrowseApp(library, Start(snapshot=snapshot, path=path, wanted=wanted))
        try:
            browser.run()
        finally:
            browser.wait()
    if browser.error is not None:
        raise browser.error
    for report in browser.reports:
        app.output.summary(report)
    for problem in library.damage:
        app.output.warn(problem)
    return browser.exit_code
