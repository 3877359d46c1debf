"""A restore that dies at any step is continued, and ends as if it had not died.

At each step in between, a file that looks finished is finished, what is replaced is there in its
old or in its new state, and nothing outside of the target is touched.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.format.node import Node
from holdfast.operations.restore import Overwrite
from support.restoring import killed_at, run_restore, state_of
from support.trees import DictSource, EntryState, snapshot_tree

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
CONTINUED = {**EVERYTHING, "overwrite": Overwrite.IF_CHANGED}
PIECES = random.Random(1).randbytes(9 * 4096)
OTHER = random.Random(2).randbytes(9 * 4096)
IN_PLACE = (b"in place", b"longer", b"sparse")
OLD = 1_400_000_000_000_000_000
NEW = 1_600_000_000_000_000_000


def put(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def date(root: Path, mtime_ns: int) -> None:
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def build_origin(root: Path) -> None:
    """What the snapshot holds: each kind of entry for each way to restore it."""
    put(root / "equal", b"the same")
    put(root / "in place", PIECES)
    put(root / "longer", PIECES + b"more")
    with (root / "sparse").open("wb") as file:
        file.write(PIECES)
        file.truncate(1 << 20)
    put(root / "metadata", b"the same", 0o600)
    put(root / "new", b"new")
    put(root / "small", b"new content of a small file")
    put(root / "new in pieces", PIECES[::-1])
    put(root / "program", b"#!/bin/sh\n" + PIECES, 0o755)
    put(root / "secret", PIECES, 0o600)
    put(root / "with a name elsewhere", b"right")
    (root / "file to directory").mkdir()
    put(root / "file to directory" / "inner", b"inner")
    put(root / "directory to file", b"file")
    (root / "file to link").symlink_to("/nowhere")
    (root / "link to link").symlink_to("right")
    put(root / "link to file", b"file")
    os.mkfifo(root / "file to fifo")
    put(root / "d" / "linked", b"linked")
    os.link(root / "d" / "linked", root / "linked too")
    put(root / "read only" / "deep" / "f", b"f")
    (root / "read only" / "deep").chmod(0o555)
    os.setxattr(root / "metadata", "user.right", b"x")
    date(root, NEW)


def build_target(root: Path, outside: Path) -> None:
    """What is there before, with ways out of it."""
    put(root / "equal", b"the same")
    put(root / "in place", PIECES[:8192] + OTHER[8192:20_000] + PIECES[20_000:])
    put(root / "longer", PIECES[:5000])
    put(root / "small", b"old")
    put(root / "sparse", PIECES + OTHER * 2)
    put(root / "metadata", b"the same")
    os.setxattr(root / "metadata", "user.wrong", b"x")
    put(root / "program", b"#!/bin/sh\n" + OTHER, 0o700)
    put(root / "secret", OTHER)
    put(outside / "elsewhere", b"wrong")
    os.link(outside / "elsewhere", root / "with a name elsewhere")
    put(root / "file to directory", b"file")
    put(root / "directory to file" / "inner" / "f", b"inner")
    put(root / "file to link", b"file")
    (root / "link to link").symlink_to(outside)
    (root / "link to file").symlink_to(outside / "elsewhere")
    put(root / "file to fifo", b"file")
    put(root / "d" / "linked", b"linked")
    put(root / "linked too", b"linked")
    put(root / "extra" / "f", b"extra")
    (root / "extra" / "out").symlink_to(outside)
    put(root / "read only" / "deep" / "f", b"g")
    (root / "read only" / "deep").chmod(0o555)
    date(root, OLD)


class Case:
    """A snapshot, and a target to restore it into."""

    def __init__(self, base: Path) -> None:
        self.origin, self.target, self.outside = base / "origin", base / "target", base / "outside"
        build_origin(self.origin)
        self.source = DictSource()
        self.node: Node = snapshot_tree(self.source, bytes(self.origin), b"origin")
        self.wanted = state_of(self.origin)
        self.reset()
        self.before = state_of(self.target)

    def reset(self) -> None:
        for path in (self.target, self.outside):
            shutil.rmtree(path, ignore_errors=True)
        build_target(self.target, self.outside)
        self.elsewhere = state_of(self.outside)

    def restore(self, **options: Any) -> None:
        result = run_restore(self.source, self.node, self.target, **options)
        assert result.findings == []

    def judge_interrupted(self) -> None:
        assert without_names(state_of(self.outside)) == without_names(self.elsewhere)
        for name, state in state_of(self.target).items():
            new, old = self.wanted.get(name), self.before.get(name)
            if new is not None and state.kind == new.kind and state.mtime_ns == new.mtime_ns:
                assert state.body == new.body, f"{name!r} looks finished and is not"
            elif name.rpartition(b"/")[2].startswith(b".holdfast-restore-"):
                continue
            elif new is not None and old is not None and name not in IN_PLACE:
                # Nothing but what is rewritten in place was seen half done.
                assert state.body in (old.body, new.body), name
            if name == b"secret" and state.body != self.before[name].body:
                assert not state.mode & 0o077, "nobody may read what he may not"
        for name in (
            b"small",
            b"secret",
            b"program",
            b"link to link",
            b"file to link",
            b"linked too",
        ):
            assert os.path.lexists(os.path.join(bytes(self.target), name)), "it never is away"

    def judge_finished(self) -> None:
        assert state_of(self.target) == self.wanted
        assert without_names(state_of(self.outside)) == without_names(self.elsewhere)


def without_names(states: dict[bytes, EntryState]) -> list[tuple[object, ...]]:
    return [(name, s.kind, s.mode, s.mtime_ns, s.body) for name, s in sorted(states.items())]


def run_all(tmp_path: Path, first: dict[str, Any], then: dict[str, Any]) -> int:
    """Die at each step of the first restore in turn; return how many there are."""
    case = Case(tmp_path)
    step = 1
    while killed_at(step, lambda: case.restore(**first)):
        case.judge_interrupted()
        case.restore(**then)
        case.judge_finished()
        case.reset()
        step += 1
    case.judge_finished()
    return step - 1


def test_death_at_each_step_of_a_restore_in_place(tmp_path: Path) -> None:
    assert run_all(tmp_path, EVERYTHING, CONTINUED) > 80


def test_death_at_each_step_of_a_continued_restore(tmp_path: Path) -> None:
    """The second run dies as well, wherever the first one did."""
    case = Case(tmp_path)
    chance = random.Random(3)
    for _ in range(25):
        for _ in range(4):
            killed_at(chance.randrange(1, 60), lambda: case.restore(**CONTINUED))
            case.judge_interrupted()
        case.restore(**CONTINUED)
        case.judge_finished()
        case.reset()


@pytest.mark.parametrize("blobs", range(0, 60, 6))
def test_death_between_pieces(tmp_path: Path, blobs: int) -> None:
    """Files of many pieces are written as their blobs come, in any order."""

    class Dying(DictSource):
        left = -1

        def fetch(self, ids):  # type: ignore[no-untyped-def]
            for item in super().fetch(ids):
                if self.left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.left -= 1
                yield item

    case = Case(tmp_path)
    source = Dying()
    source.blobs, source.pages = case.source.blobs, case.source.pages
    case.source = source

    def die() -> None:
        source.left = blobs
        case.restore(**EVERYTHING)

    killed = killed_at(1_000_000, die)
    assert killed or blobs > 20
    case.judge_interrupted() if killed else case.judge_finished()
    case.restore(**CONTINUED)
    case.judge_finished()


def test_processes_killed_at_any_moment(tmp_path: Path) -> None:
    """The whole program with a real repository, killed and started again until it is through."""
    source = tmp_path / "source"
    chance = random.Random(4)
    for number in range(300):
        put(source / f"{number % 7}" / f"{number}", chance.randbytes(chance.randrange(20_000)))
    put(source / "large", chance.randbytes(8 << 20))
    base = [sys.executable, "-m", "holdfast_cli", "-r", str(tmp_path / "repository")]
    base += ["--cache-dir", str(tmp_path / "cache"), "--key-file", str(tmp_path / "key"), "-q"]
    environment = {"PYTHONPATH": f"{ROOT}/engine:{ROOT}/cli", "PYTHONDONTWRITEBYTECODE": "1"}

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*base, *arguments], env=environment)

    for arguments in (["init"], ["backup", str(source)]):
        assert start(*arguments).wait() == 0
    wanted = state_of(source)
    put(source / "large", chance.randbytes(8 << 20))
    for number in range(0, 300, 3):
        (source / f"{number % 7}" / f"{number}").unlink()
    put(source / "extra", b"x")
    command = ["restore", f"latest:{source}", "--in-place", "--overwrite", "if-changed", "--delete"]
    killed = 0
    for tenths in (1, 3, 5, 7):
        with start(*command) as process:
            _wait_until(lambda: process.poll() is not None or not (source / "extra").exists())
            time.sleep(tenths / 100)
            killed += process.poll() is None
            process.kill()
    assert killed
    assert start(*command, "--verify").wait() == 0
    assert state_of(source) == wanted


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
