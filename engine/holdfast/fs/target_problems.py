"""Problems of a restore: findings for single entries, an error when nothing more can be written.

What goes wrong for thousands of entries in the same way, such as owners that only root may set,
is counted and reported once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from holdfast.errors import TargetError
from holdfast.findings import Finding
from holdfast.fs.source import describe, display

_FATAL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
"""Errors that every further entry would meet too."""

_OWNER: Final = "owner not restored: operation not permitted; run as root to restore owners"

EntryError = (OSError, OverflowError, ValueError)
"""What system calls raise for one entry; the latter two for numbers that no file can have."""


class TargetProblems:
    """Collects the findings of one restore.

    Args:
        location: the target.
        on_finding: told of each finding.
        owners_matter: False: it is no problem if owners cannot be set.
    """

    def __init__(
        self,
        location: bytes,
        on_finding: Callable[[Finding], None],
        *,
        owners_matter: bool = True,
    ) -> None:
        self._location = location
        self._owners_matter = owners_matter
        self._on_finding = on_finding
        self._tallies: dict[str, tuple[int, bytes]] = {}
        self.findings: list[Finding] = []

    def add(self, path: bytes, problem: str) -> None:
        """Report a problem with one entry."""
        finding = Finding(display(path), problem)
        self.findings.append(finding)
        self._on_finding(finding)

    def meet(self, path: bytes, error: Exception) -> None:
        """Report the error of a system call.

        Raises:
            TargetError: the file system is full or read-only.
        """
        if isinstance(error, OSError):
            if error.errno in _FATAL:
                raise TargetError(display(self._location + path), describe(error)) from error
            self.add(path, describe(error))
        else:
            self.add(path, f"impossible metadata: {error}")

    def tally(self, problem: str, path: bytes) -> None:
        """Count a problem that many entries may have."""
        count, first = self._tallies.get(problem, (0, path))
        self._tallies[problem] = (count + 1, first)

    def miss_owner(self, path: bytes) -> None:
        """Count an entry whose owner may not be set."""
        if self._owners_matter:
            self.tally(_OWNER, path)

    def report_tallies(self) -> None:
        """Turn each counted problem into one finding, at the first entry that had it."""
        for problem, (count, first) in self._tallies.items():
            others = f" (and {count - 1} more entries)" if count > 1 else ""
            self.add(first, problem + others)
        self._tallies.clear()
