"""restic, and rustic, which writes the same format.

A password; the default compression of both is zstd at about level 3 ("auto").
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import Command, CommandError, output_of
from peer import PASSWORD, Place, Source


class Restic:
    """restic."""

    name = "restic"
    title = "restic"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version, and what restic was built with."""
        words = output_of(Command(arguments=(*self._program, "version"))).split()
        if words[:1] != ["restic"]:
            raise CommandError(f"{' '.join(self._program)} is not restic")
        return {"version": words[1], "build": " ".join(words[2:])}

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository."""
        return (self._command(place, "init"),)

    def backup(self, place: Place, source: Source, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "backup", str(source.path))

    def restore(self, place: Place, _source: Source, _label: str, target: Path) -> Command:
        """Restore the newest snapshot."""
        return self._command(place, "restore", "latest", "--target", str(target))

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""
        return self._command(place, "check", "--read-data")

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""
        return self._command(place, "snapshots")

    def forget(self, place: Place, _source: Source) -> Sequence[Command]:
        """Forget all but the newest snapshot."""
        return (self._command(place, "forget", "--keep-last", "1"),)

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs."""
        return self._command(place, "prune")

    def _command(self, place: Place, *words: str) -> Command:
        where = ("-r", str(place.repository), "--cache-dir", str(place.cache))
        return Command(
            arguments=(*self._program, *where, *words), environment={"RESTIC_PASSWORD": PASSWORD}
        )


class Rustic:
    """rustic. Written from its documentation (0.11); not run so far."""

    name = "rustic"
    title = "rustic"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version."""
        words = output_of(Command(arguments=(*self._program, "--version"))).split()
        if words[:1] != ["rustic"]:
            raise CommandError(f"{' '.join(self._program)} is not rustic")
        return {"version": words[-1]}

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository."""
        return (self._command(place, "init"),)

    def backup(self, place: Place, source: Source, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "backup", str(source.path))

    def restore(self, place: Place, _source: Source, _label: str, target: Path) -> Command:
        """Restore the newest snapshot."""
        return self._command(place, "restore", "latest", str(target))

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""
        return self._command(place, "check", "--read-data")

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""
        return self._command(place, "snapshots")

    def forget(self, place: Place, _source: Source) -> Sequence[Command]:
        """Forget all but the newest snapshot."""
        return (self._command(place, "forget", "--keep-last", "1"),)

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs, now: by default it only marks it for the next prune."""
        return self._command(place, "prune", "--instant-delete", "--keep-pack", "0s")

    def _command(self, place: Place, *words: str) -> Command:
        where = ("-r", str(place.repository), "--cache-dir", str(place.cache), "--no-progress")
        return Command(
            arguments=(*self._program, *words, *where), environment={"RUSTIC_PASSWORD": PASSWORD}
        )
