"""`restore`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.command_line import NOISE, Runner, damage, largest_pack, run_process
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


def test_in_place(hold: Runner, source: Path, tmp_path: Path) -> None:
    (source / "inner").chmod(0o750)
    hold("backup", source)
    (source / "a.txt").write_bytes(b"spoilt")
    shutil.rmtree(source / "inner")
    (source / "extra").touch()

    # A lost file in a lost directory comes back with its directory as it was.
    hold("restore", f"latest:{source}/inner/b.bin", "--in-place")
    assert (source / "inner" / "b.bin").read_bytes() == NOISE
    assert (source / "inner").stat().st_mode & 0o777 == 0o750

    hold("restore", f"latest:{source}/a.txt", "--in-place", "--overwrite", "always")
    assert (source / "a.txt").read_bytes() == b"alpha\n"
    assert (source / "extra").exists()

    everything = ["restore", "latest", "--in-place", "--overwrite", "if-changed", "--delete"]
    preview = hold(*everything, "--dry-run").out.splitlines()
    assert [line for line in preview if line.startswith("delete")] == [
        f"delete              {source}/extra"
    ]
    assert hold(*everything, "--json").events[-1]["target"] == "/"
    assert set(contents(source)) == {
        b"a.txt",
        b"inner",
        b"inner/b.bin",
        b"link",
        b"odd\xe9\x1b[31m",
    }


def test_a_restore_leaves_alone_what_it_needs_itself(
    run: Runner, source: Path, tmp_path: Path
) -> None:
    """The repository, the cache and the key lie in what is backed up, and have changed since."""
    key = source / "key"
    hold = run.with_base(
        *("-r", source / "repository", "--cache-dir", source / "cache", "--key-file", key)
    )
    hold("init")
    hold("backup", source, "--exclude", str(key))
    (source / "a.txt").write_bytes(b"spoilt")
    hold("backup", source, "--exclude", "repository", "--exclude", "cache")
    names = [snapshot["id"] for snapshot in hold("snapshots", "--json").document]
    assert len(names) == 2
    for name in names:
        options = ["--in-place", "--overwrite", "always", "--delete", "--verify"]
        hold("restore", f"{name}:{source}", *options)
    hold("check", "--read-data")
    assert key.exists()
    assert (source / "a.txt").read_bytes() == b"spoilt"


def test_who_is_interrupted_is_told_how_to_go_on(
    hold: Runner, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    hint = "the restore is not complete; the same command with --overwrite if-changed goes on"
    said = []
    for most in range(1, 60):
        target = tmp_path / f"target {most}"
        command = ["restore", f"latest:{source}", "-t", str(target), "--max-requests", str(most)]
        outcome = run_process(*hold.base, *command)
        said.append(hint in outcome.err)
        if outcome.code == 0:
            break
    assert not said[0], "nothing was begun"
    assert said[-2]
    assert not said[-1], "it went through"


def test_files_of_another_host_are_not_put_in_place(hold: Runner, source: Path) -> None:
    hold("backup", source, "--host", "elsewhere")
    (source / "a.txt").unlink()
    name = f"latest:{source}/a.txt"
    outcome = hold("restore", name, "--in-place", code=2)
    assert "is of the host elsewhere, and this is" in outcome.err
    assert not (source / "a.txt").exists()
    hold("restore", name, "--in-place", "--host", "elsewhere")
    assert (source / "a.txt").read_bytes() == b"alpha\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["latest"], 2, "it is not said where to restore to; give --target DIR, or --in-place"),
        (["latest", "-t", "{tmp}/t", "--in-place"], 2, "two targets are named; "),
        (
            ["latest", "-t", "{tmp}", "--delete", "--overwrite", "never"],
            2,
            "--delete would remove what --overwrite never promises to leave alone",
        ),
        (["latest:{tmp}/source/a.txt", "--in-place"], 1, "{tmp}/source/a.txt: it exists; say with"),
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
