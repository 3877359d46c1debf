"""What goes wrong has a class, a sentence that says what to do, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.command_line import Runner, damage, largest_pack


def failure(runner: Runner, *arguments: str | Path, code: int) -> dict[str, Any]:
    """Run twice, for people and for programs; both must say the same. Return the event."""
    text = runner(*arguments, code=code)
    event = runner("--json", *arguments, code=code).error
    assert text.err.splitlines()[-1] == f"holdfast: {event['message']}"
    assert event.pop("event") == "error"
    assert event.pop("exit_code") == code
    return event


def test_no_repository_named(run: Runner) -> None:
    event = failure(run, "snapshots", code=2)
    assert event["error"] == "ConfigurationError"
    assert event["message"] == (
        "no repository was named; give one with -r LOCATION or in HOLDFAST_REPOSITORY"
    )


def test_no_repository_there(run: Runner, tmp_path: Path, key_file: Path, hold: Runner) -> None:
    location = str(tmp_path / "nowhere")
    event = failure(run, "-r", location, "--key-file", key_file, "snapshots", code=10)
    assert event == {
        "error": "RepositoryNotFoundError",
        "message": f"no repository at {location}; check the location, or create one with "
        f"`holdfast -r {location} init`",
        "location": location,
    }
    # Nobody is asked for a password of a repository that is not there.
    assert failure(run, "-r", location, "snapshots", code=10) == event


def test_wrong_password(hold: Runner, run: Runner, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("right")
    hold("key", "add", "--new-password-file", password)
    password.write_text("wrong")
    location = str(tmp_path / "repository")
    event = failure(run, "-r", location, "--password-file", password, "snapshots", code=12)
    assert event == {
        "error": "WrongKeyError",
        "message": f"wrong password for the repository at {location}; nothing was changed",
        "location": location,
        "tried": "password",
    }


def test_missing_key_file(hold: Runner, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    event = failure(hold, "--key-file", missing, "snapshots", code=12)
    assert event == {
        "error": "KeyFileError",
        "message": f"cannot use the key file {missing}: no such file or directory",
        "path": missing,
        "reason": "no such file or directory",
    }


def test_key_file_that_others_can_read(hold: Runner, key_file: Path) -> None:
    key_file.chmod(0o644)
    event = failure(hold, "snapshots", code=12)
    assert event["error"] == "KeyFileError"
    assert f"chmod 600 {key_file}" in event["message"]


def test_unsupported_version(hold: Runner, tmp_path: Path) -> None:
    config = tmp_path / "repository" / "config"
    data = bytearray(config.read_bytes())
    data[4:6] = (9).to_bytes(2, "little")
    config.chmod(0o600)
    config.write_bytes(data)
    event = failure(hold, "snapshots", code=1)
    location = str(tmp_path / "repository")
    assert event["error"] == "UnsupportedVersionError"
    assert event["message"] == (
        f"the repository at {location} has format version 9, this program knows up to 1; "
        "install a newer holdfast"
    )
    assert (event["found"], event["supported"]) == (9, 1)


def test_unknown_and_ambiguous_snapshots(hold: Runner, source: Path) -> None:
    event = failure(hold, "ls", "latest", code=1)
    assert event["message"] == "there is no snapshot yet; `holdfast backup PATH` makes one"
    hold("backup", source)
    ids: list[str] = [hold("snapshots", "--json").document[0]["id"]]
    event = failure(hold, "ls", "0" * 32, code=1)
    assert event["error"] == "SnapshotNotFoundError"
    assert event["message"] == f"no snapshot is named {'0' * 32}; `holdfast snapshots` lists them"
    while len({snapshot[0] for snapshot in ids}) == len(ids):
        hold("backup", source)
        ids = [item["id"] for item in hold("snapshots", "--json").document]
    digit = next(snapshot[0] for snapshot in ids[:-1] if snapshot[0] == ids[-1][0])
    event = failure(hold, "ls", digit, code=1)
    assert event["error"] == "AmbiguousSnapshotError"
    assert sorted(event["candidates"]) == sorted(each for each in ids if each.startswith(digit))
    assert event["message"].startswith(f"{digit} fits 2 snapshots (")
    assert event["message"].endswith("; give more digits")
    event = failure(hold, "ls", "not-hex", code=2)
    assert event["message"] == (
        "'not-hex' names no snapshot; give `latest` or the first digits of an id"
    )


def test_unknown_path(hold: Runner, source: Path) -> None:
    hold("backup", source)
    snapshot = hold("snapshots", "--json").document[0]["id"]
    event = failure(hold, "cat", f"latest:{source}/absent", code=1)
    assert event == {
        "error": "PathNotFoundError",
        "message": f"{source}/absent is not in snapshot {snapshot[:12]}; "
        f"`holdfast ls {snapshot[:12]}` shows what is",
        "snapshot": snapshot,
        "path": f"{source}/absent",
    }


def test_sources_that_cannot_be_read(hold: Runner, source: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    event = failure(hold, "backup", absent, code=1)
    assert event["error"] == "SourceError"
    assert event["message"] == (
        f"cannot back up {absent}: no such file or directory; no snapshot was made"
    )
    assert hold("snapshots", "--json").document == []
    outcome = hold("backup", source, absent, code=3)
    assert outcome.err.splitlines() == [
        f"holdfast: {absent}: no such file or directory",
        "holdfast: 1 problem; the snapshot lacks what could not be read",
    ]
    events = hold("backup", source, absent, "--json", code=3).events
    assert {"event": "finding", "path": absent, "problem": "no such file or directory"} in events
    assert events[-1]["findings"] == 1
    assert hold("backup", source, absent, "-q", code=3).err.startswith(f"holdfast: {absent}: ")


def test_a_command_that_fails(hold: Runner) -> None:
    script = "echo x; echo oh no >&2; exit 4"
    event = failure(hold, "backup", "--stdin-from-command", "--", "sh", "-c", script, code=1)
    assert event["error"] == "CommandFailedError"
    assert event["reason"] == "exit code 4"
    assert event["message"].endswith("its output was not kept as a snapshot")
    event = failure(hold, "backup", "--stdin-from-command", "--", "/no/such/program", code=1)
    assert event["reason"] == "no such file or directory"
    assert hold("snapshots", "--json").document == []


def test_a_damaged_pack(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    damage(largest_pack(tmp_path / "repository"))
    event = failure(hold, "cat", f"latest:{source}/inner/b.bin", code=13)
    assert event["error"] in ("AuthenticationError", "HashMismatchError", "FormatError")
    assert event["message"].endswith(
        "run `holdfast check --read-data` to see which files are affected"
    )


def test_a_damaged_config(hold: Runner, tmp_path: Path) -> None:
    damage(tmp_path / "repository" / "config")
    event = failure(hold, "snapshots", code=13)
    assert event["kind"] == "config"


def test_a_location_that_is_none(run: Runner, key_file: Path, hold: Runner) -> None:
    event = failure(run, "-r", "ftp://host/path", "--key-file", key_file, "snapshots", code=2)
    assert event["error"] == "ConfigurationError"


def test_a_cache_that_cannot_be_used(hold: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    event = failure(hold, "--cache-dir", tmp_path / "file" / "cache", "snapshots", code=1)
    assert event["error"] == "CacheError"
    assert "--cache-dir" in event["message"]


def test_no_home_directory(
    hold: Runner, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "not-absolute")
    bare = Runner(hold._capture, ["-r", str(tmp_path / "repository"), "--key-file", str(key_file)])
    event = failure(bare, "snapshots", code=2)
    assert event["message"] == (
        "there is no home directory to keep the cache in; "
        "name a directory with --cache-dir or in HOLDFAST_CACHE_DIR"
    )


def test_an_unreadable_file_is_a_finding(hold: Runner, source: Path) -> None:
    # Reading it fails whoever asks, root included.
    unreadable = Path("/proc/self/mem")
    outcome = hold("backup", source, unreadable, code=3)
    assert outcome.err.splitlines()[0] == f"holdfast: {unreadable}: input/output error"
    assert outcome.out.startswith("snapshot ")
    assert hold("cat", f"latest:{source}/a.txt").out == "alpha\n"
