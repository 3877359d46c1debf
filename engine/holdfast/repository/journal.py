"""The journal: which packs a run has stored but not yet committed.

One file per run beside the cache, locked while its process lives. It begins with the run's view of
the log of prune. Each frame is a length, the encoded entry of one durable pack and the BLAKE3 of
both, so a torn end is noticed and dropped. The next run of this host adopts the journals of dead
runs after looking that prune has not touched their packs and that each is still present with the
size it had: what an interrupted backup uploaded is not uploaded again.

Losing a journal costs uploads, never data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.errors import CacheError, FormatError
from holdfast.format.index import PackEntry, decode_index, encode_index
from holdfast.hashing import TRAILER_LENGTH, trailer

_LENGTH: Final = struct.Struct("<I")
_VIEW: Final = struct.Struct("<q")
_SUFFIX: Final = ".journal"


@dataclass(frozen=True, slots=True)
class DeadRun:
    """What the journal of a run that never ended says."""

    session_id: str
    view: int
    """Of the log of prune, when the run began."""
    entries: list[PackEntry]


class Journal:
    """The journal of a running session.

    Args:
        directory: where journals lie; created if absent.
        session_id: names the file.
        view: of the log of prune; no pack is older.

    Raises:
        CacheError: it cannot be created.
    """

    def __init__(self, directory: str, session_id: str, view: int) -> None:
        self._path = os.path.join(directory, session_id + _SUFFIX)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise CacheError(directory, error.strerror or str(error)) from error
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # without its view nothing of it is taken over
            os.write(self._descriptor, _VIEW.pack(view))

    def append(self, entry: PackEntry) -> None:
        """Note a durable pack; safe for many threads, as a frame is a single appending write.

        Not fsynced: after a power cut the pack is merely uploaded again.

        So it is if the journal's disk is full: that must not cost this run the pack.
        """
        body = encode_index([entry])
        head = _LENGTH.pack(len(body))
        with contextlib.suppress(OSError):
            os.write(self._descriptor, b"".join((head, body, trailer(head, body))))

    def close(self, *, committed: bool) -> None:
        """End the journal; of a committed run nothing needs to be adopted. Harmless if repeated."""
        if self._descriptor < 0:
            return
        if committed:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def adopt_journals(directory: str) -> Iterator[list[DeadRun]]:
    """Yield all dead runs; their journals are removed when the block ends well.

    They stay locked meanwhile, so two runs that start at once do not adopt the same packs.
    """
    with _dead_journals(directory) as held:
        runs = []
        for path, descriptor in held:
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
            if len(data) >= _VIEW.size:
                view = _VIEW.unpack_from(data)[0]
                runs.append(DeadRun(_session_of(path), view, _decode_frames(data[_VIEW.size :])))
        yield runs
        for path, _ in held:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def dead_sessions(directory: str) -> set[str]:
    """Return the sessions of this host that ended without a word: their journals are not locked."""
    with _dead_journals(directory) as held:
        return {_session_of(path) for path, _ in held}


@contextlib.contextmanager
def _dead_journals(directory: str) -> Iterator[list[tuple[str, int]]]:
    """Lock the journals of dead runs for the duration of the block; yield paths and descriptors."""
    held: list[tuple[str, int]] = []
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        names = []
    try:
        for name in names:
            if not name.endswith(_SUFFIX):
                continue
            path = os.path.join(directory, name)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # adopted by another run meanwhile, or another user's
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            held.append((path, descriptor))
        yield held
    finally:
        for _, descriptor in held:
            os.close(descriptor)


def _session_of(path: str) -> str:
    return os.path.basename(path).removesuffix(_SUFFIX)


def _decode_frames(data: bytes) -> list[PackEntry]:
    entries: list[PackEntry] = []
    at = 0
    while at + _LENGTH.size <= len(data):
        end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        body = data[at + _LENGTH.size : end]
        if data[end : end + TRAILER_LENGTH] != trailer(data[at:end]):
            break
        try:
            entries += decode_index(body, "journal")
        except FormatError:
            break
        at = end + TRAILER_LENGTH
    return entries
