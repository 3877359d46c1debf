"""`holdfast find` and the lists of `ls`: what people and programs see."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.command_line import Runner, damage
from support.json_keys import FIND, FIND_CHANGE, FIND_HISTORY, LS_ENTRY
from support.repos import write_tree

ODD = b"odd\xe9\x1b[31m\n.odt"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What is backed up; each test fills it."""
    return tmp_path / "home"


def back_up(
    hold: Runner, tree: Path, *days: dict[bytes, bytes], more: Sequence[str] = ()
) -> list[str]:
    """Back up these trees, one a day from 2026-11-01 on; return the ids of the snapshots."""
    ids = []
    for day, files in enumerate(days, start=1):
        write_tree(tree, files, old=False)
        for path, _, names in os.walk(os.fsencode(tree)):
            for name in names:
                os.utime(os.path.join(path, name), (86400 * day, 86400 * day))
        # --force: the files of these days are younger than a tick of the kernel's clock.
        words = ("--json", "-q", "--force", "--time", f"2026-11-{day:02} 03:00", *more)
        ids.append(hold("backup", tree, *words).events[-1]["snapshot"])
    return ids


def test_every_version_is_a_line_with_a_name_that_restore_takes(
    hold: Runner, tree: Path, tmp_path: Path
) -> None:
    ids = back_up(
        hold,
        tree,
        {b"tax.odt": b"1", b"x": b""},
        {b"tax.odt": b"22"},
        {b"tax.odt": b"22"},
        {b"x": b""},
    )
    outcome = hold("find", "tax*")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[0] == ["Modified", "Size", "Snapshots", "First", "Last", "Name"]
    assert [" ".join(words) for words in lines[1:]] == [
        f"1970-01-04 00:00:00 2 B 1 2026-11-03 2026-11-03 {ids[2][:12]}:{tree}/tax.odt",
        f"1970-01-03 00:00:00 2 B 1 2026-11-02 2026-11-02 {ids[1][:12]}:{tree}/tax.odt",
        f"1970-01-02 00:00:00 1 B 1 2026-11-01 2026-11-01 {ids[0][:12]}:{tree}/tax.odt",
    ]
    assert outcome.err == "1 path with 3 versions in 4 snapshots\n"
    target = tmp_path / "out"
    hold("restore", lines[1][-1], "--target", target)
    assert (target / "tax.odt").read_bytes() == b"22"


def test_a_version_counts_its_snapshots(hold: Runner, tree: Path) -> None:
    write_tree(tree, {b"a": b"1"})
    ids = [hold("backup", tree, "--json", "-q").events[-1]["snapshot"] for _ in range(3)]
    (version,) = hold("find", "a", "--json").document
    assert version["snapshots"] == 3
    assert (version["first"]["id"], version["last"]["id"]) == (ids[0], ids[2])


def test_json_of_versions(hold: Runner, tree: Path) -> None:
    (snapshot,) = back_up(hold, tree, {b"a": b"1"}, more=["--host", "web1"])
    (version,) = hold("--json", "find", "a").document
    assert list(version) == [*LS_ENTRY, *FIND]
    assert (version["path"], version["host"], version["paths"]) == (
        f"{tree}/a",
        "web1",
        [str(tree)],
    )
    assert version["first"] == {"id": snapshot, "time": "2026-11-01T03:00:00.000000000Z"}


def test_the_history_of_a_path(hold: Runner, tree: Path) -> None:
    ids = back_up(hold, tree, {b"a": b"1"}, {b"a": b"22"}, {b"b": b""}, {b"a": b"22"})
    short = [each[:12] for each in ids]
    assert hold("find", "--history", f"{tree}/a").out.splitlines() == [
        f"{tree}/a",
        f"  2026-11-01 03:00:00  {short[0]}  present         1 B  1970-01-02 00:00:00",
        f"  2026-11-02 03:00:00  {short[1]}  modified        2 B  1970-01-03 00:00:00  content, mtime",
        f"  2026-11-03 03:00:00  {short[2]}  vanished  last in {short[1]}",
        f"  2026-11-04 03:00:00  {short[3]}  returned        2 B  1970-01-05 00:00:00",
    ]
    (found,) = hold("find", "--history", "a", "--size", "1", "--json").document
    assert list(found) == FIND_HISTORY
    assert [list(change) for change in found["history"]] == [FIND_CHANGE] * 4
    kinds = [change["change"] for change in found["history"]]
    assert kinds == ["present", "modified", "vanished", "returned"]
    gone = found["history"][2]
    assert gone["entry"] is None
    assert gone["last"] == {"id": ids[1], "time": "2026-11-02T03:00:00.000000000Z"}
    assert list(found["history"][1]["entry"]) == LS_ENTRY
    assert found["history"][1]["fields"] == ["content", "mtime"]


