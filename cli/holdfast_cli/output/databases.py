"""What a backup of a database cost, stream by stream: as a table, and with stable keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.format.snapshot import DatabaseRecord, StreamRecord
from holdfast.units import format_size
from holdfast_cli.output.tables import Column, Table


def database_json(record: DatabaseRecord | None) -> dict[str, Any] | None:
    """Return the stable keys of what a snapshot is of; None if it is of files."""
    if record is None:
        return None
    return {
        "kind": record.kind,
        "method": record.method,
        "instance": record.instance,
        "server_version": record.server_version,
        "streams": [stream_json(stream) for stream in record.streams],
        "properties": dict(record.properties),
    }


def stream_json(stream: StreamRecord) -> dict[str, Any]:
    """Return the stable keys of what one stream cost."""
    share = saved_share(stream.logical_bytes, stream.new_bytes)
    return {
        "label": stream.label,
        "files": stream.files,
        "logical_bytes": stream.logical_bytes,
        "new_bytes": stream.new_bytes,
        "stored_bytes": stream.stored_bytes,
        "saved_share": None if share is None else round(share, 4),
        "seconds": round(stream.duration_ns / 1e9, 3),
    }


def saved_share(logical_bytes: int, new_bytes: int) -> float | None:
    """Return which part of a stream the repository had already, 0 to 1; None if it is empty."""
    return 1 - min(new_bytes, logical_bytes) / logical_bytes if logical_bytes else None


def previous_sizes(previous: DatabaseRecord | None) -> dict[str, int]:
    """Return how large each stream of the run before was, by its label."""
    return {} if previous is None else {one.label: one.logical_bytes for one in previous.streams}


def streams_table(streams: Sequence[StreamRecord], before: dict[str, int]) -> Table:
    """Return a line for each stream, and their sum if there are several.

    Args:
        streams: of this run.
        before: as `previous_sizes` gives it; a stream that became much smaller is worth a look.
    """
    table = Table(
        (
            Column("Stream", fold=True),
            Column("Files", "right"),
            Column("Before", "right"),
            Column("Size", "right"),
            Column("New", "right"),
            Column("Stored", "right"),
            Column("Saved", "right"),
        )
    )
    total = [0, 0, 0, 0]
    for one in streams:
        sizes = [one.files, one.logical_bytes, one.new_bytes, one.stored_bytes]
        total = [have + more for have, more in zip(total, sizes, strict=True)]
        table.add(*_cells(one.label, before.get(one.label), sizes))
    if len(streams) > 1:
        table.add(*_cells("all", sum(before.values()) if before else None, total))
    return table


def _cells(label: str, before: int | None, sizes: Sequence[int]) -> tuple[str, ...]:
    files, logical, new, stored = sizes
    share = saved_share(logical, new)
    return (
        label,
        str(files),
        "-" if before is None else format_size(before),
        format_size(logical),
        format_size(new),
        format_size(stored),
        "-" if share is None else f"{share:.1%}",
    )
