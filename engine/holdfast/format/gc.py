"""Entries of the log of prune: CONDEMN, CLOSE and SEAL, three for each cycle.

Entry n of the log is the object `gc/<n>`, created only if absent, so the log is one order that
everybody sees alike. Lists of objects are concatenated 16-byte ids, ascending.

Source: docs/format.md#log-of-prune; docs/prune.md says what the entries are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from holdfast.errors import FormatError
from holdfast.ids import ObjectId

NO_ENTRY: Final = -1
"""The view of a writer that has found the log empty."""
FIRST_HASH: Final = bytes(32)
"""What the first entry gives as the hash of the entry before it."""
_ID_LENGTH: Final = 16
_STEPS: Final = 3


class Step(IntEnum):
    """What an entry does; its number modulo 3."""

    CONDEMN = 0
    CLOSE = 1
    SEAL = 2


class LogHorizon(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Where the needed part of one log archive begins. Fields are only ever added at the end."""

    archive: bytes
    """Its id, 16 bytes."""
    kind: str
    """Of the log: says how names are ordered."""
    first: str
    """Everything before it expires, as `policy.log_retention.is_expired` tells."""


class Condemn(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Begins a cycle: from now on no writer builds upon these objects."""

    previous_hash: bytes
    """Trailer of the entry before this one."""
    time_ns: int
    host: str
    packs: bytes
    index_ids: bytes
    """Index objects that no commit names."""
    logs: tuple[LogHorizon, ...] = ()
    """What visible snapshots needed of logs when the plan was made; decides nothing alone."""


class Close(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A commit whose view is older than this cycle counts only if it is there already."""

    previous_hash: bytes
    time_ns: int
    host: str


class Seal(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Ends a cycle: what counts, and what is deleted."""

    previous_hash: bytes
    time_ns: int
    host: str
    live: bytes
    """Snapshots of older views that stay valid."""
    doomed: bytes
    """Packs that are deleted; carried over while any is present or listed by an index object."""
    index_ids: bytes
    """The trusted index, but for what later commits bring."""
    superseded: bytes
    """Index objects that are deleted, since `index_ids` lists what they listed."""
    forgotten: bytes
    """Snapshots whose forget marks became final."""
    logs: tuple[LogHorizon, ...] = ()
    """What expires of logs: only what neither the CONDEMN's snapshots needed nor those that were
    there after the CLOSE."""


Entry: TypeAlias = Condemn | Close | Seal
_TYPES: Final = {Step.CONDEMN: Condemn, Step.CLOSE: Close, Step.SEAL: Seal}


def step_of(number: int) -> Step:
    """Return what the entry of that number does."""
    return Step(number % _STEPS)


def first_of_cycle(number: int) -> int:
    """Return the number of the CONDEMN of the cycle that an entry belongs to."""
    return number - number % _STEPS


def join_ids(ids: Iterable[str]) -> bytes:
    """Encode ids as entries list them: sorted and without duplicates."""
    return b"".join(bytes.fromhex(one) for one in sorted(set(ids)))


def split_joined(joined: bytes) -> list[ObjectId]:
    """Decode a list of ids."""
    return [
        ObjectId(joined[at : at + _ID_LENGTH].hex()) for at in range(0, len(joined), _ID_LENGTH)
    ]


def encode_entry(entry: Entry) -> bytes:
    """Encode the body of an entry."""
    return msgspec.msgpack.encode(entry)


def decode_entry(number: int, body: bytes) -> Entry:
    """Decode and validate the body of entry `number`.

    Raises:
        FormatError: not an entry of that step.
    """
    try:
        entry: Entry = msgspec.msgpack.decode(body, type=_TYPES[step_of(number)])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("gc entry", str(number), str(error)) from error
    lists = [value for value in msgspec.structs.astuple(entry)[3:] if isinstance(value, bytes)]
    if len(entry.previous_hash) != len(FIRST_HASH) or any(len(one) % _ID_LENGTH for one in lists):
        raise FormatError("gc entry", str(number), "impossible hash or list of ids")
    if not isinstance(entry, Close) and any(len(o.archive) != _ID_LENGTH for o in entry.logs):
        raise FormatError("gc entry", str(number), "impossible id of a log archive")
    return entry
