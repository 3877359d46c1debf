"""How the tools of MariaDB and MySQL reach a server, and what it means when they do not.

Tools are found by MariaDB's name first and MySQL's second. Passwords come from option files
(`~/.my.cnf`, or the one that the setting `defaults-file` names) or from MYSQL_PWD, as these tools
know them; none is ever an argument.

Source: the client error codes of MariaDB's documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

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
from holdfast.sources.process import Tool, find_tool, first_version, run_tool
from holdfast.sources.unsupported import refuse_unknown_settings

SETTINGS: Final = {
    "defaults-file": "option file of the database's tools, instead of the usual ones",
    "lock-tables": "yes: lock all tables during a dump, for engines without transactions",
    "globals": "no: leave users and grants out",
    "log-name": "names the server in the archive of binary logs, instead of its own identity",
    "owner": "user of the system who owns a restored data directory",
}
"""What `--set` knows for this kind."""

_TOOLS: Final = {
    "client": (("mariadb", "mysql"), "mariadb-client"),
    "dump": (("mariadb-dump", "mysqldump"), "mariadb-client"),
    "binlog": (("mariadb-binlog", "mysqlbinlog"), "mariadb-client"),
    "check": (("mariadb-check", "mysqlcheck"), "mariadb-client"),
    "backup": (("mariadb-backup", "mariabackup"), "mariadb-backup"),
    "server": (("mariadbd", "mysqld"), "mariadb-server"),
    "install": (("mariadb-install-db", "mysql_install_db"), "mariadb-server"),
}
"""What for -> names of programs, the preferred one first, and the package that brings them."""
_SERVER_PLACES: Final = ("/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/mysql/bin")
"""Where servers lie, which are often not on PATH."""
_SOCKETS: Final = ("mysqld.sock", "mariadb.sock", "mysql.sock")
_CONNECT_TIMEOUT_S: Final = 30
_UNREACHABLE: Final = frozenset({1040, 1053, 1129, 1203, 2002, 2003, 2005, 2006, 2013})
_NO_LOGIN: Final = frozenset({1045, 1130, 1131, 1132, 1251, 1275, 1524, 1698, 1862, 2026, 2059})
_NO_DATABASE: Final = 1049
_FIRST_MARIADB: Final = (10, 0)
"""Versions from here on are MariaDB's tools; MySQL has not come so far."""
_CODE: Final = re.compile(r"(?:ERROR|[Ee]rror:?)\s+(\d{4})\b(?: \(\w+\))?")
_BACKUP_FAILED: Final = re.compile(r"Failed to connect to \w+ server: (?P<reason>.*)")
_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", "\\0": "\0", "\\\\": "\\"}
_ESCAPED: Final = re.compile(r"\\[nt0\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server says of itself."""

    version: str
    host: str
    data_directory: str
    binlog_base: str
    """Path of its binary logs without their number; empty if it writes none."""
    identity: str
    """MySQL's server_uuid; empty for MariaDB."""
    lower_case_table_names: str

    @property
    def is_mariadb(self) -> bool:
        """Tell MariaDB from MySQL."""
        return "mariadb" in self.version.lower()

    def log_identity(self, name: str | None) -> str:
        """Return what tells this server's binary logs from all others; at most 128 bytes.

        MariaDB servers have no identity that survives, so it is the machine and the data directory,
        of which no two servers can share one. The logs' own base name belongs to it: a server that
        was restored, and numbers its logs anew, gets an archive of its own by another `log_bin`.
        """
        server = name or self.identity or f"{self.host}:{self.data_directory.rstrip('/')}"
        text = f"{server}:{os.path.basename(self.binlog_base)}"
        return text.encode()[-128:].decode("utf-8", "ignore")


class Connection:
    """One server, the tools that fit it, and how they reach it. Holds nothing open.

    Args:
        options: host, port, user, tools, settings and environment count.

    Raises:
        ConfigurationError: a setting that is not known here.
    """

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_unknown_settings(options, "MariaDB", SETTINGS)
        self.options = options
        self.environment = {**options.environment, "LC_ALL": "C", "TZ": "UTC"}

    def tool(self, purpose: str) -> str:
        """Return the path of a tool.

        Raises:
            ToolNotFoundError: it is not installed.
        """
        names, package = _TOOLS[purpose]
        directory = self.options.tools
        path = directory or os.pathsep.join(
            [self.environment.get("PATH", os.defpath), *_SERVER_PLACES]
        )
        for name in names:
            try:
                return find_tool(name, path, self.environment, package)
            except ToolNotFoundError:
                continue
        raise ToolNotFoundError(names[0], package)

    def words(self, purpose: str, *arguments: str, login: bool = True) -> list[str]:
        """Return the words of a command line that reaches the server."""
        words = [self.tool(purpose)]
        defaults = self.options.settings.get("defaults-file")
        if defaults:
            words.append(f"--defaults-file={defaults}")
        if login:
            words += self._login()
        return [*words, *arguments]

    def _login(self) -> Iterator[str]:
        options = self.options
        if options.host is not None and options.host.startswith("/"):
            yield f"--socket={_socket_path(options.host)}"
        elif options.host is not None:
            yield f"--host={options.host}"
            if options.host != "localhost":
                yield "--protocol=tcp"
        if options.port is not None:
            yield f"--port={options.port}"
        if options.user is not None:
            yield f"--user={options.user}"

    @property
    def place(self) -> str:
        """Where the server is, for people."""
        host = self.options.host or "this machine"
        return f"{host}:{self.options.port}" if self.options.port else host

    def query(self, statement: str, database: str | None = None) -> list[list[str]]:
        """Run statements and return the rows of their results as text; NULL is "NULL".

        Raises:
            DatabaseError: the server does not answer, or does not accept it.
        """
        words = self.words(
            "client",
            "--batch",
            "--skip-column-names",
            "--skip-reconnect",
            "--default-character-set=utf8mb4",
            f"--connect-timeout={_CONNECT_TIMEOUT_S}",
        )
        if database is not None:
            words += ["--database", database]
        try:
            output = run_tool(words, self.environment, given=statement.encode())
        except ToolFailedError as error:
            raise self.explain(error) from error
        return [[_unescape(cell) for cell in line.split("\t")] for line in output.split("\n")[:-1]]

    def explain(self, error: ToolFailedError) -> DatabaseError:
        """Return what a tool's failure means; the error itself if nothing better is known."""
        found = _CODE.search(error.said)
        code = int(found[1]) if found else 0
        reason = error.said[found.end() :].strip(" :") if found else ""
        if failed := _BACKUP_FAILED.search(error.said):
            reason = failed["reason"]
            code = 1045 if "denied" in reason else 2002
        if code in _UNREACHABLE:
            return ServerUnreachableError(self.place, reason)
        if code in _NO_LOGIN:
            return LoginError(self.place, reason)
        if code == _NO_DATABASE:
            name = re.search(r"[Uu]nknown database '(.*)'", error.said)
            return DatabaseNotFoundError(name[1] if name else "", f"at {self.place}")
        return error

    def facts(self) -> ServerFacts:
        """Ask the server what it is.

        Raises:
            DatabaseError: it does not answer.
        """
        rows = self.query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'hostname', 'datadir', "
            "'log_bin', 'log_bin_basename', 'server_uuid', 'lower_case_table_names')"
        )
        values = {row[0]: row[1] for row in rows if len(row) > 1}
        return ServerFacts(
            version=values.get("version", ""),
            host=values.get("hostname", ""),
            data_directory=values.get("datadir", ""),
            binlog_base=values.get("log_bin_basename", "") if values.get("log_bin") == "ON" else "",
            identity=values.get("server_uuid", ""),
            lower_case_table_names=values.get("lower_case_table_names", "0"),
        )

    def tool_version(self, purpose: str) -> tuple[int, int]:
        """Return the version of a tool: that of the distribution it belongs to."""
        with Tool([self.tool(purpose), "--version"], self.environment) as tool:
            output = tool.read_all().decode("utf-8", "replace")
            text = "\n".join([output, *tool.finish()])  # mariadb-backup says it as an error
        _, _, distribution = text.partition("Distrib ")
        return first_version(distribution or text)

    def require_version(self, purpose: str, server: str, *, same: bool) -> None:
        """Refuse a tool that does not fit a server.

        Args:
            purpose: the tool's.
            server: the server's version.
            same: whether it must be of the same series; else not older.

        Raises:
            ToolVersionError: it does not.
        """
        needed, found = first_version(server), self.tool_version(purpose)
        if "mariadb" not in server.lower() and found >= _FIRST_MARIADB:
            return  # numbered otherwise than MySQL
        if found == needed or (not same and found > needed):
            return
        wanted = f"{needed[0]}.{needed[1]}"
        raise ToolVersionError(
            os.path.basename(self.tool(purpose)),
            f"it is version {found[0]}.{found[1]} and the server {wanted}; install the tools of "
            f"{wanted}, or name their directory with --tools",
        )

    def is_mysql_tool(self, purpose: str) -> bool:
        """Tell a tool of MySQL from one of MariaDB."""
        return self.tool_version(purpose) < _FIRST_MARIADB

    def databases(self) -> list[str]:
        """Return the names of the databases that are not the server's own."""
        return [row[0] for row in self.query("SHOW DATABASES") if row[0] not in SYSTEM_DATABASES]


SYSTEM_DATABASES: Final = frozenset({"mysql", "information_schema", "performance_schema", "sys"})


def quote_name(name: str) -> str:
    """Return a name as it is written in a statement."""
    return "`" + name.replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """Return a string as it is written in a statement, whatever the server's sql_mode."""
    return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)" if text else "''"


def in_list(names: Sequence[str]) -> str:
    """Return the inside of IN (…)."""
    return ", ".join(quote_text(name) for name in names)


def _socket_path(host: str) -> str:
    """Return a socket that was named itself or by its directory."""
    if not os.path.isdir(host):
        return host
    for name in _SOCKETS:
        path = os.path.join(host, name)
        if os.path.exists(path):
            return path
    return os.path.join(host, _SOCKETS[0])


def _unescape(cell: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], cell) if "\\" in cell else cell
