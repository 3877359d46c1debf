"""`prune`: what people and programs are told."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.command_line import Runner
from support.json_keys import PRUNE


@pytest.fixture
def ids(hold: Runner, source: Path) -> list[str]:
    """Three snapshots, each with half a megabyte of its own."""
    made = []
    for number in range(3):
        (source / "noise").write_bytes(random.Random(number).randbytes(500_000))
        time.sleep(0.03)
        made.append(hold("backup", source, "--json", "-q").events[-1]["snapshot"])
    return made


def test_it_frees_what_is_forgotten_and_says_so(hold: Runner, ids: list[str]) -> None:
    assert hold("prune").out.startswith("nothing to remove (")
    hold("forget", *ids[:2])
    dry = hold("prune", "--dry-run", "--max-unused", "0").out.splitlines()
    assert dry[0].startswith("would remove 2 forgotten snapshots, ")
    lines = hold("prune", "--max-unused", "0").out.splitlines()
    assert lines[0].startswith("removed 2 forgotten snapshots, ")
    assert " freed" in lines[0]
    assert lines[-1].startswith("took ")
    hold("check", "--read-data")
    assert [one["id"] for one in hold("snapshots", "--json").document] == ids[2:]


def test_programs_get_the_same_keys_whatever_happened(hold: Runner, ids: list[str]) -> None:
    hold("forget", ids[0])
    seen = []
    for options in (["--dry-run"], [], []):
        event = hold("prune", "--json", "-q", *options).events[-1]
        assert list(event) == ["event", *PRUNE]
        seen.append((event["outcome"], event["snapshots_removed"], event["dry_run"]))
    assert seen == [("planned", 1, True), ("done", 1, False), ("nothing", 0, False)]


def test_it_tells_whom_it_waits_for(
    hold: Runner, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of another host is in the repository."""
    from holdfast.repository import sessions

    hold("forget", ids[0])
    monkeypatch.setattr(sessions.Session, "end", lambda self: None)
    monkeypatch.setattr(
        "holdfast.repository.journal.Journal.close", lambda self, *, committed: None
    )
    hold("tag", "--add", "x", ids[1])
    hold("backup", "--host", "laptop", "--stdin-from-command", "--", "true")
    monkeypatch.undo()
    event = hold("prune", "--json", "-q").events[-1]
    assert (event["outcome"], [one["host"] for one in event["waits_for"]]) == (
        "waiting",
        ["laptop"],
    )
    out = hold("prune").out
    assert "laptop, since " in out
    assert "run prune again, or give --wait" in out
    assert hold("prune", "--wait", "0s").out.startswith("removed ")
    hold("check")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-unused", "lots"), "is not a size"),
        (("--max-unused", "120%"), "more than everything"),
        (("--max-repack", "x"), "is not a size"),
        (("--wait", "soon"), "is not a time"),
    ],
)
def test_options_that_make_no_sense(hold: Runner, options: tuple[str, str], message: str) -> None:
    assert message in hold("prune", *options, code=2).err
