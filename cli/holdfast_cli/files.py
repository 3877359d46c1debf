"""Reads the files that options name: lists of paths, patterns."""

from __future__ import annotations

from holdfast.errors import ConfigurationError


def read_file(path: str, what: str) -> bytes:
    """Return a whole file.

    Raises:
        ConfigurationError: it cannot be read; `what` says which one it is.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigurationError(f"cannot read {what} {path}: {reason}") from error
