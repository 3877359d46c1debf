"""Pages of nodes: what is encoded comes back, and no bytes raise anything but IntegrityError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import IntegrityError
from holdfast.format.node import Node, decode_page, encode_page
from support.format_strategies import pages


@given(pages())
def test_pages_round_trip(nodes: list[Node]) -> None:
    assert decode_page(encode_page(nodes)) == nodes


@given(pages(max_size=4), st.integers(0, 10**6), st.integers(1, 255))
def test_changed_pages_raise_integrity_errors_only(nodes: list[Node], at: int, bits: int) -> None:
    data = bytearray(encode_page(nodes))
    data[at % len(data)] ^= bits
    try:
        assert isinstance(decode_page(bytes(data)), list)
    except IntegrityError:
        pass


@given(pages(max_size=4), st.integers(0, 10**6))
def test_cut_pages_are_refused(nodes: list[Node], length: int) -> None:
    data = encode_page(nodes)
    try:
        decode_page(data[: length % len(data)])
    except IntegrityError:
        return
    raise AssertionError("a page that was cut off was taken for whole")


@given(st.binary(max_size=200))
def test_any_bytes_raise_integrity_errors_only(data: bytes) -> None:
    try:
        assert isinstance(decode_page(data), list)
    except IntegrityError:
        pass
