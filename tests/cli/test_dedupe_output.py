"""What a scan for duplicates found, as tables, JSON and CSV: from made-up reports."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.grid import DEFAULT_GRID, WHOLE_FILES, Grid
from holdfast.benchmark.report import DedupeReport, Estimate
from holdfast.chunking.cutting import Cutting
from holdfast_cli.output.console import Output
from holdfast_cli.output.csv_text import csv_text
from holdfast_cli.output.dedupe_csv import dedupe_rows
from holdfast_cli.output.dedupe_figures import (
    base_settings,
    format_error,
    format_number,
    format_price,
    format_ratio,
    format_share,
    format_speed,
)
from holdfast_cli.output.dedupe_json import dedupe_json
from holdfast_cli.output.dedupe_report import show_dedupe
from support.dedupe_reports import SENTENCE, empty_report, made_up_report
from support.json_keys import (
    DEDUPE,
    DEDUPE_CUT,
    DEDUPE_FORECAST,
    DEDUPE_RECOMMENDATION,
    DEDUPE_SETTING,
    DEDUPE_VERSION,
)

Shown = Callable[..., list[str]]
_SMALL = Grid(
    candidates=(WHOLE_FILES, Cutting("gear", 32 << 10)), slice_sizes=(256 << 10,), levels=(9, 5)
)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Returns the lines that people see of a report."""

    def show(report: DedupeReport, *, show_all: bool = False) -> list[str]:
        capsys.readouterr()
        show_dedupe(Output(json=False), report, show_all=show_all)
        return capsys.readouterr().out.splitlines()

    return show


def row(lines: list[str], first: str) -> list[str]:
    """The words of the first line that begins so."""
    return next(line for line in lines if line.startswith(first)).split()


def test_a_series_is_shown_from_the_scan_to_the_forecast(shown: Shown) -> None:
    lines = shown(made_up_report())
    assert lines[0] == "3 versions, 3000 files, 3.00 GiB; 768 MiB of it (25 %) was read in 12 s"
    assert row(lines, "gear:256K")[:5] == ["gear:256K", "256", "KiB", "931", "MiB"]
    assert row(lines, "gear:8K *")[-6:] == ["5.00", "x", "2.16", "x", "10.8", "x"]
    assert "* recommended; slices of 1.00 MiB, zstd level 3, prices in USD; Restore" in "\n".join(
        lines
    )
    assert "slices and levels with gear:8K:" in lines
    assert row(lines, "4.00 MiB  12 *")[-1] == "75"
    assert row(lines, "tuesday") == ["tuesday", "1000", "1.00", "GiB", "34.9", "MiB", "4.0", "%"]
    assert lines[-4] == SENTENCE
    assert lines[-3].startswith("That is 5 objects, stored by 8 requests for <0.01 USD, by")
    assert lines[-2].endswith("1.25 GiB ± 34.3 MiB after 90, 4.38 GiB ± 139 MiB after 365 more.")
    assert lines[-1].startswith("± holds the true figure in 19 of 20 cases")


def test_what_was_counted_has_no_error(shown: Shown) -> None:
    lines = shown(made_up_report(names=("/home/anna",), is_series=False, share=1))
    assert lines[0] == "1000 files, 1.00 GiB; everything was read in 12 s"
    assert not any("± holds" in line or "%" in line for line in lines)
    assert not any("adds" in line for line in lines)


def test_two_trees_are_no_versions(shown: Shown) -> None:
    lines = shown(made_up_report(names=("/home", "/srv"), is_series=False))
    assert lines[0].startswith("2 trees, 2000 files")
    assert row(lines, "/srv") == ["/srv", "1000", "1.00", "GiB"]


def test_nothing_to_measure_is_said(shown: Shown) -> None:
    assert shown(empty_report())[1:] == ["nothing to measure: no file has content that can be read"]


def test_all_settings_are_shown_on_request(shown: Shown) -> None:
    report = made_up_report()
    few, many = shown(report), shown(report, show_all=True)
    assert sum(line.startswith("slices and levels with ") for line in few) == 1
    titles = [line for line in many if line.startswith("slices and levels with ")]
    assert titles == [f"slices and levels with {cut.candidate.name}:" for cut in report.cuts]


def test_a_grid_without_the_defaults_is_shown_by_its_first(shown: Shown) -> None:
    report = made_up_report(grid=_SMALL)
    assert [(one.slice_size, one.level) for one in base_settings(report)] == [(256 << 10, 9)] * 2
    assert any("slices of 256 KiB, zstd level 9" in line for line in shown(report))


