"""Snapshots: the root of a tree and the story around it; also the commits of writers.

A snapshot object is a named object whose body, the commit, carries what prune needs (view, index
objects, host sequence, hash of the host's previous snapshot object) and a second box under the
subkey "snapshots" with what people see. So a maintainer can later be given the outer part only.

Source: docs/format.md#snapshots.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from holdfast.compression import DEFAULT_LEVEL, compress, decompress
from holdfast.crypto.aead import NONCE_LENGTH, Suite, check_commitment, cipher, object_key, open_box
from holdfast.errors import FormatError
from holdfast.findings import Finding
from holdfast.ids import BLOB_ID_LENGTH, BlobId, ObjectId

MAX_INNER_LENGTH: Final = 1 << 28
MAX_XATTR_NAMES: Final = 1024
"""More are not listed: a source may have one for each file."""
_NONCE: Final = bytes(NONCE_LENGTH)
_SALT_LENGTH: Final = 32


class SnapshotStats(msgspec.Struct, array_like=True, kw_only=True):
    """What a backup did. Fields are only ever added at the end, each with a default."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    directories: int = 0
    others: int = 0
    logical_bytes: int = 0
    """Sum of the sizes of all files in the snapshot."""
    bytes_read: int = 0
    """Bytes read from the source."""
    bytes_added: int = 0
    """Plaintext bytes of blobs that the repository did not have."""
    bytes_stored: int = 0
    """Bytes of the packs written, after compression and encryption."""
    blobs_added: int = 0
    duration_ns: int = 0


class StreamRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one stream of a database backup cost."""

    label: str
    """What people call it: "shop data", "globals"."""
    files: int
    logical_bytes: int
    new_bytes: int
    """Plaintext of blobs that the repository did not have, without metadata."""
    stored_bytes: int
    """What that became after compression and encryption; a slice that two streams share counts
    for each by its share of the plaintext."""
    duration_ns: int = 0


class DatabaseRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What a snapshot is of, if it is of a database. Fields are only ever added at the end."""

    kind: str
    """"postgresql", "mariadb" …"""
    method: str
    """"logical" or "physical"."""
    instance: str
    server_version: str = ""
    streams: tuple[StreamRecord, ...] = ()
    properties: dict[str, str] = {}
    """Facts that a restore needs, by names that docs/format.md lists: positions, identities."""


class Snapshot(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One snapshot. Fields are only ever added at the end, each with a default."""

    id: str
    """The object's own name, 32 hex digits."""
    time_ns: int
    host: str
    user: str
    raw_paths: tuple[bytes, ...]
    root: bytes
    """Concatenated ids of the pages of "/"."""
    tags: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    parent: str | None = None
    partial: bool = False
    profile: str = "files"
    program_version: str = ""
    user_names: dict[int, str] = {}
    """Names of the user ids in the tree, as the source host knew them."""
    group_names: dict[int, str] = {}
    stats: SnapshotStats = msgspec.field(default_factory=SnapshotStats)
    findings: tuple[Finding, ...] = ()
    original: str | None = None
    """The snapshot this one was made of by `tag` or `copy`."""
    xattr_names: tuple[bytes, ...] | None = None
    """Names of extended attributes that nodes may have; no node has others. None if not known.

    `ls -l` asks for two of them for each file, which over FUSE costs more than all the rest: who
    knows that nobody has them can say so once.
    """
    database: DatabaseRecord | None = None
    """What it is of, if it was made by `backup-db`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as text; bytes that are no UTF-8 are shown as escapes."""
        return tuple(path.decode("utf-8", "backslashreplace") for path in self.raw_paths)

    @property
    def root_pages(self) -> list[BlobId]:
        """Ids of the pages of "/", in order."""
        return [
            BlobId(self.root[at : at + BLOB_ID_LENGTH])
            for at in range(0, len(self.root), BLOB_ID_LENGTH)
        ]


class Commit(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The outer part of a snapshot object. Fields are only ever added at the end."""

    view: int
    """Number of the last gc entry read when the writer decided what it may reuse; -1 for none."""
    index_ids: tuple[str, ...]
    """Index objects that this commit brings into the trusted index."""
    host: str
    host_sequence: int
    """Number of this commit among the host's, from 1; a gap shows a deletion."""
    previous_hash: bytes
    """Trailer of the host's previous snapshot object; 32 zeros for the first."""
    sealed: bytes
    """The inner part."""


def encode_commit(commit: Commit) -> bytes:
    """Encode the body of a snapshot object."""
    return msgspec.msgpack.encode(commit)


def decode_commit(body: bytes, name: str) -> Commit:
    """Decode and validate the body of a snapshot object.

    Raises:
        FormatError: not a commit.
    """
    try:
        commit = msgspec.msgpack.decode(body, type=Commit)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("snapshot", name, str(error)) from error
    if len(commit.previous_hash) != 32 or commit.host_sequence < 1 or commit.view < -1:
        raise FormatError("snapshot", name, "impossible commit")
    return commit


def seal_snapshot(snapshot: Snapshot, key: bytes, repository_id: bytes) -> bytes:
    """Seal the inner part under the subkey "snapshots": salt, commitment, AES-256-GCM box."""
    salt = os.urandom(_SALT_LENGTH)
    inner_key, commitment = object_key(key, salt, bytes.fromhex(snapshot.id))
    packed = compress(msgspec.msgpack.encode(snapshot), DEFAULT_LEVEL)
    box = cipher(Suite.AES_256_GCM, inner_key).encrypt(_NONCE, packed, repository_id)
    return salt + commitment + box


def open_snapshot(sealed: bytes, name: ObjectId, key: bytes, repository_id: bytes) -> Snapshot:
    """Open the inner part of the snapshot `name`.

    Raises:
        AuthenticationError, FormatError: not the inner part of this snapshot.
    """
    salt, commitment, box = sealed[:32], sealed[32:64], sealed[64:]
    inner_key, expected = object_key(key, salt, bytes.fromhex(name))
    check_commitment(expected, commitment, "snapshot", name)
    aead = cipher(Suite.AES_256_GCM, inner_key)
    packed = open_box(aead, _NONCE, box, repository_id, "snapshot", name)
    body = decompress(packed, MAX_INNER_LENGTH, "snapshot", name)
    try:
        snapshot = msgspec.msgpack.decode(body, type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("snapshot", name, str(error)) from error
    if snapshot.id != name or not snapshot.root or len(snapshot.root) % BLOB_ID_LENGTH:
        raise FormatError("snapshot", name, "impossible root or another name")
    return snapshot
