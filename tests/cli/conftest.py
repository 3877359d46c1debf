"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.command_line import NOISE, Runner


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Runner:
    """Runs command lines with a cache of their own."""
    return Runner(capsysbinary, ["--cache-dir", str(tmp_path / "cache")])


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Where the key file of `hold` is; made by its `init`."""
    return tmp_path / "key"


@pytest.fixture
def hold(run: Runner, tmp_path: Path, key_file: Path) -> Runner:
    """Runs command lines on a fresh repository that opens with a key file."""
    runner = run.with_base("-r", tmp_path / "repository", "--key-file", key_file)
    runner("init")
    return runner


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree: two files, a directory, a symbolic link, a name of strange bytes."""
    root = tmp_path / "source"
    (root / "inner").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"alpha\n")
    (root / "inner" / "b.bin").write_bytes(NOISE)
    (root / "link").symlink_to("a.txt")
    Path(os.fsdecode(os.fsencode(root) + b"/odd\xe9\x1b[31m")).write_bytes(b"odd")
    time.sleep(0.03)  # files younger than a tick of the kernel's clock would be read again
    return root
