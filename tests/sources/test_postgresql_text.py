"""What PostgreSQL's names, messages and statements become; no server is needed."""

from __future__ import annotations

import io
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotFoundError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
)
from holdfast.sources.base import DatabaseOptions
from holdfast.sources.postgresql.connection import Connection, connection_string, quote_text
from holdfast.sources.postgresql.facts import (
    DatabaseFacts,
    Grant,
    Setting,
    access_statements,
    create_statement,
    decode_facts,
    encode_facts,
    property_statements,
)
from holdfast.sources.postgresql.names import database_of, path_of
from holdfast.sources.postgresql.roles import (
    Globals,
    missing_statements,
    saved_globals,
    split_statements,
)
from holdfast.sources.postgresql.sections import Sections

names = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    st.sampled_from([".", "..", "globals.sql", "%67lobals.sql", "%2E", "a/b", "a%2Fb", "\n", "é"]),
)


@given(names, names)
def test_every_name_has_a_directory_of_its_own(name: str, other: str) -> None:
    path = path_of(name)
    assert database_of(path) == name
    assert b"/" not in path
    assert path not in (b"", b".", b"..", b"globals.sql")
    assert not any(byte <= 0x20 for byte in path)
    assert (path_of(other) == path) == (other == name)


def no_connection(host: str, reason: str) -> str:
    return f'connection to server at "h" ({host}), port 5432 failed: {reason}'


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        (
            'psql: error: connection to server on socket "/x/.s" failed: No such file; Is it there?',
            ServerUnreachableError,
            "No such file",
        ),
        (
            'psql: error: could not translate host name "x" to address: not known',
            ServerUnreachableError,
            'could not translate host name "x" to address: not known',
        ),
        (
            no_connection("::1", "FATAL:  the database system is starting up"),
            ServerUnreachableError,
            "the database system is starting up",
        ),
        (
            no_connection("::1", "FATAL:  password authentication failed")
            + "; "
            + no_connection("127.0.0.1", "Connection refused"),
            LoginError,
            "password authentication failed",
        ),
        (
            no_connection("::1", "Connection refused")
            + "; "
            + no_connection("127.0.0.1", "FATALE:  non si apre"),
            LoginError,
            "non si apre",
        ),
        (
            no_connection("::1", 'FATAL:  database "shop" does not exist'),
            DatabaseNotFoundError,
            "on 'h':1",
        ),
        (
            "psql: error: could not connect to server: Connection refused",
            ServerUnreachableError,
            "",
        ),
        ("pg_dump: error: query failed: FATAL:  terminating connection", ToolFailedError, ""),
    ],
)
def test_messages_of_tools_are_understood(said: str, error: type[Exception], reason: str) -> None:
    connection = Connection(DatabaseOptions(host="'h'", port=1))
    explained = connection.explain(ToolFailedError("psql", "exit code 2", said))
    assert type(explained) is error
    if reason:
        assert explained.reason == reason


def test_places_are_named_as_people_do() -> None:
    def place(environment: dict[str, str] | None = None, **more: str | int) -> str:
        options = DatabaseOptions(environment=environment or {}, **more)  # type: ignore[arg-type]
        return Connection(options).place

    assert place(host="db", port=1) == "db:1"
    assert place(host="::1") == "[::1]:5432"
    assert place(host="/run") == "the socket /run, port 5432"
    assert place() == "the socket of this machine, port 5432"
    assert place({"PGHOST": "h", "PGPORT": "7"}) == "h:7"
    assert place({"PGSERVICE": "shop"}) == "service shop"


def test_the_environment_of_tools_is_in_english_and_knows_no_other_database() -> None:
    given_one = {
        "PGDATABASE": "x",
        "PGCLIENTENCODING": "LATIN1",
        "LC_ALL": "de_DE",
        "PGPASSWORD": "p",
    }
    environment = Connection(DatabaseOptions(environment=given_one)).environment
    assert environment["LC_ALL"] == "C"
    assert environment["PGPASSWORD"] == "p"
    assert "PGDATABASE" not in environment
    assert "PGCLIENTENCODING" not in environment
    assert connection_string("host=x 'y\\") == "dbname='host=x \\'y\\\\'"
    assert quote_text("it's \\") == "E'it''s \\\\'"


PIECES = (
    b"-- dump\n",
    b"\n\n--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: o\n--\n",
    b"\n\n--\n-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: o\n--\n",
    b"\n\n--\n-- Name: i; Type: INDEX; Schema: public; Owner: o\n--\n",
    b"row of data\n" * 700,
    b"--\n",
    b"\n\n--\n-- Na",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.randoms(use_true_random=False))
def test_a_dump_is_cut_and_nothing_of_it_is_lost(pieces: list[bytes], random: Random) -> None:
    text = b"".join(pieces)
    source = io.BytesIO(text)

    def some(view: memoryview) -> int:
        return source.readinto(view[: random.choice((1, 7, 100, 5000, len(view)))])

    sections = Sections(some)
    parts: list[bytes] = []
    view = memoryview(bytearray(3000))
    for readinto in (sections.pre_data, sections.data, sections.post_data):
        part = b""
        while length := readinto(view[: random.choice((1, 50, 3000))]):
            part += view[:length]
        parts.append(part)
    assert b"".join(parts) == text
    # Where nothing looks like another border, a part begins where it should.
    data = text.find(b"\n\n--\n-- Data for Name: ")
    assert len(parts[0]) == (data + 2 if data >= 0 else len(text))
    index = text.find(b"\n\n--\n-- Name: i;", len(parts[0]))
    assert len(parts[0] + parts[1]) == (index + 2 if index >= 0 else len(text))


