"""What the browser reads of a repository: snapshots, folders, bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from holdfast.errors import IntegrityError, PathNotFoundError
from holdfast.format.node import Node, NodeType, list_ids
from holdfast.format.snapshot import Snapshot
from holdfast.operations.tree_walk import find_node, root_node
from holdfast.policy.selection import SnapshotFilter, select
from holdfast.repository.cache import Cache
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.shared_reader import SharedReader
from holdfast.vfs.open_file import OpenFile
from holdfast_cli.browse.entries import Entry, parent_of
from holdfast_cli.browse.series import Series, deepest_common
from holdfast_cli.opening import open_storage
from holdfast_cli.options import Settings

_MEMORY: Final = 64 << 20
"""Bytes of decoded pages and blobs that are kept."""
_PIECE: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file."""

    data: bytes
    whole: bool
    """Whether it is all of the file."""
    error: IntegrityError | None = None
    """Why what lies behind `data` cannot be read."""


class Library:
    """Reads for the views. Any thread may call any method, once `load` has returned.

    Args:
        repository: opened; nobody else uses it until this is closed.
        settings: with which it was opened.
        wanted: which snapshots are shown.
    """

    def __init__(self, repository: Repository, settings: Settings, wanted: SnapshotFilter) -> None:
        self._repository = repository
        self._settings = settings
        self._wanted = wanted
        self._lock = threading.Lock()
        self._shared: SharedReader | None = None
        self.damage: dict[str, IntegrityError] = {}
        """Damage that was met, each once; the program tells of it at its end."""

    @property
    def location(self) -> str:
        """How the repository is named."""
        return self._settings.repository or ""

    def close(self) -> None:
        """End the threads that read ahead. The repository stays open."""
        with self._lock:
            if self._shared is not None:
                self._shared.close()

    def load(self) -> Series:
        """Read which snapshots there are now.

        Raises:
            BackendError: the storage failed.
        """
        with self._lock:
            if self._shared is None:
                view = self._repository.load_view()
                self._shared = SharedReader(self._repository, memory=_MEMORY)
            else:
                with self._shared.exclusively() as repository:
                    view = repository.look_again()
            for error in self._repository.problems:
                self.note(error)
        return Series(select(view.snapshots, self._wanted))

    def find(self, snapshot: Snapshot, path: bytes) -> Entry:
        """Return the entry at an absolute path.

        Raises:
            PathNotFoundError, IntegrityError: it is not there, or a page on the way is damaged.
        """
        node = find_node(self._reader, snapshot.root, path, snapshot=snapshot.id)
        return Entry(snapshot, b"/" + path.strip(b"/"), node)

    def find_like(self, entry: Entry, other: Snapshot) -> Entry | None:
        """Return the entry of the same path in another snapshot; None if it cannot be found."""
        try:
            return self.find(other, entry.path)
        except PathNotFoundError:
            return None
        except IntegrityError as error:
            self.note(error)
            return None

    def start_of(self, snapshot: Snapshot) -> Entry:
        """Return the directory of a snapshot where there is first something to choose from."""
        top = Entry(snapshot, b"/", root_node(snapshot.root))
        path = deepest_common(snapshot.raw_paths)
        while path != b"/":
            found = self.find_like(Entry(snapshot, path, top.node), snapshot)
            if found is not None and found.is_directory:
                return found
            path = parent_of(path)
        return top

    def pages(
        self, directory: Entry, on_damage: Callable[[], None] | None = None
    ) -> Iterator[Sequence[Node]]:
        """Yield the entries of a directory page by page, in ascending order of name.

        Damaged pages are left out and noted in `damage`.

        Args:
            directory: any entry; what is no directory has no pages.
            on_damage: called for each page that is left out.
        """
        if directory.node.type != NodeType.DIRECTORY:
            return
        for page_id in list_ids(directory.node.content):
            try:
                yield self._reader.read_page(page_id)
            except IntegrityError as error:
                self.note(error)
                if on_damage is not None:
                    on_damage()

    def head(self, entry: Entry, length: int) -> Head:
        """Return the first bytes of a file, up to what cannot be read.

        Raises:
            BackendError: the storage failed.
        """
        pieces: list[bytes] = []
        at, end = 0, min(length, entry.node.size)
        try:
            file = OpenFile(entry.node, self._reader)
            while at < end:
                piece = file.read(at, min(_PIECE, end - at))
                pieces.append(piece)
                at += len(piece)
        except IntegrityError as error:
            self.note(error)
            return Head(b"".join(pieces), whole=False, error=error)
        return Head(b"".join(pieces), whole=entry.node.size <= length)

    def note(self, error: IntegrityError) -> None:
        """Remember damage."""
        self.damage.setdefault(str(error), error)

    def on_damage(self, _directory: bytes, error: IntegrityError) -> None:
        """Remember damage that a walk met."""
        self.note(error)

    @property
    def _reader(self) -> SharedReader:
        assert self._shared is not None, "load comes first"
        return self._shared

    @contextmanager
    def second_repository(self) -> Iterator[Repository]:
        """Open the repository once more, for long work in a thread of its own.

        No secret is needed again. Its index is not loaded yet.
        """
        first = self._repository
        with (
            open_storage(self._settings) as backend,
            Repository(
                backend,
                first.config,
                first.repository_id,
                first.root_key,
                first.slot_id,
                cache=Cache(first.cache.directory),
                clock=first.clock,
            ) as repository,
        ):
            yield repository

    @contextmanager
    def second_reader(self) -> Iterator[BlobReader]:
        """Give a reader of a second repository whose index is loaded."""
        with self.second_repository() as repository:
            repository.load_view()
            with BlobReader(repository) as reader:
                yield reader
