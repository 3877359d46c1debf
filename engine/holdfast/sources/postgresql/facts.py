"""What a database is besides its content: owner, encoding, rights, settings; and as SQL again.

`pg_dump --create` would write this too, with the database's name in every statement: a dump that
could be restored under that name only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from holdfast.database_errors import DatabaseDamagedError
from holdfast.sources.postgresql.connection import Connection, quote_name, quote_text

_LISTS: Final = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
"""Settings whose value is a list of quoted names; as one literal it would be one name.

Source: variables with GUC_LIST_QUOTE in PostgreSQL's guc_tables.c; extensions may have none.
"""
_PROVIDERS: Final = {"c": "libc", "i": "icu", "b": "builtin"}


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right to a database."""

    privilege: str
    grantee: str | None = None
    """None: everybody."""
    grantable: bool = False


class Setting(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ALTER DATABASE … SET has set; `config` are texts "name=value"."""

    config: list[str]
    role: str | None = None
    """For this role only; None: for everybody."""


class DatabaseFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One database, as `database.json` has it. Fields are only ever added, with a default."""

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str = "c"
    """Of its collation: c libc, i icu, b builtin."""
    locale: str | None = None
    """Of icu and builtin."""
    icu_rules: str | None = None
    tablespace: str = "pg_default"
    connection_limit: int = -1
    is_template: bool = False
    allow_connections: bool = True
    comment: str | None = None
    grants: list[Grant] | None = None
    """None: what every new database grants."""
    settings: list[Setting] = []
    roles: list[str] = []
    """Roles that it cannot be restored without."""
    tablespaces: list[str] = []
    """Tablespaces that something of it lies in, besides the default one."""


def read_facts(connection: Connection, database: str, version: int) -> DatabaseFacts:
    """Return what a database is.

    Args:
        connection: to its server.
        database: its name.
        version: of the server, as server_version_num.

    Raises:
        DatabaseError: it cannot be reached.
    """
    (facts,) = connection.query(database, _statement(version), DatabaseFacts)
    return facts


def _statement(version: int) -> str:
    """Return the SELECT; columns came with versions 15, 16 and 17."""
    locale = "d.daticulocale" if version < 170000 else "d.datlocale"
    columns = [
        *(["d.datlocprovider AS provider", f"{locale} AS locale"] if version >= 150000 else []),
        *(["d.daticurules AS icu_rules"] if version >= 160000 else []),
    ]
    extra = "".join(f"{column},\n" for column in columns)
    return f"""
    SELECT {extra}
        d.datname AS name, pg_get_userbyid(d.datdba) AS owner,
        pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
        (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace) AS tablespace,
        d.datconnlimit AS connection_limit, d.datistemplate AS is_template,
        d.datallowconn AS allow_connections, shobj_description(d.oid, 'pg_database') AS comment,
        CASE WHEN d.datacl IS NOT NULL THEN coalesce((
            SELECT json_agg(g ORDER BY g.grantee, g.privilege) FROM (
                SELECT a.privilege_type AS privilege, a.is_grantable AS grantable,
                    CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee
                FROM aclexplode(d.datacl) AS a) AS g), '[]') END AS grants,
        coalesce((
            SELECT json_agg(s ORDER BY s.role) FROM (
                SELECT r.rolname AS role, s.setconfig AS config
                FROM pg_db_role_setting AS s LEFT JOIN pg_roles AS r ON r.oid = s.setrole
                WHERE s.setdatabase = d.oid) AS s), '[]') AS settings,
        coalesce((
            SELECT json_agg(r.rolname ORDER BY r.rolname) FROM pg_roles AS r
            WHERE r.rolname !~ '^pg_' AND (r.oid = d.datdba OR EXISTS (
                SELECT FROM pg_shdepend AS s
                WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
                AND (s.dbid = d.oid
                    OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid))
                OR EXISTS (SELECT FROM pg_db_role_setting AS s
                    WHERE s.setdatabase = d.oid AND s.setrole = r.oid))), '[]') AS roles,
        coalesce((
            SELECT json_agg(t.spcname ORDER BY t.spcname) FROM pg_tablespace AS t
            WHERE t.spcname !~ '^pg_' AND (t.oid = d.dattablespace
                OR t.oid IN (SELECT reltablespace FROM pg_class))), '[]') AS tablespaces
    FROM pg_database AS d WHERE d.datname = current_database()"""  # noqa: S608 - no input in it


def encode_facts(facts: DatabaseFacts) -> bytes:
    """Return facts as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n"


def decode_facts(data: bytes, database: str) -> DatabaseFacts:
    """Return the facts of a stored database.

    Raises:
        DatabaseDamagedError: this is none.
    """
    try:
        return msgspec.json.decode(data, type=DatabaseFacts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatabaseDamagedError(database, f"its database.json: {error}") from error


def create_statement(facts: DatabaseFacts, name: str, version: int) -> str:
    """Return CREATE DATABASE under another name, for a server of `version`."""
    words = [f"CREATE DATABASE {quote_name(name)} WITH TEMPLATE template0"]
    words.append(f"OWNER {quote_name(facts.owner)} ENCODING {quote_text(facts.encoding)}")
    words.append(f"LC_COLLATE {quote_text(facts.collate)} LC_CTYPE {quote_text(facts.ctype)}")
    if version >= 150000:
        words.append(f"LOCALE_PROVIDER {_PROVIDERS[facts.provider]}")
        if facts.locale is not None:
            option = "ICU_LOCALE" if facts.provider == "i" else "BUILTIN_LOCALE"
            words.append(f"{option} {quote_text(facts.locale)}")
        if facts.icu_rules is not None:
            words.append(f"ICU_RULES {quote_text(facts.icu_rules)}")
    if facts.tablespace != "pg_default":
        words.append(f"TABLESPACE {quote_name(facts.tablespace)}")
    return " ".join(words)


def property_statements(facts: DatabaseFacts, name: str) -> Iterator[str]:
    """Yield what makes a database of that name like the saved one, but for who may connect."""
    quoted = quote_name(name)
    if facts.comment is not None:
        yield f"COMMENT ON DATABASE {quoted} IS {quote_text(facts.comment)}"
    if facts.grants is not None:
        yield f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC, {quote_name(facts.owner)}"
        for grant in facts.grants:
            to = "PUBLIC" if grant.grantee is None else quote_name(grant.grantee)
            option = " WITH GRANT OPTION" if grant.grantable else ""
            yield f"GRANT {grant.privilege} ON DATABASE {quoted} TO {to}{option}"
    for setting in facts.settings:
        for text in setting.config:
            key, _, value = text.partition("=")
            of = f"ROLE {quote_name(setting.role)} IN " if setting.role is not None else ""
            yield f"ALTER {of}DATABASE {quoted} SET {_setting_name(key)} TO {_setting(key, value)}"


def access_statements(facts: DatabaseFacts, name: str) -> Iterator[str]:
    """Yield who may connect: after everything else, for it may be nobody."""
    quoted = quote_name(name)
    if facts.connection_limit != -1:
        yield f"ALTER DATABASE {quoted} CONNECTION LIMIT {facts.connection_limit}"
    if facts.is_template:
        yield f"ALTER DATABASE {quoted} IS_TEMPLATE true"
    if not facts.allow_connections:
        yield f"ALTER DATABASE {quoted} ALLOW_CONNECTIONS false"


def _setting_name(key: str) -> str:
    return ".".join(quote_name(part) for part in key.split("."))


def _setting(key: str, value: str) -> str:
    if key.lower() not in _LISTS:
        return quote_text(value)
    return ", ".join(quote_text(name) for name in _names_of(value)) or "''"


def _names_of(text: str) -> Iterator[str]:
    """Yield the names of a list like `a, "b ""c"", d"`."""
    at, length = 0, len(text)
    while at < length:
        if text[at] in ", \t":
            at += 1
        elif text[at] == '"':
            name = ""
            at += 1
            while at < length and (text[at] != '"' or text[at + 1 : at + 2] == '"'):
                name += text[at]
                at += 2 if text[at] == '"' else 1
            at += 1
            yield name
        else:
            end = text.find(",", at)
            end = length if end < 0 else end
            yield text[at:end].strip()
            at = end
