"""Redis and Valkey: the dataset as the server sends it to a replica, one file `dump.rdb`.

`redis-cli --rdb -` asks for it, the server forks and sends: a consistent state of one moment, of
all databases, and nothing is written on either side. The password comes by REDISCLI_AUTH.

What was learnt of the tool (7.0): the server may not know the length before it begins, and then
ends with a mark of 40 characters. `redis-cli` cuts the mark off a file, and leaves it in a pipe;
it says on its standard error how long the dataset was. Its exit code is 0 where a login failed and
the command was another than `--rdb`; so answers are read, not codes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
    StreamSink,
)
from holdfast.sources.process import Tool, find_tool, run_tool
from holdfast.sources.unsupported import (
    refuse_method,
    refuse_recorded,
    refuse_unknown_settings,
)

TITLE: Final = "Redis"
FILE: Final = b"dump.rdb"
PACKAGE: Final = "redis-tools"
_SETTINGS: Final = {"tls", "cacert", "cert", "key", "sni"}
_MAGIC: Final = re.compile(rb"(?:REDIS(?=\d{4})|VALKEY(?=\d{3}))(\d{3,4})")
_PIECE: Final = 1 << 18
_MARK: Final = 40
"""Characters of the mark behind a dataset whose length the server did not know."""
_SUM: Final = 9
"""Bytes that end a dataset: 0xff and a checksum."""
_SENT: Final = re.compile(r"finished with success after (\d+) bytes")
_EXPECTED: Final = re.compile(r"^(sending REPLCONF|SYNC sent to|Transfer finished|Sending PSYNC)")
_REFUSALS: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "AUTH failed", "invalid password")


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return the server as a source; raises ConfigurationError if the options make no sense."""
    return RedisSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return the directory of a server to come."""
    from holdfast.sources.redis_restore import RedisTarget

    refuse_recorded(method, TITLE, Method.PHYSICAL)
    return RedisTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a server that is started in `directory`."""
    from holdfast.sources.redis_restore import RedisScratch

    refuse_recorded(method, TITLE, Method.PHYSICAL)
    return RedisScratch(options, directory)


def find_client(options: DatabaseOptions) -> str:
    """Return the path of redis-cli, or of valkey-cli if only that is there."""
    try:
        return find_tool("redis-cli", options.tools, options.environment, PACKAGE)
    except ToolNotFoundError as error:
        try:
            return find_tool("valkey-cli", options.tools, options.environment, PACKAGE)
        except ToolNotFoundError:
            raise error from None


