"""A real Redis server for tests: on a socket in a short directory, ended with the test run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 30.0


def is_missing() -> str | None:
    """Say why no server can be started here, or None."""
    for program, package in (
        ("redis-server", "redis-server"), ("redis-cli", "redis-tools"), ("setpriv", "util-linux"),
    ):  # fmt: skip
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install {package})"
    return None


@dataclass(slots=True)
class RedisServer:
    """A running server; `environment` is for its tools and holds the password, if there is one."""

    directory: Path
    socket: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def run(self, *command: str, given: bytes = b"") -> str:
        """Run a command of redis-cli, and return what it prints; it must not be an error."""
        done = subprocess.run(
            ["redis-cli", "-s", self.socket, *command],
            env=self.environment,
            input=given,
            capture_output=True,
            check=True,
        )
        text = done.stdout.decode().rstrip("\n")
        assert not text.startswith(("ERR", "NOAUTH", "NOPERM", "(error)")), text
        return text


@contextmanager
def redis_server(
    settings: Mapping[str, str] | None = None, *, password: str = "", directory: Path | None = None
) -> Iterator[RedisServer]:
    """Start a server that keeps nothing by itself; it dies with the process that started it.

    Args:
        settings: lines of its configuration that differ.
        password: of its default user; empty for none.
        directory: with the data that it shall load; an empty one if None.
    """
    with tempfile.TemporaryDirectory(
        prefix="hf-redis-",
        dir="/tmp",
        ignore_cleanup_errors=True,  # a child may write still
    ) as home:
        own = Path(home)
        data = directory or own
        lines = {
            "port": "0", "unixsocket": f"{home}/s", "dir": str(data), "save": '""',
            "appendonly": "no", "logfile": f"{home}/log",
            # Else a server waits for five seconds whether more replicas want the same.
            "repl-diskless-sync-delay": "0",
            **({"requirepass": f'"{password}"'} if password else {}), **(settings or {}),
        }  # fmt: skip
        # In a file: everybody can read the arguments of a process.
        (own / "conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "redis-server", f"{home}/conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        if password:
            environment["REDISCLI_AUTH"] = password
        try:
            server = RedisServer(data, f"{home}/s", environment, process)
            _await(server, own / "log")
            yield server
        finally:
            process.kill()
            process.wait()


def _await(server: RedisServer, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        done = subprocess.run(
            ["redis-cli", "-s", server.socket, "PING"],
            env=server.environment,
            capture_output=True,
            check=False,
        )
        if done.stdout.strip() == b"PONG":
            return
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis-server does not start: {log.read_text()}")
        time.sleep(0.01)
