"""What cannot be mounted: one sentence, the right exit code, and nothing mounted."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import Runner, environment_for_processes, run_process
from support.mounting import Store, mounted_at, unmount_at


@pytest.fixture
def hold(capsysbinary: pytest.CaptureFixture[bytes], store: Store) -> Runner:
    return Runner(capsysbinary, store.base)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    was_mounted = mounted_at(path)
    unmount_at(path)
    assert not was_mounted


def refused(hold: Runner, path: Path, *words: str, code: int = 30) -> str:
    """The one sentence that is told."""
    outcome = hold("mount", *words, path, code=code)
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("holdfast: ")
    return line


def test_no_directory(hold: Runner, tmp_path: Path) -> None:
    assert "there is no such directory; make it first" in refused(hold, tmp_path / "missing")


def test_a_file(hold: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is no directory" in refused(hold, tmp_path / "file")


def test_not_empty(hold: Runner, tmp_path: Path) -> None:
    (tmp_path / "full" / "sub").mkdir(parents=True)
    assert "not empty" in refused(hold, tmp_path / "full")


def test_mounted_already(hold: Runner, store: Store, source: Path) -> None:
    store.back_up(source)
    with store.mount() as mounted:
        assert "something is mounted there already" in refused(hold, mounted.mountpoint)
        assert (mounted.at(source) / "a.txt").read_bytes() == b"alpha\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts without a server, which only root may")
def test_a_dead_mount(hold: Runner, empty: Path) -> None:
    """What says nothing but ENOTCONN is named, with the command that ends it."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    done = libc.mount(b"dead", bytes(empty), b"fuse", 0, options)
    os.close(device)
    assert done == 0, errno.errorcode[ctypes.get_errno()]
    try:
        line = refused(hold, empty)
        assert f"a mount that has died is still there; run `fusermount3 -u {empty}`" in line
    finally:
        unmount_at(empty)


def test_no_fusermount3(
    hold: Runner, empty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "fusermount3 is missing; install the package fuse3" in refused(hold, empty)


def test_no_mfusepy(empty: Path, store: Store) -> None:
    """An interpreter that does not find the package says how to install it."""
    program = (
        "import sys; sys.modules['mfusepy'] = None;"
        "from holdfast_cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *store.base, "mount", str(empty)],
        env=environment_for_processes(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "pip install 'holdfast[mount]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--foreground"]])
def test_no_libfuse(words: list[str], empty: Path, store: Store, tmp_path: Path) -> None:
    """The package is there, and the library that it needs is not."""
    environment = environment_for_processes(FUSE_LIBRARY_PATH=str(tmp_path / "libfuse3.so"))
    outcome = run_process(*store.base, "mount", *words, empty, env=environment).check(30)
    assert "libfuse 3 cannot be loaded" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--foreground"]])
def test_a_wrong_password_and_no_repository(
    words: list[str], store: Store, empty: Path, tmp_path: Path
) -> None:
    """Told on the terminal with its code, also where the mount would be in the background."""
    (tmp_path / "password").write_text("wrong")
    base: list[str | Path] = ["-r", store.path, "--cache-dir", tmp_path / "cache"]
    wrong = [*base, "--password-file", tmp_path / "password"]
    outcome = run_process(*wrong, "mount", *words, empty).check(12)
    assert outcome.err.startswith("holdfast: wrong password for the repository at ")
    assert outcome.err.count("\n") == 1
    shutil.rmtree(store.path)
    outcome = run_process(*store.base, "--json", "mount", *words, empty).check(10)
    assert outcome.error["error"] == "RepositoryNotFoundError"


def test_a_log_that_cannot_be_written(hold: Runner, empty: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(hold, empty, "--log", str(tmp_path / "file/log"), code=2)
    assert "the log" in line
    assert "--log" in line


@pytest.mark.parametrize("words", [["--log", "mnt/log"], ["--cache-dir", "mnt/cache"]])
def test_over_what_is_needed(
    capsysbinary: pytest.CaptureFixture[bytes], store: Store, empty: Path, words: list[str]
) -> None:
    """A mount that hides its own cache would wait for itself."""
    option, place = words[0], str(empty.parent / words[1])
    base = [*store.base, *([option, place] if option == "--cache-dir" else [])]
    rest = [option, place] if option == "--log" else []
    line = refused(Runner(capsysbinary, base), empty, *rest)
    assert f"{place} would be hidden below it" in line
    assert os.listdir(empty) == []
