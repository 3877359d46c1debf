"""What scale runs measure: three ways for a repository to be large, and the works done on each.

Every work is a program of its own from start to end, so that its memory is its own; the works of
one size follow one another on the same repository. Everything runs with a warm page cache: the
question is how processor time and memory grow, not how fast a disk is.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from looking import Subject, mounted, peak_rss, seconds_of
from measure import Command, Sample, output_of, run
from peers import Holdfast, Place

ADDED_FILES: Final = 1_000
_LOOKUPS: Final = 200_000
_BESIDE: Final = 5_000
"""Files of the tree that is backed up into repositories whose size is not that of the tree."""
_HERE: Final = Path(__file__).parent
_KEPT: Final = ("--keep-daily", "7", "--keep-weekly", "5", "--keep-monthly", "12")


class Bed:
    """A repository of one size, and the directories around it.

    Args:
        root: an existing empty directory.
        program: how holdfast is called.
        size: how many items of the axis.
    """

    def __init__(self, root: Path, program: Sequence[str], size: int) -> None:
        self.size = size
        self.source = root / "source"
        self.place = Place(root / "holdfast")
        self.place.root.mkdir()
        self._target = root / "target"
        self._mountpoint = root / "mount"
        self._subject = Subject(Holdfast(list(program)), self.place, "", "")
        for command in self._subject.peer.init(self.place):
            run(command)

    def holdfast(self, *words: str) -> Sample:
        """Run a command of holdfast on the repository."""
        return run(self._subject.command(*words))

    def helper(self, script: str, *words: str) -> Sample:
        """Run one of the scripts beside this module."""
        return run(Command(arguments=(sys.executable, str(_HERE / script), *words)))

    def synthesize(self, kind: str) -> None:
        """Fill the repository with `size` blobs or snapshots."""
        repository, key = str(self.place.repository), str(self.place.key)
        self.helper("synthetic.py", kind, repository, key, str(self.size))

    def make_source(self, files: int) -> None:
        """Make the tree that is backed up."""
        self.helper("growth_sources.py", str(self.source), "make", str(files))

    def forget_cache(self) -> None:
        """Have the next command begin as on a machine that never saw the repository."""
        shutil.rmtree(self.place.cache, ignore_errors=True)

    def backup(self) -> Sample:
        """Back up the tree."""
        return self.holdfast("backup", str(self.source))

    def backup_added(self) -> Sample:
        """Add files to the tree and back it up."""
        self.helper("growth_sources.py", str(self.source), "add", str(ADDED_FILES))
        return self.backup()

    def restore_one(self) -> Sample:
        """Restore a file of the large directory."""
        wanted = f"latest:{self.source}/crowd/0000000.txt"
        sample = self.holdfast("restore", wanted, "--target", str(self._target))
        shutil.rmtree(self._target)
        return sample

    def look_up(self) -> Sample:
        """Look ids up in the index, half of which it has."""
        location, key, cache = self.place.repository, self.place.key, self.place.cache
        words = (str(location), str(key), str(cache), str(self.size), str(_LOOKUPS))
        return self.helper("growth_lookups.py", *words)

    def dump(self) -> Sample:
        """Write everything as a tar archive, to nowhere."""
        command = self._subject.command("dump", "latest:/")
        words = ("sh", "-c", 'exec "$@" > /dev/null', "sh", *command.arguments)
        return run(Command(arguments=words, environment=command.environment))

    def stats_of_oldest(self) -> Sample:
        """Measure what one snapshot uses: of a synthetic repository the one with all the blobs."""
        command = self._subject.command("snapshots", "--json")
        oldest = json.loads(output_of(command))[0]["id"]
        return self.holdfast("stats", oldest)

    def diff(self) -> Sample:
        """Compare the two newest snapshots."""
        return self.holdfast("diff", "latest")

    def list_mounted(self, *words: str) -> Sample:
        """Run `ls` with these options on a fresh mount; relative to the mount's root.

        Returns:
            Seconds of `ls`; processor time and memory of the process that serves the mount, from
            its start.
        """
        with mounted(self._subject, self._mountpoint) as process:
            options, path = words[:-1], words[-1]
            wall_s = seconds_of(["ls", *options, f"{self._mountpoint}/{path}"])
            return Sample(wall_s=wall_s, cpu_s=_cpu_s_of(process.pid), peak_rss=peak_rss(process))


def _cpu_s_of(pid: int) -> float:
    """Return the processor seconds of a running process, its threads included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


