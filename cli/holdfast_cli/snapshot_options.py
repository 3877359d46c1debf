"""How commands name snapshots: an id prefix or `latest`, narrowed by --host, --path and --tag."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import Snapshot, SnapshotStats
from holdfast.policy.selection import SnapshotFilter, resolve, select
from holdfast_cli.output.databases import database_json
from holdfast_cli.times import format_rfc3339

R = TypeVar("R")

EVERYTHING: Final = SnapshotFilter()
"""The filter of a command line without filters."""


def filter_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --host, --path and --tag; the command gets the filter they mean as `wanted`."""

    @functools.wraps(function)
    def with_filter(
        *args: Any,
        hosts: tuple[str, ...],
        filter_paths: tuple[str, ...],
        filter_tags: tuple[str, ...],
        **kwargs: Any,
    ) -> R:
        wanted = make_filter(hosts, filter_paths, filter_tags)
        return function(*args, wanted=wanted, **kwargs)

    decorated: Callable[..., R] = with_filter
    for decorate in (
        click.option("--tag", "filter_tags", multiple=True, metavar="TAG",
                     help="Only snapshots with this tag; repeat if they must have several."),
        click.option("--path", "filter_paths", multiple=True, metavar="PATH",
                     help="Only snapshots of this path; repeat if they must have several."),
        click.option("--host", "hosts", multiple=True, metavar="HOST",
                     help="Only snapshots of this host; repeat for any of several."),
    ):  # fmt: skip
        decorated = decorate(decorated)
    return decorated


def split_name(text: str) -> tuple[str, bytes]:
    """Split SNAPSHOT[:PATH].

    Returns:
        The snapshot's name, and the absolute path in it, b"/" if none was given.

    Raises:
        ConfigurationError: the snapshot's name is missing.
    """
    name, _, path = text.partition(":")
    if not name:
        raise ConfigurationError(
            f"{text!r} names no snapshot", "write ID or ID:/path; `latest` is the newest one"
        )
    return name, b"/" + os.fsencode(path).strip(b"/")


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the stable keys of a snapshot."""
    return {
        "id": snapshot.id,
        "time": format_rfc3339(snapshot.time_ns),
        "host": snapshot.host,
        "user": snapshot.user,
        "paths": display_paths(snapshot.raw_paths),
        "tags": list(snapshot.tags),
        "parent": snapshot.parent,
        "partial": snapshot.partial,
        "stats": stats_json(snapshot.stats),
        "database": database_json(snapshot.database),
    }


def stats_json(stats: SnapshotStats) -> dict[str, int | float]:
    """Return the stable keys of what a backup did."""
    return {
        "files_new": stats.files_new,
        "files_changed": stats.files_changed,
        "files_unmodified": stats.files_unmodified,
        "directories": stats.directories,
        "others": stats.others,
        "logical_bytes": stats.logical_bytes,
        "bytes_read": stats.bytes_read,
        "bytes_added": stats.bytes_added,
        "bytes_stored": stats.bytes_stored,
        "blobs_added": stats.blobs_added,
        "seconds": round(stats.duration_ns / 1e9, 3),
    }


def display_paths(paths: Sequence[bytes]) -> list[str]:
    """Return paths as text; bytes that are not UTF-8 as surrogate escapes."""
    return [os.fsdecode(path) for path in paths]


def make_filter(
    hosts: Sequence[str], filter_paths: Sequence[str], filter_tags: Sequence[str]
) -> SnapshotFilter:
    """Return the filter that the three options mean; relative paths are completed."""
    absolute = [os.fsencode(os.path.abspath(path)) for path in filter_paths]
    return SnapshotFilter(
        hosts=tuple(hosts),
        paths=tuple(path.decode("utf-8", "backslashreplace") for path in absolute),
        tags=split_tags(filter_tags),
    )


def choose(
    snapshots: Sequence[Snapshot], names: Sequence[str], wanted: SnapshotFilter
) -> list[Snapshot]:
    """Return the snapshots that are named, or all that pass the filter; ascending by time.

    Raises:
        SnapshotNotFoundError, AmbiguousSnapshotError, ConfigurationError: a name fits none or
            several, or cannot be a name.
    """
    if not names:
        return select(snapshots, wanted)
    chosen = {resolve(snapshots, name, wanted).id for name in names}
    return [snapshot for snapshot in snapshots if snapshot.id in chosen]


def split_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return all tags of options that may hold several, separated by commas."""
    return tuple(tag for each in tags for tag in each.split(",") if tag)
