"""Which file of PostgreSQL's log is meant, and of which server; loads nothing of the repository."""

from __future__ import annotations

import os
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.sources.postgresql.wal import CONTROL_LENGTH, WalName, decode_system_id, parse_name

_CONTROL: Final = os.path.join("global", "pg_control")


def require_name(text: str) -> WalName:
    """Return what a name says.

    Raises:
        ConfigurationError: it is none of the log's.
    """
    name = parse_name(text)
    if name is None:
        raise ConfigurationError(
            f"{text!r} is no file of PostgreSQL's write-ahead log",
            "archive_command has %p for its path, restore_command has %f %p",
        )
    return name


def choose_system_id(path: str, given: str | None) -> str | None:
    """Return which server a path in pg_wal belongs to: as was said, or as its control file says.

    A relative path, as the server gives it, begins in the data directory.

    Raises:
        ConfigurationError: `given` is no system identifier.
    """
    if given is not None:
        if not (given.isascii() and given.isdigit() and 0 < int(given) < 1 << 64):
            raise ConfigurationError(
                f"{given!r} is no system identifier",
                "`SELECT system_identifier FROM pg_control_system()` and `holdfast logs` show it",
            )
        return str(int(given))
    for directory in (os.path.dirname(os.path.dirname(path)), ""):
        try:
            with open(os.path.join(directory, _CONTROL), "rb") as file:
                found = decode_system_id(file.read(CONTROL_LENGTH))
        except OSError:
            continue
        if found is not None:
            return found
    return None


def require_system_id(found: str | None) -> str:
    """Return a system identifier that is known.

    Raises:
        ConfigurationError: it is not.
    """
    if found is None:
        raise ConfigurationError(
            "nobody knows which server this is for",
            "run it in the server's data directory, as PostgreSQL does, or give --system-id",
        )
    return found
