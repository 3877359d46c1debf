"""`holdfast diff`: compare two snapshots, or a snapshot and a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import click

from holdfast.errors import ConfigurationError, IntegrityError, PathNotFoundError
from holdfast.findings import Finding
from holdfast.format.node import Node
from holdfast.format.snapshot import Snapshot
from holdfast.operations.diff import (
    Change,
    ChangeKind,
    DiffCounts,
    DiffOptions,
    LocalOptions,
    diff_directory,
    diff_trees,
    previous_snapshot,
)
from holdfast.operations.tree_walk import find_node
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.changes import change_json, change_line, counts_lines
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import printable_name, short_id
from holdfast_cli.output.progress import describe_finding
from holdfast_cli.snapshot_options import filter_options, split_name
from holdfast_cli.times import format_local

_HELP: Final = """Compare two snapshots, or a snapshot and a directory.

With one snapshot the comparison is with the one before it, of the same host and paths. A PATH that
stands with one of two snapshots counts for both.

With --to the changes are those since the snapshot. DIR is compared with the same path in the
snapshot unless SNAPSHOT:PATH says another. Files of the same size and time are believed to be
equal, as in a backup; --content reads them all. What the backup was told to exclude by patterns is
not reported as added.

Each line is a change: what happened, the size before and after, the path. Renamed means that the
same content is found under another path.

\b
Examples:
  holdfast diff latest
  holdfast diff 3f2a latest:/home/anna
  holdfast diff latest --to ~/letters
  holdfast diff latest:/ --to /tmp/restored --content
  holdfast diff 3f2a 77c1 --only removed --name-only
