"""`holdfast benchmark dedupe`: what deduplication would save here, or does save there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import click

from holdfast.benchmark.dedupe import DedupeOptions, measure_dedupe
from holdfast.benchmark.sharing import analyse_snapshots
from holdfast.clock import SystemClock
from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.app import App, pass_app
from holdfast_cli.charts.library import ChartFormat, chart_format
from holdfast_cli.dedupe_options import check_usage, make_options
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.metering import load_prices
from holdfast_cli.opening import open_repository
from holdfast_cli.output.csv_text import csv_text
from holdfast_cli.output.dedupe_csv import dedupe_rows
from holdfast_cli.output.dedupe_json import dedupe_json
from holdfast_cli.output.dedupe_report import show_dedupe
from holdfast_cli.output.document_progress import watching_document
from holdfast_cli.output.names import count
from holdfast_cli.output.result_file import result_file
from holdfast_cli.output.sharing import sharing_rows, show_sharing
from holdfast_cli.slow_chunker import tell_of_slow_chunker
from holdfast_cli.snapshot_options import choose, filter_options

_HELP: Final = """Tell what deduplication would save, and what it costs.

Files are cut, compressed and counted as a backup would do it, in many ways at once. Nothing is
stored, and memory does not grow with the data. Of more than 8 GiB a sample is read, and figures
have an error (±) that holds the true one in 19 of 20 cases.

Several paths are counted as one set of files. With --series they are states of the same data, the
oldest first, like the same directory on several nights. With --snapshots the snapshots of a
repository are examined, and no file of the source is read.

\b
Examples:
  holdfast benchmark dedupe ~ --exclude-caches
  holdfast benchmark dedupe --series /dumps/monday /dumps/tuesday /dumps/wednesday --plot dumps.png
  holdfast benchmark dedupe /srv --sample 5% --chunker files --chunker gear:32K --level 3
  holdfast -r /mnt/disk/backup benchmark dedupe --snapshots

\b
Chunkers are the profiles of `backup` (files, dump, pages, image), gear:SIZE (cut by content, SIZE
on average), fixed:SIZE (aligned) and whole (every file is one chunk).
"""


@click.command("dedupe", help=_HELP)
@click.argument("paths", nargs=-1, metavar="[PATH]… | --snapshots [SNAPSHOT]…")
@click.option("--series", is_flag=True, help="The paths are states of the same data, in order.")
@click.option("--snapshots", is_flag=True, help="Examine the snapshots of the repository instead.")
@click.option(
    "--sample",
    metavar="SIZE|X%",
    help="Read about so much, chosen at random but the same each time. [default: 8G]",
)
@click.option("--whole", is_flag=True, help="Read everything, however much it is.")
@click.option(
    "--chunker",
    "chunkers",
    multiple=True,
    metavar="NAME",
    help="Measure this way to cut; repeat or separate by commas for several.",
)
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="SIZE",
    help="Compress pieces of this size; repeat or separate by commas.",
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="LEVEL",
    help="Compress at this level of zstd; repeat or separate by commas.",
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out what fits.")
@click.option(
    "--exclude-caches",
    is_flag=True,
    help="Leave out the contents of directories marked by a CACHEDIR.TAG.",
)
@click.option(
    "--one-file-system", "-x", is_flag=True, help="Stay on the file systems of the paths given."
)
@click.option("--csv", metavar="FILE", help="Write all figures to FILE as comma-separated values.")
@click.option("--plot", metavar="FILE", help="Draw charts into FILE, a .png or .svg.")
@click.option(
    "--all", "show_all", is_flag=True, help="Show slice sizes and levels of every chunker."
)
@filter_options
@pass_app
def command(app: App, /, paths: Sequence[str], wanted: SnapshotFilter, **given: Any) -> int:
    """Scan files or examine snapshots, and show what was found."""
    check_usage(paths, wanted, given)
    with _opened_results(given["csv"], given["plot"]) as results:
        if given["snapshots"]:
            return _examine_snapshots(app, paths, wanted, results, show_all=given["show_all"])
        options = make_options(given, load_prices(app.settings.prices))
        return _scan_files(app, paths, options, results, show_all=given["show_all"])


@dataclass(frozen=True, slots=True)
class _Results:
    """The files that are written beside what is shown."""

    table: BinaryIO | None
    chart: BinaryIO | None
    chart_format: ChartFormat


@contextmanager
def _opened_results(table: str | None, chart: str | None) -> Iterator[_Results]:
    """Open the files of --csv and --plot, before the scan: afterwards would be late to complain.

    Raises:
        ConfigurationError: the chart has no known format, or what draws it is not installed.
        ResultFileError: one cannot be written.
    """
    form = chart_format(chart) if chart is not None else ChartFormat.PNG
    with ExitStack() as files:
        results = [
            None if path is None else files.enter_context(result_file(path))
            for path in (table, chart)
        ]
        yield _Results(results[0], results[1], form)


def _scan_files(
    app: App,
    paths: Sequence[str],
    options: DedupeOptions,
    results: _Results,
    *,
    show_all: bool,
) -> ExitCode:
    tell_of_slow_chunker(app)
    with watching_document(app.output) as progress:
        sources = [os.fsencode(path) for path in paths]
        report = measure_dedupe(sources, options, progress, SystemClock())
    if app.output.json:
        app.output.document(dedupe_json(report))
    else:
        show_dedupe(app.output, report, show_all=show_all)
    if results.table is not None:
        results.table.write(csv_text(dedupe_rows(report)))
    if results.chart is not None:
        from holdfast_cli.charts.dedupe import draw_dedupe  # matplotlib loads for half a second

        draw_dedupe(report, results.chart, results.chart_format)
    if not report.unreadable and not report.vanished:
        return ExitCode.SUCCESS
    app.output.warn(
        f"{count(report.unreadable, 'problem')} with reading, {report.vanished} gone or shorter than "
        "before; the figures leave that out"
    )
    return ExitCode.FINDINGS


def _examine_snapshots(
    app: App,
    names: Sequence[str],
    wanted: SnapshotFilter,
    results: _Results,
    *,
    show_all: bool,
) -> ExitCode:
    with open_repository(app.settings) as repository, watching_document(app.output) as progress:
        chosen = choose(repository.snapshots(), names, wanted)
        report = analyse_snapshots(repository, chosen, progress)
    code = show_sharing(app.output, report, everything=show_all)
    if results.table is not None:
        results.table.write(csv_text(sharing_rows(report)))
    if results.chart is not None:
        from holdfast_cli.charts.sharing import draw_sharing

        draw_sharing(report, results.chart, results.chart_format)
    return code
