"""What snapshots share, as tables, lines and rows; `test_benchmark.py` has the command itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.benchmark.report import Estimate, Forecast
from holdfast.benchmark.sharing_report import (
    NOTHING,
    Amount,
    HostSharing,
    HotDirectory,
    Night,
    SharingReport,
    SnapshotSharing,
)
from holdfast.errors import IntegrityError
from holdfast.operations.stats import RepositoryStats
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.output.console import Output
from holdfast_cli.output.sharing import sharing_json, sharing_rows, show_sharing
from support.command_line import Runner, largest_pack

KIB = 1024
MIB = KIB * KIB
DAY_NS = 86_400 * 10**9


def make_snapshot(
    day: int, exclusive: int, host: str = "one", paths: tuple[bytes, ...] = (b"/home",)
) -> SnapshotSharing:
    return SnapshotSharing(
        id=f"{day:032x}",
        time_ns=day * DAY_NS,
        host=host,
        raw_paths=paths,
        logical_bytes=9 * MIB,
        unique=Amount(8 * MIB, 4 * MIB),
        exclusive=Amount(2 * exclusive, exclusive),
        added=Amount(2 * MIB, MIB),
    )


def make_report(
    snapshots: list[SnapshotSharing],
    *,
    hosts: tuple[HostSharing, ...] = (),
    directories: tuple[HotDirectory, ...] = (),
    forecast: Forecast | None = None,
    problems: tuple[IntegrityError, ...] = (),
    unneeded: Amount = NOTHING,
    missing: int = 0,
) -> SharingReport:
    return SharingReport(
        snapshots=tuple(snapshots),
        hosts=hosts,
        directories=directories,
        nights=(Night(day=20_778, snapshots=2, added=Amount(2, 1)),),
        forecast=forecast,
        needed=Amount(10 * MIB, 5 * MIB),
        unneeded=unneeded,
        saved_across_hosts=Amount(2 * MIB, MIB) if hosts else NOTHING,
        whole=RepositoryStats(
            snapshots=len(snapshots),
            logical_bytes=20 * MIB,
            unique_bytes=10 * MIB,
            stored_bytes=5 * MIB,
            packs=2,
            blobs=30,
        ),
        problems=problems,
        missing=missing,
    )


@pytest.fixture
def output() -> Output:
    return Output(json=False)


def show(
    output: Output, report: SharingReport, capsys: pytest.CaptureFixture[str], **options: bool
) -> list[str]:
    assert show_sharing(output, report, **options) == ExitCode.SUCCESS
    return capsys.readouterr().out.splitlines()


def test_snapshots_that_free_most_are_shown(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_report([make_snapshot(day, day % 23 * KIB) for day in range(23)])
    lines = show(output, report, capsys)
    assert lines[0].split() == [
        "ID", "Time", "Host", "Size", "Stored", "Shared", "Frees", "New", "Paths",
    ]  # fmt: skip
    shown = [int(line.split()[0], 16) for line in lines[1:21]]
    assert shown == [0] * 20, "the ids differ in their last digits only"
    assert [line.split()[1] for line in lines[1:3]] == ["1970-01-04", "1970-01-05"]
    assert "4.00 MiB" in lines[1]
    assert "3.00 KiB" in lines[1]
    assert lines[21] == "and 3 snapshots that would free less; --all shows all"
    assert len(show(output, report, capsys, everything=True)) == 1 + 23 + 2


def test_hosts_directories_and_sums(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = tuple(
        HostSharing(
            host=name,
            snapshots=2,
            logical_bytes=10 * MIB,
            unique=Amount(6 * MIB, 3 * MIB),
            exclusive=Amount(4 * MIB, 2 * MIB),
        )
        for name in ("one", "two")
    )
    places = [("one", b"/home/anna/mail"), ("one", b"/home/anna"), ("two", b"/home/anna/mail\x1b")]
    directories = tuple(
        HotDirectory(host=host, path=path, added=Amount(6 * KIB, 3 * KIB), changed=2, snapshots=3)
        for host, path in places
    )
    forecast = Forecast(
        per_version=Estimate(2 * KIB, KIB),
        after=tuple((days, Estimate(days * 2 * KIB)) for days in (7, 30, 90, 365)),
    )
    report = make_report(
        [make_snapshot(1, KIB), make_snapshot(2, KIB, "two")],
        hosts=hosts,
        directories=directories,
        forecast=forecast,
        unneeded=Amount(2 * KIB, KIB),
    )
    lines = show(output, report, capsys)
    at = lines.index("")
    assert lines[at + 1].split("  ")[0] == "Host"
    assert lines[at + 2].split() == [
        "one", "2", "10.0", "MiB", "3.00", "MiB", "1.00", "MiB", "2.00", "MiB",
    ]  # fmt: skip
    at = lines.index("", at + 1)
    assert [line.split(" KiB  ")[2].strip() for line in lines[at + 2 : at + 5]] == [
        "2 of 3  one   /home/anna/mail",
        "2 of 3  one   /home/anna (the rest)",
        "2 of 3  two   /home/anna/mail\\x1b",
    ]
    growth = (
        "growth: 2.00 KiB ± 1.00 KiB a day; "
        "60.0 KiB after 30 days, 730 KiB after 365 days, if nothing is forgotten"
    )
    assert lines[lines.index("", at + 1) + 1 :] == [
        "in all, 2 snapshots of 20.0 MiB take 5.00 MiB, 4.00 x smaller",
        "no snapshot needs 1.00 KiB; `holdfast prune` frees most of it",
        "what hosts have in common is stored once, which saves 1.00 MiB",
        growth,
    ]


def test_a_long_list_of_directories_is_cut(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    directories = tuple(
        HotDirectory(host="one", path=b"/%d" % number, added=Amount(2, 1), changed=1, snapshots=1)
        for number in range(12)
    )
    report = make_report([make_snapshot(1, 1)], directories=directories)
    lines = show(output, report, capsys)
    assert "and 2 more directories; --all shows all" in lines
    assert not any(line.endswith("  /10") for line in lines)
    assert "Host" not in lines[3]
    assert any(line.endswith("  /11") for line in show(output, report, capsys, everything=True))


def test_nothing_to_show(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_sharing(output, make_report([])) == ExitCode.SUCCESS
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no snapshots\n")


def test_damage_is_told_and_ends_with_its_code(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = tuple(IntegrityError("tree", f"{number:03}", "odd") for number in range(22))
    report = make_report([make_snapshot(1, 1)], problems=problems, missing=1)
    assert show_sharing(output, report) == ExitCode.DAMAGED
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"holdfast: {problems[0]}"
    assert lines[-2:] == [
        "holdfast: and 2 more; `holdfast check` lists all",
        "holdfast: no pack has 1 needed blob; run `holdfast check`",
    ]
    assert len(lines) == 22
    document = sharing_json(report)
    assert document["damaged"] == [str(error) for error in problems]
    assert document["missing_blobs"] == 1
    assert document["nights"][0]["day"] == "2026-11-21"
    assert show_sharing(output, make_report([], missing=1)) == ExitCode.DAMAGED


def test_days_beyond_the_calendar() -> None:
    report = make_report([])
    for day, text in ((10**9, "9999-12-31"), (-(10**9), "0001-01-01"), (-1, "1969-12-31")):
        night = Night(day=day, snapshots=1, added=NOTHING)
        shown = sharing_json(replace(report, nights=(night,)))
        assert shown["nights"][0]["day"] == text


def test_rows_of_a_table_file() -> None:
    titles, row = sharing_rows(make_report([make_snapshot(1, KIB, paths=(b"/home", b"/odd\xff"))]))
    assert dict(zip(titles, row, strict=True)) == {
        "id": f"{1:032x}",
        "time": "1970-01-02T00:00:00.000000000Z",
        "host": "one",
        "paths": "/home\n" + os.fsdecode(b"/odd\xff"),
        "logical_bytes": 9 * MIB,
        "unique_plain_bytes": 8 * MIB,
        "unique_stored_bytes": 4 * MIB,
        "exclusive_plain_bytes": 2 * KIB,
        "exclusive_stored_bytes": KIB,
        "shared_plain_bytes": 8 * MIB - 2 * KIB,
        "shared_stored_bytes": 4 * MIB - KIB,
        "added_plain_bytes": 2 * MIB,
        "added_stored_bytes": MIB,
    }


def test_a_repository_that_lost_its_trees(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    whole = hold("benchmark", "dedupe", "--snapshots", "--json").document
    assert whole["damaged"] == []
    (tree,) = {*(tmp_path / "repository" / "packs").glob("*/*")} - {
        largest_pack(tmp_path / "repository")
    }
    tree.unlink()
    outcome = hold("benchmark", "dedupe", "--snapshots", code=13)
    assert f"pack {tree.name} is damaged (it is missing)" in outcome.err
    assert "no pack has 1 needed blob; run `holdfast check`" in outcome.err
    document = hold("benchmark", "dedupe", "--snapshots", "--json", code=13).document
    assert document["snapshots"][0]["unique"]["plain_bytes"] == 0
    assert document["damaged"]
