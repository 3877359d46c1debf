"""kopia. Written from its documentation (0.21); not run so far.

A password; it compresses only on request, here with zstd like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from measure import Command, CommandError, output_of
from peer import PASSWORD, Place, Source

_KEPT: Final = (
    ("latest", 1),
    ("hourly", 0),
    ("daily", 0),
    ("weekly", 0),
    ("monthly", 0),
    ("annual", 0),
)


class Kopia:
    """kopia."""

    name = "kopia"
    title = "kopia"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version."""
        text = output_of(Command(arguments=(*self._program, "--version"))).strip()
        words = text.split()
        if "build:" not in words:
            raise CommandError(f"{' '.join(self._program)} is not kopia")
        return {"version": words[0], "compression": "zstd"}

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository, and have it compress."""
        where = ("--path", str(place.repository), "--cache-directory", str(place.cache))
        return (
            self._command(place, "repository", "create", "filesystem", *where),
            self._command(place, "policy", "set", "--global", "--compression=zstd"),
        )

    def backup(self, place: Place, source: Source, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "snapshot", "create", str(source.path))

    def restore(self, place: Place, source: Source, _label: str, target: Path) -> Command:
        """Restore the newest snapshot of the directory."""
        return self._command(place, "snapshot", "restore", str(source.path), str(target))

    def check(self, place: Place) -> Command:
        """Check everything, reading all files."""
        return self._command(place, "snapshot", "verify", "--verify-files-percent=100")

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""
        return self._command(place, "snapshot", "list")

    def forget(self, place: Place, source: Source) -> Sequence[Command]:
        """Forget all but the newest snapshot of the directory."""
        kept = [f"--keep-{period}={count}" for period, count in _KEPT]
        return (
            self._command(place, "policy", "set", str(source.path), *kept),
            self._command(place, "snapshot", "expire", str(source.path), "--delete"),
        )

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs, now: by default it waits for hours."""
        return self._command(place, "maintenance", "run", "--full", "--safety=none")

    def _command(self, place: Place, *words: str) -> Command:
        own = ("--config-file", str(place.root / "kopia.config"), "--no-progress")
        logs = ("--log-dir", str(place.root / "logs"))
        return Command(
            arguments=(*self._program, *words, *own, *logs),
            environment={"KOPIA_PASSWORD": PASSWORD, "KOPIA_CHECK_FOR_UPDATES": "false"},
        )
