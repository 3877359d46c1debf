"""`holdfast restore`: write a snapshot, or a part of it, back to a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from holdfast.backends.location import parse_location
from holdfast.errors import BackendError, ConfigurationError
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.restore import (
    Overwrite,
    RestoreAction,
    RestoreOptions,
    RestoreResult,
    restore,
)
from holdfast.operations.tree_walk import find_node
from holdfast.policy.filters import ExcludeFilter, IncludeFilter
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.progress import Progress
from holdfast.repository.reader import BlobReader
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.host import host_name
from holdfast_cli.opening import open_repository
from holdfast_cli.options import SecretKind, Settings
from holdfast_cli.output.names import count, printable, printable_name, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.snapshot_options import filter_options, split_name

_FILES: Final = (SecretKind.PASSWORD_FILE, SecretKind.KEY_FILE, SecretKind.RECOVERY_FILE)
_HELP: Final = """Write a snapshot, or a part of it, back to a directory.

Of a whole snapshot the target gets the full paths (TARGET/home/anna/…); of SNAPSHOT:/directory
the contents of that directory, of SNAPSHOT:/file that file. With --in-place everything goes to
where it was when it was backed up. Patterns are those of .gitignore; a path in them is the
absolute one in the snapshot.

The target must be empty or absent, and a single file must be missing in it, unless --overwrite
says what may happen to what is there: always makes everything equal and rewrites only what
differs; if-changed believes that files of the same size and time are equal; if-newer leaves what
is newer than the snapshot; never only adds what is missing. Nothing outside of the target is ever
touched. --delete also removes what the snapshot lacks, hence what the backup left out too, unless
--exclude names it; look at it with --dry-run first.

A restore that was interrupted is continued by the same command with --overwrite if-changed.

Owners are restored by number. Without the right to set them, and for other properties that the
target cannot hold, the entries are reported and the exit code is 3; it is 13 if the repository
could not deliver a file.

\b
Examples:
  holdfast restore latest --target /tmp/out
  holdfast restore latest:/home/anna --target ~/anna-before --include '*.odt'
  holdfast restore latest:/home/anna/letter.odt --in-place --overwrite always
  holdfast restore 3f2a --in-place --overwrite if-changed --delete --dry-run
