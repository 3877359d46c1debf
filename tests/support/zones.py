"""A time zone with summer time that does not depend on what the machine has installed."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Final

_HOUR: Final = timedelta(hours=1)


class _CentralEurope(tzinfo):
    """UTC+1, and UTC+2 from the last Sunday of March to that of October, 01:00 UTC each."""

    def fromutc(self, dt: datetime) -> datetime:
        start, end = _summer(dt.year)
        naive = dt.replace(tzinfo=None)
        second = end <= naive < end + _HOUR
        local = naive + (2 * _HOUR if start <= naive < end else _HOUR)
        return local.replace(tzinfo=self, fold=int(second))

    def utcoffset(self, dt: datetime | None) -> timedelta:
        assert dt is not None
        start, end = _summer(dt.year)
        naive = dt.replace(tzinfo=None, fold=0)
        first, last = start + (1 + (1 - dt.fold)) * _HOUR, end + (1 + (1 - dt.fold)) * _HOUR
        return 2 * _HOUR if first <= naive < last else _HOUR

    def dst(self, dt: datetime | None) -> timedelta:
        return self.utcoffset(dt) - _HOUR

    def tzname(self, dt: datetime | None) -> str:
        return "CEST" if self.dst(dt) else "CET"


def _summer(year: int) -> tuple[datetime, datetime]:
    return _last_sunday(year, 3), _last_sunday(year, 10)


def _last_sunday(year: int, month: int) -> datetime:
    end = datetime(year, month, 31, 1)  # noqa: DTZ001 - UTC without saying so
    return end - timedelta(days=(end.weekday() + 1) % 7)


CENTRAL_EUROPE: Final = _CentralEurope()
