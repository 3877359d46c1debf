"""holdfast, by the names of its command line: a key file (no password hashing on start), zstd level 3.

Sources are cut by the profile that its documentation recommends for them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import Command, CommandError, output_of
from peer import Place, Source


class Holdfast:
    """holdfast."""

    name = "holdfast"
    title = "holdfast"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the fields of `version --json`, among them the chunker's implementation."""
        command = Command(arguments=(*self._program, "version", "--json"))
        text = output_of(command)
        try:
            facts = json.loads(text)
        except ValueError as error:
            raise CommandError(f"{' '.join(command.arguments)} printed no JSON: {text}") from error
        if not isinstance(facts, dict) or "version" not in facts:
            raise CommandError(f"{' '.join(command.arguments)} tells no version: {text}")
        return facts

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository and its key file."""
        return (self._command(place, "init"),)

    def backup(self, place: Place, source: Source, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "backup", "--profile", source.profile, str(source.path))

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
        where = ("-r", str(place.repository), "--key-file", str(place.key))
        cache = ("--cache-dir", str(place.cache))
        return Command(arguments=(*self._program, *where, *cache, *words))
