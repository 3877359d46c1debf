"""Backups of any trees: each snapshot holds what was there, however the tree changed before."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.format.node import NodeType
from holdfast.operations.check import CheckOptions, check
from holdfast.policy.subset import ALL_DATA
from support.sessions import backup, content_of, create, nodes_of, open_repository, snapshot_of

Content: TypeAlias = bytes | None
"""Of a file; None is a directory."""

NAMES = st.sampled_from([b"a", b"b", b"\xff", b"a b", b"z\n", "ü".encode()])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
DATA = st.one_of(
    st.none(),
    st.binary(max_size=30),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 40_000)).map(
        lambda pair: (pair[0] * pair[1])[:200_000]
    ),
)
TREES = st.dictionaries(PATHS, DATA, max_size=8)


def build(directory: bytes, tree: dict[bytes, Content]) -> None:
    """Make the directory hold the tree; what does not fit above or below another is left out."""
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory)
    for relative, data in tree.items():
        path = os.path.join(directory, relative)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if data is None:
                os.makedirs(path, exist_ok=True)
            else:
                Path(os.fsdecode(path)).write_bytes(data)
        except OSError:
            continue


def read(directory: bytes) -> dict[bytes, Content]:
    found: dict[bytes, Content] = {}
    for above, directories, files in os.walk(directory):
        for name in directories:
            found[os.path.relpath(os.path.join(above, name), directory)] = None
        for name in files:
            path = os.path.join(above, name)
            found[os.path.relpath(path, directory)] = Path(os.fsdecode(path)).read_bytes()
    return found


@settings(max_examples=15)
@given(st.lists(TREES, min_size=1, max_size=4))
def test_every_snapshot_holds_its_tree(trees: list[dict[bytes, Content]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        with open_repository(create(), Path(scratch) / "cache") as repository:
            expected = {}
            for tree in trees:
                build(bytes(source), tree)
                result = backup(repository, source)
                expected[snapshot_of(repository, result).id] = read(bytes(source))
            for snapshot in repository.snapshots():
                held = {
                    path: content_of(repository, node) if node.type == NodeType.FILE else None
                    for path, node in nodes_of(repository, snapshot, source).items()
                }
                assert held == expected[snapshot.id]
            assert check(repository, CheckOptions(read_data=ALL_DATA)).ok
