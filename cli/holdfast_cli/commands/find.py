"""`holdfast find`: find files in all snapshots, and how they changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.find import FoundPath, Search, find, timelines
from holdfast.policy.durations import parse_duration
from holdfast.policy.entry_filter import NodeFilter, PathFilter, parse_size_range, parse_types
from holdfast.policy.grouping import SnapshotGroup
from holdfast.policy.selection import SnapshotFilter
from holdfast.repository.shared_reader import SharedReader
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.found import (
    Totals,
    history_json,
    history_lines,
    version_json,
    version_lines,
)
from holdfast_cli.output.names import count, printable_name
from holdfast_cli.snapshot_options import choose, filter_options
from holdfast_cli.times import LOCAL_ZONE, parse_time

_HELP: Final = """Find files in all snapshots, and how they changed.

Every version of a file is shown once: when it was modified, its size, how many snapshots have it,
the first and the last of them, and its name in the last one, as `holdfast restore`, `cat` and
`ls` understand it. With --history every change is shown instead, with the snapshot that has it
first.

Patterns are those of .gitignore: one without a slash is a name in any directory, one with a slash
an absolute path. An entry is found if it fits one of the patterns or expressions, and all other
conditions. Put patterns in quotes.

\b
Examples:
  holdfast find 'tax*.odt'
  holdfast find --history /home/anna/letters/tax.odt
  holdfast find --in ~/photos --newer 14d --older 7d --size +1M --type f
  holdfast find --regex '(?i)/invoices/.*2026' --host web1 --json
  holdfast find --blob 3f2a91c0
