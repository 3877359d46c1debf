"""The binary logs of a running server: which are complete, and their bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from holdfast.database_errors import LogSegmentInvalidError, ToolFailedError
from holdfast.errors import ConfigurationError
from holdfast.sources.base import DatabaseOptions
from holdfast.sources.mariadb.binlog import MAGIC, is_whole
from holdfast.sources.mariadb.connection import Connection, ServerFacts
from holdfast.sources.process import run_tool

_LOCAL_NAMES: Final = (None, "localhost")


class BinlogServer:
    """A server whose binary logs are to be archived.

    Args:
        options: where it is, and the tools.
    """

    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        self._connection = Connection(options)
        self._facts: ServerFacts | None = None

    def facts(self) -> ServerFacts:
        """Ask the server, once, what it is.

        Raises:
            ConfigurationError: it writes no binary logs.
            DatabaseError: it does not answer.
        """
        if self._facts is None:
            facts = self._connection.facts()
            if not facts.binlog_base:
                raise ConfigurationError(
                    f"the database server at {self._connection.place} writes no binary logs",
                    "set log_bin and server_id in its configuration and start it again",
                )
            self._facts = facts
        return self._facts

    def identity(self) -> str:
        """Return what tells the server's logs from all others."""
        return self.facts().log_identity(self._options.settings.get("log-name"))

    def flush(self) -> None:
        """Make the server begin a new file, so that all changes until now are in complete ones."""
        try:
            self._connection.query("FLUSH BINARY LOGS")
        except ToolFailedError as error:
            raise self._connection.explain(error) from error

    def names(self) -> tuple[dict[str, int], str]:
        """Return the complete files with their sizes, oldest first, and the one that is written."""
        rows = self._connection.query("SHOW BINARY LOGS")
        sizes = {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
        if not sizes:
            raise ConfigurationError(
                f"the database server at {self._connection.place} has no binary logs",
                "start it again with log_bin set",
            )
        active = list(sizes)[-1]
        del sizes[active]
        return sizes, active

    @contextmanager
    def open(self, name: str, size: int, scratch: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open a complete file: where it lies if that is this machine, else a copy.

        Args:
            name: of the file.
            size: what the server says of it.
            scratch: a directory for the copy, which is removed at the end.

        Yields:
            The file, and its size. An encrypted log is copied decrypted, and has another size.

        Raises:
            LogSegmentInvalidError: what the server sent is not whole.
            DatabaseError: it cannot be read.
        """
        local = self._local(name, size)
        if local is not None:
            with local:
                yield local, size
            return
        path = self._copy(name, scratch)
        try:
            with open(path, "rb") as file:
                found = os.fstat(file.fileno()).st_size
                if found != size and not is_whole(file):
                    raise LogSegmentInvalidError(name, "the server did not send all of it")
                file.seek(0)
                yield file, found
        finally:
            os.unlink(path)

    def _local(self, name: str, size: int) -> BinaryIO | None:
        """Open the server's own file, if it can only be the server's own."""
        host, facts = self._options.host, self.facts()
        by_socket = host in _LOCAL_NAMES or (host or "").startswith("/")
        if not by_socket or self._options.port or facts.host != os.uname().nodename:
            return None
        try:
            file = open(os.path.join(os.path.dirname(facts.binlog_base), name), "rb")  # noqa: SIM115
        except OSError:
            return None
        if os.fstat(file.fileno()).st_size == size and file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            return file
        file.close()  # encrypted, or another server's
        return None

    def _copy(self, name: str, scratch: str) -> str:
        path = os.path.join(scratch, "")
        words = self._connection.words(
            "binlog", "--read-from-remote-server", "--raw", f"--result-file={path}", name
        )
        try:
            run_tool(words, self._connection.environment)
        except ToolFailedError as error:
            raise self._connection.explain(error) from error
        return os.path.join(scratch, name)
