"""How the tools of PostgreSQL reach a server, and what it means when they do not.

Every tool is run with `-w`, so that none asks for a password: it comes from a password file, a
service file or the environment, as libpq knows them. Names of databases are always given inside of a
connection string, since libpq would read a bare name with `=` in it as such a string.

Messages are read in English (`LC_ALL=C`). A server may still speak another language; what it
refuses in words that are not known here counts as a refused login.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from holdfast.database_errors import (
    DatabaseError,
    DatabaseNotFoundError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
    ToolVersionError,
)
from holdfast.sources.base import DatabaseOptions
from holdfast.sources.process import Tool, find_tool
from holdfast.sources.unsupported import refuse_unknown_settings

T = TypeVar("T")

OLDEST_SERVER: Final = 120000
"""The oldest version that is saved, as server_version_num; older ones get no corrections."""
_CONNECT_TIMEOUT_S: Final = "30"
"""Of libpq, where the user has set none: it would wait for minutes for a host that is off."""
_SERVER_PLACES: Final = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
"""Where packages put the programs that are not for users; Debian's, Red Hat's, the makefile's."""
_CLIENT_PACKAGE: Final = "postgresql-client"
_SERVER_PACKAGE: Final = "postgresql"
_SERVER_TOOLS: Final = frozenset({"initdb", "postgres", "pg_ctl", "pg_controldata"})
_DROPPED: Final = ("LANGUAGE", "PGCLIENTENCODING", "PGDATABASE")

_NO_CONNECTION: Final = re.compile(
    r"connection to server (?:on|at) .+? failed: (?P<new>.*)"
    r"|could not connect to server: (?P<old>.*)"
    r"|(?P<name>could not translate host name .*)",
    re.DOTALL,
)
_SERVER_SAYS: Final = re.compile(r"^\S+:  ")
"""A severity and two blanks: the server answered, in whatever language."""
_NOT_YET: Final = re.compile(
    r"the database system is (?:starting up|shutting down|in recovery mode|not yet accepting)"
    r"|not accepting connections|too many clients|remaining connection slots|too many connections"
)
_NO_DATABASE: Final = re.compile(r'database "(?P<name>.*)" does not exist', re.DOTALL)
_NO_LOGIN: Final = re.compile(
    r"no password supplied|authentication|SSL|GSS|password file|certificate", re.IGNORECASE
)


