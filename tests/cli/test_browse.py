"""`holdfast browse` on a real terminal."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.browse.app import BrowseApp, Start
from holdfast_cli.browse.library import Library
from holdfast_cli.browse.series import Series
from holdfast_cli.opening import open_repository
from holdfast_cli.options import SecretKind, SecretSource, Settings
from support.command_line import Runner, environment_for_processes, largest_pack, run_process
from support.terminal import Terminal, is_missing

needs_terminal = pytest.mark.skipif(bool(is_missing()), reason=is_missing() or "tmux is there")
Opener = Callable[..., Terminal]


@pytest.fixture
def two_snapshots(hold: Runner, source: Path) -> Path:
    """A repository with two snapshots of `source`, which changed in between, and one of a host."""
    hold("backup", source, "--host", "laptop")
    (source / "a.txt").write_bytes(b"alpha\nbeta\n")
    (source / "link").unlink()
    (source / "new").write_bytes(b"new")
    hold("backup", source, "--host", "laptop")
    hold("backup", source / "inner", "--host", "web")
    return source


@pytest.fixture
def browse(two_snapshots: Path, tmp_path: Path, key_file: Path) -> Opener:
    """Starts the browser on that repository."""

    def start(*arguments: str, width: int = 80, height: int = 24, **changes: str) -> Terminal:
        command = [
            sys.executable, "-m", "holdfast_cli", "browse", "-r", str(tmp_path / "repository"),
            "--key-file", str(key_file), "--cache-dir", str(tmp_path / "cache"), *arguments,
        ]  # fmt: skip
        environment = environment_for_processes(**changes)
        return Terminal(
            command, width=width, height=height, environment=environment, directory=str(tmp_path)
        )

    return start


@needs_terminal
def test_from_hosts_to_a_file_and_back(browse: Opener) -> None:
    with browse() as terminal:
        terminal.wait_for(r"laptop +2 ", r"web +1 ", r"Enter open", r"\? keys")
        terminal.press("Enter")
        terminal.wait_for(r"holdfast › laptop$", "2 snapshots")
        terminal.press("Enter")
        screen = terminal.wait_for(r"4 entries · 1 gone since", r"M a\.txt +11 B", r"\+ new")
        assert r"odd\xe9\x1b[31m" in screen
        assert "2 of 2" in screen
        terminal.press("Down", "Enter")
        terminal.wait_for(r"^alpha$", r"^beta$", "lines 1 to 2 of 2")
        terminal.press("x")
        terminal.wait_for("61 6c 70 68 61 0a")
        terminal.press("d")
        terminal.wait_for(r"^\+beta", r"^ alpha", "^@@")
        terminal.press("Escape")
        terminal.wait_for("4 entries")
        assert "▌" in terminal.line("a.txt")  # where the cursor was
        terminal.press("[")
        terminal.wait_for("1 of 2", "link → a.txt")
        assert "▌" in terminal.line("a.txt")
        terminal.press("BSpace")
        terminal.wait_for("2 snapshots")
        terminal.press("BSpace")
        terminal.wait_for("2 hosts")
        terminal.press("q")
        terminal.wait_for("^ended with 0")


@needs_terminal
def test_what_is_marked_is_restored(browse: Opener, tmp_path: Path) -> None:
    with browse("--host", "laptop", "latest") as terminal:
        terminal.wait_for("4 entries")
        terminal.press("Space", "Down", "Space")
        terminal.wait_for("● 2 marked", r"●M? +inner", "●[+] new")
        terminal.press("r")
        terminal.wait_for("Restore 2 entries", "→ .*/restored/inner", "there is nothing yet")
        terminal.press("C-u")
        terminal.type("out/here")
        terminal.wait_for("→ .*/out/here/new")
        terminal.press("Enter")
        terminal.wait_for("Restored", "2 files written", "Enter close")
        assert (tmp_path / "out/here/new").read_bytes() == b"new"
        assert (tmp_path / "out/here/inner/b.bin").stat().st_size == 128_000
        terminal.press("Enter")
        terminal.wait_for("4 entries", gone="marked")
        terminal.press("Up")
        terminal.wait_for(r"^▌.*\+ new")
        (tmp_path / "source/new").write_bytes(b"changed")
        terminal.press("r")
        terminal.wait_for("Restore 1 entry")
        terminal.press("Tab")
        terminal.wait_for("‹ stays")
        terminal.press("Space")
        terminal.wait_for("‹ is replaced where it differs ›")
        terminal.press("Tab", "Space", "Space")
        terminal.wait_for("‹ in their own places ›", "entries with these names change")
        terminal.press("Enter")
        terminal.wait_for("Restored", "1 file written")
        assert (tmp_path / "source/new").read_bytes() == b"new"
        terminal.press("Enter")
        terminal.wait_for("4 entries", gone="Restored")
        terminal.press("C-c")
        terminal.wait_for("^restored: ", "2 files written", "^ended with 0")


@needs_terminal
def test_filter_find_changes_and_versions(browse: Opener, two_snapshots: Path) -> None:
    with browse(f"latest:{two_snapshots}", "--host", "laptop", width=140, height=40) as terminal:
        terminal.wait_for("4 entries", r"type +directory", r"b\.bin")  # the preview at the right
        terminal.press("/")
        terminal.wait_for("Enter keep this filter")
        terminal.type("*.TXT")
        terminal.wait_for(r"a\.txt", "modified", r"^ *\*\.TXT", gone=r"\+ new")
        terminal.press("Escape")
        terminal.wait_for(r"\+ new")
        terminal.press("f")
        terminal.type("bin")
        terminal.press("Enter")
        terminal.wait_for("“bin” below", r"inner/b\.bin +125 KiB", "1 result")
        terminal.press("Escape")
        terminal.wait_for("4 entries")
        terminal.press("d")
        terminal.wait_for(r"\+ new", r"- link", r"M a\.txt", "1 added, 1 removed, 1 modified")
        terminal.press("Enter")
        terminal.wait_for(r"^\+beta")
        terminal.press("v")
        terminal.wait_for("versions of .*a.txt in 2 snapshots", "2 versions", r"  11 B", r"   6 B")
        terminal.press("Escape")
        terminal.wait_for(r"^\+beta")
        terminal.press("?")
        terminal.wait_for("In front of names")
        terminal.press("Escape")
        terminal.wait_for(r"^\+beta", gone="In front of names")


@needs_terminal
def test_signals_set_the_terminal_right(browse: Opener) -> None:
    with browse() as terminal:
        terminal.wait_for("2 hosts")
        os.kill(terminal.program_id(), signal.SIGTERM)
        terminal.wait_for("^ended with 130", gone="hosts")


@needs_terminal
def test_colours_are_its_own_and_grey_if_wanted(browse: Opener) -> None:
    for no_color in ("", "1"):
        variables = {"COLORTERM": "truecolor", **({"NO_COLOR": no_color} if no_color else {})}
        with browse(**variables) as terminal:
            terminal.wait_for("2 hosts")
            drawn = terminal.screen(colours=True)
        # A line without a background would be light on light in many terminals.
        assert all("48;2;" in line for line in drawn.splitlines()[:3])
        spans = [
            max(map(int, rgb)) - min(map(int, rgb))
            for rgb in re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", drawn)
        ]
        assert (max(spans) > 50) is not bool(no_color)


@needs_terminal
def test_it_ends_with_its_terminal(browse: Opener) -> None:
    with browse() as terminal:
        terminal.wait_for("2 hosts")
        program = f"/proc/{terminal.program_id()}"
        terminal.hang_up()
        limit = time.monotonic() + 20
        while os.path.exists(program):
            assert time.monotonic() < limit, "the program waits for a terminal that is gone"
            time.sleep(0.02)


@needs_terminal
def test_damage_is_seen_and_told(browse: Opener, tmp_path: Path) -> None:
    pack = largest_pack(tmp_path / "repository")
    data = bytearray(pack.read_bytes())
    data[1000:-1000] = bytes(len(data) - 2000)
    pack.chmod(0o600)
    pack.write_bytes(data)
    with browse("--host", "web", "latest") as terminal:
        terminal.wait_for("1 entry", r"b\.bin")
        terminal.press("Enter")
        terminal.wait_for("the rest cannot be read", "is damaged")
        terminal.press("q")
        terminal.wait_for("^holdfast: .* is damaged", "^ended with 13")


def test_a_defect_is_told_as_everywhere(tmp_path: Path, hold: Runner) -> None:
    class Defective(Library):
        def load(self) -> Series:
            raise RuntimeError("a defect")

    hold("backup", tmp_path / "key")
    settings = Settings(
        repository=str(tmp_path / "repository"),
        secret=SecretSource(SecretKind.KEY_FILE, str(tmp_path / "key")),
        cache_dir=str(tmp_path / "cache"),
    )
    with open_repository(settings) as repository:
        app = BrowseApp(
            Defective(repository, settings, SnapshotFilter()), Start(wanted=SnapshotFilter())
        )
        app.run(headless=True)
        app.wait()
    assert "a defect" in str(app.error)


@needs_terminal
def test_it_shows_something_soon(browse: Opener) -> None:
    began = time.monotonic()
    with browse("latest", "--host", "laptop") as terminal:
        terminal.wait_for("4 entries")
        # It takes half a second; the machine may be busy with other tests.
        assert time.monotonic() - began < 5


def test_errors_are_one_sentence(hold: Runner, browse: Opener) -> None:
    assert "with --json use ls" in hold("browse", "--json", code=2).error["message"]
    assert "needs a terminal" in run_process("browse").check(2).err
    if not is_missing():
        with browse("nope") as terminal:
            terminal.wait_for("'nope' names no snapshot", "^ended with 2")
