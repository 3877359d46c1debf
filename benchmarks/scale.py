"""Does cost grow faster than the work? Repositories and sources far larger than usual.

    python benchmarks/scale.py all --sizes full --work-dir /somewhere/with/8GB \
        --output scale.json --markdown scale.md --chart scale.svg

There are three axes (blobs in the repository, files in the source, snapshots), each with its own
works (`growth_works.AXES`). Each work is measured at each size, in a process of its own, and its
growth exponent is fitted (`growth`); a work that grows faster than linear is marked. The largest
sizes of `full` are ten million blobs, one million files and ten thousand snapshots; they need 8 GB
of disk and 2 GB of memory for the page cache to stay warm.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import growth
import report
from growth import Curve, Point
from growth_works import AXES, Axis, Bed
from measure import CommandError, Sample, commit, machine

Say = Callable[[str], None]
SIZES: Final = ("small", "full")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one axis gave."""

    name: str
    unit: str
    curves: tuple[Curve, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured and derived."""
        curves = [growth.as_json(curve) for curve in self.curves]
        return {"axis": self.name, "unit": self.unit, "curves": curves}


def measure_axis(
    name: str, axis: Axis, sizes: Sequence[int], program: Sequence[str], work_dir: Path, say: Say
) -> Outcome:
    """Do all works of an axis at its base and at some sizes, smallest first.

    Args:
        name: of the axis.
        axis: what to do.
        sizes: ascending.
        program: how holdfast is called.
        work_dir: gets a directory for each size, removed before the next one.
        say: gets a line for each work.

    Raises:
        CommandError: a program failed.
    """
    measured: dict[int, dict[str, Sample]] = {}
    for size in (axis.base, *sizes):
        with tempfile.TemporaryDirectory(prefix=f"scale-{name}-", dir=work_dir) as made:
            bed = Bed(Path(made), program, size)
            axis.prepare(bed)
            measured[size] = {}
            for work, do in axis.works.items():
                sample = measured[size][work] = do(bed)
                say(
                    f"{size:>11,} {axis.unit:10} {work:28} {sample.cpu_s:8.2f} "
                    f"{sample.wall_s:8.2f} {sample.peak_rss / 1e6:7.0f}"
                )
    curves = {
        work: Curve(
            work=work,
            base=measured[axis.base][work],
            points=tuple(Point(size, measured[size][work]) for size in sizes),
        )
        for work in axis.works
    }
    for work, (whole, part, items) in axis.differences.items():
        curves[work] = growth.less(work, curves[whole], curves[part], items=items)
    return Outcome(name, axis.unit, tuple(curves.values()))


def format_outcomes(outcomes: Sequence[Outcome], *, markdown: bool) -> str:
    """Return a table for each axis, and which works grow faster than linear."""
    parts = [
        growth.format_table(outcome.unit, outcome.curves, markdown=markdown) for outcome in outcomes
    ]
    steep = [
        f"{curve.work} ({outcome.unit})"
        for outcome in outcomes
        for curve in outcome.curves
        if curve.is_faster_than_linear
    ]
    parts.append(f"Faster than linear: {', '.join(steep) if steep else 'none'}.")
    return "\n\n".join(parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("axis", choices=("all", *AXES))
    parser.add_argument("--sizes", choices=SIZES, default="small")
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="N", help="these sizes instead, ascending"
    )
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument(
        "--holdfast",
        metavar="PROGRAM",
        default=f"{shlex.quote(sys.executable)} -m holdfast_cli",
        help="how it is called; by default from this Python",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write results as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw an SVG or PNG")
    return parser.parse_args()


def main() -> int:
    """Measure, print and write what is asked for; return the exit code."""
    given = _arguments()
    program = shlex.split(given.holdfast)
    work_dir = given.work_dir.resolve()
    outcomes = []
    print(f"{'size':>22} {'work':28} {'CPU s':>8} {'wall s':>8} {'RSS MB':>7}")
    try:
        for name in AXES if given.axis == "all" else (given.axis,):
            axis = AXES[name]
            sizes = given.size or axis.sizes[given.sizes]
            outcomes.append(measure_axis(name, axis, sizes, program, work_dir, _say))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + format_outcomes(outcomes, markdown=False))
    if given.markdown is not None:
        given.markdown.write_text(format_outcomes(outcomes, markdown=True) + "\n", encoding="utf-8")
    if given.output is not None:
        document = {
            "commit": commit(Path(__file__).parent),
            "machine": machine(),
            "axes": [outcome.as_json() for outcome in outcomes],
        }
        report.write_json(given.output, document)
    if given.chart is not None:
        # Loaded on demand: what this process needs of memory, programs begin with.
        from growth_chart import draw

        draw([(outcome.unit, outcome.curves) for outcome in outcomes], given.chart)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
