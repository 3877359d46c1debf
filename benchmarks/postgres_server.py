"""A PostgreSQL server of a benchmark's own, filled and changed by the scripts in `postgres/`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from measure import Command, CommandError, output_of

NAME: Final = "shop"
"""Of the database."""
PORT: Final = "5432"
"""In the name of the socket; nothing listens on a network."""
_SQL: Final = Path(__file__).parent / "postgres"
_START_S: Final = 60.0
_SETTINGS: Final = """
listen_addresses = ''
fsync = off
autovacuum = off
max_wal_size = 4GB
wal_level = replica
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server of this run."""

    directory: Path
    """Of its data, and of its socket."""
    bin: Path
    user: str

    @property
    def words(self) -> tuple[str, ...]:
        """How its tools are told where it is."""
        return ("-h", str(self.directory), "-p", PORT, "-U", self.user)

    def tool(self, name: str, *words: str) -> Command:
        """Return a command of one of its tools."""
        return Command(arguments=(str(self.bin / name), *self.words, *words))

    def fill(self, scale: float = 1.0) -> None:
        """Make the database and its first state; 1 is a dump of about 400 MB.

        Raises:
            CommandError: a tool failed.
        """
        output_of(self.tool("createdb", NAME))
        self._script("seed.sql", scale=scale)
        # What autovacuum does after so many rows were inserted.
        output_of(self.tool("psql", "-q", "-c", "VACUUM", NAME))

    def change(self, night: int, scale: float = 1.0) -> None:
        """Do a day's work. No VACUUM follows: autovacuum waits until a fifth of the rows is dead.

        Raises:
            CommandError: a tool failed.
        """
        self._script("change.sql", night=night, scale=scale)

    def _script(self, name: str, **variables: float) -> None:
        given = [word for key, value in variables.items() for word in ("-v", f"{key}={value}")]
        path = str(_SQL / name)
        output_of(self.tool("psql", "-q", "-v", "ON_ERROR_STOP=1", *given, "-f", path, NAME))


def find_binaries() -> Path | None:
    """Return the directory of the newest server's programs, or None."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in found), key=_version, default=None)


def _version(binaries: Path) -> tuple[int, str]:
    text = binaries.parent.name
    return (int(text) if text.isdigit() else 0, text)


@contextmanager
def server(directory: Path) -> Iterator[Server]:
    """Start a server and stop it at the end. It refuses to run as root, so root lends it a user.

    Args:
        directory: made here; the path is short enough for a socket (below 90 bytes), and other
            users may pass through its parents.

    Raises:
        CommandError: there is no server here, or it does not start.
    """
    binaries = find_binaries()
    if binaries is None:
        raise CommandError("there is no PostgreSQL server; install postgresql")
    directory.mkdir(parents=True)
    user = pwd.getpwuid(os.geteuid()).pw_name
    owner = None
    if user == "root":
        user = owner = "postgres"
        shutil.chown(directory, owner, owner)
    data = directory / "data"
    as_owner: dict[str, Any] = {"user": owner, "group": owner, "cwd": directory}
    initdb = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "--data-checksums"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **as_owner)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS + f"unix_socket_directories = '{directory}'\nport = {PORT}\n")
    words = [str(binaries / "postgres"), "-D", str(data)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(words, **quiet, **as_owner)
    here = Server(directory, binaries, user)
    try:
        _wait_until_ready(here, process)
        yield here
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(here: Server, process: subprocess.Popen[bytes]) -> None:
    ready = here.tool("pg_isready", "-q").arguments
    deadline = time.monotonic() + _START_S
    while subprocess.run(ready, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise CommandError(f"the PostgreSQL server in {here.directory} does not start")
        time.sleep(0.05)
