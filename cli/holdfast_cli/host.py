"""The name of this machine."""

from __future__ import annotations

import os


def host_name() -> str:
    """Return what snapshots of this machine are called by, unless told otherwise."""
    return os.uname().nodename
