"""Changing files of the target where they are."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from holdfast.fs.target_rewrite import (
    clear_spans,
    identity_of,
    is_running,
    open_for_rewriting,
    unlock,
    write_zeros,
)

MIB = 1 << 20


def open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_what_cannot_be_opened_keeps_its_mode(tmp_path: Path) -> None:
    shutil.copy("/bin/sleep", tmp_path / "program")
    directory = open_directory(tmp_path)
    try:
        assert not is_running(b"program", directory)
        with subprocess.Popen([tmp_path / "program", "60"]) as running:
            try:
                assert is_running(b"program", directory)
                with pytest.raises(OSError, match=r".") as caught:
                    open_for_rewriting(b"program", directory, None)
                assert caught.value.errno == errno.ETXTBSY
                assert stat.S_IMODE((tmp_path / "program").stat().st_mode) == 0o755
            finally:
                running.kill()
    finally:
        os.close(directory)


def test_only_the_file_that_was_compared_is_opened(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(0o644)
    (tmp_path / "other").touch()
    directory = open_directory(tmp_path)
    try:
        other = identity_of((tmp_path / "other").stat())
        with pytest.raises(FileExistsError, match="something else got its name"):
            open_for_rewriting(b"f", directory, other)
        os.link(tmp_path / "f", tmp_path / "second")
        with pytest.raises(FileExistsError, match="one name"):
            open_for_rewriting(b"f", directory, identity_of((tmp_path / "f").stat()))
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644
    finally:
        os.close(directory)


@pytest.mark.parametrize("by_hole", [True, False])
def test_spans_read_as_zeros(tmp_path: Path, by_hole: bool) -> None:
    data = os.urandom(3 * MIB + 123)
    path = tmp_path / "f"
    with path.open("w+b") as file:
        file.write(data)
        file.truncate(5 * MIB)
        file.flush()
        if by_hole:
            clear_spans(file.fileno(), [(1000, 2 * MIB), (3 * MIB, 2 * MIB)])
        else:
            write_zeros(file.fileno(), 1000, 1000 + 2 * MIB)
            write_zeros(file.fileno(), 3 * MIB, 5 * MIB)
    expected = data[:1000] + bytes(2 * MIB) + data[1000 + 2 * MIB : 3 * MIB] + bytes(2 * MIB)
    assert path.read_bytes() == expected
    if not by_hole:
        assert path.stat().st_blocks * 512 < 4 * MIB  # what was a hole is one still


def test_symbolic_links_are_not_unlocked(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o400)
    (tmp_path / "link").symlink_to("f")
    directory = open_directory(tmp_path)
    try:
        unlock(b"link", directory, 0o700)
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o400
        unlock(b"f", directory, 0o200)
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    finally:
        os.close(directory)
