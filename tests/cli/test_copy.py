"""`copy` and `init --mirror`: what people and programs are told, and which secret opens what."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import Runner, damage, largest_pack, run_on_terminal
from support.json_keys import COPY_SUMMARY, INIT


@pytest.fixture
def other(run: Runner, tmp_path: Path) -> Runner:
    """Runs command lines on a second fresh repository that opens with a key file of its own."""
    runner = run.with_base("-r", tmp_path / "other", "--key-file", tmp_path / "other-key")
    runner("init")
    return runner


@pytest.fixture
def mirror(hold: Runner, run: Runner, tmp_path: Path, key_file: Path) -> Runner:
    """Runs command lines on a mirror of the first repository."""
    runner = run.with_base("-r", tmp_path / "mirror", "--key-file", key_file)
    runner("init", "--mirror", tmp_path / "repository")
    return runner


def restored(runner: Runner, target: Path, snapshot: str = "latest") -> dict[str, bytes]:
    runner("restore", snapshot, "--target", target)
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def from_first(tmp_path: Path, key_file: Path) -> list[str]:
    return ["--from", str(tmp_path / "repository"), "--from-key-file", str(key_file)]


def test_a_copy_restores_to_the_same(
    hold: Runner, other: Runner, source: Path, tmp_path: Path, key_file: Path
) -> None:
    hold("backup", source)
    told = other("copy", *from_first(tmp_path, key_file)).out.splitlines()
    assert " copied as " in told[0]
    assert told[-1].startswith("copied 1 snapshot (")
    assert restored(other, tmp_path / "b") == restored(hold, tmp_path / "a")
    other("check", "--read-data")
    again = other("copy", *from_first(tmp_path, key_file)).out
    assert again.startswith("copied 0 snapshots (0 B stored), 1 snapshot there already")


def test_programs_get_the_same_keys_whatever_happened(
    hold: Runner, other: Runner, source: Path, tmp_path: Path, key_file: Path
) -> None:
    made = hold("backup", source, "--json", "-q").events[-1]["snapshot"]
    for options, stored in ((["--dry-run"], False), ([], True), ([], False)):
        event = other("copy", "--json", "-q", *options, *from_first(tmp_path, key_file)).events[-1]
        assert list(event) == COPY_SUMMARY
        assert bool(event["bytes_stored"]) == stored
        if "--dry-run" in options:
            assert event["copied"] == [{"old": made, "new": None}]
            assert event["bytes_read"] > 100_000
    assert (event["copied"], event["skipped"]) == ([], 1)


def test_snapshots_are_named_or_filtered(
    hold: Runner, other: Runner, source: Path, tmp_path: Path, key_file: Path
) -> None:
    made = [
        hold("backup", source, "--tag", tag, "--json", "-q").events[-1]["snapshot"]
        for tag in ("a", "b", "c")
    ]
    base = ["copy", "--json", "-q", *from_first(tmp_path, key_file)]

    def copied(*options: str) -> list[str]:
        return [one["old"] for one in other(*base, *options).events[-1]["copied"]]

    assert copied("--tag", "b") == [made[1]]
    assert copied(made[0][:12]) == [made[0]]
    assert copied("latest") == [made[2]]
    assert "no snapshot" in other(*base, "0000", code=1).err
    shown = other("snapshots", "--json").document
    assert [one["tags"] for one in shown] == [["a"], ["b"], ["c"]]


def test_a_mirror_opens_like_its_origin_and_gets_packs(
    hold: Runner, mirror: Runner, source: Path, tmp_path: Path
) -> None:
    hold("backup", source)
    event = mirror("copy", "--json", "-q", "--from", tmp_path / "repository").events[-1]
    assert event["mirror"] is True
    assert event["packs_copied"] == 2
    assert event["blobs_read"] == 0
    assert restored(mirror, tmp_path / "b") == restored(hold, tmp_path / "a")
    mirror("check", "--read-data")
    assert "same repository" in hold("copy", "--from", tmp_path / "repository", code=2).err


def test_init_mirror_tells_what_it_did(
    hold: Runner, run: Runner, tmp_path: Path, key_file: Path
) -> None:
    runner = run.with_base("-r", tmp_path / "new", "--key-file", key_file)
    options = ["init", "--mirror", str(tmp_path / "repository")]
    assert "a mirror of" in runner(*options, "--dry-run").out
    assert not (tmp_path / "new" / "config").exists()
    document = runner(*options, "--json").document
    assert list(document) == INIT
    assert document["mirror_of"] == str(tmp_path / "repository")
    assert "there is a repository already" in runner(*options, code=1).err
    for option in (["--label", "x"], ["--recovery"], ["--pack-size", "32M"]):
        assert "exclude each other" in runner(*options, *option, code=2).err


def test_damage_is_told_and_has_its_exit_code(
    hold: Runner, other: Runner, source: Path, tmp_path: Path, key_file: Path
) -> None:
    hold("backup", source)
    damage(largest_pack(tmp_path / "repository"))
    done = other("copy", *from_first(tmp_path, key_file), code=13)
    assert "was not copied" in done.err
    assert "holdfast check" in done.err
    event = other("copy", "--json", "-q", *from_first(tmp_path, key_file), code=13).events[-1]
    assert list(event["damaged"][0]) == ["snapshot", "kind", "name", "problem"]


def test_the_source_must_be_named_and_open(
    hold: Runner, other: Runner, tmp_path: Path, key_file: Path
) -> None:
    assert "HOLDFAST_FROM_REPOSITORY" in other("copy", code=2).err
    other("copy", "--from", tmp_path / "nowhere", code=10)
    other("copy", "--from", tmp_path / "repository", code=12)
    both = ["--from-password-file", str(key_file)]
    message = other("copy", *from_first(tmp_path, key_file), *both, code=2).err
    assert "--from-password-file and --from-key-file exclude each other" in message


def test_variables_name_the_source(
    hold: Runner,
    other: Runner,
    source: Path,
    tmp_path: Path,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold("backup", source)
    monkeypatch.setenv("HOLDFAST_FROM_REPOSITORY", str(tmp_path / "repository"))
    monkeypatch.setenv("HOLDFAST_FROM_KEY_FILE", str(key_file))
    assert "copied 1 snapshot" in other("copy").out


def test_a_person_is_asked_which_password(run: Runner, source: Path, tmp_path: Path) -> None:
    """First that of the destination; the source is asked for if that one does not fit."""
    for name, text in (("one", "first"), ("two", "second")):
        (tmp_path / f"{name}.txt").write_text(text)
        runner = run.with_base(
            "-r", tmp_path / name, "--password-file", str(tmp_path / f"{name}.txt")
        )
        runner("init")
        runner("backup", source, "--host", name)
    base = ["--cache-dir", str(tmp_path / "cache"), "-r", str(tmp_path / "two"), "copy", "--from"]
    code, seen = run_on_terminal([*base, str(tmp_path / "one")], [b"second\n", b"first\n"])
    assert code == 0, seen
    assert b"copied to, " + bytes(tmp_path / "two") in seen
    assert b"copied from, " + bytes(tmp_path / "one") in seen
    assert b"copied 1 snapshot" in seen
    code, seen = run_on_terminal([*base, str(tmp_path / "one")], [b"second\n", b"wrong\n"])
    assert code == 12, seen
