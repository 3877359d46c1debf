"""A MariaDB server in a scratch directory, to look whether a backup can be restored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final

from holdfast.database_errors import ToolFailedError
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
)
from holdfast.sources.mariadb.connection import Connection
from holdfast.sources.mariadb.logical_target import LogicalTarget
from holdfast.sources.mariadb.physical_target import OPTIONS_FILE, PhysicalTarget
from holdfast.sources.mariadb.private_server import ACCOUNT, PrivateServer
from holdfast.sources.process import run_tool

_MESSAGE: Final = re.compile(r"(?:warning|error)\s*: (?P<text>.*)", re.IGNORECASE)
_NOTE: Final = re.compile(r"(?:note|info|status)\s*: ", re.IGNORECASE)
_SMALL: Final = ("--innodb-buffer-pool-size=64M", "--innodb-doublewrite=0", "--skip-name-resolve")
"""A server that is thrown away needs no second copy of its pages."""


class MariaScratch(ScratchServer):
    """A server for dumps from the start, for physical backups once they are restored.

    Args:
        options: tools, environment and settings count.
        method: of the backup.
        directory: empty.
    """

    def __init__(self, options: DatabaseOptions, method: Method, directory: str) -> None:
        own = {name: value for name, value in options.settings.items() if name == "globals"}
        self._options = replace(options, host=None, port=None, user=ACCOUNT, names=(), settings=own)
        self._method = method
        self._data = os.path.join(directory, "data")
        self._server: PrivateServer | None = None

    def __enter__(self) -> MariaScratch:
        connection = Connection(self._options)
        connection.tool("server")
        connection.tool("client")
        if self._method is Method.LOGICAL:
            try:
                self._install(connection)
                self._server = PrivateServer(connection, self._data, _SMALL)
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _install(self, connection: Connection) -> None:
        """Make the system tables of a server without anything in it."""
        words = [
            connection.tool("install"),
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        run_tool(words, connection.environment)

    def target(self) -> DatabaseTarget:
        """Return where to restore to."""
        if self._method is Method.PHYSICAL:
            to = RestoreTo(options=self._options, directory=self._data)
            return PhysicalTarget(to, keep_owner=True)
        return LogicalTarget(RestoreTo(options=self._reachable()))

    def begin(self) -> None:
        """Start a physical backup's server."""
        if self._server is not None:
            return
        options_file = os.path.join(self._data, OPTIONS_FILE)
        defaults = options_file if os.path.exists(options_file) else None
        self._server = PrivateServer(Connection(self._options), self._data, _SMALL, defaults)

    def _reachable(self) -> DatabaseOptions:
        assert self._server is not None, "entered, or begun"
        server = self._server
        # No option file of the machine may send the tools elsewhere, or with another password.
        settings = {**self._options.settings, "defaults-file": os.devnull}
        return replace(
            self._options, host=server.socket, environment=server.environment, settings=settings
        )

    def databases(self) -> Sequence[str]:
        """Return the names of the databases that are not the server's own."""
        return Connection(self._reachable()).databases()

    def ask(self, database: str, statement: str) -> str:
        """Run one statement and return the first column of its first row."""
        rows = Connection(self._reachable()).query(statement, database or None)
        return rows[0][0] if rows else ""

    def verify(self) -> Sequence[str]:
        """Run mariadb-check on all tables; return what it found."""
        connection = Connection(self._reachable())
        words = connection.words("check", "--check", "--all-databases")
        try:
            text = run_tool(words, connection.environment)
        except ToolFailedError as error:
            return [error.said or str(error)]
        return list(_problems(text))


def _problems(text: str) -> Iterator[str]:
    """Yield what mariadb-check complains about: a table's name, and its messages below."""
    table = ""
    for line in text.splitlines():
        if message := _MESSAGE.fullmatch(line):
            yield f"{table}: {message['text']}"
        elif not _NOTE.match(line):
            table = line.removesuffix("OK").strip()
