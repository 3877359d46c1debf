"""Figures as tables and charts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import peers_charts
from data_set import DataSet, Extent
from measure import Sample
from peers_report import BEGIN, END, replace_block
from report import format_report, format_table
from results import Results, entry, merge, read

FACTS: dict[str, Any] = {
    "time": "2026-01-02T03:04:05Z",
    "commit": "abc",
    "machine": {"processor": "P", "cores": 2, "memory": 4e9, "kernel": "Linux 6", "python": "3"},
    "programs": {"holdfast": {"version": "1"}, "restic": {"version": "2"}},
    "runs": 1,
}


def sample(wall_s: float) -> Sample:
    return Sample(wall_s=wall_s, cpu_s=wall_s * 2, peak_rss=int(wall_s * 1e6))


def one_set(name: str, results: Results) -> dict[str, Any]:
    data_set = DataSet(
        name=name, title=f"set {name}", profile="files", told="seeded", nights=(), extents=(
            Extent(1, 2_000_000, "00"), Extent(3, 4_000_000, "11"),
        ),
    )  # fmt: skip
    return entry(data_set, results, FACTS)


@pytest.fixture
def results() -> Results:
    made = Results()
    for work, ours, theirs in (("night-1", 2.0, 4.0), ("night-2", 1.0, 5.0), ("check", 3.0, 1.0)):
        made.add(work, "holdfast", sample(ours), 10_000_000)
        made.add(work, "restic", sample(theirs), 20_000_000)
    return made


def test_ratios_and_the_best_of_a_row(tmp_path: Path, results: Results) -> None:
    merge(tmp_path / "r.json", [one_set("a", results)])
    (measured,) = read(tmp_path / "r.json")
    rows = format_table(measured).splitlines()
    assert "| night 1, s | **2.00** (0.50) | 4.00 |" in rows
    assert "| check, reading all, s | 3.00 (3.00) | **1.00** |" in rows
    assert "| CPU of all these, s | **12.0** (0.60) | 20.0 |" in rows
    assert "| peak memory, MB | **3** (0.60) | 5 |" in rows
    assert "| stored after night 2, MB | **10.0** (0.50) | 20.0 |" in rows
    assert "| set a | 0.50 | 0.20 |  |  | 3.00 |  | 0.50 |" in format_report([measured])


def test_medians_of_rounds(tmp_path: Path, results: Results) -> None:
    for wall_s in (100.0, 2.5):
        results.add("night-1", "holdfast", sample(wall_s), 10_000_000)
    merge(tmp_path / "r.json", [one_set("a", results)])
    (measured,) = read(tmp_path / "r.json")
    assert measured.outcomes["night-1", "holdfast"].sample.wall_s == 2.5


def test_a_failure_is_told_and_counts_for_nothing(tmp_path: Path, results: Results) -> None:
    results.fail("check", "restic", "it said no")
    merge(tmp_path / "r.json", [one_set("a", results)])
    (measured,) = read(tmp_path / "r.json")
    report = format_report([measured])
    assert "| check, reading all, s | 3.00 | failed |" in report
    assert 'restic failed at "check, reading all": it said no' in report
    assert "| CPU of all these, s | 12.0 |  |" in report


def test_a_later_run_replaces_its_own_sets_only(tmp_path: Path, results: Results) -> None:
    path = tmp_path / "sub" / "r.json"
    merge(path, [one_set("a", results), one_set("b", results)])
    merge(path, [one_set("a", Results())])
    found = {one["name"]: one["results"] for one in json.loads(path.read_text())["sets"]}
    assert found["a"] == []
    assert len(found["b"]) == 6


def test_the_same_figures_draw_the_same_bytes(tmp_path: Path, results: Results) -> None:
    merge(tmp_path / "r.json", [one_set("a", results), one_set("b", results)])
    sets = read(tmp_path / "r.json")
    first, second = (peers_charts.draw(sets, tmp_path / name) for name in ("x", "y"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert b"set a" in first[0].read_bytes()


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        replace_block(f"text {END} {BEGIN}", "block")
