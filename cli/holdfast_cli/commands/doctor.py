"""`holdfast doctor`: find out what a storage really does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import click

from holdfast.backends.location import parse_location
from holdfast.clock import SystemClock
from holdfast.operations.doctor import Diagnosis, Row, Verdict, diagnose, diagnose_bucket
from holdfast.progress import NullProgress, Progress
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_storage, storage_options
from holdfast_cli.options import Settings
from holdfast_cli.output.names import count
from holdfast_cli.output.progress import watching
from holdfast_cli.output.tables import Column, Table

_HELP: Final = """Find out what a storage really does, and whether it is safe.

The location holds a repository, of which no key is needed, or is empty. Everything is tried on
scratch objects below probe/, which are deleted again: whether an object can be overwritten that
should only be created, also by 16 at once; whether what was written is read and listed at once;
ranges, sizes, speed; and of S3 checksums, versions, Object Lock, multipart uploads and the clock.

The exit code is 28 if the storage breaks a promise that a repository rests on.

\b
Examples:
  holdfast -r /mnt/nas/backup doctor
  holdfast -r 's3://bucket/backup?endpoint=https://s3.example.org' doctor
"""

_TITLES: Final = {
    "read-after-write": "read after write",
    "create-if-absent": "create if absent",
    "create-raced": "create, raced",
    "list-after-write": "list after write",
    "list-after-delete": "list after delete",
    "read-after-delete": "read after delete",
    "empty-object": "empty object",
    "long-name": "long name",
    "upload-checksum": "upload checksum",
    "listing-pages": "listing in pages",
    "object-lock": "Object Lock",
    "storage-class": "storage class",
}
_WORDS: Final = {
    Verdict.SAFE: "safe",
    Verdict.GOOD: "good",
    Verdict.ONE_MAINTAINER: "works with one maintainer",
    Verdict.NO_UNDO: "undo of forget is not reliable",
    Verdict.SLOW: "slow",
    Verdict.POOR: "works, but not as asked for",
    Verdict.ABSENT: "not available",
    Verdict.UNSAFE: "not safe",
}


@click.command("doctor", help=_HELP)
@pass_app
def command(app: App, /) -> int:
    """Diagnose, and show one table."""
    with open_storage(app.settings) as backend, _watching(app) as progress:
        found = diagnose(
            backend, clock=SystemClock(), more=_specialist(app.settings), progress=progress
        )
    if app.output.json:
        app.output.document(_as_json(found))
    else:
        _show(app, found)
    return ExitCode.UNSAFE_STORAGE if found.has_lied else ExitCode.SUCCESS


def _specialist(settings: Settings) -> Callable[[Diagnosis], None] | None:
    """Return what looks at properties that only this kind of storage has."""
    assert settings.repository is not None, "the storage has been opened"
    location = parse_location(settings.repository)
    if location.scheme != "s3":
        return None
    return partial(diagnose_bucket, location, storage_options(settings, settings.repository))


def _watching(app: App) -> AbstractContextManager[Progress]:
    """Show progress to people; what a program reads is one document."""
    return nullcontext(NullProgress()) if app.output.json else watching(app.output)


def _as_json(found: Diagnosis) -> dict[str, Any]:
    return {
        "location": found.location,
        "repository": found.has_repository,
        "verdict": found.verdict.value,
        "summary": found.summary,
        "properties": [
            {
                "property": row.property,
                "expected": row.expected or None,
                "seen": row.seen,
                "verdict": row.verdict.value,
                "means": _means(row),
            }
            for row in found.rows
        ],
        "measures": {name: round(value, 6) for name, value in found.measures.items()},
        "left": found.left,
    }


def _show(app: App, found: Diagnosis) -> None:
    table = Table((Column("Property"), Column("Seen", fold=True), Column("Means", fold=True)))
    for row in found.rows:
        table.add(_TITLES.get(row.property, row.property), row.seen, _means(row))
    app.output.table(table)
    app.output.line(f"{found.location} is {found.summary}")
    if found.left:
        objects = count(len(found.left), "scratch object")
        app.output.warn(f"{objects} could not be deleted: {', '.join(found.left)}")


def _means(row: Row) -> str:
    return row.means or _WORDS[row.verdict]
