"""`holdfast backup`: save files, or the output of a command, as a snapshot."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from holdfast.chunking import Profile
from holdfast.compression import DEFAULT_LEVEL, MAX_LEVEL, MIN_LEVEL
from holdfast.errors import ConfigurationError
from holdfast.operations.backup import BackupOptions, BackupResult, backup_paths
from holdfast.operations.backup_stream import backup_command, backup_stream
from holdfast.operations.object_lock import LockReport
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.patterns import parse_pattern_lines
from holdfast.progress import Progress
from holdfast.repository.repository import Repository
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.files import read_file
from holdfast_cli.host import host_name, user_name
from holdfast_cli.object_lock import keep_locked_after, locks_json, show_locks
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.parameters import CUTTING, LEVEL, SIZE, TIME
from holdfast_cli.slow_chunker import tell_of_slow_chunker
from holdfast_cli.snapshot_options import split_tags
from holdfast_cli.unended_prune import telling_of_unended_prune

_HELP: Final = f"""Save files, or the output of a command, as a snapshot.

Files that have not changed since the parent, the newest snapshot of the same host and paths,
are not read again. Patterns are those of .gitignore; a path in them is absolute. Files that
cannot be read are reported and left out, and the exit code is 3.

What an interrupted backup has stored is used by the next one.

\b
Examples:
  holdfast backup ~ --exclude-caches --exclude '*.tmp' --exclude /home/anna/Downloads
  holdfast backup --files-from list.txt --tag weekly
  pg_dump shop | holdfast backup --stdin --stdin-filename shop.sql --profile dump
  holdfast backup --stdin-filename shop.sql --profile dump --stdin-from-command -- pg_dump shop

\b
Compression levels are those of zstd, {MIN_LEVEL} to {MAX_LEVEL}. Profiles say how files are cut:
  files  anything (128 KiB on average)
  dump   database dumps and other long texts (3 KiB)
  pages  files that databases change in place (4 KiB, aligned)
  image  images of disks (64 KiB, empty space recognised)
