"""LocalBackend on real disks and in dying processes: order of calls, full, read-only, kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.backends.local import LocalBackend
from holdfast.errors import AccessDeniedError, AlreadyExistsError, OutOfSpaceError

SOURCE = str(Path(str(holdfast.__file__)).parents[1])


def names(backend: LocalBackend) -> set[str]:
    return {info.name for info in backend.list("")}


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / "tmp")


# -- order --------------------------------------------------------------------------------------


class CallLog:
    """Calls that matter for durability, in order, with paths relative to the root."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._root = root
        for name in ("mkdir", "link", "unlink", "fsync", "write", "fchmod"):
            patch.setattr(os, name, self._logging(name))

    def _logging(self, name: str) -> object:
        real = getattr(os, name)

        def call(*arguments: object, **keywords: object) -> object:
            result = real(*arguments, **keywords)
            if keywords:
                return result  # not ours: pytest removes the directory while this is still patched
            target = arguments[1] if name == "link" else arguments[0]
            if isinstance(target, int):
                target = os.readlink(f"/proc/self/fd/{target}")
            path = os.path.relpath(str(target), self._root)
            self.calls.append(f"{name} {'temporary' if path.endswith('.part') else path}")
            return result

        return call

    def taken(self) -> list[str]:
        """Return the calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


def test_order_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend(str(tmp_path / "r"))
    log = CallLog(tmp_path / "r", monkeypatch)
    backend.initialize()
    assert log.taken() == ["mkdir .", "fsync .."]

    seal = ["write temporary", "fchmod temporary", "fsync temporary"]
    backend.create("packs/3f/a", b"data")
    assert log.taken() == [
        *("mkdir tmp", "fsync ."),
        *seal,
        *("mkdir packs", "fsync .", "mkdir packs/3f", "fsync packs"),
        *("link packs/3f/a", "fsync packs/3f", "unlink temporary"),
    ]

    backend.create("packs/3f/b", b"data")
    assert log.taken() == [*seal, "link packs/3f/b", "fsync packs/3f", "unlink temporary"]

    backend.delete("packs/3f/b")
    assert log.taken() == ["unlink packs/3f/b", "fsync packs/3f"]


def test_a_taken_name_is_durable_before_it_is_said_to_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds the same bytes there relies on them, also if their writer died too early."""
    backend = LocalBackend(str(tmp_path / "r"))
    log = CallLog(tmp_path / "r", monkeypatch)
    backend.initialize()
    backend.create("logs/a", b"data")
    log.taken()
    with pytest.raises(AlreadyExistsError):
        backend.create("logs/a", b"data")
    assert log.taken()[-2:] == ["fsync logs", "unlink temporary"]


def test_directories_of_others_are_synced_before_they_are_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their maker may have been interrupted between mkdir and fsync."""
    (tmp_path / "packs/3f").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    backend = LocalBackend(str(tmp_path))
    log = CallLog(tmp_path, monkeypatch)
    backend.create("packs/3f/a", b"data")
    calls = log.taken()
    assert calls.index("fsync .") < calls.index("fsync packs") < calls.index("link packs/3f/a")


# -- full and read-only disks -------------------------------------------------------------------


def mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here: {error}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path))
    yield path
    subprocess.run(["umount", str(path)], check=True, timeout=30)


def test_a_full_disk(small_disk: Path) -> None:
    backend = LocalBackend(str(small_disk))
    backend.initialize()
    backend.create("kept", b"k" * 1000)
    with pytest.raises(OutOfSpaceError, match="is full"):
        backend.create("packs/aa/large", b"x" * (2 << 20))
    writer = backend.open_writer("packs/aa/pieces")
    for _ in range(3):
        writer.write(b"x" * (300 << 10))
    with pytest.raises(OutOfSpaceError):
        writer.write(b"x" * (300 << 10))
    writer.abort()
    assert leftovers(small_disk) == []
    assert names(backend) == {"kept"}
    backend.create("packs/aa/fits", b"x" * (500 << 10))
    assert names(backend) == {"kept", "packs/aa/fits"}
    assert backend.read("kept") == b"k" * 1000


def test_a_disk_without_room_for_another_name(small_disk: Path) -> None:
    backend = LocalBackend(str(small_disk))
    backend.create("keys/a", b"key")
    mount("-o", "remount,nr_inodes=5", str(small_disk))
    writer = backend.open_writer("packs/aa/pack")
    writer.write(b"data")
    with pytest.raises(OutOfSpaceError):
        writer.commit()
    assert leftovers(small_disk) == []
    assert names(backend) == {"keys/a"}


def test_a_read_only_disk(small_disk: Path) -> None:
    backend = LocalBackend(str(small_disk))
    backend.create("packs/aa/pack", b"data")
    mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(AccessDeniedError):
        backend.create("packs/aa/other", b"")
    with pytest.raises(AccessDeniedError):
        backend.open_writer("packs/aa/other")
    with pytest.raises(AccessDeniedError):
        backend.delete("packs/aa/pack")
    assert backend.read("packs/aa/pack") == b"data"
    assert backend.read_range("packs/aa/pack", 1, 2) == b"at"
    assert names(backend) == {"packs/aa/pack"}
    backend.close()


# -- processes ----------------------------------------------------------------------------------


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    head = f"import sys; sys.path.insert(0, {SOURCE!r})\n"
    head += "from holdfast.backends.local import LocalBackend\n"
    head += "from holdfast.errors import AlreadyExistsError\n"
    head += "backend = LocalBackend(sys.argv[1])\n"
    command = [sys.executable, "-c", head + program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill_when_ready(process: subprocess.Popen[str]) -> None:
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_process_killed_while_writing_leaves_no_object(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "r"))
    backend.initialize()
    program = (
        "writer = backend.open_writer('packs/aa/pack')\n"
        "writer.write(b'x' * 3_000_000)\n"
        "print('ready', flush=True)\n"
        "while True: writer.write(b'y' * 10)\n"
    )
    kill_when_ready(start(program, backend.location))
    assert names(backend) == set()
    assert len(leftovers(tmp_path / "r")) == 1
    backend.create("packs/aa/pack", b"again")
    assert backend.read("packs/aa/pack") == b"again"


def test_a_process_killed_while_creating_leaves_whole_objects(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "r"))
    backend.initialize()
    program = (
        "for number in range(1_000_000):\n"
        "    backend.create(f'packs/{number % 4}/{number}', b'%d' % number * 20_000)\n"
        "    if number == 20: print('ready', flush=True)\n"
    )
    kill_when_ready(start(program, backend.location))
    numbers = {int(name.rpartition("/")[2]) for name in names(backend)}
    assert numbers == set(range(len(numbers)))
    assert len(numbers) > 20
    for number in numbers:
        assert backend.read(f"packs/{number % 4}/{number}") == b"%d" % number * 20_000


def test_of_competing_processes_exactly_one_creates_each_name(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "r"))
    backend.initialize()
    program = (
        "print('ready', flush=True); sys.stdin.readline(); wins = []\n"
        "for number in range(60):\n"
        "    try: backend.create(f'gc/{number}', sys.argv[2].encode())\n"
        "    except AlreadyExistsError: continue\n"
        "    wins.append(number)\n"
        "print(*wins)\n"
    )
    processes = [start(program, backend.location, str(rank)) for rank in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    wins = {int(number): rank for rank, output in enumerate(outputs) for number in output.split()}
    assert sum(len(output.split()) for output in outputs) == 60
    assert set(wins) == set(range(60))
    for number, rank in wins.items():
        assert backend.read(f"gc/{number}") == str(rank).encode()
    assert leftovers(tmp_path / "r") == []
