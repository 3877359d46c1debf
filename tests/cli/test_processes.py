"""The program as a process: the whole round, interruptions, readers that go away."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.command_line import Outcome, environment_for_processes, run_on_terminal, run_process


@pytest.fixture
def base(tmp_path: Path) -> list[str]:
    """Global options of a fresh repository."""
    options = [
        *("-r", str(tmp_path / "repository")),
        *("--cache-dir", str(tmp_path / "cache")),
        *("--key-file", str(tmp_path / "key")),
    ]
    run_process(*options, "init").check()
    return options


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start `holdfast` and let it run."""
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast_cli", *(str(argument) for argument in arguments)],
        env=environment_for_processes(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> Outcome:
    """Wait for the end."""
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


def test_the_whole_round(base: list[str], tmp_path: Path, source: Path) -> None:
    run_process(*base, "backup", source).check()
    (snapshot,) = run_process(*base, "snapshots", "--json").check().document
    assert snapshot["paths"] == [str(source)]
    target = tmp_path / "target"
    run_process(*base, "restore", f"latest:{source}", "--target", target).check()
    assert (target / "inner" / "b.bin").read_bytes() == (source / "inner" / "b.bin").read_bytes()
    run_process(*base, "check", "--read-data").check()


def test_settings_come_from_the_environment(base: list[str], tmp_path: Path) -> None:
    environment = environment_for_processes(
        HOLDFAST_REPOSITORY=base[1], HOLDFAST_CACHE_DIR=base[3], HOLDFAST_KEY_FILE=base[5]
    )
    run_process("snapshots", env=environment).check()
    conflict = {**environment, "HOLDFAST_PASSWORD": "x"}
    outcome = run_process("snapshots", env=conflict).check(2)
    assert "HOLDFAST_PASSWORD and HOLDFAST_KEY_FILE exclude each other" in outcome.err


def test_the_module_and_standard_input(base: list[str], tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(b"-- dump\n" * 10_000)
    with path.open("rb") as stream:
        run_process(*base, "backup", "--stdin", stdin=stream).check()
    assert run_process(*base, "cat", "latest:stdin").check().out_bytes == path.read_bytes()


def endless_backup(base: list[str]) -> subprocess.Popen[bytes]:
    """Start a backup of a source that never ends, and wait until a pack is stored."""
    packs = Path(base[1]) / "packs"
    process = start(
        *base, "backup", "--compression", "off", "--stdin-from-command", "--", "cat", "/dev/urandom"
    )
    deadline = time.monotonic() + 60
    while not any(packs.glob("*/*")):
        assert process.poll() is None, end(process).err
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_backup_cleanly(base: list[str], number: signal.Signals) -> None:
    process = endless_backup(base)
    process.send_signal(number)
    outcome = end(process).check(130)
    assert outcome.err.splitlines()[-1] == "holdfast: interrupted"
    assert run_process(*base, "snapshots", "--json").check().document == []
    run_process(*base, "check", "--read-data").check()


def test_what_an_interrupted_backup_stored_is_used_by_the_next(
    base: list[str], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(os.urandom(70 << 20))
    packs = Path(base[1]) / "packs"
    process = start(*base, "backup", "--json", source)
    deadline = time.monotonic() + 60
    while not any(packs.glob("*/*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    outcome = end(process)
    if outcome.code == 0:
        pytest.skip("the machine was so fast that nothing was left to interrupt")
    outcome.check(130)
    stored = sum(path.stat().st_size for path in packs.glob("*/*"))
    assert stored > 0
    event = json.loads(run_process(*base, "backup", "--json", source).check().out.splitlines()[-1])
    assert event["bytes_added"] <= (140 << 20) - stored * 0.9
    run_process(*base, "check", "--read-data").check()


def test_a_second_signal_ends_at_once(base: list[str]) -> None:
    process = endless_backup(base)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 130


def test_an_ignored_hangup_stays_ignored(base: list[str]) -> None:
    begun = Path(base[1]).parent / "begun"
    script = f"touch {begun}; sleep 1; echo x"
    process = subprocess.Popen(
        [
            *("nohup", sys.executable, "-m", "holdfast_cli", *base),
            *("backup", "--stdin-from-command", "--", "sh", "-c", script),
        ],
        env=environment_for_processes(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    end(process).check(0)


def test_a_reader_that_goes_away_ends_a_listing_silently(base: list[str], tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(2000):
        (source / f"{number:060}").touch()
    run_process(*base, "backup", source).check()
    process = start(*base, "ls", "-R", "latest")
    assert process.stdout is not None
    assert process.stderr is not None
    select.select([process.stdout], [], [], 30)
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_terminal_gets_a_progress_bar_and_the_result(base: list[str]) -> None:
    script = "for i in 1 2 3 4 5 6; do head -c 3000000 /dev/zero; sleep 0.2; done"
    arguments = [*base, "backup", "--stdin-from-command", "--", "sh", "-c", script]
    code, seen = run_on_terminal(arguments, [])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert code == 0
    assert re.search(r"backup: [0-9.]+ \w+, [0-9.]+ \w+/s", text)
    assert re.search(r"snapshot [0-9a-f]{12} saved in", text)


def test_a_full_disk_is_told_and_harms_nothing(
    base: list[str], tmp_path: Path, source: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (source / "large").write_bytes(os.urandom(4 << 20))
    options = ["-r", str(disk / "repository"), *base[2:]]
    holdfast = [sys.executable, "-m", "holdfast_cli", *options]
    steps = [
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)],
        [*holdfast, "init", "--quiet"],
        [*holdfast, "backup", "--quiet", str(source / "a.txt")],
    ]
    script = " && ".join(shlex.join(step) for step in steps)
    script += f" || exit 99; {shlex.join([*holdfast, '--json', '-q', 'backup', str(source)])}"
    script += f"; code=$?; {shlex.join([*holdfast, 'check', '--read-data', '-q'])} || exit 98"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", f"{script}; exit $code"],
        env=environment_for_processes(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    if b"unshare" in done.stderr or b"mount" in done.stderr:
        pytest.skip("this machine does not allow a small file system to be mounted")
    outcome = Outcome(done.returncode, done.stdout, done.stderr).check(1)
    assert outcome.error["error"] == "OutOfSpaceError"
    assert outcome.error["location"] == str(disk / "repository")
    assert outcome.error["message"].endswith(
        "everything acknowledged so far is safe. Free space there, then run the command again"
    )
