"""The backup programs that are compared: how each one is told to do the same work.

A peer only builds commands; `compare_peers` runs and measures them. All of them encrypt, keep
their default settings, and get a cache of their own that is removed with the repository:

- holdfast: a key file (no password hashing on start), zstd level 3, its default; dumps with
  `--profile dump`.
- restic: a password; its default is zstd at about level 3 too ("auto").
- borg 1.4: a passphrase, repokey-blake2; compression zstd,3 instead of its default lz4, to do
  the same work as the others.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from measure import Command, CommandError, output_of

REFERENCE: Final = "restic"
"""The peer that ratios are relative to."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer keeps what belongs to one repository. Removed as a whole afterwards."""

    root: Path

    @property
    def repository(self) -> Path:
        """The repository; nothing else is in this directory."""
        return self.root / "repository"

    @property
    def cache(self) -> Path:
        """The peer's cache of this repository."""
        return self.root / "cache"

    @property
    def key(self) -> Path:
        """The key file, for a peer that uses one."""
        return self.root / "key"


class Peer(Protocol):
    """One backup program.

    A label is used once per repository; peers that have no "latest" name the snapshot by it.
    """

    name: str

    def describe(self) -> dict[str, Any]:
        """Return what is known about the program, at least "version".

        Raises:
            CommandError: it does not run.
        """

    def init(self, place: Place) -> Command:
        """Make the repository."""

    def backup(self, place: Place, source: Path, label: str) -> Command:
        """Back up a directory."""

    def backup_dump(self, place: Place, dump: Path, label: str) -> Command:
        """Back up a database dump, with what the program has for the purpose."""

    def restore(self, place: Place, label: str, target: Path) -> Command:
        """Restore all of the newest snapshot, whose label this is, below an empty directory."""

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""

    def forget(self, place: Place) -> Command:
        """Forget all but the newest snapshot."""

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs."""


class Holdfast:
    """holdfast, by the names of its command line."""

    name = "holdfast"

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

    def init(self, place: Place) -> Command:
        """Make the repository and its key file."""
        return self._command(place, "init")

    def backup(self, place: Place, source: Path, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "backup", str(source))

    def backup_dump(self, place: Place, dump: Path, _label: str) -> Command:
        """Back up a dump with the chunker profile for dumps."""
        return self._command(place, "backup", "--profile", "dump", str(dump))

    def restore(self, place: Place, _label: str, target: Path) -> Command:
        """Restore the newest snapshot."""
        return self._command(place, "restore", "latest", "--target", str(target))

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""
        return self._command(place, "check", "--read-data")

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""
        return self._command(place, "snapshots")

    def forget(self, place: Place) -> Command:
        """Forget all but the newest snapshot."""
        return self._command(place, "forget", "--keep-last", "1")

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs."""
        return self._command(place, "prune")

    def _command(self, place: Place, *words: str) -> Command:
        where = ("-r", str(place.repository), "--key-file", str(place.key))
        cache = ("--cache-dir", str(place.cache))
        return Command(arguments=(*self._program, *where, *cache, *words))


class Restic:
    """restic."""

    name = "restic"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version, and what restic was built with."""
        words = output_of(Command(arguments=(*self._program, "version"))).split()
        return {"version": words[1], "build": " ".join(words[2:])}

    def init(self, place: Place) -> Command:
        """Make the repository."""
        return self._command(place, "init")

    def backup(self, place: Place, source: Path, _label: str) -> Command:
        """Back up a directory."""
        return self._command(place, "backup", str(source))

    def backup_dump(self, place: Place, dump: Path, label: str) -> Command:
        """Back up a dump like any file."""
        return self.backup(place, dump, label)

    def restore(self, place: Place, _label: str, target: Path) -> Command:
        """Restore the newest snapshot."""
        return self._command(place, "restore", "latest", "--target", str(target))

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""
        return self._command(place, "check", "--read-data")

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""
        return self._command(place, "snapshots")

    def forget(self, place: Place) -> Command:
        """Forget all but the newest snapshot."""
        return self._command(place, "forget", "--keep-last", "1")

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs."""
        return self._command(place, "prune")

    def _command(self, place: Place, *words: str) -> Command:
        where = ("-r", str(place.repository), "--cache-dir", str(place.cache))
        return Command(
            arguments=(*self._program, *where, *words),
            environment={"RESTIC_PASSWORD": "benchmark"},
        )


class Borg:
    """borg 1.4."""

    name = "borg"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version."""
        words = output_of(Command(arguments=(*self._program, "--version"))).split()
        return {"version": words[-1], "compression": "zstd,3", "encryption": "repokey-blake2"}

    def init(self, place: Place) -> Command:
        """Make the repository."""
        encryption = ("--encryption", "repokey-blake2")
        return self._command(
            place, "init", *encryption, "--make-parent-dirs", str(place.repository)
        )

    def backup(self, place: Place, source: Path, label: str) -> Command:
        """Back up a directory; the label becomes the archive's name."""
        archive = f"{place.repository}::{label}"
        return self._command(place, "create", "--compression", "zstd,3", archive, str(source))

    def backup_dump(self, place: Place, dump: Path, label: str) -> Command:
        """Back up a dump like any file."""
        return self.backup(place, dump, label)

    def restore(self, place: Place, label: str, target: Path) -> Command:
        """Restore the archive into the target, which must be the working directory."""
        archive = f"{place.repository}::{label}"
        return self._command(place, "extract", archive, directory=target)

    def check(self, place: Place) -> Command:
        """Check everything, reading and decrypting all data."""
        return self._command(place, "check", "--verify-data", str(place.repository))

    def snapshots(self, place: Place) -> Command:
        """List the archives."""
        return self._command(place, "list", str(place.repository))

    def forget(self, place: Place) -> Command:
        """Forget all but the newest archive, by any name."""
        return self._command(place, "prune", "--keep-last", "1", str(place.repository))

    def prune(self, place: Place) -> Command:
        """Free what no archive needs."""
        return self._command(place, "compact", str(place.repository))

    def _command(self, place: Place, *words: str, directory: Path | None = None) -> Command:
        return Command(
            arguments=(*self._program, *words),
            environment={"BORG_PASSPHRASE": "benchmark", "BORG_BASE_DIR": str(place.cache)},
            directory=directory,
        )


def find_peers(programs: Mapping[str, str | None]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that run, holdfast first, and why the others do not.

    Args:
        programs: by peer, how the user wants it called: a path, or a command with arguments and
            leading NAME=VALUE settings; None to look for it; "-" to leave it out.
    """
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for kind in (Holdfast, Restic, Borg):
        wanted = programs.get(kind.name)
        if wanted == "-":
            continue
        peer = kind(_program(kind.name, wanted))
        try:
            peer.describe()
        except CommandError as error:
            missing[kind.name] = str(error)
        else:
            found.append(peer)
    return found, missing


def _program(name: str, wanted: str | None) -> list[str]:
    if wanted is None:
        beside = Path(sys.executable).parent / name
        return [str(beside) if beside.exists() else shutil.which(name) or name]
    words = shlex.split(wanted)
    if words and "=" in words[0]:
        return ["env", *words]
    program = Path(words[0])
    # Not resolved: the interpreter of a virtual environment is found by the name it is called by.
    return [str(program.absolute()) if program.exists() else words[0], *words[1:]]
