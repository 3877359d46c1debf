"""PostgreSQL as statements, with real servers: saved, restored, disturbed, and refused."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.database_errors import (
    DatabaseError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
    ToolVersionError,
)
from holdfast.errors import ConfigurationError
from holdfast.repository.repository import Repository
from holdfast.sources.base import DatabaseOptions, Method, RestoreTo, StoredFiles
from holdfast.sources.postgresql import open_scratch, open_source, open_target
from support import postgres
from support.database_runs import save, stored
from support.postgres import PostgresServer, postgres_server
from support.processes import kill_children
from support.repos import new_store, open_repository

ODD = "o'd\"d /\n=x\\ %2F é"
PARTS = ("schema", "data", "indexes")
pytestmark = [
    pytest.mark.xdist_group("postgresql_logical"),  # one server for all
    pytest.mark.skipif(postgres.is_missing() is not None, reason=str(postgres.is_missing())),
]

SHOP = """
CREATE ROLE staff; CREATE ROLE clerk LOGIN PASSWORD 'secret-of-clerk';
CREATE ROLE "odd; 'role"; GRANT staff TO clerk;
COMMENT ON ROLE staff IS 'people; with -- a
-- comment';
CREATE SCHEMA sales AUTHORIZATION staff;
CREATE TYPE sales.state AS ENUM ('new', 'paid');
CREATE FUNCTION sales.twice(i bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i';
CREATE TABLE sales.customers (id int PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE sales.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES sales.customers,
    state sales.state DEFAULT 'new', note text, raw bytea, paid numeric(10, 2));
INSERT INTO sales.customers SELECT i, 'customer ' || i FROM generate_series(1, 500) AS i;
INSERT INTO sales.orders (customer, note, raw, paid)
    SELECT 1 + i % 500, E'tab\\t line\\n \\\\. ' || md5(i::text), decode(md5(i::text), 'hex'), i * 0.37
    FROM generate_series(1, 30000) AS i;
CREATE INDEX ON sales.orders (sales.twice(id));
ALTER TABLE sales.orders OWNER TO clerk;
GRANT SELECT ON sales.customers TO "odd; 'role";
CREATE VIEW sales.paid AS SELECT * FROM sales.orders WHERE state = 'paid';
COMMENT ON TABLE sales.orders IS 'all; of them';
SELECT lo_from_bytea(4711, decode(repeat('00ff5c27', 20000), 'hex'));
ALTER DATABASE shop SET search_path TO sales, "odd ""schema", public;
ALTER DATABASE shop SET "my.setting" TO 'it''s \\ here';
ALTER ROLE clerk IN DATABASE shop SET work_mem TO '7MB';
ALTER DATABASE shop CONNECTION LIMIT 77;
ALTER DATABASE shop SET default_transaction_read_only TO on;
COMMENT ON DATABASE shop IS 'the "shop"';
REVOKE CONNECT ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO clerk WITH GRANT OPTION;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Has the databases `shop`, `latin` and one of an odd name; is not changed by tests."""
    with postgres_server() as server:
        place = Path(server.host) / "space"
        place.mkdir()
        user = postgres.system_user()
        if user is not None:
            subprocess.run(["chown", user, str(place)], check=True)
        quoted = ODD.replace('"', '""')
        server.psql("postgres", f"CREATE TABLESPACE space LOCATION '{place}'")
        server.psql("postgres", "CREATE DATABASE shop")
        server.psql("postgres", f'CREATE DATABASE "{quoted}"')
        latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        server.psql("postgres", f"CREATE DATABASE latin TEMPLATE template0 {latin}")
        server.psql("shop", SHOP)
        server.psql(
            "latin", "SET client_encoding = 'UTF8'; CREATE TABLE t AS SELECT 'déjà' AS word"
        )
        server.psql(ODD, "CREATE TABLE far (i int) TABLESPACE space; INSERT INTO far VALUES (7)")
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[PostgresServer]:
    """A server to restore to; tests leave nothing there."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with open_repository(new_store(), tmp_path / "cache") as repository:
        yield repository


def options(server: PostgresServer, *names: str, **more: object) -> DatabaseOptions:
    made = DatabaseOptions(
        environment=server.environment,
        names=names,
        host=server.host,
        port=server.port,
        user=server.user,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def dump_of(server: PostgresServer, database: str) -> str:
    """What pg_dump makes of a database, without what differs by itself."""
    words = [str(server.bin / "pg_dump"), "-h", server.host, "-U", server.user]
    words += ["-d", "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"]
    done = subprocess.run(words, env=server.environment, capture_output=True, check=True)
    text = done.stdout.decode("latin-1")
    return re.sub(r"\\(un)?restrict .*", "", text)


def databases_of(server: PostgresServer) -> str:
    return server.psql(
        "postgres",
        "SELECT datname, datcollate, datctype, encoding, datconnlimit,"
        " ARRAY(SELECT unnest(datacl)::text ORDER BY 1),"
        " shobj_description(oid, 'pg_database'), pg_get_userbyid(datdba), s.config"
        " FROM pg_database AS d LEFT JOIN (SELECT setdatabase, array_agg(setconfig::text ORDER BY"
        " setrole::regrole::text) AS config FROM pg_db_role_setting GROUP BY 1) AS s"
        " ON s.setdatabase = d.oid ORDER BY datname",
    )


def no_progress(what: str, count: int) -> None:
    pass


def restore(to: RestoreTo, files: StoredFiles) -> Sequence[str]:
    target = open_target(to, Method.LOGICAL)
    target.check(files)
    return target.restore(files, no_progress)


def clear(server: PostgresServer) -> None:
    """Make a server as new, whatever a test has left."""
    kept = "'postgres', 'template0', 'template1'"
    for name in server.psql(
        "postgres",
        f"SELECT format('%s', replace(quote_ident(datname), E'\\n', E'\\\\n')) FROM pg_database "
        f"WHERE datname NOT IN ({kept})",
    ).splitlines():
        quoted = name.replace("\\n", "\n")
        server.psql("postgres", f"DROP DATABASE {quoted} WITH (FORCE)")
    server.psql("postgres", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for kind, sql in (
        ("TABLESPACE", "SELECT quote_ident(spcname) FROM pg_tablespace WHERE spcname !~ '^pg_'"),
        ("ROLE", "SELECT quote_ident(rolname) FROM pg_roles WHERE oid > 16383"),
    ):
        for name in server.psql("postgres", sql).splitlines():
            server.psql("postgres", f"DROP {kind} {name}")


@pytest.fixture
def empty(other: PostgresServer) -> Iterator[PostgresServer]:
    yield other
    clear(other)


def test_a_server_comes_back_as_it_was(
    server: PostgresServer, empty: PostgresServer, repository: Repository
) -> None:
    server.psql("postgres", "CREATE TABLE used (i int)")
    try:
        source = open_source(options(server))
        assert (
            source.check()
            == f"PostgreSQL {server.psql('postgres', 'SHOW server_version').split()[0]}"
        )
        plan = source.plan()
        assert [line.rpartition(": ")[0] for line in plan] == [
            "latin",
            ODD,
            "postgres",
            "shop",
            "globals",
        ]
        snapshot = save(repository, source)
        again = save(repository, open_source(options(server, "shop")))
    finally:
        server.psql("postgres", "DROP TABLE used")
    assert snapshot.findings == ()
    assert snapshot.paths == ("/postgresql/main/logical",)
    record, second = snapshot.database, again.database
    assert record is not None
    assert second is not None
    labels = [stream.label for stream in record.streams]
    assert labels == [
        *(f"{name} {part}" for name in ("latin", ODD, "postgres", "shop") for part in PARTS),
        "globals",
    ]
    # The same again: only the key that pg_dump draws for each file differs.
    data, repeated = record.streams[labels.index("shop data")], second.streams[1]
    assert repeated.label == "shop data"
    assert data.logical_bytes > 3_000_000
    assert repeated.new_bytes < 150_000 < data.new_bytes

    with stored(repository, snapshot) as files:
        parts = [
            b"".join(files.read(b"shop/" + part))
            for part in (b"pre-data.sql", b"data.sql", b"post-data.sql")
        ]
    assert b"CREATE TABLE sales.orders" in parts[0]
    assert parts[1].startswith(b"--\n-- Data for Name: ")
    assert b"SELECT pg_catalog.setval(" in parts[1]
    assert b"lowrite" in parts[1]
    assert re.match(rb"--\n-- Name: .*; Type: CONSTRAINT; Schema: ", parts[2])
    # The place of the tablespace is in use on this machine, so the roles come first, by hand.
    with stored(repository, snapshot) as files:
        target = open_target(
            RestoreTo(options=options(empty, "shop", "latin", "postgres")), Method.LOGICAL
        )
        target.check(files)
        made = [line for line in target.plan(files) if line.startswith("CREATE")]
        assert sorted(made) == [
            'CREATE ROLE "odd; \'role"',
            "CREATE ROLE clerk",
            "CREATE ROLE staff",
        ]
        target.restore(files, no_progress)
    for name in ("shop", "latin"):
        assert dump_of(empty, name) == dump_of(server, name)
    theirs = [
        line for line in databases_of(server).splitlines() if line.startswith(("shop", "latin"))
    ]
    ours = [line for line in databases_of(empty).splitlines() if line.startswith(("shop", "latin"))]
    assert ours == theirs
    assert len(ours) == 2
    assert "search_path=sales, " in ours[1]
    roles = (
        "SELECT rolname, rolcanlogin, rolpassword, shobj_description(oid, 'pg_authid') FROM pg_authid "
        "WHERE oid > 16383 ORDER BY 1; SELECT roleid::regrole, member::regrole FROM pg_auth_members "
        "WHERE roleid > 16383"
    )
    assert empty.psql("postgres", roles) == server.psql("postgres", roles)
    assert empty.psql("postgres", "SELECT count(*) FROM used") == "0"
    assert empty.psql("shop", "SELECT length(lo_get(4711))") == "80000"


def test_restore_refuses_replaces_and_renames(
    server: PostgresServer, empty: PostgresServer, repository: Repository
) -> None:
    snapshot = save(repository, open_source(options(server, "shop", ODD)))
    assert snapshot.paths[-1] == "/postgresql/main/logical/shop"
    assert "/postgresql/main/logical/globals.sql" in snapshot.paths
    empty.psql("postgres", "CREATE ROLE clerk LOGIN PASSWORD 'another'; CREATE DATABASE shop")
    password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'clerk'"
    before = empty.psql("postgres", password)
    with stored(repository, snapshot) as files:
        # A database that exists and is empty is filled; a role that exists is left.
        restore(RestoreTo(options=options(empty, "shop")), files)
        assert empty.psql("postgres", password) == before
        assert empty.psql("shop", "SELECT count(*) FROM sales.orders") == "30000"

        writable = "SET default_transaction_read_only = off"
        empty.psql("shop", f"{writable}; DELETE FROM sales.orders; CREATE TABLE sales.mine (i int)")
        target = open_target(RestoreTo(options=options(empty, "shop")), Method.LOGICAL)
        with pytest.raises(DatabaseNotEmptyError, match=r"shop is not empty .*3 tables"):
            target.check(files)
        with pytest.raises(DatabaseNotEmptyError):
            target.restore(files, no_progress)
        assert empty.psql("shop", "SELECT count(*) FROM sales.mine") == "0"

        renamed = RestoreTo(options=options(empty, "shop"), renamed={"shop": 'shop "2"'})
        assert "vacuumdb" in restore(renamed, files)[0]
        assert empty.psql('shop "2"', "SELECT count(*) FROM sales.orders") == "30000"
        assert empty.psql("shop", "SELECT count(*) FROM sales.orders") == "0"

        # Somebody is connected to what is replaced, and has a transaction open.
        words = [
            str(empty.bin / "psql"),
            "-h",
            empty.host,
            "-U",
            "postgres",
            "-d",
            "shop",
            "-f",
            "-",
        ]
        user = subprocess.Popen(
            words, env=empty.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert user.stdin is not None
        try:
            user.stdin.write(f"{writable}; BEGIN; LOCK TABLE sales.mine;\n".encode())
            user.stdin.flush()
            target = open_target(
                RestoreTo(options=options(empty, "shop"), overwrite=True), Method.LOGICAL
            )
            assert "replaces" in target.plan(files)[0]
            target.check(files)
            target.restore(files, no_progress)
        finally:
            user.kill()
            user.wait()
            user.stdin.close()
        assert dump_of(empty, "shop") == dump_of(server, "shop")

        # What was replaced is there until somebody drops it, if the server refuses to.
        subscribe = "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)"
        empty.psql("shop", f"{writable}; {subscribe}")
        left = restore(RestoreTo(options=options(empty, "shop"), overwrite=True), files)
        assert "subscription" in left[0]
        assert (
            empty.psql(
                "shop",
                "SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid "
                "FROM pg_database WHERE datname = 'shop')",
            )
            == "0"
        )
        old = left[0].split()[3].rstrip(",")
        empty.psql("postgres", f'ALTER DATABASE "{old}" ALLOW_CONNECTIONS true')
        empty.psql(
            old, f"{writable}; ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s"
        )
        empty.psql("postgres", f'DROP DATABASE "{old}"')

        def refused(error: type[Exception], names: Sequence[str], **more: object) -> None:
            to = RestoreTo(options=options(empty, *names), **more)  # type: ignore[arg-type]
            with pytest.raises(error):
                open_target(to, Method.LOGICAL).check(files)

        refused(DatabaseNotFoundError, ["nosuch"])
        refused(DatabaseNotFoundError, [], renamed={"nosuch": "x"})
        refused(ConfigurationError, ["shop"], renamed={ODD: "x"})
        refused(ConfigurationError, [], renamed={ODD: "shop"})
        refused(ConfigurationError, [], renamed={"shop": "x" * 64})
        refused(ConfigurationError, [], directory="/tmp/x")
    left = empty.psql("postgres", "SELECT datname FROM pg_database WHERE datname ~ 'holdfast'")
    assert left == ""


class Changed:
    """Stored files, one of them with other content and other properties."""

    def __init__(self, files: StoredFiles, path: bytes, data: bytes, **properties: str) -> None:
        self._files, self._path, self._data = files, path, data
        self.properties: Mapping[str, str] = {**files.properties, **properties}

    def names(self, path: bytes) -> Sequence[bytes]:
        return self._files.names(path)

    def has(self, path: bytes) -> bool:
        return self._files.has(path)

    def size(self, path: bytes) -> int:
        return self._files.size(path)

    def read(self, path: bytes) -> Iterator[bytes]:
        return iter([self._data]) if path == self._path else self._files.read(path)

    def extract(self, path: bytes, target: str) -> None:
        self._files.extract(path, target)


def test_a_restore_that_fails_leaves_everything_as_it_was(
    server: PostgresServer, empty: PostgresServer, repository: Repository
) -> None:
    snapshot = save(repository, open_source(options(server, "shop")))
    empty.psql("postgres", "CREATE DATABASE shop")
    empty.psql("shop", "CREATE TABLE mine AS SELECT 42 AS i")
    to = RestoreTo(options=options(empty, "shop"), overwrite=True)
    with stored(repository, snapshot) as files:
        names = "SELECT datname FROM pg_database ORDER BY 1"
        before = empty.psql("postgres", names)
        for data, said in (
            (b"SELECT nonsense;", "nonsense"),
            (b"COPY sales.customers (id, name) FROM stdin;\n1\tx\n", "COPY|did not read all"),
            (b"\\q\n", "restricted|did not read"),
        ):
            with pytest.raises(ToolFailedError, match=said):
                restore(to, Changed(files, b"shop/data.sql", data))
            assert empty.psql("postgres", names) == before
            assert empty.psql("shop", "TABLE mine") == "42"

        # The very last statement, after both databases have got other names.
        facts = b"".join(files.read(b"shop/database.json")).replace(b": 77", b": -77")
        with pytest.raises(ToolFailedError, match="invalid connection limit"):
            restore(to, Changed(files, b"shop/database.json", facts))
        assert empty.psql("postgres", names) == before
        assert empty.psql("shop", "TABLE mine") == "42"

        newer = Changed(files, b"", b"", server_version_num="990001")
        with pytest.raises(ToolVersionError, match=r"backup is of version 99.1"):
            restore(to, newer)
        clear(empty)
        no_globals = options(empty, "shop", settings={"globals": "none"})
        with pytest.raises(DatabaseError, match=r"the role .* is not on"):
            restore(RestoreTo(options=no_globals), files)
        assert empty.psql("postgres", names).splitlines() == ["postgres", "template0", "template1"]


def test_all_parts_are_of_one_moment(server: PostgresServer, repository: Repository) -> None:
    server.psql("postgres", "CREATE DATABASE busy")
    server.psql("busy", "CREATE TABLE a (i int); CREATE TABLE b (i int); INSERT INTO a VALUES (1)")
    # More than the pipes hold, so that pg_dump is still at work when its first output is read.
    server.psql("busy", "CREATE TABLE c AS SELECT repeat('x', 1000) FROM generate_series(1, 6000)")
    blocked: list[str] = []

    def disturb(path: bytes, count: int) -> None:
        if path == b"busy/data.sql" and count == 0:
            server.psql("busy", "INSERT INTO a VALUES (2); CREATE TABLE late (i int)")
            for statement in ("DROP TABLE b", "ALTER TABLE a ADD j int"):
                with pytest.raises(AssertionError, match="lock timeout"):
                    server.psql("busy", f"SET lock_timeout = '100ms'; {statement}")
                blocked.append(statement)

    try:
        snapshot = save(repository, open_source(options(server, "busy")), disturb)
        assert len(blocked) == 2
        with stored(repository, snapshot) as files:
            pre, data = (
                b"".join(files.read(path)) for path in (b"busy/pre-data.sql", b"busy/data.sql")
            )
            assert b"late" not in pre + data
            assert b"COPY public.a (i) FROM stdin;\n1\n\\.\n" in data
        # A table that stays locked by somebody is an error after a while, and no snapshot.
        words = [
            str(server.bin / "psql"),
            "-h",
            server.host,
            "-U",
            "postgres",
            "-d",
            "busy",
            "-Atq",
        ]
        holder = subprocess.Popen(
            words, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.write(b"BEGIN; LOCK TABLE b; SELECT 'locked';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == b"locked\n"
            impatient = options(server, "busy", settings={"lock-timeout": "1"})
            with pytest.raises(ToolFailedError, match=r"timeout.*LOCK TABLE public\.b"):
                save(repository, open_source(impatient))
            holder.kill()
        assert len(list(repository.snapshots())) == 1
    finally:
        server.psql("postgres", "DROP DATABASE busy WITH (FORCE)")


def backends(server: PostgresServer, name: str) -> Callable[[], None]:
    """Return what ends the connections of one program."""

    def end() -> None:
        server.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ "
            f"'{name}' AND datname = 'shop' AND pid <> pg_backend_pid()",
        )

    return end


def test_what_dies_in_the_middle_leaves_no_snapshot(
    server: PostgresServer, repository: Repository
) -> None:
    source = open_source(options(server, "shop"))
    quoted = "holdfast"
    for kill, said in (
        (lambda: kill_children("pg_dump"), "killed by SIGKILL"),
        (backends(server, quoted), "terminating connection|connection"),
    ):
        killed: list[int] = []

        def disturb(
            path: bytes, count: int, kill: Callable[[], None] = kill, killed: list[int] = killed
        ) -> None:
            if path == b"shop/data.sql" and count and not killed:
                killed.append(count)
                kill()

        with pytest.raises(ToolFailedError, match=said):
            save(repository, source, disturb)
        assert killed[0] < 2_000_000  # there was more to come
        assert list(repository.snapshots()) == []
    save(repository, source)
    assert (
        server.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'")
        == "0"
    )


def test_servers_logins_and_tools_that_are_not_there(
    server: PostgresServer, repository: Repository, tmp_path: Path
) -> None:
    def fails(error: type[DatabaseError], made: DatabaseOptions) -> str:
        with pytest.raises(error) as caught:
            save(repository, open_source(made))
        assert list(repository.snapshots()) == []
        return str(caught.value)

    access = server.data_directory / "pg_hba.conf"
    before = access.read_text()
    server.psql("postgres", "CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'right-word'")
    try:
        access.write_text(f"local all keeper scram-sha-256\n{before}")
        server.reload()
        keeper = options(server, user="keeper")
        said = fails(LoginError, keeper)
        assert "no password supplied" in said
        wrong = {**server.environment, "PGPASSWORD": "wrong-word"}
        said = fails(LoginError, replace(keeper, environment=wrong))
        assert "password authentication failed" in said
        assert "wrong-word" not in said
        passwords = tmp_path / "pgpass"
        passwords.write_text("*:*:*:keeper:right-word\n")
        passwords.chmod(0o600)
        right = replace(keeper, environment={**server.environment, "PGPASSFILE": str(passwords)})
        seen: list[bytes] = []

        def look(path: bytes, count: int) -> None:
            if path != b"shop/data.sql" or seen:
                return
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(line.read_bytes())
                except OSError:
                    continue

        snapshot = save(repository, open_source(replace(right, names=("shop",))), look)
        assert any(b"pg_dump" in words for words in seen)
        assert not any(b"right-word" in words for words in seen)
        assert "right-word" not in repr((right, snapshot))
        repository.backend.delete(f"snapshots/{snapshot.id}")
    finally:
        access.write_text(before)
        server.reload()
        server.psql("postgres", "DROP ROLE keeper")

    assert "answers" in fails(ServerUnreachableError, options(server, port=5999))
    assert "127.0.0.1:9" in fails(ServerUnreachableError, options(server, host="127.0.0.1", port=9))
    assert fails(ServerUnreachableError, options(server, host="no-such-host.invalid"))
    assert "nobody" in fails(LoginError, options(server, user="nobody"))
    assert "nosuch" in fails(DatabaseNotFoundError, options(server, "shop", "nosuch"))
    missing = {"maintenance-database": "nosuch"}
    assert "nosuch" in fails(DatabaseNotFoundError, options(server, settings=missing))

    tools = tmp_path / "tools"
    tools.mkdir()
    assert "psql" in fails(ToolNotFoundError, options(server, tools=str(tools)))
    for name in ("psql", "pg_dumpall"):
        (tools / name).symlink_to(server.bin / name)
    (tools / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    (tools / "pg_dump").chmod(0o755)
    assert "pg_dump 9" in fails(ToolVersionError, options(server, tools=str(tools)))
    (tools / "pg_dump").write_text("#!/bin/sh\necho gibberish\n")
    assert "gibberish" in fails(ToolVersionError, options(server, tools=str(tools)))

    # A table that is dropped between its listing and its lock ends pg_dump before it has written
    # anything: it is run again, but not for ever.
    tried = tmp_path / "tried"
    (tools / "pg_dump").write_text(
        f"""#!/bin/sh
case "$*" in *--version*) exec {server.bin}/pg_dump "$@";; esac
echo >>{tried}
if [ $(wc -l <{tried}) -le $FAILURES ]; then
    echo 'pg_dump: error: query failed: ERROR:  relation "public.x" does not exist' >&2
    echo 'pg_dump: detail: Query was: LOCK TABLE public.x IN ACCESS SHARE MODE' >&2
    exit 1
fi
exec {server.bin}/pg_dump "$@"
"""
    )
    unlucky = options(server, "latin", tools=str(tools))
    never = replace(unlucky, environment={**server.environment, "FAILURES": "99"})
    assert "public.x" in fails(ToolFailedError, never)
    tried.unlink()
    later = replace(unlucky, environment={**server.environment, "FAILURES": "3"})
    snapshot = save(repository, open_source(later))
    with stored(repository, snapshot) as files:
        assert b"d\xe9j\xe0" in b"".join(files.read(b"latin/data.sql"))
    assert tried.read_text().count("\n") == 4

    for wrong_options in (
        options(server, settings={"nonsense": "1"}),
        options(server, settings={"lock-timeout": "soon"}),
        options(server, "shop", "shop"),
    ):
        with pytest.raises(ConfigurationError):
            open_source(wrong_options)


def test_a_user_with_few_rights_saves_what_he_may(
    server: PostgresServer, empty: PostgresServer, repository: Repository
) -> None:
    server.psql("postgres", "CREATE ROLE poor LOGIN; CREATE DATABASE his OWNER poor")
    server.psql("his", "SET ROLE poor; CREATE TABLE t AS SELECT 5 AS i")
    try:
        source = open_source(options(server, user="poor"))
        assert any("shop: left out" in line for line in source.plan())
        # Others may be read by everybody, and are not his.
        for name in (ODD, "latin"):
            quoted = name.replace('"', '""')
            server.psql("postgres", f'REVOKE CONNECT ON DATABASE "{quoted}" FROM PUBLIC')
        snapshot = save(repository, source)
        assert [finding.path for finding in snapshot.findings] == [
            "latin",
            ODD,
            "shop",
            "globals.sql",
        ]
        assert "passwords" in snapshot.findings[-1].problem
        with pytest.raises(LoginError):
            save(repository, open_source(options(server, "shop", user="poor")))
        with stored(repository, snapshot) as files:
            text = b"".join(files.read(b"globals.sql"))
            assert b"PASSWORD" not in text
            restore(RestoreTo(options=options(empty, "his")), files)
        assert empty.psql("his", "TABLE t") == "5"
    finally:
        for name in (ODD, "latin"):
            quoted = name.replace('"', '""')
            server.psql("postgres", f'GRANT CONNECT ON DATABASE "{quoted}" TO PUBLIC')
        server.psql("postgres", "DROP DATABASE his; DROP ROLE poor")


def test_a_scratch_server_shows_whether_a_backup_can_be_restored(
    server: PostgresServer, repository: Repository
) -> None:
    snapshot = save(repository, open_source(options(server, "shop", ODD)))
    with tempfile.TemporaryDirectory(prefix="hf-", dir=postgres.fast_place()) as parent:
        os.chmod(parent, 0o755)
        # A socket's path has 107 bytes at most; directories may have more.
        directory = Path(parent) / ("long" * 30)
        directory.mkdir()
        with (
            stored(repository, snapshot) as files,
            open_scratch(options(server), Method.LOGICAL, str(directory)) as scratch,
        ):
            target = scratch.target()
            target.check(files)
            target.restore(files, no_progress)
            scratch.begin()
            assert scratch.databases() == [ODD, "postgres", "shop"]
            assert scratch.verify() == []
            assert scratch.ask("shop", "SELECT count(*) FROM sales.orders") == "30000"
            assert scratch.ask(ODD, "SELECT i, 2 FROM far; -- and no more") == "7"
            assert scratch.ask("shop", "SELECT E'two\\nlines', 2") == "two\nlines"
            assert scratch.ask("shop", "SELECT 1 WHERE false") == ""
            with pytest.raises(DatabaseError, match="nonsense"):
                scratch.ask("shop", "SELECT nonsense")
            with pytest.raises(DatabaseNotFoundError):
                scratch.ask("nosuch", "SELECT 1")
            pid = int((directory / "data" / "postmaster.pid").read_text().split()[0])
            assert os.path.exists(f"/proc/{pid}")
            # An index that does not fit its table is found.
            scratch.ask(
                "shop",
                "CREATE OR REPLACE FUNCTION sales.twice(i bigint) RETURNS bigint LANGUAGE sql "
                "IMMUTABLE AS 'SELECT 3 * i'",
            )
            assert any("lacks matching index tuple" in line for line in scratch.verify())
        assert not os.path.exists(f"/proc/{pid}")

        if os.geteuid() == 0:
            closed = Path(parent) / "closed"
            (closed / "inner").mkdir(parents=True)
            closed.chmod(0o700)
            with (
                pytest.raises(ConfigurationError, match="cannot enter"),
                open_scratch(options(server), Method.LOGICAL, str(closed / "inner")),
            ):
                pass
