"""`holdfast cat`: write a file of a snapshot, or an object, to standard output."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, BinaryIO, Final

import click
import msgspec

from holdfast.errors import (
    ConfigurationError,
)
from holdfast.format.index import PackEntry
from holdfast.format.node import NodeType
from holdfast.ids import BLOB_ID_LENGTH
from holdfast.operations.read_file import iter_file
from holdfast.operations.tree_walk import find_node
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.output.console import Output
from holdfast_cli.output.streams import writing
from holdfast_cli.snapshot_options import filter_options, split_name

_HELP: Final = """Write a file of a snapshot, or an object, to standard output.

SNAPSHOT:PATH writes the file's bytes. The other forms show what the repository holds as JSON:
the config, a snapshot with the commit that carries it, or an index object; `index` alone lists
the names of all index objects.

\b
Examples:
  holdfast cat latest:/etc/fstab
  holdfast cat latest:/shop.sql | psql shop
  holdfast cat config
  holdfast cat snapshot latest
  holdfast cat index
"""


@click.command("cat", help=_HELP)
@click.argument("what", metavar="SNAPSHOT:PATH|config|snapshot|index")
@click.argument("name", required=False, metavar="[ID]")
@filter_options
@pass_app
def command(
    app: App,
    what: str,
    name: str | None,
    wanted: SnapshotFilter,
) -> None:
    """Write one thing."""
    with open_repository(app.settings) as repository:
        if ":" in what:
            if name is not None:
                raise ConfigurationError("one file at a time", f"leave {name} out")
            _write_file(app.output, repository, what, wanted)
        elif what == "config":
            _write_json(app.output, _config(repository))
        elif what == "snapshot":
            _write_json(app.output, _snapshot(repository, name or "latest", wanted))
        elif what == "index":
            _write_json(app.output, _index(repository, name))
        else:
            raise ConfigurationError(
                f"{what!r} is nothing to show",
                "write SNAPSHOT:PATH, config, snapshot [ID] or index [ID]",
            )


def _write_file(output: Output, repository: Repository, what: str, wanted: SnapshotFilter) -> None:
    snapshot_name, path = split_name(what)
    snapshot = resolve(repository.load_view().snapshots, snapshot_name, wanted)
    with BlobReader(repository) as reader:
        node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
        if node.type != NodeType.FILE:
            shown = path.decode("utf-8", "surrogateescape")
            raise ConfigurationError(f"{shown} is no file", "`holdfast ls` shows what it is")
        stream = output.binary()
        for data in iter_file(reader, node):
            _write_bytes(stream, data)


def _write_bytes(stream: BinaryIO, data: bytes) -> None:
    with writing():
        stream.write(data)
        stream.flush()


def _write_json(output: Output, value: object) -> None:
    if output.json:
        output.document(value)
    else:
        output.text(json.dumps(value, indent=2))


def _config(repository: Repository) -> dict[str, Any]:
    return {"repository": repository.repository_id.hex(), **_plain(repository.config)}


def _snapshot(repository: Repository, name: str, wanted: SnapshotFilter) -> dict[str, Any]:
    view = repository.take_view()
    snapshot = resolve(view.snapshots, name, wanted)
    commit = next(_plain(item.commit) for item in view.commits if item.id == snapshot.id)
    del commit["sealed"]  # what is in it is shown as the snapshot
    return {"snapshot": _plain(snapshot), "commit": commit}


def _index(repository: Repository, name: str | None) -> Any:
    names = sorted(repository.listed_index_ids())
    if name is None:
        return names
    found = [index_id for index_id in names if index_id.startswith(name)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} index objects begin with {name}", "`holdfast cat index` lists them"
        )
    return [_pack_json(entry) for entry in repository.read_index(found[0])]


def _pack_json(entry: PackEntry) -> dict[str, Any]:
    ids = [entry.ids[at : at + BLOB_ID_LENGTH] for at in range(0, len(entry.ids), BLOB_ID_LENGTH)]
    offsets = accumulate(entry.lengths, initial=0)
    return {
        "pack": entry.pack_id,
        "kind": entry.kind.name.lower(),
        "stored_size": entry.stored_size,
        "blobs": [
            {"id": blob_id.hex(), "offset": offset, "length": length}
            for blob_id, offset, length in zip(ids, offsets, entry.lengths, strict=False)
        ],
    }


def _plain(value: Any) -> Any:
    """Return a stored structure as JSON knows it: fields by name, bytes as hex."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
