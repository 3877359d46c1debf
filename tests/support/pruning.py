"""Prune, forget and their likes in one call; and what must hold of a store afterwards."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from holdfast.backends.base import Backend
from holdfast.operations.forget import forget_snapshots
from holdfast.operations.prune import PruneOptions, PruneResult, prune
from holdfast.policy.prune_plan import UnusedLimit
from holdfast.repository import layout
from holdfast.repository.repository import Repository
from support.faults import HookedBackend
from support.repos import Tree, check_all, open_repository, read_all

TIGHT = UnusedLimit(size=0)
"""Everything that is not needed is freed."""


def prune_all(repository: Repository, *, wait_s: float | None = None) -> PruneResult:
    return prune(repository, PruneOptions(max_unused=TIGHT, wait_s=wait_s))


def forget(repository: Repository, ids: Collection[str]) -> None:
    forget_snapshots(repository, [one for one in repository.snapshots() if one.id in ids])


def ids_below(backend: Backend, prefix: str) -> set[str]:
    return {layout.id_of(info.name) or info.name for info in backend.list(prefix)}


def pass_leases(backend: Backend) -> None:
    """A day goes by: sessions of dead hosts are no longer taken for living."""
    for info in list(backend.list(layout.SESSIONS)):
        backend.delete(info.name)


def assert_holds(backend: Backend, cache: Path, expected: dict[str, Tree], source: Path) -> None:
    """Exactly these snapshots are listed; each reads back; a check of every byte is clean."""
    with open_repository(backend, cache) as repository:
        result = check_all(repository)
        assert (result.damage, result.files) == ([], [])
        found = {snapshot.id: content for snapshot, content in read_all(repository)}
    assert set(found) == set(expected)
    for snapshot_id, tree in expected.items():
        assert found[snapshot_id].damaged == {}
        assert found[snapshot_id].below(source) == tree


def assert_tidy(backend: Backend, cache: Path) -> None:
    """Nothing is stored that does not count."""
    with open_repository(backend, cache) as repository:
        view = repository.load_view()
        assert not view.log.is_open
        assert view.void == ()
        assert view.hidden == frozenset()
        assert ids_below(backend, layout.PACKS) == {one for _, one in repository.index.pack_ids()}
        assert ids_below(backend, layout.INDEX) == view.index_ids()
        assert ids_below(backend, layout.SESSIONS) == set()
        assert view.log.stale == ()


class Interrupting(HookedBackend):
    """Does something once, just before the n-th operation of a kind on a prefix."""

    def __init__(
        self, inner: Backend, kind: str, prefix: str, action: Callable[[], object], *, skip: int = 0
    ) -> None:
        super().__init__(inner)
        self.happened = False
        self._kind = kind
        self._prefix = prefix
        self._action = action
        self._skip = skip

    def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
        if kind == self._kind and name.startswith(self._prefix) and not self.happened:
            if self._skip:
                self._skip -= 1
            else:
                self.happened = True
                self._action()
        return action()
