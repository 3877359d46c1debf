"""A kind of database for tests: a directory is the server, a file of lines each database.

It keeps every rule of `sources/base.py` and runs real processes. Settings make it misbehave:
`fail` (code of a tool in the middle), `signal` (the tool is killed), `warn` (a finding),
`down` (nobody answers). `install` makes it known as the kind "fake".
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ServerUnreachableError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.format.node import NodeType
from holdfast.sources import registry
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseTarget,
    FileMeta,
    Method,
    RestoreTo,
    StoredFiles,
    StreamSink,
)
from holdfast.sources.process import Tool, find_tool
from support.command_line import Runner

VERSION = "7.1"
SEGMENT = "000000010000000000000001"
"""The first one that a backup needs."""
_SETTINGS = {"fail", "signal", "warn", "down", "identity"}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this module the kind "fake" for one test."""
    monkeypatch.setitem(registry.KINDS, "fake", "a fake")
    monkeypatch.setitem(sys.modules, "holdfast.sources.fake", sys.modules[__name__])


def open_source(options: DatabaseOptions) -> FakeSource:
    """Return what can be saved."""
    for name in options.settings:
        if name not in _SETTINGS:
            raise ConfigurationError(f"fake databases have no setting {name!r}", "leave it out")
    return FakeSource(options)


def open_target(to: RestoreTo, method: Method) -> FakeTarget:
    """Return where to restore to: the directory if one is named, else the server's."""
    return FakeTarget(to, method)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> FakeScratch:
    """Return a server to be started in a directory."""
    return FakeScratch(options, method, directory)


def _server(options: DatabaseOptions) -> Path:
    directory = Path(options.host or "/absent")
    if options.settings.get("down") or not directory.is_dir():
        raise ServerUnreachableError(str(directory), "no such directory")
    return directory


class FakeSource:
    """Saves each database as one file, and the server's name as globals."""

    kind = "fake"

    def __init__(self, options: DatabaseOptions) -> None:
        self.method = options.method or Method.LOGICAL
        self._options = options

    def check(self) -> str:
        for name in self._options.names:
            if not (_server(self._options) / name).exists():
                raise DatabaseNotFoundError(name, "on the server")
        _server(self._options)
        return VERSION

    def paths(self) -> tuple[bytes, ...]:
        return tuple(name.encode() for name in self._options.names) or (b"",)

    def plan(self) -> Sequence[str]:
        return [f"database {name}" for name in self._names()]

    def backup(self, sink: StreamSink) -> None:
        settings, environment = self._options.settings, self._options.environment
        sink.note("log_start", SEGMENT)
        if "identity" in settings:
            sink.note("log_kind", "wal")
            sink.note("log_identity", settings["identity"])
        if "warn" in settings:
            sink.finding(Finding("shop", settings["warn"]))
        find_tool("sh", self._options.tools, environment, "the package of sh")
        for name in self._names():
            script = 'cat "$1"'
            if "fail" in settings:
                script += f"; echo 'table \"orders\" was dropped' >&2; exit {settings['fail']}"
            if "signal" in settings:
                script += f"; kill -{settings['signal']} $$"
            path = str(_server(self._options) / name)
            with (
                sink.stream(f"{name} data"),
                Tool(["sh", "-c", script, "sh", path], environment) as tool,
            ):
                sink.add(f"{name}/data.txt".encode(), tool.readinto, Profile.DUMP)
                tool.finish()
        with sink.stream("globals"):
            sink.add_entry(b"globals", FileMeta(kind=NodeType.DIRECTORY, mode=0o711))

    def _names(self) -> list[str]:
        return list(self._options.names) or sorted(
            path.name for path in _server(self._options).iterdir()
        )


class FakeTarget:
    """Restores into a server's directory, or one that is made."""

    def __init__(self, to: RestoreTo, method: Method) -> None:
        self.to = to
        self.method = method

    def check(self, files: StoredFiles) -> None:
        for name, path in self._places(files):
            if path.exists() and not self.to.overwrite:
                raise DatabaseNotEmptyError(name, f"it has {path.stat().st_size} bytes")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        lines = [f"make {path}" for _, path in self._places(files)]
        to = self.to
        if to.log_command:
            lines.append(f"fetch by {' '.join(to.log_command)} until {to.target_time_ns}")
        return [*lines, *(f"{name} is {value}" for name, value in to.target.items())]

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        self._directory().mkdir(exist_ok=True)
        for name, path in self._places(files):
            with path.open("wb") as file:
                for piece in files.read(f"{name}/data.txt".encode()):
                    if b"unloadable" in piece:
                        raise ToolFailedError("load", "exit code 3", "unloadable line")
                    file.write(piece)
                    on_progress(name, len(piece))
        return [f"start the server in {self._directory()}"]

    def _directory(self) -> Path:
        if self.to.directory is not None:
            return Path(self.to.directory)
        return _server(self.to.options)

    def _places(self, files: StoredFiles) -> list[tuple[str, Path]]:
        stored = [name.decode() for name in files.names(b"") if name != b"globals"]
        for name in self.to.options.names:
            if name not in stored:
                raise DatabaseNotFoundError(name, "in the snapshot")
        names = self.to.options.names or stored
        return [(name, self._directory() / self.to.renamed.get(name, name)) for name in names]


class FakeScratch:
    """A server that answers two questions: `lines`, and `has WORD`."""

    def __init__(self, options: DatabaseOptions, method: Method, directory: str) -> None:
        self._directory = Path(directory)
        self._options = options
        self._method = method
        self.begun = False

    def __enter__(self) -> Self:
        assert not list(self._directory.iterdir())
        (self._directory / "running").mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._directory / "running")

    def target(self) -> DatabaseTarget:
        options = DatabaseOptions(host=str(self._directory / "running"))
        return open_target(RestoreTo(options=options), self._method)

    def begin(self) -> None:
        self.begun = True

    def databases(self) -> Sequence[str]:
        return sorted(path.name for path in (self._directory / "running").iterdir())

    def ask(self, database: str, statement: str) -> str:
        assert self.begun
        path = self._directory / "running" / database
        if not path.exists():
            raise DatabaseNotFoundError(database, "in the scratch server")
        lines = path.read_text().splitlines()
        word, _, rest = statement.partition(" ")
        if word == "lines":
            return str(len(lines))
        if word == "has":
            return "t" if rest in lines else "f"
        raise ToolFailedError("ask", "exit code 1", f"syntax error at {word!r}")

    def verify(self) -> Sequence[str]:
        assert self.begun
        return [
            f"{name}: a line is corrupt"
            for name in self.databases()
            if "corrupt" in (self._directory / "running" / name).read_text()
        ]


def write_server(directory: Path, **databases: Any) -> Path:
    """Make a server with databases of lines; lines are numbers if only their count is given."""
    directory.mkdir(exist_ok=True)
    for name, lines in databases.items():
        if isinstance(lines, int):
            lines = [f"row {number} of {name}" for number in range(lines)]
        (directory / name).write_text("".join(f"{line}\n" for line in lines))
    return directory


def save(hold: Runner, server: Path, *more: str | Path, code: int = 0) -> dict[str, Any]:
    """Back up all databases of a fake server and return the summary."""
    outcome = hold("backup-db", "fake", "--db-host", server, "--json", *more, code=code)
    return outcome.events[-1]


def snapshots(hold: Runner) -> list[dict[str, Any]]:
    found = hold("snapshots", "--json").document
    assert isinstance(found, list)
    return found
