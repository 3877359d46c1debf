"""Which entries of snapshots a search is for: by path, name, type, size and time. Pure: no I/O.

What speaks of paths and what speaks of nodes are separate questions: a path is judged once, the
nodes that it had in many snapshots one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.format.node import Node, NodeType
from holdfast.policy.filters import IncludeFilter
from holdfast.units import parse_size

TYPE_LETTERS: Final = {
    "f": NodeType.FILE,
    "d": NodeType.DIRECTORY,
    "l": NodeType.SYMLINK,
    "p": NodeType.FIFO,
    "s": NodeType.SOCKET,
    "c": NodeType.CHARACTER_DEVICE,
    "b": NodeType.BLOCK_DEVICE,
}
"""The letters of find(1)."""


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes of files in bytes, both ends included. None: no bound."""

    least: int | None = None
    most: int | None = None

    def holds(self, size: int) -> bool:
        """Tell whether a size lies in the range."""
        return (self.least is None or size >= self.least) and (
            self.most is None or size <= self.most
        )


class PathFilter:
    """What paths must fit: any of the patterns, any of the expressions, any of the directories.

    Patterns are those of gitignore; one that fits a directory does not speak of what lies below.
    A condition that was not given fits everything.
    """

    def __init__(
        self,
        patterns: Iterable[str] = (),
        icase_patterns: Iterable[str] = (),
        expressions: Iterable[str] = (),
        directories: Iterable[bytes] = (),
    ) -> None:
        """Compile the conditions.

        Args:
            patterns: an entry fits one of these, of the second ones, or of the expressions.
            icase_patterns: upper and lower case alike.
            expressions: regular expressions, searched for in the absolute path.
            directories: absolute; an entry is one of these or lies below.

        Raises:
            ConfigurationError: an invalid pattern or expression.
        """
        self._patterns = IncludeFilter(patterns, icase_patterns)
        self._expressions = tuple(_compile(text) for text in expressions)
        # With a slash at the end, "/a" does not hold "/ab"; the root becomes a single slash.
        self._inside = tuple(path.rstrip(b"/") + b"/" for path in directories)
        self._by_pattern = not self._patterns.is_empty or not self._expressions

    @property
    def is_empty(self) -> bool:
        """Whether every path fits."""
        return self._patterns.is_empty and not self._expressions and not self._inside

    def fits(self, path: bytes, *, is_directory: bool) -> bool:
        """Tell whether the entry at an absolute path fits. Cost: about 0.5 us for one pattern."""
        if self._inside and not (path + b"/").startswith(self._inside):
            return False
        if self._by_pattern and self._patterns.includes(path, is_directory):
            return True
        if not self._expressions:
            return False
        text = path.decode("utf-8", "surrogateescape")
        return any(expression.search(text) is not None for expression in self._expressions)

    def may_contain(self, directory: bytes) -> bool:
        """Tell whether something that fits can lie below an absolute directory.

        False spares reading its tree.
        """
        if self._inside:
            prefix = directory.rstrip(b"/") + b"/"
            if not any(
                inside.startswith(prefix) or prefix.startswith(inside) for inside in self._inside
            ):
                return False
        if self._expressions or self._patterns.is_empty:
            return True
        return self._patterns.may_contain(directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFilter:
    """What nodes must be. A condition on sizes speaks of files only: nothing else has one."""

    types: frozenset[int] = frozenset()
    """Any of these `NodeType` values; empty for all."""
    sizes: tuple[SizeRange, ...] = ()
    """All of these."""
    newer_ns: int | None = None
    """Modified then or later, in nanoseconds since 1970 UTC."""
    older_ns: int | None = None
    """Modified before that."""

    @property
    def is_empty(self) -> bool:
        """Whether every node fits."""
        return self == ANY_NODE

    def fits(self, node: Node) -> bool:
        """Tell whether a node fits."""
        if self.types and node.type not in self.types:
            return False
        if self.newer_ns is not None and node.mtime_ns < self.newer_ns:
            return False
        if self.older_ns is not None and node.mtime_ns >= self.older_ns:
            return False
        if not self.sizes:
            return True
        return node.type == NodeType.FILE and all(sizes.holds(node.size) for sizes in self.sizes)


ANY_NODE: Final = NodeFilter()
"""Every node fits."""


def parse_size_range(text: str) -> SizeRange:
    """Return the sizes meant by "+10M" (more), "-10M" (less), "10M..1G" (from, to) or "0".

    Raises:
        ConfigurationError: none of these.
    """
    low, dots, high = text.partition("..")
    try:
        if dots:
            bounds = SizeRange(
                parse_size(low) if low.strip() else None, parse_size(high) if high.strip() else None
            )
        elif text.startswith("+"):
            bounds = SizeRange(parse_size(text[1:]) + 1, None)
        elif text.startswith("-"):
            bounds = SizeRange(None, parse_size(text[1:]) - 1)
        else:
            bounds = SizeRange(parse_size(text), parse_size(text))
    except ConfigurationError as error:
        raise _no_size(text) from error
    if bounds == SizeRange():
        raise _no_size(text)
    if bounds.most is not None and bounds.most < (bounds.least or 0):
        raise ConfigurationError(f"no file has the size {text}", "write the smaller bound first")
    return bounds


def parse_types(text: str) -> frozenset[int]:
    """Return the types meant by letters of find(1) with commas, like "f,l".

    Raises:
        ConfigurationError: another letter, or none.
    """
    letters = [letter.strip() for letter in text.split(",")]
    if not set(letters) <= set(TYPE_LETTERS):
        raise ConfigurationError(
            f"{text!r} is not a type",
            "write f for files, d for directories, l for symbolic links, p, s, c or b, or several "
            "with commas",
        )
    return frozenset(int(TYPE_LETTERS[letter]) for letter in letters)


def _compile(expression: str) -> re.Pattern[str]:
    try:
        # DOTALL: a line end in a name is a character like any other.
        return re.compile(expression, re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigurationError(
            f"{expression!r} is not a regular expression: {error}",
            "put a backslash before characters that stand for themselves",
        ) from error


def _no_size(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text!r} is not a range of sizes",
        "write +10M for more, -10M for less, or 10M..1G",
    )
