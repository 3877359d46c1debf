"""`restore`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.command_line import Runner, damage, largest_pack
from support.json_keys import RESTORE_SUMMARY


def contents(root: Path) -> dict[bytes, bytes | str]:
    """Everything below a directory: bytes of files, targets of links, a word for directories."""
    found: dict[bytes, bytes | str] = {}
    for path in root.rglob("*"):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = "directory" if path.is_dir() else path.read_bytes()
    return found


def test_a_whole_snapshot_keeps_its_full_paths(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    target = tmp_path / "target"
    outcome = hold("restore", "latest", "--target", target)
    assert contents(Path(f"{target}{source}")) == contents(source)
    assert f" to {target} in " in outcome.out
    assert "files: 3 written (125 KiB), 0 unchanged, 0 left alone, 0 deleted" in outcome.out
    assert hold("restore", "latest", "-t", tmp_path / "other", "-q").out == ""


def test_a_directory_or_a_file_goes_into_the_target_itself(
    hold: Runner, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    hold("restore", f"latest:{source}", "--target", tmp_path / "all", "--verify")
    assert contents(tmp_path / "all") == contents(source)
    event = hold("restore", f"latest:{source}/a.txt", "-t", tmp_path / "one", "--json").events[-1]
    assert contents(tmp_path / "one") == {b"a.txt": b"alpha\n"}
    assert list(event) == RESTORE_SUMMARY
    assert (event["files"], event["bytes_written"], event["dry_run"]) == (1, 6, False)


def test_patterns_choose_what_is_restored(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)

    def restored(name: str, *arguments: str) -> set[bytes]:
        target = tmp_path / name
        hold("restore", f"latest:{source}", "--target", target, *arguments)
        return set(contents(target)) - {b"odd\xe9\x1b[31m"}

    assert restored("1", "--include", "*.bin") == {b"inner", b"inner/b.bin"}
    assert restored("2", "--iinclude", "*.TXT") == {b"a.txt"}
    assert restored("3", "--exclude", "inner") == {b"a.txt", b"link"}
    assert restored("4", "--iexclude", "A.TXT", "-e", f"{source}/inner/b.bin") == {
        b"inner",
        b"link",
    }


def test_a_target_with_content_needs_a_word(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.txt").write_bytes(b"mine")
    (target / "extra").touch()
    name = f"latest:{source}"
    outcome = hold("restore", name, "--target", target, code=1)
    assert outcome.err == (
        f"holdfast: {target} is not empty; choose an empty target, or say what may be "
        "overwritten with --overwrite always, if-changed, if-newer or never\n"
    )
    error = hold("--json", "restore", name, "--target", target, code=1).error
    assert error["error"] == "TargetNotEmptyError"
    assert contents(target) == {b"a.txt": b"mine", b"extra": b""}

    hold("restore", name, "--target", target, "--overwrite", "never")
    assert (target / "a.txt").read_bytes() == b"mine"
    hold("restore", name, "--target", target, "--overwrite", "if-newer")
    assert (target / "a.txt").read_bytes() == b"mine"
    hold("restore", name, "--target", target, "--overwrite", "if-changed")
    assert (target / "a.txt").read_bytes() == b"alpha\n"
    again = hold("restore", name, "-t", target, "--overwrite", "always", "--delete", "--json")
    assert (again.events[-1]["unchanged"], again.events[-1]["deleted"]) == (4, 1)
    assert contents(target) == contents(source)


def test_a_dry_run_lists_what_would_happen(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    target = tmp_path / "target"
    name = f"latest:{source}"
    outcome = hold("restore", name, "--target", target, "--dry-run")
    assert not target.exists()
    lines = outcome.out_bytes.splitlines()
    assert lines[0] == b"create          6 B /a.txt"
    assert b"create          3 B /odd\xe9\\x1b[31m" in lines
    assert lines[-2].startswith(b"would restore snapshot ")
    assert outcome.err == ""
    events = hold("restore", name, "--target", target, "--dry-run", "--json").events
    assert {"event": "action", "action": "create", "path": "/a.txt", "size": 6} in events
    assert events[-1]["dry_run"] is True
    verbose = hold("restore", name, "--target", target, "-v")
    assert "create          6 B /a.txt" in verbose.err


def test_damage_costs_files_but_not_the_others(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source / "a.txt")
    hold("backup", source)
    damage(largest_pack(tmp_path / "repository"))
    target = tmp_path / "target"
    outcome = hold("restore", f"latest:{source}", "--target", target, code=13)
    assert "/inner/b.bin: " in outcome.err
    assert outcome.err.endswith("what they concern was not restored exactly\n")
    assert (target / "a.txt").read_bytes() == b"alpha\n"
    assert not (target / "inner" / "b.bin").exists()
    event = hold("restore", f"latest:{source}", "-t", tmp_path / "t2", "--json", code=13).events[-1]
    assert event["damaged"] >= 1
    assert event["findings"] >= event["damaged"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["latest"], 2, "missing option '--target' / '-t'; see `holdfast restore --help`"),
        (["latest", "-t", "{tmp}/t", "--overwrite", "maybe"], 2, "'maybe' is not one of 'always'"),
        (["latest:/absent", "-t", "{tmp}/t"], 1, "/absent is not in snapshot"),
        (["latest", "-t", "{tmp}/source/a.txt"], 1, "cannot restore to {tmp}/source/a.txt: "),
        (["latest", "-t", "{tmp}/t", "--include", "a["], 2, "'a['"),
    ],
)
def test_what_cannot_be_restored(
    hold: Runner, source: Path, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    hold("backup", source)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert sentence.replace("{tmp}", str(tmp_path)) in hold("restore", *filled, code=code).err
    assert not (tmp_path / "t").exists()
