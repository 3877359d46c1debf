"""Folders of which a page cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from holdfast.errors import HoldfastError, IntegrityError
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.server.dav import propfind_response
from holdfast.server.page import page_response
from holdfast.server.resolve import Found
from holdfast.vfs.directory import Directory
from support.archives import SNAPSHOT
from support.trees import DictSource, file_node, node_of


class Folder:
    """A directory with three pages, of which some are damaged."""

    def __init__(self, *damaged: int) -> None:
        self.node = node_of(NodeType.DIRECTORY, b"folder")
        self.snapshot: Snapshot | None = SNAPSHOT
        self.number = 1
        self.path = b"/snapshots/1/folder"
        self._damaged = damaged

    def page(self, index: int) -> Sequence[Node] | None:
        if index in self._damaged:
            raise IntegrityError("tree", "abc", "<damaged>")
        return [file_node(DictSource(), b"file%d" % index)] if index < 3 else None

    def pages(self) -> Iterator[Sequence[Node]]:
        index = 0
        while (page := self.page(index)) is not None:
            yield page
            index += 1

    def get(self, name: bytes) -> Node | None:
        raise AssertionError(name)

    def enter(self, node: Node) -> Directory:
        raise AssertionError(node)


def nowhere(path: bytes) -> Found:
    raise AssertionError(path)


def propfind(folder: Folder) -> Iterator[bytes]:
    found = Found(folder, folder.node, folder)
    return iter(propfind_response(found, folder.path, "1", b"", nowhere).body)


def test_a_page_shows_the_rest_and_says_that_entries_are_missing() -> None:
    problems: list[str] = []

    def report(path: str, error: HoldfastError) -> None:
        problems.append(f"{path} {error}")

    page = b"".join(page_response(Folder(1), report).body).decode()
    assert "file0" in page
    assert "file1" not in page
    assert "file2" in page
    assert "Entries are missing here" in page
    assert "&lt;damaged&gt;" in page
    assert len(problems) == 1


def test_webdav_fails_rather_than_list_less_than_there_is() -> None:
    assert sum(piece.count(b"<D:response>") for piece in propfind(Folder())) == 4
    pieces = propfind(Folder(1))
    with pytest.raises(IntegrityError):
        list(pieces)
    with pytest.raises(IntegrityError):
        next(propfind(Folder(0)))
