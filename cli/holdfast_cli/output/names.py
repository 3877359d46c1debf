"""Names of files as people may see them: any bytes, but never orders to the terminal."""

from __future__ import annotations

import os
import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, separators of lines, and marks that turn the direction of writing."""


def printable(text: str) -> str:
    r"""Return `text` with control characters written as escapes like \x1b.

    Bytes that are not UTF-8 stay as surrogate escapes; the streams write them as they were.
    """
    return _CONTROL.sub(_escape, text) if _CONTROL.search(text) else text


def printable_name(name: bytes) -> str:
    """Return a name of bytes for display."""
    return printable(os.fsdecode(name))


def _escape(match: re.Match[str]) -> str:
    number = ord(match.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def count(number: int, noun: str) -> str:
    """Return "1 problem" or "2 problems"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_id(full: str) -> str:
    """Return the first digits of an id; twelve are unique among millions of objects."""
    return full[:12]
