"""`holdfast key`: the passwords, key files and recovery keys that open a repository."""

from __future__ import annotations

from typing import Any, Final

import click

from holdfast.crypto.secrets import KeyFile, Password
from holdfast.errors import ConfigurationError
from holdfast.operations.keys import (
    SlotInfo,
    add_recovery,
    add_slot,
    change_password,
    list_slots,
    remove_slot,
)
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.options import SecretKind, SecretSource
from holdfast_cli.output.names import short_id
from holdfast_cli.output.tables import Column, Table
from holdfast_cli.secret_sources import read_new_secret
from holdfast_cli.times import format_local, format_rfc3339

_HELP: Final = """List, add, change and remove passwords and keys.

Each password, key file or recovery key has a slot of its own; any of them opens the repository.

\b
Examples:
  holdfast key list
  holdfast key add --label laptop --new-key-file /root/holdfast.key
  holdfast key passwd
  holdfast key recovery > words.txt
  holdfast key remove 3f2a
"""

_new_secret_options: Final = (
    click.option("--new-password-file", metavar="FILE",
                 help="Take the new password from the first line of FILE."),
    click.option("--new-password-command", metavar="COMMAND",
                 help="Take the new password from the output of COMMAND."),
)  # fmt: skip
_label_option: Final = click.option("--label", default="", metavar="TEXT", help="Name the slot.")
_dry_run_option: Final = click.option("--dry-run", "-n", is_flag=True, help="Change nothing.")


@click.group("key", help=_HELP, subcommand_metavar="COMMAND …")
def command() -> None:
    """Hold the subcommands."""


@command.command("list", help="List the key slots.\n\n\b\nExamples:\n  holdfast key list --json")
@pass_app
def list_command(app: App) -> None:
    """Show every slot; the one that opened this session is marked."""
    with open_repository(app.settings) as repository:
        slots = list_slots(repository)
    if app.output.json:
        app.output.document([_slot_json(slot) for slot in slots])
        return
    table = Table(
        (Column("ID"), Column("Kind"), Column("Label", fold=True), Column("Created"), Column(""))
    )
    for slot in slots:
        mark = "opened this session" if slot.opened else ""
        table.add(short_id(slot.id), slot.kind, slot.label, format_local(slot.created_ns), mark)
    app.output.table(table)


@command.command("add", help=(
    "Add a password or a key file.\n\nA key file is made if it is not there. Without an option a "
    "new password is asked for.\n\n\b\nExamples:\n  holdfast key add --label anna\n"
    "  holdfast key add --new-key-file /root/holdfast.key"
))  # fmt: skip
@_new_secret_options[0]
@_new_secret_options[1]
@click.option("--new-key-file", metavar="FILE", help="Add this key file, made if it is not there.")
@_label_option
@_dry_run_option
@pass_app
def add_command(app: App, /, *, label: str, dry_run: bool, **sources: str | None) -> None:
    """Make a slot for another secret."""
    with open_repository(app.settings, dry_run=dry_run) as repository:
        secret = read_new_secret(_new_source(sources), dry_run=dry_run)
        slot = add_slot(repository, secret, label=label)
    kind = "key file" if isinstance(secret, KeyFile) else "password"
    _show_change(app, slot, f"added a {kind}", dry_run=dry_run)


@command.command("remove", help=(
    "Remove a slot: its password or key no longer opens the repository.\n\n"
    "Neither the last slot nor the one that opened this session can be removed. Whoever used the "
    "slot before may have kept the root key; it is not changed.\n\n"
    "\b\nExamples:\n  holdfast key remove 3f2a"
))  # fmt: skip
@click.argument("slot_id", metavar="ID")
@_dry_run_option
@pass_app
def remove_command(app: App, slot_id: str, *, dry_run: bool) -> None:
    """Delete one slot."""
    with open_repository(app.settings, dry_run=dry_run) as repository:
        slot = remove_slot(repository, slot_id)
    _show_change(app, slot, "removed", dry_run=dry_run)


@command.command("passwd", help=(
    "Change the password: add a new one, then remove the one in use.\n\n"
    "\b\nExamples:\n  holdfast key passwd\n  holdfast key passwd --new-password-file new.txt"
))  # fmt: skip
@_new_secret_options[0]
@_new_secret_options[1]
@_dry_run_option
@pass_app
def passwd_command(app: App, /, *, dry_run: bool, **sources: str | None) -> None:
    """Replace the slot that opened this session."""
    with open_repository(app.settings, dry_run=dry_run) as repository:
        secret = read_new_secret(_new_source(sources), dry_run=dry_run)
        assert isinstance(secret, Password)  # no option here names a key file
        slot = change_password(repository, secret)
    _show_change(app, slot, "changed the password", dry_run=dry_run)


@command.command("recovery", help=(
    "Make a recovery key and print its 24 words.\n\nThe words are shown this once and stored "
    "nowhere; --recovery-file opens the repository with a file of them.\n\n"
    "\b\nExamples:\n  holdfast key recovery | lpr"
))  # fmt: skip
@_label_option
@_dry_run_option
@pass_app
def recovery_command(app: App, *, label: str, dry_run: bool) -> None:
    """Make a slot for a fresh recovery key."""
    with open_repository(app.settings, dry_run=dry_run) as repository:
        slot, words = add_recovery(repository, label=label or "recovery")
    if dry_run:
        _show_change(app, slot, "added a recovery key", dry_run=True)
    elif app.output.json:
        app.output.document({**_slot_json(slot), "words": words, "dry_run": False})
    else:
        app.output.note("recovery words, shown this once; write them down and lock them away:")
        app.output.line(words)


def _new_source(sources: dict[str, str | None]) -> SecretSource | None:
    given = [(name, value) for name, value in sources.items() if value]
    if len(given) > 1:
        names = " and ".join("--" + name.replace("_", "-") for name, _ in given)
        raise ConfigurationError(f"the options {names} exclude each other", "give one of them")
    for name, value in given:
        return SecretSource(SecretKind[name.removeprefix("new_").upper()], value)
    return None


def _slot_json(slot: SlotInfo) -> dict[str, Any]:
    return {
        "id": slot.id,
        "kind": slot.kind,
        "label": slot.label,
        "created": format_rfc3339(slot.created_ns),
        "opened": slot.opened,
    }


def _show_change(app: App, slot: SlotInfo, what: str, *, dry_run: bool) -> None:
    if app.output.json:
        app.output.document({**_slot_json(slot), "dry_run": dry_run})
    elif dry_run:
        app.output.summary(f"would have {what}; nothing was changed")
    else:
        app.output.summary(f"{what}: slot {short_id(slot.id)}")
