"""Findings: problems that a run met and survived.

An unreadable source file must not end a backup of a million others, and a check must report all
damage and not only the first. Such problems are collected as findings; the command ends with
exit code 3 (source files) or 13 (damage) and says how many there were.
"""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, array_like=True):
    """One problem, stored in snapshots and shown to people."""

    path: str
    """The file or object concerned; bytes that are no UTF-8 are shown as escapes."""
    problem: str
    """What is wrong, as a clause: "permission denied"."""
