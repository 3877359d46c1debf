"""The contract between databases and what stores and brings back their files.

A source runs the database's own tools and hands what they write to a `StreamSink`, which cuts and
stores it while it comes: nothing lies on disk in between. A target takes `StoredFiles` of a
snapshot back to a server or a data directory. A scratch server is a server of its own, started for
nothing but to look whether a backup can be restored.

Whoever implements these knows no repository, and whoever calls them knows no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from holdfast.chunking import Profile
from holdfast.findings import Finding
from holdfast.format.node import NodeType

ReadInto = Callable[[memoryview], int]
"""Fills the beginning of a buffer and returns how many bytes; 0 at the end."""


class Method(StrEnum):
    """How a database is saved; the value is recorded in snapshots."""

    LOGICAL = "logical"
    """As statements: can be restored to another version, and table by table."""
    PHYSICAL = "physical"
    """As the server's own files: faster to restore, and to any moment since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """Which databases, where, and with which tools."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What tools see, passwords among it; nothing else of the process's environment."""
    names: tuple[str, ...] = ()
    """Databases, or files for those that are files; empty for all."""
    instance: str = "main"
    """Names the server in paths of snapshots: one word."""
    method: Method | None = None
    """None: the kind's usual one."""
    host: str | None = None
    """A name, an address, or the directory of a socket; None for the tools' own choice."""
    port: int | None = None
    user: str | None = None
    tools: str | None = None
    """Directory of the tools; None for those on PATH."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What only this kind knows, by name; unknown names are refused by the kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What a stored file is, besides its content."""

    kind: NodeType = NodeType.FILE
    mode: int = 0o600
    uid: int | None = None
    """None: of who runs the backup."""
    gid: int | None = None
    mtime_ns: int | None = None
    """None: when the backup began."""
    target: bytes = b""
    """Of a symbolic link."""


STREAM_META = FileMeta()
"""Of what never was a file."""


class FileWriter(Protocol):
    """A stored file that is written piece by piece, beside others."""

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; the buffer may be reused when the call returns."""

    def close(self) -> None:
        """The file is complete."""


class StreamSink(Protocol):
    """Takes what a source produces. For one thread.

    Paths are relative to the snapshot's own path of the source: b"shop/data.sql". Directories are
    made as they are needed. Nothing is committed before the source's `backup` has returned.
    """

    def stream(self, label: str) -> AbstractContextManager[None]:
        """Begin a stream: what is added inside is counted together and shown as one line."""

    def add(
        self, path: bytes, readinto: ReadInto, profile: Profile, meta: FileMeta = STREAM_META
    ) -> int:
        """Read to the end and store as one file; return the bytes read."""

    def add_entry(self, path: bytes, meta: FileMeta) -> None:
        """Store a directory, or a symbolic link."""

    def open(self, path: bytes, profile: Profile, meta: FileMeta = STREAM_META) -> FileWriter:
        """Begin a file whose pieces come between those of others."""

    def finding(self, finding: Finding) -> None:
        """Note a problem that the backup survives; it is stored with the snapshot."""

    def note(self, name: str, value: str) -> None:
        """Record a property of this backup in the snapshot: a position, a server's identity."""


class DatabaseSource(Protocol):
    """One database server, or file, that can be saved."""

    kind: str
    method: Method

    def check(self) -> str:
        """Look whether tools and server are there and fit; return the server's version for people.

        Raises:
            DatabaseError: not so.
        """

    def paths(self) -> tuple[bytes, ...]:
        """Return the parts of the snapshot that this source fills, relative as in `StreamSink`.

        (b"",) for a whole server; one path for each database that was named.
        """

    def plan(self) -> Sequence[str]:
        """Return what would be stored, a line each, for people; for dry runs."""

    def backup(self, sink: StreamSink) -> None:
        """Run the tools and hand over all they write; check how each of them ended.

        Raises:
            DatabaseError: something failed; no snapshot is made then. May be called again.
        """


