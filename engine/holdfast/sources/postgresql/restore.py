"""Databases from statements: into a new database beside the old one, which it replaces in the end.

A database has its name only when all of it is there. One that is to be replaced stays until then,
and is exchanged in one transaction: whoever looks sees the old one or the new one. Only an
existing database that holds nothing is filled where it is: who made it may have had reasons.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec

from holdfast.database_errors import (
    DatabaseError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
    ToolVersionError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources.base import RestoreTo, StoredFiles
from holdfast.sources.postgresql.connection import (
    Connection,
    check_settings,
    quote_name,
    quote_text,
    version_text,
)
from holdfast.sources.postgresql.contents import contents_of, list_databases
from holdfast.sources.postgresql.facts import (
    DatabaseFacts,
    access_statements,
    create_statement,
    decode_facts,
    property_statements,
)
from holdfast.sources.postgresql.names import (
    DATA,
    FACTS,
    GLOBALS,
    POST_DATA,
    PRE_DATA,
    database_of,
)
from holdfast.sources.postgresql.roles import Globals, missing_statements, saved_globals
from holdfast.units import format_size

Progress = Callable[[str, int], None]

_LONGEST_NAME: Final = 63
"""Bytes of a name; a longer one would be cut off without a word."""
_WRITABLE: Final = b"SET default_transaction_read_only = off;\n"
"""A database may be set to be read only, also one that is restored."""
_GLOBALS: Final = {"needed", "all", "none"}


class _Name(msgspec.Struct):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One database to restore."""

    facts: DatabaseFacts
    path: bytes
    name: str
    """What it is called afterwards."""
    contents: str | None
    """Of the database that has this name now, for people; "" if it is empty, None if there is none."""


