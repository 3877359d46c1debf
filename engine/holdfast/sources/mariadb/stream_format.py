"""The stream of `mariadb-backup --stream=mbstream`, taken apart while it comes.

A stream is a sequence of chunks; files may come interleaved. Integers are little-endian.

    "XBSTCK01" | flags, 1 byte: 0 | type, 1 byte | length of path, 4 | path
    P  payload: length, 8 | offset in the file, 8 | CRC-32 of the data, 4 | data
    E  end of the file
    S  go on at another offset: offset, 8; a hole lies before it
    R  rename a file that has ended: length of the new path, 4 | new path
    D  delete a file that has ended

Tables that are renamed or dropped during a backup cause the last two. What was stored already
cannot be renamed, so the stream's changes are collected in a `NameChanges`, for the restore.

Source: the behaviour of mbstream of MariaDB 10.11, observed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Final

from holdfast.sources.base import FileWriter

MAGIC: Final = b"XBSTCK01"
_START: Final = struct.Struct("<8sBcI")
_PAYLOAD: Final = struct.Struct("<QQI")
_OFFSET: Final = struct.Struct("<Q")
_LENGTH: Final = struct.Struct("<I")
_LONGEST_PATH: Final = 4096
_PIECE: Final = 1 << 20
_ZEROS: Final = bytes(_PIECE)


class StreamError(Exception):
    """The stream is not what it should be; the text says how, as a clause."""


@dataclass(slots=True)
class NameChanges:
    """What became of the files of a stream.

    A file that was stored as S and ends up as F is in `final` as S -> F, one that is to be deleted
    as S -> None. All others keep their names.
    """

    final: dict[bytes, bytes | None] = field(default_factory=dict)
    _stored: dict[bytes, bytes] = field(default_factory=dict)
    """Present name -> name it is stored by, of all files."""
    _taken: set[bytes] = field(default_factory=set)

    def add(self, path: bytes) -> bytes:
        """Return the name to store a new file by: its own unless that is taken."""
        stored, number = path, 0
        while stored in self._taken:
            number += 1
            stored = b"%s#%d" % (path, number)
        if path in self._stored:
            self.final[self._stored[path]] = None
        self._taken.add(stored)
        self._stored[path] = stored
        if stored != path:
            self.final[stored] = path
        return stored

    def rename(self, old: bytes, new: bytes) -> None:
        """A file that has ended gets another name."""
        stored = self._stored.pop(old, None)
        if stored is None:
            raise StreamError(f"it renames {old!r}, which it did not hold")
        if new in self._stored:
            self.final[self._stored[new]] = None
        self._stored[new] = stored
        self.final.pop(stored, None)
        if stored != new:
            self.final[stored] = new

    def remove(self, path: bytes) -> None:
        """A file that has ended is not wanted; one that never came is no error."""
        stored = self._stored.pop(path, None)
        if stored is not None:
            self.final[stored] = None


def unpack(stream: IO[bytes], open_file: Callable[[bytes], FileWriter]) -> NameChanges:
    """Take a stream apart to its end.

    Args:
        stream: buffered.
        open_file: begins a file; is told the name to store it by, relative, without "." and "..".

    Returns:
        What to rename and delete after a restore.

    Raises:
        StreamError: the stream is damaged or ends too early.

    Cost: one CRC-32 and one copy; pieces of 1 MiB in memory.
    """
    return _Unpacker(stream, open_file).run()


@dataclass(slots=True)
class _OpenFile:
    writer: FileWriter
    size: int = 0


class _Unpacker:
    def __init__(self, stream: IO[bytes], open_file: Callable[[bytes], FileWriter]) -> None:
        self._stream = stream
        self._open_file = open_file
        self._open: dict[bytes, _OpenFile] = {}
        self._changes = NameChanges()
        self._view = memoryview(bytearray(_PIECE))

    def run(self) -> NameChanges:
        while start := self._stream.read(_START.size):
            if len(start) < _START.size:
                raise StreamError("it ends within a chunk")
            magic, flags, kind, length = _START.unpack(start)
            if magic != MAGIC or flags:
                raise StreamError("a chunk does not begin as chunks do")
            self._chunk(kind, self._path(length))
        if self._open:
            raise StreamError(f"it ends before the file {min(self._open)!r} does")
        return self._changes

    def _chunk(self, kind: bytes, path: bytes) -> None:
        if kind == b"P":
            self._payload(path)
        elif kind == b"E":
            self._file(path).writer.close()
            del self._open[path]
        elif kind == b"S":
            self._seek(path)
        elif kind in (b"R", b"D"):
            if path in self._open:
                raise StreamError(f"it changes the name of {path!r} before the file ends")
            if kind == b"R":
                self._changes.rename(path, self._path(_LENGTH.unpack(self._exactly(4))[0]))
            else:
                self._changes.remove(path)
        else:
            raise StreamError(f"chunks of the type {kind!r} are not known")

    def _file(self, path: bytes) -> _OpenFile:
        found = self._open.get(path)
        if found is None:
            found = self._open[path] = _OpenFile(self._open_file(self._changes.add(path)))
        return found

    def _payload(self, path: bytes) -> None:
        length, offset, checksum = _PAYLOAD.unpack(self._exactly(_PAYLOAD.size))
        file = self._file(path)
        if offset != file.size:
            raise StreamError(f"a piece of {path!r} is missing at {file.size}")
        found, left = 0, length
        while left:
            with self._view[: min(left, _PIECE)] as piece:
                if _read_into(self._stream, piece) < len(piece):
                    raise StreamError(f"it ends within the file {path!r}")
                found = zlib.crc32(piece, found)
                file.writer.write(piece)
                left -= len(piece)
        file.size += length
        if found != checksum:
            raise StreamError(f"a piece of {path!r} at {offset} has another checksum")

    def _seek(self, path: bytes) -> None:
        (offset,) = _OFFSET.unpack(self._exactly(_OFFSET.size))
        file = self._file(path)
        if offset < file.size:
            raise StreamError(f"it goes back within the file {path!r}")
        while file.size < offset:
            zeros = _ZEROS[: offset - file.size]
            file.writer.write(zeros)
            file.size += len(zeros)

    def _path(self, length: int) -> bytes:
        if not 0 < length <= _LONGEST_PATH:
            raise StreamError(f"a path has {length} bytes")
        raw = self._exactly(length)
        parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
        if raw.startswith(b"/") or b".." in parts or b"\0" in raw or not parts:
            raise StreamError(f"{raw!r} is no path below the data directory")
        return b"/".join(parts)

    def _exactly(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) < length:
            raise StreamError("it ends within a chunk")
        return data


def _read_into(stream: IO[bytes], view: memoryview) -> int:
    """Fill a view, less only at the end; return the bytes."""
    done = 0
    while done < len(view):
        data = stream.read(len(view) - done)
        if not data:
            break
        view[done : done + len(data)] = data
        done += len(data)
    return done
