"""Golden files: the bytes of format version 1, which no later program may write or read otherwise.

Each case is a .bin with the stored bytes and a .json with what they mean. They are written under
fixed keys and a fixed stream in place of the system's randomness; `pytest --update-golden` writes
them anew, which is right only as long as no release has written the format.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.crypto.aead import Suite
from holdfast.crypto.kdf import Argon2Parameters
from holdfast.crypto.keys import Subkeys
from holdfast.crypto.secrets import KeyFile, Password, RecoveryKey, Secret
from holdfast.findings import Finding
from holdfast.format.config import Config, decode_config, encode_config
from holdfast.format.copies import decode_copy_list, encode_copy_list, make_copy_list
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.format.gc import (
    Close,
    Condemn,
    Entry,
    LogHorizon,
    Seal,
    decode_entry,
    encode_entry,
    join_ids,
)
from holdfast.format.index import PackEntry, decode_index, encode_index
from holdfast.format.keyslot import decode_slot, encode_slot, make_slot, open_slot
from holdfast.format.log_segment import SegmentHead, SegmentOpener, SegmentSealer
from holdfast.format.marks import ForgetMark, SessionMark, decode_session, encode_mark
from holdfast.format.node import Node, NodeExtra, NodeType, decode_page, encode_page
from holdfast.format.pack import (
    FOOTER_LENGTH,
    PACK_END_LENGTH,
    PACK_HEADER_LENGTH,
    BlobKind,
    decode_directory,
    decode_footer,
    encode_end,
    make_header,
    open_header,
    open_slice,
    seal_slice,
    wrap_data_key,
)
from holdfast.format.snapshot import (
    Commit,
    DatabaseRecord,
    Snapshot,
    SnapshotStats,
    StreamRecord,
    decode_commit,
    encode_commit,
    open_snapshot,
    seal_snapshot,
)
from holdfast.hashing import trailer
from holdfast.ids import ObjectId

DIRECTORY = Path(__file__).parents[2] / "golden" / "format_v1"
ROOT_KEY = bytes(range(100, 132))
REPOSITORY_ID = bytes(range(16))
KEYS = Subkeys.derive(ROOT_KEY, REPOSITORY_ID)
ID = ObjectId("00112233445566778899aabbccddeeff")
SECRETS: dict[str, Secret] = {
    "keyslot_password": Password("correct horse battery staple"),
    "keyslot_key_file": KeyFile(bytes(range(32))),
    "keyslot_recovery": RecoveryKey(bytes(range(32, 64))),
}


def envelope(suite: Suite) -> Envelope:
    return Envelope(REPOSITORY_ID, KEYS.objects, suite)


def plain(value: object) -> Any:
    """As JSON shows it; bytes in hex."""
    return json.loads(
        json.dumps(
            msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True),
            default=lambda data: "hex:" + data.hex(),
        )
    )


PAGE = [
    Node(b"dir", NodeType.DIRECTORY.value, 0o755, 0, 0, 0, 10, 11, 12, 13, bytes(range(32))),
    Node(
        b"file",
        NodeType.FILE.value,
        0o4644,
        1000,
        2**32 - 1,
        2**40,
        1_700_000_000_123_456_789,
        1_700_000_001_000_000_000,
        2**63,
        66306,
        bytes(range(64)),
        NodeExtra(
            flags=1,
            link_count=3,
            xattrs=((b"user.a", b"\0\xff"),),
            holes=(0, 4096, 8192, 2**39),
            atime_ns=7,
            depth=1,
        ),
    ),
    Node(
        b"null",
        NodeType.CHARACTER_DEVICE.value,
        0o666,
        0,
        0,
        0,
        1,
        0,
        5,
        6,
        b"",
        NodeExtra(rdev=259),
    ),
    Node(
        b"\xff\n", NodeType.SYMLINK.value, 0o777, 0, 0, 0, -1, 1, 2, 3, b"", NodeExtra(target=b"t")
    ),
]
CONFIG = Config(created_ns=1_800_000_000_000_000_000, program_version="0.1.0")
SNAPSHOT = Snapshot(
    id=ID,
    time_ns=1_800_000_000_000_000_001,
    host="host",
    user="ann",
    raw_paths=(b"/home/ann", b"/\xff"),
    root=bytes(range(32)),
    tags=("weekly",),
    excludes=("*.o",),
    parent="f" * 32,
    partial=True,
    program_version="0.1.0",
    user_names={1000: "ann"},
    group_names={100: "users"},
    stats=SnapshotStats(files_new=1, logical_bytes=2**40, bytes_stored=17),
    findings=(Finding("/home/ann/x", "permission denied"),),
    original="e" * 32,
    xattr_names=(b"system.posix_acl_access", b"user.\xff"),
    database=DatabaseRecord(
        kind="postgresql",
        method="physical",
        instance="main",
        server_version="15.8",
        streams=(
            StreamRecord(
                label="data",
                files=7,
                logical_bytes=2**40,
                new_bytes=2**20,
                stored_bytes=2**19,
                duration_ns=8,
            ),
        ),
        properties={"log_kind": "wal", "log_start": "000000010000000000000003"},
    ),
)
PREVIOUS: dict[str, Any] = {
    "previous_hash": bytes(range(32)),
    "time_ns": 1_800_000_000_000_000_003,
    "host": "host",
}
OTHER = "f" * 32
HORIZONS = (
    LogHorizon(archive=bytes.fromhex(ID), kind="wal", first="000000020000000000000007"),
    LogHorizon(archive=bytes.fromhex(OTHER), kind="binlog", first="000042"),
)
LOG: dict[int, Entry] = {
    3: Condemn(
        **PREVIOUS, packs=join_ids([OTHER, ID]), index_ids=join_ids([ID]), logs=HORIZONS[:1]
    ),
    4: Close(**PREVIOUS),
    5: Seal(
        **PREVIOUS,
        live=join_ids([ID]),
        doomed=join_ids([OTHER]),
        index_ids=join_ids([ID]),
        superseded=join_ids([OTHER]),
        forgotten=b"",
        logs=HORIZONS,
    ),
}
SEGMENT = b"log record " * 100_000
SEGMENT_NAME = f"logs/{ID}/00000001000000000000000-41"
FORGET = ForgetMark(time_ns=1_800_000_000_000_000_004, host="host")
SESSION = SessionMark(session_id=ID, started_ns=1_800_000_000_000_000_005, host="host", view=5)
COPIES = make_copy_list(
    {ObjectId(OTHER): b"", ID: b"", ObjectId("e" * 32): bytes(range(16, 32))},
    time_ns=1_800_000_000_000_000_006,
    host="host",
)
BLOBS = (b"first blob " * 9000, b"second")


def make_page() -> bytes:
    return encode_page(PAGE)


def make_config() -> bytes:
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.CONFIG, "config", encode_config(CONFIG))


def make_snapshot() -> bytes:
    commit = Commit(
        view=-1,
        index_ids=(ID,),
        host="host",
        host_sequence=2,
        previous_hash=bytes(range(32)),
        sealed=seal_snapshot(SNAPSHOT, KEYS.snapshots, REPOSITORY_ID),
    )
    name = f"snapshots/{ID}"
    return envelope(Suite.CHACHA20_POLY1305).seal(ObjectKind.SNAPSHOT, name, encode_commit(commit))


def make_index() -> bytes:
    entry = PackEntry(
        header=make_pack()[:PACK_HEADER_LENGTH],
        stored_size=len(make_pack()),
        slice_sizes=array("I", [70, 40]),
        lengths=array("I", map(len, BLOBS)),
        ids=b"".join(KEYS.data_hash()(blob) for blob in BLOBS),
    )
    return encode_index([entry])


def make_pack() -> bytes:
    data_key = bytes(range(200, 232))
    header = make_header(
        repository_id=REPOSITORY_ID,
        pack_id=ID,
        kind=BlobKind.DATA,
        slice_size=1 << 16,
        suite=Suite.AES_256_GCM,
        data_key=data_key,
        wrapped_key=wrap_data_key(data_key, KEYS.data_key_wrap, REPOSITORY_ID),
    )
    stream = b"".join(BLOBS)
    parts = [stream[at : at + (1 << 16)] for at in range(0, len(stream), 1 << 16)]
    slices = [
        seal_slice(header, n, part, last=n == len(parts) - 1, level=3)
        for n, part in enumerate(parts)
    ]
    offset = PACK_HEADER_LENGTH + sum(map(len, slices))
    end = encode_end(
        header, offset, array("I", map(len, slices)), array("I", map(len, BLOBS)), 1 << 20
    )
    content = b"".join((header.raw, *slices, end))
    return content + trailer(content)


def make_entry(number: int) -> bytes:
    body = encode_entry(LOG[number])
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.GC, f"gc/{number:010d}", body)


def make_forget() -> bytes:
    name = f"forgets/{ID}"
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.FORGET, name, encode_mark(FORGET))


def make_session() -> bytes:
    name = f"sessions/{OTHER}"
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.SESSION, name, encode_mark(SESSION))


def make_copies() -> bytes:
    name = f"copies/{ID}"
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.COPY, name, encode_copy_list(COPIES))


def make_log_segment() -> bytes:
    head = SegmentHead(
        kind="wal", identity="73", name="00000001000000000000000A", size=len(SEGMENT)
    )
    sealer = SegmentSealer(envelope(Suite.AES_256_GCM), SEGMENT_NAME, head)
    pieces = [sealer.begin()]
    for at in range(0, len(SEGMENT), 1 << 20):
        pieces += sealer.add(SEGMENT[at : at + (1 << 20)])
    return b"".join([*pieces, *sealer.end()])


def make_repack() -> bytes:
    """A commit without a snapshot."""
    commit = Commit(
        view=5, index_ids=(ID,), host="host", host_sequence=1, previous_hash=bytes(32), sealed=b""
    )
    name = f"snapshots/{OTHER}"
    return envelope(Suite.AES_256_GCM).seal(ObjectKind.SNAPSHOT, name, encode_commit(commit))


def make_keyslot(kind: str) -> bytes:
    slot = make_slot(
        SECRETS[kind],
        ROOT_KEY,
        REPOSITORY_ID,
        label="desk",
        created_ns=1_800_000_000_000_000_002,
        argon2=Argon2Parameters(),
    )
    return encode_slot(slot, REPOSITORY_ID)


def read_page(data: bytes) -> object:
    return decode_page(data)


def read_config(data: bytes) -> object:
    return decode_config(envelope(Suite.AES_256_GCM).open(ObjectKind.CONFIG, "config", data))


def read_snapshot(data: bytes) -> object:
    body = envelope(Suite.AES_256_GCM).open(ObjectKind.SNAPSHOT, f"snapshots/{ID}", data)
    commit = decode_commit(body, ID)
    snapshot = open_snapshot(commit.sealed, ID, KEYS.snapshots, REPOSITORY_ID)
    return {"commit": msgspec.structs.asdict(commit) | {"sealed": ""}, "snapshot": snapshot}


def read_repack(data: bytes) -> object:
    body = envelope(Suite.AES_256_GCM).open(ObjectKind.SNAPSHOT, f"snapshots/{OTHER}", data)
    return msgspec.structs.asdict(decode_commit(body, OTHER))


def read_entry(number: int, data: bytes) -> object:
    name = f"gc/{number:010d}"
    body = envelope(Suite.AES_256_GCM).open(ObjectKind.GC, name, data)
    return msgspec.structs.asdict(decode_entry(number, body))


def read_forget(data: bytes) -> object:
    body = envelope(Suite.AES_256_GCM).open(ObjectKind.FORGET, f"forgets/{ID}", data)
    return msgspec.structs.asdict(msgspec.msgpack.decode(body, type=ForgetMark))


def read_session(data: bytes) -> object:
    name = f"sessions/{OTHER}"
    body = envelope(Suite.AES_256_GCM).open(ObjectKind.SESSION, name, data)
    return msgspec.structs.asdict(decode_session(body, name))


def read_copies(data: bytes) -> object:
    name = f"copies/{ID}"
    return decode_copy_list(envelope(Suite.AES_256_GCM).open(ObjectKind.COPY, name, data), name)


def read_log_segment(data: bytes) -> object:
    opener = SegmentOpener(envelope(Suite.AES_256_GCM), SEGMENT_NAME)
    content = b"".join([*opener.feed(data), *opener.end()])
    assert content == SEGMENT
    return {"head": opener.head, "sha256": hashlib.sha256(content).hexdigest()}


def read_index(data: bytes) -> object:
    return [
        {
            "header": entry.header,
            "stored_size": entry.stored_size,
            "slice_sizes": list(entry.slice_sizes),
            "lengths": list(entry.lengths),
            "ids": entry.ids,
        }
        for entry in decode_index(data, ID)
    ]


def read_pack(data: bytes) -> object:
    header = open_header(data[:PACK_HEADER_LENGTH], KEYS.data_key_wrap, REPOSITORY_ID, ID)
    assert trailer(data[:-32]) == data[-32:]
    footer = data[-PACK_END_LENGTH:][:FOOTER_LENGTH]
    offset, length = decode_footer(header, footer, len(data))
    sizes, lengths = decode_directory(header, data[offset : offset + length])
    at, stream = PACK_HEADER_LENGTH, b""
    for number, size in enumerate(sizes):
        stream += open_slice(header, number, data[at : at + size], last=number == len(sizes) - 1)
        at += size
    assert stream == b"".join(BLOBS)
    return {
        "pack_id": header.pack_id,
        "kind": header.kind,
        "slice_size": header.slice_size,
        "slices": len(sizes),
        "lengths": list(lengths),
        "stream_sha256": hashlib.sha256(stream).hexdigest(),
    }


def read_keyslot(kind: str, data: bytes) -> object:
    repository_id, slot = decode_slot(data, ID)
    assert open_slot(slot, SECRETS[kind], repository_id) == ROOT_KEY
    return {"kind": slot.kind, "label": slot.label, "created_ns": slot.created_ns,
            "memory_kib": slot.memory_kib, "passes": slot.passes, "lanes": slot.lanes}  # fmt: skip


CASES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "page": (make_page, read_page),
    "config": (make_config, read_config),
    "snapshot": (make_snapshot, read_snapshot),
    "index": (make_index, read_index),
    "pack": (make_pack, read_pack),
    "repack": (make_repack, read_repack),
    "gc_condemn": (partial(make_entry, 3), partial(read_entry, 3)),
    "gc_close": (partial(make_entry, 4), partial(read_entry, 4)),
    "gc_seal": (partial(make_entry, 5), partial(read_entry, 5)),
    "forget": (make_forget, read_forget),
    "session": (make_session, read_session),
    "copies": (make_copies, read_copies),
    "log_segment": (make_log_segment, read_log_segment),
    **{kind: (partial(make_keyslot, kind), partial(read_keyslot, kind)) for kind in SECRETS},
}
# HPKE makes its own ephemeral keys, so these bytes differ each time and are only read.
UNREPEATABLE = {"keyslot_recovery"}


@pytest.fixture
def fixed_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th request for random bytes gives SHAKE-256 of n."""
    requests = 0

    def urandom(length: int) -> bytes:
        nonlocal requests
        requests += 1
        return hashlib.shake_256(requests.to_bytes(8, "little")).digest(length)

    monkeypatch.setattr("os.urandom", urandom)


