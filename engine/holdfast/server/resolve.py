"""From paths in URLs to entries of the view, through symbolic links but never out of a snapshot.

A link in a snapshot is followed as on the host whose files it holds: an absolute target begins at
the root of the snapshot, and ".." ends there. The links that the view itself makes lead to its
snapshots. Nothing here looks at a file of this machine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from holdfast.errors import PathNotFoundError
from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.vfs.directory import Directory
from holdfast.vfs.filesystem import SnapshotFiles

_MOST_LINKS: Final = 40
"""Symbolic links followed for one path, as Linux does."""
_NO_NAMES: Final = frozenset((b"", b"."))


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of the view."""

    directory: Directory
    """That holds it; the root holds itself."""
    node: Node
    inner: Directory | None
    """The directory that it is; None for what is none."""

    @property
    def path(self) -> bytes:
        """Its own path in the view, in which no link is left."""
        if self.inner is not None:
            return self.inner.path or b"/"
        return self.directory.path + b"/" + self.node.name


def resolve(files: SnapshotFiles, path: bytes) -> Found:
    """Return the entry at a path, every link followed.

    Args:
        files: the view.
        path: absolute.

    Raises:
        PathNotFoundError: there is no such path, a link leads nowhere, or it has "..".
        IntegrityError, BackendError: a page on the way cannot be read.
    """
    names = path.split(b"/")
    if b".." in names:
        raise _not_found(path)
    pending = deque(names)
    stack = [files.root]
    links = 0
    while pending:
        name = pending.popleft()
        here = stack[-1]
        if name in _NO_NAMES:
            continue
        if name == b"..":
            # Of a link. In a snapshot it ends at the snapshot's root; above, the view's own
            # links are made so that it does not go too far.
            if len(stack) > 1 and (here.snapshot is None or stack[-2].snapshot is not None):
                stack.pop()
            continue
        node = here.get(name)
        if node is None:
            raise _not_found(path)
        if node.type == NodeType.SYMLINK:
            links += 1
            if links > _MOST_LINKS:
                raise _not_found(path)
            target = (node.extra or NO_EXTRA).target
            if target.startswith(b"/"):
                stack = _from_snapshot_root(stack)
            pending.extendleft(reversed(target.split(b"/")))
        elif node.type == NodeType.DIRECTORY:
            stack.append(here.enter(node))
        elif any(rest not in _NO_NAMES for rest in pending):
            raise _not_found(path)
        else:
            return Found(here, node, None)
    inner = stack[-1]
    return Found(stack[-2] if len(stack) > 1 else inner, inner.node, inner)


def _from_snapshot_root(stack: list[Directory]) -> list[Directory]:
    """Return the directories down to the root of the snapshot, or of the view above snapshots."""
    for at, directory in enumerate(stack):
        if directory.snapshot is not None:
            return stack[: at + 1]
    return stack[:1]


def _not_found(path: bytes) -> PathNotFoundError:
    return PathNotFoundError("", path.decode("utf-8", "surrogateescape"))
