"""Spans of the calendar, like "2y5m7d3h": how far back a rule of retention reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from holdfast.errors import ConfigurationError

NANOSECONDS: Final = 1_000_000_000
_HOUR_NS: Final = 3600 * NANOSECONDS
_PART = re.compile(r"([0-9]{1,9})([ymwdh])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\Z")
_BEFORE_ALL_TIMES: Final = -(1 << 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A span of calendar years, months and days, and of hours. False if it is empty."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __bool__(self) -> bool:
        return any((self.years, self.months, self.days, self.hours))

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number) or "0h"

    def before(self, time_ns: int, zone: tzinfo) -> int:
        """Return the moment that lies this long before `time_ns`.

        Years, months and days are those of the calendar in `zone`: the time of day stays, and a
        day that a month lacks runs on into the next one (one month before 31 March is 3 March, or
        2 March in a leap year). Hours are subtracted last, as they pass. Where a clock that is
        set back shows the result twice, the earlier moment is taken, so that more is kept.

        Args:
            time_ns: nanoseconds since 1970 UTC.
            zone: whose calendar counts.

        Returns:
            Nanoseconds since 1970 UTC; if the calendar does not go back that far, something that
            is before every time.
        """
        seconds, fraction = divmod(time_ns, NANOSECONDS)
        start = datetime.fromtimestamp(seconds, zone)
        year, month = divmod(12 * (start.year - self.years) + start.month - 1 - self.months, 12)
        try:
            first = start.replace(year=year, month=month + 1, day=1, fold=0)
            moment = first + timedelta(days=start.day - 1 - self.days)
        except (ValueError, OverflowError):
            return _BEFORE_ALL_TIMES
        return int(moment.timestamp()) * NANOSECONDS + fraction - self.hours * _HOUR_NS


def parse_duration(text: str) -> Duration:
    """Return the duration meant by "2y5m7d3h" or "6w": years, months, weeks, days, hours.

    Raises:
        ConfigurationError: none, or a unit that is given twice.
    """
    text = text.strip()
    found = _PART.findall(text)
    parts = {unit: int(number) for number, unit in found}
    if not _WHOLE.match(text) or len(parts) != len(found):
        raise ConfigurationError(
            f"{text!r} is not a duration",
            "write years, months, weeks, days and hours like 2y5m7d3h or 6w",
        )
    return Duration(
        years=parts.get("y", 0),
        months=parts.get("m", 0),
        days=parts.get("d", 0) + 7 * parts.get("w", 0),
        hours=parts.get("h", 0),
    )
