"""`holdfast ls`: list the files of a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import click

from holdfast.errors import IntegrityError
from holdfast.format.node import NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.tree_walk import find_node, iter_directory, iter_tree
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.repository.reader import BlobReader
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.entries import (
    LONG_COLUMNS,
    Entry,
    align_rows,
    display_name,
    entry_json,
    long_cells,
)
from holdfast_cli.output.names import printable_name
from holdfast_cli.snapshot_options import filter_options, split_name

_HELP: Final = """List the files of a snapshot, or of one of its directories.

Paths in a snapshot are absolute, as they were on the host.

\b
Examples:
  holdfast ls latest
  holdfast ls --long latest:/home/anna
  holdfast ls --recursive --sort size --json 3f2a:/var
"""

_SORT_KEYS: Final[dict[str, Callable[[Entry], Any]]] = {
    "size": lambda entry: (-entry.node.size, entry.path),
    "time": lambda entry: (-entry.node.mtime_ns, entry.path),
}


@click.command("ls", help=_HELP)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.option("--long", "-l", is_flag=True, help="Show mode, owner, size and time too.")
@click.option("--human", is_flag=True, help="With --long show sizes like 1.5 MiB, not in bytes.")
@click.option("--recursive", "-R", is_flag=True, help="Go into directories.")
@click.option(
    "--sort",
    type=click.Choice(["name", "size", "time"]),
    default="name",
    show_default=True,
    help="Largest or newest first; names in the order of the tree.",
)
@filter_options
@pass_app
def command(
    app: App,
    name: str,
    wanted: SnapshotFilter,
    sort: str,
    *,
    long: bool,
    human: bool,
    recursive: bool,
) -> int:
    """List one directory or everything below it."""
    snapshot_name, path = split_name(name)
    damage: list[IntegrityError] = []

    def on_damage(directory: bytes, error: IntegrityError) -> None:
        damage.append(error)
        app.output.warn(f"{printable_name(directory)}: {error}")

    with open_repository(app.settings) as repository:
        snapshot = resolve(repository.load_view().snapshots, snapshot_name, wanted)
        with BlobReader(repository) as reader:
            entries = _iter_entries(reader, snapshot, path, recursive, on_damage)
            if sort != "name":
                entries = iter(sorted(entries, key=_SORT_KEYS[sort]))
            if app.output.json:
                app.output.documents(entry_json(entry, snapshot) for entry in entries)
            else:
                _show(app, entries, snapshot, long=long, human=human)
    return ExitCode.DAMAGED if damage else ExitCode.SUCCESS


def _iter_entries(
    reader: BlobReader,
    snapshot: Snapshot,
    path: bytes,
    recursive: bool,
    on_damage: Callable[[bytes, IntegrityError], None],
) -> Iterator[Entry]:
    node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
    base = path.rstrip(b"/")
    if node.type != NodeType.DIRECTORY:
        yield Entry(path, node)
    elif recursive:
        for inner, entry in iter_tree(reader, node.content, base, on_damage):
            yield Entry(inner, entry)
    else:
        for entry in iter_directory(reader, node.content, path, on_damage):
            yield Entry(base + b"/" + entry.name, entry)


def _show(
    app: App, entries: Iterable[Entry], snapshot: Snapshot, *, long: bool, human: bool
) -> None:
    if long:
        rows = (long_cells(entry, snapshot, human=human) for entry in entries)
        lines = align_rows(rows, LONG_COLUMNS, gap=" ")  # as ls(1)
    else:
        lines = map(display_name, entries)
    for line in lines:
        app.output.line(line)
