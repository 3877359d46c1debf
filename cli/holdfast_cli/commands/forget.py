"""`holdfast forget`: forget snapshots by a policy or by name, and bring them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from holdfast.errors import ConfigurationError, SnapshotNotFoundError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.forget import (
    countable_snapshots,
    forget_snapshots,
    forgotten_snapshots,
    undo_forget,
)
from holdfast.operations.prune import PruneResult
from holdfast.policy.durations import Duration
from holdfast.policy.grouping import SnapshotGroup, group_snapshots, parse_grouping
from holdfast.policy.retention import (
    BEFORE_A_LOSS,
    FROM_THE_FUTURE,
    Decision,
    RetentionPolicy,
    check_something_stays,
    decide,
)
from holdfast.policy.selection import SnapshotFilter, select
from holdfast.repository.repository import Repository
from holdfast_cli.app import App, pass_app
from holdfast_cli.commands.prune import (
    prune_exit_code,
    prune_json,
    prune_options,
    run_prune,
    show_prune,
)
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.host import host_name
from holdfast_cli.opening import open_repository
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.tables import Column, Table
from holdfast_cli.parameters import COUNT, DURATION
from holdfast_cli.snapshot_options import EVERYTHING, choose, display_paths, filter_options
from holdfast_cli.times import LOCAL_ZONE, format_local
from holdfast_cli.unended_prune import telling_of_unended_prune

R = TypeVar("R")

_HELP: Final = """Forget snapshots by a policy or by name, and bring them back.

A policy is applied to each host and set of paths by itself. A snapshot stays if one rule or more
keeps it. Forgotten snapshots are hidden at once; `holdfast prune` frees their space, and until
then --undo brings them back.

\b
Examples:
  holdfast forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --prune
  holdfast forget --keep-within 30d --keep-tag keep --host web1 --dry-run
  holdfast forget 3f2a 77c0
  holdfast forget --undo 3f2a
"""

_COUNTS: Final = {
    "keep_last": ("-l", "Keep the N newest snapshots."),
    "keep_hourly": ("-H", "Keep the newest of each of N hours."),
    "keep_daily": ("-d", "Keep the newest of each of N days."),
    "keep_weekly": ("-w", "Keep the newest of each of N weeks."),
    "keep_monthly": ("-m", "Keep the newest of each of N months."),
    "keep_quarterly": (None, "Keep the newest of each of N quarters."),
    "keep_yearly": ("-y", "Keep the newest of each of N years."),
}
"""Field of the policy -> short option and help."""

_DURATIONS: Final = {
    "keep_within": "Keep all that are less than DURATION older than the newest.",
    **{
        f"keep_within_{period}": f"The same, but only the newest of each {noun}."
        for period, noun in (
            ("hourly", "hour"), ("daily", "day"), ("weekly", "week"),
            ("monthly", "month"), ("quarterly", "quarter"), ("yearly", "year"),
        )
    },
}  # fmt: skip


@dataclass(eq=False)
class NotForgottenError(SnapshotNotFoundError):
    """No forgotten snapshot fits the name."""

    def __str__(self) -> str:
        return (
            f"{self.name} names no forgotten snapshot; `holdfast snapshots --forgotten` lists "
            "those that can be brought back"
        )


def _policy_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the rules of a policy; the command gets them by the names of its fields."""
    options = [
        click.option(
            f"--{name.replace('_', '-')}", *([short] if short else []), type=COUNT, default=0,
            metavar="N", help=text,
        )
        for name, (short, text) in _COUNTS.items()
    ] + [
        click.option(
            f"--{name.replace('_', '-')}", type=DURATION, default=Duration(), metavar="DURATION", help=text
        )
        for name, text in _DURATIONS.items()
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command("forget", help=_HELP)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]…")
@_policy_options
@click.option(
    "--keep-tag",
    "keep_tags",
    multiple=True,
    metavar="TAG",
    help="Keep all with this tag, or with all of several: a,b; may be repeated.",
)
@click.option(
    "--group-by",
    "-g",
    default="host,paths",
    metavar="WORDS",
    help="What snapshots share that a rule counts together: host, paths, tags, or '' for nothing.",
)
@filter_options
@click.option(
    "--allow-keep-nothing",
    is_flag=True,
    help="Let a policy forget all snapshots of a group.",
)
@click.option("--undo", is_flag=True, help="Bring forgotten snapshots back.")
@click.option("--prune", "with_prune", is_flag=True, help="Free the space at once, as prune does.")
@prune_options
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would happen.")
@pass_app
def command(
    app: App, /, names: Sequence[str], wanted: SnapshotFilter, *, dry_run: bool, **given: Any
) -> int:
    """Forget by name or by a policy, or undo it."""
    policy = _make_policy(given)
    _check_usage(policy, names, given)
    if given["undo"]:
        _undo(app, names, wanted, dry_run=dry_run)
        return ExitCode.SUCCESS
    grouping = parse_grouping(given["group_by"])
    with (
        open_repository(app.settings) as repository,
        telling_of_unended_prune(app, repository),
    ):
        if names:
            outcome = _Outcome((), tuple(choose(repository.snapshots(), names, wanted)))
        else:
            groups = group_snapshots(select(countable_snapshots(repository), wanted), grouping)
            outcome = _apply(
                repository, policy, groups, allow_keep_nothing=given["allow_keep_nothing"]
            )
        if not dry_run:
            forget_snapshots(repository, outcome.forgotten, host=host_name())
        if not app.output.json:
            _show(app, outcome, dry_run=dry_run, undoable=not given["with_prune"])
        pruned = None
        if given["with_prune"]:
            gone = frozenset(one.id for one in outcome.forgotten) if dry_run else frozenset()
            prune_given = {**given, "dry_run": dry_run, "assume_forgotten": gone}
            pruned = run_prune(_calm(app), repository, prune_given)
    if app.output.json:
        app.output.document(_outcome_json(outcome, pruned, dry_run=dry_run))
    elif pruned is not None:
        show_prune(app, pruned)
    return ExitCode.SUCCESS if pruned is None else prune_exit_code(pruned)