def test_tables_fit_a_terminal(shown: Shown) -> None:
    report = made_up_report(grid=DEFAULT_GRID)
    largest = dataclasses.replace(
        report,
        cuts=tuple(
            dataclasses.replace(cut, chunks=Estimate(9.87e9), unique_bytes=Estimate(1.11e15))
            for cut in report.cuts
        ),
        settings=tuple(
            dataclasses.replace(
                one,
                stored_bytes=Estimate(1.11e15, 1e14),
                index_bytes=1_234_567_890,
                memory_bytes=1_234_567_890,
                objects=12_345_678,
                put_requests=12_345_678,
                price_month=12345.67,
                mb_s=1234.5,
            )
            for one in report.settings
        ),
    )
    tables = [line for line in shown(largest) if line[:1].isalnum() and "  " in line]
    assert len(tables) > 30
    assert max(map(len, tables)) <= 80


def test_names_cannot_give_orders_to_a_terminal(shown: Shown) -> None:
    lines = shown(made_up_report(names=("a\x1b[31m", "b\n")))
    assert any(line.startswith("a\\x1b[31m") for line in lines)
    assert any(line.startswith("b\\x0a") for line in lines)


def test_json_has_the_keys_that_are_documented() -> None:
    document = json.loads(json.dumps(dedupe_json(made_up_report())))
    assert list(document) == DEDUPE
    assert list(document["versions"][0]) == DEDUPE_VERSION
    assert list(document["cuts"][0]) == DEDUPE_CUT
    assert list(document["settings"][0]) == DEDUPE_SETTING
    assert list(document["recommendation"]) == DEDUPE_RECOMMENDATION
    assert list(document["forecast"]) == DEDUPE_FORECAST
    assert document["cuts"][0]["chunk_bytes"] is None
    assert document["settings"][0]["stored_bytes"].keys() == {"value", "error"}
    assert [each["versions"] for each in document["forecast"]["after"]] == [7, 30, 90, 365]
    empty = dedupe_json(empty_report())
    assert (empty["recommendation"], empty["forecast"], empty["settings"]) == (None, None, [])


def test_csv_has_a_row_for_each_setting() -> None:
    report = made_up_report(grid=_SMALL)
    rows = list(csv.DictReader(io.StringIO(csv_text(dedupe_rows(report)).decode())))
    assert [(row["chunker"], row["chunk_bytes"], row["level"]) for row in rows] == [
        ("whole", "", "9"), ("whole", "", "5"), ("gear:32K", "32768", "9"), ("gear:32K", "32768", "5"),
    ]  # fmt: skip
    assert [row["recommended"] for row in rows] == ["0", "0", "1", "0"]
    for read, setting in zip(rows, report.settings, strict=True):
        assert int(read["stored_bytes"]) == round(setting.stored_bytes.value)
        assert int(read["added_bytes_3_error"]) == round(setting.added_bytes[2].error)
        assert float(read["total_ratio"]) == pytest.approx(setting.total_ratio.value, rel=1e-5)


def test_csv_keeps_the_bytes_of_names() -> None:
    assert csv_text([("a,b", os.fsdecode(b"\xff"), 3)]) == b'"a,b",\xff,3\r\n'


@given(st.floats(min_value=0, max_value=1e15))
def test_numbers_take_few_cells_and_keep_three_digits(number: float) -> None:
    text = format_number(number)
    assert len(text) <= 6
    value = float(text.split()[0]) * 1000 ** " kMGT".index(text.partition(" ")[2] or " ")
    assert value == pytest.approx(number, rel=0.006, abs=0.5)


def test_figures_are_rounded_for_people() -> None:
    assert [format_number(n) for n in (0, 9999, 10_000, 999_499, 999_500)] == [
        "0", "9999", "10.0 k", "999 k", "1.00 M",
    ]  # fmt: skip
    assert [format_ratio(r) for r in (1, 9.994, 9.996, 99.96)] == [
        "1.00 x", "9.99 x", "10.0 x", "100 x",
    ]  # fmt: skip
    assert [format_price(p) for p in (0, 0.004, 0.01, 7.126, 12345.6)] == [
        "0.00", "<0.01", "0.01", "7.13", "12346",
    ]  # fmt: skip
    assert [format_speed(s) for s in (0.51, 9.94, 9.96, 812.4)] == ["0.5", "9.9", "10", "812"]
    assert [format_share(s) for s in (0.0004, 0.0012, 0.0951, 0.24)] == [
        "<0.1 %", "0.1 %", "9.5 %", "24 %",
    ]  # fmt: skip
    errors = (Estimate(100), Estimate(100, 0.04), Estimate(100, 2.13), Estimate(100, 31))
    assert [format_error(e) for e in errors] == ["", "<0.1 %", "2.1 %", "31 %"]
