"""`dump`."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.archives import read_tar, read_zip, tar_content, untar
from support.command_line import (
    NOISE,
    Runner,
    damage,
    environment_for_processes,
    largest_pack,
    run_on_terminal,
)
from support.json_keys import DUMP_SUMMARY
from support.trees import read_tree


def test_a_directory_goes_to_standard_output(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    outcome = hold("dump", f"latest:{source}")
    assert outcome.err.startswith("3 files (125 KiB) of snapshot ")
    untar(outcome.out_bytes, tmp_path / "out")
    assert read_tree(os.fsencode(tmp_path / "out" / "source")) == read_tree(os.fsencode(source))
    found = read_zip(hold("dump", f"latest:{source}/", "--archive", "zip", "-q").out_bytes)
    assert found["source/inner/b.bin"] == NOISE


def test_a_whole_snapshot_and_a_single_file(hold: Runner, source: Path) -> None:
    hold("backup", source)
    members = read_tar(hold("dump", "latest").out_bytes)
    assert f"{source}/inner/b.bin"[1:] in members
    data = hold("dump", f"latest:{source}/a.txt").out_bytes
    assert list(read_tar(data)) == ["a.txt"]
    assert tar_content(data, "a.txt") == b"alpha\n"


def test_a_file_appears_when_it_is_complete(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    target = tmp_path / "out.zip"
    target.write_bytes(b"old")
    outcome = hold("dump", f"latest:{source}", "--output", target)
    assert outcome.out.rstrip().endswith(f": {target}")
    assert read_zip(target.read_bytes())["source/a.txt"] == b"alpha\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    events = hold("dump", f"latest:{source}", "-o", tmp_path / "x", "--json").events
    assert events[0]["event"] == "phase"
    assert list(events[-1]) == DUMP_SUMMARY
    assert (events[-1]["archive"], events[-1]["files"], events[-1]["links"]) == ("tar", 3, 0)
    assert events[-1]["bytes_written"] == (tmp_path / "x").stat().st_size
    assert sorted(path.name for path in tmp_path.glob("*unfinished*")) == []


def test_devices_and_pipes_are_written_to(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    hold("dump", f"latest:{source}", "-o", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real.tar")
    hold("dump", f"latest:{source}", "-o", link)
    assert link.is_symlink()
    assert "source/a.txt" in read_tar((tmp_path / "real.tar").read_bytes())


def test_what_makes_no_sense_is_refused(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    assert "not compressed" in hold("dump", "latest", "-o", "x.tar.gz", code=2).err
    assert "--output" in hold("dump", "latest", "--json", code=2).err
    assert "is a directory" in hold("dump", "latest", "-o", tmp_path, code=1).err
    missing = tmp_path / "no" / "x.tar"
    assert "no such file" in hold("dump", "latest", "-o", missing, code=1).err
    assert "is not in snapshot" in hold("dump", "latest:/nowhere", code=1).err
    if os.path.exists("/dev/full"):
        assert "no space left" in hold("dump", "latest", "-o", "/dev/full", code=1).err


def test_no_archive_goes_to_a_terminal(hold: Runner, source: Path) -> None:
    hold("backup", source)
    code, seen = run_on_terminal([*hold.base, "dump", "latest"], [])
    assert code == 2
    assert b"no text for a terminal" in seen


def test_damage_is_told_and_in_the_archive(hold: Runner, source: Path, tmp_path: Path) -> None:
    hold("backup", source)
    damage(largest_pack(tmp_path / "repository"))
    outcome = hold("dump", f"latest:{source}", code=13)
    members = read_tar(outcome.out_bytes)
    assert "source/inner/b.bin" not in members
    assert list(members)[-1] == "HOLDFAST-DAMAGE.txt"
    assert f"{source}/inner/b.bin: left out: " in outcome.err
    event = hold("dump", "latest", "-o", tmp_path / "x.zip", "--json", code=13).events[-1]
    assert (event["damaged"], event["findings"] >= 1) == (event["findings"], True)
    assert "HOLDFAST-DAMAGE.txt" in read_zip((tmp_path / "x.zip").read_bytes())


def test_what_a_format_lacks_is_exit_code_3(hold: Runner, source: Path) -> None:
    os.mkfifo(source / "fifo")
    hold("backup", source)
    hold("dump", f"latest:{source}")
    assert "cannot hold a fifo" in hold("dump", f"latest:{source}", "-a", "zip", code=3).err


@pytest.fixture
def long_source(tmp_path: Path) -> Path:
    """Enough to fill any pipe."""
    root = tmp_path / "long"
    root.mkdir()
    for number in range(3):
        (root / str(number)).write_bytes(random.Random(number).randbytes(5_000_000))
    time.sleep(0.03)
    return root


def start(hold: Runner, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command that writes to a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast_cli", *hold.base, *arguments],
        env=environment_for_processes(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_reader_that_goes_away_ends_it(hold: Runner, long_source: Path) -> None:
    hold("backup", long_source)
    process = start(hold, "dump", "latest")
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_an_interrupted_dump_leaves_no_file(
    hold: Runner, long_source: Path, tmp_path: Path
) -> None:
    hold("backup", long_source)
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    process = start(hold, "dump", "latest", "-o", str(fifo))
    with fifo.open("rb") as reader:
        assert reader.read(1000)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == b"holdfast: interrupted\n"


def test_a_failing_dump_leaves_the_old_file(
    hold: Runner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("backup", source)
    target = tmp_path / "out.tar"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    outcome = hold("dump", "latest", "-o", target, code=1)
    assert "no space left on device; choose another file" in outcome.err
    assert target.read_bytes() == b"old"
    assert list(tmp_path.glob("*unfinished")) == []
