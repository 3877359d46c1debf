"""PostgreSQL as statements: pg_dump for each database, and pg_dumpall for what belongs to none.

    globals.sql                  roles, tablespaces
    <database>/database.json     owner, encoding, rights, settings
    <database>/pre-data.sql      definitions
    <database>/data.sql          rows and large objects
    <database>/post-data.sql     indexes, constraints, triggers

The last three are one run of pg_dump, cut in pieces (see `sections`), so all of a database is of
one moment, and no table can be dropped in the meantime; each database has a moment of its own.

Plain text, since it can be cut where rows end: a row that changed costs the chunks around it, in
any table and however long the dump. No compression by the tool, for the same reason. pg_dump reads
tables in the order of their names and rows as they lie, so unchanged parts come out alike.

One stream: of the 3.9 seconds of processor time that 270 MB took the second time, the server's
process used 1.9, at 140 MB/s, and everything else ran beside it. Two cores are full with that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from holdfast.chunking import Profile
from holdfast.database_errors import DatabaseNotFoundError, ToolFailedError
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.sources.base import DatabaseOptions, Method, StreamSink
from holdfast.sources.postgresql.connection import Connection, check_settings, version_text
from holdfast.sources.postgresql.contents import Database, contents_of, list_databases
from holdfast.sources.postgresql.facts import encode_facts, read_facts
from holdfast.sources.postgresql.names import DATA, FACTS, GLOBALS, POST_DATA, PRE_DATA, path_of
from holdfast.sources.postgresql.sections import Sections
from holdfast.sources.process import Tool
from holdfast.units import format_size

_LOCK_TIMEOUT_S: Final = 600
_ATTEMPTS: Final = 10
_DROPPED_MEANWHILE: Final = re.compile(
    r"does not exist.*LOCK TABLE|could not open relation with OID"
)
"""What pg_dump says when it lists a table that is gone when it is to be locked."""
_MAINTENANCE: Final = "postgres"
"""The database that every server has to connect to; saved only if somebody uses it."""


class LogicalSource:
    """A server whose databases are saved as statements.

    Args:
        options: `names` are databases, none for all. Setting `lock-timeout`: seconds to wait for a
            table that somebody has locked, 600 unless told.

    Raises:
        ConfigurationError: options that mean nothing here.
    """

    kind = "postgresql"
    method = Method.LOGICAL

    def __init__(self, options: DatabaseOptions) -> None:
        check_settings(options, ("lock-timeout",))
        if len(set(options.names)) != len(options.names):
            raise ConfigurationError("a database is named twice", "name each once")
        self._names = options.names
        self._lock_timeout_s = _seconds(options.settings.get("lock-timeout", str(_LOCK_TIMEOUT_S)))
        self._connection = Connection(options)

    def check(self) -> str:
        """Look for the tools, the server, and the databases that were named."""
        connection = self._connection
        # First what needs no server: its absence is the easier one to correct.
        for name in ("psql", "pg_dump", "pg_dumpall"):
            connection.tool(name)
        version = connection.server_version()
        for name in ("pg_dump", "pg_dumpall"):
            connection.check_tool(name, version)
        self._choose()
        return f"PostgreSQL {version_text(version)}"

    def paths(self) -> tuple[bytes, ...]:
        """All of the server, or the databases that were named, and what belongs to none."""
        return (*(path_of(name) for name in self._names), GLOBALS) if self._names else (b"",)

    def plan(self) -> Sequence[str]:
        """Return a line for each database."""
        chosen, left_out = self._choose()
        lines = [
            f"{database.name}: {format_size(database.size or 0)} on the server's disk"
            for database in chosen
        ]
        lines += [f"{name}: left out, {reason}" for name, reason in left_out]
        return [*lines, "globals: roles and tablespaces"]

    def _choose(self) -> tuple[list[Database], list[tuple[str, str]]]:
        """Return the databases to save, and those that cannot be, with the reason.

        Raises:
            DatabaseNotFoundError: one that was named is not there.
        """
        present = list_databases(self._connection)
        if self._names:
            for name in self._names:
                if name not in present:
                    raise DatabaseNotFoundError(name, f"on {self._connection.place}")
            return [present[name] for name in self._names], []
        chosen: list[Database] = []
        left_out: list[tuple[str, str]] = []
        for database in present.values():
            if database.is_template:
                continue
            if not database.allow_connections:
                left_out.append((database.name, "it allows no connections"))
            elif not database.may_connect:
                left_out.append((database.name, "this user may not connect to it"))
            elif database.name != _MAINTENANCE or contents_of(self._connection, database.name):
                chosen.append(database)
        return chosen, left_out

    def backup(self, sink: StreamSink) -> None:
        """Dump all databases, one after another, then the globals."""
        version = self._connection.server_version()
        sink.note("server_version_num", str(version))
        chosen, left_out = self._choose()
        for name, reason in left_out:
            sink.finding(Finding(name, f"not saved: {reason}"))
        for database in chosen:
            self._dump_database(sink, database.name, version)
        self._dump_globals(sink)

    def _dump_database(self, sink: StreamSink, name: str, version: int) -> None:
        connection = self._connection
        directory = path_of(name) + b"/"
        lock = f"--lock-wait-timeout={self._lock_timeout_s}s"
        words = connection.words("pg_dump", "--format=plain", lock, database=name)
        facts = io.BytesIO(encode_facts(read_facts(connection, name, version)))
        try:
            with self._start_dump(words) as (tool, sections):
                with sink.stream(f"{name} schema"):
                    sink.add(directory + FACTS, facts.readinto, Profile.DUMP)
                    sink.add(directory + PRE_DATA, sections.pre_data, Profile.DUMP)
                with sink.stream(f"{name} data"):
                    sink.add(directory + DATA, sections.data, Profile.DUMP)
                with sink.stream(f"{name} indexes"):
                    sink.add(directory + POST_DATA, sections.post_data, Profile.DUMP)
                said = tool.finish()
        except ToolFailedError as error:
            raise connection.explain(error) from error
        self._note(sink, name, said)

    @contextmanager
    def _start_dump(self, words: Sequence[str]) -> Iterator[tuple[Tool, Sections]]:
        """Start a pg_dump that has all its locks: nothing can be dropped any more.

        It lists tables and locks them then; one that was dropped in between ends it. So it does on
        servers that make and drop tables all the time, and the next attempt has other luck.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            with self._connection.start(words) as tool:
                sections = Sections(tool.readinto)
                if not sections.begin():
                    try:
                        tool.finish()
                    except ToolFailedError as error:
                        if attempt < _ATTEMPTS and _DROPPED_MEANWHILE.search(error.said):
                            continue
                        raise
                yield tool, sections
                return

    def _dump_globals(self, sink: StreamSink) -> None:
        connection = self._connection
        may_read = connection.ask(
            connection.maintenance,
            "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
        )
        extra = []
        if may_read != "t":
            extra.append("--no-role-passwords")
            problem = "passwords of roles were not saved: only a superuser may read them"
            sink.finding(Finding(GLOBALS.decode(), problem))
        # pg_dumpall calls the database to connect to by another letter.
        words = connection.words("pg_dumpall", "--globals-only", "--encoding=UTF8", *extra)
        words += ["-l", connection.maintenance]
        try:
            with connection.start(words) as tool, sink.stream("globals"):
                sink.add(GLOBALS, tool.readinto, Profile.DUMP)
                said = tool.finish()
        except ToolFailedError as error:
            raise connection.explain(error) from error
        self._note(sink, GLOBALS.decode(), said)

    def _note(self, sink: StreamSink, of: str, said: Sequence[str]) -> None:
        """What a tool says although it ends well becomes findings."""
        for line in said:
            sink.finding(Finding(of, line))


def _seconds(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 86400:
        raise ConfigurationError(
            f"lock-timeout is {text!r}", "give seconds, from 1 to 86400, like lock-timeout=600"
        )
    return int(text)
