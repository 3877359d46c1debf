"""A PostgreSQL server as its own files: pg_basebackup, unpacked while it comes.

The server sends one tar stream with everything: its files as they are while it goes on working,
the segments of its log that make them fit together, and a manifest with the size and checksum of
each file. Files of tables and indexes are cut into their pages; the same page costs nothing in the
next backup. A temporary replication slot keeps the server from recycling segments that the stream
has not reached yet.

Nothing is believed before pg_basebackup has ended well and the manifest agrees with what came.

Source: PostgreSQL 15, "Continuous Archiving and Point-in-Time Recovery" and "Backup Manifest
Format". Cost: 300 bytes of memory for each file of the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import msgspec

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseError,
    LoginError,
    ToolFailedError,
    ToolVersionError,
)
from holdfast.errors import ConfigurationError
from holdfast.format.node import NodeType
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseTarget,
    Method,
    ReadInto,
    RestoreTo,
    StreamSink,
)
from holdfast.sources.postgresql.connection import Connection, check_settings
from holdfast.sources.postgresql.manifest import (
    BackupLabel,
    Manifest,
    decode_label,
    decode_manifest,
    missing_files,
)
from holdfast.sources.postgresql.pages import only_pages_failed, page_findings
from holdfast.sources.postgresql.session import Session
from holdfast.sources.postgresql.tar_stream import TarEntry, TarReader
from holdfast.sources.postgresql.wal import decode_system_id, segment_name
from holdfast.sources.process import Tool
from holdfast.units import format_size

OLDEST_SERVER: Final = 130000
"""The first version that writes a manifest."""
_MAX_RATE: Final = "max-rate"
_CHECKPOINT: Final = "checkpoint"
_RATE: Final = re.compile(r"\d+[kM]?")
_TOOL: Final = "pg_basebackup"
_DRAIN_AT_ONCE: Final = 1 << 16
_PAGED: Final = re.compile(rb"(?:base/\d+|global)/\d+(?:_[a-z]+)?(?:\.\d+)?")
"""Files that consist of pages: of tables, indexes and their maps."""
_KEPT: Final = {b"backup_label", b"global/pg_control", b"backup_manifest"}
"""Files that are looked at here, too."""
_FACTS: Final = """
    SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) AS version,
        pg_size_bytes(current_setting('wal_segment_size')) AS segment_size,
        current_setting('data_checksums') = 'on' AS checksums,
        current_setting('wal_level') AS wal_level,
        current_user AS "user",
        (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) AS allowed,
        ARRAY(SELECT spcname FROM pg_tablespace
              WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY spcname) AS tablespaces,
        (SELECT sum(pg_database_size(oid))::bigint FROM pg_database
         WHERE has_database_privilege(oid, 'CONNECT')) AS size,
        ARRAY(SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname) AS databases"""
_HOLD_LOG: Final = """
    SELECT slot_name FROM pg_create_physical_replication_slot(
        'holdfast_' || pg_backend_pid(), true, true)"""
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class _Facts(msgspec.Struct):
    """What the server says of itself."""

    version: str
    segment_size: int
    checksums: bool
    wal_level: str
    user: str
    allowed: bool
    tablespaces: list[str]
    size: int | None
    databases: list[str]


@dataclass(slots=True)
class _Received:
    """What has come out of the stream."""

    sizes: dict[str, int] = field(default_factory=dict)
    kept: dict[bytes, bytearray] = field(default_factory=dict)


def open_physical_source(options: DatabaseOptions) -> PhysicalSource:
    """Return a server whose files can be saved.

    Raises:
        ConfigurationError: the options make no sense for it.
    """
    return PhysicalSource(options)


def open_physical_target(to: RestoreTo) -> DatabaseTarget:
    """Return the data directory that a physical backup is restored to."""
    from holdfast.sources.postgresql.data_directory import DataDirectory

    return DataDirectory(to)


class PhysicalSource:
    """All databases of a server, as files; see `DatabaseSource`.

    Args:
        options: of the server. Settings: `max-rate`, what the server may send in a second, like
            32M; `checkpoint`, "fast" or "spread", which takes minutes and writes evenly.

    Raises:
        ConfigurationError: databases are named, or a setting makes no sense.
    """

    kind = "postgresql"
    method = Method.PHYSICAL

    def __init__(self, options: DatabaseOptions) -> None:
        check_settings(options, (_MAX_RATE, _CHECKPOINT))
        if options.names:
            raise ConfigurationError(
                "a physical backup always holds all databases of a server",
                "name none, or use --method logical",
            )
        rate = options.settings.get(_MAX_RATE)
        if rate is not None and not _RATE.fullmatch(rate):
            raise ConfigurationError(f"{rate!r} is no rate", "use a size per second like 32M")
        checkpoint = options.settings.get(_CHECKPOINT, "fast")
        if checkpoint not in ("fast", "spread"):
            raise ConfigurationError(f"{checkpoint!r} is no checkpoint", "use fast or spread")
        self._arguments = [
            "-D",
            "-",
            "-F",
            "tar",
            "-X",
            "fetch",
            "-c",
            checkpoint,
            "-l",
            "holdfast",
        ]
        if rate is not None:
            self._arguments += ["--max-rate", rate]
        self._connection = Connection(options)

    def check(self) -> str:
        """Look whether tools and server are there and fit; return the server's version."""
        return self._look().version

    def paths(self) -> tuple[bytes, ...]:
        """Return the whole server's path."""
        return (b"",)

    def plan(self) -> Sequence[str]:
        """Return what would be stored."""
        facts = self._look()
        return (
            f"the data directory, with the databases {', '.join(facts.databases)}",
            f"about {format_size(facts.size or 0)} of data, and the log written meanwhile",
            "page checksums are verified while reading"
            if facts.checksums
            else "the cluster has no page checksums to verify",
        )

    def backup(self, sink: StreamSink) -> None:
        """Run pg_basebackup and store what it sends."""
        facts = self._look()
        received = _Received()
        with ExitStack() as open_until_end:
            self._hold_log(open_until_end)
            words = self._connection.words(_TOOL, *self._arguments)
            tool = open_until_end.enter_context(self._connection.start(words))
            messages = self._receive(tool, sink, received)
        for finding in page_findings(messages):
            sink.finding(finding)
        label, manifest = self._understand(received)
        now_us = int(self._connection.ask(self._connection.maintenance, _NOW))
        _note(sink, facts, label, manifest)
        sink.note("log_identity", self._identity(received))
        sink.note("end_time_ns", str(now_us * 1000))

    def _look(self) -> _Facts:
        """Return the server's facts, once they fit.

        Raises:
            DatabaseError, ConfigurationError: they do not.
        """
        connection = self._connection
        version = connection.server_version()
        if version < OLDEST_SERVER:
            raise ToolVersionError(_TOOL, "physical backups need PostgreSQL 13 or newer")
        connection.check_tool(_TOOL, version)
        facts = connection.query(connection.maintenance, _FACTS, _Facts)[0]
        if not facts.allowed:
            raise LoginError(
                connection.place,
                f"{facts.user} may not copy the server; ALTER ROLE … REPLICATION allows it",
            )
        if facts.wal_level == "minimal":
            raise ConfigurationError(
                "the server writes too little log for a physical backup",
                "set wal_level = replica in postgresql.conf and restart it",
            )
        if facts.tablespaces:
            raise ConfigurationError(
                f"the server has tablespaces ({', '.join(facts.tablespaces)}), which "
                "pg_basebackup cannot send in one stream",
                "use --method logical",
            )
        return facts

    def _hold_log(self, until: ExitStack) -> None:
        """Keep the server from recycling log segments, while psql stays connected.

        A server without a free slot is saved all the same: pg_basebackup fails if a segment that
        it needs was recycled.
        """
        session = Session(self._connection, self._connection.maintenance)
        try:
            session.run(_HOLD_LOG)
        except DatabaseError:
            session.close()
        except BaseException:
            session.close()
            raise
        else:
            until.callback(session.close)

    def _receive(self, tool: Tool, sink: StreamSink, received: _Received) -> list[str]:
        """Store the stream; return the tool's messages once it has ended well.

        Raises:
            DatabaseError: it has not.
        """
        try:
            _store(TarReader(tool.readinto, _TOOL), sink, received)
        except ToolFailedError as error:
            # The tool's own words, if it has failed, say why its output is not what it should be. It
            # ends only if somebody reads the rest.
            while tool.readinto(memoryview(bytearray(_DRAIN_AT_ONCE))):
                pass
            raise self._connection.explain(_failure(tool) or error) from error
        failure = _failure(tool)
        messages = tool.messages.lines()
        if failure is not None and not only_pages_failed(messages):
            raise self._connection.explain(failure) from failure
        return messages

    def _understand(self, received: _Received) -> tuple[BackupLabel, Manifest]:
        """Return label and manifest, once they agree with what came.

        Raises:
            ToolFailedError: they do not.
        """
        try:
            label = decode_label(bytes(received.kept.get(b"backup_label", b"")))
            manifest = decode_manifest(bytes(received.kept.get(b"backup_manifest", b"")))
        except ValueError as error:
            raise ToolFailedError(_TOOL, f"its output lacks {error}") from error
        missing = missing_files(manifest, received.sizes)
        if missing:
            raise ToolFailedError(
                _TOOL,
                f"its manifest and its output differ in {len(missing)} files, as in {missing[0]}",
            )
        return label, manifest

    def _identity(self, received: _Received) -> str:
        identity = decode_system_id(bytes(received.kept.get(b"global/pg_control", b"")))
        if identity is None:
            raise ToolFailedError(_TOOL, "its output lacks the server's control file")
        return identity


