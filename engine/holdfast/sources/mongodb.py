"""MongoDB: what mongodump writes, an archive of the server, or of each database that was named.

Without compression, and with one collection after another: then two dumps of the same data are the
same bytes, and what has not changed is stored once. A member of a replica set is dumped with its
log of operations (`--oplog`), so that all collections are restored to one moment. Whether it is one,
mongodump finds out itself: it fails before it has written anything if there is no such log.

A password or URI reaches the tools as a configuration file in memory, never as an argument.

Source: https://www.mongodb.com/docs/database-tools/mongodump/ and the tools' public code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseError,
    DatabaseNotFoundError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
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
from holdfast.sources.mongodb_archive import TERMINATOR, ArchiveError, ArchiveReader, Prelude
from holdfast.sources.process import Tool, find_tool, run_tool
from holdfast.sources.unsupported import (
    refuse_method,
    refuse_recorded,
    refuse_unknown_settings,
)

TITLE: Final = "MongoDB"
PACKAGE: Final = "mongodb-database-tools"
WHOLE: Final = "all"
SUFFIX: Final = b".archive"
SETTINGS: Final = {"config", "oplog", "parallel", "auth-database"}
URI: Final = "MONGODB_URI"
PASSWORD: Final = "MONGODB_PASSWORD"  # noqa: S105 - the name of a variable
_NAME: Final = re.compile(r"[^/\\. \"$\0]{1,63}")
_STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.+-]+\s+")
_EXPECTED: Final = re.compile(
    r"^(writing |done dumping |dumped \d|dumping users|skipping users|excluding MongoDB|\[[#.]+\])"
)
_NO_OPLOG: Final = ("getting recent oplog entry: mongo: no documents", "dumping from a mongos")
_NO_LOGIN: Final = ("auth error", "AuthenticationFailed", "nauthorized", "not authorized",
                    "requires authentication", "AuthenticationMechanism")  # fmt: skip
_NO_SERVER: Final = ("server selection", "could not connect", "connection refused",
                     "no such host", "no reachable servers", "i/o timeout")  # fmt: skip
_MOST_PRELUDE: Final = 256 << 20


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return the server as a source; raises ConfigurationError if the options make no sense."""
    return MongoSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return a running server."""
    from holdfast.sources.mongodb_restore import MongoTarget

    refuse_recorded(method, TITLE, Method.LOGICAL)
    return MongoTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a reader of archives: no server is started."""
    from holdfast.sources.mongodb_restore import MongoScratch

    del options, directory
    refuse_recorded(method, TITLE, Method.LOGICAL)
    return MongoScratch()


class MongoTools:
    """How the tools are called: where the server is, and who asks."""

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_unknown_settings(options, TITLE, SETTINGS)
        self.options = options
        self._uri = options.environment.get(URI, "")
        self._password = options.environment.get(PASSWORD, "")
        config = options.settings.get("config")
        if config is not None and (self._uri or self._password):
            raise ConfigurationError(
                f"both a file of MongoDB's tools and {URI} or {PASSWORD} are given", "leave one out"
            )
        if self._uri and (options.host is not None or options.port is not None):
            raise ConfigurationError(f"both {URI} and a host or port are given", "leave one out")
        for name in options.names:
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a database in {TITLE}")
        self.where = "the server of the URI" if self._uri else _describe(options)

    @contextmanager
    def words(self, tool: str) -> Iterator[list[str]]:
        """Give the beginning of a command, as long as the block lasts."""
        options = self.options
        words = [find_tool(tool, options.tools, options.environment, PACKAGE)]
        for name, value in (
            ("host", options.host), ("port", options.port), ("username", options.user),
            ("authenticationDatabase", options.settings.get("auth-database")),
            ("config", options.settings.get("config")),
        ):  # fmt: skip
            if value is not None:
                words.append(f"--{name}={value}")
        secrets = {"uri": self._uri, "password": self._password}
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in secrets.items() if value]
        if not lines:
            yield words
            return
        handle = os.memfd_create("holdfast-mongodb")
        try:
            os.write(handle, "".join(lines).encode())
            yield [*words, f"--config=/proc/{os.getpid()}/fd/{handle}"]
        finally:
            os.close(handle)

    @property
    def environment(self) -> dict[str, str]:
        """What the tools see: they have no use for our two variables."""
        given = self.options.environment.items()
        return {name: value for name, value in given if name not in (URI, PASSWORD)}

    def classified(self, error: ToolFailedError) -> DatabaseError:
        """Return what a failure of a tool means."""
        said = error.said
        if any(word in said for word in _NO_LOGIN):
            return LoginError(self.where, last_words(said))
        if any(word in said for word in _NO_SERVER):
            return ServerUnreachableError(self.where, last_words(said))
        return error

    def peek(self, *arguments: str) -> Prelude | None:
        """Return what a dump would begin with, None if nothing; the dump itself is not awaited."""
        with (
            self.words("mongodump") as words,
            Tool([*words, "--archive", *arguments], self.environment) as tool,
        ):
            return ArchiveStream(self, tool).prelude


