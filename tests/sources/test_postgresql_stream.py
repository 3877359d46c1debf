"""What comes out of pg_basebackup, and what a restored server is told: the parts without a server."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.database_errors import ToolFailedError
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.format.node import NodeType
from holdfast.sources.base import DatabaseOptions, RestoreTo
from holdfast.sources.postgresql.manifest import decode_label, decode_manifest, missing_files
from holdfast.sources.postgresql.pages import only_pages_failed, page_findings
from holdfast.sources.postgresql.recovery import configured, plan_recovery
from holdfast.sources.postgresql.tar_stream import TarReader

Written = list[tuple[tarfile.TarInfo, bytes]]
SECOND = 1_000_000_000

# -- tar ------------------------------------------------------------------------------------------

_PATHS = st.lists(st.text("abcXYZ019_.-", min_size=1, max_size=12), min_size=1, max_size=4).map(
    lambda parts: "/".join(f"p{part}" for part in parts)
)
_ENTRIES = st.lists(
    st.tuples(
        _PATHS,
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]),
        st.binary(max_size=1200),
        st.integers(0, 0o7777),
        st.integers(0, 2_000_000),
        st.integers(0, (1 << 33) - 1),
    ),
    max_size=8,
)


def tar_of(entries: Written) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def reader_of(data: bytes, step: int = 1 << 20) -> TarReader:
    stream = io.BytesIO(data)
    return TarReader(lambda view: stream.readinto(view[:step]), "tool")


def read_content(reader: TarReader, most: int = 1 << 16) -> bytes:
    buffer, content = memoryview(bytearray(most)), b""
    while count := reader.readinto(buffer):
        content += buffer[:count]
    return content


@given(_ENTRIES, st.integers(100, 2000), st.lists(st.booleans(), min_size=8, max_size=8))
def test_every_entry_comes_out_as_it_went_in(
    drawn: list[tuple[str, bytes, bytes, int, int, int]], step: int, skipped: list[bool]
) -> None:
    entries: Written = []
    for path, kind, content, mode, owner, mtime in drawn:
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, owner, owner + 1, mtime
        info.size = len(content) if kind == tarfile.REGTYPE else 0
        info.linkname = "there" if kind == tarfile.SYMTYPE else ""
        entries.append((info, content))
    reader = reader_of(tar_of(entries), step)
    for (info, content), skip in zip(entries, skipped, strict=False):
        entry = reader.next()
        assert entry is not None
        assert entry.path == info.name.encode()
        kinds = {
            tarfile.REGTYPE: NodeType.FILE,
            tarfile.DIRTYPE: NodeType.DIRECTORY,
            tarfile.SYMTYPE: NodeType.SYMLINK,
        }
        meta = entry.meta
        assert meta.kind is kinds[info.type]
        assert (meta.mode, meta.uid, meta.gid) == (info.mode, info.uid, info.gid)
        assert meta.mtime_ns == info.mtime * SECOND
        assert meta.target == info.linkname.encode()
        assert entry.size == info.size
        if not skip and info.type == tarfile.REGTYPE:
            assert read_content(reader) == content
    assert reader.next() is None


def test_sizes_from_8_gib_on_are_read() -> None:
    info = tarfile.TarInfo("base/1/2")
    info.size = 9 << 30
    header = info.tobuf(format=tarfile.GNU_FORMAT)
    entry = reader_of(header).next()
    assert entry is not None
    assert entry.size == 9 << 30


def read_everything(reader: TarReader) -> None:
    while reader.next() is not None:
        read_content(reader)


@given(st.data())
def test_a_broken_stream_is_an_error_and_nothing_else(data: st.DataObject) -> None:
    info = tarfile.TarInfo("base/1/2")
    info.size = 1000
    stream = bytearray(tar_of([(info, b"x" * 1000)])[: 512 + 1024])
    if data.draw(st.booleans()):
        stream = stream[: data.draw(st.integers(0, len(stream)))]
    else:
        at = data.draw(st.integers(0, 511))
        stream[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ToolFailedError, match="tool failed"):
        read_everything(reader_of(bytes(stream)))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b"])
def test_a_path_that_leads_outside_is_refused(path: str) -> None:
    with pytest.raises(ToolFailedError, match="impossible entry"):
        reader_of(tar_of([(tarfile.TarInfo(path), b"")])).next()


# -- label and manifest ---------------------------------------------------------------------------

LABEL = b"""START WAL LOCATION: 0/1C000028 (file 00000001000000000000001C)
CHECKPOINT LOCATION: 0/1C000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-21 14:20:48 UTC
LABEL: holdfast
START TIMELINE: 1
"""


def manifest_of(*files: dict[str, object], ranges: list[dict[str, object]] | None = None) -> bytes:
    if ranges is None:
        ranges = [{"Timeline": 1, "Start-LSN": "0/1C000028", "End-LSN": "1/1C000138"}]
    content = {"PostgreSQL-Backup-Manifest-Version": 1, "Files": files, "WAL-Ranges": ranges}
    return json.dumps(content).encode()


def test_label_and_manifest_say_where_recovery_begins_and_ends() -> None:
    label = decode_label(LABEL)
    assert label.start_lsn == "0/1C000028"
    assert label.start_segment == "00000001000000000000001C"
    assert label.start_time == "2026-11-21 14:20:48 UTC"
    assert decode_manifest(manifest_of()).stop_lsn == (1 << 32) + 0x1C000138
    later: dict[str, object] = {"Timeline": 2, "Start-LSN": "1/1C000138", "End-LSN": "1/2C000000"}
    both = [later, {"Timeline": 1, "Start-LSN": "0/1C000028", "End-LSN": "1/1C000138"}]
    manifest = decode_manifest(manifest_of(ranges=both))
    assert (manifest.stop_timeline, manifest.stop_text) == (2, "1/2C000000")


@pytest.mark.parametrize(
    ("decode", "content"),
    [
        (decode_label, b""),
        (decode_label, LABEL.replace(b"file 0", b"file Z")),
        (decode_manifest, b"{"),
        (decode_manifest, b"\xff\xfe"),
        (decode_manifest, b'{"Files": []}'),
        (decode_manifest, manifest_of(ranges=[])),
        (
            decode_manifest,
            manifest_of(ranges=[{"Timeline": 1, "Start-LSN": "0/0", "End-LSN": "x"}]),
        ),
    ],
)
def test_what_is_no_label_or_manifest_is_refused(
    decode: Callable[[bytes], object], content: bytes
) -> None:
    with pytest.raises(ValueError, match=r"a (label|manifest)"):
        decode(content)


def test_files_that_differ_from_the_manifest_are_named() -> None:
    manifest = decode_manifest(
        manifest_of(
            {"Path": "base/1/1", "Size": 8192},
            {"Path": "base/1/2", "Size": 8192},
            {"Encoded-Path": b"odd\xff".hex(), "Size": 3},
        )
    )
    odd = "odd\udcff"
    whole = {"base/1/1": 8192, "base/1/2": 8192, odd: 3, "backup_manifest": 7, "pg_wal/0": 9}
    assert missing_files(manifest, whole) == []
    assert missing_files(manifest, {**whole, "base/1/1": 8191, "new": 1}) == ["base/1/1", "new"]
    del whole[odd]
    assert missing_files(manifest, whole) == [odd]


# -- messages about pages -------------------------------------------------------------------------

MESSAGES = [
    "NOTICE:  all required segments have been archived",
    'WARNING:  checksum verification failed in file "./base/5/16396", block 3: calculated C6F3',
    "WARNUNG:  Prüfsummen in »global/1262« stimmen nicht",
    "WARNING:  8 total checksum verification failures",
    "pg_basebackup: error: checksum error occurred",
]


def test_warnings_become_findings_of_the_file_they_name() -> None:
    assert page_findings(MESSAGES) == [
        Finding("base/5/16396", MESSAGES[1].removeprefix("WARNING:  ")),
        Finding("global/1262", "Prüfsummen in »global/1262« stimmen nicht"),
        Finding("data directory", "8 total checksum verification failures"),
    ]
    assert page_findings([]) == []


def test_only_damaged_pages_excuse_a_failure() -> None:
    assert only_pages_failed(MESSAGES)
    assert not only_pages_failed(MESSAGES[:-1])
    assert not only_pages_failed([*MESSAGES, "pg_basebackup: error: could not write"])
    assert not only_pages_failed([])


# -- what a restored server is told ---------------------------------------------------------------

END_NS = 1_795_270_849_064_602_000
PROPERTIES = {"end_time_ns": str(END_NS), "stop_lsn": "0/1C000138"}


def told(
    time_ns: int | None = None,
    target: Mapping[str, str] | None = None,
    log: tuple[str, ...] = ("get it",),
) -> dict[str, str]:
    to = RestoreTo(
        options=DatabaseOptions(),
        log_command=log,
        log_absent_code=40,
        target_time_ns=time_ns,
        target=target or {},
    )
    return dict(plan_recovery(to, PROPERTIES).settings)


FETCH = """'get it' %f "%p" || { c=$?; test $c -eq 40 && exit 40; exit 126; }"""


def test_without_an_archive_the_server_is_told_nothing() -> None:
    assert told(log=()) == {}
    with pytest.raises(ConfigurationError, match="needs the archived log"):
        told(END_NS, log=())


def test_without_a_target_the_server_stops_at_the_end_of_the_backup_on_its_timeline() -> None:
    settings = told()
    assert settings["recovery_target"] == "immediate"
    assert settings["recovery_target_timeline"] == "current"
    assert settings["restore_command"] == FETCH
    assert settings["recovery_target_action"] == "promote"


@pytest.mark.parametrize(
    ("time_ns", "target", "expected"),
    [
        (
            END_NS + 1_500_000_999,
            {},
            {"recovery_target_time": "2026-11-21 14:20:50.564602+00"},
        ),
        (None, {"xid": "747"}, {"recovery_target_xid": "747"}),
        (None, {"lsn": "0/1c000138"}, {"recovery_target_lsn": "0/1c000138"}),
        (None, {"name": "before it"}, {"recovery_target_name": "before it"}),
        (None, {"timeline": "latest"}, {}),
        (
            None,
            {"xid": "7", "timeline": "3", "inclusive": "off"},
            {
                "recovery_target_xid": "7",
                "recovery_target_timeline": "3",
                "recovery_target_inclusive": "off",
            },
        ),
    ],
)
def test_exactly_one_target_is_set(
    time_ns: int | None, target: dict[str, str], expected: dict[str, str]
) -> None:
    """The server refuses a second one, even an empty one."""
    always = {
        "restore_command": FETCH,
        "recovery_target_timeline": "latest",
        "recovery_target_inclusive": "on",
        "recovery_target_action": "promote",
    }
    assert told(time_ns, target) == {**always, **expected}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"xid": "7", "lsn": "0/1C000138"}, "one target"),
        ({"xid": "x"}, "no recovery target xid"),
        ({"lsn": "12"}, "no recovery target lsn"),
        ({"lsn": "0/1C000137"}, "before the end of this backup"),
        ({"timeline": "next"}, "no recovery target timeline"),
        ({"name": "é" * 32}, "no recovery target name"),
        ({"name": "a\nb"}, "no proper value"),
        ({"inclusive": "maybe"}, "no recovery target inclusive"),
        ({"moment": "7"}, "no recovery target 'moment'"),
    ],
)
def test_targets_that_make_no_sense_are_refused(target: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        told(None, target)


def test_a_moment_before_the_end_of_the_backup_is_refused() -> None:
    assert told(END_NS)["recovery_target_time"] == "2026-11-21 14:20:49.064602+00"
    with pytest.raises(ConfigurationError, match="lies before the end of this backup"):
        told(END_NS - 1)


@pytest.mark.parametrize(
    ("histories", "newest"),
    [
        ({}, "1"),
        ({2: b"1\t0/1C000138\tno recovery target\n"}, "2"),
        ({2: b"1\t0/1C000137\tbefore the backup ended\n"}, "1"),
        ({2: b"1\t0/1C000137\tx\n", 3: b"1\t0/1D000000\ty\n", 4: b"1 0/1 x\n2 0/2D000000 y"}, "3"),
        ({2: b"1\t0/1D000000\tx\n", 3: b"1\t0/1D000000\tx\n2\t0/1E000000\ty\n"}, "3"),
        ({7: b"5\t0/1E000000\tof another line\n", 8: b"# nothing"}, "1"),
    ],
)
def test_the_newest_timeline_is_one_that_the_backup_leads_to(
    histories: dict[int, bytes], newest: str
) -> None:
    to = RestoreTo(options=DatabaseOptions(), log_command=("x",), target={"timeline": "latest"})
    settings = plan_recovery(to, {**PROPERTIES, "timeline": "1"}, histories).settings
    assert settings["recovery_target_timeline"] == newest


def test_a_command_with_a_line_break_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="line break"):
        told(log=("a\nb",))


def test_what_an_earlier_recovery_left_is_replaced() -> None:
    existing = (
        b"# Do not edit\nwork_mem = '4MB'\nrecovery_target_xid = '7'\n"
        b"Restore_Command='old'\nrecovery_min_apply_delay = 9\nrecovery_prefetch = on\n"
        b"primary_conninfo = 'host=a'"
    )
    assert configured(existing, {"restore_command": "it's 100%% a\\b"}) == (
        b"# Do not edit\nwork_mem = '4MB'\nrecovery_prefetch = on\n"
        b"restore_command = 'it''s 100%% a\\\\b'\n"
    )
    assert configured(b"", {}) == b""
