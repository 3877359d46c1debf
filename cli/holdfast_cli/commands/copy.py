"""`holdfast copy`: copy snapshots from another repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

import click

from holdfast.crypto.secrets import Secret
from holdfast.errors import (
    IntegrityError,
    NotFoundError,
    RepositoryNotFoundError,
    WrongKeyError,
)
from holdfast.format.config import CONFIG_NAME
from holdfast.operations.copy import CopyOptions, CopyResult, copy_snapshots
from holdfast.operations.object_lock import LockReport
from holdfast.policy.selection import SnapshotFilter
from holdfast.repository.repository import Repository
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.host import host_name
from holdfast_cli.object_lock import keep_locked_all, locks_json, show_locks
from holdfast_cli.opening import open_repository, open_storage
from holdfast_cli.options import Settings, merge_source_settings, read_environment
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.secret_sources import read_secret
from holdfast_cli.snapshot_options import choose, filter_options

R = TypeVar("R")

_HELP: Final = """Copy snapshots from another repository into this one.

Copies all snapshots, those that are named, or those that fit --host, --path and --tag. What this
repository has already, or has forgotten, is passed over, so the same command can run every night;
an interrupted copy goes on where it stopped. Both repositories may be in use meanwhile, and the
other one is only read.

The keys of the two may differ: then everything is encrypted anew. A mirror (`holdfast init
--mirror`) has the keys of its origin, and takes packs over as they are, which is faster.

The archived logs of databases come along with their base backups, as far as these need them.

If a snapshot cannot be read because the other repository is damaged, the others are copied and
the exit code is 13.

\b
Examples:
  holdfast -r s3://bucket/offsite copy --from /mnt/disk/backup
  holdfast -r /mnt/usb copy --from /mnt/disk/backup --from-password-file ~/.old latest
"""
_MOST_SHOWN: Final = 20


def source_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --from and what says how that repository opens."""
    for option in reversed(
        (
            click.option(
                "--from",
                "from_repository",
                metavar="LOCATION",
                help="The repository to copy from. [HOLDFAST_FROM_REPOSITORY]",
            ),
            click.option(
                "--from-password-file",
                metavar="FILE",
                help="Take its password from the first line of FILE. [HOLDFAST_FROM_PASSWORD_FILE]",
            ),
            click.option(
                "--from-password-command",
                metavar="COMMAND",
                help="Take its password from the output of COMMAND. "
                "[HOLDFAST_FROM_PASSWORD_COMMAND]",
            ),
            click.option(
                "--from-key-file",
                metavar="FILE",
                help="Open it with a key file. [HOLDFAST_FROM_KEY_FILE]",
            ),
            click.option(
                "--from-recovery-file",
                metavar="FILE",
                help="Open it with the recovery words in FILE. [HOLDFAST_FROM_RECOVERY_FILE]",
            ),
        )
    ):
        function = option(function)
    return function


@click.command("copy", help=_HELP)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]…")
@source_options
@filter_options
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would be copied.")
@pass_app
def command(
    app: App, /, names: Sequence[str], wanted: SnapshotFilter, *, dry_run: bool, **given: Any
) -> int:
    """Copy, and tell what became of it."""
    values = {name.removeprefix("from_"): value for name, value in given.items()}
    source_settings = merge_source_settings(app.settings, values, read_environment())
    options = CopyOptions(host=host_name(), dry_run=dry_run)
    with (
        _open_both(app.settings, source_settings) as (source, destination),
        watching(app.output) as progress,
    ):
        snapshots = choose(source.snapshots(), names, wanted)
        locks: LockReport | None = None
        result = copy_snapshots(source, destination, snapshots, options, progress=progress)
        for problem in source.problems:
            if problem.kind == "snapshot" and not names:
                result.damaged.append((problem.name, problem))
        if result.copied and not dry_run:
            # Copies build upon objects whose protection may end soon.
            locks = keep_locked_all(app, destination, progress, dry_run=False)
    if app.output.json:
        _write_events(app, result, locks, dry_run=dry_run)
    else:
        _show(app, result, dry_run=dry_run)
    show_locks(app, locks)
    if not result.ok:
        is_damage = result.damaged or any(
            isinstance(problem, IntegrityError) for problem in result.logs.problems
        )
        return ExitCode.DAMAGED if is_damage else ExitCode.LOG_CONFLICT
    return ExitCode.FINDINGS if locks is not None and locks.failed else ExitCode.SUCCESS


