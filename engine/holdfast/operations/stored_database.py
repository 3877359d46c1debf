"""The files of a database in a snapshot, for whoever restores them; see `StoredFiles`."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence

from holdfast.errors import ConfigurationError, PathNotFoundError, TargetError
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.fs.source import display
from holdfast.operations.backup_database import snapshot_path
from holdfast.operations.read_file import iter_file
from holdfast.operations.restore import RestoreOptions, restore
from holdfast.operations.tree_walk import find_node, iter_directory
from holdfast.progress import NullProgress, Progress
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository


class StoredDatabase:
    """One snapshot of a database. For one thread.

    Args:
        repository: opened, with its index loaded.
        reader: of it.
        snapshot: of a database.
        progress: watches `extract`.

    Raises:
        ConfigurationError: the snapshot is none of a database, or is not complete.
    """

    def __init__(
        self,
        repository: Repository,
        reader: BlobReader,
        snapshot: Snapshot,
        progress: Progress | None = None,
    ) -> None:
        if snapshot.database is None or snapshot.partial:
            raise ConfigurationError(
                f"snapshot {snapshot.id[:12]} is none of a database",
                "`holdfast snapshots` shows which are; `holdfast restore` restores files",
            )
        self.record: DatabaseRecord = snapshot.database
        self.snapshot = snapshot
        self._repository = repository
        self._reader = reader
        self._progress = progress or NullProgress()
        self._base = snapshot_path(self.record.kind, self.record.instance, self.record.method)

    @property
    def properties(self) -> Mapping[str, str]:
        """What the source has noted."""
        return self.record.properties

    def names(self, path: bytes) -> Sequence[bytes]:
        """Return the names in a directory; empty if it does not exist."""
        try:
            node = self._find(path)
        except PathNotFoundError:
            return ()
        if node.type != NodeType.DIRECTORY:
            return ()
        return [entry.name for entry in iter_directory(self._reader, node.content)]

    def has(self, path: bytes) -> bool:
        """Tell whether there is a file or directory of that path."""
        try:
            self._find(path)
        except PathNotFoundError:
            return False
        return True

    def size(self, path: bytes) -> int:
        """Return a file's size in bytes."""
        return self._file(path).size

    def read(self, path: bytes) -> Iterator[bytes]:
        """Yield a file's content in order; two windows of 16 MiB in memory."""
        yield from iter_file(self._reader, self._file(path))

    def extract(self, path: bytes, target: str) -> None:
        """Restore a directory into `target`, an empty or absent directory, durable on return.

        Raises:
            IntegrityError: a file cannot be read; the target is not complete.
            TargetError: something could not be written exactly.
        """
        result = restore(
            self._reader,
            self._find(path),
            # Servers run as users of their own, and who restores is often that very user.
            RestoreOptions(target=os.fsencode(os.path.abspath(target)), owners_matter=False),
            path=self._absolute(path),
            hash_data=self._repository.keys.data_hash(),
            clock=self._repository.clock,
            progress=self._progress,
        )
        if result.findings:
            first = result.findings[0]
            more = f" and {len(result.findings) - 1} more" if len(result.findings) > 1 else ""
            raise TargetError(target, f"{first.path}: {first.problem}{more}")
        os.sync()

    def _absolute(self, path: bytes) -> bytes:
        return posixpath.join(self._base, path).rstrip(b"/")

    def _find(self, path: bytes) -> Node:
        root = self.snapshot.root
        return find_node(self._reader, root, self._absolute(path), snapshot=self.snapshot.id)

    def _file(self, path: bytes) -> Node:
        node = self._find(path)
        if node.type != NodeType.FILE:
            raise PathNotFoundError(self.snapshot.id, display(self._absolute(path)))
        return node
