"""The main job for real: init, back up twice, list, restore, compare, check; then the figures.

    python benchmarks/demo.py --program .venv/bin/holdfast --source . --directory demo

Everything is written below the directory, which is left out of the backup. The comparison is this
script's own and shares no code with holdfast: types, contents, modes, owners, times, link targets,
hard links and extended attributes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_OURS: Final = ("repository", "cache", "restored", "key")
_FINISHED: Final = (0, 3)
"""Exit codes: all well, or some files could not be read."""
_MOST_SHOWN: Final = 10


class DemoError(Exception):
    """A step failed; the text says which."""


@dataclass(frozen=True, slots=True)
class Demo:
    """Where everything lies."""

    program: list[str]
    source: str
    directory: str

    def path(self, name: str) -> str:
        """Return a path below the directory."""
        return os.path.join(self.directory, name)

    def settings(self) -> dict[str, str]:
        """Return what all commands have in common."""
        return {
            "HOLDFAST_REPOSITORY": self.path("repository"),
            "HOLDFAST_KEY_FILE": self.path("key"),
            "HOLDFAST_CACHE_DIR": self.path("cache"),
        }

    def run(self, *arguments: str, as_json: bool = False) -> tuple[str, float]:
        """Run holdfast; return its output and the seconds it took.

        Raises:
            DemoError: it failed.
        """
        command = [*self.program, *arguments]
        print("$ " + shlex.join(["holdfast", *arguments]), flush=True)
        # The source may be this project: what is imported must not change it.
        settings = {**self.settings(), "PYTHONDONTWRITEBYTECODE": "1"}
        inherited = os.environ.items()  # noqa: TID251  # an edge, like the command line
        others = {name: value for name, value in inherited if not name.startswith("HOLDFAST_")}
        started = time.perf_counter()
        result = subprocess.run(
            [*command, "--json"] if as_json else command,
            stdout=subprocess.PIPE,
            env={**others, **settings},
            check=False,
            text=True,
        )
        seconds = time.perf_counter() - started
        if result.returncode not in _FINISHED:
            raise DemoError(f"holdfast {arguments[0]} ended with exit code {result.returncode}")
        if not as_json:
            print(result.stdout, flush=True)
        return result.stdout, seconds

    def summary(self, *arguments: str) -> tuple[dict[str, Any], float]:
        """Run holdfast; return the last JSON value it printed and the seconds it took."""
        output, seconds = self.run(*arguments, as_json=True)
        return json.loads(output.splitlines()[-1]), seconds


@dataclass(slots=True)
class Comparison:
    """What comparing two trees found."""

    skip: str
    """Path in the source that was left out."""
    since_ns: int
    """What the source changed after this moment is no difference."""
    entries: int = 0
    differences: list[str] = field(default_factory=list)
    changed_meanwhile: int = 0
    links: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def compare(self, left: str, right: str) -> None:
        """Compare one entry of the source with the restored one, and all below it."""
        self.entries += 1
        one = os.lstat(left)
        try:
            problem = self._problem(left, one, right, os.lstat(right))
        except FileNotFoundError:
            problem = "is missing"
        if problem and one.st_ctime_ns > self.since_ns:
            self.changed_meanwhile += 1
        elif problem:
            self.differences.append(f"{left} {problem}")
        if not problem and stat.S_ISDIR(one.st_mode):
            for name in sorted(os.listdir(left)):
                if os.path.join(left, name) != self.skip:
                    self.compare(os.path.join(left, name), os.path.join(right, name))

    def _problem(
        self, left: str, one: os.stat_result, right: str, other: os.stat_result
    ) -> str | None:
        if one.st_mode != other.st_mode:
            return "differs in type or mode"
        if one.st_mtime_ns != other.st_mtime_ns:
            return "differs in time"
        # Only root can give files away.
        if os.geteuid() == 0 and (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid):
            return "differs in owner"
        if stat.S_ISLNK(one.st_mode):
            return "differs in target" if os.readlink(left) != os.readlink(right) else None
        if _attributes(left) != _attributes(right):
            return "differs in extended attributes"
        if stat.S_ISDIR(one.st_mode):
            return "differs in names" if self._names(left) != sorted(os.listdir(right)) else None
        if stat.S_ISREG(one.st_mode):
            if one.st_nlink > 1:
                twin = self.links.setdefault((one.st_dev, one.st_ino), (other.st_dev, other.st_ino))
                if twin != (other.st_dev, other.st_ino):
                    return "is no hard link any more"
            if one.st_size != other.st_size or not _same_bytes(left, right):
                return "differs in content"
        return None

    def _names(self, path: str) -> list[str]:
        return sorted(n for n in os.listdir(path) if os.path.join(path, n) != self.skip)


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--program", default="holdfast", help="how to call holdfast")
    parser.add_argument("--source", default=".", help="directory to back up")
    parser.add_argument("--directory", default="demo", help="where to write")
    options = parser.parse_args()
    demo = Demo(
        shlex.split(options.program),
        os.path.realpath(options.source),
        os.path.realpath(options.directory),
    )
    if not os.path.isdir(demo.source):
        print(f"{options.source} is no directory", file=sys.stderr)
        return 2
    try:
        return _run(demo)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1


def _run(demo: Demo) -> int:
    os.makedirs(demo.directory, exist_ok=True)
    for name in _OURS:
        _remove(demo.path(name))
    exclude = ("--exclude", demo.directory)
    for name, value in demo.settings().items():
        print(f"$ export {name}={shlex.quote(value)}")
    demo.run("init")
    started_ns = time.time_ns()
    first, first_s = demo.summary("backup", demo.source, *exclude)
    second, second_s = demo.summary("backup", demo.source, *exclude)
    demo.run("snapshots")
    demo.run("ls", f"latest:{demo.source}")
    restored, restored_s = demo.summary("restore", "latest", "--target", demo.path("restored"))
    comparison = Comparison(demo.directory, started_ns)
    comparison.compare(demo.source, demo.path("restored") + demo.source)
    checked, checked_s = demo.summary("check", "--read-data")
    stats, _ = demo.summary("stats")
    _print_table(
        ("first backup", first_s, f"{first['files_new']:,} files, {_mb(first['bytes_read'])} read"),
        ("second backup", second_s, f"{_mb(second['bytes_read'])} read"),
        ("restore", restored_s, f"{_mb(restored['bytes_written'])} written"),
        ("check --read-data", checked_s, f"{_mb(checked['bytes_read'])} read"),
    )
    stored, logical = stats["stored_bytes"], first["logical_bytes"]
    share = f"{stored / logical:.0%} of the source" if logical else "the source is empty"
    print(f"stored: {_mb(stored)} for {_mb(logical)}, {share}")
    return _conclude(comparison, checked, first["findings"] + second["findings"])


def _conclude(comparison: Comparison, checked: dict[str, Any], findings: int) -> int:
    if findings:
        print(f"{findings} source files could not be read; they are named above")
    if comparison.changed_meanwhile:
        print(f"{comparison.changed_meanwhile} entries changed while the demo ran; not compared")
    for difference in comparison.differences[:_MOST_SHOWN]:
        print(f"DIFFERENT: {difference}")
    if comparison.differences or not checked["ok"]:
        print(f"FAILED: {len(comparison.differences)} differences, check {checked}")
        return 1
    print(f"restored = source: {comparison.entries:,} entries compared, no difference; no damage")
    return 0


def _print_table(*rows: tuple[str, float, str]) -> None:
    print()
    for what, seconds, amount in rows:
        print(f"{what:18} {seconds:7.2f} s   {amount}")


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _attributes(path: str) -> dict[str, bytes]:
    """Return the extended attributes, none where the file system has none."""
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError:
        return {}


def _same_bytes(left: str, right: str) -> bool:
    with open(left, "rb") as one, open(right, "rb") as other:
        return all(a == b for a, b in zip(_blocks(one.read), _blocks(other.read), strict=True))


def _blocks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while block := read(1 << 20):
        yield block


def _remove(path: str) -> None:
    """Remove what an earlier demo left, also from directories that were restored read-only."""
    if not os.path.isdir(path):
        Path(path).unlink(missing_ok=True)
        return
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o700)
    shutil.rmtree(path)


if __name__ == "__main__":
    sys.exit(main())
