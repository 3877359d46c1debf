"""Forget snapshots, and bring them back while that is possible.

Forgetting hides a snapshot and frees nothing; prune makes it final with its next SEAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.errors import AlreadyExistsError, ForgetFinalError, NotFoundError
from holdfast.format.envelope import ObjectKind
from holdfast.format.marks import ForgetMark, encode_mark
from holdfast.format.snapshot import Snapshot
from holdfast.ids import ObjectId
from holdfast.repository import layout
from holdfast.repository.repository import Repository

_FINAL: Final = "prune has made that final; restore its files from another snapshot"
_UNDECIDED: Final = (
    "prune is deciding about it; look with `holdfast snapshots` once prune has ended"
)


def forget_snapshots(
    repository: Repository, snapshots: Sequence[Snapshot], *, host: str = ""
) -> None:
    """Hide snapshots; durable on return. Those that are hidden already stay so.

    Args:
        repository: opened.
        snapshots: to hide.
        host: where this is done, for people.
    """
    for snapshot in snapshots:
        forget_id(repository, snapshot.id, host=host)


def forget_id(repository: Repository, snapshot_id: str, *, host: str) -> None:
    """Hide one snapshot; durable on return."""
    name = layout.forget_name(snapshot_id)
    mark = ForgetMark(time_ns=repository.clock.now_ns(), host=host)
    data = repository.envelope.seal(ObjectKind.FORGET, name, encode_mark(mark))
    try:
        repository.backend.create(name, data)
    except AlreadyExistsError:
        pass  # somebody else was faster


def countable_snapshots(repository: Repository) -> list[Snapshot]:
    """Return the visible snapshots that a policy may count, ascending by time.

    A snapshot that a running prune may yet find void must not be the reason to forget another.
    """
    repository.settler.wait()
    return repository.take_view().decided


def forgotten_snapshots(repository: Repository) -> list[Snapshot]:
    """Return the snapshots that are hidden and can be brought back, ascending by time."""
    return repository.take_view().forgotten


def undo_forget(repository: Repository, snapshots: Sequence[Snapshot]) -> None:
    """Show forgotten snapshots again; durable on return.

    Raises:
        ForgetFinalError: prune was faster with one of them; those before it are back.
    """
    for snapshot in snapshots:
        try:
            repository.backend.delete(layout.forget_name(snapshot.id))
        except NotFoundError:
            pass  # brought back by somebody else, or pruned; the log tells
    # Whoever seals has listed the marks after its CLOSE: with none open now, it comes later than
    # our deletions and finds no mark.
    log = repository.settler.wait()
    views = {item.id: item.commit.view for item in repository.read_commits()}
    for snapshot in snapshots:
        view = views.get(ObjectId(snapshot.id))
        if view is None or not log.is_valid(snapshot.id, view):
            raise ForgetFinalError(snapshot.id, _FINAL)
        if not log.is_decided(view):
            raise ForgetFinalError(snapshot.id, _UNDECIDED)
