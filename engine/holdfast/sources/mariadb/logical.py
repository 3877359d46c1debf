"""Databases as statements: one run of mariadb-dump, stored by database.

All databases are dumped in one transaction (`--single-transaction`), so they are of one moment
without a lock, and that moment has a position in the binary log. What the tool writes is stored as
it comes:

    globals.sql             users, roles and grants (where the tool can write them)
    begin.sql               settings of the session
    <database>/tables.sql   the database, its tables with rows, triggers, routines, events
    <database>/views.sql    its views, which may need other databases

Rows come in the order of the primary key and without a date, so that two dumps differ only where
the databases do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from holdfast.chunking import Profile
from holdfast.database_errors import DatabaseNotFoundError, ToolFailedError
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.sources.base import DatabaseOptions, Method, ReadInto, StreamSink
from holdfast.sources.mariadb.connection import SYSTEM_DATABASES, Connection, ServerFacts, in_list
from holdfast.sources.mariadb.dump_parts import BEGIN, GLOBALS, DumpParts, directory_of
from holdfast.sources.process import Tool

_DUMP: Final = (
    "--order-by-primary",
    "--skip-dump-date",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--tz-utc",
    "--quick",
    "--default-character-set=utf8mb4",
)
_POSITION: Final = re.compile(
    rb"(?:MASTER|SOURCE)_LOG_FILE='([^']+)', (?:MASTER|SOURCE)_LOG_POS=(\d+)"
)
_LONGEST_BEGIN: Final = 1 << 16


class LogicalSource:
    """All databases of a server, or some; see `DatabaseSource`.

    Raises:
        ConfigurationError: a database of the server itself is named.
    """

    kind = "mariadb"
    method = Method.LOGICAL

    def __init__(self, options: DatabaseOptions) -> None:
        own = [name for name in options.names if name.lower() in SYSTEM_DATABASES]
        if own:
            raise ConfigurationError(
                f"{own[0]} is the server's own database",
                "users and grants are saved without naming it; --method physical saves all of it",
            )
        self._options = options
        self._connection = Connection(options)
        self._locks = options.settings.get("lock-tables") == "yes"
        self._with_globals = options.settings.get("globals") != "no"

    def check(self) -> str:
        """Look whether tools and server are there and fit; return the server's version."""
        self._connection.tool("dump")
        facts = self._connection.facts()
        self._connection.require_version("dump", facts.version, same=False)
        self._names()
        return facts.version

    def paths(self) -> tuple[bytes, ...]:
        """Return a path for each database that was named."""
        return tuple(directory_of(name) for name in self._options.names) or (b"",)

    def plan(self) -> Sequence[str]:
        """Return what would be stored."""
        first = ["users, roles and grants"] if self._with_globals else []
        return [*first, *(f"database {name}" for name in self._names())]

    def backup(self, sink: StreamSink) -> None:
        """Run the dump tool and hand over what it writes."""
        connection = self._connection
        names = self._names()
        facts = connection.facts()
        sink.note("lower_case_table_names", facts.lower_case_table_names)
        if self._with_globals:
            self._save_globals(sink, facts)
        if not names:
            return
        words = connection.words("dump", *_DUMP)
        words.append("--lock-all-tables" if self._locks else "--single-transaction")
        if connection.is_mysql_tool("dump"):
            words.append("--set-gtid-purged=OFF")  # else no server with a history takes the dump
        has_position = self._can_tell_position(facts)
        if has_position:
            words.append("--master-data=2")
        with Tool([*words, "--databases", *names], connection.environment) as tool:
            begin = self._save_parts(sink, tool, names)
            self._finish(tool, sink)
        found = _POSITION.search(begin) if has_position else None
        if found is not None:
            # Not as the start of a log: dumps are not followed by logs, and must not keep any.
            sink.note("binlog_file", found[1].decode())
            sink.note("binlog_position", found[2].decode())
        if not self._locks:
            self._tell_of_engines(sink, names)

    def _save_parts(self, sink: StreamSink, tool: Tool, names: Sequence[str]) -> bytes:
        """Store a dump by database; return how it begins."""
        parts = DumpParts(tool.readinto, names)
        begin = _read_begin(parts.readinto)
        sink.add(BEGIN, _once(begin), Profile.DUMP)
        while (part := parts.next_part()) is not None:
            with sink.stream(part.path.decode()):
                sink.add(part.path, parts.readinto, Profile.DUMP)
        if not parts.is_complete:
            self._finish(tool, sink)  # how it ended says more
            raise ToolFailedError(
                tool.name, "its output is not a dump of these databases", "a database is missing"
            )
        return begin

    def _finish(self, tool: Tool, sink: StreamSink) -> None:
        try:
            lines = tool.finish()
        except ToolFailedError as error:
            raise self._connection.explain(error) from error
        for line in lines:
            sink.finding(Finding(tool.name, line))

    def _save_globals(self, sink: StreamSink, facts: ServerFacts) -> None:
        """Store users and grants; that they cannot be read is a finding, not the end."""
        name = "users and grants"
        if not facts.is_mariadb:
            sink.finding(Finding(name, "were not saved: mysqldump cannot write them"))
            return
        # One account that cannot be shown, for its host cannot be resolved, must not cost the others.
        words = self._connection.words("dump", "--system=users", "--skip-dump-date", "--force")
        with sink.stream("globals"), Tool(words, self._connection.environment) as tool:
            text = tool.read_all()
            try:
                lines = tool.finish()
            except ToolFailedError as error:
                lines = [error.said or error.reason]
            for line in lines:
                sink.finding(Finding(name, f"were not all saved: {line}"))
            sink.add(GLOBALS, _once(text), Profile.DUMP)

    def _names(self) -> list[str]:
        """Return the databases to save.

        Raises:
            DatabaseNotFoundError: one that was named does not exist.
        """
        there = self._connection.databases()
        for name in self._options.names:
            if name not in there:
                raise DatabaseNotFoundError(name, f"at {self._connection.place}")
        return list(self._options.names) or there

    def _can_tell_position(self, facts: ServerFacts) -> bool:
        """Tell whether the dump can note its position in the binary log without a lock."""
        if not facts.binlog_base or not facts.is_mariadb:
            return False
        try:
            return bool(self._connection.query("SHOW MASTER STATUS"))
        except ToolFailedError:  # not allowed to: a dump is worth having all the same
            return False

    def _tell_of_engines(self, sink: StreamSink, names: Sequence[str]) -> None:
        """Note databases with tables that no transaction covers."""
        rows = self._connection.query(
            "SELECT t.table_schema, COUNT(*), MIN(t.table_name) "  # noqa: S608 - in hex
            "FROM information_schema.tables t "
            "JOIN information_schema.engines e ON e.engine = t.engine "
            "WHERE t.table_type = 'BASE TABLE' AND COALESCE(e.transactions, 'NO') <> 'YES' "
            f"AND t.table_schema IN ({in_list(names)}) GROUP BY t.table_schema"
        )
        for database, count, table in rows:
            others = f" and {int(count) - 1} more" if int(count) > 1 else ""
            problem = (
                f"its table {table}{others} has no transactions and may be of a later moment; "
                "--set lock-tables=yes waits for them"
            )
            sink.finding(Finding(database, problem))


def _read_begin(readinto: ReadInto) -> bytes:
    """Read what comes before the first database; it is short."""
    begin = bytearray()
    view = memoryview(bytearray(_LONGEST_BEGIN))
    while size := readinto(view):
        begin += view[:size]
        if len(begin) > _LONGEST_BEGIN:
            raise ToolFailedError("mariadb-dump", "its output is not a dump of these databases")
    return bytes(begin)


def _once(data: bytes) -> ReadInto:
    """Return a reader of bytes that are there."""
    left = memoryview(data)

    def readinto(view: memoryview) -> int:
        nonlocal left
        size = min(len(left), len(view))
        view[:size] = left[:size]
        left = left[size:]
        return size

    return readinto