class ArchiveStream:
    """The output of mongodump: its beginning is read at once, its end is checked.

    Raises:
        DatabaseError: the tool failed, or ended well in the middle of an archive.
    """

    def __init__(self, tools: MongoTools, tool: Tool) -> None:
        self._tools = tools
        self._tool = tool
        self._ahead = bytearray()
        """What was read and not handed over."""
        self._ended = False
        self._last = b""
        self.messages: list[str] = []
        self.prelude = self._begin()

    def _begin(self) -> Prelude | None:
        try:
            return ArchiveReader(self._first).prelude()
        except ArchiveError as error:
            if self._ended:
                self._finish()
            if not self._ahead:
                return None
            raise ToolFailedError("mongodump", f"what it wrote is no archive: {error}") from error

    def _first(self) -> bytes:
        piece = bytearray(1 << 16)
        count = self._tool.readinto(memoryview(piece))
        if len(self._ahead) > _MOST_PRELUDE:
            raise ToolFailedError("mongodump", "the list of collections has no end")
        self._ahead += piece[:count]
        self._ended = not count
        return bytes(piece[:count])

    def readinto(self, view: memoryview) -> int:
        """Fill a buffer."""
        if self._ahead:
            count = min(len(view), len(self._ahead))
            view[:count] = self._ahead[:count]
            del self._ahead[:count]
        else:
            count = self._tool.readinto(view)
        if count:
            self._last = (self._last + bytes(view[max(0, count - 4) : count]))[-4:]
            return count
        self._finish()
        if self._last != TERMINATOR:
            raise ToolFailedError("mongodump", "it ended in the middle of an archive")
        return 0

    def _finish(self) -> None:
        try:
            self.messages = self._tool.finish()
        except ToolFailedError as error:
            raise self._tools.classified(error) from error


class MongoSource:
    """A running server, or one member of a replica set."""

    kind = "mongodb"
    method = Method.LOGICAL

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_method(options, TITLE, self.method)
        self._tools = MongoTools(options)
        self._names = options.names
        self._oplog = options.settings.get("oplog", "no" if options.names else "auto")
        if self._oplog not in ("auto", "yes", "no"):
            raise ConfigurationError(f"{self._oplog!r} does not say whether to save the oplog",
                                     "give yes, no or auto")  # fmt: skip
        if self._names and self._oplog != "no":
            raise ConfigurationError(
                "the oplog belongs to the whole server", "leave the names of databases out"
            )
        self._parallel = options.settings.get("parallel", "1")
        if not re.fullmatch("[1-9][0-9]?", self._parallel):
            raise ConfigurationError(f"{self._parallel!r} is no number of collections at once")

    def check(self) -> str:
        """Ask the server for something small; see `DatabaseSource`."""
        options = self._tools.options
        tool = find_tool("mongodump", options.tools, options.environment, PACKAGE)
        run_tool([tool, "--version"], self._tools.environment)
        if self._names:
            # Of a collection that no database has nothing is written, after the login.
            found = self._tools.peek(f"--db={self._names[0]}", "--collection=holdfast.none")
        else:
            found = self._tools.peek("--db=admin", "--collection=system.version")
        return f"MongoDB {found.server_version}" if found else "MongoDB"

    def paths(self) -> tuple[bytes, ...]:
        """One part for each database that was named, or the whole server."""
        return tuple(name.encode() + SUFFIX for name in self._names) or (b"",)

    def plan(self) -> Sequence[str]:
        """Show what would be dumped."""
        if self._names:
            return [f"mongodump of the database {name}" for name in self._names]
        oplog = {"auto": "with its oplog if it has one", "yes": "with its oplog"}
        return [f"mongodump of {self._tools.where}, {oplog.get(self._oplog, 'without its oplog')}"]

    def backup(self, sink: StreamSink) -> None:
        """Store each archive; see `DatabaseSource`."""
        for name in self._names:
            self._dump(sink, name, f"--db={name}")
        if self._names:
            sink.note("oplog", "no")
            return
        oplog = self._oplog
        if oplog != "no" and not self._dump(sink, WHOLE, "--oplog", optional=oplog == "auto"):
            oplog = "no"
        if oplog == "no":
            self._dump(sink, WHOLE)
        sink.note("oplog", "no" if oplog == "no" else "yes")

    def _dump(self, sink: StreamSink, name: str, *arguments: str, optional: bool = False) -> bool:
        """Run mongodump once; False if there is no oplog and that is no error."""
        arguments = ("--archive", f"--numParallelCollections={self._parallel}", *arguments)
        with (
            self._tools.words("mongodump") as words,
            Tool([*words, *arguments], self._tools.environment) as tool,
        ):
            try:
                stream = ArchiveStream(self._tools, tool)
            except ToolFailedError as error:
                if optional and any(word in error.said for word in _NO_OPLOG):
                    return False
                raise
            if stream.prelude is None or (name in self._names and not stream.prelude.namespaces):
                raise DatabaseNotFoundError(name, f"at {self._tools.where}")
            with sink.stream(name):
                sink.add(name.encode() + SUFFIX, stream.readinto, Profile.DUMP)
        for line in stream.messages:
            text = _STAMP.sub("", line)
            if not _EXPECTED.match(text):
                sink.finding(Finding(name, text))
        return True


def last_words(said: str) -> str:
    """Return what a tool gave as the cause of its failure."""
    return _STAMP.sub("", said.rpartition("; ")[2]).removeprefix("Failed: ")


def _describe(options: DatabaseOptions) -> str:
    if "config" in options.settings and options.host is None:
        return f"the server of {options.settings['config']}"
    return f"{options.host or 'localhost'}:{options.port or 27017}"
