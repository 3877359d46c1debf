"""How other programs are to run this one with the repository that it works on.

A database server fetches archived logs long after the command that set it up has ended: by a
command line that must work from any directory and with nobody there to type a password.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from holdfast.backends.location import parse_location
from holdfast_cli.options import SecretKind, Settings, default_cache_dir, read_environment

_FILES: Final = (SecretKind.PASSWORD_FILE, SecretKind.KEY_FILE, SecretKind.RECOVERY_FILE)


def own_command(settings: Settings) -> list[str]:
    """Return the words before a subcommand: the program, the repository and where its secret is.

    No word is a secret itself. A cache is named only if it is not the usual one: whoever runs the
    command may be another user, who has a cache of their own.
    """
    words = [*program_words(), "-r", absolute_location(settings.repository or "")]
    secret = settings.secret
    if secret is not None and secret.kind in _FILES:
        words += [str(secret.kind.value), os.path.abspath(secret.value)]
    elif secret is not None and secret.kind is SecretKind.PASSWORD_COMMAND:
        words += [str(secret.kind.value), secret.value]
    cache = settings.cache_dir
    if cache is not None and cache != default_cache_dir(read_environment()):
        words += ["--cache-dir", os.path.abspath(cache)]
    return words


def program_words() -> list[str]:
    """Return the program itself: the installed `holdfast`, or this interpreter with its package."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "holdfast" and os.access(path, os.X_OK) and os.path.isfile(path):
        return [path]
    return [sys.executable, "-m", "holdfast_cli"]


def absolute_location(location: str) -> str:
    """Return a location that means the same from every directory."""
    parsed = parse_location(location)
    return os.path.abspath(parsed.path) if parsed.scheme == "file" else location


def secret_hint(settings: Settings) -> str | None:
    """Return what a person must see to if another program shall open the repository; None: nothing."""
    secret = settings.secret
    if secret is None:
        return (
            "the password was typed, and nobody will be there to type it for the server: give "
            "--key-file or --password-file, or put HOLDFAST_PASSWORD_FILE into the server's environment"
        )
    if secret.kind is SecretKind.PASSWORD:
        return (
            "the server must find the password as this command did: put HOLDFAST_PASSWORD into its "
            "environment, or give --key-file or --password-file instead"
        )
    if secret.kind is SecretKind.PASSWORD_COMMAND:
        return "the server's user must be able to run the password command"
    path = os.path.abspath(secret.value)
    return f"the server's user must be able to read {path} and the repository"
