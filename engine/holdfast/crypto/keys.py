"""The root key of a repository and what is derived from it.

One 32-byte root key; one subkey for each purpose, so that no two uses can be played against
each other. Contexts are those of BLAKE3's derive_key and never change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from holdfast.hashing import KeyedHash, derive_key, keyed_hash

ROOT_KEY_LENGTH: Final = 32
REPOSITORY_ID_LENGTH: Final = 16
_CONTEXT: Final = "holdfast 2026 v1 "


def new_root_key() -> bytes:
    """Return a fresh root key: 32 random bytes."""
    return os.urandom(ROOT_KEY_LENGTH)


def new_data_key() -> bytes:
    """Return a fresh data key of a session: 32 random bytes, kept in memory only."""
    return os.urandom(ROOT_KEY_LENGTH)


@dataclass(frozen=True, slots=True)
class Subkeys:
    """All keys of an opened repository; never printed, never stored."""

    data_id: bytes = field(repr=False)
    tree_id: bytes = field(repr=False)
    chunker: bytes = field(repr=False)
    objects: bytes = field(repr=False)
    """Seals config, index objects, the outer part of snapshots, sessions and the gc log."""
    snapshots: bytes = field(repr=False)
    """Seals the inner part of snapshots: what, where and the root."""
    data_key_wrap: bytes = field(repr=False)
    """Wraps the data keys of packs (wrap kind 1, epoch 0)."""
    logs: bytes = field(repr=False)
    """Names log archives, so that the storage sees no server's identity."""

    @classmethod
    def derive(cls, root_key: bytes, repository_id: bytes) -> Subkeys:
        """Derive every subkey from the root key (32 bytes), bound to the repository (16 bytes)."""
        material = root_key + repository_id

        def subkey(purpose: str) -> bytes:
            return derive_key(_CONTEXT + purpose, material)

        return cls(
            data_id=subkey("data blob ids"),
            tree_id=subkey("tree blob ids"),
            chunker=subkey("chunker"),
            objects=subkey("named objects"),
            snapshots=subkey("snapshots"),
            data_key_wrap=subkey("data key wrap, epoch 0"),
            logs=subkey("log archives"),
        )

    def data_hash(self) -> KeyedHash:
        """Return the function that names data blobs."""
        return keyed_hash(self.data_id)

    def tree_hash(self) -> KeyedHash:
        """Return the function that names tree blobs."""
        return keyed_hash(self.tree_id)
