"""Does memory stay flat? Synthetic sources and indexes far larger than usual.

    python benchmarks/scale.py files --files 1000000 --work-dir /somewhere/with/8GB

Each scenario is one function in `SCENARIOS`: it gets the options, yields one line per measured
step, and cleans up behind itself. A scenario that needs no program but the engine (an index of ten
million blobs, say) is one more function there.

files: a seeded tree of small files, 250 in a directory but 100,000 in one; first and unchanged
backup by every peer that is found.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import corpus
import report
from measure import CommandError, Sample, commit, extent, machine, run, warm
from peers import Place, find_peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of a scenario cost."""

    name: str
    peer: str
    sample: Sample
    repository_size: int


def many_files(options: argparse.Namespace) -> Iterator[Step]:
    """Back up a tree of `options.files` small files, twice."""
    peers, missing = find_peers({name: getattr(options, name) for name in _PROGRAMS})
    for name, reason in missing.items():
        print(f"left out: {name} ({reason})", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.work_dir) as made:
        source = Path(made) / "source"
        crowd = min(100_000, options.files // 2)
        corpus.write_tree(source, count=options.files, length=200, crowd=crowd)
        for peer in peers:
            place = Place(Path(made) / peer.name)
            place.root.mkdir()
            run(peer.init(place))
            for name in ("first backup", "nothing changed"):
                warm(source)
                sample = run(peer.backup(place, source, name.replace(" ", "-")))
                size = extent(place.repository)[1]
                yield Step(name=name, peer=peer.name, sample=sample, repository_size=size)
            shutil.rmtree(place.root)


SCENARIOS: Final[dict[str, Callable[[argparse.Namespace], Iterator[Step]]]] = {
    "files": many_files,
}
_PROGRAMS: Final = ("holdfast", "restic", "borg")


def main() -> int:
    """Run one scenario; return the exit code."""
    parser = argparse.ArgumentParser(description="Run a scenario of unusual size.")
    parser.add_argument("scenario", choices=tuple(SCENARIOS))
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()))
    for name in _PROGRAMS:
        parser.add_argument(
            f"--{name}", metavar="PROGRAM", help="as in compare_peers.py; - for none"
        )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write results as JSON")
    options = parser.parse_args()
    steps: list[Step] = []
    print(f"{'step':16} {'program':9} {'wall s':>8} {'CPU s':>8} {'RSS MB':>7} {'stored MB':>10}")
    try:
        for step in SCENARIOS[options.scenario](options):
            steps.append(step)
            sample = step.sample
            print(
                f"{step.name:16} {step.peer:9} {sample.wall_s:8.1f} {sample.cpu_s:8.1f} "
                f"{sample.peak_rss / 1e6:7.0f} {step.repository_size / 1e6:10.1f}",
                flush=True,
            )
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    if options.output is not None:
        document = {
            "commit": commit(Path(__file__).parent),
            "machine": machine(),
            "scenario": options.scenario,
            "files": options.files,
            "steps": [asdict(step) for step in steps],
        }
        report.write_json(options.output, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
