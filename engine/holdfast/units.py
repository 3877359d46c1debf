"""Sizes and durations as people write and read them.

Sizes are binary: 1 K = 1 KiB = 1024 bytes, as restic, borg and `du -h` count.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.errors import ConfigurationError

_UNITS: Final = "KMGTPE"
_SECONDS_PER: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SECONDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*\Z", re.IGNORECASE)
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtpe]?)(?:i?b)?\s*\Z", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes meant by "512", "64K", "1.5 GiB" and the like.

    Raises:
        ConfigurationError: not a size.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is not a size", "write a number with K, M, G or T, like 512M"
        )
    number, unit = match.groups()
    factor: int = 1024 ** (_UNITS.index(unit.upper()) + 1) if unit else 1
    return int(float(number) * factor) if "." in number else int(number) * factor


def parse_seconds(text: str) -> float:
    """Return the seconds meant by "90", "90s", "30m", "2h" or "1d".

    Raises:
        ConfigurationError: not a time.
    """
    match = _SECONDS.match(text)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is not a time", "write a number with s, m, h or d, like 30m"
        )
    number, unit = match.groups()
    return float(number) * _SECONDS_PER[unit.lower() or "s"]


def format_size(size: float) -> str:
    """Return a size in at most four digits and a unit: "17 B", "3.42 MiB", "128 GiB"."""
    value = float(size)
    if abs(value) < 1024:
        return f"{int(value)} B"
    for unit in _UNITS:
        value /= 1024
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f} {unit}iB"


def format_duration(seconds: float) -> str:
    """Return a duration: "0.42 s", "12 s", "3:07 min", "2:03:04 h"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h"
