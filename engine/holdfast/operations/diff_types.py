"""What a diff is told, and what it tells: changes of entries, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.errors import IntegrityError
from holdfast.findings import Finding
from holdfast.format.node import Node, NodeType
from holdfast.policy.filters import ExcludeFilter

OnDamage = Callable[[bytes, IntegrityError], None]
"""Called with the path of what cannot be read of a snapshot."""
OnFinding = Callable[[Finding], None]
"""Called for each local entry that cannot be read."""


class ChangeKind(StrEnum):
    """What happened to an entry; the values are what people and programs see."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    """The bytes of a file, the target of a symbolic link, the number of a device."""
    METADATA = "metadata"
    """The same content with another mode, owner, time or attribute."""
    TYPE = "type"
    """Another entry of the same name: what was a file is a directory, say."""
    RENAMED = "renamed"
    """The same content under another path; of a directory also everything in it."""


class Field(StrEnum):
    """What of an entry differs."""

    CONTENT = "content"
    """Bytes of a file; of a directory, where it is not entered, something in it."""
    TARGET = "target"
    DEVICE = "device"
    MODE = "mode"
    UID = "uid"
    GID = "gid"
    MTIME = "mtime"
    XATTRS = "xattrs"
    """Extended attributes, POSIX ACLs among them."""


SUBSTANCE = frozenset((Field.CONTENT, Field.TARGET, Field.DEVICE))
"""Fields that make a change more than one of metadata."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that differs."""

    kind: ChangeKind
    old_path: bytes | None
    """Absolute path before; None if it was not there."""
    new_path: bytes | None
    """Absolute path after; None if it is not there."""
    old: Node | None
    new: Node | None
    """The entry before and after; None as the paths. Of a local directory its nodes have no ids, and
    link targets and attributes only where both are there."""
    fields: frozenset[Field] = frozenset()
    """What differs where both are there; of RENAMED metadata only, of TYPE nothing is compared."""

    @property
    def path(self) -> bytes:
        """Where it is, or where it was if it is gone."""
        path = self.old_path if self.new_path is None else self.new_path
        assert path is not None
        return path

    @property
    def node(self) -> Node:
        """The entry as it is, or as it was if it is gone."""
        node = self.old if self.new is None else self.new
        assert node is not None
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """What is compared."""

    recursive: bool = True
    """Enter directories. If not, only the entries of the one directory are compared; one in which
    something differs, or cannot be read, is MODIFIED, and finding that out may read all of it."""
    metadata: bool = True
    """Compare modes, owners, times and attributes too."""
    directory_times: bool = False
    """Report a directory that differs in its mtime only: each one with a new entry does."""
    renames: bool = True
    """Look for entries that were renamed: a second walk over what differs, and memory for what was
    added and removed, see `diff_renames`. Never done for a directory that is not entered."""
    rename_limit: int = 100_000
    """Added files and directories, and removed ones, up to which renames are looked for."""
    on_too_many: Callable[[], None] | None = None
    """Called if there are more, so that none is reported as renamed."""
    believe_ids: bool = True
    """Other ids are other bytes: true where both snapshots cut files alike. Otherwise files of the
    same size that differ in ids are read."""
    exclude: ExcludeFilter = field(default_factory=ExcludeFilter)
    """Entries that are not looked at on either side, by their absolute path in the old tree."""
    not_added: ExcludeFilter = field(default_factory=ExcludeFilter)
    """Entries that are not reported as added, with all below, by their absolute path in the old
    tree: what a backup leaves out is not new."""


@dataclass(slots=True, kw_only=True)
class DiffCounts:
    """Sums over changes."""

    added: int = 0
    removed: int = 0
    modified: int = 0
    metadata: int = 0
    type_changed: int = 0
    renamed: int = 0
    """A renamed directory counts once, whatever it holds."""
    files_added: int = 0
    files_removed: int = 0
    bytes_added: int = 0
    """Sizes of files that are new, and what others have grown by."""
    bytes_removed: int = 0
    """Sizes of files that are gone, and what others have shrunk by."""

    @property
    def total(self) -> int:
        """How many changes were counted."""
        return (
            self.added
            + self.removed
            + self.modified
            + self.metadata
            + self.type_changed
            + self.renamed
        )

    def note(self, change: Change) -> None:
        """Count one change."""
        name = "type_changed" if change.kind == ChangeKind.TYPE else change.kind.value
        setattr(self, name, getattr(self, name) + 1)
        old, new = change.old, change.new
        was_file = old is not None and old.type == NodeType.FILE
        is_file = new is not None and new.type == NodeType.FILE
        self.files_added += is_file and not was_file
        self.files_removed += was_file and not is_file
        grown = (new.size if new is not None else 0) - (old.size if old is not None else 0)
        self.bytes_added += max(grown, 0)
        self.bytes_removed += max(-grown, 0)
