"""`holdfast check`: verify that the repository is consistent and readable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

from holdfast.errors import ConfigurationError
from holdfast.operations.check import AffectedFile, CheckOptions, CheckResult, check
from holdfast.policy.subset import ALL_DATA, parse_subset
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.progress import watching

_HELP: Final = """Verify that the repository is consistent and readable.

Without options: every snapshot, index object and directory is read, every blob that they refer
to is in a pack, and every pack is there in full length. With --read-data all packs are read too
and every blob is compared with its id; archived logs of databases too. Damage is reported as the
files and snapshots that it affects, and the exit code is 13. If segments of a log are missing that
a base backup could go on with, the exit code is 3.

\b
Examples:
  holdfast check
  holdfast check --read-data
  holdfast check --read-data-subset 1/7     (the first of seven parts: one each day of a week)
  holdfast check --read-data-subset 10%     (a tenth, chosen at random)
  holdfast check --read-data-subset 50G
"""
_MOST_SHOWN: Final = 50


@click.command("check", help=_HELP)
@click.option("--read-data", is_flag=True, help="Read all packs and verify every blob.")
@click.option("--read-data-subset", metavar="N/M|X%|SIZE", help="Read a part of the packs.")
@pass_app
def command(app: App, *, read_data: bool, read_data_subset: str | None) -> int:
    """Check, and tell what is damaged."""
    if read_data and read_data_subset:
        raise ConfigurationError(
            "--read-data and --read-data-subset exclude each other", "give one of them"
        )
    subset = ALL_DATA if read_data else None
    if read_data_subset:
        subset = parse_subset(read_data_subset)
    options = CheckOptions(read_data=subset)
    with open_repository(app.settings) as repository, watching(app.output) as progress:
        result = check(repository, options, progress=progress)
    if app.output.json:
        _write_events(app, result)
    else:
        _show(app, result)
    if not result.ok:
        return ExitCode.DAMAGED
    return ExitCode.FINDINGS if result.findings else ExitCode.SUCCESS


def _write_events(app: App, result: CheckResult) -> None:
    for damage in result.damage:
        app.output.event("damage", kind=damage.kind, name=damage.name, problem=damage.problem)
    for file in result.files:
        app.output.event("affected", snapshot=file.snapshot, path=file.path, problem=file.problem)
    for finding in result.findings:
        app.output.event("finding", path=finding.path, problem=finding.problem)
    app.output.event(
        "summary",
        ok=result.ok,
        damaged=len(result.damage),
        affected=len(result.files),
        snapshots=result.snapshots,
        index_objects=result.index_objects,
        packs=result.packs,
        packs_read=result.packs_read,
        unused_packs=result.unused_packs,
        blobs=result.blobs,
        bytes_read=result.bytes_read,
        log_segments=result.log_segments,
        log_segments_read=result.log_segments_read,
        findings=len(result.findings),
        seconds=round(result.seconds, 3),
    )


def _show(app: App, result: CheckResult) -> None:
    for damage in result.damage:
        app.output.line(f"{damage.kind} {damage.name}: {damage.problem}")
    lines = list(_describe_files(result.files))
    for line in lines[:_MOST_SHOWN]:
        app.output.line(line)
    if len(lines) > _MOST_SHOWN:
        app.output.line(f"and {len(lines) - _MOST_SHOWN} more files; --json lists all")
    for finding in result.findings:
        app.output.warn(f"{finding.path}: {finding.problem}")
    has_read = result.packs_read or result.log_segments_read
    read = f"{format_size(result.bytes_read)} read, " if has_read else ""
    logs = f"{count(result.log_segments, 'log segment')}, " if result.log_segments else ""
    extent = (
        f"{count(result.snapshots, 'snapshot')}, {count(result.packs, 'pack')}, "
        f"{count(result.blobs, 'blob')}, {logs}{read}{format_duration(result.seconds)}"
    )
    if result.ok:
        app.output.summary(f"no damage found ({extent})")
        return
    app.output.summary(
        f"damage found: {count(len(result.damage), 'object')}, {count(len(lines), 'file')} ({extent})"
    )


def _describe_files(files: Iterable[AffectedFile]) -> Iterable[str]:
    """Yield a line for each path, with all the snapshots in which it is affected."""
    snapshots: dict[tuple[str, str], list[str]] = {}
    for file in files:
        snapshots.setdefault((file.path, file.problem), []).append(short_id(file.snapshot))
    for (path, problem), ids in snapshots.items():
        yield f"{path} (snapshot {', '.join(ids)}): {problem}"