Work: TypeAlias = Callable[[Bed], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One way to be large."""

    unit: str
    """What there is more and more of."""
    base: int
    """Next to nothing: what costs as much with this many does not depend on size."""
    sizes: dict[str, tuple[int, ...]]
    """Ascending, by name."""
    prepare: Callable[[Bed], None]
    works: dict[str, Work]
    """In the order in which they are done: some change the repository."""
    differences: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Rows that are one work less another, and how many items the difference handles."""


def _stats_without_cache(bed: Bed) -> Sample:
    bed.forget_cache()
    return bed.holdfast("stats")


def _snapshots_without_cache(bed: Bed) -> Sample:
    bed.forget_cache()
    return bed.holdfast("snapshots")


def _prepare_blobs(bed: Bed) -> None:
    bed.synthesize("blobs")
    bed.make_source(_BESIDE)


def _prepare_snapshots(bed: Bed) -> None:
    """Leave a cache that knows the repository as it was before all those snapshots."""
    bed.make_source(_BESIDE)
    bed.holdfast("backup", f"{bed.source}/crowd")
    bed.synthesize("snapshots")


def _one_name(bed: Bed) -> Sample:
    return bed.holdfast("find", "0000003.txt")


_ADDED_WORK: Final = f"{ADDED_FILES:,} files added"
_ADDED: Final = {"these files alone": (_ADDED_WORK, "nothing changed", ADDED_FILES)}

AXES: Final[dict[str, Axis]] = {
    "blobs": Axis(
        unit="blobs",
        base=500,
        sizes={"small": (10_000, 100_000), "full": (100_000, 1_000_000, 10_000_000)},
        prepare=_prepare_blobs,
        works={
            "build the index": _stats_without_cache,
            "open the index": lambda bed: bed.holdfast("stats"),
            f"{_LOOKUPS:,} look-ups": Bed.look_up,
            f"first backup of {_BESIDE:,} files": Bed.backup,
            "nothing changed": Bed.backup,
            _ADDED_WORK: Bed.backup_added,
            "restore of one file": Bed.restore_one,
            "snapshots": lambda bed: bed.holdfast("snapshots"),
            "stats of the oldest snapshot": Bed.stats_of_oldest,
            "prune --dry-run": lambda bed: bed.holdfast("prune", "--dry-run"),
            "check": lambda bed: bed.holdfast("check"),
        },
        differences=_ADDED,
    ),
    "files": Axis(
        unit="files",
        base=10,
        sizes={"small": (1_000, 10_000), "full": (10_000, 100_000, 1_000_000)},
        prepare=lambda bed: bed.make_source(bed.size),
        works={
            "first backup": Bed.backup,
            "nothing changed": Bed.backup,
            _ADDED_WORK: Bed.backup_added,
            "restore of one file": Bed.restore_one,
            "dump of everything": Bed.dump,
            "snapshots": lambda bed: bed.holdfast("snapshots"),
            "diff of two snapshots": Bed.diff,
            "find a name": _one_name,
            "stats of the newest snapshot": lambda bed: bed.holdfast("stats", "latest"),
            "prune --dry-run": lambda bed: bed.holdfast("prune", "--dry-run"),
            "check": lambda bed: bed.holdfast("check"),
            "mount, ls -lR": lambda bed: bed.list_mounted("-lR", f"latest{bed.source}"),
            "mount, ls -l of a tenth": lambda bed: bed.list_mounted(
                "-l", f"latest{bed.source}/crowd"
            ),
        },
        differences=_ADDED,
    ),
    "snapshots": Axis(
        unit="snapshots",
        base=2,
        sizes={"small": (10, 100), "full": (100, 1_000, 10_000)},
        prepare=_prepare_snapshots,
        works={
            "bring an old index up to date": lambda bed: bed.holdfast("stats"),
            "snapshots, without a cache": _snapshots_without_cache,
            "snapshots": lambda bed: bed.holdfast("snapshots"),
            "build the index": lambda bed: bed.holdfast("stats"),
            "open the index": lambda bed: bed.holdfast("stats"),
            f"first backup of {_BESIDE:,} files": Bed.backup,
            "nothing changed": Bed.backup,
            _ADDED_WORK: Bed.backup_added,
            "restore of one file": Bed.restore_one,
            "find a name": _one_name,
            "forget --dry-run": lambda bed: bed.holdfast("forget", "--dry-run", *_KEPT),
            "prune --dry-run": lambda bed: bed.holdfast("prune", "--dry-run"),
            "check": lambda bed: bed.holdfast("check"),
            "mount, ls -l of snapshots": lambda bed: bed.list_mounted("-l", "snapshots"),
        },
        differences=_ADDED,
    ),
}
