"""`holdfast init`: create a repository."""

from __future__ import annotations

from typing import Any, Final

import click

from holdfast.backends.base import Backend
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import KeyFile, Password
from holdfast.errors import NotFoundError, RepositoryExistsError
from holdfast.format.config import CONFIG_NAME, DEFAULT_PACK_SIZE, DEFAULT_SLICE_SIZE
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.keys import add_recovery
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository, open_storage
from holdfast_cli.parameters import SIZE
from holdfast_cli.secret_sources import read_new_secret

_HELP: Final = """Create a repository.

The location must be empty or absent. With --key-file FILE the repository opens with that key
file, which is made if it is not there; else with a password, asked for twice if no option gives
it. Without password, key file and recovery words nobody can read the repository, not even you:
keep one of them somewhere else.

\b
Examples:
  holdfast -r /mnt/disk/backup init
  holdfast -r /mnt/disk/backup --key-file ~/.config/holdfast.key init --recovery
"""


@click.command("init", help=_HELP)
@click.option("--label", default="", metavar="TEXT", help="Name the first key slot.")
@click.option(
    "--recovery", is_flag=True, help="Also make a recovery key and print its 24 words, once."
)
@click.option(
    "--suite",
    type=click.Choice(["aes-256-gcm", "chacha20-poly1305"]),
    default="aes-256-gcm",
    show_default=True,
    help="Cipher; ChaCha20 is faster on processors without AES instructions.",
)
@click.option(
    "--pack-size",
    type=SIZE,
    default=DEFAULT_PACK_SIZE,
    metavar="SIZE",
    help="Size of a full pack. [default: 64M]",
)
@click.option(
    "--slice-size",
    type=SIZE,
    default=DEFAULT_SLICE_SIZE,
    metavar="SIZE",
    help="How much is compressed and encrypted as one piece. [default: 1M]",
)
@click.option(
    "--argon2-memory",
    type=SIZE,
    default=64 << 20,
    metavar="SIZE",
    help="Memory that trying a password costs, at least 64M. [default: 64M]",
)
@click.option("--dry-run", "-n", is_flag=True, help="Only see whether it would work.")
@pass_app
def command(app: App, /, *, recovery: bool, dry_run: bool, **parameters: Any) -> None:
    """Create the repository, then add a recovery key on request."""
    with open_storage(app.settings) as backend:
        location = backend.location
        _check_absent(backend)
        secret = read_new_secret(app.settings.secret, dry_run=dry_run)
        options = InitOptions(
            secret=secret,
            label=parameters["label"],
            suite=parameters["suite"],
            pack_size=parameters["pack_size"],
            slice_size=parameters["slice_size"],
            argon2_memory_kib=parameters["argon2_memory"] // 1024,
        )
        target = DiscardingBackend(backend) if dry_run else backend
        result = init_repository(target, options, clock=SystemClock())
    words = None
    if recovery and not dry_run:
        with open_repository(app.settings, secret=secret) as repository:
            _, words = add_recovery(repository)
    _show(app, location, result.repository_id, secret, words, dry_run=dry_run)


def _check_absent(backend: Backend) -> None:
    """Look before asking for a password or making a key file."""
    try:
        backend.size(CONFIG_NAME)
    except NotFoundError:
        return
    raise RepositoryExistsError(backend.location, "there is a repository already")


def _show(
    app: App,
    location: str,
    repository_id: str,
    secret: Password | KeyFile,
    words: str | None,
    *,
    dry_run: bool,
) -> None:
    kind = "key-file" if isinstance(secret, KeyFile) else "password"
    if app.output.json:
        app.output.document(
            {
                "repository": None if dry_run else repository_id,
                "location": location,
                "kind": kind,
                "recovery_words": words,
                "dry_run": dry_run,
            }
        )
        return
    if dry_run:
        app.output.summary(f"a repository would be created at {location}; nothing was written")
        return
    opens = (
        f"key file {app.settings.secret.value}"
        if kind == "key-file" and app.settings.secret
        else "password"
    )
    app.output.summary(
        f"created repository {repository_id[:12]} at {location}; it opens with the {opens}"
    )
    if words is not None:
        app.output.summary("recovery words, shown this once; write them down and lock them away:")
        app.output.line(words)
