"""Backup and restore over a network: how much of its bandwidth do they use?

    python benchmarks/remote.py --tree ~/linux --latency-ms 30 --link-mb-s 100 --markdown
    python benchmarks/remote.py --tree ~/linux --ceph
    python benchmarks/remote.py --tree ~/linux --location s3://bucket/empty-prefix

Without a location the repository lies in a local directory behind a made link: every request
waits, and bytes in each direction share one bandwidth. With a location, or a Ceph gateway that is
started for it, the network is the real one, and a link is put in front only if its figures are
given. Steps: a first backup, one where nothing has changed, a restore by a machine that has never
seen the repository, and one by the machine that has made it. Bytes are those of objects' bodies;
the share of the link is what the step's larger direction could have taken at full speed, over the
time that the step took. Everything runs in one process.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from holdfast.backends.registry import open_backend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import KeyFile
from holdfast.operations.backup import BackupOptions, backup_paths
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.tree_walk import find_node
from holdfast.progress import NullProgress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from measure import commit, extent, machine, warm
from support.buckets import new_bucket
from support.ceph import OWNER, is_missing, shared_cluster
from support.link import Link, LinkBackend

SECRET: Final = KeyFile(bytes(range(32)))
HEADINGS: Final = ("step", "seconds", "up MB", "down MB", "requests", "MB/s", "of the link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step cost."""

    name: str
    seconds: float
    sent: int
    received: int
    requests: int
    bytes_per_s: float
    """Of the link; infinite without one."""

    def cells(self) -> list[str]:
        """Return the row of a table."""
        most = max(self.sent, self.received)
        speed = most / self.seconds
        share = "–" if math.isinf(self.bytes_per_s) else f"{speed / self.bytes_per_s:.0%}"
        return [
            self.name,
            f"{self.seconds:.2f}",
            f"{self.sent / 1e6:.1f}",
            f"{self.received / 1e6:.1f}",
            str(self.requests),
            f"{speed / 1e6:.1f}",
            share,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where things are, and what is between them."""

    tree: Path
    work: Path
    location: str
    latency_s: float
    bytes_per_s: float
    connections: int

    def steps(self) -> Iterator[Step]:
        """Carry out all steps; each opens the repository anew.

        Raises:
            HoldfastError: a step failed.
        """
        warm(self.tree)
        yield self._measured("init", self._init)
        for name in ("first backup", "nothing changed"):
            yield self._measured(name, lambda link: self._back_up(link, "cache"))
        for name, cache in (("restore, new machine", "empty"), ("restore, same machine", "cache")):
            target = self.work / f"target-{cache}"

            def run(link: Link, cache: str = cache, target: Path = target) -> None:
                self._restore(link, cache, target)

            yield self._measured(name, run)
            if extent(target) != extent(self.tree):
                raise SystemExit(f"{name}: not what was backed up")

    def _measured(self, name: str, action: Callable[[Link], None]) -> Step:
        link = Link(self.latency_s, self.bytes_per_s)
        os.sync()
        begin = time.perf_counter()
        action(link)
        return Step(
            name=name,
            seconds=time.perf_counter() - begin,
            sent=link.up.bytes,
            received=link.down.bytes,
            requests=link.requests,
            bytes_per_s=self.bytes_per_s,
        )

    def _backend(self, link: Link) -> LinkBackend:
        return LinkBackend(open_backend(self.location), link, parallelism=self.connections)

    def _open(self, link: Link, cache: str) -> Repository:
        directory = str(self.work / cache)
        return Repository.open(
            self._backend(link), SECRET, cache_dir=directory, clock=SystemClock()
        )

    def _init(self, link: Link) -> None:
        backend = self._backend(link)
        init_repository(backend, InitOptions(secret=SECRET), clock=SystemClock())
        backend.close()

    def _back_up(self, link: Link, cache: str) -> None:
        options = BackupOptions(host="host", user="user")
        with self._open(link, cache) as repository:
            backup_paths(repository, [os.fsencode(self.tree)], options)
            repository.backend.close()

    def _restore(self, link: Link, cache: str, target: Path) -> None:
        path = os.fsencode(self.tree)
        with self._open(link, cache) as repository:
            snapshot = max(repository.snapshots(), key=lambda one: one.time_ns)
            repository.load_index()
            with BlobReader(repository) as reader:
                node = find_node(reader, snapshot.root, path, snapshot=snapshot.id)
                result = restore(
                    reader,
                    node,
                    RestoreOptions(target=os.fsencode(target)),
                    path=path,
                    hash_data=repository.keys.data_hash(),
                    clock=repository.clock,
                    progress=NullProgress(),
                )
            repository.backend.close()
        for finding in result.findings:
            print(finding.path, finding.problem, file=sys.stderr)


def format_table(rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    """Return a table with its headings."""
    if markdown:
        lines = [HEADINGS, ["---", *["---:"] * (len(HEADINGS) - 1)], *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join(
        f"{line[0]:22}" + "".join(f"{cell:>12}" for cell in line[1:]) for line in (HEADINGS, *rows)
    )


def main() -> int:
    """Measure and print a table; return the exit code."""
    options = _parser().parse_args()
    with ExitStack() as stack:
        work = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="remote-", dir=options.work_dir)
        )
        location = options.location or str(Path(work) / "repository")
        if options.ceph:
            location = _ceph_location(Path(work), stack)
        is_made = not (options.ceph or options.location)
        latency_ms = options.latency_ms if options.latency_ms is not None else 30.0 * is_made
        mb_s = options.link_mb_s or (100.0 if is_made else math.inf)
        plan = Plan(
            tree=options.tree.resolve(),
            work=Path(work),
            location=location,
            latency_s=latency_ms / 1e3,
            bytes_per_s=mb_s * 1e6,
            connections=options.connections,
        )
        count, size = extent(plan.tree)
        print(f"{count} files, {size / 1e6:.1f} MB; {_network(plan, options)}")
        print(", ".join(f"{name} {value}" for name, value in machine().items()))
        print(f"commit {commit(Path(__file__).parent)}\n")
        rows = [step.cells() for step in plan.steps()]
        print(format_table(rows, markdown=options.markdown))
    return 0


def _network(plan: Plan, options: argparse.Namespace) -> str:
    place = "a Ceph gateway" if options.ceph else options.location or "a local directory"
    if math.isinf(plan.bytes_per_s) and not plan.latency_s:
        return f"{place}, {plan.connections} connections"
    return (
        f"{place} behind {plan.latency_s * 1e3:g} ms and {plan.bytes_per_s / 1e6:g} MB/s, "
        f"{plan.connections} connections"
    )


def _ceph_location(work: Path, stack: ExitStack) -> str:
    if reason := is_missing():
        raise SystemExit(reason)
    bucket = new_bucket(stack.enter_context(shared_cluster(work / "ceph")))
    variables = {"AWS_ACCESS_KEY_ID": OWNER.access_key, "AWS_SECRET_ACCESS_KEY": OWNER.secret_key}
    os.environ.update(variables)  # noqa: TID251 - as people give them
    return bucket.location()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--tree", type=Path, required=True, help="what is backed up and restored")
    add("--latency-ms", type=float, help="of each request; 30 for a made link")
    add("--link-mb-s", type=float, help="megabytes (10^6) per second; 100 for a made link")
    add("--connections", type=int, default=16, help="requests at once")
    add("--work-dir", type=Path, help="for the repository, caches and targets")
    add("--markdown", action="store_true", help="print a table for the documentation")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--location", default="", help="an empty or absent location to measure")
    place.add_argument("--ceph", action="store_true", help="start a Ceph gateway and measure it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
