"""The names of this machine and of who works on it."""

from __future__ import annotations

import os
import pwd


def host_name() -> str:
    """Return what snapshots of this machine are called by, unless told otherwise."""
    return os.uname().nodename


def user_name() -> str:
    """Return who makes snapshots, by name where the system knows one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
