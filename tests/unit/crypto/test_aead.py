"""Sealing: bindings, commitments, and keys that are never shared by two objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.crypto.aead import Suite, check_commitment, cipher, object_key, open_box
from holdfast.crypto.keys import Subkeys, new_data_key, new_root_key
from holdfast.errors import AuthenticationError

KEY = b"k" * 32
NONCE = bytes(12)


@given(st.binary(max_size=100), st.binary(max_size=20), st.sampled_from(Suite))
def test_round_trip(data: bytes, binding: bytes, suite: Suite) -> None:
    box = cipher(suite, KEY).encrypt(NONCE, data, binding)
    assert open_box(cipher(suite, KEY), NONCE, box, binding, "pack", "x") == data


@pytest.mark.parametrize("suite", Suite)
def test_other_key_nonce_binding_or_bytes_are_refused(suite: Suite) -> None:
    box = cipher(suite, KEY).encrypt(NONCE, b"data", b"binding")
    attempts = [
        (b"j" * 32, NONCE, box, b"binding"),
        (KEY, b"\1" * 12, box, b"binding"),
        (KEY, NONCE, box, b"other"),
        (KEY, NONCE, box[:-1], b"binding"),
        (KEY, NONCE, b"", b"binding"),
        (KEY, NONCE, bytes(len(box)), b"binding"),
    ]
    for key, nonce, found, binding in attempts:
        with pytest.raises(AuthenticationError):
            open_box(cipher(suite, key), nonce, found, binding, "pack", "x")


def test_keys_differ_by_secret_and_binding() -> None:
    made = [
        object_key(KEY, b"a"),
        object_key(KEY, b"b"),
        object_key(b"j" * 32, b"a"),
        object_key(KEY, b"a", b"b"),
    ]
    assert len({part for pair in made for part in pair}) == 8
    assert object_key(KEY, b"a") == made[0]


def test_a_key_that_was_not_committed_to_is_refused() -> None:
    _, commitment = object_key(KEY, b"a")
    check_commitment(commitment, commitment, "pack", "x")
    for wrong in (object_key(KEY, b"b")[1], b"", commitment[:-1]):
        with pytest.raises(AuthenticationError, match="another key"):
            check_commitment(commitment, wrong, "pack", "x")


def test_subkeys_differ_by_purpose_root_and_repository() -> None:
    root = bytes(range(32))
    made = [
        Subkeys.derive(root, bytes(16)),
        Subkeys.derive(root, b"r" * 16),
        Subkeys.derive(b"s" * 32, bytes(16)),
    ]
    values = [getattr(keys, name) for keys in made for name in Subkeys.__dataclass_fields__]
    assert len(set(values)) == len(values) == 3 * 7
    assert all(len(value) == 32 for value in values)
    assert made[0].data_hash()(b"x") != made[0].tree_hash()(b"x")


def test_subkeys_are_not_shown() -> None:
    keys = Subkeys.derive(b"s" * 32, bytes(16))
    assert repr(keys) == "Subkeys()"


def test_fresh_keys_differ() -> None:
    assert len({new_root_key(), new_root_key(), new_data_key(), new_data_key()}) == 4