class StoredFiles(Protocol):
    """The files of one snapshot of a database, below its own path."""

    @property
    def properties(self) -> Mapping[str, str]:
        """What the source has noted."""

    def names(self, path: bytes) -> Sequence[bytes]:
        """Return the names in a directory; empty if it does not exist."""

    def has(self, path: bytes) -> bool:
        """Tell whether there is a file or directory of that path."""

    def size(self, path: bytes) -> int:
        """Return a file's size in bytes; raises PathNotFoundError."""

    def read(self, path: bytes) -> Iterator[bytes]:
        """Yield a file's content in order, in pieces of some KiB to MiB.

        Raises:
            PathNotFoundError, IntegrityError: it is not there, or cannot be read.
        """

    def extract(self, path: bytes, target: str) -> None:
        """Restore a directory into `target`, an empty or absent directory, durable on return.

        Raises:
            TargetError, IntegrityError: a file could not be written, or read; not all is there.
        """


class DatabaseTarget(Protocol):
    """Where one snapshot of a database is restored to."""

    def check(self, files: StoredFiles) -> None:
        """Look whether the restore can begin: tools, server, nothing in the way. Changes nothing.

        Raises:
            DatabaseError: not so.
        """

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Return what would be done, a line each, for people."""

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Restore, after `check`; return what is left to do for a person, a line each.

        Args:
            files: what to restore.
            on_progress: told what is being restored and how many bytes were handed over since.

        Raises:
            DatabaseError: it failed; what was made is described by the error.
        """


class ScratchServer(AbstractContextManager["ScratchServer"], Protocol):
    """A server of its own in a scratch directory, on a socket nobody else knows."""

    def target(self) -> DatabaseTarget:
        """Return where to restore to."""

    def begin(self) -> None:
        """After the restore: make it ready for questions (physical backups start only now)."""

    def databases(self) -> Sequence[str]:
        """Return the names of the databases that it has now."""

    def ask(self, database: str, statement: str) -> str:
        """Run one statement and return the first column of its first row, "" if there is none.

        Raises:
            DatabaseError: the server does not accept it.
        """

    def verify(self) -> Sequence[str]:
        """Run the checks that the database has for itself; return what they found, a line each."""


class NamedSegment(Protocol):
    """A segment of an archived log."""

    @property
    def name(self) -> str:
        """As the server named it."""


class LogReader(Protocol):
    """The archived log that belongs to a snapshot (its properties log_kind and log_identity)."""

    def segments(self) -> Sequence[NamedSegment]:
        """Return what is archived."""

    def fetch(self, name: str, write: Callable[[bytes], object]) -> int:
        """Read a segment; return its bytes.

        Raises:
            LogSegmentNotFoundError, IntegrityError: it is not there, or damaged: what was written
                must be thrown away.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTo:
    """What `restore-db` was told besides the snapshot."""

    options: DatabaseOptions
    """Of the server to restore to; `names` are the databases to restore, empty for all."""
    directory: str | None = None
    """For physical backups: the data directory to make; for files the directory or file."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Database -> its new name."""
    overwrite: bool = False
    """Replace what is there."""
    target_time_ns: int | None = None
    """Recover to this moment, nanoseconds since 1970 UTC; None: to the end of the backup."""
    target: Mapping[str, str] = field(default_factory=dict)
    """Other recovery targets by the database's own names: timeline, name, xid, lsn."""
    log_command: Sequence[str] = ()
    """How a server fetches an archived log segment: words of a command to which the kind appends
    its own arguments; empty if there is no archive."""
    log_absent_code: int = 1
    """What `log_command` ends with if there is no such segment."""
    own_command: Sequence[str] = ()
    """How this program is run with this repository: words before a subcommand."""
    logs: LogReader | None = None
    """The archived log, for kinds whose server does not fetch it by itself."""
