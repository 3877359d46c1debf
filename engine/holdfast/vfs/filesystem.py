"""The view of all snapshots: what a mount, a server and a browser look into."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

import msgspec

from holdfast.closing import Closing
from holdfast.errors import (
    HoldfastError,
    NotFoundError,
    PathNotFoundError,
    RepositoryVanishedError,
)
from holdfast.format.config import CONFIG_NAME
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.operations.tree_walk import root_node
from holdfast.policy.selection import SnapshotFilter, select
from holdfast.repository.repository import Repository
from holdfast.repository.shared_reader import DEFAULT_MEMORY, SharedReader
from holdfast.vfs.directory import Directory, SnapshotDirectory, VirtualDirectory
from holdfast.vfs.layout import build_layout
from holdfast.vfs.names import NamesKept
from holdfast.vfs.open_file import OpenFile

REFRESH_S: Final = 5.0
"""A view younger than this is believed; looking costs two milliseconds on a disk, and three LISTs
over a network."""
_MOST_LINKS: Final = 40
"""Symbolic links followed in a row, as Linux does."""


class SnapshotFiles(Closing):
    """All snapshots as one tree; a context manager. Every method is for any thread.

    Args:
        repository: opened; nobody else uses it until this is closed.
        wanted: which snapshots are shown.
        memory: bytes of decoded data that are kept.
        zone: whose clocks the names of snapshots show; None for this machine's.
        on_problem: told what went wrong where: a path in the view or of an object, and the error.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        wanted: SnapshotFilter | None = None,
        memory: int = DEFAULT_MEMORY,
        zone: tzinfo | None = None,
        on_problem: Callable[[str, HoldfastError], None] | None = None,
    ) -> None:
        self._wanted = wanted or SnapshotFilter()
        self._zone = zone
        self._clock = repository.clock
        self.is_remote = repository.backend.is_remote
        """Whether a read may wait for a network."""
        self._on_problem = on_problem
        self._owner = (os.geteuid(), os.getegid())
        self._numbers: dict[str, int] = {}
        """Snapshot -> its number in this view, which it keeps."""
        self._names: NamesKept = {}
        view = repository.load_view()
        self.reader = SharedReader(repository, memory=memory)
        self._refreshing = threading.Lock()
        self._xattr_names: frozenset[bytes] | None = None
        self._vanished: RepositoryVanishedError | None = None
        self._snapshots = [snapshot.id for snapshot in view.snapshots]
        self._root = self._build(view.snapshots)
        self._looked_s = self._clock.monotonic_s()

    def close(self) -> None:
        """End the threads that read ahead; harmless if repeated. The repository stays open."""
        self.reader.close()

    @property
    def root(self) -> Directory:
        """The uppermost directory, with the snapshots that there were a few seconds ago."""
        if self._clock.monotonic_s() - self._looked_s >= REFRESH_S:
            try:
                self.refresh()
            except HoldfastError as error:
                self.report("/", error)
        return self._root

    def refresh(self) -> bool:
        """Look for new and forgotten snapshots; tell whether there are.

        While another thread looks, this one goes on with what is known.

        Raises:
            RepositoryVanishedError: it is not there any more.
            BackendError, IntegrityError: the storage failed; what is known stays.
        """
        if not self._refreshing.acquire(blocking=False):
            return False
        try:
            self._looked_s = self._clock.monotonic_s()
            self._check_present()
            with self.reader.exclusively() as repository:
                snapshots = repository.look_again().snapshots
            ids = [snapshot.id for snapshot in snapshots]
            if ids == self._snapshots:
                return False
            self._root, self._snapshots = self._build(snapshots), ids
            return True
        finally:
            self._refreshing.release()

    def find_vanished(self) -> RepositoryVanishedError | None:
        """Tell whether the repository has gone away.

        Over a network nobody asks for that alone: what `refresh` has seen counts.
        """
        if self._vanished is None and not self.is_remote:
            try:
                self._check_present()
            except HoldfastError:
                pass  # a storage that does not answer may come back
        return self._vanished

    def _check_present(self) -> None:
        backend = self.reader.backend
        try:
            backend.size(CONFIG_NAME)
        except NotFoundError as error:
            self._vanished = RepositoryVanishedError(backend.location)
            raise self._vanished from error

    def walk_to(self, path: bytes) -> tuple[Directory, Node]:
        """Return the entry at an absolute path, and the directory that holds it.

        Symbolic links are not followed. For "/" it is the root itself.

        Raises:
            PathNotFoundError: there is no such path.
            IntegrityError, BackendError: a page on the way cannot be read.
        """
        directory: Directory = self.root
        node = directory.node
        parts = [part for part in path.split(b"/") if part]
        for number, name in enumerate(parts):
            if number:
                if node.type != NodeType.DIRECTORY:
                    raise _not_there(path)
                directory = directory.enter(node)
            found = directory.get(name)
            if found is None:
                raise _not_there(path)
            node = found
        return directory, node

    def follow(self, directory: Directory, node: Node) -> tuple[Directory, Node]:
        """Follow links that the view itself has made, like `latest`; leave all others alone.

        Raises: as `walk_to`.
        """
        for _ in range(_MOST_LINKS):
            if node.type != NodeType.SYMLINK or directory.snapshot is not None:
                return directory, node
            target = (node.extra or NO_EXTRA).target
            directory, node = self.walk_to(os.path.normpath(directory.path + b"/" + target))
        raise _not_there(directory.path + b"/" + node.name)

    def open(self, directory: Directory, node: Node) -> OpenFile:
        """Open a file for reading; nothing is read yet.

        Raises:
            PathNotFoundError: it is no file.
        """
        if node.type != NodeType.FILE:
            raise _not_there(directory.path + b"/" + node.name)
        return OpenFile(node, self.reader)

    def lacks_xattr(self, name: bytes) -> bool:
        """Tell whether it is known that no entry of any snapshot has this extended attribute."""
        return self._xattr_names is not None and name not in self._xattr_names

    def report(self, path: str, error: HoldfastError) -> None:
        """Pass a problem on to whoever wants to know."""
        if self._on_problem is not None:
            self._on_problem(path, error)

    def _build(self, snapshots: list[Snapshot]) -> VirtualDirectory:
        shown = select(snapshots, self._wanted)
        names = [snapshot.xattr_names for snapshot in shown]
        known = [one for one in names if one is not None]
        self._xattr_names = frozenset().union(*known) if len(known) == len(names) else None
        return build_layout(
            shown, self._open_snapshot, owner=self._owner, zone=self._zone, kept=self._names
        )

    def _open_snapshot(self, snapshot: Snapshot, name: bytes, path: bytes) -> Directory:
        number = self._numbers.setdefault(snapshot.id, len(self._numbers) + 1)
        uid, gid = self._owner
        time_ns = snapshot.time_ns
        node = msgspec.structs.replace(
            root_node(snapshot.root),
            name=name,
            uid=uid,
            gid=gid,
            mtime_ns=time_ns,
            ctime_ns=time_ns,
        )
        return SnapshotDirectory(self.reader, snapshot, number, node, path)


def _not_there(path: bytes) -> PathNotFoundError:
    return PathNotFoundError("", path.decode("utf-8", "surrogateescape"))
