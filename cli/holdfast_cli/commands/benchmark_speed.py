"""`holdfast benchmark speed`: how fast this machine backs up, and what holds it back."""

from __future__ import annotations

import os
from typing import Final

import click

from holdfast.benchmark.speed import DEFAULT_SECONDS, SpeedOptions, measure_speed
from holdfast.benchmark.speed_index import DEFAULT_BLOBS
from holdfast.benchmark.speed_report import SpeedReport
from holdfast.clock import SystemClock
from holdfast.errors import ConfigurationError
from holdfast.progress import Progress
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_storage
from holdfast_cli.options import named_repository
from holdfast_cli.output.document_progress import watching_document
from holdfast_cli.output.names import count
from holdfast_cli.output.speed import show_speed, speed_json
from holdfast_cli.parameters import SPAN
from holdfast_cli.slow_chunker import tell_of_slow_chunker

_HELP: Final = """Tell how fast this machine backs up, and what holds it back.

Reading, cutting, naming, the index, compression, encryption and storage are measured one by one,
by one thread and by as many as a backup has, then a small backup as a whole. It takes about 20
seconds and uses seeded data, or with --data some of your own, which is only read.

Scratch files go below the cache directory and are deleted again. With -r, given on this command
line, the storage there is measured instead: a repository, of which no key is needed, or an empty
place. Only scratch objects below probe/ are made there, and deleted again.

\b
Examples:
  holdfast benchmark speed
  holdfast benchmark speed --data ~ --seconds 60
  holdfast benchmark speed -r 's3://bucket/backup?endpoint=https://s3.example.org'
"""


@click.command("speed", help=_HELP)
@click.option(
    "--data", metavar="PATH", help="Measure with data of this file or directory, not seeded ones."
)
@click.option(
    "--seconds",
    "seconds",
    type=SPAN,
    default=DEFAULT_SECONDS,
    metavar="TIME",
    help="Take about so long; longer is more exact. [default: 20s]",
)
@click.option(
    "--work-dir", metavar="DIR", help="Put scratch files below DIR, not the cache directory."
)
@click.option(
    "--blobs",
    type=int,
    default=DEFAULT_BLOBS,
    show_default=True,
    metavar="N",
    help="Look up blobs in an index of N.",
)
@click.pass_context
@pass_app
def command(
    app: App,
    context: click.Context,
    /,
    data: str | None,
    seconds: float,
    work_dir: str | None,
    blobs: int,
) -> int:
    """Measure, and show tables and two sentences."""
    tell_of_slow_chunker(app)
    options = SpeedOptions(
        work_dir=_work_dir(app, work_dir),
        data=os.fsencode(data) if data is not None else None,
        seconds=seconds,
        blobs=blobs,
    )
    with watching_document(app.output) as progress:
        report = _measure(app, context, options, progress)
    if app.output.json:
        app.output.document(speed_json(report))
    else:
        show_speed(app.output, report)
    return _tell_of_problems(app, report)


def _work_dir(app: App, named: str | None) -> str:
    """Return where scratch files go: where the index of a repository would lie, if nobody asks.

    Raises:
        ConfigurationError: there is no such place.
    """
    directory = named or app.settings.cache_dir
    if directory is None:
        raise ConfigurationError(
            "there is no home directory to put scratch files in", "name a directory with --work-dir"
        )
    return os.path.abspath(directory)


def _measure(
    app: App, context: click.Context, options: SpeedOptions, progress: Progress
) -> SpeedReport:
    """Measure; a storage only if this command line names it, since its requests may cost money."""
    location = named_repository(context)
    if location is None:
        return measure_speed(options, progress, SystemClock())
    with open_storage(app.settings, location=location) as storage:
        return measure_speed(options, progress, SystemClock(), storage=storage)


def _tell_of_problems(app: App, report: SpeedReport) -> ExitCode:
    if report.left:
        objects = count(len(report.left), "scratch object")
        app.output.warn(f"{objects} could not be deleted: {', '.join(report.left)}")
    if not report.data.unreadable:
        return ExitCode.SUCCESS
    app.output.warn(f"{report.data.unreadable} could not be read; the figures leave that out")
    return ExitCode.FINDINGS
