"""Two repositories and what must hold after snapshots were copied from the one to the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.crypto.secrets import KeyFile
from holdfast.format.node import Node, NodeExtra
from holdfast.format.snapshot import Snapshot
from holdfast.operations.copy import CopyOptions, CopyResult, copy_snapshots
from holdfast.operations.file_content import content_ids
from holdfast.operations.mirror import init_mirror
from holdfast.operations.tree_walk import iter_tree
from holdfast.progress import Progress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from support.repos import SECRET, init_store, open_repository

OTHER_SECRET: Final = KeyFile(bytes(range(50, 82)))


def other_store() -> MemoryBackend:
    """Return a store with a fresh repository of other keys."""
    backend = MemoryBackend()
    init_store(backend, OTHER_SECRET)
    return backend


def mirror_of(source: Backend, cache: Path) -> MemoryBackend:
    """Return a store with an empty mirror."""
    backend = MemoryBackend()
    with open_repository(source, cache) as repository:
        init_mirror(repository, backend, clock=repository.clock)
    return backend


def secret_of(*, mirror: bool) -> KeyFile:
    """Return what opens the destination."""
    return SECRET if mirror else OTHER_SECRET


def copy_all(
    source: Repository,
    destination: Repository,
    ids: Collection[str] | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> CopyResult:
    """Copy all snapshots, or some."""
    snapshots = [one for one in source.snapshots() if ids is None or one.id in ids]
    values = {"host": "copier", **options}
    return copy_snapshots(source, destination, snapshots, CopyOptions(**values), progress=progress)


def assert_same_story(old: Snapshot, new: Snapshot) -> None:
    """All that people see of a snapshot is the same in its copy."""
    changed = {"id": "", "root": b"", "parent": None, "original": None}
    assert msgspec.structs.replace(old, **changed) == msgspec.structs.replace(new, **changed)
    assert new.id != old.id
    assert new.original == (old.original or old.id)


def everything_in(repository: Repository, snapshot: Snapshot) -> Mapping[bytes, tuple[Node, bytes]]:
    """Return path -> (node without ids, content) of everything in a snapshot."""
    repository.load_index()
    found = {}
    with BlobReader(repository) as reader:
        for path, node in iter_tree(reader, snapshot.root):
            content = b""
            if node.type == 1:
                content = b"".join(reader.read(one) for one in content_ids(reader, node))
            extra = node.extra
            if extra is not None and extra.depth:
                extra = msgspec.structs.replace(extra, depth=0)
            extra = None if extra == NodeExtra() else extra
            found[path] = (msgspec.structs.replace(node, content=b"", extra=extra), content)
    return found


def assert_equal_content(
    source: Repository, destination: Repository, pairs: Collection[tuple[str, str]]
) -> None:
    """Copies hold, file by file and byte by byte, what their origins hold."""
    old = {one.id: one for one in source.snapshots()}
    new = {one.id: one for one in destination.snapshots()}
    for old_id, new_id in pairs:
        assert_same_story(old[old_id], new[new_id])
        assert everything_in(source, old[old_id]) == everything_in(destination, new[new_id])
