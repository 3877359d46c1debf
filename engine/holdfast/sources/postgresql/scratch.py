"""A PostgreSQL server of our own: to restore into, to ask, and to throw away.

It listens on a socket in its own directory only, asks nobody for a password, and writes nothing
durably. PostgreSQL refuses to run as root, so root runs it as `postgres`, or `nobody`. It dies with
this program, however that ends, where `setpriv` can see to it.

Restored data directories bring the configuration of the server they come from: memory for a large
machine, an archive command, files elsewhere. None of it counts here but how to fetch log segments.
"""

from __future__ import annotations

import csv
import os
import pwd
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from holdfast.closing import Closing
from holdfast.database_errors import DatabaseError, ToolFailedError, ToolNotFoundError
from holdfast.errors import ConfigurationError
from holdfast.sources.base import DatabaseOptions, DatabaseTarget, Method, RestoreTo
from holdfast.sources.postgresql.connection import Connection, installed
from holdfast.sources.postgresql.contents import list_databases
from holdfast.sources.process import Tool, run_tool, tied_to_this_process

_SUPERUSER: Final = "holdfast_scratch"
"""Not "postgres": roles are to be restored as they were, and that one may be no superuser there."""
_LONGEST_SOCKET: Final = 107 - len("/.s.PGSQL.5432.lock")
"""Bytes of a socket's directory that all systems accept."""
_WRITABLE: Final = "-c default_transaction_read_only=off"
"""A restored database may be set to be read only, and amcheck has to be installed in it."""
_POLL_S: Final = 0.02
_MOST_LINES: Final = 100
_RECOVERY: Final = re.compile(rb"\s*(?:restore_command|recovery_\w+)\s*=", re.IGNORECASE)
_SETTINGS: Final = {
    "archive_mode": "off",
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "hot_standby": "off",
    "huge_pages": "off",
    "listen_addresses": "",
    "logging_collector": "off",
    "max_prepared_transactions": "100",
    "max_wal_size": "4GB",
    "port": "5432",
    "shared_buffers": "128MB",
    "shared_preload_libraries": "",
    "ssl": "off",
    "synchronous_commit": "off",
    "unix_socket_permissions": "0700",
}


