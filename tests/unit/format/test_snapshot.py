"""Snapshots and commits: round trips, bindings, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import AuthenticationError, FormatError, IntegrityError
from holdfast.findings import Finding
from holdfast.format.snapshot import (
    Commit,
    Snapshot,
    SnapshotStats,
    decode_commit,
    encode_commit,
    open_snapshot,
    seal_snapshot,
)
from holdfast.ids import ObjectId

ID = ObjectId("0123456789abcdef" * 2)
KEY = b"s" * 32
REPOSITORY_ID = bytes(range(16))
BASE = Snapshot(id=ID, time_ns=1, host="h", user="u", raw_paths=(b"/a",), root=bytes(32))
COUNTS = st.integers(0, 2**63 - 1)
TEXTS = st.lists(st.text(max_size=8), max_size=3).map(tuple)

SNAPSHOTS = st.builds(
    Snapshot,
    id=st.just(ID),
    time_ns=st.integers(-(2**63), 2**63 - 1),
    host=st.text(max_size=20),
    user=st.text(max_size=20),
    raw_paths=st.lists(st.binary(max_size=20), max_size=3).map(tuple),
    root=st.integers(1, 4).map(lambda count: b"r" * 32 * count),
    tags=TEXTS,
    excludes=TEXTS,
    parent=st.none() | st.just("f" * 32),
    partial=st.booleans(),
    profile=st.sampled_from(("files", "dump")),
    program_version=st.text(max_size=9),
    user_names=st.dictionaries(st.integers(0, 2**32 - 1), st.text(max_size=9), max_size=3),
    group_names=st.dictionaries(st.integers(0, 2**32 - 1), st.text(max_size=9), max_size=3),
    stats=st.builds(SnapshotStats, files_new=COUNTS, logical_bytes=COUNTS, duration_ns=COUNTS),
    findings=st.lists(st.builds(Finding, st.text(max_size=9), st.text(max_size=9)), max_size=3).map(
        tuple
    ),
    original=st.none() | st.just("e" * 32),
)


def sealed(snapshot: Snapshot = BASE) -> bytes:
    return seal_snapshot(snapshot, KEY, REPOSITORY_ID)


@given(SNAPSHOTS)
def test_snapshot_round_trip(snapshot: Snapshot) -> None:
    assert open_snapshot(sealed(snapshot), ID, KEY, REPOSITORY_ID) == snapshot


def test_snapshot_opens_under_its_own_name_key_and_repository_only() -> None:
    with pytest.raises(AuthenticationError):
        open_snapshot(sealed(), ObjectId("f" * 32), KEY, REPOSITORY_ID)
    with pytest.raises(AuthenticationError):
        open_snapshot(sealed(), ID, b"t" * 32, REPOSITORY_ID)
    with pytest.raises(AuthenticationError):
        open_snapshot(sealed(), ID, KEY, bytes(16))


def test_every_changed_byte_and_truncation_is_noticed() -> None:
    data = sealed()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x10
        with pytest.raises(IntegrityError):
            open_snapshot(bytes(changed), ID, KEY, REPOSITORY_ID)
        with pytest.raises(IntegrityError):
            open_snapshot(data[:at], ID, KEY, REPOSITORY_ID)


@pytest.mark.parametrize("change", [{"root": b""}, {"root": bytes(31)}])
def test_impossible_snapshots_are_refused(change: dict[str, bytes]) -> None:
    snapshot = msgspec.structs.replace(BASE, **change)
    with pytest.raises(FormatError):
        open_snapshot(sealed(snapshot), ID, KEY, REPOSITORY_ID)


def test_paths_as_text_and_pages() -> None:
    snapshot = msgspec.structs.replace(
        BASE, raw_paths=("/ä".encode(), b"/\xff"), root=b"a" * 32 + b"b" * 32
    )
    assert snapshot.paths == ("/ä", "/\\xff")
    assert snapshot.root_pages == [b"a" * 32, b"b" * 32]


COMMIT = Commit(
    view=-1, index_ids=("a",), host="h", host_sequence=1, previous_hash=bytes(32), sealed=b"s"
)


@given(
    st.builds(
        Commit,
        view=st.integers(-1, 2**63 - 1),
        index_ids=TEXTS,
        host=st.text(max_size=9),
        host_sequence=st.integers(1, 2**63 - 1),
        previous_hash=st.binary(min_size=32, max_size=32),
        sealed=st.binary(max_size=50),
    )
)
def test_commit_round_trip(commit: Commit) -> None:
    assert decode_commit(encode_commit(commit), ID) == commit


@pytest.mark.parametrize("change", [{"view": -2}, {"host_sequence": 0}, {"previous_hash": b"x"}])
def test_impossible_commits_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        decode_commit(encode_commit(msgspec.structs.replace(COMMIT, **change)), ID)


def test_fields_of_later_versions_are_passed_over() -> None:
    stored = msgspec.msgpack.decode(encode_commit(COMMIT))
    assert decode_commit(msgspec.msgpack.encode([*stored, {"later": 1}]), ID) == COMMIT


@given(st.binary(max_size=60))
def test_any_bytes_raise_integrity_errors_only(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_commit(body, ID)
