"""Two real processes back up into one repository with one cache, and are killed at any moment.

Nothing that either of them acknowledged is lost, and neither disturbs the other.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.backends.local import LocalBackend
from holdfast.clock import SystemClock
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.tree_walk import find_node
from holdfast.progress import NullProgress
from holdfast.repository.reader import BlobReader
from support.backup_process import own_file
from support.repos import (
    back_up,
    check_all,
    init_store,
    open_repository,
    random_files,
    read_all,
    read_tree_files,
    write_tree,
)

ROOT = Path(__file__).resolve().parents[2]
SHARED_TREE = random_files(1, [*range(10, 5000, 100), 400_000, 1_500_000])
KILLS = 8


@dataclass
class Worker:
    """One process after the other that back up the same sources."""

    own: Path
    repository: Path
    cache: Path
    shared: Path
    rounds: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Snapshot -> round."""
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    errors: list[str] = field(default_factory=list)

    def start(self) -> None:
        script = ROOT / "tests/support/backup_process.py"
        places = (self.repository, self.cache, self.shared, self.own, str(self.rounds))
        path = os.pathsep.join(str(ROOT / part) for part in ("engine", "tests"))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", script, *places],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": path, "HOME": str(self.own)},
        )
        self.reader = threading.Thread(target=self._listen, args=(self.process,))
        self.reader.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith("\n"):
                break
            number, snapshot = line.split()
            self.acknowledged[snapshot] = int(number)

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Wait until so many snapshots are acknowledged, or the process has failed."""
        assert self.process is not None
        end = time.monotonic() + seconds
        while len(self.acknowledged) < count and time.monotonic() < end:
            if self.process.poll() is not None:
                break
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        assert self.reader is not None
        self.process.send_signal(signal.SIGKILL)
        _, errors = self.process.stderr, self.process.stderr
        if errors is not None and (text := errors.read()):
            self.errors.append(text)
        self.reader.join()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        # It may have died before or after its last round was acknowledged.
        self.rounds = len(os.listdir(self.own))

    def tree(self, number: int) -> dict[bytes, bytes]:
        """Return what lay in `own` in a round."""
        return dict(own_file(self.own.name, one) for one in range(number + 1))


@pytest.fixture
def workers(tmp_path: Path) -> list[Worker]:
    repository = tmp_path / "repository"
    init_store(LocalBackend(str(repository)))
    shared = write_tree(tmp_path / "shared", SHARED_TREE)
    made = []
    for name in ("one", "other"):
        own = tmp_path / name
        own.mkdir()
        made.append(Worker(own, repository, tmp_path / "cache", shared))
    return made


def test_processes_are_killed_beside_each_other(
    workers: list[Worker], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(7)
    for worker in workers:
        worker.start()
    try:
        for number in range(KILLS):
            victim = workers[chance.randrange(2)]
            victim.wait_for(len(victim.acknowledged) + (number < 2))
            time.sleep(chance.random() * 0.5)
            victim.kill()
            victim.start()
        for worker in workers:
            worker.wait_for(len(worker.acknowledged) + 1)
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.errors for worker in workers] == [[], []]
    expected = {
        snapshot: (worker, number)
        for worker in workers
        for snapshot, number in worker.acknowledged.items()
    }
    record_property("kills", KILLS)
    record_property("snapshots", len(expected))
    assert len(expected) >= 4
    for cache in (tmp_path / "cache", tmp_path / "none"):
        assert_whole(workers, expected, cache)
    assert_restored(expected, tmp_path)


def assert_whole(
    workers: list[Worker], expected: dict[str, tuple[Worker, int]], cache: Path
) -> None:
    """Every snapshot reads back exactly; every acknowledged one is there."""
    first = workers[0]
    with open_repository(LocalBackend(str(first.repository)), cache) as repository:
        result = check_all(repository)
        assert (result.damage, result.files) == ([], [])
        seen = set()
        for snapshot, content in read_all(repository):
            seen.add(snapshot.id)
            assert content.damaged == {}
            assert content.below(first.shared) == SHARED_TREE
            if snapshot.id in expected:
                worker, number = expected[snapshot.id]
                assert content.below(worker.own) == worker.tree(number)
        assert set(expected) <= seen
        made = back_up(repository, first.shared, host=first.own.name)
        assert made.stats.bytes_added < 50_000, "all of it is known"


def assert_restored(expected: dict[str, tuple[Worker, int]], work: Path) -> None:
    snapshot_id, (worker, number) = list(expected.items())[-1]
    with open_repository(LocalBackend(str(worker.repository)), work / "cache") as repository:
        repository.load_index()
        snapshot = next(s for s in repository.snapshots() if s.id == snapshot_id)
        with BlobReader(repository) as reader:
            for source in (worker.own, worker.shared):
                path = os.fsencode(source)
                result = restore(
                    reader,
                    find_node(reader, snapshot.root, path, snapshot=snapshot.id),
                    RestoreOptions(target=os.fsencode(work / "restored" / source.name)),
                    path=path,
                    hash_data=repository.keys.data_hash(),
                    clock=SystemClock(),
                    progress=NullProgress(),
                )
                assert result.damaged == 0
    assert read_tree_files(work / "restored" / worker.own.name) == worker.tree(number)
    assert read_tree_files(work / "restored" / worker.shared.name) == SHARED_TREE