"""


@click.command("restore", help=_HELP)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.option(
    "--target",
    "-t",
    metavar="DIR",
    help="Directory to restore into; made if absent.",
)
@click.option(
    "--in-place", is_flag=True, help="Restore to the paths that the snapshot has, instead of DIR."
)
@click.option("--include", "-i", multiple=True, metavar="PATTERN", help="Restore only what fits.")
@click.option(
    "--iinclude", multiple=True, metavar="PATTERN", help="The same, upper and lower case alike."
)
@click.option("--exclude", "-e", multiple=True, metavar="PATTERN", help="Leave out what fits.")
@click.option(
    "--iexclude", multiple=True, metavar="PATTERN", help="The same, upper and lower case alike."
)
@click.option(
    "--overwrite",
    type=click.Choice([value.value for value in Overwrite]),
    help="What may happen to entries that exist.",
)
@click.option(
    "--delete",
    is_flag=True,
    help="Remove entries that the snapshot lacks, in directories that it has.",
)
@click.option("--verify", is_flag=True, help="Read every file after it was written and compare it.")
@click.option("--dry-run", "-n", is_flag=True, help="Only list what would happen.")
@filter_options
@pass_app
def command(app: App, /, name: str, wanted: SnapshotFilter, **given: Any) -> int:
    """Restore one node of one snapshot."""
    snapshot_name, path = split_name(name)
    if bool(given["target"]) == given["in_place"]:
        raise ConfigurationError(
            "it is not said where to restore to"
            if not given["target"]
            else "two targets are named",
            "give --target DIR, or --in-place for the original paths",
        )
    dry_run: bool = given["dry_run"]
    with (
        open_repository(app.settings) as repository,
        watching(app.output, calm=dry_run) as progress,
    ):
        snapshot = resolve(repository.load_view().snapshots, snapshot_name, wanted)
        with BlobReader(repository) as reader:
            node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
            parents: list[Node] = []
            if given["in_place"]:
                _check_host(snapshot, wanted)
                given["target"] = os.fsdecode(_original_place(node, path))
                parents = _nodes_above(reader, snapshot, os.fsencode(given["target"]))
            listener = _action_listener(app, progress, dry_run)
            with _telling_how_to_go_on(app, dry_run=dry_run):
                result = restore(
                    reader,
                    node,
                    _make_options(app, given, snapshot.raw_paths, parents, listener),
                    path=path,
                    hash_data=repository.keys.data_hash(),
                    clock=repository.clock,
                    progress=progress,
                )
    _show(app, result, snapshot.id, given["target"], dry_run=dry_run)
    if result.damaged:
        return ExitCode.DAMAGED
    return ExitCode.FINDINGS if result.findings else ExitCode.SUCCESS


@contextmanager
def _telling_how_to_go_on(app: App, *, dry_run: bool) -> Iterator[None]:
    """Say what to do about a restore that was interrupted or whose storage failed."""
    try:
        yield
    except (KeyboardInterrupt, BackendError):
        if not dry_run:
            app.output.warn(
                "the restore is not complete; the same command with --overwrite if-changed "
                "goes on where it was"
            )
        raise


def _check_host(snapshot: Snapshot, wanted: SnapshotFilter) -> None:
    """Refuse to write another machine's files over this one's, unless it was named."""
    here = host_name()
    if snapshot.host != here and snapshot.host not in wanted.hosts:
        raise ConfigurationError(
            f"snapshot {short_id(snapshot.id)} is of the host {printable(snapshot.host)}, and "
            f"this is {printable(here)}",
            f"add --host {printable(snapshot.host)} if it shall be restored over this one's files",
        )


def _original_place(node: Node, path: bytes) -> bytes:
    """Return the target that brings a node back to its own path."""
    return path if node.type == NodeType.DIRECTORY else os.path.dirname(path)


def _nodes_above(reader: BlobReader, snapshot: Snapshot, directory: bytes) -> list[Node]:
    """Return the nodes of a directory of the snapshot and of those above it but "/"."""
    names = [name for name in directory.split(b"/") if name]
    return [
        find_node(reader, snapshot.root, b"/" + b"/".join(names[:depth]), snapshot=snapshot.id)
        for depth in range(1, len(names) + 1)
    ]


def _own_paths(settings: Settings) -> list[bytes]:
    """Return what this program needs itself; a restore over it would end in the middle."""
    paths = [settings.cache_dir]
    if settings.secret is not None and settings.secret.kind in _FILES:
        paths.append(settings.secret.value)
    if settings.repository is not None:
        location = parse_location(settings.repository)
        paths.append(location.path if location.scheme == "file" else None)
    return [os.fsencode(path) for path in paths if path]


def _make_options(
    app: App,
    given: dict[str, Any],
    sources: Sequence[bytes],
    parents: Sequence[Node],
    on_action: Callable[[RestoreAction], None] | None,
) -> RestoreOptions:
    return RestoreOptions(
        target=os.fsencode(os.path.abspath(given["target"])),
        parents=parents,
        protected=_own_paths(app.settings),
        overwrite=Overwrite(given["overwrite"]) if given["overwrite"] else None,
        delete=given["delete"],
        sources=sources,
        dry_run=given["dry_run"],
        verify=given["verify"],
        include=IncludeFilter(given["include"], given["iinclude"]),
        exclude=ExcludeFilter(given["exclude"], given["iexclude"]),
        on_action=on_action,
    )


def _action_listener(
    app: App,
    progress: Progress,
    dry_run: bool,
) -> Callable[[RestoreAction], None] | None:
    """Return what is told about each entry: a line in a dry run and with --verbose."""
    if not dry_run and not app.output.verbosity:
        return None

    def listen(action: RestoreAction) -> None:
        if app.output.json:
            app.output.event(
                "action", action=action.kind.value, path=os.fsdecode(action.path), size=action.size
            )
            return
        size = format_size(action.size) if action.size else ""
        line = f"{action.kind.value:<9} {size:>9} {printable_name(action.path)}"
        if dry_run:
            app.output.line(line)
        else:
            progress.message(line)

    return listen


def _show(app: App, result: RestoreResult, snapshot_id: str, target: str, *, dry_run: bool) -> None:
    if app.output.json:
        app.output.event(
            "summary",
            snapshot=snapshot_id,
            target=target,
            files=result.files,
            directories=result.directories,
            others=result.others,
            links=result.links,
            unchanged=result.unchanged,
            skipped=result.skipped,
            deleted=result.deleted,
            verified=result.verified,
            damaged=result.damaged,
            bytes_written=result.bytes_written,
            bytes_total=result.bytes_total,
            seconds=round(result.seconds, 3),
            findings=len(result.findings),
            dry_run=dry_run,
        )
        return
    did = "would restore" if dry_run else "restored"
    took = "" if dry_run else f" in {format_duration(result.seconds)}"
    app.output.summary(f"{did} snapshot {short_id(snapshot_id)} to {target}{took}")
    written = format_size(result.bytes_written)
    app.output.summary(
        f"files: {result.files} written ({written}), {result.unchanged} unchanged, "
        f"{result.skipped} left alone, {result.deleted} deleted"
    )
    if result.verified:
        app.output.summary(f"verified: {count(result.verified, 'file')}")
    if result.findings:
        problems = count(len(result.findings), "problem")
        app.output.warn(f"{problems}; what they concern was not restored exactly")