def _calm(app: App) -> App:
    """Return the app without events of progress: what a program reads is one document."""
    output = Output(json=False, quiet=True) if app.output.json else app.output
    return App(app.settings, output)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is kept and forgotten."""

    judged: tuple[tuple[SnapshotGroup, list[Decision]], ...]
    """By a policy, group by group; empty if snapshots were named."""
    forgotten: tuple[Snapshot, ...]

    @property
    def kept(self) -> list[Decision]:
        return [each for _, decisions in self.judged for each in decisions if each.kept]


def _make_policy(given: dict[str, Any]) -> RetentionPolicy:
    tags = tuple(tuple(text.split(",")) for text in given["keep_tags"])
    rules = {name: given[name] for name in (*_COUNTS, *_DURATIONS)}
    return RetentionPolicy(keep_tags=tags, **rules)


def _check_usage(policy: RetentionPolicy, names: Sequence[str], given: dict[str, Any]) -> None:
    if given["undo"]:
        if not policy.is_empty or given["allow_keep_nothing"] or given["with_prune"]:
            raise ConfigurationError(
                "--undo excludes a policy and --prune",
                "name the snapshots, or choose them by --host, --path, --tag",
            )
    elif names and not policy.is_empty:
        raise ConfigurationError(
            "names of snapshots and a policy exclude each other", "give only one of them"
        )
    elif not names and policy.is_empty:
        raise ConfigurationError(
            "nothing says what to forget",
            "name snapshots, or give a policy of what to keep, like --keep-daily 7",
        )


def _apply(
    repository: Repository,
    policy: RetentionPolicy,
    groups: Sequence[SnapshotGroup],
    *,
    allow_keep_nothing: bool,
) -> _Outcome:
    now_ns = repository.clock.now_ns()
    judged = []
    for group in groups:
        decisions = decide(group.snapshots, policy, now_ns=now_ns, zone=LOCAL_ZONE)
        if not allow_keep_nothing:
            check_something_stays(group, decisions)
        judged.append((group, decisions))
    gone = (each.snapshot for _, decisions in judged for each in decisions if not each.kept)
    return _Outcome(tuple(judged), tuple(gone))


def _outcome_json(
    outcome: _Outcome, pruned: PruneResult | None, *, dry_run: bool
) -> dict[str, Any]:
    document = {
        "keep": [
            {"id": decision.snapshot.id, "reasons": list(decision.reasons)}
            for decision in outcome.kept
        ],
        "forget": [snapshot.id for snapshot in outcome.forgotten],
        "dry_run": dry_run,
    }
    return document if pruned is None else {**document, "prune": prune_json(pruned)}


def _show(app: App, outcome: _Outcome, *, dry_run: bool, undoable: bool) -> None:
    if dry_run or not app.output.quiet:
        for group, decisions in outcome.judged:
            app.output.line(str(group))
            app.output.table(_table(group, decisions))
            app.output.line()
    did = "would forget" if dry_run else "forgot"
    if not outcome.judged:
        for snapshot in outcome.forgotten:
            app.output.summary(f"{did} {_describe(snapshot)}")
    else:
        number = count(len(outcome.forgotten), "snapshot")
        app.output.summary(f"{did} {number}, kept {len(outcome.kept)}")
    _explain_what_stays(app, outcome.kept)
    if outcome.forgotten and undoable and not dry_run:
        app.output.summary(
            "`holdfast prune` frees the space; until then `holdfast forget --undo ID` brings "
            "snapshots back"
        )


def _table(group: SnapshotGroup, decisions: Sequence[Decision]) -> Table:
    """Return what becomes of a group's snapshots; what they share stands above the table."""
    columns = [Column(""), Column("ID"), Column("Time"), Column("Tags", fold=True)]
    if group.host is None:
        columns.append(Column("Host"))
    columns.append(Column("Why", fold=True))
    if group.raw_paths is None:
        columns.append(Column("Paths", fold=True))
    table = Table(tuple(columns))
    for decision in decisions:
        snapshot = decision.snapshot
        tags = [*snapshot.tags, *(["(partial)"] if snapshot.partial else [])]
        table.add(
            "keep" if decision.kept else "forget",
            short_id(snapshot.id),
            format_local(snapshot.time_ns),
            ", ".join(tags),
            *([snapshot.host] if group.host is None else []),
            ", ".join(decision.reasons),
            *([", ".join(display_paths(snapshot.raw_paths))] if group.raw_paths is None else []),
        )
    return table


