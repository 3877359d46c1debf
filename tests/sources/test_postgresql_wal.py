"""The write-ahead log of real servers: archived by them, on a disk that fills up, and recovered from."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.database_errors import LogSegmentInvalidError
from holdfast.sources.postgresql.wal import (
    HEADER_LENGTH,
    WalKind,
    check_segment,
    decode_header,
    decode_system_id,
    following_names,
    parse_name,
    segment_name,
)
from support import postgres, server_program
from support.postgres import PostgresServer, postgres_server
from support.wal import make_segment

MIB = 1 << 20
SEGMENT_SIZES = [1 << bits for bits in range(20, 31)]


@given(st.integers(1, 2**32 - 1), st.sampled_from(SEGMENT_SIZES), st.integers(1, 2**33))
def test_names_and_addresses_agree(timeline: int, size: int, number: int) -> None:
    address = number * size % (1 << 64)
    text = segment_name(timeline, address + size // 3, size)
    name = parse_name(text)
    assert name is not None
    assert (name.timeline, name.kind, name.segment) == (timeline, WalKind.SEGMENT, text)
    assert name.address(size) == address
    following = following_names(name, size, 3)
    assert following == sorted(following)
    for step, one in enumerate(following, start=1):
        found = parse_name(one)
        assert found is not None
        assert found.address(size) == address + step * size


@given(st.integers(1, 2**64 - 1), st.sampled_from("<>"), st.sampled_from(SEGMENT_SIZES[:3]))
def test_headers_of_either_byte_order(system_id: int, order: str, size: int) -> None:
    data = make_segment(7, system_id=system_id, order=order, size=size)
    header = decode_header("x", data[:HEADER_LENGTH])
    name = parse_name(segment_name(1, 7 * size, size))
    assert name is not None
    check_segment(name, header, len(data), str(system_id))
    with pytest.raises(LogSegmentInvalidError):
        check_segment(name, header, len(data), str(system_id ^ 1))


@given(st.binary(max_size=48), st.integers(0, HEADER_LENGTH), st.integers(0, 48))
def test_any_bytes_are_a_header_or_an_error(noise: bytes, at: int, length: int) -> None:
    data = make_segment(7)[:at] + noise + make_segment(7)[at + len(noise) : length]
    assert decode_system_id(data) is None or len(data) >= 16
    try:
        size = decode_header("x", data).segment_size
    except LogSegmentInvalidError:
        return
    assert size in SEGMENT_SIZES


# -- real servers -------------------------------------------------------------------------------


@dataclass
class Archive:
    """A repository that servers reach, on a disk of its own where that can be had."""

    directory: Path
    holdfast: Path
    resize: Callable[[int], None] | None
    """Gives its disk so many bytes; None if it is not one of its own."""

    def settings(self) -> dict[str, str]:
        return {
            "archive_mode": "on",
            "archive_command": f"'{self.holdfast} wal-push \"%p\"'",
            "restore_command": f"'{self.holdfast} wal-fetch %f \"%p\"'",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [str(self.holdfast), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
            **server_program.as_server_user(),
        )


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    """An empty repository that belongs to the user that servers run as."""
    if reason := server_program.is_missing():
        pytest.skip(reason)
    user = postgres.system_user()
    base = Path(tempfile.mkdtemp(prefix="hf-wal-"))
    base.chmod(0o755)
    disk = base / "disk"
    disk.mkdir()
    mounted = _mount("-t", "tmpfs", "-o", f"size={64 * MIB}", "holdfast-test", str(disk))
    try:
        if user is not None:
            shutil.chown(base, user)
            shutil.chown(disk, user)
        program = server_program.write_program(
            base, "-r", str(disk / "repository"), "--key-file", str(base / "key"),
            "--cache-dir", str(base / "cache"),
        )  # fmt: skip

        def resize(size: int) -> None:
            assert _mount("-o", f"remount,size={size}", str(disk))

        archive = Archive(base, program, resize if mounted else None)
        done = archive.run("init")
        assert done.returncode == 0, done.stderr
        yield archive
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)
        shutil.rmtree(base, ignore_errors=True)


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def unarchived(server: PostgresServer) -> list[str]:
    status = server.data_directory / "pg_wal" / "archive_status"
    return sorted(name[:-6] for name in os.listdir(status) if name.endswith(".ready"))


def archive_all(server: PostgresServer) -> None:
    """End the segment that is being written, and wait until all is archived."""
    server.psql("postgres", "SELECT pg_switch_wal()")
    wait_for("all is archived", lambda: not unarchived(server))


def stored(archive: Archive) -> set[str]:
    return {path.name for path in (archive.directory / "disk").glob("repository/logs/*/*")}


def insert(server: PostgresServer, kibibytes: int) -> None:
    """Write so much to the log that cannot be compressed."""
    server.psql(
        "postgres",
        "INSERT INTO noise (data) SELECT string_agg(sha512((random()::text)::bytea), ''::bytea) "
        f"FROM generate_series(1, {kibibytes}) AS a, generate_series(1, 16) GROUP BY a",
    )


def content(server: PostgresServer) -> str:
    return server.psql("postgres", "SELECT count(*), sum(hashtext(data::text)) FROM noise")


def base_backup(server: PostgresServer, target: Path) -> None:
    words = [str(server.bin / "pg_basebackup"), "-h", server.host, "-p", str(server.port)]
    words += ["-U", server.user, "-D", str(target), "-X", "none", "-c", "fast"]
    done = subprocess.run(  # type: ignore[call-overload]
        words, env=server.environment, capture_output=True, **server_program.as_server_user()
    )
    assert done.returncode == 0, done.stderr


def recover(archive: Archive, base: Path, settings: dict[str, str]) -> PostgresServer:
    """Return a server that will recover on a copy of a base backup."""
    data = Path(tempfile.mkdtemp(prefix="data-", dir=archive.directory))
    data.rmdir()
    subprocess.run(["cp", "-a", str(base), str(data)], check=True)
    server = postgres.new_server(data_directory=data)
    server.configure(archive.settings() | settings)
    (data / "recovery.signal").touch()
    return server


def test_a_server_archives_survives_a_full_disk_and_is_recovered(archive: Archive) -> None:
    """One life of a server: small segments, a full disk, a recovery, a second timeline."""
    with postgres_server(settings=archive.settings(), initdb=["--wal-segsize=1"]) as first:
        first.psql("postgres", "CREATE TABLE noise (data bytea)")
        insert(first, 300)
        base = archive.directory / "base"
        base_backup(first, base)
        insert(first, 1500)
        archive_all(first)
        assert any(name.endswith("-2ebackup") for name in stored(archive)), "also labels"

        _fill_the_disk(archive, first)
        before = content(first)
        archive_all(first)
        _check_by_hand(archive, first)
    _recover_and_go_on(archive, base, before)
    _recovery_stops_when_the_archive_is_out_of_reach(archive, base)


def _fill_the_disk(archive: Archive, server: PostgresServer) -> None:
    if archive.resize is None:
        return  # nobody but root can make small disks; tests/crash has full ones too
    full = archive.directory / "disk"
    used = shutil.disk_usage(full).used
    archive.resize(used + 200_000)
    already = stored(archive)
    insert(server, 1200)
    server.psql("postgres", "SELECT pg_switch_wal()")

    def has_failed() -> bool:
        return "is full" in server.log and "failed with exit code 1" in server.log

    wait_for("the archiver meets the full disk", has_failed)
    waiting = unarchived(server)
    assert len(waiting) >= 2
    assert stored(archive) == already, "nothing that is not whole"
    insert(server, 100)  # the server itself goes on
    for name in waiting:
        assert (server.data_directory / "pg_wal" / name).exists(), "kept until it is safe"
    archive.resize(64 * MIB)
    wait_for("it catches up", lambda: not set(waiting) & set(unarchived(server)))
    assert len(stored(archive)) >= len(already) + len(waiting)


def _check_by_hand(archive: Archive, server: PostgresServer) -> None:
    """What the server has archived comes back byte for byte, and its name is taken."""
    pg_wal = server.data_directory / "pg_wal"
    done = [name for name in os.listdir(pg_wal / "archive_status") if name.endswith(".done")]
    segments = sorted(name[:-5] for name in done if len(name) == 29)
    assert len(segments) > 2
    target = archive.directory / "segment"
    for name in segments[:2]:
        assert archive.run("wal-push", str(pg_wal / name)).returncode == 0
        words = ("wal-fetch", name, str(target), "--system-id", _system_id(server))
        assert archive.run(*words).returncode == 0
        assert target.read_bytes() == (pg_wal / name).read_bytes()
    other = archive.directory / segments[0]
    other.write_bytes((pg_wal / segments[1]).read_bytes())
    assert "holds segment" in archive.run("wal-push", str(other)).stderr
    changed = bytearray((pg_wal / segments[0]).read_bytes())
    changed[-1] ^= 1
    other.write_bytes(changed)
    assert archive.run("wal-push", str(other)).returncode == 38


def _system_id(server: PostgresServer) -> str:
    return server.psql("postgres", "SELECT system_identifier FROM pg_control_system()")


def _recover_and_go_on(archive: Archive, base: Path, expected: str) -> None:
    second = recover(archive, base, {})
    try:
        second.start()
        wait_for(
            "the recovery ends",
            lambda: second.psql("postgres", "SELECT pg_is_in_recovery()") == "f",
        )
        assert content(second) == expected
        assert second.psql("postgres", "SELECT timeline_id FROM pg_control_checkpoint()") == "2"
        insert(second, 300)
        archive_all(second)
        assert {"00000002-2ehistory"} <= stored(archive)
        assert any(name.startswith("00000002000000") for name in stored(archive))
        pg_wal = second.data_directory / "pg_wal"
        assert not [name for name in os.listdir(pg_wal) if name.endswith(".part")]
        assert content(second) != expected
        last = content(second)
    finally:
        second.stop()
        shutil.rmtree(second.host, ignore_errors=True)
    # A standby follows the log over the switch to the second timeline.
    third = recover(archive, base, {"hot_standby": "on"})
    os.rename(third.data_directory / "recovery.signal", third.data_directory / "standby.signal")
    try:
        third.start()
        wait_for("the standby has all", lambda: content(third) == last)
    finally:
        third.stop()
        shutil.rmtree(third.host, ignore_errors=True)


def _recovery_stops_when_the_archive_is_out_of_reach(archive: Archive, base: Path) -> None:
    """Instead of going on with what it has: that would be the end of all that was archived."""
    repository = archive.directory / "disk" / "repository"
    os.rename(repository, f"{repository}-away")
    shutil.rmtree(archive.directory / "cache")
    server = recover(archive, base, {})
    try:
        with pytest.raises(RuntimeError):
            server.start()
        # Exit code 126 is that of a shell for a command that it cannot run: so it is called.
        assert "from archive: command not executable" in server.log
        assert "archive recovery complete" not in server.log
        assert "no repository at" in server.log
    finally:
        server.stop()
        shutil.rmtree(server.host, ignore_errors=True)
        os.rename(f"{repository}-away", repository)
