"""Objects that are written piece by piece on their way to an S3 server.

The bytes wait in a file without a name, so that memory stays flat and a failed request can be
repeated. Up to 128 MiB are one PUT; more are parts of 64 MiB, and an upload that fails or is
interrupted is aborted, so that no parts stay behind. (If the process is killed, they do; a rule
of the bucket that aborts old uploads removes them.)
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from typing import IO, Final

from holdfast.backends import durable
from holdfast.backends.retry import Retrier
from holdfast.backends.s3_client import S3Client
from holdfast.backends.s3_parameters import PutOptions
from holdfast.errors import (
    AlreadyExistsError,
    BackendError,
    ConfigurationError,
    HoldfastError,
    NotFoundError,
    TransientBackendError,
)
from holdfast.hashing import Bytes
from holdfast.storage_errors import ScratchFullError

PART_SIZE: Final = 64 << 20
MOST_AT_ONCE: Final = 2 * PART_SIZE
_COMPARED_SIZE: Final = 8 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class S3Writer:
    """An object in a scratch file, for one thread at a time; ValueError when used after its end.

    Args:
        client: sends it.
        name: of the object.
        how: class and protection.
        retrier: repeats requests; every part counts its attempts anew.
        scratch_directory: of the file; None for the system's.
    """

    def __init__(
        self,
        client: S3Client,
        name: str,
        how: PutOptions,
        retrier: Retrier,
        scratch_directory: str | None,
    ) -> None:
        self._client = client
        self._name = name
        self._how = how
        self._retrier = retrier
        self._directory = scratch_directory or tempfile.gettempdir()
        self._file: IO[bytes] | None = self._open_scratch()
        self._size = 0
        self._whole = hashlib.md5(usedforsecurity=False)
        """Of all bytes, up to MOST_AT_ONCE."""
        self._part = hashlib.md5(usedforsecurity=False)
        """Of the part being written, if it is not the first, whose digest is that of all."""
        self._digests: list[bytes] = []
        """Of the parts that are full."""

    def write(self, data: Bytes) -> None:
        """Append bytes to the scratch file."""
        file = self._opened()
        view = memoryview(data).cast("B")
        try:
            durable.write_all(file.fileno(), view)
        except OSError as error:
            self.abort()
            raise self._scratch_error(error) from error
        while view.nbytes:
            room = PART_SIZE - self._size % PART_SIZE
            self._digest(view[:room])
            view = view[room:]

    def commit(self) -> None:
        """Upload the object; it is visible as a whole or not at all."""
        self._opened()
        try:
            if self._size <= MOST_AT_ONCE:
                self._put_at_once()
            else:
                self._put_in_parts()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the scratch file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _digest(self, piece: memoryview) -> None:
        """Hash bytes that lie within one part."""
        if self._size < MOST_AT_ONCE:
            self._whole.update(piece)
        if self._size >= PART_SIZE:
            self._part.update(piece)
        self._size += piece.nbytes
        if self._size % PART_SIZE == 0:
            self._end_part()

    def _end_part(self) -> None:
        is_first = self._size <= PART_SIZE
        self._digests.append((self._whole if is_first else self._part).digest())
        self._part = hashlib.md5(usedforsecurity=False)

    def _put_at_once(self) -> None:
        digest = self._whole.digest()
        has_failed = False

        def attempt() -> None:
            nonlocal has_failed
            body = ScratchBody(self._opened(), 0, self._size) if self._size else b""
            try:
                self._client.put(self._name, body, digest, self._how)
            except TransientBackendError:
                has_failed = True
                raise
            except AlreadyExistsError:
                if not has_failed or not self._is_ours(digest.hex()):
                    raise

        self._retrier.run(attempt)

    def _put_in_parts(self) -> None:
        if self._size % PART_SIZE:
            self._digests.append(self._part.digest())
        client, name = self._client, self._name
        upload_id = self._retrier.run(lambda: client.begin_upload(name, self._how))
        try:
            etags = [self._put_part(upload_id, number) for number in range(len(self._digests))]
            self._complete(upload_id, etags)
        except BaseException:
            try:
                client.abort_upload(name, upload_id)
            except HoldfastError:  # what led here matters more; the bucket's rule removes the parts
                pass
            raise

    def _put_part(self, upload_id: str, number: int) -> str:
        begin = number * PART_SIZE
        length = min(PART_SIZE, self._size - begin)

        def attempt() -> str:
            body = ScratchBody(self._opened(), begin, length)
            digest = self._digests[number]
            return self._client.put_part(self._name, upload_id, number + 1, body, digest)

        return self._retrier.run(attempt)

    def _complete(self, upload_id: str, etags: list[str]) -> None:
        has_failed = False
        total = hashlib.md5(b"".join(self._digests), usedforsecurity=False)
        expected = f"{total.hexdigest()}-{len(self._digests)}"

        def attempt() -> None:
            nonlocal has_failed
            try:
                self._client.complete_upload(self._name, upload_id, etags)
            except TransientBackendError:
                has_failed = True
                raise
            except (AlreadyExistsError, NotFoundError):  # the second: there is no such upload now
                if not has_failed or not self._is_ours(expected):
                    raise

        self._retrier.run(attempt)

    def _is_ours(self, etag: str) -> bool:
        """Tell whether the object under the name holds these bytes."""
        try:
            head = self._client.head(self._name)
            if head.size != self._size:
                return False
            return head.etag == etag or self._is_equal()
        except NotFoundError:
            return False

    def _is_equal(self) -> bool:
        """Compare the object with the scratch file, 8 MiB at a time."""
        descriptor = self._opened().fileno()
        for offset in range(0, self._size, _COMPARED_SIZE):
            length = min(_COMPARED_SIZE, self._size - offset)
            data, _ = self._client.get(self._name, offset, length)
            if data != durable.read_exactly(descriptor, offset, length):
                return False
        return True

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError(f"the writer of {self._name} is closed")
        return self._file

    def _open_scratch(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._directory, buffering=0)
        except (FileNotFoundError, NotADirectoryError) as error:
            what = f"there is no scratch directory {self._directory}"
            raise ConfigurationError(what, "create it, or choose another") from error
        except OSError as error:
            raise self._scratch_error(error) from error

    def _scratch_error(self, error: OSError) -> HoldfastError:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return ScratchFullError(self._directory, self._name, reason)
        return BackendError(f"scratch directory {self._directory}", self._name, reason)


class ScratchBody:
    """Part of a scratch file as the body of a request, with a position of its own.

    Args:
        file: stays open meanwhile.
        begin: offset of its first byte.
        length: bytes.
    """

    __slots__ = ("_begin", "_file", "_length", "_position")

    def __init__(self, file: IO[bytes], begin: int, length: int) -> None:
        self._file = file
        self._begin = begin
        self._length = length
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left if it is negative."""
        left = max(0, self._length - self._position)
        wanted = left if size < 0 else min(size, left)
        data = os.pread(self._file.fileno(), wanted, self._begin + self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as in a file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position
