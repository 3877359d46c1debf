"""Backups of streams and of what commands write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from holdfast.chunking import CUTTINGS, Profile
from holdfast.errors import CommandFailedError, ConfigurationError, SourceError
from holdfast.operations import backup_files, backup_session
from holdfast.operations.backup import BackupOptions, BackupResult
from holdfast.operations.backup_stream import backup_command, backup_stream
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer
from support.repos import check_all
from support.sessions import (
    HOST,
    backup,
    content_of,
    create,
    names_in,
    nodes_of,
    open_repository,
    random_bytes,
    snapshot_of,
)

OPTIONS = BackupOptions(host=HOST)
DATA = random_bytes(900_000)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(create(), tmp_path / "cache") as opened:
        yield opened


def stream_of(tmp_path: Path, data: bytes) -> IO[bytes]:
    path = tmp_path / "stream"
    path.write_bytes(data)
    return open(path, "rb", buffering=0)


def only_file(repository: Repository, result: BackupResult) -> tuple[bytes, bytes]:
    nodes = nodes_of(repository, snapshot_of(repository, result))
    path, node = list(nodes.items())[-1]
    return path, content_of(repository, node)


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
def test_a_stream_becomes_one_file(data: bytes, repository: Repository, tmp_path: Path) -> None:
    with stream_of(tmp_path, data) as stream:
        result = backup_stream(repository, stream, b"dumps/db.sql", OPTIONS)
    assert only_file(repository, result) == (b"/dumps/db.sql", data)
    snapshot = snapshot_of(repository, result)
    assert snapshot.paths == ("/dumps/db.sql",)
    assert (snapshot.stats.files_new, snapshot.stats.logical_bytes) == (1, len(data))


def test_a_pipe_that_gives_little_at_a_time(repository: Repository) -> None:
    code = (
        "import sys,time\nfor n in range(2000): sys.stdout.write('%09d ' % n); sys.stdout.flush()"
    )
    result = backup_command(repository, [sys.executable, "-c", code], b"out", OPTIONS)
    expected = b"".join(b"%09d " % number for number in range(2000))
    assert only_file(repository, result) == (b"/out", expected)


def test_the_same_stream_again_adds_nothing(repository: Repository, tmp_path: Path) -> None:
    options = BackupOptions(host=HOST, cutting=CUTTINGS[Profile.DUMP])
    results = []
    for data in (DATA, DATA, DATA[:400_000] + b"an insertion" + DATA[400_000:]):
        with stream_of(tmp_path, data) as stream:
            results.append(backup_stream(repository, stream, b"db", options))
    one, two, three = results
    assert one.stats.bytes_added >= len(DATA)
    assert two.parent == one.snapshot
    assert two.stats.files_unmodified == 1
    assert two.stats.blobs_added == 1, "only the page with the new time"
    assert three.stats.files_changed == 1
    assert three.stats.bytes_added < 100_000


@pytest.mark.parametrize("name", [b"", b"/", b".", b"..", b"/x/..", b"n" * 256, b"a\0b"])
def test_names_that_are_no_file_names(name: bytes, repository: Repository, tmp_path: Path) -> None:
    with stream_of(tmp_path, b"x") as stream, pytest.raises(ConfigurationError):
        backup_stream(repository, stream, name, OPTIONS)
    assert repository.snapshots() == []


def test_a_stream_that_cannot_be_read(repository: Repository, tmp_path: Path) -> None:
    with (
        open(tmp_path / "file", "wb", buffering=0) as write_only,
        pytest.raises(SourceError, match="bad file descriptor"),
    ):
        backup_stream(repository, write_only, b"x", OPTIONS)
    assert repository.snapshots() == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('x' * 9999); sys.exit('no such database')", "exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_a_command_that_fails_makes_no_snapshot(
    code: str, reason: str, repository: Repository
) -> None:
    with pytest.raises(CommandFailedError, match=reason):
        backup_command(repository, [sys.executable, "-c", code], b"out", OPTIONS)
    assert repository.snapshots() == []
    assert names_in(repository.backend, "index/") == []


def test_a_command_that_does_not_exist(repository: Repository) -> None:
    with pytest.raises(CommandFailedError, match="no such file"):
        backup_command(repository, ["/does/not/exist", "arg"], b"out", OPTIONS)


def test_a_command_is_not_run_through_a_shell(repository: Repository) -> None:
    result = backup_command(repository, ["echo", "$HOME;", "ls"], b"out", OPTIONS)
    assert only_file(repository, result)[1] == b"$HOME; ls\n"


def test_streams_and_trees_have_their_own_parents(repository: Repository, tmp_path: Path) -> None:
    with stream_of(tmp_path, DATA) as stream:
        streamed = backup_stream(repository, stream, b"db", OPTIONS)
    tree = backup(repository, tmp_path / "stream")
    assert tree.parent is None
    assert tree.stats.bytes_added < 2000, "the same data under another name"
    with stream_of(tmp_path, DATA) as stream:
        assert backup_stream(repository, stream, b"db", OPTIONS).parent == streamed.snapshot


def test_a_long_stream_keeps_few_ids_and_no_part_of_it_is_a_snapshot(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of new blobs move to the cache on the way: 110 bytes for each 4 KiB are 2.7 GB for 100 GB."""
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 20)
    monkeypatch.setattr(backup_files, "_PIPE_BUFFER_SIZE", 64 << 10)
    most = 0
    data = random_bytes(3_000_000)
    options = replace(OPTIONS, cutting=CUTTINGS[Profile.DUMP])
    commit_index = Writer.commit_index

    def watch(writer: Writer) -> None:
        nonlocal most
        most = max(most, len(writer.new))
        commit_index(writer)
        assert not repository.snapshots()

    monkeypatch.setattr(Writer, "commit_index", watch)
    with stream_of(tmp_path, data) as stream:
        result = backup_stream(repository, stream, b"db.sql", options)
    assert 20 <= most < 100
    assert only_file(repository, result)[1] == data
    with stream_of(tmp_path, data) as stream:
        assert backup_stream(repository, stream, b"other.sql", options).stats.blobs_added < 10
    assert check_all(repository).damage == []
