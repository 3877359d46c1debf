"""Restores SQLite files, to their places or elsewhere, and asks restored ones.

A file takes its place in one step, when it is complete and durable. One that is replaced is locked
by SQLite's own means until then, and its log is brought into it first: the log of the old file
beside a new one would be played into that, which destroys it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from holdfast.closing import Closing
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources.base import DatabaseTarget, RestoreTo, StoredFiles
from holdfast.sources.replacing import Owner, make_directories, write_file
from holdfast.sources.sqlite import TITLE, classified, connect, stored_path
from holdfast.sources.unsupported import refuse_recovery
from holdfast.units import format_size

_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_LOCK_S: Final = 5.0


class SqliteTarget:
    """Files on this machine."""

    def __init__(self, to: RestoreTo) -> None:
        refuse_recovery(to, TITLE)
        self._to = to

    def _places(self, files: StoredFiles) -> dict[str, str]:
        """Return the databases to restore, and the path that each gets."""
        to = self._to
        known = stored_databases(files)
        wanted = [find_database(name, known) for name in to.options.names] or sorted(known)
        renamed = {find_database(old, known): new for old, new in to.renamed.items()}
        into = to.directory is not None and (
            len(wanted) > 1 or to.directory.endswith("/") or os.path.isdir(to.directory)
        )
        places: dict[str, str] = {}
        for name in wanted:
            place = renamed.get(name, os.path.basename(name) if to.directory else name)
            if to.directory is not None:
                alone = not into and name not in renamed
                place = to.directory if alone else os.path.join(to.directory, place)
            places[name] = os.path.realpath(place)
        if len(set(places.values())) < len(places):
            raise ConfigurationError(
                "two of the databases would be restored to the same path",
                "restore them one by one, or give one another name with --rename",
            )
        return places

    def check(self, files: StoredFiles) -> None:
        """See that nothing is in the way; see `DatabaseTarget`."""
        for place in self._places(files).values():
            if os.path.isdir(place):
                raise TargetError(place, "it is a directory")
            for path in (place, *(place + suffix for suffix in _SIDE_FILES)):
                if os.path.lexists(path) and not self._to.overwrite:
                    raise DatabaseNotEmptyError(place, f"there is {os.path.basename(path)}")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Say which file goes where."""
        return [
            f"restore {name} to {place}, {format_size(files.size(stored_path(name)))}"
            + (" in place of what is there" if os.path.lexists(place) else "")
            for name, place in self._places(files).items()
        ]

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Write each file and give it its place; see `DatabaseTarget`."""
        self.check(files)
        for name, place in self._places(files).items():
            make_directories(os.path.dirname(place))
            mode, owner = _attributes(files.properties, name)
            with ExitStack() as stack:
                write_file(
                    place,
                    _counted(files, name, on_progress),
                    mode=mode,
                    owner=owner if os.geteuid() == 0 else None,
                    before_rename=partial(_make_way, place, stack),
                )
        return []


class SqliteScratch(Closing):
    """A directory with the restored files; SQLite needs no server."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files: dict[str, str] = {}

    def target(self) -> DatabaseTarget:
        """Return the directory as a target."""
        return _ScratchTarget(self._directory, self._files)

    def begin(self) -> None:
        """Nothing needs to be started."""

    def databases(self) -> Sequence[str]:
        """Return the paths that the files once had."""
        return sorted(self._files)

    def ask(self, database: str, statement: str) -> str:
        """Run a statement on the file that had this path, or this name alone."""
        path = self._files[find_database(database, self._files)]
        try:
            with closing(connect(path, write=False, timeout_s=_LOCK_S)) as opened:
                row = opened.execute(statement).fetchone()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise ToolFailedError(TITLE, statement, str(error)) from error
        value = "" if row is None or row[0] is None else row[0]
        return value.hex() if isinstance(value, bytes) else str(value)

    def verify(self) -> Sequence[str]:
        """Let SQLite check the structure of each file, and each index against its table."""
        return [f"{name}: {line}" for name in self.databases() for line in self._faults(name)]

    def _faults(self, name: str) -> list[str]:
        with closing(connect(self._files[name], write=False, timeout_s=_LOCK_S)) as opened:
            try:
                rows = opened.execute("PRAGMA integrity_check").fetchall()
            except sqlite3.Error as error:
                if "no such collation" not in str(error):
                    return [str(error)]
                # Only its program knows the order of such an index: all but that is checked.
                rows = opened.execute("PRAGMA quick_check").fetchall()
        return [] if rows == [("ok",)] else [str(row[0]) for row in rows]

    def close(self) -> None:
        """Nothing runs that could be ended."""


class _ScratchTarget:
    """Restores all files under numbers and remembers which is which."""

    def __init__(self, directory: str, files: dict[str, str]) -> None:
        self._directory = directory
        self._files = files

    def check(self, files: StoredFiles) -> None:
        """See that there is something to restore."""
        stored_databases(files)

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Name the files."""
        return sorted(stored_databases(files))

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Write the files."""
        for number, name in enumerate(sorted(stored_databases(files))):
            path = os.path.join(self._directory, f"{number}.db")
            write_file(path, _counted(files, name, on_progress), mode=0o600)
            self._files[name] = path
        return []


def stored_databases(files: StoredFiles) -> set[str]:
    """Return the absolute paths that the files of a snapshot had.

    Raises:
        DatabaseDamagedError: there are none, or one is missing.
    """
    found = {
        os.fsdecode(b"/" + unquote_to_bytes(name.removeprefix("file:")))
        for name in files.properties
        if name.startswith("file:")
    }
    if not found:
        raise DatabaseDamagedError(TITLE, "the snapshot names no file")
    for name in found:
        if not files.has(stored_path(name)):
            raise DatabaseDamagedError(name, "it is not in the snapshot")
    return found


def find_database(name: str, known: Mapping[str, str] | set[str]) -> str:
    """Return the path that is meant by itself or by its last part.

    Raises:
        DatabaseNotFoundError: there is none, or more than one.
    """
    if name in known or (name := os.path.normpath(name)) in known:
        return name
    fitting = [path for path in known if os.path.basename(path) == name]
    if len(fitting) != 1:
        many = "as the only file of that name " if fitting else ""
        raise DatabaseNotFoundError(name, f"{many}in the snapshot")
    return fitting[0]


def _attributes(properties: Mapping[str, str], name: str) -> tuple[int, Owner]:
    text = properties[f"file:{quote(stored_path(name))}"]
    try:
        mode, _, owner = text.partition(" ")
        user, _, group = owner.partition(":")
        return int(mode, 8) & 0o777, (int(user), int(group))
    except ValueError as error:
        raise DatabaseDamagedError(name, f"{text!r} are no permissions") from error


def _counted(
    files: StoredFiles, name: str, on_progress: Callable[[str, int], None]
) -> Iterator[bytes]:
    for piece in files.read(stored_path(name)):
        yield piece
        on_progress(name, len(piece))


def _make_way(path: str, held: ExitStack, _: str) -> None:
    """Lock a database that is replaced until `held` ends, and take away what lies beside it."""
    if os.path.lexists(path):
        try:
            old = held.enter_context(closing(connect(path, write=True, timeout_s=_LOCK_S)))
            # Only who is alone can leave the write-ahead log, which ends up in the file.
            old.execute("PRAGMA journal_mode = DELETE").fetchone()
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise TargetError(path, "a program is using it; stop that first") from error
            if code not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise TargetError(path, str(classified(error, path, _LOCK_S))) from error
    for suffix in _SIDE_FILES:
        if os.path.lexists(path + suffix):
            os.unlink(path + suffix)
