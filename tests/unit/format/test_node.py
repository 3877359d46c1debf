"""Pages of nodes: what they refuse, and where directories are split."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError
from holdfast.format.node import (
    MAX_DEPTH,
    MAX_PAGE_NODES,
    MIN_PAGE_NODES,
    Node,
    NodeExtra,
    decode_page,
    encode_page,
    split_pages,
)
from support.sessions import make_node


def numbered(count: int, first: int = 0) -> list[Node]:
    return [make_node(b"%08d" % number) for number in range(first, first + count)]


def split(nodes: list[Node], *, final: bool = True) -> list[list[Node]]:
    return [list(page) for page in split_pages(nodes, final=final)]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0b", b"x" * 256])
def test_names_that_leave_the_directory_are_refused(name: bytes) -> None:
    with pytest.raises(FormatError, match="names"):
        decode_page(encode_page([make_node(name)]))


def test_names_of_all_other_bytes_are_taken() -> None:
    names = sorted(bytes((byte,)) for byte in range(1, 256) if byte not in b"/.")
    page = [make_node(name) for name in [*names, b"x" * 255][:-1]]
    assert decode_page(encode_page(page)) == page
    long = [make_node(b"x" * 255), make_node(b"\xff\n...")]
    assert decode_page(encode_page(long)) == long


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a")])
def test_names_out_of_order_are_refused(names: tuple[bytes, bytes]) -> None:
    with pytest.raises(FormatError, match="names"):
        decode_page(encode_page([make_node(name) for name in names]))


@pytest.mark.parametrize(
    "change",
    [
        {"content": b"x" * 31},
        {"type": 0},
        {"type": 8},
        {"mode": 0o10000},
        {"mode": -1},
        {"size": -1},
    ],
)
def test_impossible_nodes_are_refused(change: dict[str, object]) -> None:
    node = msgspec.structs.replace(make_node(b"a"), **change)
    with pytest.raises(FormatError, match="impossible node"):
        decode_page(encode_page([node]))


@pytest.mark.parametrize(
    "data", [b"", b"\x93", b"\x80", b"\x91\x01", b"\x91" * 100_000, b"\x90\x90"]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="not a page"):
        decode_page(data, "name")


@pytest.mark.parametrize("depth", [-1, MAX_DEPTH + 1])
def test_impossible_depths_are_refused(depth: int) -> None:
    node = msgspec.structs.replace(make_node(b"a"), extra=NodeExtra(depth=depth))
    with pytest.raises(FormatError, match="impossible node"):
        decode_page(encode_page([node]))


def test_fields_of_later_versions_are_passed_over() -> None:
    node = msgspec.structs.replace(make_node(b"a"), extra=NodeExtra(target=b"t"))
    stored = msgspec.msgpack.decode(encode_page([node]))
    stored[0][-1].append("later field of extra")
    stored[0].append({"later": "field"})
    assert decode_page(msgspec.msgpack.encode(stored)) == [node]


def test_fields_that_are_left_out_have_defaults() -> None:
    stored = msgspec.msgpack.decode(encode_page([make_node(b"a")]))
    del stored[0][-1]
    assert decode_page(msgspec.msgpack.encode(stored)) == [make_node(b"a")]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1023, 1024, 1025, 5000])
def test_pages_join_to_the_directory_and_keep_their_bounds(count: int) -> None:
    nodes = numbered(count)
    pages = split(nodes)
    assert [node for page in pages for node in page] == nodes
    assert len(pages) >= 1
    assert all(MIN_PAGE_NODES <= len(page) <= MAX_PAGE_NODES for page in pages[:-1])
    assert len(pages[-1]) <= MAX_PAGE_NODES
    assert bool(pages[-1]) == bool(nodes)


def test_pages_have_about_320_nodes() -> None:
    pages = split(numbered(40_000))
    assert 250 < 40_000 / len(pages) < 400


def test_border_does_not_depend_on_what_follows() -> None:
    nodes = numbered(6000)
    whole = split(nodes)
    assert len(whole) > 5
    for count in (100, 700, 2000, 5999):
        part = split(nodes[:count], final=False)
        assert part == whole[: len(part)]
        # Only what lies behind the last border may differ.
        assert split(nodes[:count])[: len(part)] == part


def test_border_does_not_depend_on_what_precedes_beyond_a_page() -> None:
    nodes = numbered(6000)
    changed = split([make_node(b"00000000x"), *nodes[1:]])
    whole = split(nodes)
    assert whole[-5:] == changed[-5:]
    touched = [page for page in changed if page not in whole]
    assert 1 <= len(touched) <= 4


def test_borders_depend_on_names_alone() -> None:
    nodes = numbered(3000)
    other = [msgspec.structs.replace(node, mode=0o600, size=7, content=b"i" * 32) for node in nodes]
    assert list(map(len, split(nodes))) == list(map(len, split(other)))


@given(st.lists(st.integers(0, 900), max_size=12), st.integers(0, 10**7))
def test_streaming_gives_the_pages_of_the_whole(steps: list[int], first: int) -> None:
    nodes = numbered(sum(steps), first)
    pages: list[list[Node]] = []
    held: list[Node] = []
    at = 0
    for step in steps:
        held += nodes[at : at + step]
        at += step
        ready = split(held, final=False)
        pages += ready
        del held[: sum(map(len, ready))]
        assert len(held) <= MAX_PAGE_NODES
    if held or not pages:
        pages += split(held)
    assert pages == split(nodes)


def test_hostile_names_cannot_make_pages_long_or_short() -> None:
    without = [node for node in numbered(30_000) if len(split([node] * 64, final=False)) == 0]
    assert list(map(len, split(without[:2500]))) == [1024, 1024, 452]
    always = [node for node in numbered(200_000) if len(split([node] * 64, final=False)) == 1]
    assert set(map(len, split(always)[:-1])) == {MIN_PAGE_NODES}
