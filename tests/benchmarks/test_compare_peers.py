"""The whole comparison on a tiny set: with holdfast, and with programs that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import compare_peers
from peers_report import BEGIN, END, results_path

ROOT = Path(__file__).parents[2]
HOLDFAST = f"PYTHONPATH={ROOT}/engine:{ROOT}/cli {sys.executable} -m holdfast_cli"
BREAKS = """\
#!/bin/sh
for word in "$@"; do
  case $word in
    version) echo restic 0.1 test; exit ;;
    init) mkdir "$2"; exit ;;
    backup|forget|snapshots|prune) exit ;;
    check) echo "it is broken in $2" >&2; exit 3 ;;
    restore) exit ;;
  esac
done
"""
"""A restic that stores nothing, restores nothing, and finds what it did not store broken."""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "docs"
    path.mkdir()
    (path / "benchmarks.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return path


def compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str) -> int:
    for night in ("one", "two"):
        (tmp_path / night).mkdir()
        (tmp_path / night / "same").write_text("same" * 1000)
        (tmp_path / night / "changed").write_text(night * 1000)
    own = ["--own", str(tmp_path / "one"), str(tmp_path / "two")]
    places = [
        "--data-dir", str(tmp_path / "data"), "--work-dir", str(tmp_path),
        "--restore-dir", str(tmp_path),
    ]  # fmt: skip
    others = [word for name in ("rustic", "borg", "borg2", "kopia") for word in (f"--{name}", "-")]
    monkeypatch.setattr("sys.argv", ["compare_peers.py", *own, *places, *others, *words])
    return compare_peers.main()


def test_measures_every_work_and_goes_on_when_a_program_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, docs: Path
) -> None:
    broken = tmp_path / "restic"
    broken.write_text(BREAKS)
    broken.chmod(0o755)
    words = ("--holdfast", HOLDFAST, "--restic", str(broken), "--docs", str(docs))
    assert compare(monkeypatch, tmp_path, *words) == 1

    (entry,) = json.loads(results_path(docs).read_text())["sets"]
    done = {(one["work"], one["peer"]): one for one in entry["results"]}
    works = {work for work, peer in done if peer == "holdfast"}
    every = {"night-1", "night-2", "unchanged", "restore", "check", "snapshots", "prune"}
    assert works == every
    assert all(size > 0 for size in done["night-1", "holdfast"]["repository_sizes"])
    failed = {one["work"]: one["problem"] for one in entry["failures"]}
    assert failed.keys() == {"restore", "check"}
    assert "restored 0 files" in failed["restore"]
    assert "it is broken" in failed["check"]
    assert ("prune", "restic") in done, "one failed work is not the end"

    page = (docs / "benchmarks.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "\nold\n" not in page
    assert "| check, reading all, s |" in page
    assert str(tmp_path) not in page
    charts = sorted(path.name for path in (docs / "benchmarks").glob("*.svg"))
    assert charts == ["peers-memory.svg", "peers-size.svg", "peers-time.svg"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"one", "two", "data", "docs", "restic"}, "no repository stays behind"


def test_a_program_that_cannot_back_up_is_left_out_of_the_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    useless = tmp_path / "restic"
    useless.write_text('#!/bin/sh\ncase "$*" in *version*) echo restic 0;; *) exit 9;; esac\n')
    useless.chmod(0o755)
    output = tmp_path / "figures.json"
    words = ("--holdfast", "-", "--restic", str(useless), "--output", str(output))
    assert compare(monkeypatch, tmp_path, *words) == 1
    (entry,) = json.loads(output.read_text())["sets"]
    assert entry["results"] == []
    assert [(one["work"], one["peer"]) for one in entry["failures"]] == [("init", "restic")]


@pytest.mark.parametrize(
    "words",
    [
        ("--works", "nonsense"),
        ("--holdfast", "-", "--restic", "-"),
        ("--docs", "no such directory"),
    ],
)
def test_what_cannot_be_compared_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert compare(monkeypatch, tmp_path, *words) in (1, 2)
    assert not (tmp_path / "data").exists()
