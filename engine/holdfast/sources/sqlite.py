"""SQLite: database files, each in the state of one moment, while others write to them.

A file that is only copied while it changes is torn. What is stored comes in one of two ways, both
by SQLite's own locks and both page by page from a file that does not change meanwhile:

- *Directly*, where the database keeps a write-ahead log (WAL). Under the lock of a writer, which is held for
  an instant, the log is brought into the file, and a read transaction begins. As long as it lasts
  SQLite writes to the log only: it must not carry pages into the file that this reader should not
  see. So the file stays the state of that moment, and nobody waits.
- *By a copy* that the online backup API makes, in a file without a name that vanishes with this
  process. It is for databases with a rollback journal: there a reader holds up who wants to commit,
  and must not take as long as an upload. And for those that are readable only, or whose log is in
  use by a reader that began long ago.

No other handle of a database file may be closed while SQLite has it open in the same process: POSIX
drops all of the process's locks on it then. So the handle to read from is opened before
and closed after all of SQLite's.

Source: https://www.sqlite.org/wal.html (checkpoints and readers), https://www.sqlite.org/backup.html,
https://www.sqlite.org/lockingv3.html.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseError,
    DatabaseNotFoundError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    FileMeta,
    Method,
    RestoreTo,
    ScratchServer,
    StreamSink,
)
from holdfast.sources.unsupported import (
    refuse_method,
    refuse_recorded,
    refuse_server,
    refuse_unknown_settings,
)
from holdfast.units import format_size

TITLE: Final = "SQLite"
_SCRATCH: Final = "/var/tmp"  # noqa: S108 - where large files go; made by mkstemp and nameless
_SETTINGS: Final = {"scratch", "timeout"}
_STEP_BYTES: Final = 16 << 20
"""Of a copy that lets writers in between its steps."""
_RESTARTS: Final = 3
"""A copy begins again when somebody has written; after so many times it does not let writers in."""
_ATTEMPTS: Final = 20
_WAIT_S: Final = 0.25
_PAUSE_S: Final = 0.05
"""Somebody else may write, or be in the middle of a checkpoint: five seconds, then it is a copy."""
_NOT_A_DATABASE: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def open_source(options: DatabaseOptions) -> DatabaseSource:
    """Return files as a source; raises ConfigurationError if the options make no sense."""
    return SqliteSource(options)


def open_target(to: RestoreTo, method: Method) -> DatabaseTarget:
    """Return where files are restored to."""
    from holdfast.sources.sqlite_restore import SqliteTarget

    refuse_recorded(method, TITLE, Method.PHYSICAL)
    return SqliteTarget(to)


def open_scratch(options: DatabaseOptions, method: Method, directory: str) -> ScratchServer:
    """Return a directory of files to ask, since there is no server."""
    from holdfast.sources.sqlite_restore import SqliteScratch

    del options
    refuse_recorded(method, TITLE, Method.PHYSICAL)
    return SqliteScratch(directory)


def connect(path: str, *, write: bool, timeout_s: float) -> sqlite3.Connection:
    """Open a database that exists, without transactions that begin by themselves."""
    uri = f"file:{quote(os.fsencode(path))}?mode={'rw' if write else 'ro'}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)


def classified(error: sqlite3.Error, path: str, timeout_s: float) -> DatabaseError:
    """Return what an error of SQLite means for people."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _NOT_A_DATABASE and "not a database" in str(error):
        return DatabaseNotFoundError(path, "(the file is no SQLite database, or an encrypted one)")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _locked(path, timeout_s)
    if code == sqlite3.SQLITE_FULL:
        return ToolFailedError(
            TITLE, f"no room for a copy of {path}", "name another directory with --set scratch=DIR"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return ToolFailedError(
            TITLE,
            f"{path} cannot be read as it is: {error}",
            "who may not write to the file and its directory cannot use a database that was left "
            "in the middle of a change; open it once with the program that it belongs to",
        )
    return ToolFailedError(TITLE, f"{path}: {error}")


def _locked(path: str, timeout_s: float) -> ToolFailedError:
    return ToolFailedError(
        TITLE,
        f"{path} was locked for {timeout_s:g} seconds",
        "a program is in the middle of a change; --set timeout=SECONDS waits longer",
    )


@dataclass(frozen=True, slots=True)
class _Pages:
    """An open file that does not change, with the pages of one moment."""

    handle: int
    size: int


class SqliteSource:
    """Database files, by their paths."""

    kind = "sqlite"
    method = Method.PHYSICAL

    def __init__(self, options: DatabaseOptions) -> None:
        refuse_unknown_settings(options, TITLE, _SETTINGS)
        refuse_method(options, TITLE, self.method)
        refuse_server(options, TITLE)
        if not options.names:
            raise ConfigurationError(
                f"{TITLE} databases are files, and none was named", "name their paths"
            )
        self._files = sorted({os.path.abspath(name) for name in options.names})
        self._timeout_s = _seconds(options.settings.get("timeout", "30"))
        chosen = options.environment.get("TMPDIR", _SCRATCH)
        self._scratch = options.settings.get("scratch", chosen)

    def check(self) -> str:
        """Open each file and read its header; see `DatabaseSource`."""
        for path in self._files:
            self._describe(path)
        return f"SQLite {sqlite3.sqlite_version}"

    def paths(self) -> tuple[bytes, ...]:
        """One part for each file: its path without the first slash."""
        return tuple(stored_path(path) for path in self._files)

    def plan(self) -> Sequence[str]:
        """Show each file with its size and its way of writing."""
        return [self._describe(path) for path in self._files]

    def backup(self, sink: StreamSink) -> None:
        """Store each file; see `DatabaseSource`."""
        for path in self._files:
            with sink.stream(path), self._translated(path), self._frozen(path) as pages:
                self._store(path, pages, sink)

    def _store(self, path: str, pages: _Pages, sink: StreamSink) -> None:
        status = os.stat(path)
        mode = stat.S_IMODE(status.st_mode)
        meta = FileMeta(
            mode=mode, uid=status.st_uid, gid=status.st_gid, mtime_ns=status.st_mtime_ns
        )
        place = 0

        def readinto(view: memoryview) -> int:
            nonlocal place
            wanted = min(len(view), pages.size - place)
            count = os.preadv(pages.handle, [view[:wanted]], place) if wanted else 0
            if wanted and not count:
                raise ToolFailedError(TITLE, f"{path} became shorter while it was read")
            place += count
            return count

        sink.add(stored_path(path), readinto, Profile.PAGES, meta)
        sink.note(f"file:{quote(stored_path(path))}", f"{mode:04o} {status.st_uid}:{status.st_gid}")

    def _describe(self, path: str) -> str:
        with self._translated(path), closing(self._open(path, write=False)) as database:
            (journal,) = database.execute("PRAGMA journal_mode").fetchone()
            (page_size,) = database.execute("PRAGMA page_size").fetchone()
            (count,) = database.execute("PRAGMA page_count").fetchone()
            return (
                f"{path}: {format_size(count * page_size)} in pages of {page_size} bytes, "
                f"journal mode {journal}"
            )

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Turn SQLite's and the system's errors about a file into ours."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise DatabaseNotFoundError(path, "(it is no file)")
            yield
        except FileNotFoundError:
            raise DatabaseNotFoundError(path) from None
        except sqlite3.Error as error:
            raise classified(error, path, self._timeout_s) from error
        except OSError as error:
            raise ToolFailedError(TITLE, f"{path}: {error.strerror}") from error

    def _open(
        self, path: str, *, write: bool, timeout_s: float | None = None
    ) -> sqlite3.Connection:
        patience_s = self._timeout_s if timeout_s is None else timeout_s
        database = connect(path, write=write, timeout_s=patience_s)
        try:
            database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error:
            database.close()
            raise
        return database

    @contextmanager
    def _frozen(self, path: str) -> Iterator[_Pages]:
        """Give a file with the pages of one moment, for as long as the block lasts."""
        with ExitStack() as stack:
            pages = self._directly(path, stack)
            yield pages if pages is not None else self._copied(path, stack)

    def _directly(self, path: str, stack: ExitStack) -> _Pages | None:
        """Hold the file still where it is, or return None; see the module's own words."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, handle)
        try:
            writer, reader, helper = (
                stack.enter_context(closing(self._open(path, write=True, timeout_s=_WAIT_S)))
                for _ in range(3)
            )
        except sqlite3.OperationalError:
            return None
        if writer.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            return None
        for _ in range(_ATTEMPTS):
            if _begin_after_checkpoint(writer, helper, reader):
                break
            time.sleep(_PAUSE_S)
        else:
            return None
        (count,) = reader.execute("PRAGMA page_count").fetchone()
        (page_size,) = reader.execute("PRAGMA page_size").fetchone()
        status = os.fstat(handle)
        named = os.stat(path)
        if status.st_size != count * page_size or not os.path.samestat(status, named):
            return None
        stack.callback(_see_unchanged, path, handle, status)
        return _Pages(handle, status.st_size)

    def _copied(self, path: str, stack: ExitStack) -> _Pages:
        """Let SQLite copy the file to one without a name."""
        source = stack.enter_context(closing(self._open(path, write=False)))
        try:
            place, temporary = tempfile.mkstemp(prefix="holdfast-sqlite-", dir=self._scratch)
        except OSError as error:
            raise ConfigurationError(
                f"a copy of {path} cannot be made in {self._scratch} ({error.strerror})",
                "name another directory with --set scratch=DIRECTORY",
            ) from error
        stack.callback(os.close, place)
        try:
            copy = stack.enter_context(closing(connect(temporary, write=True, timeout_s=0)))
            # Nobody else ever sees it, and it is thrown away if this process dies.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
        finally:
            os.unlink(temporary)
        self._copy(source, copy, path)
        return _Pages(place, os.fstat(place).st_size)

    def _copy(self, source: sqlite3.Connection, copy: sqlite3.Connection, path: str) -> None:
        """Copy in steps between which others may write, or at last in one."""
        (page_size,) = source.execute("PRAGMA page_size").fetchone()
        left, restarts, locked_since = 1 << 62, 0, 0.0

        def look(code: int, remaining: int, _: int) -> None:
            nonlocal left, restarts, locked_since
            now = time.monotonic()
            if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                locked_since = now
            elif now - locked_since > self._timeout_s:
                raise _locked(path, self._timeout_s)
            restarts += remaining > left
            left = remaining
            if restarts > _RESTARTS:
                raise _RestlessError

        locked_since = time.monotonic()
        try:
            source.backup(copy, pages=_STEP_BYTES // page_size, progress=look)
        except _RestlessError:
            restarts = -(1 << 62)
            source.backup(copy, progress=look)


def _begin_after_checkpoint(
    writer: sqlite3.Connection, helper: sqlite3.Connection, reader: sqlite3.Connection
) -> bool:
    """Begin to read when all of the log is in the file and nobody can write; False if not now."""
    try:
        writer.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    try:
        # A checkpoint that waits for nobody is the only one that may run beside a writer, which is
        # ourselves. It has done all if as much is in the file as there is in the log.
        busy, logged, carried = helper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if busy or logged != carried:
            return False
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        return True
    finally:
        writer.execute("ROLLBACK")


class _RestlessError(Exception):
    """Others write all the time."""


def _see_unchanged(path: str, handle: int, before: os.stat_result) -> None:
    """Doubt what SQLite promises: raise if the file was written to although nobody may."""
    after = os.fstat(handle)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise ToolFailedError(
            TITLE, f"{path} changed while it was read", "a program does not keep SQLite's locks"
        )


def stored_path(path: str) -> bytes:
    """Return where in a snapshot the file of an absolute path is."""
    return os.fsencode(path).lstrip(b"/")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise ConfigurationError(
            f"{text!r} is no time to wait for a lock", "give seconds, at most 86400"
        )
    return value
