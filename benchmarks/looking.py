r"""Looking into snapshots: mount, dump, find and diff, beside restic on the same machine.

    python benchmarks/looking.py --tree ~/linux-6.1.190 ~/linux-6.1.192 --large ~/video.mp4 \
        --restic /usr/bin/restic --runs 3 --markdown

Both programs back up the trees one after another and the large file, each into a repository of
its own in the work directory. Then each repository is mounted anew for each run, and the kernel's
caches of names are dropped; the repositories themselves stay in memory. Figures are medians of
seconds; the memory of a mount is the peak of its process after all steps.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from measure import Command, commit, machine, output_of, run, warm
from peers import Holdfast, Peer, Place, Restic, Source

_START_S: Final = 60.0
_READERS: Final = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """A program with its repository, and how it looks inside."""

    peer: Peer
    place: Place
    first: str
    """The first tree's snapshot, as its commands name it."""
    second: str

    def command(self, *words: str) -> Command:
        """Return a command of the program on its repository."""
        base = self.peer.snapshots(self.place)
        own = [word for word in base.arguments if word != "snapshots"]
        return Command(arguments=(*own, *words), environment=base.environment)


@contextmanager
def mounted(subject: Subject, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Mount a repository and unmount it at the end."""
    directory.mkdir(exist_ok=True)
    words = ["mount", str(directory)]
    if subject.peer.name == "holdfast":
        words.insert(1, "--foreground")
    command = subject.command(*words)
    process = subprocess.Popen(
        command.arguments,
        env={**os.environ, **command.environment},  # noqa: TID251 - as `measure.run` does
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _START_S
        while not os.path.ismount(directory) or not os.listdir(directory):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{subject.peer.name} does not mount")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        subprocess.run(
            ["fusermount3", "-u", "-z", str(directory)], check=False, capture_output=True
        )
        process.wait(20)


def peak_rss(process: subprocess.Popen[bytes]) -> int:
    """Return the peak memory of a running process in bytes."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no VmHWM")


