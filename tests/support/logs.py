"""A database server as far as its log goes: it writes segments, archives them, and is backed up."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from holdfast.chunking import Profile
from holdfast.operations.backup_database import backup_database
from holdfast.operations.backup_session import BackupOptions
from holdfast.policy.log_order import wal_name
from holdfast.policy.log_retention import bases_of
from holdfast.repository.log_archive import LogArchive
from holdfast.repository.repository import Repository
from holdfast.sources.base import Method, StreamSink

SEGMENT_SIZE = 16 << 20
"""What the names mean; segments of tests hold a few bytes."""


@dataclass
class LogServer:
    """One server; what it has archived stays known."""

    identity: str = "7300000000000000001"
    kind: str = "wal"
    timeline: int = 1
    index: int = 1
    """Of the segment that is being written."""
    archived: set[str] = field(default_factory=set)

    def name(self, index: int | None = None) -> str:
        index = self.index if index is None else index
        if self.kind == "wal":
            return wal_name(self.timeline, index, SEGMENT_SIZE)
        return f"mariadb-bin.{index:06d}"

    def archive(self, repository: Repository) -> LogArchive:
        return LogArchive(repository, self.kind, self.identity)

    def push(self, repository: Repository, name: str, data: bytes | None = None) -> None:
        data = name.encode() if data is None else data
        self.archive(repository).push(name, io.BytesIO(data), len(data))
        self.archived.add(name)

    def run(self, repository: Repository, count: int = 1) -> None:
        """Fill some segments and archive them."""
        for _ in range(count):
            self.push(repository, self.name())
            self.index += 1

    def switch(self, repository: Repository, index: int) -> None:
        """Go back to a position, and on from there with a new timeline."""
        lsn = index * SEGMENT_SIZE + 0x28
        history = f"{self.timeline}\t{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}\tno reason\n"
        self.timeline, self.index = self.timeline + 1, index
        self.push(repository, f"{self.timeline:08X}.history", history.encode())

    def back_up(
        self, repository: Repository, meanwhile: Callable[[], object] = lambda: None
    ) -> str:
        """Take a base backup; return the snapshot's id. A segment is filled while it runs."""
        made = backup_database(
            repository,
            _Base(self, repository, meanwhile),
            BackupOptions(host="host", user="user"),
            instance=f"server-{self.identity[-4:]}",
        )
        assert made.snapshot is not None
        return made.snapshot


class _Base:
    """A base backup of a server that goes on writing."""

    kind = "postgresql"
    method = Method.PHYSICAL

    def __init__(
        self, server: LogServer, repository: Repository, meanwhile: Callable[[], object]
    ) -> None:
        self._server = server
        self._repository = repository
        self._meanwhile = meanwhile

    def check(self) -> str:
        return "15"

    def paths(self) -> tuple[bytes, ...]:
        return (b"",)

    def plan(self) -> Sequence[str]:
        return ()

    def backup(self, sink: StreamSink) -> None:
        server = self._server
        start = server.name()
        content = io.BytesIO(start.encode())
        with sink.stream("data"):
            sink.add(b"base", content.readinto, Profile.PAGES)
        self._meanwhile()
        sink.note("log_kind", server.kind)
        sink.note("log_identity", server.identity)
        sink.note("log_start", start)
        sink.note("log_stop", server.name())
        if server.kind == "wal":
            sink.note("wal_segment_size", str(SEGMENT_SIZE))
        server.run(self._repository)


def names_of(repository: Repository, server: LogServer) -> list[str]:
    return [segment.name for segment in server.archive(repository).segments()]


def assert_recoverable(repository: Repository, server: LogServer) -> None:
    """Each visible base has every segment from its start on that was ever archived.

    Of its own timeline and newer ones: from older ones nothing leads to it.
    """
    there = set(names_of(repository, server))
    for base in bases_of(repository.snapshots()):
        if base.identity == server.identity and base.kind == server.kind:
            needed = {
                name
                for name in server.archived
                if name.endswith(".history")
                or (name[-16:] >= base.start[-16:] and name[:8] >= base.start[:8])
            }
            assert needed <= there, (base.start, sorted(needed - there))
