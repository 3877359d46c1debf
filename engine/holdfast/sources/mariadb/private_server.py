"""A server of our own on a data directory: on a socket that nobody knows, and on no network.

Nobody here knows a password of the accounts in the directory, so the server makes one of our own
before it answers. Starting it without accounts (`--skip-grant-tables`) would be no substitute: such
a server refuses statements about events, and loads no plugins.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from holdfast.closing import Closing
from holdfast.database_errors import ToolFailedError
from holdfast.sources.mariadb.connection import Connection
from holdfast.sources.process import Tool, tied_to_this_process

ACCOUNT: Final = "holdfast-private"
_ACCOUNT: Final = f"'{ACCOUNT}'@'localhost'"
FORGET_ACCOUNT: Final = f"DROP USER {_ACCOUNT};\n".encode()
"""The last statement in a directory that is to be used: leaves no trace of our account."""
_START_S: Final = 600.0
"""A server that recovers a large redo log takes its time."""
_WAIT_S: Final = 0.02
_SHORT_CUT: Final = "/tmp"  # noqa: S108 - a private directory is made in it
_LONGEST_SOCKET: Final = 100
"""Bytes of a socket's path; systems allow 104 and more."""


class PrivateServer(Closing):
    """A running server; closing kills it.

    Args:
        connection: its tools.
        data: the data directory; whoever runs this owns the files.
        arguments: more options of the server.
        defaults: option file to start with; None for none.

    Raises:
        ToolFailedError: it does not start.
    """

    def __init__(
        self,
        connection: Connection,
        data: str,
        arguments: Sequence[str] = (),
        defaults: str | None = None,
    ) -> None:
        self._scratch = tempfile.mkdtemp(prefix="holdfast-")
        if len(os.fsencode(self._scratch)) > _LONGEST_SOCKET - 2:
            shutil.rmtree(self._scratch)
            self._scratch = tempfile.mkdtemp(prefix="holdfast-", dir=_SHORT_CUT)
        self.socket = os.path.join(self._scratch, "s")
        self._tool: Tool | None = None
        password = f"Aa1-{secrets.token_hex(24)}"
        self.environment = {**connection.environment, "MYSQL_PWD": password, "HOME": self._scratch}
        """What tools need to log in as `ACCOUNT`; no option file of a user misleads them."""
        first = os.path.join(self._scratch, "first.sql")
        with open(first, "w", encoding="ascii") as file:
            file.write(f"CREATE OR REPLACE USER {_ACCOUNT} IDENTIFIED BY '{password}';\n")
            file.write(f"GRANT ALL PRIVILEGES ON *.* TO {_ACCOUNT} WITH GRANT OPTION;\n")
        words = [
            connection.tool("server"),
            f"--defaults-file={defaults}" if defaults else "--no-defaults",
            f"--datadir={data}",
            f"--socket={self.socket}",
            f"--pid-file={os.path.join(self._scratch, 'pid')}",
            "--skip-networking",
            "--skip-log-bin",
            "--skip-slave-start",
            f"--init-file={first}",
            "--event-scheduler=OFF",
            "--innodb-flush-log-at-trx-commit=0",
            "--max-allowed-packet=1G",
            # It may run as root: statements must not read or write files elsewhere.
            f"--secure-file-priv={self._scratch}",
            *(["--user=root"] if os.geteuid() == 0 else []),
            *arguments,
        ]
        try:
            words = tied_to_this_process(words, connection.environment)
            self._tool = Tool(words, connection.environment, stdout=False)
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        tool = self._tool
        assert tool is not None
        end = time.monotonic() + _START_S
        while not self._answers():
            if not tool.is_running:
                tool.finish()
                raise ToolFailedError(tool.name, "it ended at once")
            if time.monotonic() > end:
                raise ToolFailedError(tool.name, f"it did not start within {_START_S:.0f} s")
            time.sleep(_WAIT_S)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_START_S)
            try:
                link.connect(self.socket)
                return bool(link.recv(1))
            except OSError:
                return False

    def wait(self) -> None:
        """Wait until it has ended by itself.

        Raises:
            ToolFailedError: it did not end well.
        """
        assert self._tool is not None
        self._tool.finish()

    def close(self) -> None:
        """Kill it if it still runs."""
        if self._tool is not None:
            self._tool.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
