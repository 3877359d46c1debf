"""Tags: a snapshot with other tags is a new object with the same tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.errors import ConfigurationError, SnapshotNotFoundError
from holdfast.operations.check import check
from holdfast.operations.snapshots import tag_snapshots
from holdfast.repository.repository import Repository
from support.faults import CrashingBackend, SimulatedCrash
from support.sessions import (
    backup,
    contents_of,
    create,
    names_in,
    open_repository,
    pages_above,
    snapshot_of,
)


@pytest.fixture
def backend() -> Backend:
    return create()


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(backend, tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "file").write_text("content")
    return directory


def test_tags_are_changed_and_everything_else_stays(repository: Repository, source: Path) -> None:
    before = snapshot_of(repository, backup(repository, source, tags=("a", "b")))
    (change,) = tag_snapshots(repository, [before], add=["c", "a"], remove=["b"])
    assert (change.old_id, change.tags) == (before.id, ("a", "c"))
    (after,) = repository.snapshots()
    assert after.id == change.new_id != before.id
    assert (after.tags, after.original) == (("a", "c"), before.id)
    for name in ("time_ns", "host", "raw_paths", "root", "stats", "parent", "user_names"):
        assert getattr(after, name) == getattr(before, name)
    assert contents_of(repository, after, source) == {b"file": b"content"}
    assert check(repository).ok
    again = tag_snapshots(repository, [after], set_to=["z", "z"])
    (last,) = repository.snapshots()
    assert (last.id, last.tags, last.original) == (again[0].new_id, ("z",), before.id)


def test_what_has_the_tags_already_stays(repository: Repository, source: Path) -> None:
    snapshot = snapshot_of(repository, backup(repository, source, tags=("a",)))
    assert tag_snapshots(repository, [snapshot], add=["a"], remove=["x"]) == []
    assert tag_snapshots(repository, [snapshot], set_to=["a"]) == []
    assert [found.id for found in repository.snapshots()] == [snapshot.id]


def test_dry_run_changes_nothing(repository: Repository, backend: Backend, source: Path) -> None:
    snapshot = snapshot_of(repository, backup(repository, source))
    before = names_in(backend, "")
    (change,) = tag_snapshots(repository, [snapshot], add=["a"], dry_run=True)
    assert (change.new_id, change.tags) == (None, ("a",))
    assert names_in(backend, "") == before


@pytest.mark.parametrize("arguments", [{}, {"add": [""]}, {"set_to": ["a,b"]}, {"remove": [","]}])
def test_impossible_changes(arguments: dict[str, list[str]], repository: Repository) -> None:
    with pytest.raises(ConfigurationError):
        tag_snapshots(repository, [], **arguments)  # type: ignore[arg-type]


def test_a_snapshot_that_is_gone(repository: Repository, backend: Backend, source: Path) -> None:
    snapshot = snapshot_of(repository, backup(repository, source))
    backend.delete(f"snapshots/{snapshot.id}")
    with pytest.raises(SnapshotNotFoundError):
        tag_snapshots(repository, [snapshot], add=["a"])


def test_the_next_backup_goes_on_from_a_tagged_snapshot(
    repository: Repository, source: Path
) -> None:
    first = snapshot_of(repository, backup(repository, source))
    (change,) = tag_snapshots(repository, [first], add=["a"])
    again = backup(repository, source)
    assert again.parent == change.new_id
    assert again.stats.blobs_added <= pages_above(source)
    view = repository.take_view()
    assert view.hidden == {first.id}
    commits = sorted(
        (item for item in view.commits if item.id not in view.hidden),
        key=lambda item: item.commit.host_sequence,
    )
    assert [item.commit.host_sequence for item in commits] == [1, 2]
    assert commits[1].commit.previous_hash == commits[0].object_hash


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("happened", [False, True])
def test_a_crash_never_loses_the_snapshot(
    step: int, happened: bool, backend: Backend, source: Path, tmp_path: Path
) -> None:
    with open_repository(backend, tmp_path / "cache") as repository:
        snapshot = snapshot_of(repository, backup(repository, source))
    crashing = CrashingBackend(backend, step, last_happened=happened)
    dying = open_repository(crashing, tmp_path / "cache")
    with pytest.raises(SimulatedCrash):
        tag_snapshots(dying, [snapshot], add=["a"])
    dying.close()
    with open_repository(backend, tmp_path / "cache") as repository:
        left = repository.snapshots()
        assert len(left) in (1, 2)
        for found in left:
            assert contents_of(repository, found, source) == {b"file": b"content"}