def test_hosts_are_never_compared(hold: Runner, tree: Path) -> None:
    back_up(hold, tree, {b"a": b"1"}, more=["--host", "one"])
    back_up(hold, tree, {b"a": b"2"}, more=["--host", "two"])
    lines = hold("find", "--history", "a").out.splitlines()
    assert lines[0] == f"host one; path {tree}:"
    assert lines[3:5] == ["", f"host two; path {tree}:"]
    assert [line for line in lines if "present" not in line] == [
        lines[0], f"{tree}/a", "", lines[4], f"{tree}/a",
    ]  # fmt: skip
    assert "host one" not in hold("find", "a", "--host", "one").out
    assert len(hold("find", "a", "--json", "--host", "one").document) == 1


def test_conditions(hold: Runner, tree: Path) -> None:
    back_up(hold, tree, {b"old.txt": b"1"}, {b"d/new.TXT": b"x" * 2000, b"d/big": b"x" * 9000})

    def found(*arguments: str | Path) -> list[str]:
        entries = hold("find", "--json", *arguments).document
        return [os.path.relpath(entry["path"], tree) for entry in entries]

    assert found("*.txt") == ["old.txt"]
    assert found("--iname", "*.txt") == ["d/new.TXT", "old.txt"]
    assert found("--regex", r"(?i)\.txt$") == ["d/new.TXT", "old.txt"]
    assert found("--regex", r"/d/", "*.txt") == ["d/big", "d/new.TXT", "old.txt"]
    assert found("--in", tree / "d") == ["d", "d/big", "d/new.TXT"]
    assert found("--size", "+2000", "--size", "-1M") == ["d/big"]
    assert found("--size", "-2K") == ["d/new.TXT", "old.txt"]
    assert found("--type", "d", "--in", tree) == [".", ".", "d"]
    assert found("--type", "f,d", "d") == ["d"]
    assert found("--type", "f", "--older", "1970-01-03") == ["old.txt"]
    assert found("--type", "f", "--newer", "1970-01-03") == ["d/big", "d/new.TXT"]
    assert found("--type", "f", "--older", "2d") == ["d/big", "d/new.TXT", "old.txt"]
    assert found("--type", "f", "--newer", "2d") == []
    assert found("--in", tree, "--type", "f", "--snapshot", "latest") == ["d/big", "d/new.TXT"]


