"""Progress: what a long operation tells whoever watches.

The engine calls these methods from its main thread a few times a second at the most; it never
prints. Implementations must be quick and must not raise.
"""

from __future__ import annotations

from typing import Protocol

from holdfast.findings import Finding


class Progress(Protocol):
    """Watcher of one operation."""

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        """A phase begins: "backup", "restore", "check" …; totals may be unknown."""

    def update(self, items: int, size: int, current: str = "") -> None:
        """So many items and bytes of the phase are done, absolute; `current` is being worked on."""

    def expect(self, total_items: int, total_bytes: int) -> None:
        """Better totals became known during the phase."""

    def finding(self, finding: Finding) -> None:
        """A problem was met and survived."""

    def message(self, text: str) -> None:
        """One sentence of general interest."""

    def end(self) -> None:
        """The phase is over."""


class NullProgress:
    """Nobody watches."""

    def begin(
        self, phase: str, *, total_items: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Do nothing."""

    def update(self, items: int, size: int, current: str = "") -> None:
        """Do nothing."""

    def expect(self, total_items: int, total_bytes: int) -> None:
        """Do nothing."""

    def finding(self, finding: Finding) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""
