"""Sessions with a repository in memory: open, store, back up, read back; and a clock to turn."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.clock import Clock
from holdfast.crypto.secrets import KeyFile, Secret
from holdfast.format.index import PackEntry
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId, new_object_id
from holdfast.operations.backup import BackupOptions, BackupResult, backup_paths
from holdfast.operations.file_content import iter_spans
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.tree_walk import iter_tree
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.writer import Writer

KEY_FILE = KeyFile(bytes(range(32)))
PACK_SIZE = 1 << 20
SLICE_SIZE = 64 << 10
HOST = "testhost"


class FakeClock:
    """Wall time far ahead of any file's, one second further at each look.

    So no file looks as if it had been changed just now. `step_s` moves the monotonic clock at
    each look.
    """

    def __init__(self, *, step_s: float = 0.0) -> None:
        self.wall_ns = 4_000_000_000_000_000_000
        self.passed_s = 0.0
        self.step_s = step_s

    def now_ns(self) -> int:
        self.wall_ns += 1_000_000_000
        return self.wall_ns

    def monotonic_s(self) -> float:
        self.passed_s += self.step_s
        return self.passed_s

    def sleep_s(self, seconds: float) -> None:
        self.passed_s += seconds


CLOCK = FakeClock()


def create(
    backend: Backend | None = None,
    *,
    pack_size: int = PACK_SIZE,
    slice_size: int = SLICE_SIZE,
    suite: str = "aes-256-gcm",
) -> Backend:
    """A fresh repository; in memory if no backend is given."""
    store = backend if backend is not None else MemoryBackend()
    options = InitOptions(secret=KEY_FILE, pack_size=pack_size, slice_size=slice_size, suite=suite)
    init_repository(store, options, clock=CLOCK)
    return store


def open_repository(
    backend: Backend, cache: Path, *, secret: Secret = KEY_FILE, clock: Clock = CLOCK
) -> Repository:
    return Repository.open(backend, secret, cache_dir=str(cache), clock=clock)


def random_bytes(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


def make_snapshot(root: bytes, *, host: str = HOST, **fields: object) -> Snapshot:
    values: dict[str, object] = {
        "id": new_object_id(),
        "time_ns": CLOCK.now_ns(),
        "host": host,
        "user": "tester",
        "raw_paths": (b"/source",),
        "root": root,
        **fields,
    }
    return Snapshot(**values)  # type: ignore[arg-type]


def make_node(name: bytes, content: bytes = b"", size: int = 0) -> Node:
    """A regular file."""
    return Node(name, NodeType.FILE.value, 0o644, 0, 0, size, 1, 2, 3, 4, content)


def store_blobs(repository: Repository, blobs: Iterable[bytes]) -> list[BlobId]:
    """Store blobs as one committed snapshot with a file that holds them all; return their ids."""
    repository.load_view(for_writing=True)
    with Writer(repository, level=1) as writer:
        data = list(blobs)
        ids = [BlobId(writer.add_data(blob)) for blob in data]
        node = make_node(b"file", b"".join(ids), sum(map(len, data)))
        writer.commit(make_snapshot(writer.add_page([node])), None)
        writer.close_journal()
    return ids


def backup(repository: Repository, *paths: Path | bytes, **options: object) -> BackupResult:
    """Back up as HOST."""
    raw = [path if isinstance(path, bytes) else bytes(path) for path in paths]
    values = {"host": HOST, **options}
    return backup_paths(repository, raw, BackupOptions(**values))  # type: ignore[arg-type]


def pages_above(source: Path) -> int:
    """Most blobs that an unchanged source adds: others use /tmp too, and "/" and the directories
    between may have changed meanwhile. A page each, and no data."""
    return len(source.parents)


def snapshot_of(repository: Repository, result: BackupResult) -> Snapshot:
    return next(found for found in repository.snapshots() if found.id == result.snapshot)


def nodes_of(
    repository: Repository, snapshot: Snapshot, below: Path | None = None
) -> dict[bytes, Node]:
    """Path to node of everything in a snapshot, or of what lies below a directory, relative."""
    repository.load_index()
    with BlobReader(repository) as reader:
        found = dict(iter_tree(reader, snapshot.root))
    if below is None:
        return found
    prefix = bytes(below) + b"/"
    return {path[len(prefix) :]: node for path, node in found.items() if path.startswith(prefix)}


def content_of(repository: Repository, node: Node) -> bytes:
    """The bytes of a file, holes included."""
    content = bytearray(node.size)
    with BlobReader(repository) as reader:
        for offset, length, blob_id in iter_spans(node, reader):
            content[offset : offset + length] = reader.read(blob_id)
    return bytes(content)


def contents_of(repository: Repository, snapshot: Snapshot, below: Path) -> dict[bytes, bytes]:
    """Relative path to content of all files below a directory."""
    return {
        path: content_of(repository, node)
        for path, node in nodes_of(repository, snapshot, below).items()
        if node.type == NodeType.FILE
    }


def packs_of(repository: Repository) -> list[PackEntry]:
    """All packs that trusted index objects list."""
    trusted = repository.take_view().index_ids()
    return [entry for index_id in sorted(trusted) for entry in repository.read_index(index_id)]


def names_in(backend: Backend, prefix: str) -> list[str]:
    return sorted(info.name for info in backend.list(prefix))


def replace_object(backend: Backend, name: str, data: bytes) -> None:
    backend.delete(name)
    backend.create(name, data)


def flip(data: bytes, at: int, bits: int = 1) -> bytes:
    """A copy with one byte changed; `at` may count from the end."""
    changed = bytearray(data)
    changed[at] ^= bits
    return bytes(changed)
