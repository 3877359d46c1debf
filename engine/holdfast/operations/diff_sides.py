"""The two trees of a diff, and what happens when a part of one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from holdfast.format.node import Node, NodeType
from holdfast.operations.diff_compare import Contents
from holdfast.operations.diff_join import Pair, Tree, common_pages, join

_DIRECTORY = NodeType.DIRECTORY.value


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared."""

    old: Tree
    new: Tree
    contents: Contents


@dataclass(frozen=True, slots=True)
class AllSides:
    """The same trees thrice; they differ in what happens when something cannot be read."""

    reporting: Sides
    passing: Sides
    """Says nothing: the walk that follows reports it."""
    refusing: Sides
    """Raises `UnreadableError`: what cannot be read is not known to be the same."""


class UnreadableError(Exception):
    """Something that had to be compared cannot be read; never leaves a diff."""


def pass_over(*_problem: object) -> None:
    """Say nothing about a problem."""


def refuse(*_problem: object) -> None:
    """Give a comparison up.

    Raises:
        UnreadableError: always.
    """
    raise UnreadableError


class Frame:
    """A pair of directories that is being walked; one of them may be missing."""

    __slots__ = ("new_base", "old_base", "pairs")

    def __init__(self, old_base: bytes, new_base: bytes, pairs: Iterator[Pair]) -> None:
        self.old_base = old_base
        self.new_base = new_base
        self.pairs = pairs

    @classmethod
    def of(
        cls, sides: Sides, old: Node | None, new: Node | None, bases: tuple[bytes, bytes]
    ) -> Self:
        """Begin with two entries; of one that is no directory nothing is listed.

        Args:
            sides: the trees.
            old: the entry of the old tree.
            new: the entry of the new tree.
            bases: their paths, without "/" at the end.
        """
        passed = common_pages(old, new)
        one: Iterator[Node | None] = iter(())
        other: Iterator[Node | None] = iter(())
        if old is not None and old.type == _DIRECTORY:
            one = sides.old.entries(old, bases[0], passed)
        if new is not None and new.type == _DIRECTORY:
            other = sides.new.entries(new, bases[1], passed)
        return cls(*bases, join(one, other))

    def below(self, entry: Node | None) -> tuple[bytes, bytes]:
        """Return the paths of an entry in both trees."""
        assert entry is not None
        return self.old_base + b"/" + entry.name, self.new_base + b"/" + entry.name