or a kind and a size, like gear:32K (by content, on average) and fixed:8K; `benchmark dedupe` tells
which one stores the least.
"""


@click.command("backup", help=_HELP)
@click.argument(
    "paths", nargs=-1, metavar="[PATH]… | -- COMMAND [ARGUMENT]…", type=click.UNPROCESSED
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out what fits.")
@click.option(
    "--iexclude", multiple=True, metavar="PATTERN", help="The same, upper and lower case alike."
)
@click.option(
    "--exclude-file",
    "exclude_files",
    multiple=True,
    metavar="FILE",
    help="Leave out what the patterns in FILE fit, one a line.",
)
@click.option(
    "--exclude-caches",
    is_flag=True,
    help="Leave out the contents of directories marked by a CACHEDIR.TAG.",
)
@click.option(
    "--exclude-if-present",
    multiple=True,
    metavar="NAME",
    help="Leave out the contents of directories that hold NAME.",
)
@click.option("--exclude-larger-than", type=SIZE, metavar="SIZE", help="Leave out larger files.")
@click.option(
    "--one-file-system", "-x", is_flag=True, help="Stay on the file systems of the paths given."
)
@click.option(
    "--files-from",
    multiple=True,
    metavar="FILE",
    help="Save the paths in FILE too, one a line or separated by zero bytes; - is stdin.",
)
@click.option("--stdin", is_flag=True, help="Save standard input as one file.")
@click.option(
    "--stdin-from-command",
    is_flag=True,
    help="Save the output of the command after --; no snapshot is made if it fails.",
)
@click.option(
    "--stdin-filename",
    default="stdin",
    show_default=True,
    metavar="NAME",
    help="How that file is called in the snapshot.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Tag the snapshot; repeat or separate by commas for several.",
)
@click.option("--host", metavar="HOST", help="Name of the host, instead of this one's.")
@click.option(
    "--time", "time_ns", type=TIME, metavar="TIME", help="Time of the snapshot, instead of now."
)
@click.option("--parent", metavar="SNAPSHOT", help="Compare with this snapshot.")
@click.option("--force", is_flag=True, help="Read all files, changed or not.")
@click.option(
    "--compression",
    "level",
    type=LEVEL,
    default=DEFAULT_LEVEL,
    show_default=True,
    metavar="LEVEL",
    help="How hard to compress, or off.",
)
@click.option(
    "--profile",
    "cutting",
    type=CUTTING,
    default=Profile.FILES.value,
    show_default=True,
    metavar="PROFILE",
    help="How to cut files: files, dump, pages, image, or like gear:32K.",
)
@click.option("--with-atime", is_flag=True, help="Record the times of the last access too.")
@click.option(
    "--skip-if-unchanged", is_flag=True, help="Make no snapshot if nothing differs from the parent."
)
@click.option("--dry-run", "-n", is_flag=True, help="Read and compare, but store nothing.")
@pass_app
def command(app: App, /, paths: Sequence[str], **given: Any) -> int:
    """Choose the kind of source and run the backup."""
    tell_of_slow_chunker(app)
    sources = _collect_paths(paths, given)
    options = _make_options(given)
    with (
        open_repository(app.settings) as repository,
        telling_of_unended_prune(app, repository),
        watching(app.output) as progress,
    ):
        result = _run(repository, sources, options, progress, given)
        locks = keep_locked_after(app, repository, result, progress)
    _show(app, result, locks, dry_run=options.dry_run)
    show_locks(app, locks)
    has_failed = locks is not None and locks.failed
    return ExitCode.FINDINGS if result.finding_count or has_failed else ExitCode.SUCCESS


def _collect_paths(paths: Sequence[str], given: dict[str, Any]) -> list[bytes]:
    """Return the paths to save, or the words of the command."""
    streams = [name for name in ("stdin", "stdin_from_command") if given[name]]
    kinds = [*streams, *(["files_from"] if given["files_from"] else [])]
    if len(kinds) > 1:
        names = " and ".join("--" + kind.replace("_", "-") for kind in kinds)
        raise ConfigurationError(f"{names} exclude each other", "make two backups")
    words = [os.fsencode(path) for path in paths]
    if given["stdin"]:
        if words:
            raise ConfigurationError("--stdin takes no paths", "make two backups")
        return []
    if given["stdin_from_command"]:
        if not words:
            raise ConfigurationError(
                "--stdin-from-command needs a command", "write it after --, at the end of the line"
            )
        return words
    for name in given["files_from"]:
        words += _read_path_list(name)
    if not words:
        raise ConfigurationError("nothing to back up", "name a path, --files-from or --stdin")
    return words


def _read_path_list(name: str) -> list[bytes]:
    content = sys.stdin.buffer.read() if name == "-" else read_file(name, "the list of files")
    separator = b"\0" if b"\0" in content else b"\n"
    return [path for path in content.split(separator) if path]


def _make_options(given: dict[str, Any]) -> BackupOptions:
    patterns = list(given["exclude"])
    for name in given["exclude_files"]:
        patterns += parse_pattern_lines(read_file(name, "the exclude file"), name)
    exclude = ExcludeFilter(patterns, given["iexclude"])
    return BackupOptions(
        host=given["host"] or host_name(),
        user=user_name(),
        tags=split_tags(given["tags"]),
        time_ns=given["time_ns"],
        parent=given["parent"],
        force=given["force"],
        level=given["level"],
        cutting=given["cutting"],
        exclude=None if exclude.is_empty else exclude,
        excludes_text=(*patterns, *given["iexclude"]),
        exclude_caches=given["exclude_caches"],
        exclude_if_present=tuple(os.fsencode(name) for name in given["exclude_if_present"]),
        exclude_larger_than=given["exclude_larger_than"],
        one_file_system=given["one_file_system"],
        with_atime=given["with_atime"],
        skip_if_unchanged=given["skip_if_unchanged"],
        dry_run=given["dry_run"],
    )


def _run(
    repository: Repository,
    sources: list[bytes],
    options: BackupOptions,
    progress: Progress,
    given: dict[str, Any],
) -> BackupResult:
    filename = os.fsencode(given["stdin_filename"])
    if given["stdin"]:
        return backup_stream(repository, sys.stdin.buffer, filename, options, progress=progress)
    if given["stdin_from_command"]:
        words = [os.fsdecode(word) for word in sources]
        return backup_command(repository, words, filename, options, progress=progress)
    return backup_paths(repository, sources, options, progress=progress)


def _show(app: App, result: BackupResult, locks: LockReport | None, *, dry_run: bool) -> None:
    stats = result.stats
    if app.output.json:
        app.output.event(
            "summary",
            snapshot=result.snapshot,
            parent=result.parent,
            files_new=stats.files_new,
            files_changed=stats.files_changed,
            files_unmodified=stats.files_unmodified,
            directories=stats.directories,
            others=stats.others,
            logical_bytes=stats.logical_bytes,
            bytes_read=stats.bytes_read,
            bytes_added=stats.bytes_added,
            bytes_stored=stats.bytes_stored,
            blobs_added=stats.blobs_added,
            seconds=round(result.seconds, 3),
            findings=result.finding_count,
            dry_run=dry_run,
            locks=None if locks is None else locks_json(locks),
        )
        return
    parent = f", parent {short_id(result.parent)}" if result.parent else ""
    if result.snapshot is not None:
        took = format_duration(result.seconds)
        first = f"snapshot {short_id(result.snapshot)} saved in {took}{parent}"
    elif dry_run:
        first = f"dry run of {format_duration(result.seconds)}: nothing was stored{parent}"
    else:
        first = f"nothing has changed, no snapshot was made{parent}"
    app.output.summary(first)
    app.output.summary(
        f"files: {stats.files_new} new, {stats.files_changed} changed, "
        f"{stats.files_unmodified} unmodified, {format_size(stats.logical_bytes)} in total"
    )
    app.output.summary(
        f"read {format_size(stats.bytes_read)}, {format_size(stats.bytes_added)} new with metadata,"
        f" stored as {format_size(stats.bytes_stored)}"
    )
    if result.finding_count:
        problems = count(result.finding_count, "problem")
        app.output.warn(f"{problems}; the snapshot lacks what could not be read")