"""

_MEMORY: Final = 256 << 20
"""Bytes of decoded slices and pages that are kept: each snapshot has slices of its own."""
_MAGIC: Final = frozenset("*?[]\\/!")


@dataclass(frozen=True, slots=True)
class _Shown:
    """How results are written."""

    history: bool
    long: bool


@click.command("find", help=_HELP)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]…")
@click.option(
    "--iname",
    multiple=True,
    metavar="PATTERN",
    help="A pattern too, upper and lower case alike; may be repeated.",
)
@click.option(
    "--regex",
    multiple=True,
    metavar="REGEX",
    help="A regular expression that is searched for in the absolute path; may be repeated.",
)
@click.option(
    "--in",
    "directories",
    multiple=True,
    metavar="DIR",
    help="Only in this directory and below; repeat for any of several.",
)
@click.option(
    "--size",
    multiple=True,
    metavar="SIZE",
    help="Only files of a size: +10M is more, -10M less, 10M..1G between.",
)
@click.option(
    "--newer",
    metavar="TIME",
    help="Only what was modified at that time or later; 7d means in the last 7 days.",
)
@click.option(
    "--older",
    metavar="TIME",
    help="Only what was modified before that time; 7d means more than 7 days ago.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPES",
    help="Only f (files), d (directories), l (symbolic links), p, s, c or b; or several, as in f,l.",
)
@click.option(
    "--blob",
    metavar="ID",
    help="Only what refers to the blob whose id begins so.",
)
@click.option(
    "--snapshot",
    "names",
    multiple=True,
    metavar="SNAPSHOT",
    help="Look into this snapshot only; repeat for several.",
)
@click.option("--history", is_flag=True, help="Show when files appeared, changed and vanished.")
@click.option("--long", "-l", is_flag=True, help="Show mode, owner and exact times too.")
@filter_options
@pass_app
def command(app: App, /, wanted: SnapshotFilter, **given: Any) -> int:
    """Search the snapshots that fit, timeline by timeline."""
    damage: list[IntegrityError] = []

    def on_damage(path: bytes, error: IntegrityError) -> None:
        damage.append(error)
        app.output.warn(f"{printable_name(path)}: {error}")

    with open_repository(app.settings) as repository:
        search = _make_search(given, repository.clock.now_ns())
        shown = _Shown(given["history"], given["long"])
        chosen = choose(repository.load_view().snapshots, given["names"], wanted)
        groups = timelines(chosen)
        totals = Totals()
        with SharedReader(repository, memory=_MEMORY) as reader:
            found = (
                (group, totals.counted(find(reader, group.snapshots, search, on_damage)))
                for group in groups
            )
            if app.output.json:
                app.output.documents(_documents(found, shown))
            else:
                _show(app, found, shown, titles=len(groups) > 1)
    _summarize(app, totals, chosen, given["patterns"])
    return ExitCode.DAMAGED if damage else ExitCode.SUCCESS


Found = Iterator[tuple[SnapshotGroup, Iterator[FoundPath]]]
"""Each timeline with what is found in it."""


def _make_search(given: dict[str, Any], now_ns: int) -> Search:
    """Return what the options ask for.

    Raises:
        ConfigurationError: one of them makes no sense, or there is none.
    """
    newer, older = given["newer"], given["older"]
    search = Search(
        paths=PathFilter(
            given["patterns"],
            given["iname"],
            given["regex"],
            [os.fsencode(os.path.abspath(path)) for path in given["directories"]],
        ),
        nodes=NodeFilter(
            types=frozenset().union(*map(parse_types, given["types"])),
            sizes=tuple(map(parse_size_range, given["size"])),
            newer_ns=None if newer is None else parse_moment(newer, now_ns),
            older_ns=None if older is None else parse_moment(older, now_ns),
        ),
        blob=None if given["blob"] is None else given["blob"].lower(),
        whole=given["history"],
    )
    if search.is_empty:
        raise ConfigurationError(
            "nothing was said of what to find", "write a pattern like '*.odt', or --in DIR"
        )
    return search


def parse_moment(text: str, now_ns: int) -> int:
    """Return the moment meant by a time, or by a duration before now, as nanoseconds since 1970.

    Raises:
        ConfigurationError: neither.
    """
    try:
        return parse_duration(text).before(now_ns, LOCAL_ZONE)
    except ConfigurationError:
        pass
    try:
        return parse_time(text)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{text!r} is neither a time nor a duration",
            "write it like 2026-11-21, '2026-11-21 08:30', or 7d, 12h, 2y5m for so long ago",
        ) from error


def _documents(found: Found, shown: _Shown) -> Iterator[dict[str, Any]]:
    for group, paths in found:
        yield from history_json(paths, group) if shown.history else version_json(paths, group)


def _show(app: App, found: Found, shown: _Shown, *, titles: bool) -> None:
    between = False
    for group, paths in found:
        if shown.history:
            lines = history_lines(paths, group, long=shown.long)
        else:
            lines = version_lines(paths, group, long=shown.long)
        for number, line in enumerate(lines):
            if titles and not number:
                if between:
                    app.output.line()
                app.output.line(f"{group}:")
                between = True
            app.output.line(line)


def _summarize(
    app: App, totals: Totals, snapshots: Sequence[Snapshot], patterns: Sequence[str]
) -> None:
    app.output.flush()
    searched = count(len(snapshots), "snapshot")
    if totals.paths:
        paths, versions = count(totals.paths, "path"), count(totals.versions, "version")
        app.output.note(f"{paths} with {versions} in {searched}")
        return
    hint = next(filter(None, map(_hint, patterns)), "")
    if not snapshots:
        hint = "; `holdfast snapshots` lists those that --host, --path and --tag choose from"
    app.output.note(f"nothing found in {searched}{hint}")


def _hint(pattern: str) -> str:
    """Return what may have been meant by a pattern that fits nothing."""
    if not _MAGIC.intersection(pattern):
        return f"; '*{pattern}*' finds names that contain it"
    if "/" in pattern.rstrip("/") and not pattern.startswith(("/", "**/", "!")):
        return f"; a pattern with a slash is an absolute path, '**/{pattern}' is one anywhere"
    return ""
