"""Dumps back into a server: into the databases they came from, or under other names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources.base import RestoreTo, StoredFiles
from holdfast.sources.mariadb.connection import (
    SYSTEM_DATABASES,
    Connection,
    in_list,
    quote_name,
)
from holdfast.sources.mariadb.dump_parts import (
    BEGIN,
    GLOBALS,
    TABLES,
    VIEWS,
    database_of,
    directory_of,
)
from holdfast.sources.process import Tool
from holdfast.units import format_size

OnProgress = Callable[[str, int], None]

CLIENT: Final = (
    "--binary-mode",
    "--batch",
    "--skip-reconnect",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1073741824",
)
"""Binary mode knows no commands of the client itself: a dump cannot run programs."""
_LONGEST_HEAD: Final = 1 << 16
_CREATE: Final = re.compile(
    rb"\nCREATE DATABASE (?:/\*!32312 IF NOT EXISTS\*/ )?`(?:[^`]|``)*`(?P<rest>[^\n]*;)\n"
)
_USE: Final = re.compile(rb"\nUSE `(?:[^`]|``)*`;\n")
_NAME: Final = r"(`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*')"
_ACCOUNT: Final = re.compile(
    r"^(?:CREATE (?:USER|ROLE)(?: IF NOT EXISTS)? |GRANT .* TO |/\*.*?(?:FOR|ALTER USER) )"
    rf"{_NAME}(?:@{_NAME})?"
)


class LogicalTarget:
    """A server that dumps are restored to; see `DatabaseTarget`."""

    def __init__(self, to: RestoreTo) -> None:
        if to.target_time_ns is not None or to.target:
            raise ConfigurationError(
                "a moment can be restored from physical backups only",
                "choose a snapshot that was made with --method physical",
            )
        if to.directory is not None:
            raise ConfigurationError(
                "a dump is restored into a server, not into a directory",
                "name the server, or choose a snapshot that was made with --method physical",
            )
        self._to = to
        self._connection = Connection(to.options)

    def check(self, files: StoredFiles) -> None:
        """Look whether server and tool are there and nothing is in the way."""
        self._connection.tool("client")
        names = self._names(files)
        there = set(self._connection.databases())
        for name in names:
            new = self._new_name(name)
            if new.lower() in SYSTEM_DATABASES:
                raise ConfigurationError(
                    f"{new} is the server's own database", "choose another name"
                )
            if new in there and not self._to.overwrite and (count := self._table_count(new)):
                raise DatabaseNotEmptyError(f"the database {new}", f"it has {count} tables")

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Return what would be done."""
        lines = ["create the users and roles that do not exist"] if self._globals(files) else []
        for name in self._names(files):
            new = self._new_name(name)
            size = sum(files.size(path) for path in _paths(files, name))
            lines.append(f"restore database {name} as {new}, {format_size(size)} of statements")
        return lines

    def restore(self, files: StoredFiles, on_progress: OnProgress) -> Sequence[str]:
        """Restore; return what is left to do."""
        skipped = self._restore_globals(files, on_progress) if self._globals(files) else []
        names = self._names(files)
        if not names:
            return skipped
        words = self._connection.words("client", *CLIENT)
        try:
            with Tool(words, self._connection.environment, stdin=True, stdout=False) as tool:
                for label, piece in self._statements(files, names):
                    tool.write(piece)
                    on_progress(label, len(piece))
                tool.finish()
        except ToolFailedError as error:
            raise self._connection.explain(error) from error
        return skipped

    def _statements(self, files: StoredFiles, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield all that the client is told, and of which database it is."""
        for piece in files.read(BEGIN):
            yield "settings", piece
        for name in names:
            new = self._new_name(name)
            if self._to.overwrite:
                yield new, f"DROP DATABASE IF EXISTS {quote_name(new)};\n".encode()
            yield from ((new, piece) for piece in _tables(files, name, new))
        for name in names:
            path = directory_of(name) + b"/" + VIEWS
            if files.has(path):
                new = self._new_name(name)
                yield from ((new, piece) for piece in _views(files, path, new))

    def _names(self, files: StoredFiles) -> list[str]:
        """Return the databases to restore, in the order of the dump's directories.

        Raises:
            DatabaseNotFoundError: one that was named is not in the snapshot.
        """
        stored = [
            database_of(name)
            for name in files.names(b"")
            if name not in (BEGIN, GLOBALS) and files.has(name + b"/" + TABLES)
        ]
        wanted = self._to.options.names
        for name in [*wanted, *self._to.renamed]:
            if name not in stored:
                raise DatabaseNotFoundError(name, "in this snapshot")
        return [name for name in stored if not wanted or name in wanted]

    def _new_name(self, name: str) -> str:
        return self._to.renamed.get(name, name)

    def _table_count(self, name: str) -> int:
        (row,) = self._connection.query(
            "SELECT COUNT(*) FROM information_schema.tables "  # noqa: S608 - in hex
            f"WHERE table_schema IN ({in_list([name])})"
        )
        return int(row[0])

    def _globals(self, files: StoredFiles) -> bool:
        """Tell whether users are restored: with a whole server, unless it was told not to."""
        options = self._to.options
        wanted = not options.names and options.settings.get("globals") != "no"
        return wanted and files.has(GLOBALS)

    def _restore_globals(self, files: StoredFiles, on_progress: OnProgress) -> list[str]:
        """Create the accounts that are not there; return a line of those that were left alone."""
        there = {
            (row[0], row[1])
            for row in self._connection.query("SELECT User, Host FROM mysql.user")
            if len(row) > 1
        }
        text = b"".join(files.read(GLOBALS)).decode()
        left: set[str] = set()
        kept = []
        for line in text.split("\n"):
            account = account_of(line)
            if account is not None and account in there:
                left.add(f"{account[0]}@{account[1]}" if account[1] else account[0])
            else:
                kept.append(line)
        words = self._connection.words("client", *CLIENT)
        data = "\n".join(kept).encode()
        with Tool(words, self._connection.environment, stdin=True, stdout=False) as tool:
            tool.write(data)
            tool.finish()
        on_progress("users and grants", len(data))
        if not left:
            return []
        return [f"accounts that existed were left as they are: {', '.join(sorted(left))}"]


def account_of(line: str) -> tuple[str, str] | None:
    """Return user and host that a line of globals.sql is about; ("name", "") for a role.

    A line that is about no account, or about the one who restores, has none.
    """
    found = _ACCOUNT.match(line)
    if found is None:
        return None
    return _unquote(found[1]), _unquote(found[2]) if found[2] else ""


def _unquote(text: str) -> str:
    quote = text[0]
    inner = text[1:-1].replace(quote * 2, quote)
    return re.sub(r"\\(.)", r"\1", inner) if quote == "'" else inner


def _paths(files: StoredFiles, name: str) -> Iterator[bytes]:
    for part in (TABLES, VIEWS):
        path = directory_of(name) + b"/" + part
        if files.has(path):
            yield path


def _tables(files: StoredFiles, name: str, new: str) -> Iterator[bytes]:
    """Yield the statements of a database, which is created as `new`."""
    head, rest = _read_head(files, directory_of(name) + b"/" + TABLES)
    created = _CREATE.search(head)
    if created is None:
        raise DatabaseDamagedError(name, "its dump does not begin as dumps do")
    used = _USE.search(head, created.end() - 1)
    if used is None:
        raise DatabaseDamagedError(name, "its dump does not begin as dumps do")
    quoted = quote_name(new).encode()
    yield b"CREATE DATABASE IF NOT EXISTS %s%s\nUSE %s;\n" % (quoted, created["rest"], quoted)
    yield head[used.end() :]
    yield from rest


def _views(files: StoredFiles, path: bytes, new: str) -> Iterator[bytes]:
    """Yield the statements of a database's views."""
    head, rest = _read_head(files, path)
    used = _USE.search(head)
    if used is None:
        raise DatabaseDamagedError(new, "its views do not begin as they do in dumps")
    yield b"USE %s;\n" % quote_name(new).encode()
    yield head[used.end() :]
    yield from rest


def _read_head(files: StoredFiles, path: bytes) -> tuple[bytes, Iterator[bytes]]:
    """Return the beginning of a file, at least 64 KiB if it has them, and the pieces after it."""
    pieces = iter(files.read(path))
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= _LONGEST_HEAD:
            break
    return bytes(head), pieces
