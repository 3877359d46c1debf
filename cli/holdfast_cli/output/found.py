"""What `find` has found: versions and histories of paths, as lines and as JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.find import FoundPath, Version
from holdfast.operations.find_history import Histories, HistoryEvent
from holdfast.policy.grouping import SnapshotGroup
from holdfast.units import format_size
from holdfast_cli.output.entries import (
    Entry,
    align_rows,
    display_name,
    entry_json,
    link_text,
    mode_text,
    owner_names,
)
from holdfast_cli.output.names import short_id
from holdfast_cli.output.tables import Column
from holdfast_cli.snapshot_options import display_paths
from holdfast_cli.times import format_local, format_rfc3339

_DATE: Final = len("2026-11-21")
_OWNER: Final = (Column("Mode"), Column("Owner"), Column("Group"))
_VERSION: Final = (
    Column("Modified"),
    Column("Size", "right"),
    Column("Snapshots", "right"),
    Column("First"),
    Column("Last"),
    Column("Name"),
)
_LEAST: Final = (19, 8, 9, _DATE, _DATE)
_LEAST_OWNER: Final = (10, 8, 8)
"""Widths of the columns whatever the first row is."""
_UNKNOWN: Final = "-"
_MOMENTS: Final = 4096


@dataclass(slots=True)
class Totals:
    """Counts what passes by."""

    paths: int = 0
    versions: int = 0

    def counted(self, found: Iterable[FoundPath]) -> Iterator[FoundPath]:
        """Yield all of it."""
        for path in found:
            self.paths += 1
            self.versions += len(path.versions)
            yield path


def version_lines(found: Iterable[FoundPath], group: SnapshotGroup, *, long: bool) -> Iterator[str]:
    """Yield a line with titles, and one for each version, those of a path newest first."""
    columns = (*_OWNER, *_VERSION) if long else _VERSION
    least = (*_LEAST_OWNER, *_LEAST) if long else _LEAST
    moment = lru_cache(_MOMENTS)(format_local)
    rows = (
        _version_row(path.path, version, group, moment, long=long)
        for path in found
        for version in path.versions
    )
    # One row decides the widths: what was found is shown at once.
    yield from align_rows(rows, columns, titles=True, least=least, sample=1)


def _version_row(
    path: bytes,
    version: Version,
    group: SnapshotGroup,
    moment: Callable[[int], str],
    *,
    long: bool,
) -> tuple[str, ...]:
    node = version.node
    first, last = group.snapshots[version.first], group.snapshots[version.last]
    times = (moment(first.time_ns), moment(last.time_ns))
    name = f"{short_id(last.id)}:{display_name(Entry(path, node))}"
    modified = _UNKNOWN if path == b"/" else moment(node.mtime_ns)
    if not long:
        dates = (time[:_DATE] for time in times)
        return (modified, _size(node), str(version.count), *dates, name)
    owner = (mode_text(node), *owner_names(node, last))
    return (*owner, modified, _size(node), str(version.count), *times, name + link_text(node))


def history_lines(found: Iterable[FoundPath], group: SnapshotGroup, *, long: bool) -> Iterator[str]:
    """Yield a line for each path, and below it one for each change, oldest first."""
    histories = Histories(group.snapshots)
    for number, path in enumerate(found):
        if number:
            yield ""
        yield display_name(Entry(path.path, path.versions[0].node))
        for event in histories.of(path):
            yield "  " + _event_line(path.path, event, long=long)


def _event_line(path: bytes, event: HistoryEvent, *, long: bool) -> str:
    snapshot, node = event.snapshot, event.node
    start = f"{format_local(snapshot.time_ns)}  {short_id(snapshot.id)}  {event.kind.value:<8}"
    if node is None:
        assert event.last is not None
        return f"{start}  last in {short_id(event.last.id)}"
    what = f"{start}  {_size(node):>9}  {_modified(path, node):<19}"
    if long:
        what += f"  {mode_text(node)}  {' '.join(owner_names(node, snapshot))}{link_text(node)}"
    fields = ", ".join(_sorted_fields(event))
    return f"{what}  {fields}" if fields else what.rstrip()


def version_json(found: Iterable[FoundPath], group: SnapshotGroup) -> Iterator[dict[str, Any]]:
    """Yield the stable keys of each version, those of a path newest first."""
    for path in found:
        for version in path.versions:
            last = group.snapshots[version.last]
            yield {
                **_entry_json(path.path, version.node, last),
                **_source_json(group),
                "snapshots": version.count,
                "first": _snapshot_json(group.snapshots[version.first]),
                "last": _snapshot_json(last),
            }


def history_json(found: Iterable[FoundPath], group: SnapshotGroup) -> Iterator[dict[str, Any]]:
    """Yield the stable keys of the history of each path, oldest change first."""
    histories = Histories(group.snapshots)
    for path in found:
        yield {
            "path": os.fsdecode(path.path),
            **_source_json(group),
            "history": [_event_json(path.path, event) for event in histories.of(path)],
        }


def _event_json(path: bytes, event: HistoryEvent) -> dict[str, Any]:
    node, last = event.node, event.last
    return {
        "change": event.kind.value,
        "snapshot": _snapshot_json(event.snapshot),
        "fields": _sorted_fields(event),
        "entry": None if node is None else _entry_json(path, node, event.snapshot),
        "last": None if last is None else _snapshot_json(last),
    }


def _entry_json(path: bytes, node: Node, snapshot: Snapshot) -> dict[str, Any]:
    value = entry_json(Entry(path, node), snapshot)
    if path == b"/":  # snapshots hold no metadata of it
        value.update(mtime=None)
    return value


def _snapshot_json(snapshot: Snapshot) -> dict[str, str]:
    return {"id": snapshot.id, "time": format_rfc3339(snapshot.time_ns)}


def _source_json(group: SnapshotGroup) -> dict[str, Any]:
    return {"host": group.host, "paths": display_paths(group.raw_paths or ())}


def _sorted_fields(event: HistoryEvent) -> list[str]:
    return sorted(field.value for field in event.fields)


def _size(node: Node) -> str:
    return format_size(node.size) if node.type == NodeType.FILE else _UNKNOWN


def _modified(path: bytes, node: Node) -> str:
    return _UNKNOWN if path == b"/" else format_local(node.mtime_ns)