class PostgresScratch(Closing):
    """A scratch server; see `ScratchServer`. Entered once.

    Args:
        options: tools and environment count.
        method: of the backup that is restored.
        directory: empty; the user who runs the server must be able to enter it.
    """

    def __init__(self, options: DatabaseOptions, method: Method, directory: str) -> None:
        self._method = method
        self._directory = os.path.abspath(directory)
        self._data = os.path.join(self._directory, "data")
        self._user = _system_user()
        self._short: str | None = None
        self._server: Tool | None = None
        environment = {k: v for k, v in options.environment.items() if not k.startswith("PG")}
        self._options = DatabaseOptions(
            environment={**environment, "LC_ALL": "C", "PGOPTIONS": _WRITABLE},
            tools=options.tools,
            host=self._directory,
            port=int(_SETTINGS["port"]),
            user=_SUPERUSER,
        )

    def __enter__(self) -> PostgresScratch:
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        return self

    def _prepare(self) -> None:
        self._give(self._directory)
        self._check_reachable()
        if len(os.fsencode(self._directory)) > _LONGEST_SOCKET:
            self._short = tempfile.mkdtemp(prefix="holdfast-")
            self._give(self._short)
            self._options = replace(self._options, host=self._short)
        if self._method is Method.LOGICAL:
            self._make_cluster()
            self._start()

    def target(self) -> DatabaseTarget:
        """Return the running server, or the data directory that it is to run on."""
        if self._method is Method.LOGICAL:
            from holdfast.sources.postgresql.restore import LogicalTarget

            return LogicalTarget(RestoreTo(options=self._options), in_place_tablespaces=True)
        from holdfast.sources.postgresql.physical import open_physical_target

        return open_physical_target(RestoreTo(options=self._options, directory=self._data))

    def begin(self) -> None:
        """Start a physical backup's server, and wait until it has recovered.

        Raises:
            DatabaseError: it does not start.
        """
        if self._method is Method.LOGICAL:
            return
        self._give_all(self._data)
        self._keep_recovery_only()
        self._start()
        self._options = replace(self._options, user=self._find_superuser())

    def databases(self) -> Sequence[str]:
        """Return the names of databases that accept connections, without templates."""
        return [
            database.name
            for database in list_databases(self._connection).values()
            if database.allow_connections and not database.is_template
        ]

    def ask(self, database: str, statement: str) -> str:
        """Run one statement in psql."""
        connection = self._connection
        words = connection.words(
            "psql", "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1", "-f", "-", database=database
        )
        answer = connection.run(words, f"{statement}\n;".encode())
        for row in csv.reader(answer.splitlines(keepends=True)):
            return row[0] if row else ""
        return ""

    def verify(self) -> Sequence[str]:
        """Compare tables and indexes by pg_amcheck, if it is installed, in all databases."""
        connection = self._connection
        try:
            words = connection.words("pg_amcheck", "--all", "--install-missing", "--heapallindexed")
        except ToolNotFoundError:
            return []
        ready = "SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'"
        if connection.ask(connection.maintenance, ready) == "0":
            return []
        with connection.start(words) as tool:
            found = tool.read_all().decode("utf-8", "backslashreplace").splitlines()
            try:
                tool.finish()
            except ToolFailedError as error:
                return found[:_MOST_LINES] or [str(error)]
        return found[:_MOST_LINES]

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            try:
                stop = ("stop", "-m", "immediate", "-w", "-D", self._data)
                self._run(self._server_tool("pg_ctl"), *stop)
            except DatabaseError:
                pass  # it has ended by itself, or is killed now
            self._server.close()
            self._server = None
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    @property
    def _connection(self) -> Connection:
        return Connection(self._options)

    def _make_cluster(self) -> None:
        words = ("-D", self._data, "-U", _SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale")
        self._run(self._server_tool("initdb"), *words, "--no-sync", "--no-instructions")

    def _start(self) -> None:
        config = self._write("holdfast.conf", b"")
        access = self._write("holdfast-hba.conf", b"local all all trust\n")
        names = self._write("holdfast-ident.conf", b"")
        files = {"config_file": config, "hba_file": access, "ident_file": names}
        settings = {**files, **_SETTINGS, "unix_socket_directories": str(self._options.host)}
        if self._has_in_place_tablespaces():
            settings["allow_in_place_tablespaces"] = "on"
        words = [self._server_tool("postgres"), "-D", self._data]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        words = tied_to_this_process(words, self._options.environment)
        # In its own directory: that of this program may be closed to the server's user.
        self._server = Tool(
            words, self._options.environment, stdout=False, user=self._user, cwd=self._directory
        )
        self._await(self._server)

    def _await(self, server: Tool) -> None:
        # The postmaster notes its state in this file; recovery may take as long as it takes.
        path = os.path.join(self._data, "postmaster.pid")
        while server.is_running:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines = file.read().split("\n")
            except FileNotFoundError:
                lines = []
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(_POLL_S)
        server.finish()
        raise ToolFailedError("the scratch server", "it ended before it was ready")

    def _server_tool(self, name: str) -> str:
        """Return a program that fits the data directory; the newest if there is none yet.

        Raises:
            ToolNotFoundError: none does.
        """
        major = self._major()
        if major is None:
            return self._connection.tool(name)
        fitting = [path for path in self._candidates(name) if self._major_of(path) == major]
        if not fitting:
            raise ToolNotFoundError(name, f"postgresql-{major}")
        return fitting[-1]

    def _major(self) -> str | None:
        """Return the version of the data directory, None if there is none yet."""
        try:
            with open(os.path.join(self._data, "PG_VERSION"), encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def _has_in_place_tablespaces(self) -> bool:
        major = self._major()  # versions before 15 have it in some minor versions only
        return major is not None and major.isdigit() and int(major) >= 15

    def _candidates(self, name: str) -> Iterator[str]:
        try:
            yield self._connection.tool(name)
        except ToolNotFoundError:
            return
        if self._options.tools is None:
            yield from installed(name)

    def _major_of(self, path: str) -> str:
        found = re.search(r"\) (\d+)", self._run(path, "--version"))
        return found[1] if found else ""

    def _run(self, *words: str) -> str:
        return run_tool(words, self._options.environment, user=self._user, cwd=self._directory)

    def _write(self, name: str, content: bytes) -> str:
        path = os.path.join(self._directory, name)
        with open(path, "wb") as file:
            file.write(content)
        self._give(path)
        return path

    def _keep_recovery_only(self) -> None:
        path = os.path.join(self._data, "postgresql.auto.conf")
        try:
            with open(path, "rb") as file:
                lines = [line for line in file if _RECOVERY.match(line)]
        except FileNotFoundError:
            return
        with open(path, "wb") as file:
            file.writelines(lines)

    def _find_superuser(self) -> str:
        """Return the role that may do everything: it is called as somebody has called it."""
        for name in ("postgres", _SUPERUSER):
            self._options = replace(self._options, user=name)
            try:
                return self._connection.ask(
                    self._connection.maintenance,
                    "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10",
                )
            except DatabaseError:
                continue
        return self._ask_alone()

    def _ask_alone(self) -> str:
        """Ask a server without users for its first role; it stands still for as long."""
        self._run(self._server_tool("pg_ctl"), "stop", "-m", "fast", "-w", "-D", self._data)
        assert self._server is not None
        self._server.close()
        words = (self._server_tool("postgres"), "--single", "-D", self._data, "template1")
        question = b"SELECT rolname FROM pg_catalog.pg_authid WHERE oid = 10\n"
        environment = self._options.environment
        said = run_tool(words, environment, given=question, user=self._user, cwd=self._directory)
        found = re.search(r'rolname = "(.*?)"\t\(typeid', said, re.DOTALL)
        if found is None:
            raise ToolFailedError("the scratch server", "it has no first role")
        self._start()
        return found[1]

    def _give(self, path: str) -> None:
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def _give_all(self, path: str) -> None:
        if self._user is None:
            return
        self._give(path)
        for parent, directories, files in os.walk(path):
            for name in (*directories, *files):
                self._give(os.path.join(parent, name))

    def _check_reachable(self) -> None:
        if self._user is None:
            return
        try:
            run_tool(("test", "-w", self._directory), self._options.environment, user=self._user)
        except ToolFailedError as error:
            raise ConfigurationError(
                f"the user {self._user}, as whom a server is started, cannot enter "
                f"{self._directory}",
                "choose another directory with --scratch, like one in /var/tmp",
            ) from error


def _system_user() -> str | None:
    """Return as whom a server runs; None for who runs this."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ConfigurationError(
        "PostgreSQL does not run as root, and there is no user postgres", "install its server"
    )
