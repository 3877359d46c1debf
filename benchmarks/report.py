"""Results of the comparison as Markdown: an overview, then a table for each data set.

Sizes are decimal: 1 MB = 1,000,000 bytes. Ratios are to the reference peer's figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from peers import KINDS, REFERENCE
from results import Outcome, SetResult, total

TITLES: Final = {peer.name: peer.title for peer in KINDS}
"""Of the peers."""
WORK_TITLES: Final = {
    "unchanged": "nothing changed",
    "restore": "restore to memory",
    "check": "check, reading all",
    "snapshots": "list snapshots",
    "prune": "prune to the last",
    "fresh": "the last night alone",
}
"""Works after the nights, in the order in which they are reported."""
_OURS: Final = "holdfast"


def work_title(work: str) -> str:
    """Return how a work is called in tables and charts."""
    return WORK_TITLES.get(work, work.replace("-", " "))


def format_report(sets: Sequence[SetResult]) -> str:
    """Return the overview, every set's table, and what they were measured with."""
    parts = [_overview(sets)]
    told: str | None = None
    for one in sets:
        circumstances = format_circumstances(one)
        # Said once for all sets of one run.
        parts.append(_section(one, None if circumstances == told else circumstances))
        told = circumstances
    return "\n\n".join(parts)


def format_table(one: SetResult) -> str:
    """Return the figures of a set: works down, peers across; the best of a row is bold."""
    rows: list[Sequence[str]] = [
        ["", *(TITLES.get(peer, peer) for peer in one.peers)],
        ["---", *("---:" for _ in one.peers)],
    ]
    tried = {work for work, _ in (*one.outcomes, *one.failures)}
    rows += [
        _row(one, f"{work_title(work)}, s", work, 2, _wall)
        for work in (*one.night_works, *WORK_TITLES)
        if work in tried
    ]
    rows.append(_total_row(one, "CPU of all these, s", 1, lambda outcomes: total(outcomes).cpu_s))
    rows.append(
        _total_row(one, "peak memory, MB", 0, lambda outcomes: total(outcomes).peak_rss / 1e6)
    )
    rows += [
        _row(one, f"stored after {work_title(work)}, MB", work, 1, _stored)
        for work in (*one.night_works, "prune", "fresh")
        if one.of(work)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def format_circumstances(one: SetResult) -> str:
    """Return where, when and with what a set was measured: a paragraph."""
    facts = one.facts
    programs = [_program(name, told) for name, told in facts["programs"].items()]
    rounds = facts["runs"]
    return (
        f"{format_machine(facts['machine'])}; {'; '.join(programs)}; {facts['time'][:10]}, "
        f"{'one round' if rounds == 1 else f'medians of {rounds} rounds'}."
    )


def format_machine(facts: Mapping[str, Any]) -> str:
    """Return what machine figures were measured on."""
    size = f"{facts['cores']} cores, {facts['memory'] / 1e9:.0f} GB"
    return f"{facts['processor']}, {size}, {facts['kernel']}, Python {facts['python']}"


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write results, indented, so that two runs can be compared line by line."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _program(name: str, told: Mapping[str, Any]) -> str:
    chosen = [told[key] for key in ("compression", "encryption") if key in told]
    return f"{TITLES.get(name, name).split()[0]} {told['version']}" + (
        f" ({', '.join(chosen)})" if chosen else ""
    )


def _overview(sets: Sequence[SetResult]) -> str:
    """Return a table of our figures relative to the reference, a line for each set."""
    columns: dict[str, Callable[[SetResult, str], float | None]] = {
        "first night": lambda one, peer: _sum_of(one, peer, one.night_works[:1]),
        "later nights": lambda one, peer: _sum_of(one, peer, one.night_works[1:]),
        **{
            title: lambda one, peer, work=work: _sum_of(one, peer, (work,))  # type: ignore[misc]
            for work, title in WORK_TITLES.items()
            if work not in ("snapshots", "fresh")
        },
        "stored": lambda one, peer: _size(one, peer, one.night_works[-1]),
    }
    lines = [
        f"Time and space of holdfast relative to {REFERENCE}; below 1 is less.",
        "",
        "| data | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for one in sets:
        cells = [_ratio(figure(one, _OURS), figure(one, REFERENCE)) for figure in columns.values()]
        lines.append(f"| {one.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _section(one: SetResult, circumstances: str | None) -> str:
    nights = ", ".join(
        f"{n.files:,} {'file' if n.files == 1 else 'files'} of {n.size / 1e6:,.0f} MB"
        for n in one.nights
    )
    lines = [
        f"### {one.title[0].upper()}{one.title[1:]}",
        "",
        f"{one.told[0].upper()}{one.told[1:]}: {nights}. Profile `{one.profile}`.",
        *(["", circumstances] if circumstances else []),
        "",
        format_table(one),
    ]
    for (work, peer), problem in one.failures.items():
        lines += ["", f'{TITLES.get(peer, peer)} failed at "{work_title(work)}": {problem}']
    return "\n".join(lines)


def _row(
    one: SetResult, title: str, work: str, digits: int, figure: Callable[[Outcome], float]
) -> list[str]:
    figures: dict[str, float | None] = {
        peer: figure(outcome) for peer, outcome in one.of(work).items()
    }
    return [title, *_cells(one, figures, digits, work)]


def _total_row(
    one: SetResult, title: str, digits: int, figure: Callable[[list[Outcome]], float]
) -> list[str]:
    """Return a figure of everything that a peer did; none of a peer that did not do all of it."""
    works = {work for work, _ in one.outcomes}
    figures: dict[str, float | None] = {}
    for peer in one.peers:
        outcomes = [one.outcomes[work, peer] for work in works if (work, peer) in one.outcomes]
        figures[peer] = figure(outcomes) if len(outcomes) == len(works) else None
    return [title, *_cells(one, figures, digits, "")]


def _cells(
    one: SetResult, figures: Mapping[str, float | None], digits: int, work: str
) -> list[str]:
    known = [value for value in figures.values() if value is not None]
    base = figures.get(REFERENCE)
    cells: list[str] = []
    for peer in one.peers:
        value = figures.get(peer)
        if value is None:
            cells.append("failed" if (work, peer) in one.failures else "")
            continue
        text = f"{value:.{digits}f}"
        if len(known) > 1 and value == min(known):
            text = f"**{text}**"
        if peer != REFERENCE and base:
            text += f" ({value / base:.2f})"
        cells.append(text)
    return cells


def _wall(outcome: Outcome) -> float:
    return outcome.sample.wall_s


def _stored(outcome: Outcome) -> float:
    return outcome.size / 1e6


def _sum_of(one: SetResult, peer: str, works: Sequence[str]) -> float | None:
    """Return the wall seconds of several works, None if one of them is missing."""
    found = [one.outcomes.get((work, peer)) for work in works]
    known = [outcome.sample.wall_s for outcome in found if outcome is not None]
    return sum(known) if known and len(known) == len(works) else None


def _size(one: SetResult, peer: str, work: str) -> float | None:
    outcome = one.outcomes.get((work, peer))
    return None if outcome is None else float(outcome.size)


def _ratio(figure: float | None, base: float | None) -> str:
    return f"{figure / base:.2f}" if figure is not None and base else ""
