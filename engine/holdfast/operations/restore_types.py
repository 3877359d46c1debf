"""What goes into a restore and what comes out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from holdfast.findings import Finding
from holdfast.format.node import Node
from holdfast.fs.target_tree import TargetDirectory
from holdfast.policy.filters import ExcludeFilter, IncludeFilter
from holdfast.policy.overwrite import Overwrite

LinkKey = tuple[int, int]
"""(device, inode) at the source: names that share it are hard links of one file."""


def link_key(node: Node) -> LinkKey:
    """Return what tells the names of one file."""
    return node.device, node.inode


class ActionKind(StrEnum):
    """What happens, or in a dry run would happen, to one entry of the target."""

    CREATE = "create"
    UPDATE = "update"
    """The content of an existing file differs or may differ."""
    REPLACE = "replace"
    """Something else has the name and is removed first."""
    UNCHANGED = "unchanged"
    """The content is right; metadata may be set."""
    SKIP = "skip"
    """It exists and may not be overwritten."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class RestoreAction:
    """One entry of the target."""

    kind: ActionKind
    path: bytes
    """Below the target, with "/" first."""
    size: int = 0
    """Bytes of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What to restore, where to, and what may happen to what is there."""

    target: bytes
    """Directory to restore into; made if absent."""
    parents: Sequence[Node] = ()
    """The directories on the way from "/" to the target, as the snapshot has them; empty if the
    target is no place of the snapshot. Those that are missing are made with their metadata."""
    overwrite: Overwrite | None = None
    """None: the target must be empty or absent; for a single entry, its name must be free."""
    delete: bool = False
    """Remove what the snapshot lacks, inside of restored directories at or below `sources`; with
    `overwrite` ALWAYS or IF_CHANGED only."""
    sources: Sequence[bytes] = ()
    """The snapshot's own paths. Directories above them were never backed up completely, so
    nothing is deleted there; without any, nothing is deleted at all."""
    protected: Sequence[bytes] = ()
    """Files and directories that the restore itself needs, such as the repository: nothing at or
    below them is changed, by whatever path they are reached."""
    dry_run: bool = False
    """Touch nothing; report what would happen."""
    verify: bool = False
    """Read every file after it was written and compare it with the snapshot."""
    owners_matter: bool = True
    """Whether it is a problem that owners cannot be set, as for anybody but root."""
    include: IncludeFilter = field(default_factory=IncludeFilter)
    """Of absolute paths in the snapshot; the directories above are restored too."""
    exclude: ExcludeFilter = field(default_factory=ExcludeFilter)
    """Of absolute paths in the snapshot; excluded entries are not deleted either."""
    on_action: Callable[[RestoreAction], None] | None = None
    """Called for each entry, before it is written, in the order of the tree."""


@dataclass(slots=True, kw_only=True)
class RestoreCounts:
    """Counters of a restore in progress."""

    files: int = 0
    """Files created or rewritten, without further names of hard links."""
    directories: int = 0
    others: int = 0
    """Symbolic links, fifos, sockets and devices."""
    links: int = 0
    """Further names of hard-linked files."""
    unchanged: int = 0
    """Existing entries whose content was right already."""
    skipped: int = 0
    """Existing entries that may not be overwritten."""
    deleted: int = 0
    verified: int = 0
    damaged: int = 0
    """Files and directories that the repository could not deliver, or that differ afterwards."""
    bytes_written: int = 0
    bytes_total: int = 0
    """Sizes of all files met, written or not; each name of a hard link once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did, or in a dry run would do."""

    files: int
    directories: int
    others: int
    links: int
    unchanged: int
    skipped: int
    deleted: int
    verified: int
    damaged: int
    bytes_written: int
    bytes_total: int
    findings: list[Finding]
    """Paths are below the target, with "/" first."""
    seconds: float


class RestoreSink(Protocol):
    """Carries out decisions. None of the methods raises for a single entry: it reports."""

    def make_directory(self, directory: TargetDirectory, *, writable: bool) -> bool:
        """Make sure that a directory is there, an existing one writable; tell whether it is."""

    def leave_directory(
        self, directory: TargetDirectory, node: Node, found: os.stat_result | None
    ) -> None:
        """Everything in a directory was handed over; give it its metadata in the end."""

    def write_file(self, directory: TargetDirectory, node: Node) -> None:
        """Write a file whose name is free."""

    def replace_file(self, directory: TargetDirectory, node: Node) -> None:
        """Write a file in place of an entry that is no directory."""

    def is_equal(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> bool:
        """Tell whether an existing file is known beforehand to have the right content."""

    def rewrite_file(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        """Make an existing file equal."""

    def keep(self, directory: TargetDirectory, node: Node, found: os.stat_result) -> None:
        """Make the metadata of an existing entry equal, and where a symbolic link points."""

    def make_other(self, directory: TargetDirectory, node: Node, *, replace: bool) -> None:
        """Make a symbolic link, fifo, socket or device."""

    def link(
        self,
        directory: TargetDirectory,
        node: Node,
        first: tuple[TargetDirectory, bytes],
        *,
        replace: bool,
    ) -> None:
        """Make a further name of a file."""

    def remove(self, directory: TargetDirectory, name: bytes, base: bytes) -> bool:
        """Remove an entry and what is below, but nothing that is excluded or mounted.

        Returns:
            Whether the name is free now. If not, a problem was reported or something excluded
            is left.
        """

    def remove_leftover(self, directory: TargetDirectory, name: bytes) -> None:
        """Remove the temporary entry of a restore that was killed."""
