"""Restores MongoDB archives with mongorestore, and looks whether they are whole without a server."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from holdfast.closing import Closing
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources.base import DatabaseTarget, RestoreTo, StoredFiles
from holdfast.sources.mongodb import (
    PACKAGE,
    SUFFIX,
    TITLE,
    WHOLE,
    MongoTools,
    last_words,
)
from holdfast.sources.mongodb_archive import (
    ArchiveError,
    ArchiveReader,
    Namespace,
    Prelude,
    read_archive,
)
from holdfast.sources.process import Tool, find_tool
from holdfast.sources.unsupported import refuse_recovery
from holdfast.units import format_size

_OF_THE_SERVER: Final = {"admin", "config", "local", ""}
_COMPARED: Final = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COUNT: Final = re.compile(r"count\s+(\S+?)(?:\s*(<=|>=|!=|=|<|>)\s*(\d+))?")
_NOT_REPLAYED: Final = (
    "the oplog could not be replayed into a part of the databases or other names: their "
    "collections are of slightly different moments"
)
_FAILED: Final = re.compile(r"(\d+) document\(s\) failed to restore")
_ORDINARY: Final = re.compile(
    r"^(preparing|reading|restoring|finished|no indexes|index:|done|\d+ document|dropping|\[[#.]+\]|replaying"
    r"|applied|setting number|building|checking|oplog)"
)


class MongoTarget:
    """A running server."""

    def __init__(self, to: RestoreTo) -> None:
        refuse_recovery(to, TITLE)
        if to.directory is not None:
            raise ConfigurationError(
                f"{TITLE} is restored into a running server", "leave the directory out"
            )
        self._to = to
        self._tools = MongoTools(to.options)

    def _archives(self, files: StoredFiles) -> dict[str, Prelude]:
        """Return the stored archives that are needed, and what their beginnings say."""
        stored = {
            name.removesuffix(SUFFIX).decode(): name
            for name in files.names(b"")
            if name.endswith(SUFFIX)
        }
        if not stored:
            raise DatabaseDamagedError(TITLE, "the snapshot holds no archive")
        found = {label: _prelude(files, name) for label, name in stored.items()}
        wanted = set(self._to.options.names) | set(self._to.renamed)
        for name in sorted(wanted):
            if not any(name in prelude.databases() for prelude in found.values()):
                raise DatabaseNotFoundError(name, "in the snapshot")
        names = set(self._to.options.names)
        return {
            label: prelude
            for label, prelude in found.items()
            if not names or names & prelude.databases()
        }

    def _databases(self, prelude: Prelude) -> list[str]:
        """Return which databases of an archive are restored."""
        names = self._to.options.names
        return sorted(name for name in prelude.databases() if not names or name in names)

    def check(self, files: StoredFiles) -> None:
        """See that the server has none of the databases; see `DatabaseTarget`."""
        options = self._tools.options
        find_tool("mongorestore", options.tools, options.environment, PACKAGE)
        for prelude in self._archives(files).values():
            for name in self._databases(prelude):
                if name in _OF_THE_SERVER:
                    continue
                new = self._to.renamed.get(name, name)
                there = self._tools.peek(f"--db={new}")
                held = [each[1] for each in there.namespaces] if there else []
                if held and not self._to.overwrite:
                    raise DatabaseNotEmptyError(
                        f"the database {new}", f"it has {len(held)} collections"
                    )

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Show which databases are restored from which archive."""
        lines = []
        for label, prelude in self._archives(files).items():
            size = format_size(files.size(label.encode() + SUFFIX))
            lines.append(f"mongorestore of the archive {label}, {size}")
            for name in self._databases(prelude):
                new = self._to.renamed.get(name, name)
                lines.append(f"  {name}" + (f" as {new}" if new != name else ""))
        return lines

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Feed mongorestore; see `DatabaseTarget`."""
        self.check(files)
        told: list[str] = []
        for label, prelude in self._archives(files).items():
            arguments, left = self._arguments(files, label, prelude)
            told += left
            with self._tools.words("mongorestore") as words:
                told += self._feed([*words, *arguments], _counted(files, label, on_progress))
        return told

    def _arguments(
        self, files: StoredFiles, label: str, prelude: Prelude
    ) -> tuple[list[str], list[str]]:
        """Return what mongorestore is told, and what people are."""
        arguments = ["--archive", "--stopOnError"]
        if self._to.overwrite:
            arguments.append("--drop")
        chosen = self._databases(prelude)
        part = len(chosen) < len(prelude.databases())
        if part:
            arguments += [f"--nsInclude={name}.*" for name in chosen]
        renamed = {old: new for old, new in self._to.renamed.items() if old in chosen}
        for old, new in renamed.items():
            arguments += [f"--nsFrom={old}.*", f"--nsTo={new}.*"]
        if label != WHOLE or files.properties.get("oplog") != "yes":
            return arguments, []
        if part or renamed:
            return arguments, [_NOT_REPLAYED]
        return [*arguments, "--oplogReplay"], []

    def _feed(self, words: Sequence[str], pieces: Iterator[bytes]) -> list[str]:
        """Run mongorestore on an archive; return what it said beyond the ordinary."""
        try:
            with Tool(words, self._tools.environment, stdin=True, stdout=False) as tool:
                for piece in pieces:
                    tool.write(piece)
                said = tool.finish()
        except ToolFailedError as error:
            raise self._tools.classified(error) from error
        lines = [last_words(line) for line in said]
        # It ends with success although documents were refused.
        failed = [found for line in lines if (found := _FAILED.search(line)) and found[1] != "0"]
        if failed:
            raise ToolFailedError("mongorestore", f"{failed[0][1]} documents were refused")
        return [line for line in lines if not _ORDINARY.match(line)]


class MongoScratch(Closing):
    """Reads archives to their ends. There is no server: questions are `count COLLECTION > 5`."""

    def __init__(self) -> None:
        self._counted: Counter[Namespace] = Counter()
        self._faults: list[str] = []

    def target(self) -> DatabaseTarget:
        """Return what reads the archives."""
        return _ArchiveTarget(self._counted, self._faults)

    def begin(self) -> None:
        """Nothing needs to be started."""

    def databases(self) -> Sequence[str]:
        """Return the databases that were found."""
        return sorted({name for name, _ in self._counted if name})

    def ask(self, database: str, statement: str) -> str:
        """Return how many documents a collection has, or 1 or 0 if that is compared."""
        found = _COUNT.fullmatch(statement.strip())
        if found is None:
            raise ToolFailedError(
                TITLE,
                f"{statement!r} cannot be answered without a server",
                "ask `count COLLECTION`, or `count COLLECTION > 1000`",
            )
        if database not in self.databases():
            raise DatabaseNotFoundError(database, "in the snapshot")
        count = self._counted[database, found[1]]
        return str(int(_COMPARED[found[2]](count, int(found[3]))) if found[2] else count)

    def verify(self) -> Sequence[str]:
        """Return which archives are not whole."""
        return self._faults

    def close(self) -> None:
        """Nothing runs that could be ended."""


class _ArchiveTarget:
    """Takes archives apart without keeping anything."""

    def __init__(self, counted: Counter[Namespace], faults: list[str]) -> None:
        self._counted = counted
        self._faults = faults

    def check(self, files: StoredFiles) -> None:
        """See that there are archives."""
        if not any(name.endswith(SUFFIX) for name in files.names(b"")):
            raise DatabaseDamagedError(TITLE, "the snapshot holds no archive")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Name the archives."""
        return [name.decode() for name in files.names(b"") if name.endswith(SUFFIX)]

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Read each archive to its end."""
        self.check(files)
        for name in self.plan(files):
            label = name.removesuffix(SUFFIX.decode())
            try:
                self._counted.update(read_archive(_counted(files, label, on_progress))[1])
            except ArchiveError as error:
                self._faults.append(f"the archive {label} is not whole: {error}")
        return []


def _prelude(files: StoredFiles, path: bytes) -> Prelude:
    pieces = iter(files.read(path))
    try:
        return ArchiveReader(lambda: next(pieces, b"")).prelude()
    except ArchiveError as error:
        raise DatabaseDamagedError(path.decode(), str(error)) from error


def _counted(
    files: StoredFiles, label: str, on_progress: Callable[[str, int], None]
) -> Iterator[bytes]:
    for piece in files.read(label.encode() + SUFFIX):
        yield piece
        on_progress(label, len(piece))
