"""What differs between two entries, and whether two files have the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Protocol

from holdfast.errors import IntegrityError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.operations.diff_types import Field, OnDamage
from holdfast.operations.file_content import iter_spans
from holdfast.operations.read_file import iter_file
from holdfast.repository.reader import BlobSource


class Contents(Protocol):
    """Tells whether files have the same bytes."""

    def same(self, old: Node, new: Node, path: bytes) -> bool | None:
        """Tell whether two files have the same bytes, None if that cannot be found out.

        Args:
            old: a file of the old tree.
            new: a file of the new tree.
            path: of `new`.
        """

    def rename_key(self, node: Node, *, is_new: bool) -> bytes | None:
        """Return what two files of the same bytes have in common, None if no rename can be told."""

    def is_renamed(self, old: Node, new: Node, path: bytes) -> bool:
        """Tell whether two files of the same key have the same bytes; `path` is of `new`."""

    def directory_key(self, node: Node) -> bytes:
        """Return what a directory that was renamed has in common with what it was, b"" if nothing."""

    @property
    def keys_decide(self) -> bool:
        """Whether directories of the same key hold the same; otherwise they are compared."""


class SnapshotContents:
    """Compares files of snapshots of one repository: the same ids are the same bytes.

    Args:
        source: of the repository.
        believe_ids: see `DiffOptions`.
        on_damage: called for a file that had to be read and cannot be.
    """

    def __init__(
        self, source: BlobSource, *, believe_ids: bool, on_damage: OnDamage | None
    ) -> None:
        self._source = source
        self._believe_ids = believe_ids
        self._on_damage = on_damage

    def same(self, old: Node, new: Node, path: bytes) -> bool | None:
        """Tell whether two files have the same bytes; see `Contents`.

        Nothing is read unless the ids cannot tell: files of one size of which one has holes, or
        which were cut differently.
        """
        if old.size != new.size:
            return False
        if old.content == new.content and old.depth == new.depth and _holes(old) == _holes(new):
            return True
        if self._believe_ids and _holes(old) == _holes(new):
            return False
        try:
            return _differ_by_ids(self._source, old, new) is False and _same_bytes(
                iter_file(self._source, old), iter_file(self._source, new)
            )
        except IntegrityError as error:
            if self._on_damage is None:
                raise
            self._on_damage(path, error)
            return None

    def rename_key(self, node: Node, *, is_new: bool) -> bytes | None:  # noqa: ARG002
        """Return the file's ids with what else its bytes depend on; see `Contents`."""
        if not node.size:
            return None
        return b"%d %d %a %b" % (node.size, node.depth, _holes(node), node.content)

    def is_renamed(self, old: Node, new: Node, path: bytes) -> bool:  # noqa: ARG002
        """Tell that files of the same key have the same bytes."""
        return True

    def directory_key(self, node: Node) -> bytes:
        """Return the ids of the pages: what was in a renamed directory is still the same."""
        return node.content

    keys_decide = True


def compare(old: Node, new: Node, contents: Contents, path: bytes) -> frozenset[Field] | None:
    """Return what differs between two entries of one type, None if that cannot be found out.

    The content of directories is not looked at.

    Args:
        old: the one.
        new: the other.
        contents: compares files.
        path: of `new`.
    """
    fields = metadata_fields(old, new)
    if new.type == NodeType.FILE:
        same = contents.same(old, new, path)
        if same is None:
            return None
        if not same:
            fields.append(Field.CONTENT)
    one, other = old.extra or NO_EXTRA, new.extra or NO_EXTRA
    if one.target != other.target:
        fields.append(Field.TARGET)
    if one.rdev != other.rdev:
        fields.append(Field.DEVICE)
    return frozenset(fields)


def metadata_fields(old: Node, new: Node) -> list[Field]:
    """Return what differs of what a restore brings back besides the content."""
    fields = []
    if old.mode != new.mode:
        fields.append(Field.MODE)
    if old.uid != new.uid:
        fields.append(Field.UID)
    if old.gid != new.gid:
        fields.append(Field.GID)
    if old.mtime_ns != new.mtime_ns:
        fields.append(Field.MTIME)
    if (old.extra or NO_EXTRA).xattrs != (new.extra or NO_EXTRA).xattrs:
        fields.append(Field.XATTRS)
    return fields


def _holes(node: Node) -> tuple[int, ...]:
    return node.extra.holes if node.extra is not None else ()


def _differ_by_ids(source: BlobSource, old: Node, new: Node) -> bool:
    """Tell whether at some place both have a blob of the same length and different bytes."""
    right = iter_spans(new, source)
    other = next(right, None)
    for offset, length, blob_id in iter_spans(old, source):
        while other is not None and other[0] < offset:
            other = next(right, None)
        if other is None:
            break
        if other[:2] == (offset, length) and other[2] != blob_id:
            return True
    return False


def _same_bytes(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    """Compare two streams, whatever their pieces."""
    left, right = b"", b""
    for piece, counterpart in zip_longest(one, other, fillvalue=b""):
        left, right = left + piece, right + counterpart
        length = min(len(left), len(right))
        if left[:length] != right[:length]:
            return False
        left, right = left[length:], right[length:]
    return left == right
