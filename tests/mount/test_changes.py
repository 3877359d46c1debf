"""What happens to a repository while it is mounted."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.mounting import MountProcess, Store, wait_until
from support.repos import write_tree

SIZE = 3_000_000
SECOND = 10**9
AT = 1_700_000_000 * SECOND


def names(mounted: MountProcess) -> set[str]:
    return set(os.listdir(mounted.snapshots))


def shows(mounted: MountProcess, *ids: str) -> bool:
    """Whether exactly these snapshots are there."""
    return set(os.listdir(mounted.mountpoint / "ids")) == {one[:12] for one in ids}


@contextmanager
def held_open(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY)
    try:
        yield number
    finally:
        with suppress(OSError):
            os.close(number)


def test_snapshots_come_and_go_and_packs_move(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    data = [random.Random(number).randbytes(SIZE) for number in range(3)]
    write_tree(source, {b"kept": data[0], b"gone": data[1], b"sub/file": b"1"}, old=False)
    first = store.back_up(source, time_ns=AT)
    with (
        store.mount() as mounted,
        held_open(mounted.at(source) / "gone") as held,
        held_open(mounted.at(source) / "sub") as inside,
    ):
        seen = mounted.at(source)
        assert os.pread(held, 1000, 0) == data[1][:1000]

        write_tree(source, {b"kept": data[0], b"new": data[2], b"sub/file": b"2"}, old=False)
        second = store.back_up(source, time_ns=AT + SECOND)
        assert wait_until(shows, mounted, first, second)
        assert wait_until((seen / "new").exists, seconds=3)
        assert (seen / "new").read_bytes() == data[2]
        assert (seen / "sub/file").read_bytes() == b"2"
        assert len(names(mounted)) == 2

        store.forget(first)
        store.prune()
        # What the second snapshot needs was moved. What only the first one had is an error where
        # neither the kernel nor we have it in memory, and never wrong bytes.
        assert (seen / "kept").read_bytes() == data[0]
        with suppress(OSError):
            assert data[1].startswith(os.pread(held, SIZE, 0))
        assert wait_until(shows, mounted, second)
        assert len(names(mounted)) == 1
        assert (seen / "kept").read_bytes() == data[0]
        assert os.listdir(inside) == ["file"]
        assert mounted.process.poll() is None


def test_moved_packs_while_files_are_open(store: Store, tmp_path: Path) -> None:
    """A prune moves everything that an open file needs, and `find` and `cat` run meanwhile."""
    trees = [tmp_path / name for name in ("one", "two")]
    data = random.Random(1).randbytes(SIZE)
    pieces = {b"%d" % at: data[at : at + 10_000] for at in range(0, SIZE, 10_000)}
    write_tree(trees[0], {b"all/" + name: piece for name, piece in pieces.items()}, old=False)
    kept = {b"half": data[: SIZE // 2], **{name: pieces[name] for name in list(pieces)[::2]}}
    first = store.back_up(trees[0])
    write_tree(trees[1], kept, old=False)
    store.back_up(trees[1])
    with store.mount() as mounted, open(mounted.at(trees[1]) / "half", "rb") as file:
        seen = mounted.at(trees[1])
        assert file.read(5000) == data[:5000]
        runs = [
            subprocess.Popen(["sh", "-c", f"{what} >/dev/null"], cwd=seen, stderr=-1)
            for what in ("for i in 1 2 3 4 5; do find .; done", "for i in 1 2 3; do cat *; done")
        ]
        old = set(store.path.glob("packs/*/*"))
        store.forget(first)
        store.prune()
        assert not old <= set(store.path.glob("packs/*/*"))
        assert [run.communicate(timeout=30)[1] for run in runs] == [b""] * len(runs)
        assert [run.returncode for run in runs] == [0] * len(runs)
        assert file.read() == data[5000 : SIZE // 2]
        for name, piece in kept.items():
            assert (seen / os.fsdecode(name)).read_bytes() == piece
        assert mounted.errors == ""


def test_a_name_never_shows_another_snapshot(store: Store, tmp_path: Path) -> None:
    """Two of one second: when the first one goes, the second one's files are the second one's.

    Who has a file of the first one open reads that, as long as its data is there.
    """
    source = tmp_path / "source"
    ids = []
    for number in range(2):
        tree = {b"file": b"%d" % number, b"held": b"h%d" % number, b"only%d" % number: b""}
        write_tree(source, tree, old=False)
        ids.append(store.back_up(source, time_ns=AT + number, force=True))
    first = f"snapshots/2023-11-14T22-13-20{source}/held"
    with store.mount() as mounted, held_open(mounted.mountpoint / first) as held:

        def shown(snapshot: str) -> tuple[set[str], bytes]:
            root = mounted.mountpoint / "ids" / snapshot[:12] / str(source)[1:]
            return set(os.listdir(root)), (root / "file").read_bytes()

        assert names(mounted) == {"2023-11-14T22-13-20", "2023-11-14T22-13-20-2"}
        assert shown(ids[0]) == ({"file", "held", "only0"}, b"0")
        assert shown(ids[1]) == ({"file", "held", "only1"}, b"1")
        store.forget(ids[0])
        assert wait_until(shows, mounted, ids[1])
        time.sleep(1.2)  # what the kernel knows of directories that change
        assert shown(ids[1]) == ({"file", "held", "only1"}, b"1")
        for name in names(mounted):
            found = os.listdir(mounted.snapshots / name / str(source)[1:])
            assert found == ["file", "held", "only1"]
        assert os.pread(held, 10, 0) == b"h0"
