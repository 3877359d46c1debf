"""Run a command and tell what it cost: wall time, processor time, peak memory.

Only the standard library is used and no data is kept, because the kernel hands the peak memory of
a process down to the programs it starts: nothing measured here can be below this process' own
peak, about 25 MB.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_FOREIGN_SETTINGS: Final = ("RESTIC_", "RUSTIC_", "BORG_", "KOPIA_", "HOLDFAST_")
_READ_LENGTH: Final = 1 << 20


class CommandError(Exception):
    """A measured command failed; the text holds the command and what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run, without a shell."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the caller's environment, less the settings of all tools that are compared."""
    directory: Path | None = None
    """Working directory; the caller's own by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of a command cost."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and all its children."""
    peak_rss: int
    """Bytes; of the largest single process."""


def run(command: Command) -> Sample:
    """Run a command to its end; what it prints is dropped.

    The file systems are synced before the clock starts, so that nobody pays for the unwritten
    pages of the one before.

    Raises:
        CommandError: the exit code was not 0, or there is no such program.
    """
    return _run(command)[0]


def output_of(command: Command) -> str:
    """Run a command and return what it printed.

    Raises:
        CommandError: the exit code was not 0, or there is no such program.
    """
    return _run(command, sync=False)[1]


def _run(command: Command, *, sync: bool = True) -> tuple[Sample, str]:
    inherited = os.environ  # noqa: TID251 (programs need PATH and HOME; nothing else is read from it)
    environment = {k: v for k, v in inherited.items() if not k.startswith(_FOREIGN_SETTINGS)}
    environment.update(command.environment)
    if sync:
        os.sync()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complaints:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=complaints,
                env=environment,
                cwd=command.directory,
            )
        except OSError as error:
            raise CommandError(f"{command.arguments[0]}: {error.strerror}") from error
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaints.seek(0)
            text = complaints.read().decode(errors="replace").strip()
            line = " ".join(command.arguments)
            raise CommandError(f"{line}\nended with {process.returncode}:\n{text}")
        printed.seek(0)
        sample = Sample(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        )
        return sample, printed.read().decode(errors="replace")


def median(samples: Sequence[Sample]) -> Sample:
    """Return the median of each figure on its own."""
    return Sample(
        wall_s=statistics.median(sample.wall_s for sample in samples),
        cpu_s=statistics.median(sample.cpu_s for sample in samples),
        peak_rss=int(statistics.median(sample.peak_rss for sample in samples)),
    )


def regular_files(directory: Path) -> Iterable[os.DirEntry[str]]:
    """Iterate over all regular files below a directory; links are not followed."""
    waiting = [os.fspath(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry


def extent(directory: Path) -> tuple[int, int]:
    """Return how many regular files there are below a directory, and the sum of their sizes."""
    count = size = 0
    for entry in regular_files(directory):
        count += 1
        size += entry.stat(follow_symlinks=False).st_size
    return count, size


def warm(directory: Path) -> None:
    """Read all files below a directory once, so that all that follow find them in memory."""
    buffer = bytearray(_READ_LENGTH)
    for entry in regular_files(directory):
        with open(entry.path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def machine() -> dict[str, Any]:
    """Describe this machine: processor, cores, memory in bytes, kernel, Python."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def commit(directory: Path) -> str:
    """Return the commit of a work tree, with "+" if it has changes; "unknown" if it is none."""
    git = ("git", "-C", os.fspath(directory))
    try:
        head = output_of(Command(arguments=(*git, "rev-parse", "--short=12", "HEAD"))).strip()
        changed = output_of(Command(arguments=(*git, "status", "--porcelain"))).strip()
    except CommandError:
        return "unknown"
    return head + ("+" if changed else "")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
