"""Archives of log segments: what point-in-time recovery needs besides base backups.

One archive for each database server: objects `logs/<archive id>/<segment>`, named by the segment,
created only if absent and never overwritten. Neither index nor cache nor view is needed to write
or read one: only config and key, so that a server that waits for its segment waits briefly.

A name is used again only for the same segment: prune deletes nothing that a base backup, or a
timeline newer than all of them, could still be followed by.

Source: docs/format.md#log-segments; docs/prune.md says which segments go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from holdfast.database_errors import (
    LogConflictError,
    LogSegmentInvalidError,
    LogSegmentNotFoundError,
)
from holdfast.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    FormatError,
    IntegrityError,
    NotFoundError,
)
from holdfast.format.log_segment import (
    HEAD_END,
    SLICE_SIZE,
    SegmentHead,
    SegmentOpener,
    SegmentSealer,
    open_head,
)
from holdfast.hashing import keyed_hash_long
from holdfast.repository import layout
from holdfast.repository.repository import Repository

_READ_SIZE: Final = 20 << 20
"""Bytes of a read: a whole segment of 16 MiB that does not compress takes one request."""
_MOST_KIND: Final = 16
_MOST_IDENTITY: Final = 128
_ID_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class LogSegment:
    """A segment of a listing."""

    name: str
    stored_size: int
    """Bytes of its object."""
    modified_s: float
    """When it was archived by the storage's clock, seconds since 1970 UTC; for people only."""


class LogArchive:
    """The archived log of one database server. Its methods may be called from many threads.

    Args:
        repository: opened; nothing but its config and key is used.
        kind: "wal" or "binlog".
        identity: what tells this server from all others; at most 128 bytes.

    Raises:
        ValueError: kind or identity are empty or too long.
    """

    def __init__(self, repository: Repository, kind: str, identity: str) -> None:
        if not 0 < len(kind) <= _MOST_KIND or "\0" in kind:
            raise ValueError(f"not a kind of log: {kind!r}")
        if not 0 < len(identity.encode()) <= _MOST_IDENTITY:
            raise ValueError(f"not the identity of a server: {identity!r}")
        self._repository = repository
        self.kind = kind
        self.identity = identity
        secret = repository.keys.logs
        material = f"{kind}\0{identity}".encode()
        self.id = keyed_hash_long(secret, material, _ID_LENGTH).hex()
        """32 hex digits: says nothing to who has no key."""

    def object_name(self, name: str) -> str:
        """Return the name of a segment's object.

        Raises:
            LogSegmentInvalidError: no object can have that name.
        """
        object_name = layout.log_name(self.id, name)
        if object_name is None:
            raise LogSegmentInvalidError(name, "its name is empty or too long for the archive")
        return object_name

    def push(self, name: str, file: BinaryIO, size: int) -> bool:
        """Archive a segment; durable on return.

        Args:
            name: of the segment.
            file: at its beginning, and able to go back there.
            size: its bytes.

        Returns:
            True if it was created, False if the same bytes were there already.

        Raises:
            LogConflictError: other bytes are there; nothing was overwritten.
            LogSegmentInvalidError: the file is shorter or longer than `size`; nothing was stored.
            IntegrityError: what is there already is damaged; it stays as it is.
            BackendError: the storage failed; nothing is there, or the whole segment.
        """
        object_name = self.object_name(name)
        repository = self._repository
        if not repository.config.exclusive_create and self._exists(object_name):
            self._require_same(name, file, size)  # this storage would overwrite it
            return False
        # Kept out of slow, cheap storage classes: most bill a month for what stays some days.
        writer = repository.backend.open_writer(object_name, is_hot=True)
        try:
            for piece in self._sealed(name, object_name, file, size):
                writer.write(piece)
            writer.commit()
        except AlreadyExistsError:
            self._require_same(name, file, size)
            return False
        finally:
            writer.abort()
        return True

    def fetch(self, name: str, write: Callable[[bytes], object]) -> int:
        """Read a segment.

        Args:
            name: of the segment.
            write: takes its bytes, in order; after an error they must be thrown away.

        Returns:
            How many bytes it has.

        Raises:
            LogSegmentNotFoundError: it is not in the archive.
            IntegrityError: it is damaged.
            BackendError: the storage failed.
        """
        size = 0
        for data in self._opened(name):
            write(data)
            size += len(data)
        return size

    def segments(self) -> list[LogSegment]:
        """Return what is archived, ascending by name. Cost: a LIST for each thousand."""
        return list_segments(self._repository, self.id)

    def remove(self, names: Iterable[str]) -> int:
        """Delete segments; return how many there were.

        Raises:
            BackendError: the storage refused or failed; those before are gone.
        """
        removed = 0
        for name in names:
            try:
                self._repository.backend.delete(self.object_name(name))
            except NotFoundError:
                continue
            removed += 1
        return removed

    def _exists(self, object_name: str) -> bool:
        backend = self._repository.backend
        try:
            backend.size(object_name)
        except NotFoundError:
            return False
        except AccessDeniedError:
            return self._is_listed(object_name)
        return True

    def _is_listed(self, object_name: str) -> bool:
        """Tell whether an object is there where the storage said no more than that it is denied.

        So S3 answers, of what is not there, to who may not list all of the bucket; and a server
        that recovers must learn that the log ends here.
        """
        objects = self._repository.backend.list(layout.log_prefix(self.id))
        return any(info.name == object_name for info in objects)

    def _sealed(self, name: str, object_name: str, file: BinaryIO, size: int) -> Iterator[bytes]:
        """Yield the bytes of a segment's object."""
        head = SegmentHead(kind=self.kind, identity=self.identity, name=name, size=size)
        sealer = SegmentSealer(self._repository.envelope, object_name, head)
        yield sealer.begin()
        left = size
        while left:
            data = _read(file, min(left, SLICE_SIZE))
            left -= len(data)
            if not data or (left and len(data) < SLICE_SIZE):
                raise LogSegmentInvalidError(name, "it became shorter while it was read")
            yield from sealer.add(data)
        if file.read(1):
            raise LogSegmentInvalidError(name, "it became longer while it was read")
        yield from sealer.end()

    def _opened(self, name: str) -> Iterator[bytes]:
        """Yield a segment's bytes as `fetch` hands them over."""
        object_name = self.object_name(name)
        backend = self._repository.backend
        opener = SegmentOpener(self._repository.envelope, object_name)
        offset = 0
        while True:
            try:
                data = backend.read_range(object_name, offset, _READ_SIZE)
            except NotFoundError as error:
                raise LogSegmentNotFoundError(name) from error
            except AccessDeniedError as error:
                if self._is_listed(object_name):
                    raise
                raise LogSegmentNotFoundError(name) from error
            offset += len(data)
            yield from opener.feed(data)
            if len(data) < _READ_SIZE:
                break
        yield from opener.end()

    def _require_same(self, name: str, file: BinaryIO, size: int) -> None:
        """Compare a file with the segment that is archived under its name, all of it.

        A damaged segment must not be taken for safe: the server would remove its own.
        """
        file.seek(0)
        same = 0
        for data in self._opened(name):
            if _read(file, len(data)) != data:
                raise LogConflictError(name)
            same += len(data)
        if same != size or file.read(1):
            raise LogConflictError(name)


