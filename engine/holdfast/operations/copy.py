"""Copy snapshots from one repository to another.

An ordinary writer's transactions at the destination, one for each snapshot, in ascending time. What
a copy of a snapshot refers to is durable before it is committed, and the log of prune is looked at
afterwards, as with backups; if prune went on without it, the copy begins again with a new view. The
source is only read.

A copy is a snapshot of its own that remembers its origin (`original`), so it is recognised wherever
it is copied to next. With other keys everything is packed anew (`copy_rekey`); with the same keys
packs are taken over as they are (`copy_packs`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from holdfast.errors import CommitVoidError, ConfigurationError, IntegrityError
from holdfast.findings import Finding
from holdfast.format.snapshot import Snapshot
from holdfast.ids import BlobId, new_object_id
from holdfast.operations.copy_logs import copy_logs
from holdfast.operations.copy_map import CopyMap, map_key
from holdfast.operations.copy_packs import PackTransfer
from holdfast.operations.copy_plan import CopyPlan, PlannedSnapshot
from holdfast.operations.copy_rekey import RekeyingTransfer
from holdfast.operations.copy_transfer import CopyRun, Transfer
from holdfast.operations.copy_types import (
    CopiedSnapshot,
    CopyOptions,
    CopyResult,
    UnreadableError,
    origin_of,
)
from holdfast.progress import NullProgress, Progress
from holdfast.repository import layout
from holdfast.repository.commits import StoredCommit
from holdfast.repository.listing import list_objects
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.view import View
from holdfast.repository.writer import Writer

__all__ = ["CopiedSnapshot", "CopyOptions", "CopyResult", "copy_snapshots"]

_MOST_ATTEMPTS: Final = 5
"""Without a snapshot in between; each needs a whole cycle of prune that did not wait."""
_PROGRESS_S: Final = 0.2


def copy_snapshots(
    source: Repository,
    destination: Repository,
    snapshots: Sequence[Snapshot],
    options: CopyOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CopyResult:
    """Copy snapshots; those that the destination has, hidden ones too, are passed over.

    Args:
        source: opened; nothing is written to it.
        destination: opened.
        snapshots: of the source.
        options: how.
        progress: watches.

    Returns:
        What was done. Each snapshot in `copied` is durable and stays.

    Raises:
        ConfigurationError: the two are one repository.
        CommitVoidError: prunes of the destination were always faster.
        IntegrityError: the destination is damaged. Damage to the source is in the result.
        BackendError: a storage failed; the next copy goes on where this one stopped.

    Memory: 100 bytes for each distinct page, and what reading and writing need.
    """
    return _Copy(
        source, destination, snapshots, options or CopyOptions(), progress or NullProgress()
    ).run()


class _Copy:
    """One run of `copy_snapshots`."""

    def __init__(
        self,
        source: Repository,
        destination: Repository,
        snapshots: Sequence[Snapshot],
        options: CopyOptions,
        progress: Progress,
    ) -> None:
        self._source = source
        self._destination = destination
        self._asked = sorted(snapshots, key=lambda one: (one.time_ns, one.id))
        self._options = options
        self._progress = progress
        self._clock = destination.clock
        self._result = CopyResult(mirror=source.repository_id == destination.repository_id)
        self._unreadable: dict[BlobId, IntegrityError] = {}
        self._given_up: set[str] = set()
        """Snapshots that cannot be copied."""
        self._done: set[str] = set()
        """Origins of those that this run has committed."""
        self._origins: dict[str, str] = {}
        """Snapshot of the source -> origin."""
        self._copies: dict[str, str] = {}
        """Origin -> snapshot of the destination."""
        self._last: dict[str, StoredCommit | None] = {}
        """Host -> its newest commit at the destination."""
        self._view: View
        self._known: set[str] = set()
        """Snapshot objects of the destination that have been looked at."""
        self._bytes = self._items = 0
        self._current = ""
        self._reported_s = self._started_s = self._clock.monotonic_s()

    def run(self) -> CopyResult:
        if (
            self._result.mirror
            and self._source.config.instance == self._destination.config.instance
        ):
            raise ConfigurationError(
                "both locations hold the same repository",
                "copy to another one, or make a mirror with `holdfast init --mirror`",
            )
        attempts = 0
        while True:
            done = len(self._done)
            try:
                self._attempt()
                break
            except CommitVoidError as error:
                attempts = 1 if len(self._done) > done else attempts + 1
                if attempts >= _MOST_ATTEMPTS:
                    raise CommitVoidError("the rest of the copy") from error
            finally:
                self._progress.end()
        self._result.seconds = self._clock.monotonic_s() - self._started_s
        return self._result

    def _attempt(self) -> None:
        """Copy what is left, with a new view."""
        options, destination = self._options, self._destination
        self._view = destination.load_view(for_writing=True, settle=not options.dry_run)
        there = self._source.load_view().snapshots
        self._origins = {one.id: origin_of(one) for one in there}
        self._note_view(self._view)
        self._last.clear()
        left = self._choose()
        self._copy_logs(left)
        stored = self._result.bytes_stored
        with (
            BlobReader(self._source) as reader,
            Writer(
                destination, level=options.level, dry_run=options.dry_run, host=options.host
            ) as writer,
        ):
            run = CopyRun(
                self._source,
                destination,
                reader,
                writer,
                self._result,
                self._unreadable,
                self._on_bytes,
            )
            try:
                with self._transfer(run) as transfer:
                    while left:
                        left = self._copy_some(run, transfer, left)
                if not options.dry_run:
                    # Of snapshots that turned out to be damaged the rest is there next time.
                    writer.commit_index()
                writer.close_journal()
            finally:
                self._result.bytes_stored = stored + writer.bytes_stored

    def _copy_logs(self, left: list[Snapshot]) -> None:
        """Copy what base backups need of logs: those that are to be copied, and those there already."""
        there = {origin_of(one) for one in self._view.snapshots}
        chosen = {one.id for one in left}
        wanted = [one for one in self._asked if one.id in chosen or origin_of(one) in there]
        self._begin_phase("logs", len(wanted))
        done = copy_logs(
            self._source,
            self._destination,
            self._view,
            wanted,
            dry_run=self._options.dry_run,
            on_bytes=self._on_bytes,
        )
        self._progress.end()
        logs = self._result.logs
        logs.segments += done.segments
        logs.stored_bytes += done.stored_bytes
        logs.expired, logs.problems = done.expired, done.problems

    @contextmanager
    def _transfer(self, run: CopyRun) -> Iterator[Transfer]:
        if self._result.mirror:
            yield PackTransfer(run, host=self._options.host)
            return
        source, destination = self._source, self._destination
        name = (source.config.instance or source.repository_id).hex()
        key = map_key(source.root_key, destination.root_key)
        with CopyMap(os.path.join(destination.cache.directory, f"copy-{name}"), key) as ids:
            yield RekeyingTransfer(run, ids)

    def _note_view(self, view: View) -> None:
        """Take in which snapshots the destination has, or has forgotten."""
        self._known = {item.id for commits in (view.commits, view.void) for item in commits}
        self._copies.clear()
        # Visible ones last: of a snapshot and its successor with other tags they count.
        for item in sorted(view.commits, key=lambda item: item.id not in view.hidden):
            if item.snapshot is not None:
                self._copies[item.id] = self._copies[origin_of(item.snapshot)] = item.id

    def _choose(self) -> list[Snapshot]:
        """Return the snapshots that are to be copied, ascending by time."""
        chosen: dict[str, Snapshot] = {}
        self._result.skipped = 0
        for snapshot in self._asked:
            origin = origin_of(snapshot)
            if origin in self._done or snapshot.id in self._given_up:
                continue
            if origin in self._copies or origin in chosen:
                self._result.skipped += 1
            else:
                chosen[origin] = snapshot
        return list(chosen.values())

    def _copy_some(
        self, run: CopyRun, transfer: Transfer, snapshots: list[Snapshot]
    ) -> list[Snapshot]:
        """Plan snapshots and copy them; return those that have to be planned anew.

        A plan leaves out what earlier snapshots of it bring. So once one of them turns out to be
        unreadable, the others are planned again.
        """
        with CopyPlan(
            run.reader,
            self._destination.cache.directory,
            transfer.is_missing,
            unreadable=self._unreadable,
            on_page=self._on_page,
        ) as plan:
            self._begin_phase("look", len(snapshots))
            for number, snapshot in enumerate(snapshots):
                self._items, self._current = number, snapshot.id[:12]
                try:
                    plan.add(snapshot)
                except UnreadableError as error:
                    self._give_up(snapshot, error.error)
            total = transfer.prepare(plan)
            self._progress.end()
            if self._options.dry_run:
                self._note_plan(plan, total)
                return []
            self._begin_phase("copy", len(plan.snapshots), total)
            for number, planned in enumerate(plan.snapshots):
                self._items, self._current = number, planned.snapshot.id[:12]
                try:
                    root = transfer.copy(plan, planned)
                except UnreadableError as error:
                    self._give_up(planned.snapshot, error.error)
                    return [one.snapshot for one in plan.snapshots[number + 1 :]]
                self._commit(run.writer, planned, root)
            self._items = len(plan.snapshots)
            self._report()
        return []

    def _commit(self, writer: Writer, planned: PlannedSnapshot, root: bytes) -> None:
        """Commit the copy of a snapshot, unless somebody else has just done so."""
        old = planned.snapshot
        origin = origin_of(old)
        writer.flush()
        self._look_for_others()
        if origin in self._copies:
            self._result.skipped += 1
            return
        snapshot = msgspec.structs.replace(
            old, id=new_object_id(), root=root, parent=self._parent_of(old), original=origin
        )
        previous = self._last.get(old.host) or self._view.last_of(old.host)
        self._last[old.host] = writer.commit(snapshot, previous)
        writer.begin_transaction()
        self._copies[origin] = snapshot.id
        self._known.add(snapshot.id)
        self._done.add(origin)
        self._result.copied.append(CopiedSnapshot(old.id, snapshot.id))

    def _look_for_others(self) -> None:
        """See whether another copy is at work; two copies of a snapshot would only be untidy."""
        present = list_objects(self._destination.backend, layout.SNAPSHOTS)
        if present.keys() <= self._known:
            return
        view = self._destination.take_view()
        self._known |= {item.id for item in (*view.commits, *view.void)}
        for item in view.commits:
            if item.snapshot is not None:
                self._copies.setdefault(origin_of(item.snapshot), item.snapshot.id)

    def _parent_of(self, old: Snapshot) -> str | None:
        """Return the copy of a snapshot's parent, if there is one."""
        if old.parent is None:
            return None
        return self._copies.get(self._origins.get(old.parent, old.parent))

    def _give_up(self, snapshot: Snapshot, error: IntegrityError) -> None:
        """Note a snapshot that cannot be read: it is damaged, or not there any more."""
        self._given_up.add(snapshot.id)
        if all(one.id != snapshot.id for one in self._source.take_view().snapshots):
            self._result.vanished += 1
            return
        self._result.damaged.append((snapshot.id, error))
        self._progress.finding(Finding(f"snapshot {snapshot.id[:12]}", str(error)))

    def _note_plan(self, plan: CopyPlan, total: int) -> None:
        self._result.copied = [CopiedSnapshot(one.snapshot.id, None) for one in plan.snapshots]
        self._result.bytes_read = total

    def _begin_phase(self, phase: str, items: int, size: int | None = None) -> None:
        self._bytes = self._items = 0
        self._progress.begin(phase, total_items=items, total_bytes=size)

    def _on_page(self) -> None:
        if self._clock.monotonic_s() - self._reported_s >= _PROGRESS_S:
            self._report()

    def _on_bytes(self, size: int) -> None:
        self._bytes += size
        self._on_page()

    def _report(self) -> None:
        self._reported_s = self._clock.monotonic_s()
        self._progress.update(self._items, self._bytes, self._current)