def seconds_of(words: list[str]) -> float:
    """Run a command on a mount; what it prints is dropped."""
    begin = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def seconds_of_readers(path: Path) -> float:
    """Read a file by several processes, each another part."""
    part = max(1, path.stat().st_size // _READERS >> 20)
    begin = time.perf_counter()
    readers = [
        subprocess.Popen(
            ["dd", f"if={path}", "bs=1M", f"skip={part * number}", f"count={part}", "of=/dev/null"],
            stderr=subprocess.DEVNULL,
        )
        for number in range(_READERS)
    ]
    codes = [reader.wait() for reader in readers]
    if any(codes):
        raise SystemExit("a reader failed")
    return time.perf_counter() - begin


def drop_names() -> None:
    """Have the kernel forget names and pages, where we may tell it to."""
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("2")


def seconds_of_command(command: Command) -> float:
    """Run a command of a program; what it prints is dropped, however much that is."""
    begin = time.perf_counter()
    subprocess.run(
        command.arguments,
        env={**os.environ, **command.environment},  # noqa: TID251 - as `measure.run` does
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


def look(subject: Subject, trees: list[Path], large: Path, directory: Path) -> dict[str, float]:
    """Measure everything once."""
    figures: dict[str, float] = {}
    drop_names()
    with mounted(subject, directory) as process:
        inside = find_snapshot(directory, trees[0])
        figures["ls -lR"] = seconds_of(["ls", "-lR", str(inside)])
        figures["ls -lR again"] = seconds_of(["ls", "-lR", str(inside)])
        figures["tar of the tree"] = seconds_of(
            ["sh", "-c", 'tar -cf - -C "$0" . | cat', str(inside)]
        )
        video = find_snapshot(directory, large)
        figures["cat the large file"] = seconds_of(["cat", str(video)])
        figures["mount, MB"] = peak_rss(process) / 1e6
    drop_names()
    with mounted(subject, directory):
        figures[f"{_READERS} readers"] = seconds_of_readers(find_snapshot(directory, large))
    first, second = f"{subject.first}:{trees[0]}", f"{subject.second}:{trees[1]}"
    # restic compares metadata on request only, and names what it dumps behind the snapshot.
    is_ours = subject.peer.name == "holdfast"
    dump = ["dump", first] if is_ours else ["dump", first, "/"]
    diff = ["diff", "--no-metadata"] if is_ours else ["diff"]
    figures["dump as tar"] = seconds_of_command(subject.command(*dump))
    figures["find a name"] = seconds_of_command(subject.command("find", "Makefile"))
    figures["diff of contents"] = seconds_of_command(subject.command(*diff, first, second))
    return figures


def find_snapshot(directory: Path, path: Path) -> Path:
    """Return where a path is in a mount: in the first snapshot that has it."""
    for snapshot in sorted((directory / "snapshots").iterdir()):
        inside = snapshot / path.relative_to("/")
        if inside.exists():
            return inside
    raise SystemExit(f"no snapshot has {path}")


def prepare(peer: Peer, root: Path, trees: list[Path], large: Path) -> Subject:
    """Make a repository with two snapshots of trees and one of the large file."""
    place = Place(root)
    root.mkdir(parents=True)
    for command in peer.init(place):
        run(command)
    for source in (*trees, large):
        run(peer.backup(place, Source(source), source.name))
    command = peer.snapshots(place)
    listed = Command(arguments=(*command.arguments, "--json"), environment=command.environment)
    ids = [snapshot["id"][:12] for snapshot in json.loads(output_of(listed))]
    return Subject(peer, place, ids[0], ids[1])


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tree", nargs=2, type=Path, required=True, help="two versions of a tree")
    parser.add_argument("--large", type=Path, required=True, help="a large file")
    parser.add_argument("--holdfast", default=f"{sys.executable} -m holdfast_cli")
    parser.add_argument("--restic", help="its program; left out if not given")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--work-dir", type=Path, help="made, and removed; a temporary one otherwise"
    )
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.tree]
    large = given.large.resolve()
    peers: list[Peer] = [Holdfast(given.holdfast.split())]
    if given.restic:
        peers.append(Restic([given.restic]))
    with tempfile.TemporaryDirectory(dir=given.work_dir) as work:
        for tree in trees:
            warm(tree)
        seconds_of(["cat", str(large)])
        subjects = [prepare(peer, Path(work) / peer.name, trees, large) for peer in peers]
        samples: list[list[dict[str, float]]] = [[] for _ in subjects]
        for _ in range(given.runs):
            for number, subject in enumerate(subjects):
                samples[number].append(look(subject, trees, large, Path(work) / "mount"))
        report(subjects, samples, markdown=given.markdown)
    return 0


def report(
    subjects: list[Subject], samples: list[list[dict[str, float]]], *, markdown: bool
) -> None:
    """Print medians, and ratios to the last program."""
    medians = [
        {name: statistics.median(one[name] for one in runs) for name in runs[0]} for runs in samples
    ]
    print(machine(), commit(Path(__file__).parent))
    names = [subject.peer.name for subject in subjects]
    heading = ["step", *names, *(["ratio"] if len(names) > 1 else [])]
    line: Callable[[list[str]], str] = (
        (lambda cells: f"| {' | '.join(cells)} |") if markdown else "  ".join
    )
    print(line(heading))
    if markdown:
        print(line(["---"] * len(heading)))
    for step in medians[0]:
        cells = [f"{figures[step]:.2f}" for figures in medians]
        if len(names) > 1:
            cells.append(f"{medians[0][step] / medians[-1][step]:.2f}")
        print(line([step, *cells]))


if __name__ == "__main__":
    if shutil.which("fusermount3") is None:
        sys.exit("looking.py needs FUSE: install the package fuse3")
    sys.exit(main())