@pytest.fixture
def golden(request: pytest.FixtureRequest, fixed_randomness: None) -> Callable[[str], bytes]:
    def stored(case: str) -> bytes:
        if request.config.getoption("--update-golden"):
            make, read = CASES[case]
            data = make()
            (DIRECTORY / f"{case}.bin").write_bytes(data)
            text = json.dumps(plain(read(data)), indent=1, ensure_ascii=True)
            (DIRECTORY / f"{case}.json").write_text(text + "\n")
        return (DIRECTORY / f"{case}.bin").read_bytes()

    return stored


@pytest.mark.parametrize("case", CASES)
def test_stored_bytes_mean_what_they_meant(case: str, golden: Callable[[str], bytes]) -> None:
    data = golden(case)
    _, read = CASES[case]
    assert plain(read(data)) == json.loads((DIRECTORY / f"{case}.json").read_text())


@pytest.mark.parametrize("case", sorted(CASES.keys() - UNREPEATABLE))
def test_the_same_bytes_are_written(case: str, fixed_randomness: None) -> None:
    make, _ = CASES[case]
    assert make() == (DIRECTORY / f"{case}.bin").read_bytes()


def test_there_are_no_other_files() -> None:
    names = {path.stem for path in DIRECTORY.iterdir()}
    assert names == set(CASES)
