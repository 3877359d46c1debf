"""`holdfast init`: create a repository."""

from __future__ import annotations

from typing import Any, Final

import click
from click.core import ParameterSource

from holdfast.backends.base import Backend
from holdfast.backends.dryrun import DiscardingBackend
from holdfast.backends.location import parse_location
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import KeyFile, Password
from holdfast.errors import ConfigurationError, NotFoundError, RepositoryExistsError
from holdfast.format.config import CONFIG_NAME, DEFAULT_PACK_SIZE, DEFAULT_SLICE_SIZE
from holdfast.operations.init import InitOptions, InitResult, init_repository
from holdfast.operations.keys import add_recovery
from holdfast.operations.mirror import init_mirror
from holdfast.operations.object_lock import MOST_DAYS, require_object_lock
from holdfast_cli.app import App, pass_app
from holdfast_cli.host import host_name
from holdfast_cli.opening import open_repository, open_storage, storage_options
from holdfast_cli.parameters import SIZE
from holdfast_cli.secret_sources import read_new_secret

_HELP: Final = """Create a repository.

The location must be empty or absent. With --key-file FILE the repository opens with that key
file, which is made if it is not there; else with a password, asked for twice if no option gives
it. Without password, key file and recovery words nobody can read the repository, not even you:
keep one of them somewhere else.

The storage is tried out first. Where it cannot keep two prunes apart, only one host may prune.

\b
Examples:
  holdfast -r /mnt/disk/backup init
  holdfast -r /mnt/disk/backup --key-file ~/.config/holdfast.key init --recovery
  holdfast -r s3://bucket/mirror init --mirror /mnt/disk/backup     (then: copy --from …)
"""
_NOT_FOR_MIRRORS: Final = ("label", "recovery", "suite", "pack_size", "slice_size", "argon2_memory")
"""Options whose values a mirror takes from its origin."""


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
@click.option(
    "--maintainer",
    default="",
    metavar="HOST",
    help="The host that alone may prune, where the storage cannot keep two prunes apart. "
    "[default: this host]",
)
@click.option(
    "--mirror",
    metavar="LOCATION",
    help="Make a mirror of that repository: empty, with its keys and parameters. Then `copy` "
    "takes packs over as they are.",
)
@click.option(
    "--object-lock",
    type=click.IntRange(1, MOST_DAYS),
    default=None,
    metavar="DAYS",
    help="Have the bucket protect what snapshots need, for so many days at least.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Only see whether it would work.")
@pass_app
def command(app: App, /, *, recovery: bool, dry_run: bool, **parameters: Any) -> None:
    """Create the repository, then add a recovery key on request."""
    if parameters["mirror"]:
        _make_mirror(app, parameters, dry_run=dry_run)
        return
    with open_storage(app.settings) as backend:
        location = backend.location
        _check_absent(backend)
        _check_lock(app, location, parameters["object_lock"])
        secret = read_new_secret(app.settings.secret, dry_run=dry_run)
        options = InitOptions(
            secret=secret,
            label=parameters["label"],
            suite=parameters["suite"],
            pack_size=parameters["pack_size"],
            slice_size=parameters["slice_size"],
            argon2_memory_kib=parameters["argon2_memory"] // 1024,
            host=host_name(),
            maintainer=parameters["maintainer"],
            object_lock_days=parameters["object_lock"] or 0,
            probe=not dry_run,
        )
        target = DiscardingBackend(backend) if dry_run else backend
        result = init_repository(target, options, clock=SystemClock())
    words = None
    if recovery and not dry_run:
        with open_repository(app.settings, secret=secret) as repository:
            _, words = add_recovery(repository)
    _show(app, location, result, secret, words, dry_run=dry_run)
    if parameters["maintainer"] and not result.maintainer and not dry_run:
        app.output.note(
            "--maintainer has no effect: the storage keeps two prunes apart, so any host may prune"
        )


def _check_lock(app: App, location: str, days: int | None) -> None:
    """Try out Object Lock before asking for a password; a dry run does it too, on scratch."""
    if days is not None:
        require_object_lock(parse_location(location), storage_options(app.settings, location), days)


def _make_mirror(app: App, parameters: dict[str, Any], *, dry_run: bool) -> None:
    """Create a mirror, which opens with whatever opens its origin."""
    origin: str = parameters["mirror"]
    context = click.get_current_context()
    for name in _NOT_FOR_MIRRORS:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"{option} and --mirror exclude each other",
                "a mirror has the keys and the parameters of its origin",
            )
    with open_storage(app.settings) as backend:
        location = backend.location
        _check_absent(backend)
        _check_lock(app, location, parameters["object_lock"])
        with open_repository(app.settings, location=origin) as source:
            target = DiscardingBackend(backend) if dry_run else backend
            result = init_mirror(
                source,
                target,
                clock=SystemClock(),
                host=host_name(),
                maintainer=parameters["maintainer"],
                object_lock_days=parameters["object_lock"] or 0,
                probe=not dry_run,
            )
            origin = source.backend.location
    _show(app, location, result, None, None, dry_run=dry_run, origin=origin)


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
    result: InitResult,
    secret: Password | KeyFile | None,
    words: str | None,
    *,
    dry_run: bool,
    origin: str | None = None,
) -> None:
    kind = "key-file" if isinstance(secret, KeyFile) else "password" if secret else None
    if app.output.json:
        app.output.document(
            {
                "repository": None if dry_run else result.repository_id,
                "location": location,
                "kind": kind,
                "recovery_words": words,
                "maintainer": result.maintainer or None,
                "mirror_of": origin,
                "dry_run": dry_run,
            }
        )
        return
    if dry_run:
        what = "a repository" if origin is None else f"a mirror of {origin}"
        app.output.summary(f"{what} would be created at {location}; nothing was written")
        return
    opens = (
        f"key file {app.settings.secret.value}"
        if kind == "key-file" and app.settings.secret
        else "password"
    )
    app.output.summary(
        f"created repository {result.repository_id[:12]} at {location}; it opens with the {opens}"
        if origin is None
        else f"created a mirror of {origin} at {location}; it opens with whatever opens that one"
    )
    if result.maintainer:
        app.output.summary(
            "this storage cannot keep two prunes apart: back up from any host at any time, but "
            f"prune only from {result.maintainer}"
        )
    if words is not None:
        app.output.summary("recovery words, shown this once; write them down and lock them away:")
        app.output.line(words)