class RedisSource:
    """A running server."""

    kind = "redis"
    method = Method.PHYSICAL

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_unknown_settings(options, TITLE, _SETTINGS)
        refuse_method(options, TITLE, self.method)
        if options.names:
            raise ConfigurationError(
                f"{TITLE} is always saved with all of its databases", "give no names"
            )
        self._options = options
        self._where = _describe(options)

    def _words(self) -> list[str]:
        options = self._options
        words = [find_client(options), "--no-auth-warning"]
        if options.host is not None and "/" in options.host:
            words += ["-s", options.host]
        elif options.host is not None:
            words += ["-h", options.host]
        if options.port is not None:
            words += ["-p", str(options.port)]
        if options.user is not None:
            words += ["--user", options.user]
        for name, value in options.settings.items():
            words += [f"--{name}"] if name == "tls" else [f"--{name}", value]
        return words

    def _ask(self, *command: str) -> str:
        try:
            answer = run_tool([*self._words(), *command], self._options.environment)
        except ToolFailedError as error:
            raise self._classified(error) from error
        if answer.startswith(_REFUSALS):
            raise LoginError(self._where, answer.split("\n")[0].strip())
        if answer.startswith(("LOADING", "MASTERDOWN")):
            raise ServerUnreachableError(self._where, answer.split("\n")[0].strip())
        return answer

    def _classified(self, error: ToolFailedError) -> DatabaseError:
        said = error.said
        if any(word in said for word in _REFUSALS):
            return LoginError(self._where, said)
        if "Could not connect" in said:
            return ServerUnreachableError(self._where, said.rpartition(": ")[2].lower())
        return error

    def check(self) -> str:
        """Ask the server who it is; see `DatabaseSource`."""
        facts = _facts(self._ask("INFO", "server"))
        version = facts.get("valkey_version") or facts.get("redis_version")
        if version is None:
            raise ServerUnreachableError(self._where, "what answers there is no Redis")
        return f"{'Valkey' if 'valkey_version' in facts else 'Redis'} {version}"

    def paths(self) -> tuple[bytes, ...]:
        """One part: the whole server."""
        return (b"",)

    def plan(self) -> Sequence[str]:
        """Show databases and how many keys they have."""
        facts = _facts(self._ask("INFO", "keyspace"))
        held = [f"{name}: {value}" for name, value in facts.items() if name.startswith("db")]
        return [f"dataset of {self._where}", *(f"  {line}" for line in held)]

    def backup(self, sink: StreamSink) -> None:
        """Store what the server sends; see `DatabaseSource`."""
        words = [*self._words(), "--rdb", "-"]
        with sink.stream("dataset"), Tool(words, self._options.environment) as tool:
            dataset = _Dataset(tool)
            try:
                sink.add(FILE, dataset.readinto, Profile.DUMP)
            except ToolFailedError as error:
                raise self._classified(error) from error
        sink.note("rdb_version", dataset.version)
        for line in dataset.messages:
            if not _EXPECTED.match(line):
                sink.finding(Finding("redis-cli", line))


class _Dataset:
    """The tool's output without the mark behind it; its end is checked before the last bytes."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._piece = memoryview(bytearray(_PIECE))
        self._held = bytearray()
        """What came last: it may be the mark, or the end of the dataset."""
        self._given = 0
        self._ended = False
        self.version = ""
        self.messages: list[str] = []

    def readinto(self, view: memoryview) -> int:
        """Fill a buffer; raises ToolFailedError if the tool, or what it wrote, did not end well."""
        hold = _MARK + _SUM
        while not self._ended and len(self._held) <= hold:
            self._read()
        if not self._given:
            self.version = self._version()
        count = min(len(view), len(self._held) - (0 if self._ended else hold))
        with memoryview(self._held) as held:
            view[:count] = held[:count]
        del self._held[:count]
        self._given += count
        return count

    def _read(self) -> None:
        length = self._tool.readinto(self._piece)
        self._held += self._piece[:length]
        if not length:
            self._end()

    def _version(self) -> str:
        """Return the version of the format, which is in the dataset's first bytes."""
        found = _MAGIC.match(self._held)
        if found is None:
            raise ToolFailedError(self._tool.name, "what the server sent is no dataset")
        return found[1].decode().lstrip("0")

    def _end(self) -> None:
        """Cut the mark off, and see that the rest ends as a dataset does."""
        self._ended = True
        self.messages = self._tool.finish()
        said = [found for line in self.messages if (found := _SENT.search(line))]
        if said:
            surplus = self._given + len(self._held) - int(said[-1][1])
        else:
            marked = self._held[-_SUM - _MARK : -_MARK]
            surplus = _MARK if marked[:1] == b"\xff" and self._held[-_MARK:].isalnum() else 0
        if surplus == _MARK:
            del self._held[-_MARK:]
        if surplus not in (0, _MARK) or self._held[-_SUM : -_SUM + 1] != b"\xff":
            raise ToolFailedError(self._tool.name, "the dataset does not end as it should")


def _describe(options: DatabaseOptions) -> str:
    if options.host is not None and "/" in options.host:
        return options.host
    return f"{options.host or '127.0.0.1'}:{options.port or 6379}"


def _facts(text: str) -> dict[str, str]:
    """Return the lines `name:value` of an answer to INFO."""
    pairs = (line.strip().partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
