"""The commands: found by name, imported on use.

A command's module imports what it needs at its top; laziness is this module's job alone. That
keeps `holdfast version` fast although other commands load a database and three crypto libraries.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

from holdfast_cli.options import InheritedOption, global_options

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Set up": {
        "init": "Create a repository.",
        "key": "List, add, change and remove passwords and keys.",
        "doctor": "Find out what a storage really does, and whether it is safe.",
    },
    "Back up and restore": {
        "backup": "Save files, or the output of a command, as a snapshot.",
        "restore": "Write a snapshot, or a part of it, back to a directory.",
        "dump": "Write a directory of a snapshot as a tar or zip archive.",
        "copy": "Copy snapshots from another repository.",
    },
    "Databases": {
        "backup-db": "Save databases as a snapshot, straight from their own tools.",
        "restore-db": "Bring databases back, also to a moment between two backups.",
        "verify-db": "Restore databases into a server made for the purpose, and question it.",
        "wal-push": "Archive one file of PostgreSQL's write-ahead log; for archive_command.",
        "wal-fetch": "Fetch one file of PostgreSQL's write-ahead log; for restore_command.",
        "binlog-push": "Archive the binary logs of MariaDB or MySQL that are complete.",
        "logs": "Show archived logs, their gaps, and which moments can be restored.",
    },
    "Look inside": {
        "snapshots": "List snapshots.",
        "ls": "List the files of a snapshot.",
        "find": "Find files in all snapshots, and how they changed.",
        "diff": "Compare two snapshots, or a snapshot and a directory.",
        "cat": "Write a file of a snapshot, or an object, to standard output.",
        "browse": "Look through snapshots on the terminal.",
        "mount": "Show all snapshots as a file system.",
        "serve-files": "Show all snapshots over WebDAV and HTTP.",
        "stats": "Count what is stored and what deduplication saves.",
    },
    "Look after": {
        "forget": "Forget snapshots by a policy or by name, and bring them back.",
        "check": "Verify that the repository is consistent and readable.",
        "prune": "Free the space of what no snapshot needs.",
        "lifecycle": "Show or set the rules by which a bucket tidies up.",
        "tag": "Change the tags of snapshots.",
    },
    "Measure": {
        "benchmark": "Measure what deduplication would save here, and how fast this machine is.",
    },
    "Help": {
        "completion": "Print the completion script of a shell.",
        "version": "Print the version and what it is made of.",
    },
}
"""Section -> command -> summary. The summaries stand here so that help imports no command."""

COMMANDS: Final = {
    name: summary for section in SECTIONS.values() for name, summary in section.items()
}


class LazyGroup(click.Group):
    """The program itself: a group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command and teach it the global options."""
        if cmd_name not in COMMANDS:
            return None
        command = self.commands.get(cmd_name)
        if command is None:
            module = importlib.import_module(f"holdfast_cli.commands.{cmd_name.replace('-', '_')}")
            command = module.command
            assert isinstance(command, click.Command)
            _add_global_options(command)
            self.commands[cmd_name] = command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the closest names."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and name not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean `holdfast {close[0]}`?" if close else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


def _add_global_options(command: click.Command) -> None:
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params.extend(
        option for option in global_options(InheritedOption) if not taken.intersection(option.opts)
    )
    command.epilog = "Global options (holdfast --help) may stand before or after the command."
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _add_global_options(subcommand)


def _print_version(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        command = LazyGroup().get_command(context, "version")
        assert command is not None
        with command.make_context("version", [], parent=context) as inner:
            command.invoke(inner)
        context.exit()


def build_program() -> LazyGroup:
    """Return the whole command line as one click group."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="The same as the command version.",
    )
    return LazyGroup(
        name="holdfast",
        params=[*global_options(), version],
        help="Deduplicating, encrypted backups.",
        epilog="`holdfast COMMAND --help` explains a command; docs/cli.md has everything.",
        subcommand_metavar="COMMAND …",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
