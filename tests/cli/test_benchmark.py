"""`benchmark dedupe`: on real files and repositories, from the command line to its files."""

from __future__ import annotations

import csv
import io
import random
import shutil
from pathlib import Path

import pytest

from support.command_line import NOISE, Runner, run_on_terminal
from support.json_keys import (
    DEDUPE,
    SHARING,
    SHARING_DIRECTORY,
    SHARING_FORECAST,
    SHARING_HOST,
    SHARING_NIGHT,
    SHARING_SNAPSHOT,
)

QUICK = ("--chunker", "gear:16K,whole", "--slice", "1M", "--level", "1,3")
"""A small grid: it is measured in a fraction of a second."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Half a megabyte twice, as one file and in pieces behind a shift, and some text."""
    root = tmp_path / "tree"
    root.mkdir()
    once = random.Random(7).randbytes(500_000)
    (root / "one").write_bytes(once)
    (root / "two").write_bytes(b"shifted" + once)
    (root / "text").write_text("all work and no play\n" * 5000)
    return root


@pytest.fixture
def nights(tree: Path, tmp_path: Path) -> list[Path]:
    """Three states of the tree, each with 100 kB more."""
    states = [tree]
    for number in (1, 2):
        states.append(tmp_path / f"night{number}")
        shutil.copytree(states[-2], states[-1])
        (states[-1] / f"new{number}").write_bytes(random.Random(number).randbytes(100_000))
    return states


def test_a_new_user_gets_an_answer(run: Runner, tree: Path) -> None:
    lines = run("benchmark", "dedupe", tree).out.splitlines()
    assert lines[0].startswith("3 files, 1.05 MiB; everything was read in ")
    assert any(line.startswith("files ") for line in lines)
    assert any(line.startswith("slices and levels with ") for line in lines)
    assert lines[-2].startswith("Use `")
    assert " USD, by prices of AWS S3 Standard" in lines[-1]


def test_chosen_candidates_are_measured(run: Runner, tree: Path) -> None:
    document = run("benchmark", "dedupe", tree, *QUICK, "--json").document
    assert list(document) == DEDUPE
    gear, whole = document["cuts"]
    assert (gear["chunker"], gear["chunk_bytes"]) == ("gear:16K", 16384)
    assert (whole["chunker"], whole["chunk_bytes"]) == ("whole", None)
    assert whole["unique_bytes"] == {"value": 1_105_007, "error": 0}
    assert 500_000 < gear["unique_bytes"]["value"] < 750_000
    settings = [(one["chunker"], one["slice_size"], one["level"]) for one in document["settings"]]
    assert settings == [
        (chunker, 1 << 20, level) for chunker in ("gear:16K", "whole") for level in (1, 3)
    ]
    assert document["recommendation"]["chunker"] == "gear:16K"
    assert document["sample_share"] == 1
    assert document["forecast"] is None


def test_a_series_says_what_each_night_adds(run: Runner, nights: list[Path]) -> None:
    arguments: list[str | Path] = ["benchmark", "dedupe", "--series", *nights, *QUICK]
    document = run(*arguments, "--json").document
    assert [version["name"] for version in document["versions"]] == [str(one) for one in nights]
    first, second, third = (each["value"] for each in document["cuts"][0]["added_bytes"])
    assert first > 500_000
    assert second == third == 100_000
    assert [each["versions"] for each in document["forecast"]["after"]] == [7, 30, 90, 365]
    lines = run(*arguments).out.splitlines()
    assert any(line.startswith(f"{nights[1]}  ") for line in lines)
    assert any(line.startswith("Each version adds 9") for line in lines)


def test_figures_and_charts_go_to_files(run: Runner, nights: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, chart = tmp_path / "figures.csv", tmp_path / "chart.svg"
    run("benchmark", "dedupe", "--series", *nights, *QUICK, "--csv", table, "--plot", chart)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["chunker"] for row in rows] == ["gear:16K", "gear:16K", "whole", "whole"]
    assert sum(int(row["recommended"]) for row in rows) == 1
    assert {"added_bytes_1", "added_bytes_3_error", "price_month"} <= rows[0].keys()
    assert b"If it goes on like this" in chart.read_bytes()


def test_a_file_that_cannot_be_written_is_told_before_the_scan(
    run: Runner, tree: Path, tmp_path: Path
) -> None:
    outcome = run("benchmark", "dedupe", tree, "--csv", tmp_path / "no" / "x.csv", code=1)
    assert "no such file or directory; choose another file" in outcome.err
    assert outcome.out == ""


def test_nothing_is_left_of_files_that_were_not_completed(
    run: Runner, tree: Path, tmp_path: Path
) -> None:
    target = tmp_path / "figures"
    target.mkdir()
    run("benchmark", "dedupe", tree, "--csv", target / "x", "--chunker", "nonsense", code=2)
    assert list(target.iterdir()) == []


def test_what_cannot_be_read_is_told_and_counted(run: Runner, tree: Path) -> None:
    missing = tree / "missing"
    outcome = run("benchmark", "dedupe", tree, missing, *QUICK, code=3)
    assert f"holdfast: {missing}: " in outcome.err
    assert "the figures leave that out" in outcome.err
    assert "Use `" in outcome.out
    outcome = run("benchmark", "dedupe", tree, missing, *QUICK, "--json", code=3)
    assert outcome.document["vanished"] == 1
    assert str(missing) in outcome.err.splitlines()[0]


