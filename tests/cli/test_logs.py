"""`logs`, and what other commands tell of archived logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.local import LocalBackend
from holdfast.crypto.secrets import read_key_file
from holdfast.repository.repository import Repository
from holdfast_cli.exit_codes import ExitCode
from support.command_line import Runner
from support.json_keys import COPY_SUMMARY, LOG_BASE, LOG_GAP, LOGS
from support.logs import LogServer, names_of
from support.repos import open_repository


@pytest.fixture
def server(hold: Runner, tmp_path: Path, key_file: Path) -> LogServer:
    """A server with two base backups; two segments between the second one and the end are lost."""
    server = LogServer()
    with _opened(tmp_path, key_file) as repository:
        server.run(repository, 2)
        server.back_up(repository)
        server.run(repository, 2)
        server.back_up(repository)
        server.run(repository)
    return server


def _opened(tmp_path: Path, key_file: Path) -> Repository:
    secret = read_key_file(str(key_file))
    return open_repository(LocalBackend(str(tmp_path / "repository")), tmp_path / "other", secret)


def test_without_logs_it_says_so(hold: Runner) -> None:
    assert hold("logs").out == "no log is archived, and no base backup belongs to one\n"
    assert hold("logs", "--json").document == []


def test_it_shows_servers_bases_and_gaps(
    hold: Runner, server: LogServer, tmp_path: Path, key_file: Path
) -> None:
    lines = hold("logs").out.splitlines()
    assert lines[0].split() == ["Log", "Server", "First", "Last", "Segments", "Stored", "Missing"]
    assert lines[1].split()[:5] == ["wal", server.identity, server.name(1), server.name(7), "7"]
    assert lines[3].split()[0] == "Base"
    assert [line.split()[4:6] for line in lines[4:]] == [
        [server.name(3), server.name(7)],
        [server.name(6), server.name(7)],
    ]
    (found,) = hold("logs", "--json").document
    assert list(found) == LOGS
    assert [list(base) for base in found["bases"]] == [LOG_BASE, LOG_BASE]
    assert (found["segments"], found["gaps"], found["bases"][0]["gap"]) == (7, [], None)

    with _opened(tmp_path, key_file) as repository:
        server.archive(repository).remove([server.name(4), server.name(5)])
    shown = hold("logs", code=ExitCode.LOG_GAP)
    assert f"{server.name(4)} to {server.name(5)} are missing" in shown.err
    (found,) = hold("logs", "--json", code=ExitCode.LOG_GAP).document
    gap = {"first_missing": server.name(4), "last_missing": server.name(5), "count": 2}
    assert list(gap) == LOG_GAP
    assert (found["gaps"], found["bases"][0]["gap"]) == ([gap], gap)
    assert (found["bases"][0]["reaches"], found["bases"][1]["gap"]) == (server.name(3), None)
    events = hold("check", "--json", "-q", code=ExitCode.FINDINGS).events
    assert [event["event"] for event in events if event["event"] == "finding"] == ["finding"]
    assert (events[-1]["ok"], events[-1]["findings"]) == (True, 1)
    assert "missing" in hold("check", code=ExitCode.FINDINGS).err

    # A gap before the oldest base that is kept does no harm.
    ids = [one["id"] for one in hold("snapshots", "--json").document]
    hold("forget", ids[0])
    hold("logs")
    dry = hold("prune", "--dry-run").out
    assert "would remove 3 log segments that no base backup needs" in dry
    assert "removed 3 log segments" in hold("prune").out
    assert hold("prune", "--json", "-q").events[-1]["log_segments_removed"] == 0
    with _opened(tmp_path, key_file) as repository:
        assert names_of(repository, server) == [server.name(6), server.name(7)]
    assert "logs         1.35 KiB in 2 segments" in hold("stats").out
    assert hold("stats", "--json").document["log_segments"] == 2
    assert "2 log segments" in hold("check").out


def test_damage_is_reported(
    hold: Runner, server: LogServer, tmp_path: Path, key_file: Path
) -> None:
    for path in (tmp_path / "repository" / "logs").glob("*/*"):
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:100])
    assert "log segment" in hold("logs", code=ExitCode.DAMAGED).err
    hold("check", code=ExitCode.DAMAGED)


def test_copies_tell_what_became_of_logs(
    hold: Runner, run: Runner, server: LogServer, tmp_path: Path, key_file: Path
) -> None:
    there = run.with_base("-r", tmp_path / "copy", "--key-file", tmp_path / "key2")
    there("init")
    origin = ("--from", tmp_path / "repository", "--from-key-file", key_file)
    assert "would copy 5 log segments of" in there("copy", *origin, "--dry-run").out
    newest = hold("snapshots", "--json").document[-1]["id"]
    assert "copied 2 log segments of" in there("copy", *origin, newest).out
    assert there("copy", *origin, newest, "--json", "-q").events[-1]["log_segments"] == 0
    with _opened(tmp_path, key_file) as repository:
        name = server.archive(repository).object_name(server.name(4))
    path = tmp_path / "repository" / name
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    event = there("copy", *origin, "--json", "-q", code=ExitCode.DAMAGED).events[-1]
    assert list(event) == COPY_SUMMARY
    assert (event["log_segments"], len(event["log_problems"])) == (2, 1)
    assert "damaged" in there("copy", *origin, code=ExitCode.DAMAGED).err
