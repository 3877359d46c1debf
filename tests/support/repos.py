"""Small repositories for tests: made, opened, filled and read back within milliseconds.

Packs of 1 MiB with slices of 64 KiB make several packs of a few megabytes; a key file needs no
key derivation.
"""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.clock import SystemClock
from holdfast.crypto.secrets import KeyFile, Secret
from holdfast.errors import IntegrityError
from holdfast.format.node import NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId
from holdfast.operations.backup import BackupOptions, BackupResult, backup_paths
from holdfast.operations.check import CheckOptions, CheckResult, check
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.tree_walk import iter_tree
from holdfast.policy.subset import ALL_DATA
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository

SECRET: Final = KeyFile(bytes(range(32)))
PACK_SIZE: Final = 1 << 20
SLICE_SIZE: Final = 64 << 10
HOST: Final = "host"
MEMORY_DIRECTORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where hundreds of short-lived caches cost no fsync; for the `dir` of tempfile."""

Tree = Mapping[bytes, bytes]
"""Paths below the root of a tree, without "/" in front -> content of the file there."""


def init_store(backend: Backend, secret: KeyFile = SECRET) -> None:
    """Create a repository of small packs."""
    options = InitOptions(secret=secret, pack_size=PACK_SIZE, slice_size=SLICE_SIZE)
    init_repository(backend, options, clock=SystemClock())


def new_store() -> MemoryBackend:
    """Return a store that holds a fresh repository."""
    backend = MemoryBackend()
    init_store(backend)
    return backend


def contents(backend: Backend) -> dict[str, bytes]:
    """Return every object of a store."""
    return {info.name: backend.read(info.name) for info in backend.list("")}


def store_of(objects: Mapping[str, bytes]) -> MemoryBackend:
    """Return a store that holds these objects."""
    backend = MemoryBackend()
    for name, data in objects.items():
        backend.create(name, data)
    return backend


def copy_store(backend: Backend) -> MemoryBackend:
    """Return an independent store with the same objects."""
    return store_of(contents(backend))


def open_repository(
    backend: Backend, cache: str | os.PathLike[str], secret: Secret = SECRET
) -> Repository:
    """Open a repository with the machine's clock; use it as a context manager."""
    return Repository.open(backend, secret, cache_dir=os.fspath(cache), clock=SystemClock())


def back_up(repository: Repository, *paths: str | os.PathLike[str], **options: Any) -> BackupResult:
    """Back up with the options' defaults."""
    return backup_paths(
        repository,
        [os.fsencode(path) for path in paths],
        BackupOptions(**{"host": HOST, "user": "user", **options}),
    )


def check_all(repository: Repository) -> CheckResult:
    """Check structure and every byte."""
    return check(repository, CheckOptions(read_data=ALL_DATA))


# -- trees --------------------------------------------------------------------------------------


def random_files(seed: int, sizes: Iterable[int], folders: int = 3) -> dict[bytes, bytes]:
    """Return files of incompressible bytes in a few directories."""
    source = random.Random(seed)
    return {
        b"d%d/f%d-%d" % (number % folders, seed, number): source.randbytes(size)
        for number, size in enumerate(sizes)
    }


def write_tree(root: Path, tree: Tree, *, old: bool = True) -> Path:
    """Make a directory hold exactly these files.

    Args:
        root: made if absent; what else it holds is removed.
        tree: what it shall hold.
        old: wait until the files are old enough to be recognised as unchanged by the next run.
    """
    base = os.fsencode(root)
    os.makedirs(base, exist_ok=True)
    for path in set(read_tree_files(root)) - set(tree):
        os.unlink(os.path.join(base, path))
    for path, data in tree.items():
        full = os.path.join(base, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        try:
            with open(full, "rb") as present:
                if present.read() == data:
                    continue
        except FileNotFoundError:
            pass
        with open(full, "wb") as file:
            file.write(data)
    if old:
        time.sleep(0.03)
    return root


def read_tree_files(root: Path) -> dict[bytes, bytes]:
    """Return all regular files below a directory."""
    base = os.fsencode(root)
    found: dict[bytes, bytes] = {}
    for directory, _, names in os.walk(base):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    found[path[len(base) + 1 :]] = file.read()
    return found


# -- reading back -------------------------------------------------------------------------------


@dataclass(slots=True)
class Content:
    """What of a snapshot can be read, and what not."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    damaged: dict[bytes, IntegrityError] = field(default_factory=dict)
    """Absolute paths of files with a blob, and of directories with a page, that cannot be read."""

    def below(self, root: Path) -> dict[bytes, bytes]:
        """Return the files below a directory, as a `Tree`."""
        base = os.fsencode(root) + b"/"
        return {
            path[len(base) :]: data for path, data in self.files.items() if path.startswith(base)
        }


def read_snapshot(repository: Repository, snapshot: Snapshot) -> Content:
    """Read every file of a snapshot as a restore does: pages, then blobs in storage order."""
    repository.load_index()
    content = Content()
    with BlobReader(repository) as reader:
        found = dict(
            iter_tree(reader, snapshot.root, on_damage=content.damaged.__setitem__),
        )
        wanted = [
            (path, node.blob_ids) for path, node in found.items() if node.type == NodeType.FILE
        ]
        blobs: dict[BlobId, bytes | IntegrityError] = {
            blob_id: data if isinstance(data, IntegrityError) else bytes(data)
            for blob_id, data in reader.fetch(blob for _, ids in wanted for blob in ids)
        }
    for path, ids in wanted:
        pieces = [blobs[blob_id] for blob_id in ids]
        problem = next((piece for piece in pieces if isinstance(piece, IntegrityError)), None)
        if problem is None:
            content.files[path] = b"".join(map(bytes, pieces))  # type: ignore[arg-type]
        else:
            content.damaged[path] = problem
    return content


def read_all(repository: Repository) -> Iterator[tuple[Snapshot, Content]]:
    """Read every snapshot that is listed."""
    for snapshot in repository.snapshots():
        yield snapshot, read_snapshot(repository, snapshot)


# -- processes that are gone --------------------------------------------------------------------


def leave_mark_of_dead_process(cache: Path) -> None:
    """Leave in every cache below a directory what a killed process leaves: its unlocked mark."""
    for directory in cache.iterdir() if cache.exists() else ():
        (directory / "open-1-dead").touch()
