"""`holdfast snapshots`: list snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import click

from holdfast.format.snapshot import Snapshot
from holdfast.operations.forget import forgotten_snapshots
from holdfast.policy.selection import SnapshotFilter
from holdfast.units import format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import short_id
from holdfast_cli.output.tables import Column, Table
from holdfast_cli.snapshot_options import (
    choose,
    display_paths,
    filter_options,
    snapshot_json,
)
from holdfast_cli.times import format_local

_HELP: Final = """List snapshots, the oldest first.

Size is that of all files; New is what the backup added to the repository, compressed. Without
arguments all snapshots are listed. Those of databases have paths like /postgresql/main/logical/shop.

\b
Examples:
  holdfast snapshots
  holdfast snapshots --host web1 --tag daily --latest 3
  holdfast snapshots --json latest
  holdfast snapshots --forgotten
"""


@click.command("snapshots", help=_HELP)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]…")
@filter_options
@click.option(
    "--latest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the newest N of each host and set of paths.",
)
@click.option(
    "--forgotten", is_flag=True, help="Instead list the hidden ones that can be brought back."
)
@pass_app
def command(
    app: App,
    names: Sequence[str],
    wanted: SnapshotFilter,
    latest: int | None,
    *,
    forgotten: bool,
) -> None:
    """Show the snapshots that fit."""
    with open_repository(app.settings) as repository:
        snapshots = forgotten_snapshots(repository) if forgotten else repository.snapshots()
    shown = choose(snapshots, names, wanted)
    if latest is not None:
        shown = _newest(shown, latest)
    if app.output.json:
        app.output.document([snapshot_json(snapshot) for snapshot in shown])
    elif shown:
        _show(app, shown)
    else:
        app.output.note("no forgotten snapshots" if forgotten else "no snapshots")


def _newest(snapshots: Sequence[Snapshot], count: int) -> list[Snapshot]:
    """Return the last `count` of each host and set of paths, in the same order."""
    seen: Counter[tuple[str, tuple[bytes, ...]]] = Counter()
    kept = []
    for snapshot in reversed(snapshots):
        group = (snapshot.host, snapshot.raw_paths)
        seen[group] += 1
        if seen[group] <= count:
            kept.append(snapshot)
    return kept[::-1]


def _show(app: App, snapshots: Sequence[Snapshot]) -> None:
    table = Table(
        (
            Column("ID"),
            Column("Time"),
            Column("Host"),
            Column("Tags", fold=True),
            Column("Files", "right"),
            Column("Size", "right"),
            Column("New", "right"),
            Column("Paths", fold=True),
        )
    )
    for snapshot in snapshots:
        stats = snapshot.stats
        files = stats.files_new + stats.files_changed + stats.files_unmodified
        tags = [*snapshot.tags, *(["(partial)"] if snapshot.partial else [])]
        table.add(
            short_id(snapshot.id),
            format_local(snapshot.time_ns),
            snapshot.host,
            ", ".join(tags),
            str(files),
            format_size(stats.logical_bytes),
            format_size(stats.bytes_stored),
            ", ".join(display_paths(snapshot.raw_paths)),
        )
    app.output.table(table)
