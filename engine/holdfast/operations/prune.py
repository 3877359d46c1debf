"""Free the space of what no snapshot needs, beside running backups and other prunes.

One cycle: plan; copy what is needed out of sparse packs; CONDEMN; wait for backups that may build
upon condemned packs; CLOSE; decide; SEAL; delete. Each step is durable before the next, and
whatever dies in between, any host goes on from the log. docs/prune.md has the argument that
nothing is lost; this module is only the order of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.errors import CommitVoidError, IntegrityError, PruneBusyError
from holdfast.format.gc import Condemn, join_ids
from holdfast.operations.live_blobs import LiveBlobs
from holdfast.operations.log_expiry import find_horizons, newly_expired
from holdfast.operations.maintainer import sole_pruner
from holdfast.operations.prune_delete import Deletion, finish_deletes
from holdfast.operations.prune_seal import decide
from holdfast.operations.prune_survey import Survey, damage_of, survey
from holdfast.operations.prune_types import Outcome, PruneOptions, PruneResult, WaitedFor
from holdfast.operations.repack import RepackResult, repack
from holdfast.policy.prune_plan import PackPlan, plan_packs
from holdfast.progress import NullProgress, Progress
from holdfast.repository.journal import dead_sessions
from holdfast.repository.log_state import LogState
from holdfast.repository.reader import BlobReader
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import LiveSession, blocking, list_sessions
from holdfast.repository.writer import INDEX_BLOBS

__all__ = ["Outcome", "PruneOptions", "PruneResult", "prune"]

_MOST_ATTEMPTS: Final = 5
"""Beginnings of a cycle that another prune was faster with."""
_POLL_S: Final = 5.0
_MOST_INDEX_OBJECTS: Final = 24
"""Small index objects that are left alone if there is nothing else to do."""
_ANY_CYCLE: Final = 1 << 62


def prune(
    repository: Repository, options: PruneOptions | None = None, *, progress: Progress | None = None
) -> PruneResult:
    """Free space.

    Args:
        repository: opened.
        options: how.
        progress: watches.

    Returns:
        What was done. With no backup at work, the space is free on return.

    Raises:
        IntegrityError: what is needed cannot be known, since something is damaged.
        PruneBusyError: other prunes were always faster, or one runs where there may be but one.
        UnsafeStorageError: the storage overwrites what it should create only if absent.
        NotMaintainerError: only another host may prune this repository.
        BackendError: the storage failed; the next prune goes on.
    """
    return _Prune(repository, options or PruneOptions(), progress or NullProgress()).run()


class _Prune:
    """One run of prune."""

    def __init__(self, repository: Repository, options: PruneOptions, progress: Progress) -> None:
        self._repository = repository
        self._options = options
        self._progress = progress
        self._result = PruneResult()
        self._started_s = repository.clock.monotonic_s()

    def run(self) -> PruneResult:
        result = self._result
        if self._options.dry_run:
            self._run_dry()
        else:
            options = self._options
            with sole_pruner(
                self._repository, host=options.host, as_maintainer=options.as_maintainer
            ):
                self._run_for_real()
        result.seconds = self._repository.clock.monotonic_s() - self._started_s
        return result

    def _run_for_real(self) -> None:
        for _ in range(_MOST_ATTEMPTS):
            if self._attempt():
                return
        raise PruneBusyError(self._repository.backend.location)

    def _run_dry(self) -> None:
        sessions = self._sessions(_ANY_CYCLE)
        assumed = self._options.assume_forgotten
        with self._live_blobs() as live:
            found = self._survey(
                live, has_sessions=bool(sessions), dry_run=True, assume_forgotten=assumed
            )
        plan = self._plan(found)
        result = self._result
        self._note_survey(found, plan)
        removed = [*plan.dead, *plan.repack]
        result.outcome = Outcome.PLANNED
        result.packs_removed = len(removed) + len(found.orphans)
        result.packs_repacked = len(plan.repack)
        result.bytes_repacked = sum(pack.stored_size for pack in plan.repack)
        result.bytes_removed = sum(pack.stored_size for pack in removed) + sum(
            found.present[pack_id] for pack_id in found.orphans
        )
        result.bytes_written = int(sum(pack.live_stored for pack in plan.repack))
        result.snapshots_kept -= len(assumed)
        result.snapshots_removed = len(found.view.forgotten) + len(assumed)
        result.waited_for = [_waited_for(session) for session in sessions]
        kept = [one for one in found.view.snapshots if one.id not in assumed]
        expired = newly_expired(self._repository, find_horizons(self._repository, kept))
        result.log_segments_removed = len(expired)
        result.log_bytes_removed = sum(segment.stored_size for segment in expired.values())

    def _attempt(self) -> bool:
        """Run to the end; False if another prune came between."""
        log = self._repository.log.read()
        self._result.problems.clear()
        try:
            return self._go_on(log)
        except CommitVoidError:
            return False  # it sealed while we copied
        except IntegrityError:
            # What another prune removes meanwhile looks like damage.
            if self._repository.log.read().last == log.last:
                raise
            return False

    def _go_on(self, log: LogState) -> bool:
        """Go on from where the log stands to the end; False if another prune came between."""
        if log.is_open:
            if not self._may_go_on(log):
                return True
            with self._live_blobs() as live:
                if not self._finish(live, log):
                    return False
        else:
            self._note_deletion(finish_deletes(self._repository))
        with self._live_blobs() as live:
            return self._begin(live)

    def _begin(self, live: LiveBlobs) -> bool:
        """Run a new cycle if there is anything to do; False if somebody else came between."""
        repository, result = self._repository, self._result
        found = self._survey(live, has_sessions=bool(self._sessions(_ANY_CYCLE)))
        plan = self._plan(found)
        self._note_survey(found, plan)
        copied = self._repack(found, plan)
        goes = {pack.pack_id for pack in plan.dead}
        goes |= {p.pack_id for p in plan.repack if p.number not in copied.damaged_packs}
        goes.update(found.orphans)
        is_scattered = found.index_objects > _MOST_INDEX_OBJECTS + found.blobs // INDEX_BLOBS
        logs = find_horizons(repository, found.view.snapshots)
        is_needed = goes or found.stray_index or found.view.forgotten or is_scattered
        if not (is_needed or newly_expired(repository, logs, found.view.log)):
            has_removed = result.packs_removed or result.log_segments_removed
            result.outcome = Outcome.DONE if has_removed else Outcome.NOTHING
            return True
        log = repository.log.read()
        if log.is_open:
            return False
        condemn = Condemn(
            previous_hash=log.last_hash,
            time_ns=repository.clock.now_ns(),
            host=self._options.host,
            packs=join_ids(goes),
            index_ids=join_ids(found.stray_index),
            logs=logs,
        )
        if not repository.log.append(log, condemn):
            return False
        opened = repository.log.read()
        if opened.last != log.next:
            return False
        result.packs_orphaned += len(found.orphans)
        return not self._may_go_on(opened) or self._finish(live, opened)

    def _finish(self, live: LiveBlobs, log: LogState) -> bool:
        """Take an open cycle to its end; False if somebody else came between."""
        self._progress.begin("decide what goes")
        try:
            sealed = decide(self._repository, live, log, self._options.host)
        finally:
            self._progress.end()
        if sealed is None:
            return False
        self._result.packs_needed_again += sealed.kept
        self._result.snapshots_removed += sealed.forgotten
        self._note_deletion(finish_deletes(self._repository))
        self._result.outcome = Outcome.DONE
        return True

    def _may_go_on(self, log: LogState) -> bool:
        """Wait for sessions as long as is wanted; False if the next prune has to go on."""
        clock, wait_s = self._repository.clock, self._options.wait_s
        end_s = clock.monotonic_s() + (wait_s or 0)
        while not log.is_closed and (sessions := self._sessions(log.open_cycle)):
            if wait_s is None:
                self._result.outcome = Outcome.WAITING
                self._result.waited_for = [_waited_for(session) for session in sessions]
                return False
            left_s = end_s - clock.monotonic_s()
            if left_s <= 0:
                break
            clock.sleep_s(min(_POLL_S, left_s))
        return True

    def _sessions(self, cycle: int) -> list[LiveSession]:
        """Return the sessions that may build upon what a cycle condemns."""
        repository = self._repository
        return blocking(
            list_sessions(repository.backend, repository.envelope),
            cycle=cycle,
            dead=dead_sessions(repository.journal_directory),
            now_s=repository.clock.now_ns() / 1e9,
        )

    @contextmanager
    def _live_blobs(self) -> Iterator[LiveBlobs]:
        repository = self._repository
        with (
            BlobReader(repository) as reader,
            LiveBlobs(reader, repository.cache.directory) as live,
        ):
            yield live

    def _survey(
        self,
        live: LiveBlobs,
        *,
        has_sessions: bool,
        dry_run: bool = False,
        assume_forgotten: frozenset[str] = frozenset(),
    ) -> Survey:
        self._progress.begin("find what is needed")
        try:
            return survey(
                self._repository,
                live,
                has_sessions=has_sessions,
                dry_run=dry_run,
                assume_forgotten=assume_forgotten,
            )
        finally:
            self._progress.end()

    def _plan(self, found: Survey) -> PackPlan:
        return plan_packs(
            found.packs,
            max_unused=self._options.max_unused,
            max_repack=self._options.max_repack,
            pack_size=self._repository.config.pack_size,
        )

    def _repack(self, found: Survey, plan: PackPlan) -> RepackResult:
        if not plan.repack:
            return RepackResult()
        total = sum(pack.live_size for pack in plan.repack)
        self._progress.begin("repack", total_bytes=total)
        try:
            copied = repack(
                self._repository,
                found.view.snapshots,
                {pack.pack_id for pack in (*plan.repack, *plan.dead)},
                level=self._options.level,
                host=self._options.host,
                on_progress=lambda size: self._progress.update(0, size),
            )
        finally:
            self._progress.end()
        if copied.problems and self._repository.log.read().last != found.view.log.last:
            raise CommitVoidError("a repack")  # not damage: another prune has moved the blobs
        result = self._result
        result.packs_repacked += len(plan.repack)
        result.bytes_repacked += sum(pack.stored_size for pack in plan.repack)
        result.bytes_written += copied.bytes_written
        result.problems += copied.problems
        return copied

    def _note_survey(self, found: Survey, plan: PackPlan) -> None:
        result = self._result
        result.snapshots_kept = len(found.view.snapshots)
        result.packs_before = len(found.present)
        result.bytes_before = sum(found.present.values())
        result.bytes_unused = int(plan.unused_kept)
        result.problems += damage_of(found.lost)

    def _note_deletion(self, done: Deletion) -> None:
        result = self._result
        result.packs_removed += done.packs
        result.bytes_removed += done.pack_bytes
        result.index_objects_removed += done.index_objects
        result.log_segments_removed += done.log_segments
        result.log_bytes_removed += done.log_bytes
        result.packs_undeletable = done.left
        result.packs_locked = done.locked
        end_s = done.locked_until_s
        result.locked_until_ns = None if end_s is None else end_s * 10**9


def _waited_for(session: LiveSession) -> WaitedFor:
    return WaitedFor(session.mark.host, session.mark.started_ns)
