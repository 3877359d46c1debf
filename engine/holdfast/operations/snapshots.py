"""Change the tags of snapshots.

Objects are immutable, so a snapshot with other tags is a new object with the same root that
remembers its original. The old one is forgotten once the new one is committed; prune lists marks
before commits, so it sees one of the two at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from holdfast.errors import CommitVoidError, ConfigurationError, SnapshotNotFoundError
from holdfast.format.envelope import ObjectKind
from holdfast.format.snapshot import Commit, Snapshot, encode_commit, seal_snapshot
from holdfast.ids import ObjectId, new_object_id
from holdfast.operations.forget import forget_snapshots
from holdfast.repository import layout
from holdfast.repository.commits import StoredCommit
from holdfast.repository.log_state import LogState
from holdfast.repository.repository import Repository
from holdfast.repository.view import View


@dataclass(frozen=True, slots=True)
class TagChange:
    """What happened, or would happen, to one snapshot."""

    old_id: str
    new_id: str | None
    """None for a dry run."""
    tags: tuple[str, ...]


def tag_snapshots(
    repository: Repository,
    snapshots: Sequence[Snapshot],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    set_to: Sequence[str] | None = None,
    dry_run: bool = False,
) -> list[TagChange]:
    """Change the tags of snapshots; those that have them already stay as they are.

    Args:
        repository: opened.
        snapshots: to change.
        add: tags to add.
        remove: tags to remove.
        set_to: replaces all tags, before `add` and `remove`.
        dry_run: change nothing.

    Returns:
        The changes, in order. Each is durable when it is in the list.

    Raises:
        ConfigurationError: nothing to do, or an empty tag.
        SnapshotNotFoundError: somebody else has forgotten it meanwhile.
        CommitVoidError: prune went on in between; the snapshot has its old tags.
    """
    if not add and not remove and set_to is None:
        raise ConfigurationError("no change of tags is asked for", "use --add, --remove or --set")
    if any(not tag or "," in tag for tag in (*add, *remove, *(set_to or ()))):
        raise ConfigurationError("a tag must not be empty or contain a comma", "choose another")
    view = repository.take_view(for_writing=True)
    commits = {item.id: item for item in view.commits if item.id not in view.hidden}
    changes: list[TagChange] = []
    for snapshot in snapshots:
        tags = list(snapshot.tags if set_to is None else set_to)
        tags = [tag for tag in dict.fromkeys([*tags, *add]) if tag not in remove]
        if tuple(tags) == snapshot.tags:
            continue
        item = commits.get(ObjectId(snapshot.id))
        if item is None:
            raise SnapshotNotFoundError(snapshot.id)
        new_id = None if dry_run else _replace(repository, view, item, tuple(tags))
        changes.append(TagChange(snapshot.id, new_id, tuple(tags)))
    return changes


def _replace(repository: Repository, view: View, item: StoredCommit, tags: tuple[str, ...]) -> str:
    old = item.snapshot
    assert old is not None, "only snapshots have tags"
    snapshot = msgspec.structs.replace(
        old, id=new_object_id(), tags=tags, original=old.original or old.id
    )
    commit: Commit = msgspec.structs.replace(
        item.commit,
        view=_view_of_successor(view.before),
        index_ids=(),
        sealed=seal_snapshot(snapshot, repository.keys.snapshots, repository.repository_id),
    )
    name = layout.snapshot_name(snapshot.id)
    data = repository.envelope.seal(ObjectKind.SNAPSHOT, name, encode_commit(commit))
    repository.backend.create(name, data)
    if not repository.settler.is_committed(snapshot.id, commit.view):
        raise CommitVoidError(f"the change of snapshot {old.id[:12]}")
    forget_snapshots(repository, [old])
    return snapshot.id


def _view_of_successor(log: LogState) -> int:
    """Return the view of a commit that refers to whatever its original refers to.

    That may lie in packs that the open cycle has condemned. So the commit claims to know nothing
    of that cycle: then its SEAL must name it, and whoever seals keeps what it needs.
    """
    return log.open_cycle - 1 if log.is_open else log.last
