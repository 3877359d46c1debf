"""`holdfast prune`: free the space of what no snapshot needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from holdfast.operations.prune import Outcome, PruneOptions, PruneResult, prune
from holdfast.policy.prune_plan import DEFAULT_UNUSED
from holdfast.repository.repository import Repository
from holdfast.units import format_duration, format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.host import host_name
from holdfast_cli.object_lock import keep_locked_all, locks_json, show_locks
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import count
from holdfast_cli.output.progress import watching
from holdfast_cli.parameters import SIZE, SPAN, UNUSED
from holdfast_cli.times import format_local, format_rfc3339

R = TypeVar("R")

_HELP: Final = """Free the space of what no snapshot needs.

Removes packs that only forgotten snapshots and interrupted backups have used, and rewrites those
of which little is needed. Backups, restores and other prunes may run at the same time, on any
host. While a backup is running that began earlier, prune only marks what is to go; run it again
once the backup has ended, or give --wait. A prune that was interrupted is continued by the next.

From here on, forgotten snapshots cannot be brought back.

\b
Examples:
  holdfast prune
  holdfast prune --dry-run
  holdfast prune --max-unused 10% --max-repack 20G
  holdfast prune --wait 2h      (wait for running backups, then go on; they repeat what they must)
"""


def prune_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say how prune works."""
    for option in reversed(
        (
            click.option(
                "--max-unused",
                type=UNUSED,
                default=DEFAULT_UNUSED,
                show_default=True,
                metavar="X%|SIZE|unlimited",
                help="Space in packs that may stay unused, rather than rewrite them.",
            ),
            click.option(
                "--max-repack",
                type=SIZE,
                metavar="SIZE",
                help="Rewrite packs of this size at most.",
            ),
            click.option(
                "--wait",
                "wait_s",
                type=SPAN,
                metavar="TIME",
                help="Wait so long for running backups, then go on without them; like 90s, 30m, 2h.",
            ),
            click.option(
                "--as-maintainer",
                is_flag=True,
                help="Prune in the place of the maintainer, which will never prune again.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command("prune", help=_HELP)
@prune_options
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would be removed.")
@pass_app
def command(app: App, /, **given: Any) -> int:
    """Prune, and tell what became of it."""
    with open_repository(app.settings) as repository:
        result = run_prune(app, repository, given)
    if app.output.json:
        app.output.event("summary", **prune_json(result))
    else:
        show_prune(app, result)
    return prune_exit_code(result)


def run_prune(app: App, repository: Repository, given: dict[str, Any]) -> PruneResult:
    """Run prune with the options of `prune_options`, --dry-run and what a dry run assumes."""
    options = PruneOptions(
        max_unused=given["max_unused"],
        max_repack=given["max_repack"],
        wait_s=given["wait_s"],
        host=host_name(),
        as_maintainer=given["as_maintainer"],
        dry_run=given["dry_run"],
        assume_forgotten=given.get("assume_forgotten", frozenset()),
    )
    with watching(app.output) as progress:
        result = prune(repository, options, progress=progress)
        result.locks = keep_locked_all(app, repository, progress, dry_run=options.dry_run)
    return result


def prune_exit_code(result: PruneResult) -> ExitCode:
    """Return what the command ends with: damage that was met must be seen, and lost locks."""
    if result.problems:
        return ExitCode.DAMAGED
    has_failed = result.locks is not None and result.locks.failed
    return ExitCode.FINDINGS if has_failed else ExitCode.SUCCESS


def prune_json(result: PruneResult) -> dict[str, Any]:
    """Return the stable keys of what prune did."""
    return {
        "outcome": result.outcome.value,
        "dry_run": result.outcome == Outcome.PLANNED,
        "snapshots_kept": result.snapshots_kept,
        "snapshots_removed": result.snapshots_removed,
        "packs_before": result.packs_before,
        "packs_removed": result.packs_removed,
        "packs_repacked": result.packs_repacked,
        "packs_orphaned": result.packs_orphaned,
        "packs_needed_again": result.packs_needed_again,
        "packs_undeletable": result.packs_undeletable,
        "packs_locked": result.packs_locked,
        "locked_until": (
            format_rfc3339(result.locked_until_ns) if result.locked_until_ns is not None else None
        ),
        "index_objects_removed": result.index_objects_removed,
        "log_segments_removed": result.log_segments_removed,
        "log_bytes_removed": result.log_bytes_removed,
        "bytes_before": result.bytes_before,
        "bytes_removed": result.bytes_removed,
        "bytes_repacked": result.bytes_repacked,
        "bytes_written": result.bytes_written,
        "bytes_freed": result.bytes_freed,
        "bytes_unused": result.bytes_unused,
        "waits_for": [
            {"host": one.host, "started": format_rfc3339(one.started_ns)}
            for one in result.waited_for
        ],
        "problems": [
            {"kind": error.kind, "name": error.name, "problem": error.reason}
            for error in result.problems
        ],
        "seconds": round(result.seconds, 3),
        "locks": None if result.locks is None else locks_json(result.locks),
    }


def show_prune(app: App, result: PruneResult) -> None:
    """Tell people what prune did and what stays."""
    for line in _lines(result):
        app.output.summary(line)
    for error in result.problems[:_MOST_SHOWN]:
        app.output.warn(str(error))
    show_locks(app, result.locks)


_MOST_SHOWN: Final = 20


def _lines_on_locked(result: PruneResult) -> Iterator[str]:
    if result.packs_locked:
        end_ns = result.locked_until_ns
        until = f" until {format_local(end_ns)}" if end_ns is not None else ""
        are, them = ("is", "it") if result.packs_locked == 1 else ("are", "them")
        yield (
            f"{count(result.packs_locked, 'pack')} that nobody needs {are} protected by Object "
            f"Lock{until}; a prune after that removes {them}"
        )


def _lines(result: PruneResult) -> Iterator[str]:
    before = f"{count(result.packs_before, 'pack')}, {format_size(result.bytes_before)}"
    if result.outcome == Outcome.NOTHING:
        yield f"nothing to remove ({before}, {format_size(result.bytes_unused)} of it unused)"
        yield from _lines_on_locked(result)
        return
    if result.outcome == Outcome.WAITING:
        yield "what is to be removed is marked; it stays until these backups have ended:"
        for one in result.waited_for:
            yield f"  {one.host or 'unknown host'}, since {format_local(one.started_ns)}"
        yield "then run prune again, or give --wait to go on without them"
        return
    would = "would remove" if result.outcome == Outcome.PLANNED else "removed"
    snapshots = f"{count(result.snapshots_removed, 'forgotten snapshot')}, " * bool(
        result.snapshots_removed
    )
    yield (
        f"{would} {snapshots}{count(result.packs_removed, 'pack')} of {before}: "
        f"{format_size(max(0, result.bytes_freed))} freed"
    )
    if result.log_segments_removed:
        segments = count(result.log_segments_removed, "log segment")
        size = format_size(result.log_bytes_removed)
        yield f"{would} {segments} that no base backup needs: {size} freed"
    if result.packs_repacked:
        verb = "would copy" if result.outcome == Outcome.PLANNED else "copied"
        yield (
            f"{verb} {format_size(result.bytes_written)} out of "
            f"{count(result.packs_repacked, 'sparse pack')} of {format_size(result.bytes_repacked)}"
        )
    if result.bytes_unused:
        yield f"{format_size(result.bytes_unused)} in packs that are kept stay unused (--max-unused)"
    if result.packs_needed_again:
        packs = count(result.packs_needed_again, "pack")
        yield f"{packs} stay after all: backups have built upon them meanwhile"
    if result.packs_undeletable:
        yield (
            f"{count(result.packs_undeletable, 'pack')} could not be deleted; "
            "the next prune tries again"
        )
    yield from _lines_on_locked(result)
    for one in result.waited_for:
        yield (
            f"waits for the backup on {one.host or 'an unknown host'} that is running since "
            f"{format_local(one.started_ns)}"
        )
    if result.outcome != Outcome.PLANNED:
        yield f"took {format_duration(result.seconds)}"
