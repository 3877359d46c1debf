"""Delete what the last SEAL says: nothing else is ever deleted by prune.

Idempotent and the same for everybody: names are never used twice and a doomed one never counts
again, so it does not matter who deletes, when, how often, or whether somebody else is faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from holdfast.errors import BackendError, NotFoundError
from holdfast.operations.log_expiry import expired_objects
from holdfast.repository import layout
from holdfast.repository.journal import dead_sessions
from holdfast.repository.listing import list_objects
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import LEASE_S, delete_quietly, list_sessions
from holdfast.storage_errors import LockedError, RequestLimitError

_THREADS: Final = 8


@dataclass(slots=True)
class Deletion:
    """What was deleted."""

    packs: int = 0
    pack_bytes: int = 0
    index_objects: int = 0
    log_segments: int = 0
    log_bytes: int = 0
    snapshots: int = 0
    left: int = 0
    """Packs that could not be deleted, and are not locked."""
    locked: int = 0
    """Packs that Object Lock protects; a prune after its end deletes them."""
    locked_until_s: int | None = None
    """End of the last of these locks, in seconds since 1970 UTC; None if it is not known."""


def finish_deletes(repository: Repository) -> Deletion:
    """Delete what the last SEAL dooms, and what means nothing any more.

    In the reverse order of writing: snapshots that do not count, their forget marks, index
    objects, packs; then old entries of the log and sessions that are over.
    """
    backend = repository.backend
    done = Deletion()
    view = repository.take_view()
    log = view.log
    if log.seal is None:
        return done
    remover = _Remover(repository)
    with ThreadPoolExecutor(_THREADS, "holdfast-delete") as pool:

        def delete(names: Iterable[str]) -> int:
            return sum(pool.map(remover.delete, names))

        done.snapshots = delete(layout.snapshot_name(item.id) for item in view.void)
        there = list_objects(repository.backend, layout.SNAPSHOTS)
        delete(layout.forget_name(one) for one in view.hidden if one not in there)
        index = list_objects(repository.backend, layout.INDEX)
        done.index_objects = delete(layout.index_name(one) for one in log.superseded & index.keys())
        packs = list_objects(repository.backend, layout.PACKS)
        doomed = sorted(log.doomed & packs.keys())
        gone = list(pool.map(remover.delete, map(layout.pack_name, doomed)))
        for pack_id, is_gone in zip(doomed, gone, strict=True):
            done.packs += is_gone
            done.pack_bytes += packs[pack_id].size * is_gone
        logs = expired_objects(repository, log)
        for segment, is_gone in zip(logs.values(), pool.map(remover.delete, logs), strict=True):
            done.log_segments += is_gone
            done.log_bytes += segment.stored_size * is_gone
        ends = [end_s for name, end_s in remover.locked.items() if name.startswith(layout.PACKS)]
        done.locked = len(ends)
        done.locked_until_s = max((end_s for end_s in ends if end_s is not None), default=None)
        done.left = len(doomed) - done.packs - done.locked
        delete(layout.gc_name(number) for number in log.stale)
    if repository.locks is not None:
        repository.locks.save()
    now_s = repository.clock.now_ns() / 1e9
    dead = dead_sessions(repository.journal_directory)
    for session in list_sessions(backend, repository.envelope):
        if session.mark.session_id in dead or now_s - session.modified_s > LEASE_S:
            delete_quietly(backend, session.name)
    return done


class _Remover:
    """Deletes objects, as far as the storage lets us. Safe for many threads."""

    def __init__(self, repository: Repository) -> None:
        self._backend = repository.backend
        self._locks = repository.locks
        self.locked: dict[str, int | None] = {}
        """Protected objects, with the end of that in seconds since 1970 UTC if it is known."""

    def delete(self, name: str) -> bool:
        """Delete an object; False if the storage refuses, or is known to refuse.

        Raises:
            RequestLimitError: no more requests may be made; that is no refusal.
        """
        locks = self._locks
        if locks is not None and (locks.end_of(name) or 0) > locks.now_s:
            self.locked[name] = locks.end_of(name)
            return False
        try:
            self._backend.delete(name)
        except NotFoundError:
            return True
        except LockedError as error:
            self.locked[name] = error.until_s
            if locks is not None and error.until_s is not None:
                locks.note(name, error.until_s)
            return False
        except RequestLimitError:
            raise
        except BackendError:
            return False
        return True
