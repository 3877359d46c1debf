"""`holdfast benchmark`: what deduplication would save here, and how fast this machine is."""

from __future__ import annotations

from typing import Final

import click

from holdfast_cli.commands.benchmark_dedupe import command as dedupe_command
from holdfast_cli.commands.benchmark_speed import command as speed_command

_HELP: Final = """Measure what deduplication would save here, and how fast this machine is.

Nothing is stored, and no repository is needed unless one is named.

\b
Examples:
  holdfast benchmark dedupe ~
  holdfast benchmark dedupe --series /backup/monday /backup/tuesday /backup/wednesday
  holdfast benchmark speed
"""


@click.group("benchmark", help=_HELP, subcommand_metavar="COMMAND …")
def command() -> None:
    """Hold the subcommands."""


command.add_command(dedupe_command)
command.add_command(speed_command)
