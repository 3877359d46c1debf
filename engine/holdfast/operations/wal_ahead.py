"""Segments that were fetched before PostgreSQL asks for them.

While it recovers, a server asks for one segment after another and waits for each; starting a
program and reaching the storage takes longer than replaying a segment does. So who fetches one
fetches the following ones too and leaves them in a directory beside the cache:

    <directory>/<segment>.<BLAKE3 of its content, 64 hex digits>

A file is handed out only if its content has that hash and it is younger than an hour, and by
renaming it, so that nothing is copied. What is not wanted any more is removed by the next call. The
directory may vanish at any moment. It holds in the clear what the server has in the clear, too.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Collection
from typing import Any, Final

from holdfast.clock import Clock
from holdfast.errors import HoldfastError
from holdfast.hashing import HASH_LENGTH, TrailerHash

AHEAD: Final = 8
"""Segments that are fetched ahead, unless somebody wants another number."""
MOST_BYTES: Final = 256 << 20
"""Of what lies ahead; segments of 64 MiB and more are fetched one to four at a time."""
_KEPT_NS: Final = 3600 * 10**9
_READ_SIZE: Final = 1 << 20
_PART: Final = ".part"
_HEX_LENGTH: Final = 2 * HASH_LENGTH


class SegmentsAhead:
    """The directory of one server's segments; nothing is made before there is something to keep.

    Args:
        directory: of these alone, one for each server and repository.
        clock: tells how old a file is.
    """

    def __init__(self, directory: str, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    @property
    def exists(self) -> bool:
        """Whether anything was ever fetched here."""
        return os.path.isdir(self._directory)

    def take(self, name: str, target: str) -> int | None:
        """Move a segment to where it is wanted, durable on return.

        Returns:
            Its size in bytes; None if it is not here or not as it was left.

        Raises:
            OSError: it cannot be written there.
        """
        found = next((entry for entry in self._entries() if entry.startswith(name + ".")), None)
        if found is None:
            return None
        path = os.path.join(self._directory, found)
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                is_sound = not self._is_old(status.st_mtime_ns) and found == (
                    f"{name}.{_hash_file(file)}"
                )
                if is_sound:
                    os.fsync(file.fileno())
        except OSError:
            return None
        if not is_sound:
            _remove(path)
            return None
        return status.st_size if _move(path, target) else None

    def add(self, name: str, fetch: Callable[[str, Callable[[bytes], object]], int]) -> bool:
        """Fetch a segment ahead; False if that failed, for whatever reason.

        Who asks for the segment will meet the reason again, and tell it.
        """
        part = os.path.join(self._directory, f"{secrets.token_hex(8)}{_PART}")
        digest = TrailerHash()
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(part, "xb") as file:
                os.chmod(file.fileno(), 0o600)

                def write(data: bytes) -> None:
                    digest.update(data)
                    file.write(data)

                fetch(name, write)
            os.rename(part, os.path.join(self._directory, f"{name}.{digest.digest().hex()}"))
        except (HoldfastError, OSError):
            _remove(part)
            return False
        return True

    def names(self) -> set[str]:
        """Return the segments that are here."""
        return {entry[: -_HEX_LENGTH - 1] for entry in self._entries() if _is_whole(entry)}

    def clean(self, wanted: Collection[str] | None = None) -> None:
        """Remove what is old, and if `wanted` is given all other segments too.

        Parts that another process writes stay.
        """
        for entry in self._entries():
            path = os.path.join(self._directory, entry)
            try:
                is_old = self._is_old(os.stat(path).st_mtime_ns)
            except OSError:
                continue
            is_other = wanted is not None and entry[: -_HEX_LENGTH - 1] not in wanted
            if is_old or (is_other and _is_whole(entry)):
                _remove(path)

    def _entries(self) -> list[str]:
        try:
            return sorted(os.listdir(self._directory))
        except OSError:
            return []

    def _is_old(self, modified_ns: int) -> bool:
        # A clock that was set back makes files of the future: they are no more trusted.
        return not -_KEPT_NS < self._clock.now_ns() - modified_ns < _KEPT_NS


def _is_whole(entry: str) -> bool:
    return not entry.endswith(_PART) and len(entry) > _HEX_LENGTH + 1


def _hash_file(file: Any) -> str:
    digest = TrailerHash()
    while data := file.read(_READ_SIZE):
        digest.update(data)
    return digest.digest().hex()


def _move(path: str, target: str) -> bool:
    """Rename, or copy to another file system; False if another process was faster."""
    try:
        os.replace(path, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = f"{target}.{secrets.token_hex(4)}{_PART}"
        try:
            with open(path, "rb") as source, open(part, "xb") as copy:
                shutil.copyfileobj(source, copy, _READ_SIZE)
                copy.flush()
                os.fsync(copy.fileno())
            os.replace(part, target)
        except BaseException:
            _remove(part)
            raise
        _remove(path)
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
