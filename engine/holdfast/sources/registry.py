"""The kinds of databases, by name. Modules are imported when their kind is asked for."""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from holdfast.errors import ConfigurationError
from holdfast.sources.base import (
    DatabaseOptions,
    DatabaseSource,
    DatabaseTarget,
    Method,
    RestoreTo,
    ScratchServer,
)

KINDS: Final = {
    "postgresql": "PostgreSQL: pg_dump, or pg_basebackup",
    "mariadb": "MariaDB and MySQL: mariadb-dump, or mariadb-backup",
    "redis": "Redis and Valkey: redis-cli --rdb",
    "sqlite": "SQLite files: the online backup API",
    "mongodb": "MongoDB: mongodump --archive",
    "command": "anything else: a command for each stream, from a file",
}
"""Name -> what is used, for people. The name is that of the module, too."""
_ALIASES: Final = {
    "postgres": "postgresql",
    "pg": "postgresql",
    "mysql": "mariadb",
    "valkey": "redis",
}


class Kind(Protocol):
    """What the module of a kind offers."""

    def open_source(self, options: DatabaseOptions) -> DatabaseSource:
        """Return what can be saved; raises ConfigurationError if the options make no sense."""

    def open_target(self, to: RestoreTo, method: Method) -> DatabaseTarget:
        """Return where to restore a snapshot that was made by `method`."""

    def open_scratch(
        self, options: DatabaseOptions, method: Method, directory: str
    ) -> ScratchServer:
        """Return a server to be started in `directory`, which is empty and removed by the caller.

        Of the options only tools, environment and settings count.
        """


def find_kind(name: str) -> tuple[str, Kind]:
    """Return a kind's own name and what it offers.

    Raises:
        ConfigurationError: there is no such kind.
    """
    own = _ALIASES.get(name, name)
    if own not in KINDS:
        raise ConfigurationError(
            f"{name!r} is no kind of database", f"choose one of {', '.join(KINDS)}"
        )
    return own, cast(Kind, importlib.import_module(f"holdfast.sources.{own}"))
