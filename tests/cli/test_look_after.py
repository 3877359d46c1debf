"""`check`, `stats` and `tag`."""

from __future__ import annotations

from pathlib import Path

from support.command_line import Runner, damage, largest_pack
from support.json_keys import CHECK_SUMMARY, STATS


def test_a_sound_repository_passes_every_check(hold: Runner, source: Path) -> None:
    assert hold("check").out.startswith("no damage found (0 snapshots, 0 packs, 0 blobs, ")
    hold("backup", source)
    assert hold("check").out.startswith("no damage found (1 snapshot, 2 packs, ")
    assert hold("check", "-q").out == ""
    event = hold("check", "--json").events[-1]
    assert list(event) == CHECK_SUMMARY
    assert (event["ok"], event["packs"], event["packs_read"]) == (True, 2, 0)
    whole = hold("check", "--json", "--read-data").events[-1]
    assert whole["packs_read"] == 2
    assert " read, " in hold("check", "--read-data").out
    parts = [
        hold("check", "--json", "--read-data-subset", f"{part}/2").events[-1]["packs_read"]
        for part in (1, 2)
    ]
    assert sum(parts) == 2
    for subset, expected in (("50%", 1), ("1", 1), ("100%", 2)):
        event = hold("check", "--json", "--read-data-subset", subset).events[-1]
        assert event["packs_read"] == expected


def test_damage_is_reported_as_files_and_snapshots(
    hold: Runner, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    hold("backup", source)
    ids = [item["id"] for item in hold("snapshots", "--json").document]
    pack = largest_pack(tmp_path / "repository")
    damage(pack)
    assert hold("check").out.startswith("no damage found")
    outcome = hold("check", "--read-data", code=13)
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"pack {pack.name}: ")
    snapshots = ", ".join(snapshot[:12] for snapshot in ids)
    assert any(line.startswith(f"{source}/inner/b.bin (snapshot {snapshots}): ") for line in lines)
    assert lines[-1].startswith("damage found: ")
    events = hold("check", "--read-data", "--json", code=13).events
    problems = [event for event in events if event["event"] == "damage"]
    assert list(problems[0]) == ["event", "kind", "name", "problem"]
    assert {(event["kind"], event["name"]) for event in problems} == {("pack", pack.name)}
    affected = [event for event in events if event["event"] == "affected"]
    assert list(affected[0]) == ["event", "snapshot", "path", "problem"]
    assert {event["snapshot"] for event in affected} == set(ids)
    assert f"{source}/inner/b.bin" in {event["path"] for event in affected}
    assert events[-1]["ok"] is False
    pack.unlink()
    assert "it is missing" in hold("check", code=13).out


def test_a_long_list_of_damage_is_cut(hold: Runner, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(60):
        (source / str(number)).write_text(str(number))
    hold("backup", source)
    (index_id,) = hold("cat", "index").document
    (pack,) = [each for each in hold("cat", "index", index_id).document if each["kind"] == "data"]
    (tmp_path / "repository" / "packs" / pack["pack"][:2] / pack["pack"]).unlink()
    lines = hold("check", code=13).out.splitlines()
    assert lines[0] == f"pack {pack['pack']}: it is missing"
    assert lines[-2] == "and 10 more files; --json lists all"
    events = hold("check", "--json", code=13).events
    assert sum(event["event"] == "affected" for event in events) == 60 == events[-1]["affected"]


def test_options_of_check_that_make_no_sense(hold: Runner) -> None:
    outcome = hold("check", "--read-data", "--read-data-subset", "1/2", code=2)
    assert "--read-data and --read-data-subset exclude each other" in outcome.err
    for subset in ("3/2", "0/2", "0%", "101%", "much", "0"):
        assert "give n/m (part n of m)" in hold("check", "--read-data-subset", subset, code=2).err


def test_stats_have_their_keys_and_fit_together(hold: Runner, source: Path) -> None:
    hold("backup", source)
    hold("backup", source)
    stats = hold("stats", "--json").document
    assert list(stats) == STATS
    assert stats["snapshots"] == 2
    assert stats["logical_bytes"] == 2 * (6 + 128_000 + 3)
    assert stats["total_ratio"] == round(stats["logical_bytes"] / stats["stored_bytes"], 4)
    one = hold("stats", "--json", "latest").document
    assert (one["snapshots"], one["logical_bytes"]) == (1, 6 + 128_000 + 3)
    assert hold("stats", "--json", "--host", "nobody").document["snapshots"] == 0
    lines = hold("stats").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "snapshots", "logical", "unique", "stored", "in", "packs", "blobs",
    ]  # fmt: skip


def tags(hold: Runner) -> list[list[str]]:
    """The tags of all snapshots."""
    return [item["tags"] for item in hold("snapshots", "--json").document]


def test_tags_are_added_removed_and_replaced(hold: Runner, source: Path) -> None:
    hold("backup", source, "--tag", "a", "--time", "2026-01-01")
    hold("backup", source, "--tag", "b", "--time", "2026-01-02")
    before = hold("snapshots", "--json").document
    assert "would get b, c" in hold("tag", "--add", "c", "latest", "--dry-run").out
    dry = hold("tag", "--add", "c", "latest", "--dry-run", "--json").document
    assert dry == {
        "changed": [{"old": before[1]["id"], "new": None, "tags": ["b", "c"]}],
        "dry_run": True,
    }
    assert hold("snapshots", "--json").document == before

    changed = hold("tag", "--add", "c,d", "latest", "--json").document["changed"]
    after = hold("snapshots", "--json").document
    assert changed == [{"old": before[1]["id"], "new": after[1]["id"], "tags": ["b", "c", "d"]}]
    assert {**before[1], "id": after[1]["id"], "tags": ["b", "c", "d"]} == after[1]
    assert hold("tag", "--add", "c", "latest").out == "nothing to change\n"
    hold("tag", "--remove", "b", "--add", "e", "--tag", "c")
    assert tags(hold) == [["a"], ["c", "d", "e"]]
    hold("tag", "--set", "x,y", before[0]["id"][:10], "latest")
    assert tags(hold) == [["x", "y"], ["x", "y"]]
    assert "with no tags" in hold("tag", "--set", "", "latest").out
    assert tags(hold) == [["x", "y"], []]
    assert hold("cat", f"latest:{source}/a.txt").out == "alpha\n"
    hold("check", "--read-data")


def test_options_of_tag_that_make_no_sense(hold: Runner, source: Path) -> None:
    hold("backup", source)
    assert "no snapshot was named" in hold("tag", "--add", "a", code=2).err
    assert "no change of tags" in hold("tag", "latest", code=2).err
    assert "no snapshot is named" in hold("tag", "--add", "a", "0" * 32, code=1).err
