"""Entries of the log of prune, forget marks and sessions: encoding and refusal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError
from holdfast.format.gc import (
    Close,
    Condemn,
    Entry,
    LogHorizon,
    Seal,
    Step,
    decode_entry,
    encode_entry,
    first_of_cycle,
    join_ids,
    split_joined,
    step_of,
)
from holdfast.format.marks import SessionMark, decode_session, encode_mark
from holdfast.ids import ObjectId

IDS = st.lists(st.binary(min_size=16, max_size=16).map(lambda raw: ObjectId(raw.hex())))
HEAD: dict[str, Any] = {"previous_hash": bytes(range(32)), "time_ns": 7, "host": "höst"}
HORIZONS = (LogHorizon(archive=bytes(16), kind="wal", first="0" * 24),)
ENTRIES: list[Entry] = [
    Condemn(**HEAD, packs=bytes(32), index_ids=b"", logs=HORIZONS),
    Close(**HEAD),
    Seal(
        **HEAD,
        live=bytes(16),
        doomed=b"",
        index_ids=bytes(48),
        superseded=b"",
        forgotten=bytes(16),
        logs=HORIZONS,
    ),
]


@given(IDS)
def test_ids_are_sorted_and_stand_once(ids: list[ObjectId]) -> None:
    assert split_joined(join_ids(ids)) == sorted(set(ids))


def test_steps_and_cycles() -> None:
    assert [step_of(number) for number in range(4)] == [
        Step.CONDEMN, Step.CLOSE, Step.SEAL, Step.CONDEMN,
    ]  # fmt: skip
    assert [first_of_cycle(number) for number in range(5)] == [0, 0, 0, 3, 3]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5])
def test_round_trip(number: int) -> None:
    entry = ENTRIES[number % 3]
    assert decode_entry(number, encode_entry(entry)) == entry


@pytest.mark.parametrize(("number", "entry"), [(1, ENTRIES[0]), (2, ENTRIES[1]), (0, ENTRIES[1])])
def test_an_entry_of_another_step_with_fewer_fields_is_refused(number: int, entry: Entry) -> None:
    body = encode_entry(entry)
    if len(msgspec.structs.astuple(entry)) < len(msgspec.structs.astuple(ENTRIES[number % 3])):
        with pytest.raises(FormatError):
            decode_entry(number, body)
    else:
        assert isinstance(decode_entry(number, body), type(ENTRIES[number % 3]))


@pytest.mark.parametrize(
    "entry",
    [
        Condemn(**{**HEAD, "previous_hash": b"short"}, packs=b"", index_ids=b""),
        Condemn(**HEAD, packs=bytes(15), index_ids=b""),
        Condemn(
            **HEAD,
            packs=b"",
            index_ids=b"",
            logs=(LogHorizon(archive=bytes(15), kind="", first=""),),
        ),
        Seal(**HEAD, live=b"x", doomed=b"", index_ids=b"", superseded=b"", forgotten=b""),
        Seal(**HEAD, live=b"", doomed=b"", index_ids=b"", superseded=b"", forgotten=b"x"),
    ],
)
def test_impossible_entries_are_refused(entry: Entry) -> None:
    with pytest.raises(FormatError):
        decode_entry(0 if isinstance(entry, Condemn) else 2, encode_entry(entry))


@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_bytes_are_an_entry_or_refused(body: bytes, number: int) -> None:
    try:
        decode_entry(number, body)
    except FormatError:
        pass


@given(st.binary(max_size=100))
def test_any_bytes_are_a_session_or_refused(body: bytes) -> None:
    try:
        decode_session(body, "sessions/x")
    except FormatError:
        pass


def test_entries_of_programs_that_knew_no_logs_are_read() -> None:
    for number in (0, 2):
        entry = ENTRIES[number]
        body = msgspec.msgpack.encode(msgspec.msgpack.decode(encode_entry(entry))[:-1])
        assert decode_entry(number, body) == msgspec.structs.replace(entry, logs=())


def test_a_session_round_trips() -> None:
    mark = SessionMark(session_id="ab" * 16, started_ns=5, host="h", view=-1)
    assert decode_session(encode_mark(mark), "x") == mark