GLOBALS = r"""
--
-- Roles; and more
--
\restrict abc
SET client_encoding = 'UTF8';
CREATE ROLE clerk;
ALTER ROLE clerk WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b''c==';
COMMENT ON ROLE clerk IS E'a; \\ quote '' and
-- no comment';
CREATE ROLE "odd; ""role";
CREATE ROLE staff;
ALTER ROLE staff SET work_mem TO '1MB';
CREATE ROLE boss;
GRANT staff TO clerk GRANTED BY gone;
GRANT boss TO staff GRANTED BY postgres;
GRANT "odd; ""role" TO boss;
GRANT SET ON PARAMETER work_mem TO clerk;
CREATE TABLESPACE space OWNER postgres LOCATION '/mnt/it''s';
GRANT ALL ON TABLESPACE space TO clerk;
\unrestrict abc
"""


def test_what_is_missing_is_made_and_what_is_there_is_left() -> None:
    assert all(statement.endswith(";") for statement in split_statements(GLOBALS))
    assert len(list(split_statements(GLOBALS))) == 14
    saved = saved_globals(GLOBALS)
    assert saved.roles == {"clerk", 'odd; "role', "staff", "boss"}
    assert saved.tablespaces == {"space"}

    nothing = Globals(roles={"postgres"}, tablespaces=())
    everything = missing_statements(GLOBALS, nothing, None, in_place=False)
    assert len(everything) == 14
    assert "GRANT staff TO clerk;" in everything  # who granted it is not there
    assert "GRANT boss TO staff GRANTED BY postgres;" in everything
    in_place = missing_statements(GLOBALS, nothing, None, in_place=True)
    assert "CREATE TABLESPACE space OWNER postgres LOCATION '';" in in_place

    # One role, with the groups that it is in; nothing of what is there.
    wanted = Globals(roles={"clerk"}, tablespaces=())
    some = missing_statements(GLOBALS, nothing, wanted, in_place=False)
    made = {line for line in some if line.startswith("CREATE")}
    assert made == {f"CREATE ROLE {name};" for name in ("clerk", "staff", "boss", '"odd; ""role"')}
    present = Globals(roles={"clerk", "staff", "postgres"}, tablespaces={"space"})
    rest = missing_statements(GLOBALS, present, None, in_place=False)
    assert not any("clerk" in line or "TABLESPACE" in line for line in rest)
    assert "ALTER ROLE staff SET work_mem TO '1MB';" not in rest
    assert "GRANT boss TO staff GRANTED BY postgres;" in rest


@given(st.text(max_size=200))
def test_any_text_is_split_without_end(text: str) -> None:
    for statement in split_statements(text):
        assert statement.endswith(";")


def test_facts_become_statements() -> None:
    facts = DatabaseFacts(
        name="a",
        owner='o"',
        encoding="UTF8",
        collate="C",
        ctype="C",
        provider="i",
        locale="de",
        tablespace="space",
        connection_limit=0,
        allow_connections=False,
        is_template=True,
        comment="it's",
        grants=[Grant("CONNECT"), Grant("CREATE", "x", grantable=True)],
        settings=[
            Setting(['search_path="$user", a b, "c ""d"", e"']),
            Setting(["ext.name=v=1"], role="r"),
            Setting(["search_path="]),
        ],
    )
    assert decode_facts(encode_facts(facts), "a") == facts
    create = create_statement(facts, 'b"', 150000)
    assert create.startswith('CREATE DATABASE "b""" WITH TEMPLATE template0 OWNER "o""" ENCODING')
    assert "LOCALE_PROVIDER icu ICU_LOCALE 'de'" in create
    assert create.endswith('TABLESPACE "space"')
    assert "PROVIDER" not in create_statement(facts, "b", 140000)
    assert list(property_statements(facts, "b")) == [
        "COMMENT ON DATABASE \"b\" IS 'it''s'",
        'REVOKE ALL ON DATABASE "b" FROM PUBLIC, "o"""',
        'GRANT CONNECT ON DATABASE "b" TO PUBLIC',
        'GRANT CREATE ON DATABASE "b" TO "x" WITH GRANT OPTION',
        "ALTER DATABASE \"b\" SET \"search_path\" TO '$user', 'a b', 'c \"d\", e'",
        'ALTER ROLE "r" IN DATABASE "b" SET "ext"."name" TO \'v=1\'',
        'ALTER DATABASE "b" SET "search_path" TO \'\'',
    ]
    assert [line.split('"b" ')[1] for line in access_statements(facts, "b")] == [
        *("CONNECTION LIMIT 0", "IS_TEMPLATE true", "ALLOW_CONNECTIONS false"),
    ]
    for damaged in (b"", b"{}", b"[1]", b"\xff"):
        with pytest.raises(DatabaseDamagedError):
            decode_facts(damaged, "a")
