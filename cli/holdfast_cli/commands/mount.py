"""`holdfast mount`: show all snapshots as a file system."""

from __future__ import annotations

import os
from typing import Final

import click

from holdfast.crypto.secrets import Secret
from holdfast.errors import MountError
from holdfast.mount.mount import MountOptions, mount, require_library
from holdfast.mount.mountpoint import check_mountpoint
from holdfast.policy.selection import SnapshotFilter
from holdfast.repository.shared_reader import DEFAULT_MEMORY
from holdfast.vfs.filesystem import SnapshotFiles
from holdfast_cli.app import App, pass_app
from holdfast_cli.background import Ready, run_in_background
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.opening import open_repository, read_repository_secret
from holdfast_cli.options import prefer_libfuse3
from holdfast_cli.parameters import SIZE
from holdfast_cli.problem_log import ProblemLog
from holdfast_cli.snapshot_options import filter_options

_HELP: Final = """Show all snapshots as a file system at an empty directory, for reading.

\b
  latest         the newest snapshot
  snapshots/     each snapshot, called by its time
  hosts/, tags/  the snapshots of each host, with each tag
  paths/         for each path that was backed up: what it held at each time
  ids/           each snapshot, called by its id

New snapshots appear by themselves. Files have the owner, mode, times and attributes that they
had. Only you can look inside, and you can read everything; with --allow-other everybody can look,
and owners and modes count as on any disk. A file that is damaged in the repository gives an
input/output error, and a line in the log.

The command returns once the mount can be used; `umount DIR` ends it. With --foreground it stays,
and Ctrl-C ends it too.

\b
Examples:
  mkdir /tmp/backup && holdfast mount /tmp/backup
  cp -a /tmp/backup/latest/home/anna/letter.odt .
  holdfast mount --foreground --host pc --path /home/anna /mnt
"""


@click.command("mount", help=_HELP)
@click.argument("directory", metavar="DIR")
@click.option("--foreground", "-f", is_flag=True, help="Stay, and end with Ctrl-C.")
@click.option("--allow-other", is_flag=True, help="Let other users in; owners and modes count.")
@click.option(
    "--memory",
    type=SIZE,
    default=DEFAULT_MEMORY,
    metavar="SIZE",
    help="Decoded data to keep; 128M if not given.",
)
@click.option(
    "--log",
    metavar="FILE",
    help="Where problems are told in the background; mount.log beside the cache if not given.",
)
@filter_options
@pass_app
def command(
    app: App,
    directory: str,
    memory: int,
    log: str | None,
    wanted: SnapshotFilter,
    *,
    foreground: bool,
    allow_other: bool,
) -> int:
    """Mount until it is unmounted."""
    mountpoint = os.path.abspath(directory)
    require_library()
    check_mountpoint(mountpoint, allow_other=allow_other)
    prefer_libfuse3()
    secret = read_repository_secret(app.settings)
    options = MountOptions(allow_other=allow_other)
    log_path = os.path.abspath(log or os.path.join(app.settings.cache_dir or "", "mount.log"))
    for path in (app.settings.cache_dir, log_path):
        _check_outside(mountpoint, path)

    def work(ready: Ready) -> int:
        _serve(app, mountpoint, options, ready, secret=secret, wanted=wanted, memory=memory)
        return ExitCode.SUCCESS

    def tell(pid: int) -> None:
        _tell(app, mountpoint, pid, None if foreground else log_path)

    if foreground:
        return work(lambda: tell(os.getpid()))
    return run_in_background(work, log_path, tell)


def _check_outside(mountpoint: str, path: str | None) -> None:
    """Refuse to cover what we need ourselves: we would wait for our own answers, forever."""
    covered = os.path.realpath(mountpoint)
    if path is not None and os.path.commonpath((covered, os.path.realpath(path))) == covered:
        raise MountError(
            mountpoint, f"{path} would be hidden below it and is needed; choose another directory"
        )


def _serve(
    app: App,
    mountpoint: str,
    options: MountOptions,
    ready: Ready,
    *,
    secret: Secret,
    wanted: SnapshotFilter,
    memory: int,
) -> None:
    with (
        open_repository(app.settings, secret=secret) as repository,
        SnapshotFiles(
            repository, wanted=wanted, memory=memory, on_problem=ProblemLog(app.output)
        ) as files,
    ):
        mount(files, mountpoint, options, ready)


def _tell(app: App, mountpoint: str, pid: int, log_path: str | None) -> None:
    """Say that the mount can be used, and how it ends."""
    if app.output.json:
        app.output.event("mounted", mountpoint=mountpoint, pid=pid, log=log_path)
        return
    end = f"`umount {mountpoint}`" + (" or Ctrl-C" if log_path is None else "")
    app.output.summary(f"mounted on {mountpoint}; {end} ends it")
    app.output.flush()
