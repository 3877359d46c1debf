"""Real MariaDB servers for tests: on a socket in a short directory, ended with the test run.

The system tables are made once in a process; every server starts on a copy. A server dies with the
process that started it, also if that is killed.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.ceph import free_port

PASSWORD = "s3cret pass"
_START_S = 60.0
_ATTEMPTS = 3
"""The script that makes system tables fails now and then when two run at once."""
_REDO_SIZE = "4M"
_PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump", "mariadb-backup")
_PLACES = "/usr/sbin:/usr/libexec:/usr/local/sbin"


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_PLACES)


def is_missing() -> str | None:
    """Say why no server can be started here, or None."""
    for name in _PROGRAMS:
        if _find(name) is None:
            return f"{name} is not installed (apt-get install mariadb-server mariadb-backup)"
    if shutil.which("setpriv") is None:
        return "setpriv is not installed (apt-get install util-linux)"
    return None


@dataclass
class MariaServer:
    """A running server; `root` needs the password, over its socket or loopback."""

    directory: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    @property
    def socket(self) -> str:
        return str(self.directory / "s")

    @property
    def user(self) -> str:
        return "root"

    @property
    def environment(self) -> dict[str, str]:
        """What tools need: nothing of the tests' own environment but PATH."""
        path = os.environ.get("PATH", os.defpath)  # noqa: TID251 - tests are the edge
        return {"PATH": path, "HOME": str(self.directory), "MYSQL_PWD": PASSWORD}

    def sql(self, statements: str, database: str = "") -> str:
        """Run statements and return their output, cells apart by tabs."""
        words = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"]
        words += ["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]
        done = subprocess.run(
            [*words, *([database] if database else [])],
            input=statements.encode(),
            env=self.environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def purge_logs(self, name: str) -> None:
        """Remove the binary logs before `name`; the server passes over those it still reads."""
        end = time.monotonic() + _START_S
        while self.sql("SHOW BINARY LOGS").split("\t")[0] != name:
            assert time.monotonic() < end, f"logs before {name} do not go"
            self.sql(f"PURGE BINARY LOGS TO '{name}'")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut the server down cleanly."""
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        """End the server at once."""
        self.process.kill()
        self.process.wait(60)


@contextmanager
def mariadb_server(*arguments: str, data: Path | None = None) -> Iterator[MariaServer]:
    """Start a server and end it.

    Args:
        arguments: more options of the server.
        data: a data directory, which is used in place; None for a copy of a fresh one.
    """
    with tempfile.TemporaryDirectory(prefix="hfm-") as name:
        directory = Path(name)
        if data is None:
            shutil.copytree(_template(), directory / "data")
        else:
            (directory / "data").symlink_to(data)
        server = _start(directory, arguments)
        try:
            if data is None:
                _set_password(server)
            yield server
        finally:
            server.kill()


@functools.cache
def _template() -> Path:
    """Make the system tables, once in a process."""
    directory = Path(tempfile.mkdtemp(prefix="hfm-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    install = _find("mariadb-install-db")
    assert install is not None
    # Small, and faster without the system's help texts being synced one by one.
    options = directory / "options"
    options.write_text(
        f"[mysqld]\ninnodb-log-file-size={_REDO_SIZE}\ninnodb-flush-log-at-trx-commit=0\n"
    )
    words = [
        install,
        f"--defaults-file={options}",
        f"--datadir={directory / 'data'}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        *_user(),
    ]
    for _ in range(_ATTEMPTS):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode == 0:
            break
        shutil.rmtree(directory / "data", ignore_errors=True)
    else:
        raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
    return directory / "data"


def _user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _start(directory: Path, arguments: tuple[str, ...]) -> MariaServer:
    program = _find("mariadbd")
    assert program is not None
    port = free_port()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                program,
                "--no-defaults",
                f"--datadir={(directory / 'data').resolve()}",
                f"--socket={directory / 's'}",
                f"--pid-file={directory / 'pid'}",
                "--bind-address=127.0.0.1",
                f"--port={port}",
                "--innodb-buffer-pool-size=16M",
                f"--innodb-log-file-size={_REDO_SIZE}",
                "--innodb-flush-log-at-trx-commit=0",
                "--skip-name-resolve",
                *_user(),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = MariaServer(directory, process, port)
    end = time.monotonic() + _START_S
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > end:
            process.send_signal(signal.SIGKILL)
            raise AssertionError((directory / "log").read_text()[-2000:])
        time.sleep(0.02)
    return server


def _answers(server: MariaServer) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(server.socket)
            return bool(link.recv(1))
        except OSError:
            return False


def _set_password(server: MariaServer) -> None:
    statements = [
        f"SET PASSWORD FOR root@'{host}' = PASSWORD('{PASSWORD}')"
        for host in ("127.0.0.1", "localhost")
    ]
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root"]
    subprocess.run(
        [*words, "-e", ";".join(statements)], check=True, capture_output=True, timeout=60
    )
