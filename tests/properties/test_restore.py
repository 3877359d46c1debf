"""Laws of restore: whatever the snapshot holds and whatever is there, the target ends as told.

With `always` and --delete it equals the snapshot exactly; so does a restore that was killed and is
continued with `if-changed`; nothing outside of the target is touched.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.format.node import Node
from holdfast.operations.restore import Overwrite
from holdfast.policy.filters import ExcludeFilter
from support.restoring import killed_at, run_restore, state_of
from support.trees import DictSource, EntryState, snapshot_tree

EVERYTHING: dict[str, Any] = {"overwrite": Overwrite.ALWAYS, "delete": True, "sources": [b"/"]}
CONTINUED = {**EVERYTHING, "overwrite": Overwrite.IF_CHANGED}
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Entry:
    """One entry to make; what does not fit with the others is left out."""

    path: bytes
    kind: str
    data: bytes
    mode: int
    seconds: int
    attribute: bytes | None


NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff\n"])
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(b"/".join)
OFTEN = ("file", "file", "link", "link", "outside")
KINDS = st.sampled_from((*OFTEN, *OFTEN, "directory", "symlink", "fifo", "way out", "sparse"))
DATA = st.one_of(
    st.sampled_from(
        [b"", b"x", b"outside", b"outside", b"\0" * 9000, b"#!/bin/sh", b"\x7fELF" + bytes(9000)]
    ),
    st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 6000)).map(
        lambda pair: pair[0] * pair[1]
    ),
)
ENTRIES = st.builds(
    Entry,
    path=PATHS,
    kind=KINDS,
    data=DATA,
    mode=st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o000, 0o4755]),
    seconds=st.integers(1, 4),
    attribute=st.one_of(st.none(), st.sampled_from([b"", b"x"])),
)
TREES = st.lists(ENTRIES, max_size=6)
PAIRS = st.tuples(TREES, TREES, TREES).map(lambda three: (three[0] + three[1], three[2] + three[0]))
"""A tree to save and a tree to restore over, which have something in common."""


class World:
    """A place for a snapshot's origin, a target, and what lies outside of both."""

    def __init__(self, base: str) -> None:
        base = os.path.realpath(base)
        self.origin, self.target = Path(base, "origin"), Path(base, "target")
        self.outside = Path(base, "outside")
        self.outside.mkdir()
        (self.outside / "file").write_bytes(b"outside")
        (self.outside / "d").mkdir()
        (self.outside / "d" / "inner").write_bytes(b"outside")
        os.utime(self.outside / "file", ns=(SECOND, SECOND))
        self.before = self.look_outside()

    def build(self, root: Path, entries: list[Entry], base: int) -> None:
        root.mkdir()
        made: list[tuple[bytes, Entry]] = []
        for entry in entries:
            path = os.path.join(bytes(root), entry.path)
            try:
                if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
                    continue  # a link is on the way
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._make(path, entry, made)
            except OSError:
                continue
            made.append((path, entry))
        for path, entry in reversed(made):
            if entry.kind != "outside":
                self._finish(path, entry, base)
        os.utime(root, ns=(base, base))

    def _make(self, path: bytes, entry: Entry, made: list[tuple[bytes, Entry]]) -> None:
        if entry.kind in ("file", "sparse"):
            with open(path, "xb") as file:
                file.write(entry.data)
                if entry.kind == "sparse":
                    file.truncate(len(entry.data) + 100_000)
        elif entry.kind == "directory":
            os.mkdir(path)
        elif entry.kind == "symlink":
            os.symlink(entry.data[:9].replace(b"\0", b"-") or b"-", path)
        elif entry.kind == "way out":
            os.symlink(bytes(self.outside) + b"/d", path)
        elif entry.kind == "fifo":
            os.mkfifo(path)
        elif entry.kind == "outside":
            os.link(self.outside / "file", path)
        else:
            os.link(made[len(entry.data) % len(made)][0] if made else b"", path)

    def _finish(self, path: bytes, entry: Entry, base: int) -> None:
        status = os.lstat(path)
        if status.st_ino == (self.outside / "file").stat().st_ino:
            return  # another name of it
        takes_attributes = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        if entry.attribute is not None and takes_attributes:
            os.setxattr(path, b"user.test", entry.attribute)
        if not stat.S_ISLNK(status.st_mode):
            # Anybody but root must be able to read what the test has made.
            os.chmod(path, entry.mode if os.geteuid() == 0 else entry.mode | 0o700)
        times = base + entry.seconds * SECOND
        os.utime(path, ns=(times, times), follow_symlinks=False)

    def look_outside(self) -> list[tuple[object, ...]]:
        """The state outside, but for how many names a file has."""
        return [
            (name, state.kind, state.mode, state.mtime_ns, state.body, state.xattrs)
            for name, state in sorted(state_of(self.outside).items())
        ]

    def snapshot(self) -> tuple[DictSource, Node, dict[bytes, EntryState]]:
        source = DictSource(page_length=3)
        return source, snapshot_tree(source, bytes(self.origin), b"origin"), state_of(self.origin)


