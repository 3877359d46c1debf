"""`holdfast ls`: list the files of a snapshot."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import click

from holdfast.errors import IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.tree_walk import find_node, iter_directory, iter_tree
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.repository.reader import BlobReader
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import printable_name
from holdfast_cli.snapshot_options import filter_options, split_name
from holdfast_cli.times import format_local, format_rfc3339

_HELP: Final = """List the files of a snapshot, or of one of its directories.

Paths in a snapshot are absolute, as they were on the host.

\b
Examples:
  holdfast ls latest
  holdfast ls --long latest:/home/anna
  holdfast ls --recursive --sort size --json 3f2a:/var
"""

TYPE_NAMES: Final = {
    NodeType.FILE: "file",
    NodeType.DIRECTORY: "directory",
    NodeType.SYMLINK: "symlink",
    NodeType.FIFO: "fifo",
    NodeType.SOCKET: "socket",
    NodeType.CHARACTER_DEVICE: "character-device",
    NodeType.BLOCK_DEVICE: "block-device",
}
_FORMATS: Final = {
    NodeType.FILE: stat.S_IFREG,
    NodeType.DIRECTORY: stat.S_IFDIR,
    NodeType.SYMLINK: stat.S_IFLNK,
    NodeType.FIFO: stat.S_IFIFO,
    NodeType.SOCKET: stat.S_IFSOCK,
    NodeType.CHARACTER_DEVICE: stat.S_IFCHR,
    NodeType.BLOCK_DEVICE: stat.S_IFBLK,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a node and where it is."""

    path: bytes
    node: Node


_SORT_KEYS: Final[dict[str, Callable[[Entry], Any]]] = {
    "size": lambda entry: (-entry.node.size, entry.path),
    "time": lambda entry: (-entry.node.mtime_ns, entry.path),
}


@click.command("ls", help=_HELP)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.option("--long", "-l", is_flag=True, help="Show mode, owner, size and time too.")
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
                _show(app, entries, snapshot, long=long)
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


def entry_json(entry: Entry, snapshot: Snapshot) -> dict[str, Any]:
    """Return the stable keys of one entry."""
    node, extra = entry.node, entry.node.extra or NO_EXTRA
    value: dict[str, Any] = {
        "path": os.fsdecode(entry.path),
        "type": TYPE_NAMES[NodeType(node.type)],
        "mode": f"{node.mode:04o}",
        "uid": node.uid,
        "gid": node.gid,
        "user": snapshot.user_names.get(node.uid),
        "group": snapshot.group_names.get(node.gid),
        "size": node.size,
        "mtime": format_rfc3339(node.mtime_ns),
        "links": extra.link_count,
    }
    if node.type == NodeType.SYMLINK:
        value["target"] = os.fsdecode(extra.target)
    return value


def _show(app: App, entries: Iterable[Entry], snapshot: Snapshot, *, long: bool) -> None:
    for entry in entries:
        name = printable_name(entry.path)
        if not long:
            app.output.line(name + ("/" if entry.node.type == NodeType.DIRECTORY else ""))
            continue
        node = entry.node
        mode = stat.filemode(_FORMATS[NodeType(node.type)] | node.mode)
        user = snapshot.user_names.get(node.uid, str(node.uid))
        group = snapshot.group_names.get(node.gid, str(node.gid))
        if node.type == NodeType.SYMLINK:
            name += " -> " + printable_name((node.extra or NO_EXTRA).target)
        moment = format_local(node.mtime_ns)
        app.output.line(f"{mode} {user:<8} {group:<8} {node.size:>12} {moment} {name}")
