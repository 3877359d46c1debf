"""Which blob of a source is which blob here: the memory of copies between different keys.

A blob id is a keyed hash, so that of a copy can only be learnt by reading the blob. What was learnt
is kept in an LMDB file below the destination's cache, one for each source, and spares the next copy
the reading. It may be deleted at any moment. An entry means no more than "if this blob is here, it
is that one": whoever uses it asks the index whether the blob is here. So entries can be written
before anything is durable.

A wrong entry would put other content into a snapshot and nobody would notice. So each carries
eight bytes of a hash under a key that only holders of both repositories' keys can make.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any, Final, Self

import lmdb

from holdfast.closing import Closing
from holdfast.hashing import derive_key, keyed_hash
from holdfast.ids import BLOB_ID_LENGTH

_MAP_SIZE: Final = 1 << 40
_BATCH: Final = 20_000
"""Entries held until they are put in order of id: 5 MB."""
_CHECK_LENGTH: Final = 8
_LARGE: Final = 32 << 20
_REMAP_LOOKUPS: Final = 800
"""Look-ups between two openings of a large file: each maps 64 KiB at the most."""


def map_key(source_key: bytes, own_key: bytes) -> bytes:
    """Return the key that entries are checked under, from both repositories' keys of data ids."""
    return derive_key("holdfast 2026 v1 map of copied blobs", source_key + own_key)


class CopyMap(Closing):
    """Source blob id -> own blob id; a context manager. For one thread.

    Only one process uses the file of a source at a time; another one gets an empty map of its own.

    Args:
        directory: of the map; made if absent.
        key: of `map_key`.
    """

    def __init__(self, directory: str, key: bytes) -> None:
        self._directory = directory
        self._check = keyed_hash(key)
        self._pending: dict[bytes, bytes] = {}
        self._lookups = 0
        self._lock = -1
        self._scratch: str | None = None
        self._path = ""
        self._env: Any = None
        self._reader: Any = None

    def __enter__(self) -> Self:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._lock = os.open(os.path.join(self._directory, "lock"), flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path = os.path.join(self._directory, "lmdb")
        except BlockingIOError:
            self._scratch = tempfile.mkdtemp(dir=self._directory, prefix="own-")
            self._path = os.path.join(self._scratch, "lmdb")
        self._open()
        return self

    def close(self) -> None:
        """Give up the scratch files."""
        with contextlib.suppress(lmdb.Error):
            self.flush()
        self._close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        os.close(self._lock)

    def get(self, source_id: bytes) -> bytes | None:
        """Return what a blob would be called here, if that is known. Cost: 4 us."""
        own_id = self._pending.get(source_id)
        if own_id is not None:
            return own_id
        self._lookups += 1
        if self._lookups >= _REMAP_LOOKUPS:
            self._lookups = 0
            if self._env.info()["last_pgno"] * os.sysconf("SC_PAGE_SIZE") > _LARGE:
                self._close()
                self._open()
        try:
            if self._reader is None:
                self._reader = self._env.begin()
            value = self._reader.get(source_id)
        except lmdb.Error:
            self._begin_anew()
            return None
        if value is None or len(value) != BLOB_ID_LENGTH + _CHECK_LENGTH:
            return None
        own_id = bytes(value[:BLOB_ID_LENGTH])
        return own_id if value[BLOB_ID_LENGTH:] == self._proof(source_id, own_id) else None

    def put(self, source_id: bytes, own_id: bytes) -> None:
        """Note what a blob is called here."""
        self._pending[bytes(source_id)] = own_id
        if len(self._pending) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is noted, in order of id: random puts would dirty a page each."""
        if not self._pending:
            return
        self._end_reading()
        entries = [(one, own + self._proof(one, own)) for one, own in sorted(self._pending.items())]
        try:
            self._put(entries)
        except lmdb.Error:
            self._begin_anew()
            self._put(entries)
        self._pending.clear()

    def _put(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(entries)

    def _proof(self, source_id: bytes, own_id: bytes) -> bytes:
        return self._check(source_id + own_id)[:_CHECK_LENGTH]

    def _open(self) -> None:
        try:
            self._env = self._attach()
        except lmdb.Error:
            shutil.rmtree(self._path, ignore_errors=True)
            self._env = self._attach()

    def _attach(self) -> Any:
        os.makedirs(self._path, mode=0o700, exist_ok=True)
        env = lmdb.open(
            self._path,
            map_size=_MAP_SIZE,
            metasync=False,
            mode=0o600,
            readahead=False,
            lock=False,  # ours is held
        )
        # A page past the end of a truncated file would end the process with SIGBUS.
        size = (env.info()["last_pgno"] + 1) * os.sysconf("SC_PAGE_SIZE")
        if size > os.stat(os.path.join(self._path, "data.mdb")).st_size:
            env.close()
            raise lmdb.CorruptedError("the map is cut off")
        return env

    def _begin_anew(self) -> None:
        """The file makes no sense: what it says is learnt again."""
        self._close()
        shutil.rmtree(self._path, ignore_errors=True)
        self._open()

    def _end_reading(self) -> None:
        if self._reader is not None:
            self._reader.abort()
            self._reader = None

    def _close(self) -> None:
        self._end_reading()
        self._env.close()