def test_a_relative_directory_is_completed(
    hold: Runner, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(hold, tree, {b"d/a": b"", b"e/a": b""})
    monkeypatch.chdir(tree / "d")
    assert [entry["path"] for entry in hold("find", "a", "--in", ".", "--json").document] == [
        f"{tree}/d/a"
    ]


def test_what_a_blob_is_in(hold: Runner, tree: Path) -> None:
    back_up(hold, tree, {b"a": b"1", b"b": b"2"})
    ids = [
        blob["id"]
        for index_id in hold("cat", "index").document
        for pack in hold("cat", "index", index_id).document
        for blob in pack["blobs"]
    ]
    found = [
        entry["path"]
        for blob in set(ids)
        for entry in hold("find", "--blob", blob[:16].upper(), "--json").document
    ]
    parents = [str(parent) for parent in tree.parents]
    assert sorted(found) == sorted([f"{tree}/a", f"{tree}/b", str(tree), *parents])
    (root,) = [
        entry
        for blob in set(ids)
        for entry in hold("find", "--blob", blob, "--json").document
        if entry["path"] == "/"
    ]
    assert root["mtime"] is None


def test_names_that_could_give_orders_are_escaped_and_found(hold: Runner, tree: Path) -> None:
    (snapshot,) = back_up(hold, tree, {ODD: b""})
    shown = os.fsencode(tree) + rb"/odd" + b"\xe9" + rb"\x1b[31m\x0a.odt"
    line = hold("find", "*.odt").out_bytes.splitlines()[1]
    assert line.endswith(snapshot[:12].encode() + b":" + shown)
    assert hold("find", "--history", "*.odt").out_bytes.splitlines()[0] == shown
    (entry,) = hold("find", "*.odt", "--json").document
    assert os.fsencode(entry["path"]) == os.fsencode(tree) + b"/" + ODD


def test_the_long_form(hold: Runner, tree: Path) -> None:
    tree.mkdir()
    (tree / "link").symlink_to("to")
    hold("backup", tree, "--time", "2026-11-01 03:00")
    title, line = hold("find", "-l", "link").out.splitlines()
    assert title.split()[:3] == ["Mode", "Owner", "Group"]
    assert line.startswith("lrwxrwxrwx  ")
    assert "  2026-11-01 03:00:00  2026-11-01 03:00:00  " in line
    assert line.endswith(":" + str(tree / "link") + " -> to")
    history = hold("find", "-l", "--history", "link").out.splitlines()[1]
    assert "lrwxrwxrwx" in history
    assert history.endswith(" -> to")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["tax"], "; '*tax*' finds names that contain it"),
        (["d/tax"], "; a pattern with a slash is an absolute path, '**/d/tax' is one anywhere"),
        (["*tax*"], ""),
        (["/d/tax"], ""),
    ],
)
def test_nothing_found_is_no_failure(hold: Runner, tree: Path, words: list[str], hint: str) -> None:
    back_up(hold, tree, {b"a": b""})
    outcome = hold("find", *words)
    assert (outcome.out, outcome.err) == ("", f"nothing found in 1 snapshot{hint}\n")
    assert hold("find", "--json", *words).out == "[]\n"
    assert hold("find", "-q", *words).err == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "nothing was said of what to find"),
        (["--history", "--long"], "nothing was said of what to find"),
        (["a", "--size", "big"], "'big' is not a range of sizes"),
        (["--type", "x"], "'x' is not a type"),
        (["--newer", "soon"], "'soon' is neither a time nor a duration"),
        (["--regex", "("], "'(' is not a regular expression"),
        (["[a"], "matches nothing"),
        (["--blob", "xyz"], "'xyz' cannot be the id of a blob"),
    ],
)
def test_what_makes_no_sense(hold: Runner, tree: Path, words: list[str], sentence: str) -> None:
    back_up(hold, tree, {b"a": b""})
    outcome = hold("find", *words, code=2)
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_a_filter_that_no_snapshot_passes(hold: Runner, tree: Path) -> None:
    back_up(hold, tree, {b"a": b""})
    outcome = hold("find", "a", "--path", tree / "a")
    assert outcome.out == ""
    assert outcome.err.startswith("nothing found in 0 snapshots; `holdfast snapshots` lists those")


def test_an_unknown_snapshot(hold: Runner) -> None:
    assert "no snapshot is named 1234" in hold("find", "a", "--snapshot", "1234", code=1).err


def test_damage_is_reported_and_the_rest_found(hold: Runner, tree: Path, tmp_path: Path) -> None:
    """The tree packs of one of two snapshots are damaged: the other one is found whole."""
    packs = tmp_path / "repository" / "packs"
    back_up(hold, tree, {b"a": b"1"}, more=["--host", "one"])
    before = set(packs.glob("*/*"))
    back_up(hold, tree, {b"d/b": b"2", b"a": b"3"}, more=["--host", "two"])
    for pack in set(packs.glob("*/*")) - before:
        damage(pack)
    shutil.rmtree(tmp_path / "cache")
    outcome = hold("find", "--in", tree, "--type", "f", "--json", code=13)
    assert [entry["path"] for entry in outcome.document] == [f"{tree}/a"]
    assert '"event": "warning"' in outcome.err
    assert "is damaged" in outcome.err
    text = hold("find", "--history", "a", code=13)
    assert "vanished" not in text.out
    assert "holdfast: /: " in text.err


def test_the_columns_of_ls_are_aligned(hold: Runner, tree: Path) -> None:
    back_up(hold, tree, {b"a": b"x" * 123_456, b"b": b"", "日本".encode(): b""})
    lines = hold("ls", "--long", f"latest:{tree}").out.splitlines()
    assert len({re.search(r"1970-", line).start() for line in lines}) == 1  # type: ignore[union-attr]
    assert " 123456 1970-01-02 00:00:00 " in lines[0]
    human = hold("ls", "--long", "--human", f"latest:{tree}").out.splitlines()
    assert " 121 KiB 1970-01-02 00:00:00 " in human[0]
    assert "  0 B 1970-" in human[1]
