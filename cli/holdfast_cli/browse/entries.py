"""Entries of a folder as the browser lists them: order, filter, what changed. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate
from typing import Any, Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast_cli.browse.text import screen_name

MOST_ENTRIES: Final = 100_000
"""Entries of a folder that are listed at once, about 800 bytes each; a filter sees all of them."""


class Sign(StrEnum):
    """How an entry differs from the snapshot before; shown in front of its name."""

    SAME = " "
    ADDED = "+"
    REMOVED = "-"
    CONTENT = "M"
    METADATA = "U"
    TYPE = "T"
    RENAMED = "R"


SIGN_WORDS: Final = {
    Sign.ADDED: "added",
    Sign.REMOVED: "removed",
    Sign.CONTENT: "modified",
    Sign.METADATA: "metadata modified",
    Sign.TYPE: "type changed",
    Sign.RENAMED: "renamed",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a snapshot."""

    snapshot: Snapshot
    path: bytes
    """Absolute."""
    node: Node
    sign: Sign = Sign.SAME
    note: str = ""
    """What a list of results tells of it besides."""

    @property
    def key(self) -> tuple[str, bytes]:
        """What tells entries apart."""
        return self.snapshot.id, self.path

    @property
    def is_directory(self) -> bool:
        """Whether it can be entered."""
        return self.node.type == NodeType.DIRECTORY

    @property
    def is_file(self) -> bool:
        """Whether it has content to look at."""
        return self.node.type == NodeType.FILE

    @property
    def parent(self) -> bytes:
        """The path of the directory that holds it."""
        return parent_of(self.path)


class Order(StrEnum):
    """How a folder is sorted; directories always come first."""

    NAME = "name"
    SIZE = "size"
    TIME = "time"

    def next(self) -> Order:
        """Return the one that the key for it switches to."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


_SORT_KEYS: Final[dict[Order, Callable[[Entry], Any]]] = {
    Order.NAME: lambda entry: (not entry.is_directory, entry.node.name.lower(), entry.node.name),
    Order.SIZE: lambda entry: (not entry.is_directory, -entry.node.size, entry.node.name),
    Order.TIME: lambda entry: (not entry.is_directory, -entry.node.mtime_ns, entry.node.name),
}


def sort_entries(entries: Iterable[Entry], order: Order) -> list[Entry]:
    """Return them in order: names without regard to case, the largest or the newest first."""
    return sorted(entries, key=_SORT_KEYS[order])


def parent_of(path: bytes) -> bytes:
    """Return the path of the directory that holds an absolute path; that of "/" is "/"."""
    return path.rstrip(b"/").rpartition(b"/")[0] or b"/"


def join(directory: bytes, name: bytes) -> bytes:
    """Return the path of an entry of a directory."""
    return directory.rstrip(b"/") + b"/" + name


class NameFilter:
    """Names that a person looks for: a part of them, or a pattern with * and ?; any case.

    What is compared is what the screen shows, so that odd names can be typed as they are seen.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        folded = text.casefold()
        self._part = folded
        self._pattern = None
        if any(sign in folded for sign in "*?["):
            self._pattern = re.compile(translate(folded))

    def __bool__(self) -> bool:
        return bool(self.text)

    def matches(self, name: bytes) -> bool:
        """Tell whether a name fits; everything fits the empty filter."""
        if not self._part:
            return True
        shown = screen_name(name).casefold()
        if self._pattern is not None:
            return self._pattern.match(shown) is not None
        return self._part in shown


def compare_nodes(old: Node, new: Node) -> Sign:
    """Return how an entry differs from the one of the same name in an older snapshot.

    The content of a directory is all that lies below it. Inode, device and ctime say nothing of
    an entry, since a restore or a copy changes them.
    """
    if old.type != new.type:
        return Sign.TYPE
    old_extra, new_extra = old.extra or NO_EXTRA, new.extra or NO_EXTRA
    if (
        old.content != new.content
        or old.size != new.size
        or old_extra.target != new_extra.target
        or old_extra.rdev != new_extra.rdev
    ):
        return Sign.CONTENT
    same = (old.mode, old.uid, old.gid, old.mtime_ns, old_extra.xattrs) == (
        new.mode,
        new.uid,
        new.gid,
        new.mtime_ns,
        new_extra.xattrs,
    )
    return Sign.SAME if same else Sign.METADATA