def test_empty_sets_are_no_error(run: Runner, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "file").touch()
    outcome = run("benchmark", "dedupe", empty)
    assert "nothing to measure: no file has content that can be read" in outcome.out
    assert run("benchmark", "dedupe", empty, "--json").document["recommendation"] is None


def test_patterns_leave_files_out(run: Runner, tree: Path) -> None:
    document = run("benchmark", "dedupe", tree, *QUICK, "--exclude", "t*", "--json").document
    assert document["files"] == 1
    (tree / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    document = run("benchmark", "dedupe", tree, *QUICK, "--exclude-caches", "--json").document
    assert document["files"] == 1


def test_a_sample_has_errors(run: Runner, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    noise = random.Random(3)
    for number in range(600):
        (root / str(number)).write_bytes(noise.randbytes(5_000))
    document = run("benchmark", "dedupe", root, *QUICK, "--sample", "30%", "--json").document
    assert 0.1 < document["sample_share"] < 0.5
    unique = document["cuts"][0]["unique_bytes"]
    assert abs(unique["value"] - 3_000_000) <= 0.1 * 3_000_000
    lines = run("benchmark", "dedupe", root, *QUICK, "--sample", "1M").out.splitlines()
    assert "was read in " in lines[0]
    assert lines[-1].startswith("± holds the true figure in 19 of 20 cases")
    assert (
        run("benchmark", "dedupe", root, *QUICK, "--whole", "--json").document["sample_share"] == 1
    )


def test_prices_come_from_the_file_of_the_global_option(
    run: Runner, tree: Path, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'provider = "Example"\ndate = 2026-01-31\ncurrency = "EUR"\n'
        "[per_gib]\nstored_month = 1000000\n"
    )
    document = run("--prices", prices, "benchmark", "dedupe", tree, *QUICK, "--json").document
    assert document["currency"] == "EUR"
    assert document["prices_of"].startswith("Example")
    assert document["settings"][0]["price_month"] > 100


def test_tables_are_drawn_on_terminals(tree: Path) -> None:
    code, seen = run_on_terminal(["benchmark", "dedupe", str(tree), *QUICK], [])
    assert code == 0
    assert b"gear:16K *" in seen
    assert b"Use `" in seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to measure; name a directory, like ~, or give --snapshots"),
        (["--series", "/a"], "a series has at least two states"),
        (["/a", "--whole", "--sample", "1G"], "--sample and --whole exclude each other"),
        (["/a", "--sample", "0%"], "'0%' is no sample; write a part like 10%, or a size like 20G"),
        (["/a", "--sample", "nan%"], "'nan%' is no sample"),
        (["/a", "--sample", "101%"], "'101%' is no sample"),
        (["/a", "--sample", "0"], "'0' is no sample"),
        (["/a", "--sample", "much"], "'much' is no sample"),
        (["/a", "--chunker", "gear:7"], "'gear:7': "),
        (["/a", "--chunker", "files,"], "'' is not a way to cut files"),
        (["/a", "--slice", "1K"], "a slice of 1.00 KiB is none that a repository can have"),
        (["/a", "--level", "99"], "'99' is not a level; write a number from "),
        (["/a", "--plot", "a.gif"], "'a.gif' does not say how to draw a chart"),
        (["/a", "--host", "x"], "--host, --path and --tag choose among snapshots"),
        (["--snapshots", "--level", "3"], "--level says how files are scanned"),
        (["--snapshots", "--series"], "--series says how files are scanned"),
        (["--snapshots"], "no repository was named"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(
    run: Runner, arguments: list[str], said: str
) -> None:
    assert said in run("benchmark", "dedupe", *arguments, code=2).err


def test_snapshots_are_examined_without_their_source(
    hold: Runner, source: Path, tmp_path: Path
) -> None:
    for number in range(3):
        (source / "inner" / f"new{number}").write_bytes(NOISE[::-1][: 20_000 + number])
        hold("backup", source, "--time", f"2026-01-0{number + 1}T12:00:00Z")
    shutil.rmtree(source)
    ids = [one["id"] for one in hold("snapshots", "--json").document]
    table = tmp_path / "snapshots.csv"
    outcome = hold("benchmark", "dedupe", "--snapshots", "--csv", table)
    assert all(one[:12] in outcome.out for one in ids)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["id"] for row in rows] == ids
    document = hold("benchmark", "dedupe", "--snapshots", "--json").document
    assert list(document) == SHARING
    assert list(document["snapshots"][0]) == SHARING_SNAPSHOT
    assert list(document["hosts"][0]) == SHARING_HOST
    assert list(document["directories"][0]) == SHARING_DIRECTORY
    assert list(document["nights"][0]) == SHARING_NIGHT
    assert list(document["forecast"]) == SHARING_FORECAST
    one = hold("benchmark", "dedupe", "--snapshots", "latest", "--json").document
    assert [each["id"] for each in one["snapshots"]] == ids[-1:]
    none = hold("benchmark", "dedupe", "--snapshots", "--host", "other", "--json").document
    assert none["snapshots"] == []


def test_a_repository_is_drawn(hold: Runner, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    hold("backup", source)
    chart = tmp_path / "chart.svg"
    hold("benchmark", "dedupe", "--snapshots", "--plot", chart)
    assert b"What 1 snapshot of 1 host take" in chart.read_bytes()
    hold("benchmark", "dedupe", "--snapshots", "--host", "nobody", "--plot", chart)
