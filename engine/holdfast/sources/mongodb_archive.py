"""The archive that mongodump writes: read just far enough to know what is in it and that it is whole.

    magic 0x8199e26d, 4 bytes, least significant first
    prelude: header document, a document for each collection, terminator
    blocks: a document that names a collection, its documents, terminator
    terminator: ff ff ff ff

Documents are BSON: their length in 4 bytes, then elements. A block whose document says EOF is the last
of its collection. Nothing is verified against the archive's own CRCs: what comes out of a repository
was compared with its ids already.

Source: https://github.com/mongodb/mongo-tools, common/archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

MAGIC: Final = bytes.fromhex("6de29981")
TERMINATOR: Final = b"\xff\xff\xff\xff"
_LEAST: Final = 5
_GREATEST: Final = 48 << 20
"""Bytes of a document: 16 MiB, and what the tools allow beyond."""
_FIXED: Final = {0x01: 8, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}
"""Type of an element -> bytes of its value, where that is always the same."""

Namespace = tuple[str, str]
"""Database and collection; the database of the log of operations is ""."""


class ArchiveError(Exception):
    """The bytes are no whole archive; the text says why. Never leaves the modules of MongoDB."""


@dataclass(frozen=True, slots=True)
class Prelude:
    """What the beginning of an archive says."""

    server_version: str
    namespaces: tuple[Namespace, ...]
    with_data: frozenset[Namespace] = frozenset()
    """Those that are collections of their own, and no views or what is stored in buckets."""

    def databases(self) -> set[str]:
        """Return the names of databases with anything of their own."""
        return {name for name, _ in self.namespaces if name}


class ArchiveReader:
    """Reads documents and terminators one after another.

    Args:
        read: returns at least one of the next bytes, b"" at the end.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._left = bytearray()
        self._place = 0

    def _take(self, length: int) -> bytes:
        """Return exactly so many bytes; fewer only at the end of the archive."""
        while len(self._left) - self._place < length:
            piece = self._read()
            if not piece:
                break
            if self._place:
                del self._left[: self._place]
                self._place = 0
            self._left += piece
        taken = bytes(self._left[self._place : self._place + length])
        self._place += len(taken)
        return taken

    def document(self) -> bytes | None:
        """Return a document, None for a terminator; raises ArchiveError, also at the end."""
        head = self._take(4)
        if head == TERMINATOR:
            return None
        length = int.from_bytes(head, "little")
        if len(head) < 4:
            raise ArchiveError("it ends in the middle")
        if not _LEAST <= length <= _GREATEST:
            raise ArchiveError(f"{length} is no length of a document")
        body = self._take(length - 4)
        if len(body) < length - 4 or body[-1]:
            raise ArchiveError("a document is cut off")
        return head + body

    def prelude(self) -> Prelude:
        """Read the beginning."""
        if self._take(4) != MAGIC:
            raise ArchiveError("it does not begin as an archive")
        header = self.document()
        if header is None:
            raise ArchiveError("it has no header")
        namespaces, with_data = [], set()
        while (document := self.document()) is not None:
            fields = fields_of(document)
            namespaces.append(_namespace(fields))
            if fields.get("type") == "collection":
                with_data.add(namespaces[-1])
        version = fields_of(header).get("server_version", "")
        return Prelude(str(version), tuple(namespaces), frozenset(with_data))

    def counts(self) -> Counter[Namespace]:
        """Read the rest; return how many documents each collection has.

        Raises:
            ArchiveError: a collection does not end, or anything else is not as it should be.
        """
        counted: Counter[Namespace] = Counter()
        ended: set[Namespace] = set()
        while head := self._take(1):
            self._place -= len(head)
            header = self.document()
            if header is None:
                raise ArchiveError("a block names no collection")
            fields = fields_of(header)
            namespace = _namespace(fields)
            if namespace in ended:
                raise ArchiveError(f"{'.'.join(namespace)} goes on after its end")
            counted[namespace] += 0
            while self.document() is not None:
                counted[namespace] += 1
            if fields.get("EOF") is True:
                ended.add(namespace)
        if unended := set(counted) - ended:
            raise ArchiveError(f"{'.'.join(min(unended))} does not end")
        return counted


def read_archive(pieces: Iterable[bytes]) -> tuple[Prelude, Counter[Namespace]]:
    """Read a whole archive.

    Returns:
        What its beginning says, and documents per collection.

    Raises:
        ArchiveError: it is not whole.
    """
    iterator = iter(pieces)
    reader = ArchiveReader(lambda: next(iterator, b""))
    prelude = reader.prelude()
    counted = reader.counts()
    if missing := prelude.with_data - set(counted):
        raise ArchiveError(f"{'.'.join(min(missing))} is announced and missing")
    return prelude, counted


def _namespace(fields: dict[str, object]) -> Namespace:
    database, collection = fields.get("db"), fields.get("collection")
    if not isinstance(database, str) or not isinstance(collection, str):
        raise ArchiveError("a collection has no name")
    return database, collection


def fields_of(document: bytes) -> dict[str, object]:
    """Return strings, booleans and whole numbers of a BSON document, without what is inside of others.

    Raises:
        ArchiveError: it is none.
    """
    fields: dict[str, object] = {}
    place, end = 4, len(document) - 1
    try:
        while place < end:
            kind = document[place]
            stop = document.index(b"\0", place + 1)
            name = document[place + 1 : stop].decode()
            place = stop + 1
            length = _FIXED.get(kind)
            if length is None:
                length = int.from_bytes(document[place : place + 4], "little")
                # The length of a string is that of its characters alone, of a document that of all.
                length += {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5}[kind]
            value = document[place : place + length]
            place += length
            if kind == 0x02:
                fields[name] = value[4:-1].decode()
            elif kind == 0x08:
                fields[name] = value == b"\1"
            elif kind in (0x10, 0x12):
                fields[name] = int.from_bytes(value, "little", signed=True)
    except (ValueError, KeyError, IndexError) as error:
        raise ArchiveError("a document makes no sense") from error
    if place != end:
        raise ArchiveError("a document makes no sense")
    return fields
