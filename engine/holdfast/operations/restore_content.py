"""The content of restored files: windows of blobs, fetched in storage order.

A snapshot of any size is restored in bounded memory: the walk fills a window of files and blobs,
the window is fetched in one pass over the packs, and each blob goes to all its places.
Directories get their metadata when everything in them is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from holdfast.errors import HashMismatchError, IntegrityError, MissingBlobError, TargetError
from holdfast.format.node import Node, NodeType
from holdfast.fs.source import describe
from holdfast.fs.target_file import (
    FileWriter,
    TargetFile,
    open_existing,
    read_at,
    reads_as_zeros,
    write_whole,
)
from holdfast.fs.target_metadata import apply_to_fd, has_metadata, has_other_acl
from holdfast.fs.target_problems import EntryError
from holdfast.fs.target_rewrite import holds_code, identity_of, is_running
from holdfast.fs.target_tree import TargetDirectory, TargetTree
from holdfast.hashing import Bytes, KeyedHash
from holdfast.ids import BLOB_ID_LENGTH, BlobId
from holdfast.operations.file_content import iter_holes, iter_spans
from holdfast.operations.restore_types import LinkKey, RestoreCounts, link_key
from holdfast.operations.restore_writers import WriterThreads
from holdfast.policy.overwrite import may_rewrite_in_place
from holdfast.repository.reader import BlobSource

_MAX_FILES: Final = 50_000
_MAX_PLACES: Final = 100_000
_MAX_BYTES: Final = 1 << 30
_TICK: Final = 512
_PIECE: Final = 64 << 10
"""Shorter pieces of a file that follow one another are written together."""
_PIECES: Final = 1 << 20
"""Bytes of them at the most: a dump has 300 pieces in each MiB, and each write costs 5 us."""

Entry = tuple[TargetDirectory, Node]


class ContentWindow:
    """Files whose content is still to come, and what has to wait for it."""

    def __init__(
        self,
        tree: TargetTree,
        source: BlobSource,
        hash_data: KeyedHash,
        counts: RestoreCounts,
        *,
        verify: bool,
        on_tick: Callable[[], None],
    ) -> None:
        """Begin with an empty window.

        Args:
            tree: the target.
            source: where blobs come from.
            hash_data: gives the id of a data blob.
            counts: is kept up to date.
            verify: read every file after it was written and compare.
            on_tick: called now and then during `flush`.
        """
        self._tree = tree
        self._problems = tree.problems
        self._source = source
        self._hash = hash_data
        self._counts = counts
        self._verify = verify
        self._on_tick = on_tick
        self._writer = FileWriter(tree)
        self._threads = WriterThreads(tree, self._note_written)
        self._whole: dict[BlobId, list[Entry]] = {}
        self._parts: dict[BlobId, list[tuple[TargetFile, int]]] = {}
        self._files = 0
        self._places = 0
        self._bytes = 0
        self._written: list[Entry] = []
        self._left: list[Callable[[], None]] = []
        self._failed_links: set[LinkKey] = set()
        self._pieces = memoryview(bytearray(_PIECES))
        self._piece_file: TargetFile | None = None
        """Whose pieces are waiting to be written."""
        self._piece_start = self._piece_end = 0
        """Their place in that file."""

    def add_new(self, directory: TargetDirectory, node: Node) -> None:
        """Take a file whose name is free."""
        content = node.content
        if _is_one_blob(node):
            self._whole.setdefault(BlobId(content), []).append((directory, node))
            self._files += 1
            self._bytes += node.size
            if self._files >= _MAX_FILES or self._bytes >= _MAX_BYTES:
                self.flush()
        elif not content and not node.size:
            self._write_whole(directory, node, b"")
        else:
            self._add_pieces(TargetFile(directory, node))

    def add_replacement(self, directory: TargetDirectory, node: Node) -> None:
        """Take a file that replaces whatever has its name, once all of it is at hand."""
        self._add_pieces(TargetFile(directory, node, replace=True))

    def add_rewrite(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        """Take a file that exists: compare its content, fetch and write what differs."""
        try:
            fd = open_existing(self._tree, directory, node.name)
        except OSError:
            # Unreadable, hence not comparable; whether it is replaceable will be seen.
            self.add_replacement(directory, node)
            return
        try:
            self._rewrite(fd, directory, node, found)
        except EntryError as error:
            self._problems.meet(directory.path + b"/" + node.name, error)
        finally:
            os.close(fd)

    def keep(self, fd: int, directory: TargetDirectory, node: Node) -> None:
        """Take an existing file, open as `fd`, with the right content; make its metadata equal.

        With further names, which would change too, it is replaced unless it is equal already.

        Raises:
            OSError: mode or times cannot be set.
        """
        found = os.fstat(fd)
        if found.st_nlink > 1 and not has_metadata(fd, node, found):
            self.add_replacement(directory, node)
            return
        apply_to_fd(fd, node, directory.path + b"/" + node.name, self._problems, found=found)
        self._counts.unchanged += 1

    def after_content(self, action: Callable[[], None]) -> None:
        """Do something when all files taken so far are complete: links, directories."""
        self._left.append(action)

    def link_failed(self, node: Node) -> bool:
        """Tell whether the first name of a hard-linked file could not be restored."""
        return link_key(node) in self._failed_links

    def flush(self) -> None:
        """Fetch and write everything in the window, then do what had to wait for it.

        Raises:
            TargetError: the target is full; unfinished files remain for `abandon`.
        """
        ids = dict.fromkeys(self._whole)
        ids.update(dict.fromkeys(self._parts))
        if ids:
            self._fetch(ids)
        self._threads.drain()
        for blob_id in (*self._whole, *self._parts):
            error = MissingBlobError("data", blob_id.hex(), "the storage did not deliver it")
            self._deliver(blob_id, error)
        self._files = self._places = self._bytes = 0
        if self._verify:
            self._verify_written()
        left, self._left = self._left, []
        for action in left:
            action()
        self._on_tick()

    def close(self) -> None:
        """End the threads; harmless if repeated."""
        self._threads.close()

    def abandon(self) -> None:
        """Finish what is at hand and remove unfinished files: the run ends early."""
        try:
            self._write_pieces()
            self._threads.drain()
        except TargetError:
            pass  # it is why the run ends, or would have ended it
        self._threads.close()
        self._writer.abandon_all()

    def _fetch(self, ids: Iterable[BlobId]) -> None:
        tick = 0
        for blob_id, data in self._source.fetch(ids):
            self._deliver(blob_id, data)
            tick += 1
            if tick == _TICK:
                tick = 0
                self._on_tick()
        self._write_pieces()

    def _deliver(self, blob_id: BlobId, data: Bytes | IntegrityError) -> None:
        """Bring one blob to all its places, or report all files that need it."""
        whole = self._whole.pop(blob_id, None)
        if whole is not None:
            for directory, node in whole:
                if isinstance(data, IntegrityError):
                    self._damaged(directory, node, data)
                else:
                    self._write_whole(directory, node, data)
        parts = self._parts.pop(blob_id, None)
        if parts is not None:
            for file, offset in parts:
                self._write_part(file, offset, data)

    def _write_whole(self, directory: TargetDirectory, node: Node, data: Bytes) -> None:
        if len(data) != node.size:
            reason = f"it has {len(data)} bytes instead of {node.size}"
            self._damaged(directory, node, HashMismatchError("content", node.content.hex(), reason))
            return
        if self._threads.take(directory, node, data):
            return
        try:
            write_whole(self._tree, directory, node, data)
        except EntryError as error:
            self._note_written(directory, node, error)
        else:
            self._note_written(directory, node, None)

    def _note_written(
        self, directory: TargetDirectory, node: Node, error: Exception | None
    ) -> None:
        """Count a whole file, or report it."""
        if error is not None:
            self._failed(directory, node, error)
            return
        counts = self._counts
        counts.files += 1
        counts.bytes_written += node.size
        if self._verify:
            self._written.append((directory, node))

    def _write_part(self, file: TargetFile, offset: int, data: Bytes | IntegrityError) -> None:
        if file.failed:
            return
        if isinstance(data, IntegrityError):
            if self._piece_file is file:
                self._piece_file = None
            self._writer.abandon(file)
            self._damaged(file.directory, file.node, data)
            return
        length = len(data)
        if length > _PIECE:
            self._write_at(file, data, offset)
        else:
            end = self._piece_end
            if (
                self._piece_file is not file
                or end != offset
                or end + length - self._piece_start > _PIECES
            ):
                self._write_pieces()
                self._piece_file, self._piece_start = file, offset
            at = offset - self._piece_start
            self._pieces[at : at + length] = data
            self._piece_end = offset + length
        file.open_places -= 1
        if file.sealed and not file.open_places:
            if self._piece_file is file:
                self._write_pieces()
            if not file.failed:
                self._finish(file)

    def _write_pieces(self) -> None:
        """Write the pieces that are waiting."""
        file, self._piece_file = self._piece_file, None
        if file is not None and not file.failed:
            length = self._piece_end - self._piece_start
            self._write_at(file, self._pieces[:length], self._piece_start)

    def _write_at(self, file: TargetFile, data: Bytes, offset: int) -> None:
        try:
            self._writer.write_at(file, data, offset)
        except EntryError as error:
            self._failed(file.directory, file.node, error)  # raises if all is over: it may stay
            self._writer.abandon(file)
            return
        self._counts.bytes_written += len(data)

    def _add_pieces(self, file: TargetFile) -> None:
        """Plan all pieces of a new file; may flush in between."""
        try:
            for offset, length, blob_id in iter_spans(file.node, self._source):
                self._place(file, offset, length, blob_id)
        except IntegrityError as error:
            self._writer.abandon(file)
            self._damaged(file.directory, file.node, error)
            return
        self._seal(file)

    def _rewrite(
        self, fd: int, directory: TargetDirectory, node: Node, found: os.stat_result
    ) -> None:
        """Plan the pieces that differ in an existing file that is open as `fd`."""
        file = TargetFile(directory, node, rewrite=True, identity=identity_of(found))
        if not reads_as_zeros(fd, iter_holes(node)):
            file.holes = list(iter_holes(node))
        differs = found.st_size != node.size or bool(file.holes)
        if differs and self._must_be_replaced(fd, directory, node, found):
            self.add_replacement(directory, node)
            return
        try:
            for offset, length, blob_id in iter_spans(node, self._source):
                if self._hash(read_at(fd, offset, length)) == blob_id:
                    continue
                if not differs and self._must_be_replaced(fd, directory, node, found):
                    self.add_replacement(directory, node)
                    return
                differs = True
                self._place(file, offset, length, blob_id)
        except IntegrityError as error:
            self._writer.abandon(file)
            self._damaged(directory, node, error)
            return
        except EntryError as error:
            self._writer.abandon(file)
            self._failed(directory, node, error)
            return
        if differs:
            self._seal(file)
        else:
            self.keep(fd, directory, node)

    def _must_be_replaced(
        self, fd: int, directory: TargetDirectory, node: Node, found: os.stat_result
    ) -> bool:
        """Tell whether a file that differs cannot be changed where it is.

        Others would see it change, its users would crash, or the kernel forbids it. A file of one
        blob is written as a whole anyhow, and so that it is never seen half written.
        """
        if _is_one_blob(node) and self._tree.can_replace(directory, fd):
            return True
        if not may_rewrite_in_place(node, found) or holds_code(fd) or has_other_acl(fd, node):
            return True
        return bool(found.st_mode & 0o111) and is_running(node.name, self._tree.open(directory))

    def _place(self, file: TargetFile, offset: int, length: int, blob_id: BlobId) -> None:
        if file.failed:
            return
        self._parts.setdefault(blob_id, []).append((file, offset))
        file.open_places += 1
        self._places += 1
        self._bytes += length
        if self._places >= _MAX_PLACES or self._bytes >= _MAX_BYTES:
            self.flush()

    def _seal(self, file: TargetFile) -> None:
        file.sealed = True
        self._files += 1
        if not file.open_places and not file.failed:
            self._finish(file)

    def _finish(self, file: TargetFile) -> None:
        try:
            self._writer.finish(file)
        except EntryError as error:
            self._failed(file.directory, file.node, error)
            self._writer.abandon(file)
            return
        self._counts.files += 1
        if self._verify:
            self._written.append((file.directory, file.node))

    def _equals(self, fd: int, node: Node, found: os.stat_result) -> bool:
        return content_equals(fd, node, found.st_size, self._source, self._hash)

    def _verify_written(self) -> None:
        """Read what was written, through the system's cache, and compare it with the blob ids."""
        written, self._written = self._written, []
        for directory, node in written:
            path = directory.path + b"/" + node.name
            try:
                fd = open_existing(self._tree, directory, node.name)
                try:
                    equal = self._equals(fd, node, os.fstat(fd))
                finally:
                    os.close(fd)
            except OSError as error:
                self._counts.damaged += 1
                self._problems.add(path, f"cannot be verified: {describe(error)}")
                continue
            self._counts.verified += 1
            if not equal:
                self._counts.damaged += 1
                self._problems.add(path, "differs from the snapshot after it was written")

    def _damaged(self, directory: TargetDirectory, node: Node, error: IntegrityError) -> None:
        self._counts.damaged += 1
        self._note_failure(node)
        self._problems.add(directory.path + b"/" + node.name, f"not restored: {error}")

    def _failed(self, directory: TargetDirectory, node: Node, error: Exception) -> None:
        self._note_failure(node)
        self._problems.meet(directory.path + b"/" + node.name, error)

    def _note_failure(self, node: Node) -> None:
        assert node.type == NodeType.FILE
        if node.extra is not None and node.extra.link_count > 1:
            self._failed_links.add(link_key(node))


def _is_one_blob(node: Node) -> bool:
    extra = node.extra
    return len(node.content) == BLOB_ID_LENGTH and (
        extra is None or (not extra.holes and not extra.depth)
    )


def content_equals(
    fd: int, node: Node, size: int, source: BlobSource, hash_data: KeyedHash
) -> bool:
    """Tell whether an open file of `size` bytes has exactly the node's content.

    Raises:
        OSError: it cannot be read.
    """
    if size != node.size or not reads_as_zeros(fd, iter_holes(node)):
        return False
    try:
        return all(
            hash_data(read_at(fd, offset, length)) == blob_id
            for offset, length, blob_id in iter_spans(node, source)
        )
    except IntegrityError:
        return False
