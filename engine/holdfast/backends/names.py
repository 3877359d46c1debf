"""What may name an object, the same rule for every backend.

A name is one or more parts of lower-case ASCII letters, digits and "-", joined by "/". No name is
a directory of another ("a" and "a/b" never both exist): a directory could not hold them. Such
names mean the same on every file system and object store, case-folding ones included, and ".",
"..", hidden files and temporary files can never be names.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NAME_LENGTH: Final = 255
"""Characters of a whole name; no file system has a shorter limit for one part."""
PROBE: Final = "probe/"
"""Below it lie scratch objects by which a storage is tried out; they belong to no repository."""

_PART = re.compile(r"[a-z0-9-]+")
_NAME = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)*")


def is_part(text: str) -> bool:
    """Tell whether `text` can be one part of a name."""
    return _PART.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether `text` can name an object."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def check_name(name: str) -> None:
    """Refuse what cannot name an object.

    Raises:
        ValueError: a bug of the caller, for names come from our own layout.
    """
    if not is_name(name):
        raise ValueError(f"not the name of an object: {name!r}")


def check_prefix(prefix: str) -> None:
    """Refuse what is neither empty nor a name that "/" follows.

    Raises:
        ValueError: a bug of the caller.
    """
    if prefix and (prefix[-1] != "/" or _NAME.fullmatch(prefix[:-1]) is None):
        raise ValueError(f"not a prefix of names: {prefix!r}")


def check_range(offset: int, length: int) -> None:
    """Refuse negative ranges.

    Raises:
        ValueError: a bug of the caller.
    """
    if offset < 0 or length < 0:
        raise ValueError(f"not a range: offset {offset}, length {length}")
