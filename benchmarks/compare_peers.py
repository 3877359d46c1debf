"""Compare holdfast with restic and borg: the same work, interleaved, with medians and ratios.

    python benchmarks/compare_peers.py --tree linux/6.1.190 linux/6.1.192 --dump 1.sql 2.sql

Without --tree, --dump and --series, small seeded data is made first, which shows that everything works but
says little about speed. Peers that are not installed are left out. Files are backed up from, and
repositories written to, the work directory; restores go to memory. What is measured, and how it
is kept fair, is told in `works`; how the programs are called, in `peers`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import corpus
import report
from measure import CommandError, commit, machine
from peers import find_peers
from works import TREE_WORKS, WORKS, Bench, Material

_PROJECT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the comparison; return the exit code."""
    options = _parser().parse_args()
    unknown = set(options.only) - set(WORKS)
    if unknown:
        print(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
        return 2
    programs = {"holdfast": options.holdfast, "restic": options.restic, "borg": options.borg}
    peers, missing = find_peers(programs)
    for name, reason in missing.items():
        print(f"left out: {name} ({reason})", file=sys.stderr)
    if not peers:
        return 1
    for directory in (options.work_dir, options.restore_dir):
        directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.work_dir) as made:
        work_dir = Path(made)
        bench = Bench(peers, work_dir, options.restore_dir, _progress)
        try:
            material = _material(options, work_dir)
            _run_rounds(bench, material, options)
        except CommandError as error:
            print(error, file=sys.stderr)
            return 1
    facts, told = machine(), {peer.name: peer.describe() for peer in peers}
    print(f"\n{report.format_machine(facts, told)}\nmedian of {options.runs} runs\n")
    print(report.format_table(bench.results, markdown=options.markdown))
    if options.output is not None:
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": commit(_PROJECT),
            "machine": facts,
            "programs": told,
            "runs": options.runs,
            "trees": [str(tree) for tree in material.trees],
            "dumps": [str(dump) for dump in material.dumps],
            "series": [str(tree) for tree in material.series],
            "results": bench.results.as_json(),
        }
        report.write_json(options.output, document)
    return 0


def _run_rounds(bench: Bench, material: Material, options: argparse.Namespace) -> None:
    works = options.only or WORKS
    for number in range(1, options.runs + 1):
        _progress(f"round {number} of {options.runs}")
        if set(works) & set(TREE_WORKS):
            bench.tree_round(material, works)
        if "dump" in works:
            bench.dump_round(material)
        if "prune" in works:
            bench.series_round(material)


def _material(options: argparse.Namespace, work_dir: Path) -> Material:
    works = options.only or WORKS
    trees, dumps, series = options.tree, options.dump, options.series
    if trees is None:
        trees = [work_dir / "tree-1", work_dir / "tree-2"]
        if set(works) & set(TREE_WORKS):
            _make(trees, lambda path, version: corpus.write_tree(path, count=2000, version=version))
    if dumps is None:
        dumps = [work_dir / "1.sql", work_dir / "2.sql"]
        if "dump" in works:
            _make(dumps, lambda path, version: corpus.write_dump(path, scale=0.05, version=version))
    if series is None:
        series = [work_dir / f"series-{number}" for number in range(1, 4)]
        if "prune" in works:
            _make(
                series, lambda path, version: corpus.write_tree(path, count=2000, version=version)
            )
    return Material(trees=(trees[0], trees[1]), dumps=(dumps[0], dumps[1]), series=tuple(series))


def _make(paths: list[Path], write: Callable[[Path, int], None]) -> None:
    for version, path in enumerate(paths, start=1):
        _progress(f"writing {path}")
        write(path, version)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Compare holdfast with restic and borg.",
        epilog='A program is a path or a command ("PYTHONPATH=engine:cli python -m holdfast_cli"); '
        "the default is one beside the Python that runs this, or on PATH; - leaves it out.",
    )
    parser.add_argument("--tree", nargs=2, type=Path, metavar=("OLD", "NEW"), help="directories")
    parser.add_argument("--dump", nargs=2, type=Path, metavar=("OLD", "NEW"), help="files")
    parser.add_argument(
        "--series", nargs="+", type=Path, metavar="DIRECTORY", help="versions of a tree, to prune"
    )
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=[], help=f"of {','.join(WORKS)}"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where sources, repositories and caches go; not a memory file system",
    )
    parser.add_argument(
        "--restore-dir", type=Path, default=Path("/dev/shm"), help="where restores go (/dev/shm)"
    )
    for name in ("holdfast", "restic", "borg"):
        parser.add_argument(f"--{name}", metavar="PROGRAM")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write results as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
