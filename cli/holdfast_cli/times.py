"""Moments: read and written by people in local time, by programs in RFC 3339 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from holdfast.errors import ConfigurationError

_NS: Final = 1_000_000_000


def parse_time(text: str) -> int:
    """Return the nanoseconds since 1970 UTC of an ISO 8601 time; without a zone it is local.

    Raises:
        ConfigurationError: not a time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        whole = int(moment.replace(microsecond=0).timestamp())
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{text!r} is not a time", "write it like 2026-11-21 or '2026-11-21 08:30:00+01:00'"
        ) from error
    return whole * _NS + moment.microsecond * 1000


def format_local(time_ns: int) -> str:
    """Return "2026-11-21 08:30:00" in the zone of this machine."""
    try:
        return datetime.fromtimestamp(time_ns // _NS).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return (
            f"@{time_ns // _NS}"  # a year beyond 9999: file systems can hold it, calendars cannot
        )


def format_rfc3339(time_ns: int) -> str:
    """Return "2026-11-21T07:30:00.123456789Z": UTC, always nine digits of the second."""
    seconds, fraction = divmod(time_ns, _NS)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        # File systems hold years that calendars do not: show the end of the calendar.
        return "9999-12-31T23:59:59.999999999Z" if seconds > 0 else "0001-01-01T00:00:00.000000000Z"
    return f"{moment.replace(tzinfo=None).isoformat()}.{fraction:09d}Z"


class _LocalZone(tzinfo):
    """The zone of this machine with all its changes, past and to come.

    `datetime.astimezone()` alone gives the offset of one moment, which is wrong in the other half
    of the year.
    """

    def fromutc(self, dt: datetime) -> datetime:
        """Return the local time of a moment in UTC."""
        seconds = int(dt.replace(microsecond=0, tzinfo=UTC).timestamp())
        local = datetime.fromtimestamp(seconds)  # noqa: DTZ006 - with the mark of a second 2:30
        return local.replace(microsecond=dt.microsecond, tzinfo=self)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Return how far a local time is ahead of UTC."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:  # noqa: ARG002
        """Return nothing: only the whole offset is known."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        """Return what the zone is called at a local time."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()


LOCAL_ZONE: Final = _LocalZone()
