"""Sealed objects: they open under their own name, kind and repository, whole, and else never."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.crypto.aead import Suite
from holdfast.errors import (
    AuthenticationError,
    FormatError,
    HashMismatchError,
    IntegrityError,
    UnsupportedVersionError,
)
from holdfast.format.envelope import (
    HEADER_LENGTH,
    Envelope,
    ObjectKind,
    check_version,
    encode_header,
)
from holdfast.format.padding import padme
from holdfast.hashing import TRAILER_LENGTH, trailer

REPOSITORY_ID = bytes(range(16))
KEY = b"k" * 32
NAME = "index/0123456789abcdef0123456789abcdef"
ENVELOPE = Envelope(REPOSITORY_ID, KEY, Suite.AES_256_GCM)


def with_trailer(data: bytes) -> bytes:
    """The bytes with a right trailer: what somebody without keys can forge."""
    content = data[:-TRAILER_LENGTH]
    return content + trailer(content)


@given(st.binary(max_size=5000), st.sampled_from(Suite), st.sampled_from(ObjectKind))
def test_round_trip(body: bytes, suite: Suite, kind: ObjectKind) -> None:
    envelope = Envelope(REPOSITORY_ID, KEY, suite)
    assert envelope.open(kind, NAME, envelope.seal(kind, NAME, body)) == body


def test_either_suite_opens_what_the_other_repository_default_sealed() -> None:
    other = Envelope(REPOSITORY_ID, KEY, Suite.CHACHA20_POLY1305)
    sealed = other.seal(ObjectKind.INDEX, NAME, b"body")
    assert ENVELOPE.open(ObjectKind.INDEX, NAME, sealed) == b"body"


def test_two_seals_of_one_body_share_no_ciphertext() -> None:
    one = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"body")
    two = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"body")
    assert one[:HEADER_LENGTH] == two[:HEADER_LENGTH]
    assert one[HEADER_LENGTH:56] != two[HEADER_LENGTH:56]
    assert one[88:] != two[88:]


def test_sizes_are_padded() -> None:
    sizes = {
        len(ENVELOPE.seal(ObjectKind.INDEX, NAME, bytes(range(256)) * 4 + b"x" * length))
        for length in range(3)
    }
    assert len(sizes) == 1
    assert padme(sizes.pop() - 88 - 16 - 32) > 0


def test_another_name_kind_key_or_repository_is_refused() -> None:
    sealed = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"body")
    with pytest.raises(AuthenticationError):
        ENVELOPE.open(ObjectKind.INDEX, NAME.replace("0", "1"), sealed)
    with pytest.raises(FormatError):
        ENVELOPE.open(ObjectKind.SNAPSHOT, NAME, sealed)
    with pytest.raises(AuthenticationError):
        Envelope(REPOSITORY_ID, b"j" * 32, Suite.AES_256_GCM).open(ObjectKind.INDEX, NAME, sealed)
    with pytest.raises(AuthenticationError):
        Envelope(bytes(16), KEY, Suite.AES_256_GCM).open(ObjectKind.INDEX, NAME, sealed)


def test_forged_kind_and_repository_in_the_header_are_refused() -> None:
    sealed = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"body")
    as_snapshot = with_trailer(sealed[:5] + bytes((ObjectKind.SNAPSHOT,)) + sealed[6:])
    with pytest.raises(AuthenticationError):
        ENVELOPE.open(ObjectKind.SNAPSHOT, NAME, as_snapshot)
    moved = with_trailer(sealed[:8] + bytes(16) + sealed[24:])
    with pytest.raises(AuthenticationError):
        Envelope(bytes(16), KEY, Suite.AES_256_GCM).open(ObjectKind.INDEX, NAME, moved)


def test_every_changed_byte_is_noticed() -> None:
    sealed = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"the body of an object")
    for at in range(len(sealed)):
        for bits in (0x01, 0x80, 0xFF):
            changed = bytearray(sealed)
            changed[at] ^= bits
            with pytest.raises(IntegrityError):
                ENVELOPE.open(ObjectKind.INDEX, NAME, bytes(changed))


def test_every_changed_byte_is_noticed_with_a_right_trailer_too() -> None:
    sealed = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"the body of an object")
    for at in range(len(sealed) - TRAILER_LENGTH):
        for bits in (0x01, 0x80, 0xFF):
            changed = bytearray(sealed)
            changed[at] ^= bits
            with pytest.raises(IntegrityError):
                ENVELOPE.open(ObjectKind.INDEX, NAME, with_trailer(bytes(changed)))


def test_every_truncation_is_noticed() -> None:
    sealed = ENVELOPE.seal(ObjectKind.INDEX, NAME, b"the body of an object")
    for length in range(len(sealed)):
        with pytest.raises(IntegrityError):
            ENVELOPE.open(ObjectKind.INDEX, NAME, sealed[:length])
        with pytest.raises(IntegrityError):
            ENVELOPE.open(ObjectKind.INDEX, NAME, with_trailer(sealed[:length]))
    with pytest.raises(HashMismatchError):
        ENVELOPE.open(ObjectKind.INDEX, NAME, sealed + b"\0")


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_raise_integrity_errors_only(data: bytes, headed: bool) -> None:
    if headed:
        data = encode_header(ObjectKind.INDEX, 1, REPOSITORY_ID) + data
    data += trailer(data)
    with pytest.raises(IntegrityError):
        ENVELOPE.open(ObjectKind.INDEX, NAME, data)


def test_a_newer_version_is_told_apart_from_damage() -> None:
    sealed = bytearray(ENVELOPE.seal(ObjectKind.CONFIG, "config", b"body"))
    check_version(bytes(sealed), "/repo")
    sealed[4] = 2
    with pytest.raises(UnsupportedVersionError) as caught:
        check_version(bytes(sealed), "/repo")
    assert (caught.value.found, caught.value.supported) == (2, 1)
    with pytest.raises(FormatError, match="version 2"):
        ENVELOPE.open(ObjectKind.CONFIG, "config", bytes(sealed))


def test_every_kind_has_a_label() -> None:
    assert all(kind.label for kind in ObjectKind)
