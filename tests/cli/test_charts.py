"""Charts of what was measured: they are pictures, equal for equal figures, and say what they show."""

from __future__ import annotations

import html
import io
import os
import re
import struct
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from holdfast.benchmark.report import DedupeReport, Estimate, Forecast
from holdfast.benchmark.sharing_report import (
    Amount,
    HostSharing,
    HotDirectory,
    Night,
    SharingReport,
    SnapshotSharing,
)
from holdfast.errors import ConfigurationError, MissingExtraError
from holdfast.operations.stats import RepositoryStats
from holdfast_cli.charts.library import ChartFormat, chart_format
from support.command_line import environment_for_processes
from support.dedupe_reports import empty_report, made_up_report

pytest.importorskip("matplotlib")


def drawn(report: DedupeReport, form: ChartFormat = ChartFormat.SVG) -> bytes:
    """The page of a report."""
    from holdfast_cli.charts.dedupe import draw_dedupe

    file = io.BytesIO()
    draw_dedupe(report, file, form)
    return file.getvalue()


def texts(svg: bytes) -> list[str]:
    """What is written on a page: letters are curves, and the text stands in comments."""
    ElementTree.fromstring(svg)
    comments = re.findall(r"<!-- (.*?) -->", svg.decode())
    return [html.unescape(text).replace("- -", "--") for text in comments]


def made_up_sharing() -> SharingReport:
    """A repository of one host and twenty days, which grows a little each day."""
    mib = 1 << 20
    one = Amount(mib, mib)
    return SharingReport(
        snapshots=tuple(
            SnapshotSharing(
                id=f"{number:032x}",
                time_ns=number,
                host="laptop",
                raw_paths=(b"/home",),
                logical_bytes=900 * mib,
                unique=one,
                exclusive=one,
                added=one,
            )
            for number in range(20)
        ),
        hosts=(
            HostSharing(
                host="laptop", snapshots=20, logical_bytes=18000 * mib, unique=one, exclusive=one
            ),
        ),
        directories=(
            HotDirectory(
                host="laptop",
                path=b"/home/anna/Mail/and/a/very/long/$p/\xff",
                added=Amount(90 * mib, 60 * mib),
                changed=17,
                snapshots=19,
            ),
        ),
        nights=tuple(
            Night(day=20_700 + number, snapshots=1, added=Amount(75 * mib, 32 * mib))
            for number in range(20)
        ),
        forecast=Forecast(
            per_version=Estimate(20.0 * mib, 3.0 * mib),
            after=tuple(
                (days, Estimate((640.0 + 20 * days) * mib, 3.0 * mib * days))
                for days in (7, 30, 90, 365)
            ),
        ),
        needed=Amount(1500 * mib, 640 * mib),
        unneeded=Amount(0, 0),
        saved_across_hosts=Amount(0, 0),
        whole=RepositoryStats(
            snapshots=20,
            logical_bytes=18000 * mib,
            unique_bytes=1500 * mib,
            stored_bytes=640 * mib,
            packs=10,
            blobs=1000,
        ),
        problems=(),
        missing=0,
    )


def test_a_series_has_four_charts_that_say_what_they_show() -> None:
    said = texts(drawn(made_up_report()))
    for expected in (
        "What deduplication saves: 3.00 GiB in 3000 files of 3 versions",
        "How much smaller it gets, by size of chunks",
        "bytes in a chunk (in slices of 4.00 MiB, zstd level 12)",
        "gear:8K: 13.2 x",
        "equal files only",
        "What is left with gear:8K, zstd level 12",
        "233 MiB  (13.2 x)",
        "Stored before (light), and added by version",
        "wednesday",
        "+34.9 MiB",
        "If it goes on like this: 34.9 MiB per version",
        "368 full copies: 368 GiB before compression",
        "4.38 GiB",
    ):
        assert expected in said
    assert any(text.startswith("Use --profile gear:8K --compression 12: ") for text in said)
    assert any("Error bars hold the true figure" in text for text in said)


def test_one_tree_has_no_growth_and_no_error() -> None:
    report = made_up_report(names=("/home/anna",), is_series=False, share=1)
    page = drawn(report)
    said = texts(page)
    assert "source" in said
    assert not any("added" in text or "goes on" in text or "Error" in text for text in said)
    assert drawn(report) == page


def test_two_versions_have_no_forecast() -> None:
    said = texts(drawn(made_up_report(names=("a", "b"))))
    assert "Stored before (light), and added by version" in said
    assert not any("goes on" in text for text in said)


def test_nothing_to_measure_is_drawn_too() -> None:
    assert "There was nothing to measure." in texts(drawn(empty_report()))


def test_many_versions_do_not_crowd() -> None:
    names = tuple(f"night {number}" for number in range(40))
    said = texts(drawn(made_up_report(names=names)))
    assert 0 < sum(text.startswith("night ") for text in said) <= 5


def test_a_png_is_wide_enough_to_be_shown() -> None:
    picture = drawn(made_up_report(names=("/",), is_series=False), ChartFormat.PNG)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", picture[16:20])[0] == 1800


def test_names_of_any_bytes_can_be_drawn() -> None:
    names = (b"$x_1$", b"\xff\xfe", b"\x1b[31m", "日本 \U0001f600".encode())
    said = texts(drawn(made_up_report(names=tuple(map(os.fsdecode, names)))))
    assert {"$x_1$", r"\udcff\udcfe", r"\x1b[31m"} <= set(said)


def test_a_repository_has_charts_of_its_days_and_directories() -> None:
    from holdfast_cli.charts.sharing import draw_sharing

    file = io.BytesIO()
    draw_sharing(made_up_sharing(), file, ChartFormat.SVG)
    said = texts(file.getvalue())
    for expected in (
        "What 20 snapshots of 1 host take: 640 MiB",
        "Restored one by one they would be 17.6 GiB.",
        "1.46 GiB  (12.0 x)",
        "Stored before (light), and added by day",
        "If it goes on like this: 20.0 MiB per day",
        "60.0 MiB  (17 of 19)",
        r"…and/a/very/long/$p/\udcff",
    ):
        assert expected in said


def test_the_format_is_that_of_the_name() -> None:
    assert chart_format("a/b.PNG") is ChartFormat.PNG
    assert chart_format("c.svg") is ChartFormat.SVG
    for path in ("chart", "chart.jpeg", ".png"):
        with pytest.raises(ConfigurationError, match=r"\.png or \.svg"):
            chart_format(path)


def test_a_missing_library_is_named_before_anything_is_scanned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'holdfast\[plot\]'"):
        chart_format("chart.png")


def test_only_drawing_loads_the_library() -> None:
    program = "import sys, holdfast_cli.commands.benchmark; print('\\n'.join(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment_for_processes(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert {"matplotlib", "numpy", "rich"}.isdisjoint(ran.stdout.split())