def _failure(tool: Tool) -> ToolFailedError | None:
    try:
        tool.finish()
    except ToolFailedError as error:
        return error
    return None


def _store(reader: TarReader, sink: StreamSink, received: _Received) -> None:
    """Hand everything over; the log and the manifest come behind all files."""
    entry = reader.next()
    with sink.stream("data directory"):
        while entry is not None and not _is_late(entry.path):
            _store_entry(entry, reader, sink, received)
            entry = reader.next()
    with sink.stream("write-ahead log"):
        while entry is not None:
            _store_entry(entry, reader, sink, received)
            entry = reader.next()


def _is_late(path: bytes) -> bool:
    # The directory pg_wal itself comes among the others.
    return path.startswith(b"pg_wal/") and path != b"pg_wal/archive_status"


def _store_entry(entry: TarEntry, reader: TarReader, sink: StreamSink, received: _Received) -> None:
    path = entry.path
    if entry.meta.kind is not NodeType.FILE:
        if path:
            sink.add_entry(path, entry.meta)
        return
    readinto: ReadInto = reader.readinto
    if path in _KEPT:
        readinto = _keeping(readinto, received.kept.setdefault(path, bytearray()))
    profile = Profile.PAGES if _PAGED.fullmatch(path) else Profile.FILES
    size = sink.add(path, readinto, profile, entry.meta)
    received.sizes[path.decode("utf-8", "surrogateescape")] = size


def _keeping(readinto: ReadInto, kept: bytearray) -> ReadInto:
    def keep(view: memoryview) -> int:
        count = readinto(view)
        kept.extend(view[:count])
        return count

    return keep


def _note(sink: StreamSink, facts: _Facts, label: BackupLabel, manifest: Manifest) -> None:
    size = facts.segment_size
    # The end is where the next record begins: the last byte that is needed lies before it.
    stop = segment_name(manifest.stop_timeline, manifest.stop_lsn - 1, size)
    notes = {
        "log_kind": "wal",
        "log_start": label.start_segment,
        "log_stop": stop,
        "timeline": str(manifest.stop_timeline),
        "start_lsn": label.start_lsn,
        "stop_lsn": manifest.stop_text,
        "start_time": label.start_time,
        "wal_segment_size": str(size),
        "page_checksums": "on" if facts.checksums else "off",
    }
    for name, value in notes.items():
        sink.note(name, value)
