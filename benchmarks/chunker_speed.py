"""Speed of the chunker on one core: GB/s per profile on random, text-like and zero data.

    python benchmarks/chunker_speed.py          (or with PYTHONPATH=engine, from a bare checkout)

Random data shows the usual case, text a skewed byte distribution, zeros the worst one for
content-defined chunking: no cut before the maximum, or a candidate at every position. The best
run counts, because anything else on the machine only ever makes a run slower; the median beside it
tells how quiet the machine was. The whole buffer is cut in one call.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import corpus
import report
from holdfast.chunking import CUTTINGS, IMPLEMENTATION, Chunker, Profile
from measure import commit, machine

_KEY = bytes(range(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast one profile cuts one kind of data."""

    profile: str
    data: str
    best_gb_s: float
    median_gb_s: float
    mean_chunk: float
    """Bytes."""


def measure_speed(cutter: Chunker, buffer: bytes, runs: int) -> tuple[float, float, float]:
    """Return the best and the median GB/s of some runs, and the mean chunk in bytes."""
    count = len(cutter.cuts(buffer, len(buffer), True))
    seconds: list[float] = []
    for _ in range(runs):
        begin = time.perf_counter()
        cutter.cuts(buffer, len(buffer), True)
        seconds.append(time.perf_counter() - begin)
    size = len(buffer)
    return size / min(seconds) / 1e9, size / statistics.median(seconds) / 1e9, size / count


def main() -> None:
    """Print a table and, on request, write it as JSON."""
    parser = argparse.ArgumentParser(description="Measure the chunker on one core.")
    parser.add_argument("--size", type=int, default=64, help="MiB of data per kind (64)")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write results as JSON")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    size = options.size << 20
    kinds = {
        "random": random.Random(corpus.SEED).randbytes(size),
        "text": corpus.text_rows(size),
        "zeros": bytes(size),
    }
    speeds: list[Speed] = []
    print(f"{IMPLEMENTATION} chunker\n\nprofile  data    best GB/s  median GB/s  mean chunk KiB")
    for profile in Profile:
        cutter = CUTTINGS[profile].chunker(_KEY)
        for kind, buffer in kinds.items():
            best, middle, mean = measure_speed(cutter, buffer, options.runs)
            print(f"{profile.value:8} {kind:7} {best:9.2f} {middle:12.2f} {mean / 1024:15.1f}")
            speeds.append(
                Speed(
                    profile=profile.value,
                    data=kind,
                    best_gb_s=best,
                    median_gb_s=middle,
                    mean_chunk=mean,
                )
            )
    if options.output is not None:
        document = {
            "commit": commit(Path(__file__).parent),
            "machine": machine(),
            "implementation": IMPLEMENTATION,
            "speeds": [asdict(speed) for speed in speeds],
        }
        report.write_json(options.output, document)


if __name__ == "__main__":
    main()
