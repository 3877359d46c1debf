"""Exhaustive breadth-first search, and a command that prints what was explored.

`python tests/model/explore.py` prints a table of the cases that the tests run, `--full` of larger ones
(some 12 minutes and 2 GB), `--trace NAME` the steps to the violation of a mutant.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

S = TypeVar("S", bound=Hashable)
Steps = Callable[[S], Iterator[tuple[str, S]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a search found; `broken` is "" and `trace` empty if every state is as it must be."""

    states: int
    seconds: float
    broken: str = ""
    trace: tuple[str, ...] = ()


def explore(start: S, steps: Steps[S], broken: Callable[[S], str]) -> Result:
    """Visit every state that can be reached, nearest first, until one is broken.

    Memory: 300 to 600 bytes for each state. The trace is one of the shortest.
    """
    gc.disable()  # no rings are made here, and looking for them takes a third of the time
    try:
        return _search(start, steps, broken)
    finally:
        gc.enable()


def _search(start: S, steps: Steps[S], broken: Callable[[S], str]) -> Result:
    began = time.process_time()
    origin: dict[S, S | None] = {start: None}
    level = [start]
    while level:
        following: list[S] = []
        for state in level:
            for _, after in steps(state):
                if after in origin:
                    continue
                origin[after] = state
                fault = broken(after)
                if fault:
                    seconds = time.process_time() - began
                    trace = tuple(_trace(after, origin, steps))
                    return Result(states=len(origin), seconds=seconds, broken=fault, trace=trace)
                following.append(after)
        level = following
    return Result(states=len(origin), seconds=time.process_time() - began)


def _trace(state: S, origin: dict[S, S | None], steps: Steps[S]) -> list[str]:
    """The labels of the steps from the start to `state`."""
    labels: list[str] = []
    before = origin[state]
    while before is not None:
        labels.append(next(label for label, after in steps(before) if after == state))
        state, before = before, origin[before]
    return labels[::-1]


def main() -> int:
    """Explore all cases and print a table; the exit code is 1 if one is not as expected."""
    parser = argparse.ArgumentParser(description="Explore the model of prune.")
    parser.add_argument("--full", action="store_true", help="larger cases too, some 12 minutes")
    parser.add_argument(
        "--trace", metavar="NAME", help="print the steps of the mutants of this name"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from model.cases import CASES, FULL, MUTANTS, SPARE, run  # only now it can be imported

    chosen = [*CASES, *MUTANTS, *SPARE, *(FULL if options.full else ())]
    if options.trace:
        chosen = [case for case in chosen if case.setup.mutant == options.trace]
    wrong = 0
    print(f"{'case':56} {'states':>9} {'seconds':>7}  result")
    for case in chosen:
        result = run(case)
        outcome = f"{result.broken} after {len(result.trace)} steps" if result.broken else "holds"
        if result.broken != case.breaks:
            outcome += f", expected: {case.breaks or 'holds'}"
            wrong += 1
        print(f"{case.name:56} {result.states:9,} {result.seconds:7.1f}  {outcome}", flush=True)
        if options.trace or result.broken != case.breaks:
            print(*(f"    {step}" for step in result.trace), sep="\n")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
