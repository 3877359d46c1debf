"""Backups one after another: parents, what is read and stored again, interruptions, lost packs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.chunking import CUTTINGS, Profile
from holdfast.errors import SnapshotNotFoundError
from holdfast.format.pack import BlobKind
from holdfast.operations import backup_session
from holdfast.operations.check import CheckOptions, check
from holdfast.policy.subset import ALL_DATA
from holdfast.progress import NullProgress
from holdfast.repository.layout import pack_name
from holdfast.repository.repository import Repository
from support.sessions import (
    FakeClock,
    backup,
    contents_of,
    create,
    names_in,
    nodes_of,
    open_repository,
    packs_of,
    pages_above,
    random_bytes,
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
    """300 files of 8 KiB in three directories, every one different."""
    directory = tmp_path / "source"
    for number in range(300):
        path = directory / f"d{number % 3}" / f"f{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(8192, number))
    return directory


def whole(repository: Repository, source: Path, snapshot_id: str | None) -> bool:
    """Whether a snapshot has exactly the files of the source."""
    snapshot = next(found for found in repository.snapshots() if found.id == snapshot_id)
    expected = {
        bytes(path.relative_to(source)): path.read_bytes()
        for path in source.rglob("*")
        if path.is_file()
    }
    return contents_of(repository, snapshot, source) == expected


def test_an_unchanged_tree_adds_and_reads_nothing(repository: Repository, source: Path) -> None:
    first = backup(repository, source)
    packs = names_in(repository.backend, "packs/")
    again = backup(repository, source)
    assert again.parent == first.snapshot
    assert again.stats.files_unmodified == 300
    assert again.stats.bytes_read == 0
    assert again.stats.logical_bytes == first.stats.logical_bytes
    assert again.stats.blobs_added <= pages_above(source)
    assert again.stats.bytes_stored <= 4096
    assert len(set(names_in(repository.backend, "packs/")) - set(packs)) <= 1
    assert whole(repository, source, again.snapshot)


def test_an_unchanged_tree_can_be_skipped(repository: Repository, source: Path) -> None:
    first = backup(repository, source, skip_if_unchanged=True)
    assert first.snapshot is not None
    again = backup(repository, source, skip_if_unchanged=True)
    assert again.snapshot is None
    assert again.parent == first.snapshot
    (source / "new").write_text("x")
    assert backup(repository, source, skip_if_unchanged=True).snapshot is not None
    assert len(repository.snapshots()) == 2


def test_force_reads_everything_and_stores_nothing_new(
    repository: Repository, source: Path
) -> None:
    backup(repository, source)
    again = backup(repository, source, force=True)
    assert again.stats.bytes_read == 300 * 8192
    assert again.stats.files_unmodified == 300
    assert again.stats.blobs_added <= pages_above(source)


def test_edits_are_noticed_by_ctime_though_size_and_mtime_are_restored(
    repository: Repository, source: Path
) -> None:
    backup(repository, source)
    path = source / "d0" / "f000"
    before = os.stat(path)
    path.write_bytes(random_bytes(8192, 999))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = backup(repository, source)
    assert (again.stats.files_changed, again.stats.files_unmodified) == (1, 299)
    assert again.stats.bytes_read == 8192
    assert whole(repository, source, again.snapshot)


def test_a_file_changed_within_the_clocks_tick_is_read_again(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    clock = FakeClock()
    newest = max(os.stat(path).st_ctime_ns for path in source.rglob("*"))
    with open_repository(backend, tmp_path / "cache", clock=clock) as repository:
        clock.wall_ns = newest - 1_000_000_000
        backup(repository, source)
        clock.wall_ns = newest + 3600_000_000_000
        again = backup(repository, source)
        assert again.stats.bytes_read > 0, "they might have changed just after they were read"
        assert again.stats.files_unmodified == 300
        assert backup(repository, source).stats.bytes_read == 0


def test_changes_of_metadata_alone_store_no_data(repository: Repository, source: Path) -> None:
    backup(repository, source)
    os.chmod(source / "d0" / "f000", 0o600)
    again = backup(repository, source)
    assert again.stats.files_unmodified == 300
    nodes = nodes_of(repository, snapshot_of(repository, again), source)
    assert nodes[b"d0/f000"].mode == 0o600
    added = [entry for entry in packs_of(repository) if entry.kind == BlobKind.DATA]
    assert sum(sum(entry.lengths) for entry in added) == 300 * 8192


def test_removed_added_and_replaced_entries(repository: Repository, source: Path) -> None:
    backup(repository, source)
    (source / "d0" / "f000").unlink()
    (source / "d1" / "f001").unlink()
    (source / "d1" / "f001").mkdir()
    (source / "d1" / "f001" / "inner").write_text("x")
    os.rename(source / "d2", source / "moved")
    again = backup(repository, source)
    assert whole(repository, source, again.snapshot)
    nodes = nodes_of(repository, snapshot_of(repository, again), source)
    assert b"d0/f000" not in nodes
    assert b"d1/f001/inner" in nodes
    assert b"moved/f002" in nodes
    assert again.stats.bytes_added < 100_000


def test_parent_is_the_newest_of_host_and_paths(repository: Repository, source: Path) -> None:
    one = backup(repository, source / "d0")
    assert one.parent is None
    assert backup(repository, source / "d1").parent is None
    assert backup(repository, source / "d0", host="other").parent is None
    two = backup(repository, source / "d0")
    assert two.parent == one.snapshot
    both = backup(repository, source / "d0", source / "d1")
    assert both.parent is not None, "the newest that has one of the paths"
    chosen = backup(repository, source / "d0", parent=(one.snapshot or "")[:12])
    assert chosen.parent == one.snapshot
    with pytest.raises(SnapshotNotFoundError):
        backup(repository, source, parent="ffff0000")


def test_another_profile_reads_everything(repository: Repository, source: Path) -> None:
    backup(repository, source)
    again = backup(repository, source, cutting=CUTTINGS[Profile.DUMP])
    assert again.parent is None
    assert again.stats.bytes_read == 300 * 8192
    assert whole(repository, source, again.snapshot)


def test_dry_run_stores_nothing_and_tells_what_would_be(
    repository: Repository, source: Path
) -> None:
    before = names_in(repository.backend, "")
    result = backup(repository, source, dry_run=True)
    assert result.snapshot is None
    assert result.stats.files_new == 300
    assert result.stats.bytes_added > 300 * 8192
    assert names_in(repository.backend, "") == before
    assert repository.snapshots() == []
    assert backup(repository, source).stats.files_new == 300


def test_what_the_options_record(repository: Repository, source: Path) -> None:
    result = backup(
        repository,
        source,
        user="ann",
        tags=("a", "b\udcff"),
        time_ns=123,
        excludes_text=("*.o", "\udcfe"),
    )
    snapshot = snapshot_of(repository, result)
    assert (snapshot.user, snapshot.time_ns, snapshot.profile) == ("ann", 123, "files")
    assert snapshot.tags == ("a", "b\\xff"), "a byte that is no UTF-8 does not end the backup"
    assert snapshot.excludes == ("*.o", "\\xfe")


@pytest.mark.parametrize("level", [None, -5, 9])
def test_levels(level: int | None, repository: Repository, source: Path) -> None:
    (source / "zeros").write_bytes(bytes(1 << 20))
    result = backup(repository, source, level=level)
    assert whole(repository, source, result.snapshot)
    assert (result.stats.bytes_stored > result.stats.bytes_added) == (level is None)


def test_partial_snapshots_are_superseded_by_the_whole_one(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 40)
    seen: list[tuple[int, list[bool]]] = []

    class Watcher(NullProgress):
        def update(self, items: int, size: int, current: str = "") -> None:
            found = repository.snapshots()
            seen.append((len(found), [snapshot.partial for snapshot in found]))

    options = backup_session.BackupOptions(host="testhost")
    from holdfast.operations.backup import backup_paths

    result = backup_paths(repository, [bytes(source)], options, progress=Watcher())
    assert seen[-1] == (1, [True]), "one at a time"
    (snapshot,) = repository.snapshots()
    assert (snapshot.id, snapshot.partial) == (result.snapshot, False)
    assert whole(repository, source, result.snapshot)
    assert check(repository, CheckOptions(read_data=ALL_DATA)).ok


class _Interrupted(NullProgress):
    """Presses Ctrl-C after so many reports."""

    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, items: int, size: int, current: str = "") -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def interrupt(backend: Backend, cache: Path, source: Path, after: int) -> None:
    from holdfast.operations.backup import backup_paths

    with open_repository(backend, cache, clock=FakeClock(step_s=1.0)) as repository:
        options = backup_session.BackupOptions(host="testhost")
        with pytest.raises(KeyboardInterrupt):
            backup_paths(repository, [bytes(source)], options, progress=_Interrupted(after))


def test_after_an_interruption_nothing_is_stored_twice(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    interrupt(backend, tmp_path / "cache", source, after=3)
    assert names_in(backend, "snapshots/") == []
    assert names_in(backend, "packs/") != []
    with open_repository(backend, tmp_path / "cache") as repository:
        result = backup(repository, source)
        assert whole(repository, source, result.snapshot)
        assert result.stats.bytes_added < 300 * 8192 - 900_000  # a pack at least
        outcome = check(repository, CheckOptions(read_data=ALL_DATA))
        assert outcome.ok
        assert outcome.unused_packs == 0


def test_after_an_interruption_a_partial_snapshot_is_the_parent(
    backend: Backend, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 40)
    interrupt(backend, tmp_path / "cache", source, after=3)
    with open_repository(backend, tmp_path / "other cache") as repository:
        (partial,) = repository.snapshots()
        assert partial.partial
        taken = contents_of(repository, partial, source)
        assert 40 <= len(taken) < 300
        assert check(repository).ok
        result = backup(repository, source)
        assert result.parent == partial.id
        assert result.stats.files_unmodified == len(taken)
        assert whole(repository, source, result.snapshot)


def test_a_lost_pack_is_healed_by_the_next_backup(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    with open_repository(backend, tmp_path / "cache") as repository:
        backup(repository, source)
        entries = packs_of(repository)
    for kind in (BlobKind.DATA, BlobKind.TREE):
        lost = next(entry for entry in entries if entry.kind == kind)
        backend.delete(pack_name(lost.pack_id))
        with open_repository(backend, tmp_path / "cache") as repository:
            again = backup(repository, source)
            assert again.stats.bytes_added > 0
            assert whole(repository, source, again.snapshot)
            assert [problem.name for problem in repository.problems][:1] != []
    with open_repository(backend, tmp_path / "fresh cache") as repository:
        assert all(whole(repository, source, found.id) for found in repository.snapshots())
        assert check(repository).files == []


def test_a_lost_index_object_is_healed_by_the_next_backup(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    with open_repository(backend, tmp_path / "cache") as repository:
        backup(repository, source)
    (index,) = names_in(backend, "index/")
    backend.delete(index)
    with open_repository(backend, tmp_path / "fresh cache") as repository:
        again = backup(repository, source)
        assert len(repository.problems) == 1
        assert whole(repository, source, again.snapshot)


def test_two_hosts_at_once_do_not_disturb_each_other(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    with (
        open_repository(backend, tmp_path / "a") as one,
        open_repository(backend, tmp_path / "b") as other,
    ):
        one.load_view(for_writing=True)
        other.load_view(for_writing=True)
        first = backup(one, source, host="one")
        second = backup(other, source, host="two")
        assert second.stats.blobs_added <= pages_above(source)
        assert whole(one, source, second.snapshot)
        assert whole(other, source, first.snapshot)
        assert check(one, CheckOptions(read_data=ALL_DATA)).ok
