"""Limits of bandwidth for storages without connections of their own, like mounts of a network."""

from __future__ import annotations

from holdfast.backends import names
from holdfast.backends.base import Backend, ObjectWriter
from holdfast.backends.throttle import Throttle
from holdfast.backends.wrapper import BackendWrapper
from holdfast.hashing import Bytes


class LimitedBackend(BackendWrapper):
    """Moves the bytes of objects no faster than its throttles allow; everything else is free.

    Objects are moved in pieces of `Throttle.piece`: a pack of 64 MiB at the speed of the disk and
    a long pause after it would be no limit to whoever shares the line.

    Args:
        inner: the store. Reading pieces of an object must cost little there.
        upload: for bytes that are written; None for no limit.
        download: for bytes that are read; None for no limit.
    """

    def __init__(self, inner: Backend, upload: Throttle | None, download: Throttle | None) -> None:
        super().__init__(inner)
        self._upload = upload
        self._download = download

    def create(self, name: str, data: Bytes) -> None:
        """Create an object, after the time that its bytes may take. Such objects are small."""
        names.check_name(name)
        if self._upload is not None:
            self._upload.take(memoryview(data).nbytes)
        self._inner.create(name, data)

    def open_writer(self, name: str, *, is_hot: bool = False) -> ObjectWriter:
        """Begin an object that is written in pieces."""
        writer = self._inner.open_writer(name, is_hot=is_hot)
        return writer if self._upload is None else LimitedWriter(writer, self._upload)

    def read(self, name: str) -> bytes:
        """Return a whole object, read in pieces."""
        if self._download is None:
            return self._inner.read(name)
        return self._read_pieces(name, 0, self._inner.size(name), self._download)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Return part of an object, read in pieces."""
        if self._download is None:
            return self._inner.read_range(name, offset, length)
        return self._read_pieces(name, offset, length, self._download)

    def _read_pieces(self, name: str, offset: int, length: int, download: Throttle) -> bytes:
        """Read piece by piece up to the object's end; at least once, so that an absent one is noticed."""
        pieces = []
        end = offset + length
        while True:
            wanted = min(download.piece, end - offset)
            piece = self._inner.read_range(name, offset, wanted)
            download.take(len(piece))
            pieces.append(piece)
            offset += wanted
            if offset >= end or len(piece) < wanted:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class LimitedWriter:
    """A writer that takes its bytes no faster than a throttle allows."""

    __slots__ = ("_inner", "_upload")

    def __init__(self, inner: ObjectWriter, upload: Throttle) -> None:
        self._inner = inner
        self._upload = upload

    def write(self, data: Bytes) -> None:
        """Append bytes piece by piece, each after its wait."""
        with memoryview(data) as view, view.cast("B") as whole:
            size = self._upload.piece
            for at in range(0, whole.nbytes, size):
                with whole[at : at + size] as piece:
                    self._upload.take(piece.nbytes)
                    self._inner.write(piece)

    def commit(self) -> None:
        """Make the object durable and visible."""
        self._inner.commit()

    def abort(self) -> None:
        """Drop what was written."""
        self._inner.abort()
