"""Which paths and nodes a search is for."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.format.node import NodeType
from holdfast.policy.entry_filter import (
    ANY_NODE,
    NodeFilter,
    PathFilter,
    SizeRange,
    parse_size_range,
    parse_types,
)
from support.trees import DictSource, file_node, node_of

FILE = NodeType.FILE.value


@pytest.mark.parametrize(
    ("conditions", "path", "fits"),
    [
        ({"patterns": ["*.odt"]}, b"/a/b.odt", True),
        ({"patterns": ["*.odt"]}, b"/a/b.ODT", False),
        ({"patterns": ["*.odt"]}, b"/a.odt/b", False),
        ({"patterns": ["*.txt", "*.odt"]}, b"/b.odt", True),
        ({"patterns": ["*.odt", "!b.odt"]}, b"/b.odt", False),
        ({"patterns": ["/a/*"]}, b"/a/b", True),
        ({"patterns": ["/a/*"]}, b"/x/a/b", False),
        ({"patterns": ["b/"]}, b"/a/b", False),
        ({"icase_patterns": ["*.odt"]}, b"/a/b.ODT", True),
        ({"patterns": ["x"], "icase_patterns": ["*.odt"]}, b"/x", True),
        ({"expressions": ["a/b"]}, b"/a/b.odt", True),
        ({"expressions": ["^/a$"]}, b"/a/b.odt", False),
        ({"expressions": ["^.x$"]}, b"/x", True),
        ({"expressions": ["a.b"]}, b"/a\nb", True),
        ({"expressions": ["\udcff$"]}, b"/a\xff", True),
        ({"patterns": ["x"], "expressions": ["y"]}, b"/y", True),
        ({"patterns": ["x"], "expressions": ["y"]}, b"/z", False),
        ({"directories": [b"/a"]}, b"/a", True),
        ({"directories": [b"/a"]}, b"/a/b", True),
        ({"directories": [b"/a"]}, b"/ab", False),
        ({"directories": [b"/"]}, b"/ab", True),
        ({"directories": [b"/a", b"/b"]}, b"/b/c", True),
        ({"directories": [b"/a"], "patterns": ["c"]}, b"/b/c", False),
        ({"directories": [b"/b"], "patterns": ["c"]}, b"/b/d", False),
        ({}, b"/any", True),
    ],
)
def test_paths(conditions: dict[str, list[str]], path: bytes, fits: bool) -> None:
    assert PathFilter(**conditions).fits(path, is_directory=False) is fits  # type: ignore[arg-type]


def test_a_pattern_with_a_slash_at_its_end_is_a_directory() -> None:
    assert PathFilter(["b/"]).fits(b"/a/b", is_directory=True)
    assert not PathFilter(["b/"]).fits(b"/a/b", is_directory=False)


@pytest.mark.parametrize(
    ("conditions", "directory", "may"),
    [
        ({}, b"/a", True),
        ({"patterns": ["x"]}, b"/a", True),
        ({"patterns": ["/a/b/x"]}, b"/a", True),
        ({"patterns": ["/a/b/x"]}, b"/a/b", True),
        ({"patterns": ["/a/b/x"]}, b"/a/c", False),
        ({"patterns": ["/a/b/x"], "expressions": ["z"]}, b"/a/c", True),
        ({"directories": [b"/a/b"]}, b"/a", True),
        ({"directories": [b"/a/b"]}, b"/a/b", True),
        ({"directories": [b"/a/b"]}, b"/a/b/c", True),
        ({"directories": [b"/a/b"]}, b"/a/bc", False),
        ({"directories": [b"/a/b"]}, b"/b", False),
        ({"directories": [b"/a/b"], "patterns": ["/b/x"]}, b"/a", False),
        ({"directories": [b"/"]}, b"/b", True),
    ],
)
def test_directories_that_need_not_be_read(
    conditions: dict[str, list[str]], directory: bytes, may: bool
) -> None:
    assert PathFilter(**conditions).may_contain(directory) is may  # type: ignore[arg-type]


def test_nodes_by_type_size_and_time() -> None:
    source = DictSource()
    file = file_node(source, b"f", b"x" * 100, mtime_ns=50)
    directory = node_of(NodeType.DIRECTORY, b"d", mtime_ns=50)
    assert ANY_NODE.fits(file)
    assert ANY_NODE.is_empty
    assert NodeFilter(types=frozenset({FILE})).fits(file)
    assert not NodeFilter(types=frozenset({FILE})).fits(directory)
    assert NodeFilter(newer_ns=50, older_ns=51).fits(file)
    assert not NodeFilter(newer_ns=51).fits(file)
    assert not NodeFilter(older_ns=50).fits(file)
    assert NodeFilter(sizes=(SizeRange(100, 100),)).fits(file)
    assert not NodeFilter(sizes=(SizeRange(100, None), SizeRange(None, 99))).fits(file)
    assert not NodeFilter(sizes=(SizeRange(None, 5),)).fits(directory), "only files have a size"


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("+10M", (10 * 1024**2 + 1, None)),
        ("-10K", (None, 10 * 1024 - 1)),
        ("0", (0, 0)),
        ("1K..2K", (1024, 2048)),
        ("..2K", (None, 2048)),
        ("1.5K..", (1536, None)),
    ],
)
def test_ranges_of_sizes(text: str, bounds: tuple[int | None, int | None]) -> None:
    assert parse_size_range(text) == SizeRange(*bounds)


@pytest.mark.parametrize("text", ["", "+", "big", "..", "1..2..3", "--1", "2K..1K", "-0"])
def test_what_is_no_range_of_sizes(text: str) -> None:
    with pytest.raises(ConfigurationError, match="size"):
        parse_size_range(text)


def test_types() -> None:
    assert parse_types("f, l") == {NodeType.FILE, NodeType.SYMLINK}
    for text in ("", "x", "f,", "file"):
        with pytest.raises(ConfigurationError, match="is not a type"):
            parse_types(text)


@pytest.mark.parametrize("expression", ["(", "*", "(?P<a>x)(?P<a>y)", "a{99999999999}"])
def test_what_is_no_regular_expression(expression: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a regular expression"):
        PathFilter(expressions=[expression])