@contextmanager
def _open_both(settings: Settings, source: Settings) -> Iterator[tuple[Repository, Repository]]:
    """Open the source and the destination; yield them in this order.

    The secret of the destination is tried on the source if that one has none of its own. A
    person who typed it is asked for another if it does not fit.
    """
    secret = _read_secret(settings, "copied to")
    with ExitStack() as stack:
        destination = stack.enter_context(open_repository(settings, secret=secret))
        if source.secret is not None:
            secret = read_secret(source.secret)
        try:
            opened = stack.enter_context(open_repository(source, secret=secret))
        except WrongKeyError:
            if source.secret is not None or settings.secret is not None:
                raise
            secret = _read_secret(source, "copied from")
            opened = stack.enter_context(open_repository(source, secret=secret))
        yield opened, destination


def _read_secret(settings: Settings, role: str) -> Secret:
    """Read a secret; a person is told which repository it is asked for.

    Raises:
        RepositoryNotFoundError: there is none, and a person would have been asked.
    """
    if settings.secret is not None:
        return read_secret(settings.secret)
    with open_storage(settings) as backend:
        try:
            backend.size(CONFIG_NAME)
        except NotFoundError as error:
            raise RepositoryNotFoundError(backend.location) from error
        prompt = f"Password of the repository that is {role}, {backend.location}: "
    return read_secret(None, prompt=prompt)


def _write_events(app: App, result: CopyResult, locks: LockReport | None, *, dry_run: bool) -> None:
    app.output.event(
        "summary",
        mirror=result.mirror,
        copied=[{"old": one.old_id, "new": one.new_id} for one in result.copied],
        skipped=result.skipped,
        vanished=result.vanished,
        damaged=[
            {"snapshot": snapshot, "kind": error.kind, "name": error.name, "problem": str(error)}
            for snapshot, error in result.damaged
        ],
        blobs_read=result.blobs_read,
        bytes_read=result.bytes_read,
        packs_copied=result.packs_copied,
        pack_bytes_copied=result.pack_bytes_copied,
        bytes_stored=result.bytes_stored,
        log_segments=result.logs.segments,
        log_bytes=result.logs.stored_bytes,
        log_segments_expired=result.logs.expired,
        log_problems=[str(problem) for problem in result.logs.problems],
        seconds=round(result.seconds, 3),
        dry_run=dry_run,
        locks=None if locks is None else locks_json(locks),
    )


def _show(app: App, result: CopyResult, *, dry_run: bool) -> None:
    shown = result.copied if app.output.verbosity else result.copied[:_MOST_SHOWN]
    for one in shown:
        new = "would be copied" if one.new_id is None else f"copied as {short_id(one.new_id)}"
        app.output.summary(f"{short_id(one.old_id)} {new}")
    if len(result.copied) > len(shown):
        app.output.summary(f"and {len(result.copied) - len(shown)} more; --verbose lists all")
    there = f"{count(result.skipped, 'snapshot')} there already"
    copied = count(len(result.copied), "snapshot")
    if dry_run:
        size = format_size(result.bytes_read)
        app.output.summary(f"would copy {copied} ({size} at the most to be read), {there}")
    else:
        stored = format_size(result.bytes_stored)
        took = format_duration(result.seconds)
        app.output.summary(f"copied {copied} ({stored} stored), {there}, took {took}")
    logs = result.logs
    if logs.segments:
        would = "would copy" if dry_run else "copied"
        segments = count(logs.segments, "log segment")
        app.output.summary(f"{would} {segments} of {format_size(logs.stored_bytes)}")
    if logs.expired:
        segments = count(logs.expired, "log segment")
        app.output.warn(
            f"{segments} of copied base backups were left out, since prune has removed them from "
            "this repository before: restore those backups from the other one, if a moment after "
            "their end is wanted"
        )
    for problem in logs.problems[:_MOST_SHOWN]:
        app.output.warn(str(problem))
    if result.vanished:
        gone = count(result.vanished, "snapshot")
        app.output.warn(f"{gone} went from the other repository before the copy was done")
    for snapshot, error in result.damaged[:_MOST_SHOWN]:
        app.output.warn(f"snapshot {short_id(snapshot)} was not copied: {error}")
    if result.damaged:
        app.output.warn(
            "`holdfast check` on the repository that was copied from shows what is damaged there"
        )
