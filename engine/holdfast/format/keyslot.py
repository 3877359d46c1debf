"""Key slots: the root key, wrapped by one secret each.

A slot is the common header (suite 0), a msgpack body and the trailer. The body's box is
AES-256-GCM over the root key with the repository id and the slot's parameters bound to it, so a
slot cannot be moved between repositories and its cost parameters cannot be altered. For a
recovery key the box is an HPKE message (RFC 9180 base mode, X-Wing, HKDF-SHA256,
ChaCha20-Poly1305) to the recovery key's public half.

Source: docs/format.md#key-slots.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from enum import IntEnum
from typing import Any, Final, assert_never

import msgspec
from cryptography.exceptions import InvalidTag

from holdfast.crypto.aead import NONCE_LENGTH, Suite, cipher, object_key
from holdfast.crypto.kdf import SALT_LENGTH, Argon2Parameters, stretch
from holdfast.crypto.keys import ROOT_KEY_LENGTH
from holdfast.crypto.secrets import KeyFile, Password, RecoveryKey, Secret
from holdfast.errors import FormatError
from holdfast.format.envelope import ObjectKind, check_header, check_trailer, encode_header
from holdfast.hashing import derive_key, trailer

_NONCE: Final = bytes(NONCE_LENGTH)
_CONTEXT: Final = "holdfast 2026 v1 key slot "


class SlotKind(IntEnum):
    """Which secret opens a slot; the values are stored and never change."""

    PASSWORD = 1
    KEY_FILE = 2
    RECOVERY = 3

    @property
    def label(self) -> str:
        """What messages and JSON call this kind."""
        return {1: "password", 2: "key-file", 3: "recovery"}[self]


class KeySlot(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One slot as stored. Fields are only ever added at the end, each with a default."""

    kind: int
    label: str
    created_ns: int
    salt: bytes
    box: bytes
    """The wrapped root key."""
    commitment: bytes = b""
    """32 bytes for passwords and key files; empty for recovery keys, whose HPKE message has none."""
    memory_kib: int = 0
    passes: int = 0
    lanes: int = 0
    fingerprint: bytes = b""
    """Fingerprint of a recovery key: SHA-256 of "holdfast recovery" and the seed."""

    def argon2(self) -> Argon2Parameters:
        """The cost of a password slot."""
        return Argon2Parameters(memory_kib=self.memory_kib, passes=self.passes, lanes=self.lanes)

    def binding(self, repository_id: bytes) -> bytes:
        """What the box is bound to: the repository and everything in clear but label and time."""
        cost = b"".join(n.to_bytes(4, "little") for n in (self.memory_kib, self.passes, self.lanes))
        return b"".join((repository_id, bytes((self.kind,)), cost, self.salt))


def make_slot(
    secret: Secret,
    root_key: bytes,
    repository_id: bytes,
    *,
    label: str,
    created_ns: int,
    argon2: Argon2Parameters,
) -> KeySlot:
    """Wrap the root key (32 bytes) for a secret. Cost: that of `argon2` for a password."""
    salt = os.urandom(SALT_LENGTH)
    match secret:
        case Password():
            slot = KeySlot(
                kind=SlotKind.PASSWORD,
                label=label,
                created_ns=created_ns,
                salt=salt,
                box=b"",
                memory_kib=argon2.memory_kib,
                passes=argon2.passes,
                lanes=argon2.lanes,
            )
        case KeyFile():
            slot = KeySlot(
                kind=SlotKind.KEY_FILE, label=label, created_ns=created_ns, salt=salt, box=b""
            )
        case RecoveryKey():
            return _make_recovery_slot(secret, root_key, repository_id, label, created_ns, salt)
        case _:
            assert_never(secret)
    key, commitment = _wrapping_key(slot, secret, repository_id)
    box = cipher(Suite.AES_256_GCM, key).encrypt(_NONCE, root_key, slot.binding(repository_id))
    return msgspec.structs.replace(slot, box=box, commitment=commitment)


