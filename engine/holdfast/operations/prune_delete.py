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
from holdfast.repository import layout
from holdfast.repository.journal import dead_sessions
from holdfast.repository.repository import Repository
from holdfast.repository.sessions import LEASE_S, delete_quietly, list_sessions

_THREADS: Final = 8


@dataclass(slots=True)
class Deletion:
    """What was deleted."""

    packs: int = 0
    pack_bytes: int = 0
    index_objects: int = 0
    snapshots: int = 0
    left: int = 0
    """Packs that could not be deleted."""


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
    with ThreadPoolExecutor(_THREADS, "holdfast-delete") as pool:

        def delete(names: Iterable[str]) -> int:
            return sum(pool.map(lambda name: _is_deleted(repository, name), names))

        done.snapshots = delete(layout.snapshot_name(item.id) for item in view.void)
        there = _ids(repository, layout.SNAPSHOTS)
        delete(layout.forget_name(one) for one in view.hidden if one and one not in there)
        index = _ids(repository, layout.INDEX)
        done.index_objects = delete(layout.index_name(one) for one in log.superseded & index.keys())
        packs = _ids(repository, layout.PACKS)
        doomed = sorted(log.doomed & packs.keys())
        gone = list(pool.map(lambda one: _is_deleted(repository, layout.pack_name(one)), doomed))
        for pack_id, is_gone in zip(doomed, gone, strict=True):
            done.packs += is_gone
            done.pack_bytes += packs[pack_id] * is_gone
        done.left = len(doomed) - done.packs
        delete(layout.gc_name(number) for number in log.stale)
    now_s = repository.clock.now_ns() / 1e9
    dead = dead_sessions(repository.journal_directory)
    for session in list_sessions(backend, repository.envelope):
        if session.mark.session_id in dead or now_s - session.modified_s > LEASE_S:
            delete_quietly(backend, session.name)
    return done


def _ids(repository: Repository, prefix: str) -> dict[str, int]:
    """Return ids and sizes of the objects below a prefix."""
    return {
        one: info.size
        for info in repository.backend.list(prefix)
        if (one := layout.id_of(info.name)) is not None
    }


def _is_deleted(repository: Repository, name: str) -> bool:
    """Delete an object; False if the storage refuses."""
    try:
        repository.backend.delete(name)
    except NotFoundError:
        return True
    except BackendError:
        return False
    return True
