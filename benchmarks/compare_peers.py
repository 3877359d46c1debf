"""Compare holdfast with other backup programs: the same work on the same data, interleaved.

    python benchmarks/compare_peers.py --data-dir ~/bench --docs docs

makes the data sets (`datasets.py`) in the directory unless they are there, has every program that
is installed do every work on each of them (`works.py`), and writes figures, tables and charts into
the documentation (`peers_report.py`). Programs that are missing are left out, and so is one from a
work that it fails at. Sources, repositories and caches lie in the work directory while a set is
measured; restores go to memory. How the programs are called is told in `peers_*.py`.

One set at a time: `--sets kernel`. Your own data: `--own DIR`, or several versions of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import results
from data_set import MANIFEST, DataSet, load
from datasets import NAMES as SETS
from datasets import OWN, add_options
from measure import Command, CommandError, commit, machine, output_of
from peer import Peer
from peers import NAMES as PEERS
from peers import find_peers
from peers_report import page_text, results_path, write_report
from report import format_report
from works import WORKS, Bench

_PROJECT: Final = Path(__file__).resolve().parent.parent
_USUAL_WORKS: Final = [work for work in WORKS if work != "fresh"]


def main() -> int:
    """Run the comparison; return the exit code."""
    options = _parser().parse_args()
    unknown = set(options.works) - set(WORKS)
    if unknown:
        print(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
        return 2
    if options.docs:
        try:
            page_text(options.docs)
        except (OSError, ValueError) as error:
            _progress(str(error))
            return 2
    peers, missing = find_peers({name: getattr(options, name) for name in PEERS})
    for name, reason in missing.items():
        _progress(f"left out: {name} ({reason})")
    if not peers:
        return 1
    for directory in (options.data_dir, options.work_dir, options.restore_dir):
        directory.mkdir(parents=True, exist_ok=True)
    try:
        data_sets = _data_sets(options)
    except CommandError as error:
        _progress(str(error))
        return 1
    outputs = [options.output] if options.output else []
    outputs += [results_path(options.docs)] if options.docs else []
    # Told once: figures that are written into the work tree change it.
    source = commit(_PROJECT)
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.work_dir) as made:
        work_dir = Path(made)
        entries: list[dict[str, Any]] = []
        for data_set in data_sets:
            entries.append(_measure(data_set, peers, work_dir, options, source))
            # After each set, so that an interrupt loses one.
            for path in outputs:
                results.merge(path, entries)
        results.merge(work_dir / "peers.json", entries)
        measured = results.read(work_dir / "peers.json")
    print(format_report(measured))
    if options.docs:
        write_report(options.docs)
    return 1 if any(one.failures for one in measured) else 0


def _measure(
    data_set: DataSet,
    peers: Sequence[Peer],
    work_dir: Path,
    options: argparse.Namespace,
    source: str,
) -> dict[str, Any]:
    """Take a data set through all rounds; return its entry of the results."""
    facts: Mapping[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": source,
        "machine": machine(),
        "programs": {peer.name: peer.describe() for peer in peers},
        "runs": options.runs,
    }
    bench = Bench(peers, work_dir, options.restore_dir, _progress)
    for number in range(1, options.runs + 1):
        _progress(f"{data_set.title}, round {number} of {options.runs}")
        bench.round(data_set, options.works)
    return results.entry(data_set, bench.results, facts)


def _data_sets(options: argparse.Namespace) -> list[DataSet]:
    """Return the wanted data sets; those that cannot be made are left out.

    They are made by a process of their own: what this one ever needed of memory counts as the least
    that any program needed that it starts.
    """
    words = [sys.executable, str(Path(__file__).with_name("datasets.py")), str(options.data_dir)]
    for name in ("sets", "scale", "nights", "profile"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value is not None else []
    for name in ("kernel", "own"):
        directories = getattr(options, name) or []
        words += [f"--{name}", *map(str, directories)] if directories else []
    names = options.sets.split(",") if options.sets else [] if options.own else list(SETS)
    names += [OWN] if options.own else []
    try:
        _progress(output_of(Command(arguments=words)).rstrip())
    except CommandError as error:
        _progress(str(error))
    found = [options.data_dir / name for name in names]
    data_sets = [load(root) for root in found if (root / MANIFEST).exists()]
    if not data_sets:
        raise CommandError("there is no data set to compare on")
    return data_sets


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Compare holdfast with other backup programs.",
        epilog='A program is a path or a command ("PYTHONPATH=engine:cli python -m holdfast_cli"); '
        "the default is one beside the Python that runs this, or on PATH; - leaves it out.",
    )
    usual = Path(tempfile.gettempdir())
    parser.add_argument(
        "--data-dir", type=Path, default=usual / "holdfast-data", help="where data sets are kept"
    )
    add_options(parser)
    parser.add_argument("--runs", type=int, default=1, help="rounds (1)")
    parser.add_argument(
        "--works",
        type=lambda text: text.split(","),
        default=_USUAL_WORKS,
        help=f"of {','.join(WORKS)}; all but fresh by default",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=usual,
        help="where sources, repositories and caches go; not a memory file system",
    )
    parser.add_argument(
        "--restore-dir", type=Path, default=Path("/dev/shm"), help="where restores go (/dev/shm)"
    )
    for name in PEERS:
        parser.add_argument(f"--{name}", metavar="PROGRAM")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="put the figures into this JSON file"
    )
    parser.add_argument(
        "--docs", type=Path, metavar="DIR", help="write tables and charts into benchmarks.md there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
