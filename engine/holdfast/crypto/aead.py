"""Authenticated encryption under keys that are each used for one object only.

A key is made for one pack or one named object and never again, hence nonces are plain counters
and no nonce state lives on disk: a cloned machine cannot repeat one. AES-GCM and
ChaCha20-Poly1305 do not commit to their key, so each key comes with a 32-byte commitment that is
compared before anything is opened (Dodis et al. 2018, "Fast message franking"; Albertini et al.
2022, "How to abuse and fix authenticated encryption without key commitment").
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from holdfast.errors import AuthenticationError
from holdfast.hashing import Bytes, keyed_hash_long

KEY_LENGTH: Final = 32
NONCE_LENGTH: Final = 12
TAG_LENGTH: Final = 16
COMMITMENT_LENGTH: Final = 32


class Suite(IntEnum):
    """AEAD of an object; the values are stored and never change."""

    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class Cipher(Protocol):
    """One-shot AEAD of the cryptography package; may be shared by threads."""

    def encrypt(self, nonce: Bytes, data: Bytes, associated_data: Bytes | None) -> bytes:
        """Return ciphertext and tag."""

    def decrypt(self, nonce: Bytes, data: Bytes, associated_data: Bytes | None) -> bytes:
        """Return the plaintext or raise InvalidTag."""


def cipher(suite: Suite, key: bytes) -> Cipher:
    """Return the AEAD of `suite` under `key` (32 bytes). Cost: 2.5 us."""
    return AESGCM(key) if suite == Suite.AES_256_GCM else ChaCha20Poly1305(key)


def object_key(secret: bytes, *binding: bytes) -> tuple[bytes, bytes]:
    """Derive the key of one object and its commitment.

    Args:
        secret: 32 bytes, the subkey or data key.
        binding: what the key is bound to (repository, name, salt …), each of a fixed length or
            the last one of any length, so that no two bindings join to the same bytes.

    Returns:
        (key, commitment), 32 bytes each.
    """
    derived = keyed_hash_long(secret, b"".join(binding), KEY_LENGTH + COMMITMENT_LENGTH)
    return derived[:KEY_LENGTH], derived[KEY_LENGTH:]


def check_commitment(expected: bytes, found: bytes, kind: str, name: str) -> None:
    """Compare commitments in constant time.

    Raises:
        AuthenticationError: the object was sealed under another key.
    """
    if not hmac.compare_digest(expected, found):
        raise AuthenticationError(kind, name, "sealed with another key, or its header was altered")


def open_box(aead: Cipher, nonce: bytes, box: Bytes, binding: bytes, kind: str, name: str) -> bytes:
    """Verify and decrypt one box.

    Raises:
        AuthenticationError: not sealed with this key, nonce and binding.
    """
    try:
        return aead.decrypt(nonce, box, binding)
    except (InvalidTag, ValueError) as error:
        raise AuthenticationError(kind, name, "its seal is broken") from error
