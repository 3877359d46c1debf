"""`holdfast verify-db`: restore databases into a server made for the purpose, and question it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from holdfast.errors import ConfigurationError
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.operations.stored_database import StoredDatabase
from holdfast.operations.verify_database import (
    Assertion,
    VerifyResult,
    parse_assertion,
    verify_database,
)
from holdfast.policy.selection import SnapshotFilter
from holdfast.repository.reader import BlobReader
from holdfast.units import format_duration
from holdfast_cli.app import App, pass_app
from holdfast_cli.database_options import (
    choice_options,
    choose_database,
    find_recorded,
    make_database_filter,
    make_options,
    tool_options,
)
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.files import read_file
from holdfast_cli.opening import open_repository
from holdfast_cli.output.handed_over import HandedOver
from holdfast_cli.output.names import count, printable, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.snapshot_options import filter_options
from holdfast_cli.times import format_local

_HELP: Final = """Restore databases into a server made for the purpose, and question it.

The server lives in a directory of its own, on a socket nobody else knows, and is gone afterwards;
nothing else is touched. The directory needs as much space as the databases. First the database's
own checks run, then the assertions: statements whose answer must be true, that is a number other
than 0, or t, true, yes, on, ok. If one is not, the exit code is 37.

\b
Examples:
  holdfast verify-db latest --kind postgresql
  holdfast verify-db latest --assert 'shop: SELECT count(*) > 1000 FROM orders'
  holdfast verify-db 3f2a --assertions /etc/holdfast/shop.txt --scratch /var/tmp
"""


@click.command("verify-db", help=_HELP)
@click.argument("name", metavar="SNAPSHOT")
@click.option(
    "--assert",
    "assertions",
    multiple=True,
    metavar="'DATABASE: STATEMENT'",
    help="The first column of the first row that it returns must be true.",
)
@click.option(
    "--assertions",
    "assertion_files",
    multiple=True,
    metavar="FILE",
    help="Take assertions from FILE, one a line; # begins a comment.",
)
@click.option(
    "--scratch", metavar="DIR", help="Make the server's directory in DIR, not the usual place."
)
@tool_options
@choice_options
@filter_options
@pass_app
def command(app: App, /, name: str, wanted: SnapshotFilter, **given: Any) -> int:
    """Verify one snapshot of a database."""
    assertions = _read_assertions(given["assertions"], given["assertion_files"])
    chosen = make_database_filter(given, wanted)
    with open_repository(app.settings) as repository, watching(app.output) as progress:
        snapshot, record = choose_database(repository.load_view().snapshots, name, chosen)
        kind, method = find_recorded(record)
        options = make_options(given, instance=record.instance, method=method)
        with BlobReader(repository) as reader, _scratch_directory(given["scratch"]) as directory:
            files = StoredDatabase(repository, reader, snapshot, progress)
            result = verify_database(
                files,
                kind.open_scratch(options, method, directory),
                assertions,
                clock=repository.clock,
                on_progress=HandedOver(progress, "verify", snapshot.stats.logical_bytes),
            )
    if app.output.json:
        _write_summary(app, snapshot, record, result)
    else:
        _show(app, snapshot, record, result)
    return ExitCode.SUCCESS if result.ok else ExitCode.NOT_VERIFIED


def _read_assertions(texts: Sequence[str], files: Sequence[str]) -> list[Assertion]:
    """Return all assertions, those of the command line first.

    Raises:
        ConfigurationError: one is none, or a file cannot be read.
    """
    assertions = [parse_assertion(text) for text in texts]
    for name in files:
        try:
            lines = read_file(name, "the file of assertions").decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"the file of assertions {name} is not text in UTF-8", "write it so"
            ) from error
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                assertions.append(parse_assertion(text))
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"line {number} of {name}: {error.what}", error.hint
                ) from error
    return assertions


@contextmanager
def _scratch_directory(parent: str | None) -> Iterator[str]:
    """Give an empty directory, and remove it with all that is in it then.

    Raises:
        ConfigurationError: it cannot be made.
    """
    try:
        directory = tempfile.mkdtemp(
            prefix="holdfast-", dir=None if parent is None else os.path.abspath(parent)
        )
        # Servers that refuse to run as root run as another user, who must get through to what is
        # given to them; what lies there is theirs alone.
        os.chmod(directory, 0o711)  # noqa: S103 - to be passed, not to be listed
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigurationError(
            f"no directory can be made in {parent or tempfile.gettempdir()}: {reason}",
            "name another one with --scratch",
        ) from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _show(app: App, snapshot: Snapshot, record: DatabaseRecord, result: VerifyResult) -> None:
    for problem in result.problems:
        app.output.line(f"problem: {problem}")
    for outcome in result.outcomes:
        if not outcome.holds:
            asked = f"{outcome.assertion.database}: {outcome.assertion.statement}"
            app.output.line(f"failed: {asked}")
            app.output.line(f"        answered {printable(outcome.answer)!r}")
    held = sum(outcome.holds for outcome in result.outcomes)
    what = (
        f"snapshot {short_id(snapshot.id)} of {record.kind} {record.instance} "
        f"({record.server_version}, {record.method}, {format_local(snapshot.time_ns)})"
    )
    app.output.summary(
        f"{what} was restored in {format_duration(result.restore_s)}: "
        f"{count(len(result.databases), 'database')}, "
        f"{count(len(result.problems), 'problem')}, "
        f"{held} of {count(len(result.outcomes), 'assertion')} held"
    )
    if not result.ok:
        app.output.warn(
            "the backup did not pass; look at the database itself, and verify an earlier snapshot"
        )


def _write_summary(
    app: App, snapshot: Snapshot, record: DatabaseRecord, result: VerifyResult
) -> None:
    app.output.event(
        "summary",
        snapshot=snapshot.id,
        kind=record.kind,
        method=record.method,
        instance=record.instance,
        ok=result.ok,
        databases=list(result.databases),
        problems=list(result.problems),
        assertions=[
            {
                "database": outcome.assertion.database,
                "statement": outcome.assertion.statement,
                "answer": outcome.answer,
                "holds": outcome.holds,
            }
            for outcome in result.outcomes
        ],
        restore_seconds=round(result.restore_s, 3),
        seconds=round(result.seconds, 3),
    )
