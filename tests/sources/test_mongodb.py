"""MongoDB by stand-ins of its tools: archives saved, restored, looked into, and what goes wrong.

No server can be had here: support/mongodb_tools.py says what the stand-ins promise and what not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    LoginError,
    ServerUnreachableError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError
from holdfast.sources import mongodb
from holdfast.sources.base import DatabaseOptions, DatabaseTarget, Method, RestoreTo
from holdfast.sources.mongodb_archive import ArchiveError, fields_of, read_archive
from support import mongodb_tools
from support.processes import kill_children
from support.sinks import MemoryFiles, MemorySink

PASSWORD = 'pa"ss: word'
DATABASES = {
    "admin": {"system.version": ["one"]},
    "shop": {"customers": [f"customer {i}" for i in range(40)], "orders": [], "view of": []},
    "wiki": {"pages": [f"page {i}" * 9 for i in range(300)]},
}


class Servers:
    """Files that play servers, and options that reach them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tools = directory / "tools"
        mongodb_tools.install(self.tools)
        self.seen = directory / "seen"

    def start(self, name: str, **facts: Any) -> Path:
        server: dict[str, Any] = {
            "version": "7.0.1", "user": "backup", "password": PASSWORD, "replica": True,
            "databases": {}, "oplog": ["inserted"], **facts,
        }  # fmt: skip
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(server))
        return path

    def options(
        self,
        server: Path,
        *names: str,
        settings: Mapping[str, str] | None = None,
        password: str = PASSWORD,
    ) -> DatabaseOptions:
        return DatabaseOptions(
            host=str(server),
            user="backup",
            names=names,
            tools=str(self.tools),
            settings=settings or {},
            environment={
                "PATH": os.defpath, "MONGODB_PASSWORD": password, "STAND_IN_SEEN": str(self.seen),
            },
        )  # fmt: skip

    def save(self, server: Path, *names: str, **settings: str) -> MemorySink:
        sink = MemorySink(buffer_size=997)
        mongodb.open_source(self.options(server, *names, settings=settings)).backup(sink)
        return sink

    def target(
        self,
        server: Path,
        *names: str,
        renamed: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> DatabaseTarget:
        to = RestoreTo(
            options=self.options(server, *names), renamed=renamed or {}, overwrite=overwrite
        )
        return mongodb.open_target(to, Method.LOGICAL)


def ignore(_: str, __: int) -> None:
    pass


def state(server: Path) -> dict[str, Any]:
    found = json.loads(server.read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def test_a_replica_set_goes_into_one_archive_with_its_oplog_and_back(servers: Servers) -> None:
    full = servers.start("full", databases=DATABASES)
    source = mongodb.open_source(servers.options(full))
    assert source.check() == "MongoDB 7.0.1"
    assert source.paths() == (b"",)
    assert "oplog" in source.plan()[0]
    sink = servers.save(full)
    file = sink.files[b"all.archive"]
    assert file.profile is Profile.DUMP
    assert sink.properties == {"oplog": "yes"}
    assert not sink.findings
    assert servers.save(full).files[b"all.archive"].data == file.data, "the same again"
    arguments = servers.seen.read_text()
    assert "--oplog" in arguments
    assert "gzip" not in arguments
    assert PASSWORD not in arguments

    empty = servers.start("empty")
    told: list[int] = []
    target = servers.target(empty)
    assert any("shop" in line for line in target.plan(sink.stored()))
    assert target.restore(sink.stored(), lambda _, count: told.append(count)) == []
    restored = state(empty)
    assert restored["replayed"] == ["inserted"]
    assert restored["databases"]["wiki"] == DATABASES["wiki"]
    assert restored["databases"]["shop"]["customers"] == DATABASES["shop"]["customers"]
    assert sum(told) == len(file.data)
    with pytest.raises(DatabaseNotEmptyError, match=r"the database shop.*--overwrite"):
        target.check(sink.stored())
    servers.target(empty, overwrite=True).restore(sink.stored(), ignore)
    assert state(empty)["databases"]["wiki"] == DATABASES["wiki"]


def test_a_single_server_has_no_oplog_and_needs_none(servers: Servers) -> None:
    single = servers.start("single", databases=DATABASES, replica=False)
    sink = servers.save(single)
    assert sink.labels == ["all"]
    assert sink.properties == {"oplog": "no"}
    empty = servers.start("empty", replica=False)
    servers.target(empty).restore(sink.stored(), ignore)
    assert "replayed" not in state(empty)
    with pytest.raises(ToolFailedError, match="no documents in result"):
        servers.save(single, oplog="yes")


def test_named_databases_go_into_archives_of_their_own(servers: Servers) -> None:
    full = servers.start("full", databases=DATABASES)
    source = mongodb.open_source(servers.options(full, "shop", "wiki"))
    assert source.check() == "MongoDB"
    assert source.paths() == (b"shop.archive", b"wiki.archive")
    sink = servers.save(full, "shop", "wiki")
    assert sink.labels == ["shop", "wiki"]
    empty = servers.start("empty")
    servers.target(empty, "wiki").restore(sink.stored(), ignore)
    assert list(state(empty)["databases"]) == ["wiki"]
    servers.target(empty, "wiki", renamed={"wiki": "old"}).restore(sink.stored(), ignore)
    assert state(empty)["databases"]["old"] == DATABASES["wiki"]
    with pytest.raises(DatabaseNotFoundError, match="nothing"):
        servers.target(empty, "nothing").check(sink.stored())
    with pytest.raises(DatabaseNotFoundError, match="absent"):
        servers.save(full, "absent")
    whole = servers.save(full)
    told = servers.target(empty, "shop").restore(whole.stored(), ignore)
    assert "oplog could not be replayed" in told[0]
    assert sorted(state(empty)["databases"]) == ["old", "shop", "wiki"]


def test_archives_are_looked_into_without_a_server(servers: Servers) -> None:
    full = servers.start("full", databases=DATABASES)
    for parallel in ("1", "2"):
        files = servers.save(full, parallel=parallel).stored()
        with mongodb.open_scratch(DatabaseOptions(), Method.LOGICAL, "") as scratch:
            scratch.target().restore(files, ignore)
            scratch.begin()
            assert scratch.databases() == ["admin", "shop", "wiki"]
            assert scratch.verify() == []
            assert scratch.ask("wiki", "count pages") == "300"
            assert scratch.ask("shop", "count orders") == "0"
            asked = [
                scratch.ask("wiki", f"count pages {sign} 300")
                for sign in ["=", "!=", "<", "<=", ">", ">="]
            ]
            assert asked == ["1", "0", "0", "1", "0", "1"]
            with pytest.raises(ToolFailedError, match="without a server"):
                scratch.ask("shop", "db.orders.find()")
            with pytest.raises(DatabaseNotFoundError):
                scratch.ask("other", "count orders")
    whole = files.files[b"all.archive"]
    for cut in (0, 3, 50, len(whole) // 2, len(whole) - 1, len(whole) - 4, len(whole) - 90):
        with mongodb.open_scratch(DatabaseOptions(), Method.LOGICAL, "") as scratch:
            scratch.target().restore(MemoryFiles({b"all.archive": whole[:cut]}), ignore)
            assert "not whole" in scratch.verify()[0], cut


@given(st.data())
def test_archives_of_any_bytes_are_whole_or_an_error(data: st.DataObject) -> None:
    document = mongodb_tools.encode({"db": "d", "collection": "c", "EOF": True, "CRC": 1 << 63})
    assert fields_of(document)["EOF"] is True
    whole = bytearray(
        mongodb_tools.MAGIC
        + mongodb_tools.encode({"server_version": "7"})
        + mongodb_tools.TERMINATOR
        + document
        + mongodb_tools.TERMINATOR
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(1, 50))
    pieces = [bytes(whole[at : at + size]) for at in range(0, len(whole), size)]
    try:
        prelude, counted = read_archive(pieces)
    except ArchiveError:
        return
    assert not prelude.namespaces
    assert sum(counted.values()) == 0


def test_a_uri_or_a_file_of_the_tools_own_is_enough(servers: Servers, tmp_path: Path) -> None:
    full = servers.start("full", databases=DATABASES, password="secret")
    environment = {"PATH": os.defpath, "STAND_IN_SEEN": str(servers.seen)}
    uri = f"mongodb://backup:secret@stand-in{full}"
    by_uri = DatabaseOptions(
        tools=str(servers.tools), environment={**environment, "MONGODB_URI": uri}
    )
    assert mongodb.open_source(by_uri).check() == "MongoDB 7.0.1"
    own = tmp_path / "tools.yaml"
    own.write_text(f"uri: {json.dumps(uri)}\n")
    by_file = DatabaseOptions(
        tools=str(servers.tools), environment=environment, settings={"config": str(own)}
    )
    assert mongodb.open_source(by_file).check() == "MongoDB 7.0.1"
    assert "secret" not in servers.seen.read_text()
    for wrong in (
        DatabaseOptions(environment={"MONGODB_URI": uri}, host="h"),
        DatabaseOptions(environment={"MONGODB_URI": uri}, settings={"config": str(own)}),
        DatabaseOptions(names=("a/b",)),
        DatabaseOptions(names=("a",), settings={"oplog": "yes"}),
        DatabaseOptions(settings={"oplog": "perhaps"}),
        DatabaseOptions(settings={"parallel": "0"}),
        DatabaseOptions(settings={"password": "x"}),
        DatabaseOptions(method=Method.PHYSICAL),
    ):
        with pytest.raises(ConfigurationError):
            mongodb.open_source(wrong)
    for to in (
        RestoreTo(options=DatabaseOptions(), directory="/d"),
        RestoreTo(options=DatabaseOptions(), target_time_ns=1),
    ):
        with pytest.raises(ConfigurationError):
            mongodb.open_target(to, Method.LOGICAL)


def test_no_server_no_login_no_tool(servers: Servers, tmp_path: Path) -> None:
    full = servers.start("full", databases=DATABASES)
    down = servers.options(tmp_path / "none.json")
    wrong = servers.options(full, password="wrong")
    for options, error in ((down, ServerUnreachableError), (wrong, LoginError)):
        with pytest.raises(error):
            mongodb.open_source(options).check()
        with pytest.raises(error):
            mongodb.open_source(options).backup(MemorySink())
    stored = servers.save(full).stored()
    refused = mongodb.open_target(RestoreTo(options=wrong), Method.LOGICAL)
    with pytest.raises(LoginError):
        refused.check(stored)
    (servers.tools / "mongorestore").unlink()
    with pytest.raises(ToolNotFoundError, match="mongodb-database-tools"):
        servers.target(full).check(stored)


def test_dumps_that_fail_stop_or_are_killed_are_errors(servers: Servers) -> None:
    for facts in ({"dies": "pages"}, {"stops": "pages"}, {"stops": "customers"}):
        server = servers.start("full", databases=DATABASES, **facts)
        sink = MemorySink()
        with pytest.raises(ToolFailedError) as caught:
            mongodb.open_source(servers.options(server)).backup(sink)
        assert not sink.files, facts
        assert caught.value.subject == "mongodump"
    slow = servers.start("slow", databases=DATABASES, pause=30)

    def kill(_: bytes, place: int) -> None:
        if place:
            kill_children("mongodump")

    with pytest.raises(ToolFailedError, match="SIGKILL"):
        mongodb.open_source(servers.options(slow)).backup(MemorySink(before_read=kill))


def test_a_collection_that_is_dropped_in_the_middle_is_a_finding(servers: Servers) -> None:
    server = servers.start("full", databases=DATABASES, dropped="shop.gone")
    sink = servers.save(server)
    assert [finding.problem for finding in sink.findings] == [
        "the collection `shop.gone` appears to have been dropped after the dump started"
    ]


def test_what_is_no_archive_is_neither_saved_nor_restored(servers: Servers) -> None:
    full = servers.start("full", databases=DATABASES)
    for name in ("mongodump", "mongorestore"):
        (servers.tools / name).write_text("#!/bin/sh\nyes no archive\n")
    with pytest.raises(ToolFailedError, match="no archive"):
        servers.save(full)
    for files in ({}, {b"all.archive": b"nothing of the kind"}):
        with pytest.raises(DatabaseDamagedError):
            servers.target(full).check(MemoryFiles(files))


def test_documents_that_are_refused_are_an_error(servers: Servers) -> None:
    full = servers.start("full", databases={"shop": {"orders": ["a", "b"]}})
    stored = servers.save(full).stored()
    target = servers.target(servers.start("other"))
    (servers.tools / "mongorestore").write_text(
        "#!/bin/sh\ncat > /dev/null\n"
        "echo '7 document(s) restored successfully. 2 document(s) failed to restore.' >&2\n"
    )
    with pytest.raises(ToolFailedError, match="2 documents were refused"):
        target.restore(stored, ignore)