class Connection:
    """One server, the tools that fit it, and how they reach it. Holds nothing open.

    Args:
        options: host, port, user, tools and environment count. Setting `maintenance-database`:
            where to look at the server as a whole, "postgres" unless told.
    """

    def __init__(self, options: DatabaseOptions) -> None:
        self.options = options
        self.maintenance = options.settings.get("maintenance-database", "postgres")
        environment = {k: v for k, v in options.environment.items() if k not in _DROPPED}
        environment["LC_ALL"] = "C"
        environment.setdefault("PGAPPNAME", "holdfast")
        environment.setdefault("PGCONNECT_TIMEOUT", _CONNECT_TIMEOUT_S)
        self.environment: Mapping[str, str] = environment

    @property
    def place(self) -> str:
        """Where the server is, for people."""
        environment = self.environment
        host = self.options.host or environment.get("PGHOST") or environment.get("PGHOSTADDR")
        port = self.options.port or environment.get("PGPORT") or 5432
        if host is None and "PGSERVICE" in environment:
            return f"service {environment['PGSERVICE']}"
        if host is None or host.startswith("/"):
            return f"the socket {host or 'of this machine'}, port {port}"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def tool(self, name: str) -> str:
        """Return the path of a program.

        On PATH, or where distributions keep programs of the server; the newest of those.

        Raises:
            ToolNotFoundError: it is not there.
        """
        package = _SERVER_PACKAGE if name in _SERVER_TOOLS else _CLIENT_PACKAGE
        try:
            return find_tool(name, self.options.tools, self.environment, package)
        except ToolNotFoundError:
            found = [] if self.options.tools is not None else installed(name)
            if not found:
                raise
            return found[-1]

    def words(self, name: str, *arguments: str, database: str | None = None) -> list[str]:
        """Return how a tool is run: its path, where the server is, and its arguments.

        Args:
            name: of the tool.
            arguments: its own.
            database: to connect to; None for tools that take none.
        """
        options = self.options
        words = [self.tool(name), "-w"]
        if options.host is not None:
            words += ["-h", options.host]
        if options.port is not None:
            words += ["-p", str(options.port)]
        if options.user is not None:
            words += ["-U", options.user]
        if database is not None:
            words += ["-d", connection_string(database)]
        return [*words, *arguments]

    def psql(self, database: str, *arguments: str) -> list[str]:
        """Return how psql is run: no start file, plain output, the first error ends it."""
        own = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return self.words("psql", *own, *arguments, database=database)

    def start(
        self,
        words: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        encoding: str | None = None,
    ) -> Tool:
        """Start a tool. Whoever reads its end passes a `ToolFailedError` to `explain`.

        Args:
            words: of `words` or `psql`.
            stdin: as for `Tool`.
            stdout: as for `Tool`.
            encoding: of text that it exchanges with the server; None: the database's own.
        """
        environment = self.environment
        if encoding is not None:
            environment = {**environment, "PGCLIENTENCODING": encoding}
        return Tool(words, environment, stdin=stdin, stdout=stdout)

    def run(
        self, words: Sequence[str], given: bytes | Iterable[bytes] = b"", *, encoding: str = "UTF8"
    ) -> str:
        """Run a tool to its end and return its output.

        Raises:
            DatabaseError: it failed, as `explain` says.
        """
        try:
            with self.start(words, stdin=bool(given), encoding=encoding) as tool:
                for piece in (given,) if isinstance(given, bytes) else given:
                    if piece:
                        tool.write(piece)
                tool.end_input()
                output = tool.read_all()
                tool.finish()
        except ToolFailedError as error:
            raise self.explain(error) from error
        return output.decode("utf-8", "backslashreplace")

    def ask(self, database: str, statement: str) -> str:
        """Run statements and return their rows as lines, columns joined by `|`.

        Raises:
            DatabaseError: the server is not there, or does not accept them.
        """
        return self.run(self.psql(database, "-f", "-"), statement.encode()).removesuffix("\n")

    def query(self, database: str, statement: str, kind: type[T]) -> list[T]:
        """Run one SELECT and return its rows; for names, which may hold any character.

        Args:
            database: where.
            statement: without a semicolon at its end.
            kind: a msgspec structure whose fields are the columns.

        Raises:
            DatabaseError: the server is not there, or does not accept it.
        """
        inner = f"(\n{statement}\n) AS rows"
        # Nobody's functions of the same name are called, whatever the user's search_path is.
        ours = f"SET search_path = pg_catalog; SELECT json_agg(rows) FROM {inner}"  # noqa: S608
        rows = self.ask(database, ours)
        return msgspec.json.decode(rows, type=list[kind]) if rows else []  # type: ignore[valid-type]

    def server_version(self) -> int:
        """Return the server's version like 150018.

        Raises:
            DatabaseError: it is not there, or older than `OLDEST_SERVER`.
        """
        number = int(self.ask(self.maintenance, "SHOW server_version_num"))
        if number < OLDEST_SERVER:
            oldest = OLDEST_SERVER // 10000
            raise ToolVersionError(
                f"PostgreSQL {version_text(number)} at {self.place}",
                f"version {oldest} or newer is needed; update the server",
            )
        return number

    def check_tool(self, name: str, server: int) -> None:
        """See that a tool is not older than the server: it would not know what it saves.

        Args:
            name: of the tool.
            server: as `server_version` returns it.

        Raises:
            ToolNotFoundError, ToolVersionError: not there, or too old.
        """
        own = self.tool_version(name)
        if own < server // 10000:
            raise ToolVersionError(
                f"{name} {own}",
                f"the server is PostgreSQL {version_text(server)}; install "
                f"postgresql-client-{server // 10000}, or name its directory with --tools",
            )

    def tool_version(self, name: str) -> int:
        """Return a tool's major version.

        Raises:
            ToolNotFoundError, ToolVersionError: not there, or it does not say.
        """
        said = self.run([self.tool(name), "--version"])
        found = re.search(r"\) (\d+)", said)
        if found is None:
            raise ToolVersionError(name, f"it does not tell its version, but {said[:80]!r}")
        return int(found[1])

    def explain(self, error: ToolFailedError) -> DatabaseError:
        """Return what a tool's failure means: no server, no login, no database, or itself."""
        reasons = [
            (found["new"] or found["old"] or found["name"] or "").strip()
            for found in map(_NO_CONNECTION.search, error.said.split("; "))
            if found is not None
        ]
        if not reasons:
            return error
        # Every address of a host is tried, and told of: one that answered says most.
        said = next((reason for reason in reasons if _SERVER_SAYS.search(reason)), reasons[-1])
        if missing := _NO_DATABASE.search(said):
            return DatabaseNotFoundError(missing["name"], f"on {self.place}")
        reason = _SERVER_SAYS.sub("", said)
        answered = _SERVER_SAYS.search(said) or _NO_LOGIN.search(said)
        if answered and not _NOT_YET.search(said):
            return LoginError(self.place, reason)
        return ServerUnreachableError(self.place, reason)


def check_settings(options: DatabaseOptions, known: Iterable[str]) -> None:
    """See that only settings are given that mean something; raises ConfigurationError."""
    refuse_unknown_settings(options, "PostgreSQL", {*known, "maintenance-database"})


def connection_string(database: str) -> str:
    """Return a connection string that names a database and nothing else."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def quote_name(name: str) -> str:
    """Return an identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a literal as SQL, whatever standard_conforming_strings says."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if "\\" not in text else "E'" + quoted.replace("\\", "\\\\") + "'"


def version_text(number: int) -> str:
    """Return a server_version_num as people write it: 150018 is 15.18."""
    return f"{number // 10000}.{number % 10000}"


def installed(name: str) -> list[str]:
    """Return the paths of a program in directories of installed versions, oldest first."""
    found = [
        path
        for place in _SERVER_PLACES
        for path in glob.glob(f"{place}/{glob.escape(name)}")
        if os.access(path, os.X_OK)
    ]
    return sorted(found, key=_version_of)


def _version_of(path: str) -> tuple[int, str]:
    found = re.search(r"(\d+)/bin/", path)
    return (int(found[1]) if found else 0, path)
