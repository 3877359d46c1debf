"""Copies of any trees: what is restored of a copy is what is restored of its origin."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import SystemClock
from holdfast.format.snapshot import Snapshot
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.tree_walk import root_node
from holdfast.progress import NullProgress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from support.copying import copy_all, mirror_of, other_store, secret_of
from support.repos import MEMORY_DIRECTORY, back_up, check_all, new_store, open_repository
from support.trees import EntryState, read_tree

Entry: TypeAlias = tuple[str, bytes, int]
"""Kind, content or target, and mode."""

NAMES = st.sampled_from([b"a", b"b", b"\xff", b"a b", b"z\n", "ü".encode(), b"-" * 255])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
DATA = st.one_of(
    st.binary(max_size=30),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 30_000)).map(
        lambda pair: (pair[0] * pair[1])[:150_000]
    ),
)
ENTRIES = st.one_of(
    st.tuples(st.just("file"), DATA, st.sampled_from([0o644, 0o600, 0o4711])),
    st.tuples(st.just("link"), st.sampled_from([b"a", b"../\xfe", b"nowhere"]), st.just(0)),
    st.tuples(st.just("directory"), st.just(b""), st.sampled_from([0o755, 0o1700])),
    st.tuples(st.just("fifo"), st.just(b""), st.just(0o640)),
    st.tuples(st.just("sparse"), st.binary(min_size=1, max_size=9), st.just(0o644)),
    st.tuples(st.just("hard link"), st.just(b""), st.just(0)),
)
TREES = st.dictionaries(PATHS, ENTRIES, max_size=7)


def build(root: bytes, tree: dict[bytes, Entry]) -> None:
    """Make what fits of a tree; what is below or above another thing is left out."""
    os.makedirs(root, exist_ok=True)
    made: list[bytes] = []
    for relative, (kind, data, mode) in tree.items():
        path = os.path.join(root, relative)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if kind == "link":
                os.symlink(data, path)
            elif kind == "directory":
                os.mkdir(path)
                os.chmod(path, mode)
            elif kind == "fifo":
                os.mkfifo(path, mode)
            elif kind == "hard link":
                if made:
                    os.link(made[-1], path)
            else:
                with open(path, "xb") as file:
                    if kind == "sparse":
                        file.seek(1 << 19)
                    file.write(data)
                os.chmod(path, mode)
                made.append(path)
        except OSError:
            continue


def restored(repository: Repository, snapshot: Snapshot, target: bytes) -> dict[bytes, EntryState]:
    """Restore a snapshot whole; return the state of everything, times included."""
    repository.load_index()
    with BlobReader(repository) as reader:
        restore(
            reader,
            root_node(snapshot.root),
            RestoreOptions(target=target),
            path=b"/",
            hash_data=repository.keys.data_hash(),
            clock=SystemClock(),
            progress=NullProgress(),
        )
    return dict(read_tree(target, with_root=False))


@settings(max_examples=12)
@given(st.lists(TREES, min_size=1, max_size=3), st.booleans())
def test_a_copy_restores_to_what_its_origin_restores_to(
    trees: list[dict[bytes, Entry]], mirror: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as directory:
        scratch = Path(directory)
        store, cache = new_store(), scratch / "cache"
        with open_repository(store, cache) as repository:
            for number, tree in enumerate(trees):
                build(bytes(scratch / "files" / str(number % 2)), tree)
                back_up(repository, scratch / "files")
        there = mirror_of(store, cache) if mirror else other_store()
        with (
            open_repository(store, cache) as source,
            open_repository(there, cache, secret_of(mirror=mirror)) as destination,
        ):
            result = copy_all(source, destination)
            assert len(result.copied) == len(trees)
            assert check_all(destination).ok
            old = {one.id: one for one in source.snapshots()}
            new = {one.original: one for one in destination.snapshots()}
            for number, (snapshot_id, snapshot) in enumerate(old.items()):
                before = restored(source, snapshot, bytes(scratch / f"{number}-old"))
                after = restored(destination, new[snapshot_id], bytes(scratch / f"{number}-new"))
                assert before == after
                assert len(after) > len(scratch.parts)