def open_slot(slot: KeySlot, secret: Secret, repository_id: bytes) -> bytes | None:
    """Return the root key (32 bytes), or None if the secret does not open this slot."""
    match secret, slot.kind:
        case Password(), SlotKind.PASSWORD:
            if not slot.argon2().are_acceptable():
                return None
        case KeyFile(), SlotKind.KEY_FILE:
            pass
        case RecoveryKey(), SlotKind.RECOVERY:
            return _open_recovery_slot(slot, secret, repository_id)
        case _:
            return None
    key, commitment = _wrapping_key(slot, secret, repository_id)
    if not hmac.compare_digest(commitment, slot.commitment):
        return None
    try:
        root = cipher(Suite.AES_256_GCM, key).decrypt(_NONCE, slot.box, slot.binding(repository_id))
    except (InvalidTag, ValueError):
        return None
    return root if len(root) == ROOT_KEY_LENGTH else None


def encode_slot(slot: KeySlot, repository_id: bytes) -> bytes:
    """Return the stored bytes of a slot."""
    content = encode_header(ObjectKind.KEY, 0, repository_id) + msgspec.msgpack.encode(slot)
    return content + trailer(content)


def decode_slot(data: bytes, name: str) -> tuple[bytes, KeySlot]:
    """Decode and validate the stored bytes of a slot.

    Returns:
        The repository id (16 bytes) and the slot.

    Raises:
        FormatError, HashMismatchError: not a slot, or a damaged one.
    """
    repository_id = check_header(data, ObjectKind.KEY, name)
    content = check_trailer(data, ObjectKind.KEY, name)
    try:
        slot = msgspec.msgpack.decode(content[24:], type=KeySlot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("key slot", name, str(error)) from error
    if slot.kind not in (1, 2, 3) or len(slot.salt) != SALT_LENGTH:
        raise FormatError("key slot", name, "unknown kind or impossible salt")
    if not all(0 <= n < 1 << 32 for n in (slot.memory_kib, slot.passes, slot.lanes)):
        raise FormatError("key slot", name, "impossible cost")
    return repository_id, slot


def _wrapping_key(
    slot: KeySlot, secret: Password | KeyFile, repository_id: bytes
) -> tuple[bytes, bytes]:
    if isinstance(secret, Password):
        material = stretch(secret.text, slot.salt, slot.argon2())
    else:
        material = secret.key
    base = derive_key(_CONTEXT + SlotKind(slot.kind).label, material + repository_id)
    return object_key(base, slot.binding(repository_id))


def _recovery_pair(seed: bytes) -> Any:
    """Expand a seed to an X-Wing private key (draft-connolly-cfrg-xwing-kem, section 5.2)."""
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def _hpke_suite() -> Any:
    from cryptography.hazmat.primitives import hpke

    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _make_recovery_slot(
    secret: RecoveryKey,
    root_key: bytes,
    repository_id: bytes,
    label: str,
    created_ns: int,
    salt: bytes,
) -> KeySlot:
    slot = KeySlot(
        kind=SlotKind.RECOVERY,
        label=label,
        created_ns=created_ns,
        salt=salt,
        box=b"",
        fingerprint=hashlib.sha256(b"holdfast recovery" + secret.seed).digest(),
    )
    pair = _recovery_pair(secret.seed)
    box = _hpke_suite().encrypt(root_key, pair.public_key(), info=slot.binding(repository_id))
    return msgspec.structs.replace(slot, box=box)


def _open_recovery_slot(slot: KeySlot, secret: RecoveryKey, repository_id: bytes) -> bytes | None:
    try:
        root: bytes = _hpke_suite().decrypt(
            slot.box, _recovery_pair(secret.seed), info=slot.binding(repository_id)
        )
    except (InvalidTag, ValueError):
        return None
    return root if len(root) == ROOT_KEY_LENGTH else None
