"""What is asked of every program that is compared, and where it keeps what belongs to it.

A peer only builds commands; `works` runs and measures them. All of them encrypt, keep their
default settings but for what their class says, and get a cache of their own that is removed with
the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from measure import Command

PASSWORD: Final = "benchmark"


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


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up."""

    path: Path
    """An absolute path of a directory."""
    profile: str = "files"
    """How holdfast cuts it; the others have nothing of the kind."""


class Peer(Protocol):
    """One backup program."""

    name: str
    """One word, for results and options."""
    title: str
    """For reports."""

    def describe(self) -> dict[str, Any]:
        """Return what is known about the program, at least "version".

        Raises:
            CommandError: it does not run, or is another program than this peer.
        """

    def init(self, place: Place) -> Sequence[Command]:
        """Make the repository."""

    def backup(self, place: Place, source: Source, label: str) -> Command:
        """Back up a directory.

        A label is used once per repository; peers that have no "latest" name the snapshot by it.
        """

    def restore(self, place: Place, source: Source, label: str, target: Path) -> Command:
        """Restore all of the newest snapshot, whose label this is, below an empty directory."""

    def check(self, place: Place) -> Command:
        """Check everything, reading all data."""

    def snapshots(self, place: Place) -> Command:
        """List the snapshots."""

    def forget(self, place: Place, source: Source) -> Sequence[Command]:
        """Forget all but the newest snapshot."""

    def prune(self, place: Place) -> Command:
        """Free what no snapshot needs."""