@settings(deadline=None)
@given(PAIRS)
def test_the_target_becomes_equal(pair: tuple[list[Entry], list[Entry]]) -> None:
    origin, target = pair
    with tempfile.TemporaryDirectory() as base:
        world = World(base)
        world.build(world.origin, origin, 0)
        world.build(world.target, target, 0)
        source, node, wanted = world.snapshot()
        result = run_restore(source, node, world.target, verify=True, **EVERYTHING)
        assert result.findings == []
        assert state_of(world.target) == wanted
        assert world.look_outside() == world.before
        again = run_restore(source, node, world.target, **EVERYTHING)
        assert (again.files, again.others, again.links, again.deleted) == (0, 0, 0, 0)


GROUPS = st.lists(st.integers(0, 3), min_size=4, max_size=4)
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([b"outside", b"other content"]),
        st.sampled_from([0o644, 0o600]),
        st.integers(1, 2),
    ),
    min_size=4,
    max_size=4,
)
Looks = list[tuple[bytes, int, int]]


@settings(deadline=None, max_examples=120)
@given(GROUPS, LOOKS, GROUPS, LOOKS, st.sampled_from([Overwrite.ALWAYS, Overwrite.IF_CHANGED]))
def test_names_of_files_become_equal(
    origin: list[int], looks: Looks, target: list[int], old_looks: Looks, overwrite: Overwrite
) -> None:
    """Four names of up to four files: which names are one file, here, there and outside."""
    with tempfile.TemporaryDirectory() as base:
        world = World(base)
        for root, groups, shapes in (
            (world.origin, origin, looks),
            (world.target, target, old_looks),
        ):
            root.mkdir()
            for name, group in enumerate(groups):
                first = root / str(groups.index(group))
                if root == world.target and group == 3:
                    os.link(world.outside / "file", root / str(name))
                elif groups.index(group) < name:
                    os.link(first, root / str(name))
                else:
                    data, mode, seconds = shapes[group]
                    first.write_bytes(data)
                    first.chmod(mode)
                    os.utime(first, ns=(seconds * SECOND, seconds * SECOND))
            os.utime(root, ns=(SECOND, SECOND))
        source, node, wanted = world.snapshot()
        result = run_restore(source, node, world.target, **{**EVERYTHING, "overwrite": overwrite})
        assert result.findings == []
        assert state_of(world.target) == wanted
        assert world.look_outside() == world.before


@settings(deadline=None)
@given(
    pair=PAIRS,
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=2),
    first=st.sampled_from([EVERYTHING, CONTINUED]),
)
def test_a_killed_restore_is_continued(
    pair: tuple[list[Entry], list[Entry]], steps: list[int], first: dict[str, Any]
) -> None:
    origin, target = pair
    with tempfile.TemporaryDirectory() as base:
        world = World(base)
        world.build(world.origin, origin, 0)
        world.build(world.target, target, 100 * SECOND)  # no time is equal by chance
        source, node, wanted = world.snapshot()
        for step in steps:
            killed_at(step, lambda: run_restore(source, node, world.target, **first))
            assert world.look_outside() == world.before
        result = run_restore(source, node, world.target, **CONTINUED)
        assert result.findings == []
        assert state_of(world.target) == wanted
        assert world.look_outside() == world.before


@settings(deadline=None)
@given(
    pair=PAIRS,
    overwrite=st.sampled_from(list(Overwrite)),
    delete=st.booleans(),
    kept=NAMES,
)
def test_what_is_not_meant_stays(
    pair: tuple[list[Entry], list[Entry]], overwrite: Overwrite, delete: bool, kept: bytes
) -> None:
    """Below an excluded name, and in all of the target with `never` or in a dry run."""
    origin, target = pair
    with tempfile.TemporaryDirectory() as base:
        world = World(base)
        world.build(world.origin, origin, 0)
        world.build(world.target, target, 0)
        source, node, _ = world.snapshot()
        before = state_of(world.target)
        strict = overwrite in (Overwrite.NEVER, Overwrite.IF_NEWER)
        options: dict[str, Any] = {
            "overwrite": overwrite,
            "delete": delete and not strict,
            "sources": [b"/"],
            "exclude": ExcludeFilter(["/" + os.fsdecode(kept)]),
        }
        run_restore(source, node, world.target, dry_run=True, **options)
        assert state_of(world.target) == before
        run_restore(source, node, world.target, **options)
        after = state_of(world.target)
        for name, state in before.items():
            below = name == kept or name.startswith(kept + b"/")
            if below or (overwrite is Overwrite.NEVER and not stat.S_ISDIR(state.kind)):
                assert name in after
                assert after[name].body == state.body
                assert (after[name].kind, after[name].mode) == (state.kind, state.mode)
                assert after[name].mtime_ns == state.mtime_ns
        assert not any(name not in before for name in after if name.startswith(kept + b"/"))
        assert world.look_outside() == world.before
        shutil.rmtree(world.target)
