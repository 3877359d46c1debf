"""Small objects beside snapshots: forget marks and sessions.

Source: docs/format.md#forget-marks, docs/format.md#sessions.
"""

from __future__ import annotations

import msgspec

from holdfast.errors import FormatError


class ForgetMark(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Hides a snapshot. That the object exists is what counts; its content is for people."""

    time_ns: int
    host: str
    """Where it was forgotten."""


class SessionMark(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Says that somebody is writing. Advice for prune: no decision about safety rests on it."""

    session_id: str
    """The same in all announcements of one session, which have names of their own."""
    started_ns: int
    host: str
    view: int
    """Of the log of prune; what the session builds upon is not condemned up to here."""


def encode_mark(mark: ForgetMark | SessionMark) -> bytes:
    """Encode the body of a mark."""
    return msgspec.msgpack.encode(mark)


def decode_session(body: bytes, name: str) -> SessionMark:
    """Decode the body of a session.

    Raises:
        FormatError: it is none.
    """
    try:
        return msgspec.msgpack.decode(body, type=SessionMark)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("session", name, str(error)) from error
