"""`holdfast stats`: count what is stored and what deduplication saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from holdfast.operations.stats import repository_stats
from holdfast.policy.selection import SnapshotFilter
from holdfast.units import format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import count
from holdfast_cli.snapshot_options import EVERYTHING, choose, filter_options

_HELP: Final = """Count what is stored and what deduplication saves.

Logical bytes are the sum of all files of the snapshots, as if each were restored; unique bytes
what is left of them after deduplication, with the metadata; stored bytes what that takes in
packs, compressed and encrypted. Named or filtered snapshots are measured as if they were alone.
Archived logs of databases are counted beside that.

\b
Examples:
  holdfast stats
  holdfast stats latest --json
"""


@click.command("stats", help=_HELP)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]…")
@filter_options
@pass_app
def command(
    app: App,
    names: Sequence[str],
    wanted: SnapshotFilter,
) -> None:
    """Show the figures."""
    limited = bool(names) or wanted != EVERYTHING
    with open_repository(app.settings) as repository:
        snapshots = repository.snapshots() if limited else []
        chosen = choose(snapshots, names, wanted) if limited else None
        stats = repository_stats(repository, chosen)
    if app.output.json:
        app.output.document(
            {
                "snapshots": stats.snapshots,
                "logical_bytes": stats.logical_bytes,
                "unique_bytes": stats.unique_bytes,
                "stored_bytes": stats.stored_bytes,
                "dedupe_ratio": round(stats.dedupe_ratio, 4),
                "compression_ratio": round(stats.compression_ratio, 4),
                "total_ratio": round(stats.total_ratio, 4),
                "packs": stats.packs,
                "blobs": stats.blobs,
                "log_segments": stats.log_segments,
                "log_bytes": stats.log_bytes,
            }
        )
        return
    deduplicated, compressed = f"{stats.dedupe_ratio:.2f} x", f"{stats.compression_ratio:.2f} x"
    app.output.line(f"snapshots    {stats.snapshots}")
    app.output.line(f"logical      {format_size(stats.logical_bytes)}")
    app.output.line(f"unique       {format_size(stats.unique_bytes)}, {deduplicated} smaller")
    app.output.line(f"stored       {format_size(stats.stored_bytes)}, {compressed} smaller")
    app.output.line(f"in total     {stats.total_ratio:.2f} x smaller")
    app.output.line(f"packs        {stats.packs}")
    app.output.line(f"blobs        {stats.blobs}")
    if stats.log_segments:
        segments = count(stats.log_segments, "segment")
        app.output.line(f"logs         {format_size(stats.log_bytes)} in {segments}")
