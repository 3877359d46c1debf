"""Mounts for tests: `holdfast mount` as a process, always ended and never left mounted."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from holdfast.backends.local import LocalBackend
from holdfast.crypto.secrets import write_key_file
from holdfast.format.node import Node
from holdfast.format.pack import BlobKind
from holdfast.ids import BlobId
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from support.command_line import Outcome, environment_for_processes
from support.pruning import forget, prune_all
from support.repos import back_up, init_store, open_repository
from support.sessions import flip, nodes_of

READY_S: Final = 30.0
END_S: Final = 20.0


def reason_against() -> str | None:
    """Return why nothing can be mounted on this machine, or None if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or not for us"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed"
    if ctypes.util.find_library("fuse3") is None:
        return "libfuse 3 is not installed"
    return None


def mounted_at(path: str | Path) -> bool:
    """Tell whether something is mounted, also if what served it is dead."""
    escaped = re.sub(r"[\\ \t\n]", lambda found: f"\\{ord(found[0]):03o}", str(path))
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split(" ")[4] == escaped for line in file)


def unmount_at(path: str | Path) -> None:
    """Take a mount away at once, whatever state it is in."""
    if mounted_at(path):
        subprocess.run(["fusermount3", "-u", "-z", str(path)], capture_output=True, check=False)


def wait_until(condition: Callable[..., object], *arguments: object, seconds: float = 10.0) -> bool:
    """Wait until something holds of the arguments, and tell whether it does."""
    end = time.monotonic() + seconds
    while not condition(*arguments):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


Slice = tuple[str, int, int]
"""Of a pack: the object's name, and the bytes of it."""


class Store:
    """A repository of small packs in a directory, with its key file and a cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "repository"
        self.backend = LocalBackend(str(self.path))
        self.secret = write_key_file(str(directory / "key"))
        init_store(self.backend, self.secret)
        self.base = [
            *("-r", str(self.path)),
            *("--key-file", str(directory / "key")),
            *("--cache-dir", str(directory / "cache")),
        ]

    def open(self) -> Repository:
        """Open it as another process would, with a cache of its own."""
        return open_repository(self.backend, self.directory / "other cache", self.secret)

    def back_up(self, *paths: Path, **options: Any) -> str:
        """Back up and return the snapshot's id."""
        with self.open() as repository:
            result = back_up(repository, *paths, **options)
        assert result.snapshot is not None
        return result.snapshot

    def forget(self, *ids: str) -> None:
        """Forget snapshots."""
        with self.open() as repository:
            forget(repository, ids)

    def prune(self) -> None:
        """Rewrite every pack that has something that is not needed."""
        with self.open() as repository:
            prune_all(repository)

    def nodes(self, snapshot_id: str) -> dict[bytes, Node]:
        """Return every node of a snapshot by its absolute path."""
        with self.open() as repository:
            snapshot = next(one for one in repository.snapshots() if one.id == snapshot_id)
            return nodes_of(repository, snapshot)

    def slices_of(self, ids: Sequence[BlobId], kind: BlobKind) -> list[Slice]:
        """Return where blobs begin."""
        found = []
        with self.open() as repository:
            repository.load_index()
            with BlobReader(repository) as reader:
                for blob_id in ids:
                    pack, location = reader.place(blob_id, kind)
                    index = location.offset // pack.header.slice_size
                    found.append((pack.name, pack.starts[index], pack.starts[index + 1]))
        return found

    def damage(self, place: Slice) -> None:
        """Flip a bit of a slice."""
        name, start, end = place
        path = self.path / name
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(flip(data, (start + end) // 2))

    def mount(self, *arguments: str, name: str = "mnt", **options: Any) -> MountProcess:
        """Mount at a new directory; to be used by `with`."""
        return MountProcess(self.base, self.directory / name, *arguments, **options)


class MountProcess:
    """`holdfast mount --foreground`, ready for use; a context manager that leaves nothing."""

    def __init__(
        self,
        base: Sequence[str],
        mountpoint: Path,
        *arguments: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.mountpoint = mountpoint
        self._errors = mountpoint.parent / f"{mountpoint.name}.stderr"
        words = [*base, "mount", "--foreground", "--json", *arguments, str(mountpoint)]
        self._command = [*prefix, sys.executable, "-m", "holdfast_cli", *words]
        self._environment = environment or environment_for_processes()

    def __enter__(self) -> Self:
        self.mountpoint.mkdir(exist_ok=True)
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        try:
            self.event = self._wait_for_event()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for_event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline() if ready else b""
        assert line, f"not mounted: {self.errors}"
        event = json.loads(line)
        assert isinstance(event, dict)
        assert event["event"] == "mounted"
        return event

    @property
    def errors(self) -> str:
        """What was written to standard error so far."""
        return self._errors.read_text(errors="surrogateescape")

    @property
    def problems(self) -> list[str]:
        """The messages of the warnings so far."""
        return [json.loads(line)["message"] for line in self.errors.splitlines()]

    @property
    def snapshots(self) -> Path:
        """The directory of all snapshots."""
        return self.mountpoint / "snapshots"

    def at(self, path: str | Path, snapshot: str = "latest") -> Path:
        """Return where a path of the host is seen."""
        return self.mountpoint / snapshot / str(path).lstrip("/")

    def resident_kib(self) -> int:
        """Return the memory that the process has used at the most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    def end(self, number: int = signal.SIGTERM) -> Outcome:
        """Send a signal, wait for the end, and tell how it was."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Outcome:
        """Wait for the end, and tell how it was."""
        out, _ = self.process.communicate(timeout=END_S)
        return Outcome(self.process.returncode, out, self._errors.read_bytes())

    def close(self) -> None:
        """End it, by force if need be, and unmount."""
        unmount_at(self.mountpoint)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        finally:
            unmount_at(self.mountpoint)


def run_command(*words: str | bytes | Path, code: int = 0, **options: Any) -> bytes:
    """Run a program of the machine on a mount and return its output; it must say nothing else."""
    options.setdefault("timeout", 60)
    done = subprocess.run(words, capture_output=True, check=False, **options)
    assert (done.returncode, done.stderr) == (code, b""), done.stderr.decode(errors="replace")
    return bytes(done.stdout)
