"""The three ways of BLAKE3 are apart from each other and agree with the specification."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.hashing import TrailerHash, derive_key, keyed_hash, keyed_hash_long, trailer

KEY = b"whats the Elvish word for friend"
CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"


def test_vectors_of_the_specification() -> None:
    # test_vectors.json of the BLAKE3 specification, input lengths 0 and 1.
    assert trailer(b"").hex().startswith("af1349b9f5f9a1a6a0404dea36dcc949")
    assert trailer(b"\0").hex().startswith("2d3adedff11b61f14c886e35afa03673")
    assert keyed_hash(KEY)(b"").hex().startswith("92b2b75604ed3c761f9d6f62392c8a92")
    assert derive_key(CONTEXT, b"").hex().startswith("2cc39783c223154fea8dfb7c1b1660f2")


@given(st.binary(max_size=5000), st.integers(33, 100))
def test_longer_output_begins_with_the_shorter(data: bytes, length: int) -> None:
    long = keyed_hash_long(KEY, data, length)
    assert len(long) == length
    assert long.startswith(keyed_hash(KEY)(data))
    assert keyed_hash(KEY)(memoryview(data)) == keyed_hash(KEY)(bytearray(data))


@given(st.lists(st.binary(max_size=100), max_size=6))
def test_trailer_does_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    running = TrailerHash()
    for piece in pieces:
        running.update(piece)
    assert running.digest() == trailer(*pieces) == trailer(b"".join(pieces))


def test_ways_and_keys_are_apart() -> None:
    found = {
        trailer(b"x"),
        keyed_hash(KEY)(b"x"),
        keyed_hash(bytes(32))(b"x"),
        derive_key(CONTEXT, b"x"),
        derive_key(CONTEXT + " ", b"x"),
    }
    assert len(found) == 5
    assert len(derive_key(CONTEXT, b"x", 96)) == 96
