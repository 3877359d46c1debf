"""`init` and `key`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.command_line import Runner
from support.json_keys import INIT, KEY_SLOT


def test_init_with_a_key_file_makes_the_file(run: Runner, tmp_path: Path) -> None:
    key = tmp_path / "key"
    outcome = run("-r", tmp_path / "r", "--key-file", key, "init")
    assert re.fullmatch(
        rf"created repository [0-9a-f]{{12}} at {tmp_path}/r; it opens with the key file {key}\n",
        outcome.out,
    )
    assert key.stat().st_mode & 0o7777 == 0o600
    assert (tmp_path / "r" / "config").exists()


def test_init_json_has_its_keys(run: Runner, tmp_path: Path) -> None:
    base = run.with_base("-r", tmp_path / "r", "--key-file", tmp_path / "key")
    document = base("--json", "init", "--recovery").document
    assert list(document) == INIT
    assert re.fullmatch("[0-9a-f]{32}", document["repository"])
    assert len(document.pop("recovery_words").split()) == 24
    del document["repository"]
    assert document == {
        "location": str(tmp_path / "r"),
        "kind": "key-file",
        "maintainer": None,
        "mirror_of": None,
        "dry_run": False,
    }


def test_init_dry_run_writes_nothing(run: Runner, tmp_path: Path) -> None:
    base = run.with_base("-r", tmp_path / "r", "--key-file", tmp_path / "key")
    assert "nothing was written" in base("init", "--dry-run", "--recovery").out
    assert base("init", "--dry-run", "--json").document["repository"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_init_refuses_what_exists_before_making_a_key(
    hold: Runner, tmp_path: Path, arguments: list[str]
) -> None:
    other = hold.with_base("--key-file", tmp_path / "other-key")
    outcome = other("--json", "init", *arguments, code=1)
    assert outcome.error["error"] == "RepositoryExistsError"
    assert not (tmp_path / "other-key").exists()
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").touch()
    outcome = hold("-r", occupied, "init", code=1)
    assert outcome.err == (
        f"holdfast: cannot create a repository at {occupied}: the directory is not empty "
        "(it holds file); choose another location\n"
    )


def test_init_refuses_sizes_that_make_no_sense(run: Runner, tmp_path: Path) -> None:
    base = run.with_base("-r", tmp_path / "r", "--key-file", tmp_path / "key")
    assert "slice size 1.00 KiB" in base("init", "--slice-size", "1K", code=2).err
    assert "is not a size" in base("init", "--pack-size", "large", code=2).err
    assert "Argon2id memory" in base("init", "--argon2-memory", "1M", code=2).err
    assert not (tmp_path / "r").exists()


def test_keys_open_the_repository_until_they_are_removed(hold: Runner, tmp_path: Path) -> None:
    other = tmp_path / "other"
    added = hold("key", "add", "--label", "laptop", "--new-key-file", other, "--json").document
    assert list(added) == [*KEY_SLOT, "dry_run"]
    assert (added["kind"], added["label"], added["opened"]) == ("key-file", "laptop", False)
    slots = hold("key", "list", "--json").document
    assert [list(slot) for slot in slots] == [KEY_SLOT] * 2
    assert [slot["opened"] for slot in slots] == [True, False]

    with_other = hold.with_base("--key-file", other)
    assert [slot["opened"] for slot in with_other("key", "list", "--json").document] == [
        False,
        True,
    ]
    assert "laptop" in hold("key", "list").out
    assert hold("key", "remove", added["id"][:8], "--dry-run").out.startswith("would have removed")
    with_other("key", "list")
    hold("key", "remove", added["id"][:8])
    outcome = with_other("--json", "key", "list", code=12)
    assert outcome.error["error"] == "WrongKeyError"
    assert outcome.error["tried"] == "key file"


def test_the_slot_in_use_cannot_be_removed(hold: Runner) -> None:
    (slot,) = hold("key", "list", "--json").document
    outcome = hold("key", "remove", slot["id"], code=1)
    assert "is the one you opened the repository with" in outcome.err
    assert "no key slot begins with ffff" in hold("key", "remove", "ffff", code=1).err


def test_recovery_words_open_the_repository(run: Runner, hold: Runner, tmp_path: Path) -> None:
    assert hold("key", "recovery", "--dry-run").out.startswith("would have added a recovery key")
    outcome = hold("key", "recovery")
    assert "write them down" in outcome.err
    assert len(outcome.out.split()) == 24
    words = tmp_path / "words"
    words.write_text(outcome.out.upper().replace(" ", "\n"))
    by_words = run.with_base("-r", tmp_path / "repository", "--recovery-file", words)
    kinds = {slot["kind"]: slot["opened"] for slot in by_words("key", "list", "--json").document}
    assert kinds == {"key-file": False, "recovery": True}
    words.write_text("zoo " * 24)
    outcome = by_words("key", "list", code=12)
    assert "some words are wrong, missing or in the wrong order" in outcome.err
    document = hold("key", "recovery", "--json", "--label", "safe").document
    assert list(document) == [*KEY_SLOT, "words", "dry_run"]
    assert document["label"] == "safe"


def test_passwords_are_added_and_changed(run: Runner, hold: Runner, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old password\n")
    new.write_text("new password\n")
    hold("key", "add", "--new-password-file", old)
    by_password = run.with_base("-r", tmp_path / "repository", "--password-file", old)
    by_password("key", "passwd", "--new-password-file", new, "--dry-run")
    by_password("key", "passwd", "--new-password-command", f"cat {new}")
    assert "wrong password" in by_password("key", "list", code=12).err
    run("-r", tmp_path / "repository", "--password-file", new, "key", "list")
    outcome = hold("key", "passwd", "--new-password-file", new, code=1)
    assert "opened with a key-file slot" in outcome.err


def test_a_new_secret_comes_from_one_source(hold: Runner, tmp_path: Path) -> None:
    outcome = hold(
        "key", "add", "--new-password-file", "a", "--new-key-file", tmp_path / "b", code=2
    )
    assert "--new-password-file and --new-key-file exclude each other" in outcome.err
    assert not (tmp_path / "b").exists()