"""


@dataclass(frozen=True, slots=True)
class _Ends:
    """What is compared."""

    old: Snapshot
    old_path: bytes
    new: Snapshot | None
    """None for a local directory."""
    new_path: bytes


@dataclass(slots=True)
class _Problems:
    """What could not be read."""

    output: Output
    damaged: int = 0
    findings: int = 0

    def note_damage(self, path: bytes, error: IntegrityError) -> None:
        """Report damage of the repository."""
        self.damaged += 1
        self.output.warn(f"{printable_name(path)}: {error}")

    def note_finding(self, finding: Finding) -> None:
        """Report a local entry that cannot be read."""
        self.findings += 1
        if self.output.json:
            self.output.event("finding", path=finding.path, problem=finding.problem)
        else:
            self.output.warn(describe_finding(finding).removeprefix("holdfast: "))

    def note_too_many(self) -> None:
        """Tell that renames are not looked for."""
        self.output.warn("too much was added and removed to look for what was renamed")


@click.command("diff", help=_HELP)
@click.argument("first", metavar="SNAPSHOT[:PATH]")
@click.argument("second", required=False, metavar="[NEWER[:PATH]]")
@click.option("--to", "directory", metavar="DIR", help="Compare with this local directory.")
@click.option("--content", is_flag=True, help="With --to: read every file and compare its bytes.")
@click.option(
    "--one-file-system", "-x", is_flag=True, help="With --to: stay on the file system of DIR."
)
@click.option(
    "--no-metadata", is_flag=True, help="Pass over changes of mode, owner, time and attributes."
)
@click.option(
    "--directory-times",
    is_flag=True,
    help="Report directories of which nothing but the time differs.",
)
@click.option("--no-renames", is_flag=True, help="Report what was renamed as added and removed.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([kind.value for kind in ChangeKind]),
    help="Report only changes of this kind; repeat for several.",
)
@click.option("--exclude", "-e", multiple=True, metavar="PATTERN", help="Pass over what fits.")
@click.option(
    "--iexclude", multiple=True, metavar="PATTERN", help="The same, upper and lower case alike."
)
@click.option("--name-only", is_flag=True, help="Write nothing but the paths.")
@click.option("--summary", "summary_only", is_flag=True, help="Write nothing but the sums.")
@filter_options
@pass_app
def command(
    app: App, /, first: str, second: str | None, wanted: SnapshotFilter, **given: Any
) -> int:
    """Compare what the two names mean."""
    _check_options(second, given)
    problems = _Problems(app.output)
    counts = DiffCounts()
    with open_repository(app.settings) as repository:
        ends = _choose(repository.load_view().snapshots, first, second, given["directory"], wanted)
        with BlobReader(repository) as reader:
            changes = _compare(repository, reader, ends, problems, given)
            if given["only"]:
                changes = (change for change in changes if change.kind in given["only"])
            _write(app.output, _counted(changes, counts), ends, given)
    _write_sums(app.output, ends, counts, problems, given)
    if problems.damaged:
        return ExitCode.DAMAGED
    return ExitCode.FINDINGS if problems.findings else ExitCode.SUCCESS


def _check_options(second: str | None, given: dict[str, Any]) -> None:
    if given["directory"] is None:
        for name in ("content", "one_file_system"):
            if given[name]:
                option = "--" + name.replace("_", "-")
                raise ConfigurationError(f"{option} is for directories", "name one with --to DIR")
    elif second is not None:
        raise ConfigurationError(
            "a snapshot is compared with another one or with a directory",
            f"leave out --to or {second}",
        )
    if given["name_only"] and given["summary_only"]:
        raise ConfigurationError("--name-only and --summary exclude each other", "choose one")


def _choose(
    snapshots: list[Snapshot] | tuple[Snapshot, ...],
    first: str,
    second: str | None,
    directory: str | None,
    wanted: SnapshotFilter,
) -> _Ends:
    """Return the snapshots and paths that the arguments mean.

    Raises:
        SnapshotNotFoundError, AmbiguousSnapshotError, ConfigurationError: they mean none.
    """
    name, path = split_name(first)
    snapshot = resolve(snapshots, name, wanted)
    if directory is not None:
        local = os.fsencode(os.path.abspath(directory))
        return _Ends(snapshot, path if ":" in first else local, None, local)
    if second is None:
        previous = previous_snapshot(snapshots, snapshot)
        if previous is None:
            raise ConfigurationError(
                f"there is no snapshot of the same host and paths before {short_id(snapshot.id)}",
                "name two snapshots",
            )
        return _Ends(previous, path, snapshot, path)
    new_name, new_path = split_name(second)
    new = resolve(snapshots, new_name, wanted)
    if ":" not in second:
        new_path = path
    elif ":" not in first:
        path = new_path
    return _Ends(snapshot, path, new, new_path)


def _compare(
    repository: Repository,
    reader: BlobReader,
    ends: _Ends,
    problems: _Problems,
    given: dict[str, Any],
) -> Iterator[Change]:
    """Return the changes.

    Raises:
        PathNotFoundError: neither side has the path.
    """
    old = _find(reader, ends.old, ends.old_path)
    options = DiffOptions(
        metadata=not given["no_metadata"],
        directory_times=given["directory_times"],
        renames=not given["no_renames"],
        on_too_many=problems.note_too_many,
        believe_ids=ends.new is None or ends.old.profile == ends.new.profile,
        exclude=ExcludeFilter(given["exclude"], given["iexclude"]),
        not_added=ExcludeFilter(ends.old.excludes if ends.new is None else ()),
    )
    if ends.new is not None:
        new = _find(reader, ends.new, ends.new_path)
        if old is None and new is None:
            raise PathNotFoundError(ends.new.id, os.fsdecode(ends.new_path))
        paths = (ends.old_path, ends.new_path)
        return diff_trees(reader, old, new, options, paths=paths, on_damage=problems.note_damage)
    if old is None:
        raise PathNotFoundError(ends.old.id, os.fsdecode(ends.old_path))
    local = LocalOptions(
        directory=ends.new_path,
        hash_data=repository.keys.data_hash(),
        content=given["content"],
        sources=ends.old.raw_paths,
        one_file_system=given["one_file_system"],
    )
    return diff_directory(
        reader,
        old,
        local,
        options,
        path=ends.old_path,
        on_damage=problems.note_damage,
        on_finding=problems.note_finding,
    )


def _find(reader: BlobReader, snapshot: Snapshot, path: bytes) -> Node | None:
    try:
        return find_node(reader, snapshot.root, path, snapshot=snapshot.id)
    except PathNotFoundError:
        return None


def _counted(changes: Iterable[Change], counts: DiffCounts) -> Iterator[Change]:
    for change in changes:
        counts.note(change)
        yield change


def _write(output: Output, changes: Iterable[Change], ends: _Ends, given: dict[str, Any]) -> None:
    for change in changes:
        if given["summary_only"]:
            continue
        if output.json:
            output.event("change", **change_json(change))
        elif given["name_only"]:
            output.line(printable_name(change.path))
        else:
            output.line(change_line(change, ends.old, ends.new or ends.old))


def _write_sums(
    output: Output, ends: _Ends, counts: DiffCounts, problems: _Problems, given: dict[str, Any]
) -> None:
    if output.json:
        output.event(
            "summary",
            old=ends.old.id,
            new=ends.new.id if ends.new is not None else None,
            old_path=os.fsdecode(ends.old_path),
            new_path=os.fsdecode(ends.new_path),
            **asdict(counts),
            damaged=problems.damaged,
            findings=problems.findings,
        )
    elif not given["name_only"]:
        output.summary(f"{_name(ends.old, ends.old_path)} -> {_name(ends.new, ends.new_path)}")
        for line in counts_lines(counts):
            output.summary(line)
    if problems.damaged or problems.findings:
        output.warn("what could not be read was not compared; there may be more changes")


def _name(snapshot: Snapshot | None, path: bytes) -> str:
    """Return one end of the comparison for people."""
    if snapshot is None:
        return printable_name(path)
    shown = "" if path == b"/" else ":" + printable_name(path)
    return f"{short_id(snapshot.id)}{shown} ({format_local(snapshot.time_ns)})"
