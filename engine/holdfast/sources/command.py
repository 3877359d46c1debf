"""Anything else: commands from a file, whose output is stored, one file for each stream.

    [[stream]]
    name = "directory"
    command = ["slapcat", "-n", "1"]
    restore = ["slapadd", "-q", "-n", "1"]     # reads what the command wrote
    verify = ["ldif-lint"]                     # reads it, too; optional
    profile = "dump"                           # files, dump, pages or image; dump if left out
    messages = "findings"                      # or "ignored": what it writes to standard error
    may_be_empty = false

A command is a list of words and runs without a shell. Commands for restoring come from the file that
is given at the restore, never from a snapshot: who can write to the repository must not be able to
decide what another machine runs.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.chunking import Profile
from holdfast.closing import Closing
from holdfast.database_errors import (
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.findings import Finding
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
    StoredFiles,
    StreamSink,
)
from holdfast.sources.process import Tool, find_tool
from holdfast.sources.replacing import make_directories, write_file
from holdfast.sources.unsupported import (
    refuse_method,
    refuse_recorded,
    refuse_recovery,
    refuse_server,
    refuse_unknown_settings,
)
from holdfast.units import format_size

TITLE: Final = "the kind command"
_SETTINGS: Final = {"file"}
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class StreamCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says of one stream."""

    name: str
    command: list[str]
    restore: list[str] = []
    verify: list[str] = []
    profile: Profile = Profile.DUMP
    messages: str = "findings"
    may_be_empty: bool = False


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return commands as a source; raises ConfigurationError if the file makes no sense."""
    return CommandSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return commands that read streams, or a directory for them."""
    refuse_recorded(method, TITLE, Method.LOGICAL)
    return CommandTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a directory of streams to ask, since nobody knows of a server."""
    refuse_recorded(method, TITLE, Method.LOGICAL)
    return CommandScratch(options, directory)


def read_commands(path: str) -> dict[str, StreamCommand]:
    """Read the file; return its streams by name, in its order.

    Raises:
        ConfigurationError: it cannot be read, or makes no sense.
    """
    try:
        with open(path, "rb") as file:
            document: Any = tomllib.load(file)
        listed = msgspec.convert(document, dict[str, list[StreamCommand]])
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} makes no sense ({error})", "docs/databases.md shows what it holds"
        ) from error
    streams = listed.get("stream", [])
    if set(listed) != {"stream"} or not streams:
        raise ConfigurationError(f"{path} must hold [[stream]] tables and nothing else")
    found: dict[str, StreamCommand] = {}
    for stream in streams:
        problem = _problem_of(stream, found)
        if problem:
            raise ConfigurationError(f"{path} makes no sense: {problem}")
        found[stream.name] = stream
    return found


def _problem_of(stream: StreamCommand, others: Mapping[str, StreamCommand]) -> str:
    if not _NAME.fullmatch(stream.name):
        return f"{stream.name!r} is no name of letters, digits, dots, dashes and underscores"
    if stream.name in others:
        return f"two streams are named {stream.name}"
    if not stream.command:
        return f"the stream {stream.name} has no command"
    if stream.messages not in ("findings", "ignored"):
        return f"messages of {stream.name} are neither findings nor ignored"
    return ""


def _chosen(options: DatabaseOptions) -> list[StreamCommand]:
    path = options.settings.get("file")
    if path is None:
        raise ConfigurationError(
            f"{TITLE} needs a file with the commands", "name it with --set file=PATH"
        )
    streams = read_commands(path)
    for name in options.names:
        if name not in streams:
            raise DatabaseNotFoundError(name, f"in {path}")
    return [
        stream for name, stream in streams.items() if not options.names or name in options.names
    ]


class CommandSource:
    """The commands of a file."""

    kind = "command"
    method = Method.LOGICAL

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_unknown_settings(options, TITLE, _SETTINGS)
        refuse_method(options, TITLE, self.method)
        refuse_server(options, TITLE)
        self._options = options
        self._streams = _chosen(options)

    def _words(self, words: Sequence[str]) -> list[str]:
        return find_words(words, self._options)

    def check(self) -> str:
        """See that each program is there; see `DatabaseSource`."""
        for stream in self._streams:
            self._words(stream.command)
        count = len(self._streams)
        return f"{count} command" if count == 1 else f"{count} commands"

    def paths(self) -> tuple[bytes, ...]:
        """One part for each stream that was named."""
        if not self._options.names:
            return (b"",)
        return tuple(stream.name.encode() for stream in self._streams)

    def plan(self) -> Sequence[str]:
        """Show each command."""
        return [
            f"{each.name}: {shlex.join(each.command)} ({each.profile})" for each in self._streams
        ]

    def backup(self, sink: StreamSink) -> None:
        """Run one command after another; see `DatabaseSource`."""
        for stream in self._streams:
            words = self._words(stream.command)
            with sink.stream(stream.name), Tool(words, self._options.environment) as tool:
                messages: list[str] = []

                def readinto(
                    view: memoryview, tool: Tool = tool, said: list[str] = messages
                ) -> int:
                    count = tool.readinto(view)
                    if not count:
                        said += tool.finish()
                    return count

                length = sink.add(stream.name.encode(), readinto, stream.profile)
            if stream.messages == "findings":
                for line in messages:
                    sink.finding(Finding(stream.name, line))
            if not length and not stream.may_be_empty:
                sink.finding(Finding(stream.name, "the command ended well and wrote nothing"))


class CommandTarget:
    """Commands that read streams; or a directory, if one is named."""

    def __init__(self, to: RestoreTo) -> None:
        refuse_unknown_settings(to.options, TITLE, _SETTINGS)
        refuse_server(to.options, TITLE)
        refuse_recovery(to, TITLE)
        if to.directory is None and to.renamed:
            raise ConfigurationError(
                "commands do not know other names of their streams",
                "rename where streams are restored as files, with --target",
            )
        self._to = to

    def _names(self, files: StoredFiles) -> list[str]:
        return chosen_streams(files, self._to.options.names)

    def _commands(self, files: StoredFiles) -> dict[str, list[str]]:
        options = self._to.options
        if "file" not in options.settings:
            raise ConfigurationError(
                f"{TITLE} needs a file with the commands that restore, or a directory",
                "name it with --set file=PATH or --target",
            )
        streams = read_commands(options.settings["file"])
        commands = {}
        for name in self._names(files):
            if name not in streams or not streams[name].restore:
                raise ConfigurationError(
                    f"{options.settings['file']} does not say how to restore {name}",
                    "add a command `restore` to it, name other streams, or give --target",
                )
            commands[name] = find_words(streams[name].restore, options)
        return commands

    def _places(self, files: StoredFiles) -> dict[str, str]:
        directory = self._to.directory
        assert directory is not None
        places = {}
        for name in self._names(files):
            new = self._to.renamed.get(name, name)
            if not _NAME.fullmatch(new):
                raise ConfigurationError(f"{new!r} is no name for a stream")
            places[name] = os.path.join(directory, new)
        if len(set(places.values())) < len(places):
            raise ConfigurationError("two streams would be restored to the same file")
        return places

    def check(self, files: StoredFiles) -> None:
        """See that commands are there, or that no file is in the way; see `DatabaseTarget`.

        What a command writes to is unknown here, so it must look for itself whether that is empty.
        """
        if self._to.directory is None:
            self._commands(files)
            return
        for place in self._places(files).values():
            if os.path.isdir(place):
                raise TargetError(place, "it is a directory")
            if os.path.lexists(place) and not self._to.overwrite:
                raise DatabaseNotEmptyError(place, "the file exists")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Show each command, or file."""
        if self._to.directory is None:
            return [f"{name} to {shlex.join(to)}" for name, to in self._commands(files).items()]
        return [
            f"{name} to {place}, {format_size(files.size(name.encode()))}"
            for name, place in self._places(files).items()
        ]

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Feed each command, or write each file; see `DatabaseTarget`."""
        self.check(files)
        if self._to.directory is not None:
            owner = make_directories(self._to.directory)
            for name, place in self._places(files).items():
                write_file(place, _counted(files, name, on_progress), mode=0o600, owner=owner)
            return []
        told: list[str] = []
        for name, words in self._commands(files).items():
            pieces = _counted(files, name, on_progress)
            told += [f"{name}: {line}" for line in _feed(words, self._to.options, pieces)]
        return told


class CommandScratch(Closing):
    """The streams as files in a directory; questions about them are commands that read them."""

    def __init__(self, options: DatabaseOptions, directory: str) -> None:
        self._options = options
        self._directory = directory
        self._names: list[str] = []

    def target(self) -> DatabaseTarget:
        """Return the directory as a target."""
        return CommandTarget(RestoreTo(options=DatabaseOptions(), directory=self._directory))

    def begin(self) -> None:
        """See which streams were restored."""
        self._names = sorted(name for name in os.listdir(self._directory) if _NAME.fullmatch(name))

    def databases(self) -> Sequence[str]:
        """Return the names of the streams."""
        return self._names

    def ask(self, database: str, statement: str) -> str:
        """Run a command that reads the stream; return the first line that it writes.

        One that writes nothing and ends well has said "ok".
        """
        if database not in self._names:
            raise DatabaseNotFoundError(database, "in the snapshot")
        try:
            words = shlex.split(statement)
        except ValueError as error:
            raise ToolFailedError(statement, f"it is no command ({error})") from None
        if not words:
            raise ToolFailedError(TITLE, "the statement is empty")
        output = self._run(find_words(words, self._options), database)
        return output.decode("utf-8", "backslashreplace").split("\n")[0].strip() or "ok"

    def _run(self, words: Sequence[str], name: str) -> bytes:
        """Give a stream to a program that may stop reading early, and return its output."""
        with open(os.path.join(self._directory, name), "rb") as stream:
            done = subprocess.run(
                words,
                env=dict(self._options.environment),
                stdin=stream,
                capture_output=True,
                check=False,
                cwd=self._directory,
            )
        if done.returncode:
            said = done.stderr.decode("utf-8", "backslashreplace").strip().split("\n")[-1]
            raise ToolFailedError(os.path.basename(words[0]), f"exit code {done.returncode}", said)
        return done.stdout

    def verify(self) -> Sequence[str]:
        """Run the commands `verify` of the file, if it was named; return what failed."""
        if "file" not in self._options.settings:
            return []
        faults = []
        for name, stream in read_commands(self._options.settings["file"]).items():
            if name in self._names and stream.verify:
                try:
                    self._run(find_words(stream.verify, self._options), name)
                except ToolFailedError as error:
                    faults.append(f"{name}: {error.subject} failed ({error.reason}) {error.said}")
        return faults

    def close(self) -> None:
        """Nothing runs that could be ended."""


def find_words(words: Sequence[str], options: DatabaseOptions) -> list[str]:
    """Return a command with the path of its program.

    Raises:
        ToolNotFoundError: it is not there.
    """
    path = None if "/" in words[0] else options.tools
    try:
        return [find_tool(words[0], path, options.environment, ""), *words[1:]]
    except ToolNotFoundError:
        if options.tools is None:
            raise
        return [find_tool(words[0], None, options.environment, ""), *words[1:]]


def chosen_streams(files: StoredFiles, names: Sequence[str]) -> list[str]:
    """Return the streams to restore; raises DatabaseNotFoundError for one that is not there."""
    stored = [os.fsdecode(name) for name in files.names(b"")]
    for name in names:
        if name not in stored:
            raise DatabaseNotFoundError(name, "in the snapshot")
    return list(names) or stored


def _counted(
    files: StoredFiles, name: str, on_progress: Callable[[str, int], None]
) -> Iterator[bytes]:
    for piece in files.read(os.fsencode(name)):
        yield piece
        on_progress(name, len(piece))


def _feed(words: Sequence[str], options: DatabaseOptions, pieces: Iterator[bytes]) -> list[str]:
    with Tool(words, options.environment, stdin=True, stdout=False) as tool:
        for piece in pieces:
            tool.write(piece)
        return tool.finish()
