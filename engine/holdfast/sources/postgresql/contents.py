"""Which databases a server has, and whether there is anything in one."""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.sources.postgresql.connection import Connection

_DATABASES: Final = """
    SELECT datname AS name, datistemplate AS is_template, datallowconn AS allow_connections,
        has_database_privilege(oid, 'CONNECT') AS may_connect, pg_database_size_or_null AS size
    FROM (SELECT *, CASE WHEN has_database_privilege(oid, 'CONNECT') AND datallowconn
        THEN pg_database_size(oid) END AS pg_database_size_or_null FROM pg_database) AS d
    ORDER BY datname COLLATE "C\""""

# What extensions own is not counted: the extension is.
_CONTENTS: Final = """
    SELECT kind, count(*) AS number FROM (
        SELECT CASE WHEN relkind IN ('r', 'p', 'f') THEN 'table'
                    WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'sequence' END AS kind,
            'pg_class'::regclass AS class, oid, relnamespace AS namespace
        FROM pg_class WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND relpersistence <> 't'
        UNION ALL SELECT 'function', 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
        UNION ALL SELECT 'type', 'pg_type'::regclass, t.oid, typnamespace
            FROM pg_type AS t WHERE typtype IN ('e', 'd', 'r')
        UNION ALL SELECT 'schema', 'pg_namespace'::regclass, oid, oid FROM pg_namespace
            WHERE nspname <> 'public'
        UNION ALL SELECT 'extension', 'pg_extension'::regclass, oid, NULL FROM pg_extension
            WHERE extname <> 'plpgsql'
        UNION ALL SELECT 'large object', 'pg_largeobject'::regclass, oid, NULL
            FROM pg_largeobject_metadata
        ) AS o LEFT JOIN pg_namespace AS n ON n.oid = o.namespace
    WHERE (n.oid IS NULL OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
      AND NOT EXISTS (SELECT FROM pg_depend AS d
          WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
    GROUP BY kind ORDER BY kind"""


class Database(msgspec.Struct, frozen=True):
    """One database of a server."""

    name: str
    is_template: bool
    allow_connections: bool
    may_connect: bool
    """Whether this user may."""
    size: int | None
    """Bytes on the server's disk; None where this user may not connect."""


class _Count(msgspec.Struct):
    kind: str
    number: int


def list_databases(connection: Connection) -> dict[str, Database]:
    """Return all databases of a server by name, in the order of their names' bytes.

    Raises:
        DatabaseError: it cannot be reached.
    """
    found = connection.query(connection.maintenance, _DATABASES, Database)
    return {database.name: database for database in found}


def contents_of(connection: Connection, database: str) -> str:
    """Return what is in a database for people, "3 tables, 1 view"; "" if it is as it was created.

    Raises:
        DatabaseError: it cannot be reached.
    """
    counts = connection.query(database, _CONTENTS, _Count)
    return ", ".join(
        f"{count.number} {count.kind}{'' if count.number == 1 else 's'}" for count in counts
    )