def list_segments(repository: Repository, archive_id: str) -> list[LogSegment]:
    """Return what an archive holds, ascending by name; see `LogArchive.segments`."""
    return sorted(
        (
            LogSegment(segment[1], info.size, info.modified_s)
            for info in repository.backend.list(layout.log_prefix(archive_id))
            if (segment := layout.log_segment_of(info.name)) is not None
        ),
        key=lambda segment: segment.name,
    )


def list_archives(
    repository: Repository, problems: list[IntegrityError] | None = None
) -> list[LogArchive]:
    """Return the archives of all servers, by kind and identity.

    Args:
        repository: opened.
        problems: takes damage of archives of which no segment says whose they are; None to raise.

    Raises:
        IntegrityError: see `problems`.

    Cost: a LIST for each thousand segments, and a GET of 616 bytes for each archive.
    """
    names: dict[str, list[str]] = {}
    for info in repository.backend.list(layout.LOGS):
        if (found := layout.log_segment_of(info.name)) is not None:
            names.setdefault(found[0], []).append(info.name)
    archives = []
    for objects in names.values():
        try:
            archive = _identify(repository, sorted(objects))
        except IntegrityError as error:
            if problems is None:
                raise
            problems.append(error)
            continue
        if archive is not None:
            archives.append(archive)
    return sorted(archives, key=lambda archive: (archive.kind, archive.identity))


def read_head(repository: Repository, object_name: str) -> SegmentHead:
    """Read what a segment's object says it is.

    Raises:
        IntegrityError: it is damaged, or of another name.
        NotFoundError: it is gone.
    """
    data = repository.backend.read_range(object_name, 0, HEAD_END)
    head = open_head(repository.envelope, object_name, data)
    try:
        archive = LogArchive(repository, head.kind, head.identity)
    except ValueError as error:
        raise FormatError("log segment", object_name, str(error)) from error
    if layout.log_name(archive.id, head.name) != object_name:
        raise FormatError("log segment", object_name, "the head of another segment")
    return head


def _identify(repository: Repository, objects: list[str]) -> LogArchive | None:
    """Ask the segments of an archive whose it is, until one says so; None if all have gone."""
    damage: IntegrityError | None = None
    for object_name in objects:
        try:
            head = read_head(repository, object_name)
        except NotFoundError:
            continue
        except IntegrityError as error:
            damage = damage or error
            continue
        return LogArchive(repository, head.kind, head.identity)
    if damage is not None:
        raise damage
    return None


def _read(file: BinaryIO, length: int) -> bytes:
    """Read `length` bytes, fewer only where the file ends."""
    data = file.read(length)
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data
