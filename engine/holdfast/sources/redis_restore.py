"""Restores Redis datasets: into the directory of a server to come, and into one started for a test.

A running server cannot be given a dataset: it reads `dump.rdb` when it starts. One whose
append-only file is switched on does not even look at it then, and begins empty if that file is
missing; so what is found of such a file stands in the way, and people are told.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from holdfast.closing import Closing
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources.base import DatabaseOptions, DatabaseTarget, RestoreTo, StoredFiles
from holdfast.sources.process import Tool, find_tool, run_tool, tied_to_this_process
from holdfast.sources.redis import FILE, TITLE, find_client
from holdfast.sources.replacing import free_name, make_directories, write_file
from holdfast.sources.unsupported import refuse_recovery
from holdfast.units import format_size

_LOGS: Final = ("appendonlydir", "appendonly.aof")
_SERVERS: Final = ("redis-server", "valkey-server")
_SOCKET: Final = "server.sock"
_LOG: Final = "server.log"
_DATABASES: Final = 10_000
"""A dataset cannot be loaded by a server that is configured for fewer than it has."""
_START_S: Final = 3600.0
"""A large dataset takes minutes to load."""
_PAUSE_S: Final = 0.02
_COUNTERS: Final = re.compile(r"^(?:\s*\d+\) ?)+")
"""What stands before the first element of a list in the client's output."""


class RedisTarget:
    """The directory that a server will be started with."""

    def __init__(self, to: RestoreTo) -> None:
        refuse_recovery(to, TITLE)
        if to.options.names or to.renamed:
            raise ConfigurationError(
                f"{TITLE} is always restored with all of its databases", "give no names"
            )
        if to.directory is None:
            raise ConfigurationError(
                f"{TITLE} is restored into the directory that its server will be started with",
                "name it with --target",
            )
        self._directory = to.directory
        self._file = os.path.join(to.directory, os.fsdecode(FILE))
        self._overwrite = to.overwrite

    def _found(self) -> list[str]:
        names = (os.fsdecode(FILE), *_LOGS)
        return [name for name in names if os.path.lexists(os.path.join(self._directory, name))]

    def check(self, files: StoredFiles) -> None:
        """See that the dataset is there and nothing is in its way; see `DatabaseTarget`."""
        if not files.has(FILE):
            raise DatabaseDamagedError(TITLE, "the snapshot holds no dump.rdb")
        if os.path.lexists(self._directory) and not os.path.isdir(self._directory):
            raise TargetError(self._directory, "it is not a directory")
        found = self._found()
        if found and not self._overwrite:
            raise DatabaseNotEmptyError(self._directory, f"it holds {', '.join(found)}")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Say what is written, and what is set aside."""
        lines = [f"write {self._file}, {format_size(files.size(FILE))}"]
        lines += [f"set {name} aside" for name in self._found() if name in _LOGS]
        return lines

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Write the dataset, durable under its name only when it is complete."""
        self.check(files)
        owner = make_directories(self._directory)
        aside: list[str] = []

        def set_aside(_: str) -> None:
            for name in self._found():
                if name in _LOGS:
                    old = os.path.join(self._directory, name)
                    aside.append(free_name(f"{old}.before-restore"))
                    os.rename(old, aside[-1])

        def counted() -> Iterator[bytes]:
            for piece in files.read(FILE):
                yield piece
                on_progress("dataset", len(piece))

        write_file(self._file, counted(), mode=0o640, owner=owner, before_rename=set_aside)
        start = (
            f"start the server with `dir {os.path.abspath(self._directory)}`, "
            "`dbfilename dump.rdb` and `appendonly no`; with `appendonly yes` it would begin empty"
        )
        switch = (
            "if you use the append-only file, switch it on in the running server with "
            "`CONFIG SET appendonly yes`, and only then in its configuration"
        )
        return [*(f"{os.path.basename(name)} is what was there" for name in aside), start, switch]


