"""`forget`: policies, names, and the way back; `snapshots --forgotten`."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Runner

DAYS = [f"2026-01-{day:02d} 12:00" for day in range(1, 6)]


@pytest.fixture
def ids(hold: Runner, source: Path) -> list[str]:
    """Ids of five snapshots of five days."""
    return [backup(hold, source, moment) for moment in DAYS]


def backup(hold: Runner, source: Path, moment: str, *options: str) -> str:
    """Back up as of a time and return the id."""
    outcome = hold("backup", source, "--time", moment, "--json", "-q", *options)
    snapshot_id = outcome.events[-1]["snapshot"]
    assert isinstance(snapshot_id, str)
    return snapshot_id


def listed(hold: Runner, *options: str) -> list[str]:
    """Ids of the snapshots that are shown."""
    return [item["id"] for item in hold("snapshots", "--json", *options).document]


def kept(document: dict[str, Any]) -> dict[str, list[str]]:
    """Id -> reasons."""
    return {item["id"]: item["reasons"] for item in document["keep"]}


def test_a_policy_says_what_it_keeps_and_why(hold: Runner, ids: list[str]) -> None:
    expected = {
        "keep": [
            {"id": ids[3], "reasons": ["daily snapshot"]},
            {"id": ids[4], "reasons": ["last snapshot", "daily snapshot"]},
        ],
        "forget": ids[:3],
    }
    policy = ("--keep-daily", "2", "-l", "1")
    dry = hold("forget", *policy, "--dry-run", "--json").document
    assert list(dry) == ["keep", "forget", "dry_run"]
    assert dry == {**expected, "dry_run": True}
    assert listed(hold) == ids
    assert hold("forget", *policy, "--json").document == {**expected, "dry_run": False}
    assert listed(hold) == ids[3:]
    again = hold("forget", *policy, "--json").document
    assert (again["keep"], again["forget"]) == (expected["keep"], [])
    hold("check", "--read-data")


def test_people_see_a_table_of_each_group(hold: Runner, source: Path, ids: list[str]) -> None:
    other = backup(hold, source, "2026-01-09", "--host", "other", "--tag", "a,b")
    text = hold("forget", "--keep-last", "2", "--dry-run").out
    first, second, summary = text.split("\n\n")
    heading, titles, *rows = first.splitlines() if other in second else second.splitlines()
    assert heading.endswith(f"; path {source}")
    assert titles.split() == ["ID", "Time", "Tags", "Why"]
    assert [row.split()[:2] for row in rows] == [
        *(["forget", snapshot[:12]] for snapshot in ids[:3]),
        *(["keep", snapshot[:12]] for snapshot in ids[3:]),
    ]
    assert rows[-1].endswith("2026-01-05 12:00:00        last snapshot")
    assert "host other; path" in text
    assert "a, b  last snapshot" in text
    assert summary == "would forget 3 snapshots, kept 3\n"
    assert hold("forget", "--keep-last", "2", "-n", "-q").out.startswith(first)

    outcome = hold("forget", "--keep-last", "2", "--group-by", "")
    lines = outcome.out.splitlines()
    assert lines[0] == "all snapshots"
    assert lines[1].split() == ["ID", "Time", "Tags", "Host", "Why", "Paths"]
    assert lines[-2] == "forgot 4 snapshots, kept 2"
    assert lines[-1].startswith("`holdfast prune` frees the space; until then")
    assert hold("forget", "--keep-last", "1", "-q").out == ""
    assert len(listed(hold)) == 2


def test_every_rule_reaches_the_policy(hold: Runner, source: Path, ids: list[str]) -> None:
    tagged = backup(hold, source, "2025-12-24", "--tag", "x,y,z")
    periods = ["hourly", "daily", "weekly", "monthly", "quarterly", "yearly"]
    newest = ids[-1]
    for period in periods:
        document = hold("forget", f"--keep-{period}", "1", "-n", "--json").document
        assert kept(document) == {newest: [f"{period} snapshot"]}
        within = hold("forget", f"--keep-within-{period}", "1h", "-n", "--json").document
        assert kept(within) == {newest: [f"{period} within 1h"]}
    for rule in (("--keep-last", "-1"), ("--keep-hourly", "unlimited"), ("--keep-within", "1y")):
        assert hold("forget", *rule, "-n", "--json").document["forget"] == []
    document = hold("forget", "--keep-tag", "q", "--keep-tag", "z,x", "-n", "--json").document
    assert kept(document) == {tagged: ["tags z, x"]}
    for short in ("-l", "-H", "-d", "-w", "-m", "-y"):
        assert len(kept(hold("forget", short, "1", "-n", "--json").document)) == 1


def test_filters_and_groups_limit_what_is_judged(
    hold: Runner, source: Path, ids: list[str]
) -> None:
    other = [backup(hold, source, moment, "--host", "o", "--tag", moment[9]) for moment in DAYS[:3]]
    one_host = hold("forget", "--keep-last", "1", "--host", "o", "-n", "--json").document
    assert (list(kept(one_host)), one_host["forget"]) == (other[2:], other[:2])
    one_tag = hold("forget", "--keep-last", "1", "--tag", "2", "-n", "--json").document
    assert (list(kept(one_tag)), one_tag["forget"]) == ([other[1]], [])
    by_host = hold("forget", "--keep-last", "1", "-g", "host", "-n", "--json").document
    assert set(kept(by_host)) == {ids[4], other[2]}
    by_tags = hold("forget", "--keep-last", "1", "-g", "tags", "-n", "--json").document
    assert set(kept(by_tags)) == {ids[4], *other}
    together = hold("forget", "--keep-last", "1", "-g", "", "-n", "--json").document
    assert set(kept(together)) == {ids[4]}


def test_named_snapshots_go_and_come_back(hold: Runner, source: Path, ids: list[str]) -> None:
    assert "would forget" in hold("forget", ids[0][:10], "-n").out
    outcome = hold("forget", ids[0][:10], "latest")
    assert outcome.out.splitlines()[0].startswith(f"forgot {ids[0][:12]} of 2026-01-01 12:00:00, ")
    assert outcome.out.splitlines()[0].endswith(f": {source}")
    assert listed(hold) == ids[1:4]
    assert listed(hold, "--forgotten") == [ids[0], ids[4]]
    assert listed(hold, "--forgotten", "latest") == [ids[4]]
    assert ids[0][:12] in hold("snapshots", "--forgotten").out
    hold("check", "--read-data")
    document = hold("forget", ids[1], "--json").document
    assert document == {"keep": [], "forget": [ids[1]], "dry_run": False}
    assert "no snapshot is named" in hold("forget", ids[1], code=1).err

    dry = hold("forget", "--undo", ids[0][:10], "--json", "-n").document
    back = hold("forget", "--undo", ids[0][:10], "--json").document
    assert dry == {"undone": [ids[0]], "forgotten": [ids[1], ids[4]], "dry_run": True}
    assert back == {**dry, "dry_run": False}
    assert listed(hold) == [ids[0], *ids[2:4]]
    assert f"would bring back {ids[4][:12]}" in hold("forget", "--undo", "latest", "-n").out
    assert f"brought back {ids[4][:12]}" in hold("forget", "--undo", "latest").out
    assert hold("cat", f"{ids[4]}:{source}/a.txt").out == "alpha\n"


def test_undo_by_filters_and_undo_alone(hold: Runner, source: Path, ids: list[str]) -> None:
    assert hold("snapshots", "--forgotten").err == "no forgotten snapshots\n"
    nothing = hold("forget", "--undo")
    assert (nothing.out, nothing.err) == ("", "no forgotten snapshot can be brought back\n")
    other = backup(hold, source, "2026-01-09", "--tag", "a")
    hold("forget", ids[0], other)
    alone = hold("forget", "--undo")
    assert [line.split()[0] for line in alone.out.splitlines()] == [ids[0][:12], other[:12]]
    assert "nothing was brought back; name snapshots of this list" in alone.err
    document = hold("forget", "--undo", "--json").document
    assert document == {"undone": [], "forgotten": [ids[0], other], "dry_run": False}
    assert listed(hold) == ids[1:]
    hold("forget", "--undo", "--tag", "a")
    assert listed(hold) == [*ids[1:], other]
    unknown = hold("forget", "--undo", ids[1], code=1)
    assert "names no forgotten snapshot; `holdfast snapshots --forgotten` lists" in unknown.err
    nobody = hold("forget", "--undo", "latest", "--host", "nobody", code=1)
    assert "latest names no forgotten snapshot" in nobody.err


def stored_bytes(hold: Runner) -> int:
    """How much is in packs."""
    size = hold("stats", "--json").document["stored_bytes"]
    assert isinstance(size, int)
    return size


def test_prune_frees_the_space_and_makes_it_final(hold: Runner, source: Path) -> None:
    ids = []
    for number, moment in enumerate(DAYS[:3]):
        (source / "noise").write_bytes(random.Random(10 + number).randbytes(500_000))
        time.sleep(0.03)
        ids.append(backup(hold, source, moment))
    before = stored_bytes(hold)
    dry = hold("forget", "--keep-last", "2", "--prune", "--dry-run", "--json").document
    assert list(dry) == ["keep", "forget", "dry_run", "prune"]
    assert (dry["forget"], dry["prune"]["dry_run"]) == (ids[:1], True)
    assert dry["prune"]["bytes_freed"] > 500_000, "as if they were forgotten"
    assert (
        "would remove 1 forgotten snapshot, "
        in hold("forget", "--keep-last", "2", "--prune", "-n").out
    )
    assert (listed(hold), stored_bytes(hold)) == (ids, before)

    document = hold("forget", "--keep-last", "2", "--prune", "--json").document
    assert document["forget"] == ids[:1]
    assert document["prune"]["snapshots_removed"] == 1
    assert before - stored_bytes(hold) > 500_000
    lines = hold("forget", ids[1], "--prune", "--max-unused", "0").out.splitlines()
    assert lines[0].startswith(f"forgot {ids[1][:12]} of ")
    assert lines[1].startswith("removed 1 forgotten snapshot, ")
    assert before - stored_bytes(hold) > 1_000_000
    assert listed(hold) == ids[2:]
    assert listed(hold, "--forgotten") == []
    assert "names no forgotten snapshot" in hold("forget", "--undo", ids[1], code=1).err
    hold("check", "--read-data")


def test_a_policy_that_keeps_nothing_is_refused(hold: Runner, ids: list[str]) -> None:
    refused = hold("forget", "--keep-tag", "x", code=2)
    assert "would forget every snapshot of the group (host " in refused.err
    assert "--allow-keep-nothing" in refused.err
    assert listed(hold) == ids
    assert (
        "forgot 5 snapshots, kept 0"
        in hold("forget", "--keep-tag", "x", "--allow-keep-nothing").out
    )
    assert listed(hold) == []
    assert hold("forget", "--keep-last", "1", "--json").document["keep"] == []


def test_nothing_goes_if_one_group_would_keep_nothing(
    hold: Runner, source: Path, ids: list[str]
) -> None:
    for host in ("!", "zzz"):
        backup(hold, source, DAYS[0], "--host", host)
        backup(hold, source, DAYS[1], "--host", host, "--tag", "x")
    before = listed(hold)
    hold("forget", "--keep-tag", "x", code=2)
    assert listed(hold) == before
    document = hold("forget", "--keep-tag", "x", "--keep-yearly", "1", "--json").document
    assert len(document["forget"]) == 6


def test_a_time_in_the_future_evicts_nobody(hold: Runner, source: Path, ids: list[str]) -> None:
    future = backup(hold, source, "2200-01-01")
    outcome = hold("forget", "--keep-last", "1", "--dry-run")
    assert f"the time of {future[:12]} lies in the future" in outcome.err
    document = hold("forget", "--keep-last", "1", "--json").document
    assert list(kept(document)) == [ids[4], future]
    assert document["forget"] == ids[:4]
    hold("forget", future)
    assert listed(hold) == ids[4:]


def test_the_last_snapshot_before_a_loss_stays(hold: Runner, source: Path) -> None:
    (source / "big").write_bytes(bytes(2 << 20))
    good = backup(hold, source, DAYS[0])
    (source / "big").unlink()
    shutil.rmtree(source / "inner")
    time.sleep(0.03)
    poor = [backup(hold, source, moment) for moment in DAYS[1:]]
    outcome = hold("forget", "--keep-last", "1", "--json").document
    assert list(kept(outcome)) == [good, poor[-1]]
    assert (
        f"snapshots after {good[:12]} lack most of its content"
        in hold("forget", "--keep-last", "1").err
    )
    hold("forget", good)
    assert listed(hold) == [poor[-1]]


def test_the_calendar_is_that_of_the_machine(
    hold: Runner, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two moments of one day in London, of two days in Berlin, by summer time only."""
    ids = [backup(hold, source, f"2026-07-01 {at}Z") for at in ("21:30:00", "22:30:00")]
    try:
        for zone, days in (
            ("GMT0BST,M3.5.0/1,M10.5.0", [ids[1]]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", ids),
        ):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            document = hold("forget", "--keep-daily", "9", "-n", "--json").document
            assert [key for key, why in kept(document).items() if why == ["daily snapshot"]] == days
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing says what to forget"),
        (["--keep-last", "0"], "nothing says what to forget"),
        (["--keep-within", "0d", "--host", "h"], "nothing says what to forget"),
        (["latest", "--keep-last", "1"], "names of snapshots and a policy exclude each other"),
        (["--undo", "--keep-last", "1"], "--undo excludes a policy and --prune"),
        (["--undo", "--allow-keep-nothing"], "--undo excludes a policy and --prune"),
        (["--undo", "latest", "--prune"], "--undo excludes a policy and --prune"),
        (["--keep-last", "-2"], "is not a count"),
        (["--keep-last", "many"], "is not a count"),
        (["--keep-within", "7"], "is not a duration"),
        (["--keep-tag", ""], "a tag to keep is empty"),
        (["--keep-tag", "a,"], "a tag to keep is empty"),
        (["--keep-last", "1", "--group-by", "user"], "is not a way to group snapshots"),
    ],
)
def test_options_that_make_no_sense(hold: Runner, arguments: list[str], message: str) -> None:
    assert message in hold("forget", *arguments, code=2).err
