"""borg 1.4 and borg 2: a passphrase, and compression zstd,3 instead of their default lz4.

With lz4 they would do less work than the others, and store more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from measure import Command, CommandError, output_of
from peer import PASSWORD, Place, Source

_COMPRESSION: Final = "zstd,3"


class Borg:
    """borg 1.4; repokey-blake2, the faster of its modes."""

    name = "borg"
    title = "borg 1.4"
    _encryption: Final = "repokey-blake2"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version and what was chosen."""
        version = _version(self._program, "1.")
        return {"version": version, "compression": _COMPRESSION, "encryption": self._encryption}

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository."""
        words = ("--encryption", self._encryption, "--make-parent-dirs", str(place.repository))
        return (self._command(place, "init", *words),)

    def backup(self, place: Place, source: Source, label: str) -> Command:
        """Back up a directory; the label becomes the archive's name."""
        archive = f"{place.repository}::{label}"
        words = ("--compression", _COMPRESSION, archive, str(source.path))
        return self._command(place, "create", *words)

    def restore(self, place: Place, _source: Source, label: str, target: Path) -> Command:
        """Restore the archive into the target, which must be the working directory."""
        archive = f"{place.repository}::{label}"
        return self._command(place, "extract", archive, directory=target)

    def check(self, place: Place) -> Command:
        """Check everything, reading and decrypting all data."""
        return self._command(place, "check", "--verify-data", str(place.repository))

    def snapshots(self, place: Place) -> Command:
        """List the archives."""
        return self._command(place, "list", str(place.repository))

    def forget(self, place: Place, _source: Source) -> Sequence[Command]:
        """Forget all but the newest archive, by any name."""
        return (self._command(place, "prune", "--keep-last", "1", str(place.repository)),)

    def prune(self, place: Place) -> Command:
        """Free what no archive needs."""
        return self._command(place, "compact", str(place.repository))

    def _command(self, place: Place, *words: str, directory: Path | None = None) -> Command:
        return Command(
            arguments=(*self._program, *words),
            environment={"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(place.cache)},
            directory=directory,
        )


class Borg2:
    """borg 2, with AES-OCB and ids by BLAKE3, the faster ones where a processor has AES.

    Archives of one name are a series, which it compares with; a tag tells them apart.
    """

    name = "borg2"
    title = "borg 2"
    _encryption: Final = "aes256-ocb"
    _id_hash: Final = "blake3"
    _series: Final = "nights"

    def __init__(self, program: list[str]) -> None:
        self._program = program

    def describe(self) -> dict[str, Any]:
        """Return the version and what was chosen."""
        return {
            "version": _version(self._program, "2."),
            "compression": _COMPRESSION,
            "encryption": f"{self._encryption}, {self._id_hash}",
        }

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository."""
        words = ("--encryption", self._encryption, "--id-hash", self._id_hash)
        return (self._command(place, "repo-create", *words),)

    def backup(self, place: Place, source: Source, label: str) -> Command:
        """Back up a directory as the series' newest archive; the label becomes its tag."""
        words = ("--compression", _COMPRESSION, "--tag", label, self._series)
        return self._command(place, "create", *words, str(source.path))

    def restore(self, place: Place, _source: Source, label: str, target: Path) -> Command:
        """Restore the archive into the target, which must be the working directory."""
        return self._command(place, "extract", f"tags:{label}", directory=target)

    def check(self, place: Place) -> Command:
        """Check everything, reading and decrypting all data."""
        return self._command(place, "check", "--verify-data")

    def snapshots(self, place: Place) -> Command:
        """List the archives."""
        return self._command(place, "repo-list")

    def forget(self, place: Place, _source: Source) -> Sequence[Command]:
        """Forget all but the newest archive."""
        return (self._command(place, "prune", "--keep", "1"),)

    def prune(self, place: Place) -> Command:
        """Free what no archive needs."""
        return self._command(place, "compact")

    def _command(self, place: Place, *words: str, directory: Path | None = None) -> Command:
        return Command(
            arguments=(*self._program, "--repo", str(place.repository), *words),
            environment={"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(place.cache)},
            directory=directory,
        )


def _version(program: list[str], wanted: str) -> str:
    """Return the version of a borg.

    Raises:
        CommandError: it is another generation than the wanted one; both call themselves borg.
    """
    words = output_of(Command(arguments=(*program, "--version"))).split()
    if not words or not words[-1].startswith(wanted):
        raise CommandError(f"{' '.join(program)} is {' '.join(words)}, not borg {wanted}x")
    return words[-1]