def _explain_what_stays(app: App, kept: Sequence[Decision]) -> None:
    """Say what to do about snapshots that no rule keeps."""
    for decision in kept:
        name = short_id(decision.snapshot.id)
        if FROM_THE_FUTURE in decision.reasons:
            app.output.note(
                f"the time of {name} lies in the future, so no policy counts or forgets it; if "
                f"it is not needed: holdfast forget {name}"
            )
        if BEFORE_A_LOSS in decision.reasons:
            app.output.note(
                f"snapshots after {name} lack most of its content; see whether that was meant. "
                f"If so, and it is not needed: holdfast forget {name}"
            )


def _undo(app: App, names: Sequence[str], wanted: SnapshotFilter, *, dry_run: bool) -> None:
    """Bring back what is named or fits the filters; without either list what could be."""
    with (
        open_repository(app.settings) as repository,
        telling_of_unended_prune(app, repository),
    ):
        hidden = forgotten_snapshots(repository)
        try:
            chosen = choose(hidden, names, wanted) if names or wanted != EVERYTHING else []
        except SnapshotNotFoundError as error:
            raise NotForgottenError(error.name) from error
        if not dry_run:
            undo_forget(repository, chosen)
    back = {snapshot.id for snapshot in chosen}
    rest = [snapshot for snapshot in hidden if snapshot.id not in back]
    if app.output.json:
        app.output.document(
            {
                "undone": [snapshot.id for snapshot in chosen],
                "forgotten": [snapshot.id for snapshot in rest],
                "dry_run": dry_run,
            }
        )
        return
    for snapshot in chosen:
        did = "would bring back" if dry_run else "brought back"
        app.output.summary(f"{did} {_describe(snapshot)}")
    if chosen:
        return
    for snapshot in rest:
        app.output.line(_describe(snapshot))
    app.output.note(
        "nothing was brought back; name snapshots of this list, or use --host, --path, --tag"
        if rest
        else "no forgotten snapshot can be brought back"
    )


def _describe(snapshot: Snapshot) -> str:
    paths = ", ".join(display_paths(snapshot.raw_paths))
    return f"{short_id(snapshot.id)} of {format_local(snapshot.time_ns)}, {snapshot.host}: {paths}"
