"""Refuses options that a kind of database cannot honour: what was asked is done, or it is an error."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.database_errors import DatabaseDamagedError
from holdfast.errors import ConfigurationError
from holdfast.sources.base import DatabaseOptions, Method, RestoreTo


def refuse_unknown_settings(options: DatabaseOptions, title: str, known: Iterable[str]) -> None:
    """Refuse settings that mean nothing to this kind.

    Args:
        options: whose settings are looked at.
        title: the kind's name for people.
        known: names of settings that mean something.

    Raises:
        ConfigurationError: there is another one.
    """
    names = sorted(known)
    for name in options.settings:
        if name not in names:
            hint = f"it has {', '.join(names)}" if names else "it has none"
            raise ConfigurationError(f"{title} has no setting {name!r}", hint)


def refuse_method(options: DatabaseOptions, title: str, own: Method) -> None:
    """Refuse another method than the only one that this kind has; raises ConfigurationError."""
    if options.method not in (None, own):
        raise ConfigurationError(
            f"{title} has no {options.method} backups", f"leave the method out, or say {own}"
        )


def refuse_recorded(method: Method, title: str, own: Method) -> None:
    """Refuse a snapshot that says it was saved as this kind never saves.

    Raises:
        DatabaseDamagedError: it does.
    """
    if method is not own:
        raise DatabaseDamagedError(title, f"it says that it was saved as {method}")


def refuse_recovery(to: RestoreTo, title: str) -> None:
    """Refuse moments to recover to, where no log is archived; raises ConfigurationError."""
    if to.target_time_ns is not None or to.target:
        raise ConfigurationError(
            f"{title} keeps no log that could be replayed to a moment",
            "choose the snapshot of the moment that you want",
        )


def refuse_server(options: DatabaseOptions, title: str) -> None:
    """Refuse the words of a connection, where there is no server; raises ConfigurationError."""
    if options.host is not None or options.port is not None or options.user is not None:
        raise ConfigurationError(
            f"{title} is not reached over a connection", "leave host, port and user out"
        )