class LogicalTarget:
    """A server that databases are restored to.

    Args:
        to: options, names, new names. Setting `globals`: "needed" makes the roles and tablespaces
            that are missing and that the databases need, or all missing ones if all databases are
            restored; "all", "none".
        in_place_tablespaces: for scratch servers: not where they were.

    Raises:
        ConfigurationError: this makes no sense.
    """

    def __init__(self, to: RestoreTo, *, in_place_tablespaces: bool = False) -> None:
        check_settings(to.options, ("globals",))
        self._globals = to.options.settings.get("globals", "needed")
        if self._globals not in _GLOBALS:
            raise ConfigurationError(f"globals is {self._globals!r}", "choose needed, all or none")
        if to.directory is not None or to.target or to.target_time_ns is not None:
            raise ConfigurationError(
                "a backup of statements is restored to a server, as it was when it was made",
                "leave out the directory and the moment; a physical backup knows them",
            )
        for name in to.renamed.values():
            if not name or len(name.encode()) > _LONGEST_NAME:
                raise ConfigurationError(
                    f"{name!r} cannot be the name of a database", "give 1 to 63 bytes"
                )
        self._to = to
        self._in_place = in_place_tablespaces
        self._connection = Connection(to.options)

    def check(self, files: StoredFiles) -> None:
        """Look for the tools, the server, what is in the way, and the roles that are needed."""
        self._connection.tool("psql")
        self._check_version(files)
        works = self._works(files)
        for work in works:
            if work.contents and not self._to.overwrite:
                raise DatabaseNotEmptyError(f"the database {work.name}", work.contents)
        self._missing_globals(files, works)

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Return a line for each database, and one for the globals."""
        lines: list[str] = []
        works = self._works(files)
        for work in works:
            size = sum(files.size(work.path + b"/" + part) for part in (PRE_DATA, DATA, POST_DATA))
            of = f"{work.facts.name} as {work.name}" if work.facts.name != work.name else work.name
            how = "replaces the present one" if work.contents else "into the empty one"
            how = "new" if work.contents is None else how
            lines.append(f"{of}: {format_size(size)} of statements, {how}")
        made = [
            statement.removesuffix(";")
            for statement in self._missing_globals(files, works)
            if statement.startswith("CREATE ")
        ]
        return [*lines, *made]

    def restore(self, files: StoredFiles, on_progress: Progress) -> Sequence[str]:
        """Make the globals that are missing, then each database."""
        version = self._check_version(files)
        works = self._works(files)
        connection = self._connection
        statements = self._missing_globals(files, works)
        if any(not statement.startswith("SET ") for statement in statements):
            text = "\n".join(statements).encode("utf-8", "surrogateescape")
            self._feed(connection.maintenance, GLOBALS.decode(), [text], on_progress)
        left: list[str] = []
        for work in works:
            if work.contents and not self._to.overwrite:
                raise DatabaseNotEmptyError(f"the database {work.name}", work.contents)
            left += self._restore_database(files, work, version, on_progress)
        which = shlex.quote(works[0].name) if len(works) == 1 else "--all"
        return [*left, f"run `vacuumdb --analyze-in-stages {which}` there: queries are slow before"]

    def _check_version(self, files: StoredFiles) -> int:
        """Return the server's version; raises ToolVersionError if it is older than the backup."""
        version = self._connection.server_version()
        saved = int(files.properties.get("server_version_num", "0"))
        if saved // 10000 > version // 10000:
            raise ToolVersionError(
                f"PostgreSQL {version_text(version)} at {self._connection.place}",
                f"the backup is of version {version_text(saved)}; restore to that or a newer one",
            )
        return version

    def _works(self, files: StoredFiles) -> list[_Work]:
        """Return what to restore, in the order of the names that were given."""
        stored = {database_of(path): path for path in files.names(b"") if path != GLOBALS}
        chosen = self._to.options.names or tuple(sorted(stored))
        for name in (*chosen, *self._to.renamed):
            if name not in stored:
                raise DatabaseNotFoundError(name, "in this snapshot")
        for name in self._to.renamed:
            if name not in chosen:
                raise ConfigurationError(
                    f"{name} gets a new name and is not restored", "name it too, or leave that out"
                )
        names = [self._to.renamed.get(name, name) for name in chosen]
        if len(set(names)) != len(names):
            raise ConfigurationError("two databases would have one name", "rename one of them")
        present = list_databases(self._connection)
        works: list[_Work] = []
        for old, new in zip(chosen, names, strict=True):
            path = stored[old]
            contents: str | None = None
            if new in present:
                allowed = present[new].allow_connections
                closed = "it allows no connections"
                contents = contents_of(self._connection, new) if allowed else closed
            facts = decode_facts(b"".join(files.read(path + b"/" + FACTS)), old)
            works.append(_Work(facts=facts, path=path, name=new, contents=contents))
        return works

    def _missing_globals(self, files: StoredFiles, works: Iterable[_Work]) -> list[str]:
        """Return the statements that make missing roles and tablespaces.

        Raises:
            DatabaseNotFoundError: one that is needed is neither here nor in the snapshot.
        """
        present = self._present_globals()
        needed = Globals(
            roles={role for work in works for role in work.facts.roles},
            tablespaces={name for work in works for name in work.facts.tablespaces},
        )
        text = (
            b"".join(files.read(GLOBALS)).decode("utf-8", "surrogateescape")
            if files.has(GLOBALS)
            else ""
        )
        saved = (
            saved_globals(text) if self._globals != "none" else Globals(roles=(), tablespaces=())
        )
        for what, names, there, ours in (
            ("role", needed.roles, present.roles, saved.roles),
            ("tablespace", needed.tablespaces, present.tablespaces, saved.tablespaces),
        ):
            for name in sorted(set(names) - set(there) - set(ours)):
                raise ToolFailedError(
                    "the restore",
                    f"the {what} {quote_name(name)} is not on {self._connection.place}",
                )
        if self._globals == "none":
            return []
        everything = self._globals == "all" or not self._to.options.names
        wanted = None if everything else needed
        return missing_statements(text, present, wanted, in_place=self._in_place)

    def _present_globals(self) -> Globals:
        connection = self._connection
        queries = (
            "SELECT rolname AS name FROM pg_roles",
            "SELECT spcname AS name FROM pg_tablespace",
        )
        roles, tablespaces = (
            {row.name for row in connection.query(connection.maintenance, query, _Name)}
            for query in queries
        )
        return Globals(roles=roles, tablespaces=tablespaces)

    def _restore_database(
        self, files: StoredFiles, work: _Work, version: int, on_progress: Progress
    ) -> list[str]:
        """Restore one database; return what is left to do."""
        if work.contents == "":
            try:
                self._fill(files, work, work.name, on_progress)
            except ToolFailedError as error:
                error.said += f"; the database {work.name} is left half filled: drop it"
                raise
            self._run(work.name, access_statements(work.facts, work.name))
            return []
        beside = self._beside(work)
        new, old = _own_name("new", work.name), _own_name("old", work.name)
        self._drop_left_over(beside, new)
        self._drop_left_over(beside, old)
        self._run(beside, [create_statement(work.facts, new, version)])
        try:
            self._fill(files, work, new, on_progress)
            self._exchange(work, new, old, beside)
        except BaseException:
            self._drop_quietly(beside, new)
            raise
        if work.contents is None:
            return []
        try:
            self._run(beside, [f"ALTER DATABASE {quote_name(old)} IS_TEMPLATE false", _drop(old)])
        except DatabaseError as error:
            return [f"drop the database {old}, which was {work.name} before: {error}"]
        return []

    def _fill(self, files: StoredFiles, work: _Work, name: str, on_progress: Progress) -> None:
        # One text and one psql: they are pieces of one dump, cut at any place.
        paths = (work.path + b"/" + part for part in (PRE_DATA, DATA, POST_DATA))
        pieces = chain.from_iterable(map(files.read, paths))
        self._feed(name, work.facts.name, pieces, on_progress)
        self._run(name, property_statements(work.facts, name))

    def _feed(
        self, database: str, what: str, pieces: Iterable[bytes], on_progress: Progress
    ) -> None:
        """Run statements by psql up to the first that fails, and see that it read them all."""
        end = f"end-{secrets.token_hex(16)}"
        words = self._connection.psql(database, "-o", "/dev/null", "-f", "-")
        try:
            with self._connection.start(words, stdin=True) as tool:
                # Commits need not be durable one by one: the database gets its name at the end.
                settings = b"SET synchronous_commit = off; SET client_min_messages = warning;\n"
                tool.write(_WRITABLE + settings)
                for piece in pieces:
                    tool.write(piece)
                    on_progress(what, len(piece))
                tool.write(f"\n\\echo {end}\n".encode())
                tool.end_input()
                output = tool.read_all()
                tool.finish()
        except ToolFailedError as error:
            explained = self._connection.explain(error)
            if explained is error:
                raise ToolFailedError(
                    f"psql, restoring {what},", error.reason, error.said
                ) from error
            raise explained from error
        if end.encode() not in output:
            raise ToolFailedError(f"psql, restoring {what},", "it did not read all statements")

    def _run(self, database: str, statements: Iterable[str]) -> None:
        text = "".join(f"{statement};\n" for statement in statements)
        if text:
            self._connection.ask(database, _WRITABLE.decode() + text)

    def _beside(self, work: _Work) -> str:
        """Return a database to be connected to while one is made or dropped."""
        maintenance = self._connection.maintenance
        return maintenance if work.name != maintenance else "template1"

    def _exchange(self, work: _Work, new: str, old: str, beside: str) -> None:
        """Give the new database its name, in one transaction with taking it from the old one."""
        name = work.name
        renames = [f"ALTER DATABASE {quote_name(new)} RENAME TO {quote_name(name)}"]
        closed: list[str] = []
        if work.contents is not None:
            # Whoever is connected would come back at once, and a rename waits for nobody.
            closed = [f"ALTER DATABASE {quote_name(name)} ALLOW_CONNECTIONS false"]
            renames.insert(0, f"ALTER DATABASE {quote_name(name)} RENAME TO {quote_name(old)}")
        disconnect = [_disconnect(name), _disconnect(new)]
        access = access_statements(work.facts, name)
        try:
            # All in one go: psql comes to the end of it even if this program does not.
            self._run(beside, [*closed, *disconnect, "BEGIN", *renames, *access, "COMMIT"])
        except BaseException:
            if closed:
                opened = f"ALTER DATABASE {quote_name(name)} ALLOW_CONNECTIONS true"
                self._run(beside, [opened])
            raise

    def _drop_left_over(self, beside: str, name: str) -> None:
        """Drop what a killed restore has left under a name that only restores use.

        Raises:
            DatabaseNotEmptyError: another restore is at work on it.
        """
        used = self._connection.ask(
            beside,
            f"SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = {quote_text(name)}"  # noqa: S608
            " AND backend_type = 'client backend'",
        )
        if used != "0":
            raise DatabaseNotEmptyError(f"the database {name}", "another restore is writing to it")
        self._run(beside, [_drop(name)])

    def _drop_quietly(self, beside: str, name: str) -> None:
        """Remove what was made, if that is possible; the error on its way says more than ours."""
        try:
            self._run(beside, [_disconnect(name), _drop(name)])
        except DatabaseError:
            pass


def _own_name(what: str, name: str) -> str:
    return f"holdfast-{what}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {quote_name(name)}"


def _disconnect(name: str) -> str:
    return (
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "  # noqa: S608
        f"WHERE datname = {quote_text(name)} AND pid <> pg_catalog.pg_backend_pid()"
    )
