"""`holdfast dump`: write a directory of a snapshot as a tar or zip archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, Final

import click

from holdfast.errors import ConfigurationError
from holdfast.operations.archive import Archive, ArchiveKind, ArchiveResult
from holdfast.operations.tree_walk import find_node
from holdfast.policy.selection import SnapshotFilter, resolve
from holdfast.progress import Progress
from holdfast.repository.reader import BlobReader
from holdfast.units import format_size
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import count, short_id
from holdfast_cli.output.progress import watching
from holdfast_cli.output.result_file import result_file
from holdfast_cli.output.streams import writing
from holdfast_cli.snapshot_options import filter_options, split_name

_HELP: Final = """Write a directory of a snapshot as a tar or zip archive.

It goes to standard output, or with --output to a file that appears when it is
complete. A tar archive holds all that a snapshot does: owners, times in nanoseconds, extended
attributes, ACLs, hard links, sparse files. It is not compressed; send it through gzip or zstd.
A zip archive is compressed, and holds files, directories and symbolic links.

Of SNAPSHOT:/home/anna the entries begin with anna/, of a whole snapshot with home/anna/.

What the repository cannot deliver is reported and listed in HOLDFAST-DAMAGE.txt, the last file
of the archive; the exit code is 13 then.

\b
Examples:
  holdfast dump latest:/home/anna | tar -x -C /tmp
  holdfast dump latest:/srv/www | zstd > www.tar.zst
  holdfast dump 3f2a:/home/anna/letters --output letters.zip
  holdfast dump latest:/etc | ssh host 'tar -x -C /tmp'
"""

_COMPRESSED: Final = (".gz", ".tgz", ".zst", ".bz2", ".xz", ".lz4")


@click.command("dump", help=_HELP)
@click.argument("name", metavar="SNAPSHOT[:PATH]")
@click.option(
    "--archive",
    "-a",
    "kind",
    type=click.Choice([kind.value for kind in ArchiveKind]),
    help="Format. Default: zip if FILE ends in .zip, else tar.",
)
@click.option("--output", "-o", metavar="FILE", help="Write to FILE, not to standard output.")
@filter_options
@pass_app
def command(
    app: App, name: str, wanted: SnapshotFilter, kind: str | None, output: str | None
) -> int:
    """Write one archive."""
    snapshot_name, path = split_name(name)
    chosen = _choose_kind(kind, output)
    _check_output(app.output, output)
    with (
        open_repository(app.settings) as repository,
        watching(app.output) as progress,
    ):
        snapshot = resolve(repository.load_view().snapshots, snapshot_name, wanted)
        with BlobReader(repository) as reader:
            node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
            archive = Archive(
                reader, snapshot, node, path=path, kind=chosen, on_finding=progress.finding
            )
            total = snapshot.stats.logical_bytes if path == b"/" else None
            progress.begin("dump", total_bytes=total)
            written = _write(app.output, archive, output, progress)
            progress.end()
    _show(app.output, archive.result, snapshot.id, chosen, output, written)
    if archive.result.damaged:
        return ExitCode.DAMAGED
    return ExitCode.FINDINGS if archive.result.findings else ExitCode.SUCCESS


def _choose_kind(kind: str | None, output: str | None) -> ArchiveKind:
    """Return the format.

    Raises:
        ConfigurationError: the name of the file promises a compression that is not done.
    """
    ending = "" if output is None else os.path.splitext(output)[1].lower()
    if ending in _COMPRESSED:
        raise ConfigurationError(
            f"tar archives are not compressed, and {output} ends in {ending}",
            "leave --output out and send the archive through a program that compresses",
        )
    if kind is not None:
        return ArchiveKind(kind)
    return ArchiveKind.ZIP if ending == ".zip" else ArchiveKind.TAR


def _check_output(output: Output, path: str | None) -> None:
    """Refuse to write an archive where it makes no sense.

    Raises:
        ConfigurationError: on a terminal, or among JSON.
    """
    if path is not None:
        return
    if output.json:
        raise ConfigurationError(
            "an archive and JSON cannot both go to standard output", "name a file with --output"
        )
    if sys.stdout.isatty():
        raise ConfigurationError(
            "an archive is no text for a terminal",
            "name a file with --output, or send it to a program like `tar -t`",
        )


def _write(output: Output, archive: Archive, path: str | None, progress: Progress) -> int:
    """Write everything; return the number of bytes."""
    result = archive.result
    written = 0
    with _destination(output, path) as file, closing(archive.stream()) as stream:
        for data in stream:
            file.write(data)
            written += len(data)
            items = result.files + result.directories + result.others + result.links
            progress.update(items, result.content_bytes, os.fsdecode(archive.current))
    return written


@contextmanager
def _destination(output: Output, path: str | None) -> Iterator[BinaryIO]:
    """Give what to write to; standard output is flushed at the end."""
    if path is not None:
        with result_file(path) as file:
            yield file
        return
    with writing():
        stream = output.binary()
        yield stream
        stream.flush()


def _show(
    output: Output,
    result: ArchiveResult,
    snapshot_id: str,
    kind: ArchiveKind,
    path: str | None,
    written: int,
) -> None:
    if output.json:
        output.event(
            "summary",
            snapshot=snapshot_id,
            archive=kind.value,
            output=path,
            files=result.files,
            directories=result.directories,
            others=result.others,
            links=result.links,
            skipped=result.skipped,
            damaged=result.damaged,
            content_bytes=result.content_bytes,
            bytes_written=written,
            findings=len(result.findings),
        )
        return
    what = (
        f"{count(result.files, 'file')} ({format_size(result.content_bytes)}) of snapshot "
        f"{short_id(snapshot_id)} as {kind.value}, {format_size(written)}"
    )
    if path is None:
        output.note(what)  # standard output is the archive
    else:
        output.summary(f"{what}: {path}")
    if result.findings:
        problems = count(len(result.findings), "problem")
        output.warn(f"{problems}; what they concern is not in the archive, or not as it was")
