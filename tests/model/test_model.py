"""The protocol of prune holds in every order of its steps; with one rule broken, it does not.

Pure Python, no engine: what is explored is `protocol`, within the bounds that each case in `cases` states.
`python tests/model/explore.py --full` explores more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from model.cases import CASES, FULL, MUTANTS, OVERWRITES, SPARE, Case, run
from model.explore import Result, explore
from model.protocol import INVARIANTS

Record = Callable[[str, object], None]

# Each has to be there, and to fail: the argument for the protocol rests on them.
REQUIRED = {
    "no check after the commit",
    "no CLOSE",
    "lists before CLOSE",
    "undecided commits are trusted",
    "no create-if-absent",
    "pack names are reused",
    "own packs are not looked at",
}


def label(case: Case) -> str:
    return case.name


def explored(case: Case, record_property: Record) -> Result:
    result = run(case)
    record_property("states", result.states)
    record_property("trace", len(result.trace))
    print(f"\n{case.name}: {result.states:,} states, {result.broken or 'all'} ", end="")
    print(f"violated after {len(result.trace)} steps" if result.broken else "invariants hold")
    return result


@pytest.mark.parametrize("case", CASES + SPARE, ids=label)
def test_every_invariant_holds_in_every_state(case: Case, record_property: Record) -> None:
    result = explored(case, record_property)
    assert not result.broken, "\n".join((INVARIANTS[result.broken], *result.trace))
    assert result.states >= case.states, f"{result.states} states explored, not {case.states}"


@pytest.mark.parametrize("case", MUTANTS, ids=label)
def test_each_mutant_violates_an_invariant(case: Case, record_property: Record) -> None:
    result = explored(case, record_property)
    assert result.broken == case.breaks, "\n".join(result.trace)
    assert result.trace


def test_the_cases_are_complete() -> None:
    assert {case.setup.mutant for case in MUTANTS} >= REQUIRED
    assert {case.setup.mutant for case in CASES + FULL} == {"", OVERWRITES}
    assert {case.setup.sealers for case in CASES if case.setup.mutant == OVERWRITES} == {1}
    assert all(case.states for case in CASES + SPARE)


def add_up_to_six(number: int) -> Iterator[tuple[str, int]]:
    for more in (1, 2, 3):
        if number + more <= 6:
            yield f"+{more}", number + more


def test_search_visits_each_state_once_and_returns_a_shortest_trace() -> None:
    everything = explore(0, add_up_to_six, lambda _: "")
    assert (everything.states, everything.broken, everything.trace) == (7, "", ())
    found = explore(0, add_up_to_six, lambda number: "six" if number == 6 else "")
    assert (found.broken, found.trace) == ("six", ("+3", "+3"))
