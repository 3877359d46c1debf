"""Bytes of MariaDB's tools, without a server: the backup stream, dumps, binary logs, accounts."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.database_errors import LogGapError, LogSegmentInvalidError
from holdfast.sources.mariadb import binlog
from holdfast.sources.mariadb.dump_parts import DumpParts, database_of, directory_of
from holdfast.sources.mariadb.logical_target import account_of
from holdfast.sources.mariadb.stream_format import MAGIC, StreamError, unpack


def chunk(kind: bytes, path: bytes, rest: bytes = b"") -> bytes:
    return MAGIC + b"\0" + kind + struct.pack("<I", len(path)) + path + rest


def payload(path: bytes, offset: int, data: bytes) -> bytes:
    return chunk(b"P", path, struct.pack("<QQI", len(data), offset, zlib.crc32(data)) + data)


class Store:
    """Files by the name they are stored by; open ones are in `open`."""

    def __init__(self) -> None:
        self.files: dict[bytes, bytes] = {}
        self.open: dict[bytes, bytearray] = {}

    def begin(self, path: bytes) -> Store.Writer:
        assert path not in self.files
        assert path not in self.open
        self.open[path] = bytearray()
        return Store.Writer(self, path)

    class Writer:
        def __init__(self, store: Store, path: bytes) -> None:
            self._store, self._path = store, path

        def write(self, data: bytes | memoryview) -> None:
            self._store.open[self._path] += data

        def close(self) -> None:
            self._store.files[self._path] = bytes(self._store.open.pop(self._path))

    def restored(self, stream: bytes) -> dict[bytes, bytes]:
        """Unpack, and apply the changes of names as a restore does."""
        changes = unpack(io.BufferedReader(io.BytesIO(stream)), self.begin)
        assert not self.open
        kept = {path: data for path, data in self.files.items() if path not in changes.final}
        for stored, final in changes.final.items():
            if final is not None:
                assert final not in kept
                kept[final] = self.files[stored]
        return kept


def test_files_of_a_stream_come_out_whole_however_they_interleave() -> None:
    stream = (
        payload(b"./ibdata1", 0, b"one") + payload(b"a/t.ibd", 0, b"x" * 3_000_000)
        + payload(b"./ibdata1", 3, b"two") + chunk(b"E", b"./ibdata1")
        + chunk(b"S", b"a/t.ibd", struct.pack("<Q", 3_000_010)) + payload(b"a/t.ibd", 3_000_010, b"y")
        + chunk(b"E", b"a/t.ibd") + chunk(b"E", b"a/empty")
    )  # fmt: skip
    assert Store().restored(stream) == {
        b"ibdata1": b"onetwo",
        b"a/t.ibd": b"x" * 3_000_000 + bytes(10) + b"y",
        b"a/empty": b"",
    }


def test_renamed_and_dropped_tables_end_up_as_the_stream_says() -> None:
    def file(path: bytes, data: bytes) -> bytes:
        return payload(path, 0, data) + chunk(b"E", path)

    def rename(old: bytes, new: bytes) -> bytes:
        return chunk(b"R", old, struct.pack("<I", len(new)) + new)

    stream = (
        file(b"a", b"A") + file(b"b", b"B") + file(b"c", b"C") + file(b"d", b"D")
        + rename(b"a", b"t") + rename(b"b", b"a") + rename(b"t", b"b")  # a and b change places
        + chunk(b"D", b"c") + file(b"c", b"new") + chunk(b"D", b"never-there")
        + rename(b"d", b"e") + rename(b"e", b"d")
    )  # fmt: skip
    assert Store().restored(stream) == {b"a": b"B", b"b": b"A", b"c": b"new", b"d": b"D"}


GOOD = payload(b"f", 0, b"data") + chunk(b"E", b"f")


@pytest.mark.parametrize(
    "stream",
    [
        GOOD[:10], GOOD[:20], GOOD[:-1], payload(b"f", 0, b"data"),
        GOOD.replace(b"data", b"dato"), b"x" + GOOD, GOOD + chunk(b"Z", b"f"),
        payload(b"f", 0, b"data") + payload(b"f", 5, b"data"),
        payload(b"../f", 0, b"data"), payload(b"/etc/passwd", 0, b"data"), payload(b".", 0, b""),
        payload(b"a/../../f", 0, b"data"), chunk(b"E", b""), chunk(b"R", b"f", struct.pack("<I", 1) + b"g"),
        payload(b"f", 0, b"data") + chunk(b"D", b"f"),
        payload(b"f", 0, b"data") + chunk(b"S", b"f", struct.pack("<Q", 2)),
    ],
)  # fmt: skip
def test_a_damaged_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(StreamError):
        Store().restored(stream)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_another_file(position: int, change: int) -> None:
    stream = bytearray(GOOD)
    stream[position] ^= change
    try:
        restored = Store().restored(bytes(stream))
    except StreamError:
        return
    assert restored != {b"f": b"data"} or position == len(MAGIC)  # a flag has no meaning here


def border(name: str, then: bytes) -> bytes:
    return b"\n--\n-- Current Database: `%s`\n--\n\n%s" % (name.encode(), then)


DUMP = [
    (b"", b"-- begin\nSET NAMES x;\n"),
    (b"a/tables.sql", border("a", b"CREATE DATABASE `a`;\n\nUSE `a`;\n")
     + b"INSERT;\nDELIMITER ;;\nbody" + border("b", b"CREATE DATABASE `b`;") + b"\nend ;;\nDELIMITER ;\n"),
    (b"b/tables.sql", border("b", b"CREATE DATABASE `b`;\n\nUSE `b`;\n") + b"x" * 300),
    (b"a/views.sql", border("a", b"USE `a`;\nviews\n")),
    (b"b/views.sql", border("b", b"USE `b`;\n-- Dump completed\n")),
]  # fmt: skip


@given(st.lists(st.integers(1, 97), min_size=1, max_size=40), st.integers(1, 200))
def test_a_dump_is_cut_at_its_databases_however_it_is_read(sizes: list[int], wanted: int) -> None:
    whole, reads = io.BytesIO(b"".join(data for _, data in DUMP)), [0]

    def readinto(view: memoryview) -> int:
        reads[0] += 1
        return whole.readinto(view[: sizes[reads[0] % len(sizes)]])

    parts = DumpParts(readinto, ["a", "b"])
    found = []
    path: bytes | None = b""
    while path is not None:
        view, data = memoryview(bytearray(wanted)), b""
        while size := parts.readinto(view):
            data += view[:size]
        found.append((path, data))
        part = parts.next_part()
        path = None if part is None else part.path
    assert found == DUMP
    assert parts.is_complete


def test_a_dump_that_lacks_a_database_is_not_complete() -> None:
    parts = DumpParts(io.BytesIO(DUMP[0][1] + DUMP[1][1]).readinto, ["a", "b"])
    view = memoryview(bytearray(4096))
    while parts.readinto(view) or parts.next_part():
        pass
    assert not parts.is_complete


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_every_name_of_a_database_has_a_directory(name: str) -> None:
    directory = directory_of(name)
    assert b"/" not in directory
    assert b"\0" not in directory
    assert not directory.startswith(b".")
    assert database_of(directory) == name


def event(kind: int, body: bytes, *, at: int, time_s: int, flags: int = 0) -> bytes:
    length = 19 + len(body)
    return struct.pack("<IBIIIH", time_s, kind, 1, length, at + length, flags) + body


def log(*, closed_s: int | None, flags: int = 0) -> bytes:
    data = binlog.MAGIC + event(15, b"format" * 20, at=4, time_s=1000, flags=flags)
    data += event(2, b"query" * 400, at=len(data), time_s=1500)
    if closed_s is not None:
        data += event(4, bytes(8) + b"bin.000003" + b"crc!", at=len(data), time_s=closed_s)
    return data


def test_beginning_and_end_of_a_binary_log() -> None:
    closed, crashed = log(closed_s=1600), log(closed_s=None)
    first = binlog.first_event(io.BytesIO(closed), "bin.000002")
    assert binlog.begin_s(first) == 1000
    in_use = binlog.first_event(io.BytesIO(log(closed_s=None, flags=1)), "bin.000002")
    assert (
        binlog.fingerprint(in_use)
        == binlog.fingerprint(first)
        == "000003e8" + binlog.fingerprint(first)[8:]
    )
    assert binlog.end_s(io.BytesIO(closed), "bin.000002", len(closed)) == 1600
    assert binlog.end_s(io.BytesIO(crashed), "bin.000002", len(crashed)) is None
    assert binlog.last_event_s(io.BytesIO(crashed), "bin.000002") == 1500
    assert binlog.is_whole(io.BytesIO(closed))
    assert not binlog.is_whole(io.BytesIO(closed[:-1]))
    for wrong in (b"", b"\xfebin", b"\xfdbin" + closed[4:], closed[:4] + bytes(40), b"x" * 4000):
        with pytest.raises(LogSegmentInvalidError):
            binlog.first_event(io.BytesIO(wrong), "bin.000002")


def test_the_logs_that_follow_a_backup() -> None:
    names = ["bin.999998", "bin.999999", "bin.1000000", "bin.1000002", "note.txt"]
    assert binlog.in_order(reversed(names)) == [*names[:3], "bin.1000002"]
    assert binlog.run_from(names, "bin.999999") == (["bin.999999", "bin.1000000"], "bin.1000001")
    assert binlog.is_gap(names, "bin.1000001")
    assert not binlog.is_gap(names, "bin.1000003")
    with pytest.raises(LogGapError, match=r"bin\.000001"):
        binlog.run_from(names, "bin.000001")


@pytest.mark.parametrize(
    ("line", "account"),
    [
        ("CREATE USER `app`@`localhost` IDENTIFIED BY PASSWORD '*14'", ("app", "localhost")),
        ("CREATE USER IF NOT EXISTS `a``b`@`%`", ("a`b", "%")),
        ("GRANT SELECT ON `shop`.* TO `app`@`10.%` WITH GRANT OPTION", ("app", "10.%")),
        ("GRANT `boss` TO `app`@`localhost`", ("app", "localhost")),
        ("CREATE ROLE `boss`;", ("boss", "")),
        ("GRANT USAGE ON *.* TO `boss`;", ("boss", "")),
        ("/*M!100005 SET DEFAULT ROLE NONE FOR 'app'@'localhost' */;", ("app", "localhost")),
        ("/*!80001 ALTER USER 'it''s'@'%' DEFAULT ROLE NONE */;", ("it's", "%")),
        ("GRANT mariadb_dump_import_role TO CURRENT_USER();", None),
        ("SET ROLE NONE;", None),
    ],
)
def test_which_account_a_line_is_about(line: str, account: tuple[str, str] | None) -> None:
    assert account_of(line) == account
