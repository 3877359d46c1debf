"""What restore-db does with archived logs: which backup, how a server fetches them, and gaps."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from holdfast.repository.log_archive import LogArchive
from holdfast_cli.opening import open_repository
from holdfast_cli.options import SecretKind, SecretSource, Settings
from holdfast_cli.own_command import own_command, program_words, secret_hint
from support import fake_database
from support.command_line import Runner, run_process
from support.fake_database import SEGMENT, save, write_server


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_database.install(monkeypatch)


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return write_server(tmp_path / "server", crm=["anna", "ben"], shop=2000)


def archive_segments(hold: Runner, identity: str, *numbers: int) -> None:
    """Put segments into the archive that a fake backup names."""
    with open_repository(settings_of(hold)) as repository:
        archive = LogArchive(repository, "wal", identity)
        for number in numbers:
            archive.push(f"{SEGMENT[:-1]}{number}", io.BytesIO(b"log"), 3)


def settings_of(hold: Runner) -> Settings:
    """Return what the base arguments of a runner mean."""
    words = dict(zip(hold.base[::2], hold.base[1::2], strict=True))
    return Settings(
        repository=words["-r"],
        secret=SecretSource(SecretKind.KEY_FILE, words["--key-file"]),
        cache_dir=words["--cache-dir"],
    )


def test_a_moment_between_backups(
    hold: Runner, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`latest` is the newest backup that was complete by then, and the server learns our command."""
    method = ("--method", "physical", "--set", "identity=77")
    old = save(hold, server, *method, "--time", "2026-11-01 01:00:00Z")["snapshot"]
    new = save(hold, server, *method, "--time", "2026-11-02 01:00:00Z")["snapshot"]
    save(hold, server, "--time", "2026-11-01 02:00:00Z")
    to = ("restore-db", "latest", "--target", tmp_path / "new", "--dry-run", "--json")
    between = ("--target-time", "2026-11-01T12:00:00Z")
    assert "no log of fake main is archived here" in hold(*to, *between, code=2).error["message"]
    archive_segments(hold, "77", 1)

    event = hold(*to, *between).events[-1]
    assert event["snapshot"] == old
    assert event["target_time"] == "2026-11-01T12:00:00.000000000Z"
    command = " ".join(own_command(settings_of(hold)))
    assert event["plan"][-1] == f"fetch by {command} wal-fetch until 1793534400000000000"
    assert str(tmp_path / "repository") in command
    event = hold(*to, "--to-end", "--recovery-target", "timeline=2").events[-1]
    assert event["snapshot"] == new
    assert event["plan"][-2:] == [f"fetch by {command} wal-fetch until None", "timeline is 2"]
    early = hold(*to, "--target-time", "2026-11-01T01:00:00Z", code=1).error["message"]
    assert "no snapshot of a database that matches method physical, complete by" in early
    # Without a moment too the server must begin a timeline of its own.
    assert hold(*to, "--method", "physical").events[-1]["plan"][-1].startswith("fetch by ")

    # What is told to a server works from any directory, as another process.
    monkeypatch.chdir(tmp_path)
    relative = hold.with_base("-r", "repository", "--key-file", "key")
    steps = relative(
        *to[:4], *between, "--json"
    ).events[-1]["steps"]  # fmt: skip
    assert steps[-1] == f"the server's user must be able to read {tmp_path}/key and the repository"
    assert own_command(settings_of(hold)) == own_command(
        Settings(
            repository=f"file://{tmp_path}/repository",
            secret=SecretSource(SecretKind.KEY_FILE, "key"),
            cache_dir="cache",
        )
    )
    words = [*own_command(settings_of(hold))[len(program_words()) :], "snapshots", "--json"]
    assert len(run_process(*words, cwd="/").check().document) == 3


def test_gaps_are_seen_before_anything_is_copied(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    saved = save(hold, server, "--method", "physical", "--set", "identity=77")
    archive_segments(hold, "77", 1, 2)
    to = ("restore-db", "latest", "--target", tmp_path / "new")
    late = ("--target-time", "2999-01-01")
    ahead = hold(*to, *late, "-n")
    assert "the archived log ends at" in ahead.err
    assert hold(*to, "--to-end", "-n").err == ""
    archive_segments(hold, "77", 5)
    gap = hold(*to, *late, "--json", code=39).error
    assert (gap["error"], gap["name"]) == ("LogGapError", f"{SEGMENT[:-1]}3")
    assert not (tmp_path / "new").exists()
    warned = hold(*to, "--to-end", "-n", "--recovery-target", "timeline=1")
    assert f"the log segment {SEGMENT[:-1]}3 is missing" in warned.err
    within = ("--target-time", "2020-01-01", "-n")
    assert hold(to[0], saved["snapshot"], *to[2:], *within).err == ""


@pytest.mark.parametrize(
    ("secret", "words", "hint"),
    [
        (None, [], "the password was typed"),
        (SecretSource(SecretKind.PASSWORD, "geheim"), [], "HOLDFAST_PASSWORD into its environment"),
        (
            SecretSource(SecretKind.PASSWORD_COMMAND, "pass show x"),
            ["--password-command", "pass show x"],
            "run the password command",
        ),
        (
            SecretSource(SecretKind.PASSWORD_FILE, "/etc/pw"),
            ["--password-file", "/etc/pw"],
            "read /etc/pw",
        ),
    ],
)
def test_a_secret_is_in_no_command(
    secret: SecretSource | None, words: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_CACHE_DIR", raising=False)
    settings = Settings(repository="s3://bucket/p?region=r", secret=secret)
    command = own_command(settings)
    assert command == [*program_words(), "-r", "s3://bucket/p?region=r", *words]
    assert "geheim" not in str(command)
    assert hint in (secret_hint(settings) or "")
