"""One maintainer: who may prune where the storage overwrites, and what others do meanwhile."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import (
    CacheError,
    ConfigurationError,
    ForgetFinalError,
    NotMaintainerError,
    PruneBusyError,
    RepositoryExistsError,
    UnsafeStorageError,
)
from holdfast.hashing import Bytes
from holdfast.operations.forget import undo_forget
from holdfast.operations.init import InitOptions, InitResult, init_repository
from holdfast.operations.maintainer import LOCK_NAME, sole_pruner
from holdfast.operations.prune import Outcome, PruneOptions, prune
from holdfast.repository import layout, settling
from support.faults import SimulatedCrash
from support.liars import Overwriting, Racy
from support.pruning import TIGHT, Interrupting, assert_holds, forget, ids_below
from support.repos import (
    PACK_SIZE,
    SECRET,
    SLICE_SIZE,
    back_up,
    check_all,
    contents,
    open_repository,
    random_files,
    read_all,
    write_tree,
)
from support.sessions import CLOCK

HERE = "here"


def init(
    store: Backend, *, host: str = HERE, maintainer: str = "", probe: bool = True
) -> InitResult:
    options = InitOptions(
        secret=SECRET,
        pack_size=PACK_SIZE,
        slice_size=SLICE_SIZE,
        host=host,
        maintainer=maintainer,
        probe=probe,
    )
    return init_repository(store, options, clock=CLOCK)


@pytest.fixture
def store() -> Overwriting:
    made = Overwriting()
    init(made)
    return made


def options_of(host: str = HERE, *, as_maintainer: bool = False) -> PruneOptions:
    return PruneOptions(max_unused=TIGHT, wait_s=0, host=host, as_maintainer=as_maintainer)


# -- init ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Overwriting, Racy])
def test_init_names_this_host_where_the_storage_overwrites(
    kind: type[MemoryBackend], tmp_path: Path
) -> None:
    store = kind()
    assert init(store).maintainer == HERE
    with open_repository(store, tmp_path) as repository:
        assert not repository.config.exclusive_create
        assert repository.config.maintainer == HERE
    assert ids_below(store, "probe/") == set()


def test_init_takes_the_host_that_is_named(tmp_path: Path) -> None:
    store = Overwriting()
    assert init(store, maintainer="server").maintainer == "server"
    with open_repository(store, tmp_path) as repository:
        assert repository.config.maintainer == "server"


def test_honest_storage_needs_no_maintainer(tmp_path: Path) -> None:
    store = MemoryBackend()
    assert init(store, maintainer="server").maintainer == ""
    with open_repository(store, tmp_path) as repository:
        assert repository.config.exclusive_create
        assert repository.config.maintainer == ""


def test_init_without_any_host_creates_nothing() -> None:
    store = Overwriting()
    with pytest.raises(ConfigurationError, match="--maintainer HOST"):
        init(store, host="")
    assert contents(store) == {}
    store.initialize()  # still empty


class _Rival(Overwriting):
    """Another init stores its config right after ours."""

    def create(self, name: str, data: Bytes) -> None:
        super().create(name, data)
        if name == "config":
            super().create(name, b"theirs")


def test_an_init_that_was_overwritten_says_so() -> None:
    with pytest.raises(RepositoryExistsError, match="another process"):
        init(_Rival())


# -- who may prune ------------------------------------------------------------------------------


def fill(store: Backend, tmp_path: Path) -> tuple[str, str]:
    """Make two snapshots and forget the first one; return their ids."""
    made = []
    for seed in (1, 2):
        write_tree(tmp_path / "source", random_files(seed, [60_000] * 20))
        with open_repository(store, tmp_path / "cache") as repository:
            snapshot = back_up(repository, tmp_path / "source").snapshot
        assert snapshot is not None
        made.append(snapshot)
    with open_repository(store, tmp_path / "cache") as repository:
        forget(repository, made[:1])
    return made[0], made[1]


def test_the_maintainer_prunes(store: Overwriting, tmp_path: Path) -> None:
    _, kept = fill(store, tmp_path)
    with open_repository(store, tmp_path / "cache") as repository:
        assert prune(repository, options_of()).outcome == Outcome.DONE
    tree = random_files(2, [60_000] * 20)
    assert_holds(store, tmp_path / "cache", {kept: tree}, tmp_path / "source")


def test_others_may_not_unless_they_take_its_place(store: Overwriting, tmp_path: Path) -> None:
    fill(store, tmp_path)
    before = contents(store)
    with open_repository(store, tmp_path / "cache") as repository:
        with pytest.raises(NotMaintainerError) as caught:
            prune(repository, options_of("there"))
        assert (caught.value.maintainer, caught.value.host) == (HERE, "there")
        assert contents(store) == before
        dry = PruneOptions(dry_run=True, host="there")
        assert prune(repository, dry).outcome == Outcome.PLANNED
        taken = options_of("there", as_maintainer=True)
        assert prune(repository, taken).outcome == Outcome.DONE


def test_two_prunes_of_one_host_exclude_each_other(store: Overwriting, tmp_path: Path) -> None:
    with (
        open_repository(store, tmp_path) as one,
        open_repository(store, tmp_path) as other,
        sole_pruner(one, host=HERE),
    ):
        with pytest.raises(PruneBusyError):
            prune(other, options_of())
        with pytest.raises(PruneBusyError):
            prune(other, options_of("there", as_maintainer=True))
    with open_repository(store, tmp_path) as other, sole_pruner(other, host=HERE):
        pass


def test_a_lock_of_a_deleted_cache_does_not_count(store: Overwriting, tmp_path: Path) -> None:
    with open_repository(store, tmp_path) as repository:
        path = Path(repository.cache.directory) / LOCK_NAME
        path.touch()
        stranger = os.open(path, os.O_RDWR)
        fcntl.flock(stranger, fcntl.LOCK_EX)
        with pytest.raises(PruneBusyError), sole_pruner(repository, host=HERE):
            pass
        path.unlink()
        with sole_pruner(repository, host=HERE):
            assert path.exists()
        os.close(stranger)


def test_a_lock_that_cannot_be_made_is_an_error(store: Overwriting, tmp_path: Path) -> None:
    with open_repository(store, tmp_path) as repository:
        (Path(repository.cache.directory) / LOCK_NAME).mkdir()
        with pytest.raises(CacheError), sole_pruner(repository, host=HERE):
            pass


def test_storage_that_lies_only_now_is_found_before_anything_is_written(tmp_path: Path) -> None:
    honest = MemoryBackend()
    init(honest)
    fill(honest, tmp_path)
    for kind in (Overwriting, Racy):
        store = kind()
        for name, data in contents(honest).items():
            store.create(name, data)
        with (
            open_repository(store, tmp_path / "cache") as repository,
            pytest.raises(UnsafeStorageError),
        ):
            prune(repository, options_of(as_maintainer=True))
        assert contents(store) == contents(honest)


# -- a prune that stands still ------------------------------------------------------------------


def leave_closed(store: Backend, tmp_path: Path) -> None:
    """Have a prune die between its CLOSE and its SEAL."""

    def die() -> None:
        raise SimulatedCrash("the maintainer dies")

    dying = Interrupting(store, "create", layout.GC, die, skip=2)
    with open_repository(dying, tmp_path / "cache") as repository, pytest.raises(SimulatedCrash):
        prune(repository, options_of())
    assert ids_below(store, layout.GC) == {layout.gc_name(0), layout.gc_name(1)}


def test_nobody_seals_for_the_maintainer_and_nothing_is_lost(
    store: Overwriting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PATIENCE_S", 0.05)
    gone, kept = fill(store, tmp_path)
    leave_closed(store, tmp_path)
    source = tmp_path / "other"
    tree = {**random_files(2, [60_000] * 20), **random_files(3, [60_000] * 3)}
    write_tree(source, tree)
    with open_repository(store, tmp_path / "cache2") as repository:
        made = back_up(repository, source, host="there").snapshot
        assert repository.settler.has_given_up
        with pytest.raises(ForgetFinalError, match="prune is deciding"):
            undo_forget(repository, repository.take_view().forgotten)
    assert ids_below(store, layout.GC) == {layout.gc_name(0), layout.gc_name(1)}
    with open_repository(store, tmp_path / "cache") as repository:
        assert prune(repository, options_of()).outcome in (Outcome.DONE, Outcome.NOTHING)
        assert not repository.settler.has_given_up
        left = {one.id for one in repository.snapshots()}
    assert made is not None
    assert {kept, made} <= left <= {kept, made, gone}
    with open_repository(store, tmp_path / "fresh") as repository:
        assert check_all(repository).damage == []
        found = {one.id: content for one, content in read_all(repository)}
    assert found[made].below(source) == tree
