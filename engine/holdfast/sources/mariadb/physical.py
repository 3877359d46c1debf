"""A server's own files: the stream of mariadb-backup, unpacked while it comes.

The tool copies data files while the server writes to them, and the redo log of that time; a restore
applies the log ("prepare"). It verifies the checksum of every page that it copies. Files are cut into
pages, so that what did not change since the last backup is known.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
from collections.abc import Sequence
from typing import Final

from holdfast.chunking import Profile
from holdfast.database_errors import DatabaseError, ToolFailedError, ToolVersionError
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.sources.base import DatabaseOptions, FileWriter, Method, StreamSink
from holdfast.sources.mariadb.binlog import fingerprint
from holdfast.sources.mariadb.connection import Connection, ServerFacts
from holdfast.sources.mariadb.stream_format import NameChanges, StreamError, unpack
from holdfast.sources.process import Tool, run_tool

NAME_CHANGES: Final = b"holdfast-names.json"
"""Stored beside the files if tables were renamed or dropped while they were copied."""
POSITION_FILES: Final = (b"xtrabackup_binlog_info", b"mariadb_backup_binlog_info")
_REDO: Final = re.compile(rb"ib_logfile\d+")
_FIRST_EVENTS_END: Final = 300
_LONGEST_POSITION: Final = 1 << 16
_BASE64: Final = re.compile(r"BINLOG '\n(?P<data>[A-Za-z0-9+/=\n]+)'")
_PROBLEM: Final = re.compile(r"\b(?:warning|error|corrupt)", re.IGNORECASE)


class PhysicalSource:
    """All files of the server on this machine; see `DatabaseSource`.

    Raises:
        ConfigurationError: databases are named, which such backups do not know.
    """

    kind = "mariadb"
    method = Method.PHYSICAL

    def __init__(self, options: DatabaseOptions) -> None:
        if options.names:
            raise ConfigurationError(
                "physical backups are of a whole server", "leave the names of databases out"
            )
        self._options = options
        self._connection = Connection(options)

    def check(self) -> str:
        """Look whether tools and server are there and fit; return the server's version."""
        return self._checked().version

    def _checked(self) -> ServerFacts:
        facts = self._connection.facts()
        if not facts.is_mariadb:
            raise ToolVersionError(
                "mariadb-backup", f"the server is MySQL {facts.version}; use --method logical"
            )
        self._connection.require_version("backup", facts.version, same=True)
        if not os.access(facts.data_directory, os.R_OK | os.X_OK):
            raise ConfigurationError(
                f"the server's data directory {facts.data_directory} cannot be read here",
                "run this on the server's machine, as root or as the server's user",
            )
        return facts

    def paths(self) -> tuple[bytes, ...]:
        """Return the one path of a whole server."""
        return (b"",)

    def plan(self) -> Sequence[str]:
        """Return what would be stored."""
        return [f"all files of the server in {self._checked().data_directory}"]

    def backup(self, sink: StreamSink) -> None:
        """Run mariadb-backup and hand over the files."""
        connection = self._connection
        facts = self._checked()
        words = connection.words(
            "backup", "--backup", "--stream=mbstream", f"--datadir={facts.data_directory}"
        )
        files = _Files(sink)
        with Tool(words, connection.environment) as tool:
            with sink.stream("files"):
                self._unpack(tool, files)
            try:
                lines = tool.finish()
            except ToolFailedError as error:
                raise connection.explain(error) from error
        for line in lines:
            if _PROBLEM.search(line):
                sink.finding(Finding(tool.name, line))
        sink.note("server_version", facts.version)
        sink.note("lower_case_table_names", facts.lower_case_table_names)
        sink.note("end_time_ns", connection.query("SELECT UNIX_TIMESTAMP()")[0][0] + "0" * 9)
        self._note_position(sink, facts, files.position.decode("utf-8", "replace"))

    def _unpack(self, tool: Tool, files: _Files) -> None:
        """Store the stream's files; what the tool says of its failure counts more than ours."""
        try:
            files.note_changes(unpack(tool.stdout, files.open))
        except StreamError as error:
            if not tool.stdout.read(1):  # it ended too early: so did the tool
                try:
                    tool.finish()
                except ToolFailedError as failed:
                    raise self._connection.explain(failed) from failed
            raise ToolFailedError(tool.name, f"its stream is damaged: {error}") from error

    def _note_position(self, sink: StreamSink, facts: ServerFacts, text: str) -> None:
        """Record from which position of which binary log changes follow this backup."""
        name, _, rest = text.partition("\t")
        position = rest.split("\t")[0].strip()
        if not facts.binlog_base or not position.isdigit():
            return
        sink.note("log_kind", "binlog")
        sink.note("log_identity", facts.log_identity(self._options.settings.get("log-name")))
        sink.note("log_start", name)
        sink.note("log_stop", name)
        sink.note("log_position", position)
        event = self._first_event(name)
        if event is not None:
            sink.note("log_fingerprint", fingerprint(event))

    def _first_event(self, name: str) -> bytes | None:
        """Read the first event of a binary log from the server; None if that is not allowed."""
        words = self._connection.words(
            "binlog", "--read-from-remote-server", f"--stop-position={_FIRST_EVENTS_END}", name
        )
        try:
            text = run_tool(words, self._connection.environment)
            found = _BASE64.search(text)
            return base64.b64decode(found["data"].replace("\n", "")) if found else None
        except (DatabaseError, binascii.Error):
            return None


class _Files:
    """Opens the files of a stream in a sink, and keeps the one that holds the position."""

    def __init__(self, sink: StreamSink) -> None:
        self._sink = sink
        self.position = b""

    def open(self, path: bytes) -> FileWriter:
        profile = Profile.FILES if _REDO.fullmatch(path) else Profile.PAGES
        writer = self._sink.open(path, profile)
        return _Kept(writer, self) if path in POSITION_FILES else writer

    def note_changes(self, changes: NameChanges) -> None:
        """Store what a restore has to rename or delete."""
        if not changes.final:
            return
        text = {
            os.fsdecode(stored): None if final is None else os.fsdecode(final)
            for stored, final in changes.final.items()
        }
        data = io.BytesIO(json.dumps(text).encode())
        self._sink.add(NAME_CHANGES, lambda view: data.readinto(view), Profile.FILES)


class _Kept:
    """Writes a file, and keeps its content."""

    def __init__(self, writer: FileWriter, files: _Files) -> None:
        self._writer = writer
        self._files = files

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self._writer.write(data)
        if len(self._files.position) < _LONGEST_POSITION:
            self._files.position += bytes(data)

    def close(self) -> None:
        """The file is complete."""
        self._writer.close()