class RedisScratch(Closing):
    """A server of its own in a scratch directory.

    Its socket has a relative path, since it is the working directory of server and client: an
    absolute one may be at most 107 bytes long.
    """

    def __init__(self, options: DatabaseOptions, directory: str) -> None:
        self._options = options
        self._directory = directory
        self._server = self._find_server()
        self._client = find_client(options)
        self._running: Tool | None = None

    def _find_server(self) -> str:
        missing: ToolNotFoundError | None = None
        for name in _SERVERS:
            try:
                return find_tool(
                    name, self._options.tools, self._options.environment, "redis-server"
                )
            except ToolNotFoundError as error:
                missing = missing or error
        assert missing is not None
        raise missing

    def target(self) -> DatabaseTarget:
        """Return the scratch directory as a target."""
        return RedisTarget(RestoreTo(options=DatabaseOptions(), directory=self._directory))

    def begin(self) -> None:
        """Start the server and wait until it has loaded everything."""
        words = [self._server, "--port", "0", "--unixsocket", _SOCKET, "--dir", "."]
        words += ["--dbfilename", os.fsdecode(FILE), "--save", "", "--appendonly", "no"]
        words += ["--databases", str(_DATABASES), "--logfile", _LOG, "--daemonize", "no"]
        environment = _without_passwords(self._options)
        words = tied_to_this_process(words, environment)
        self._running = Tool(words, environment, stdout=False, cwd=self._directory)
        deadline = time.monotonic() + _START_S
        while self._raw("PING").strip() != "PONG":
            if not self._running.is_running or time.monotonic() > deadline:
                raise DatabaseDamagedError(TITLE, f"a server cannot load it: {self._last_log()}")
            time.sleep(_PAUSE_S)

    def _raw(self, *command: str, database: str = "0") -> str:
        """Return what the client prints of an answer, or "" if the server does not answer yet."""
        words = [self._client, "-s", _SOCKET, "-n", database, "--no-raw", *command]
        try:
            return run_tool(words, _without_passwords(self._options), cwd=self._directory)
        except ToolFailedError:
            return ""

    def _last_log(self) -> str:
        try:
            with open(os.path.join(self._directory, _LOG), errors="replace") as file:
                lines = [line.strip().partition(" # ")[2] for line in file if " # " in line]
        except OSError:
            lines = []
        said = [line for line in lines if not line.startswith("WARNING")]
        return "; ".join(said[-3:]) or "it said nothing"

    def databases(self) -> Sequence[str]:
        """Return the numbers of the databases that hold keys."""
        return [
            found[1]
            for line in _lines(self._raw("INFO", "keyspace"))
            if (found := re.match(r"db(\d+):", line))
        ]

    def ask(self, database: str, statement: str) -> str:
        """Run one command, in the words of redis-cli, on the database of a number."""
        # The client would go on with the first database if there were none of that number.
        if not re.fullmatch(r"(db)?\d{1,4}", database):
            raise ToolFailedError("redis-cli", f"{database!r} is not the number of a database")
        try:
            words = shlex.split(statement)
        except ValueError as error:
            raise ToolFailedError("redis-cli", f"{statement!r} is no command ({error})") from None
        answer = self._raw(*words, database=database.removeprefix("db"))
        first = _COUNTERS.sub("", answer.split("\n", 1)[0])
        if not answer:
            raise ToolFailedError("redis-cli", f"the server did not answer to {statement!r}")
        if first.startswith("(error) "):
            raise ToolFailedError("redis-cli", statement, first.removeprefix("(error) "))
        return _value(first)

    def verify(self) -> Sequence[str]:
        """Let redis-check-rdb read the file; nothing, if that program is not there."""
        for name in ("redis-check-rdb", "valkey-check-rdb"):
            try:
                tool = find_tool(name, self._options.tools, self._options.environment, TITLE)
            except ToolNotFoundError:
                continue
            try:
                run_tool([tool, os.fsdecode(FILE)], {}, cwd=self._directory)
            except ToolFailedError as error:
                return [f"{name} found the file damaged ({error.reason})"]
            break
        return []

    def close(self) -> None:
        """End the server."""
        if self._running is not None:
            self._running.close()
            self._running = None


def _without_passwords(options: DatabaseOptions) -> dict[str, str]:
    """Return the environment without a login, which the scratch server does not know."""
    passwords = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")
    return {name: value for name, value in options.environment.items() if name not in passwords}


def _lines(answer: str) -> list[str]:
    """Return the lines of a text that the client shows as one quoted string, or as it is."""
    return _value(answer.strip()).splitlines()


def _value(shown: str) -> str:
    """Return what the client shows as `(integer) 3`, `"text"` or `(nil)`."""
    shown = shown.strip()
    if shown.startswith("(integer) "):
        return shown.removeprefix("(integer) ")
    if shown == "(nil)" or shown.startswith("(empty"):
        return ""
    if len(shown) > 1 and shown[0] == shown[-1] == '"':
        # The client's escapes are those of a Python bytes literal, whose text is ASCII only.
        value = ast.literal_eval(f"b{shown}")
        assert isinstance(value, bytes)
        return value.decode("utf-8", "backslashreplace")
    return shown
