"""What snapshots need stays locked, however old it is; the rest is let go; requests are few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backends.location import parse_location
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.options import DEFAULT_OPTIONS
from holdfast.backends.s3 import FREE_PREFIXES
from holdfast.clock import SystemClock
from holdfast.errors import ConfigurationError
from holdfast.format.config import CONFIG_NAME
from holdfast.operations import backup_session, backup_tree
from holdfast.operations.backup import BackupResult
from holdfast.operations.forget import forget_snapshots
from holdfast.operations.init import InitOptions, init_repository
from holdfast.operations.keys import add_recovery
from holdfast.operations.object_lock import LockReport, keep_locked, require_object_lock
from holdfast.operations.prune import PruneOptions, PruneResult, prune
from holdfast.policy.prune_plan import parse_unused
from holdfast.repository import layout
from holdfast.repository.lock_ledger import DAY_S, FREE, LockLedger, span_days
from holdfast.repository.repository import Repository
from holdfast.storage_errors import LockedError
from support.locking import LockingStore, SetClock
from support.logs import LogServer, names_of
from support.repos import (
    PACK_SIZE,
    SECRET,
    SLICE_SIZE,
    back_up,
    check_all,
    contents,
    random_files,
    read_all,
    write_tree,
)

DAYS = 10
SIZES = [30_000, 400_000, 900_000, 700_000]


@pytest.fixture
def store() -> LockingStore:
    store = LockingStore(SetClock())
    options = InitOptions(
        secret=SECRET, pack_size=PACK_SIZE, slice_size=SLICE_SIZE, object_lock_days=DAYS, host="h"
    )
    init_repository(store, options, clock=store.clock)
    return store


@pytest.fixture
def repository(store: LockingStore, tmp_path: Path) -> Iterator[Repository]:
    with opened(store, tmp_path / "cache") as repository:
        yield repository


def opened(store: LockingStore, cache: Path) -> Repository:
    return Repository.open(store, SECRET, cache_dir=str(cache), clock=store.clock)


def keep_after(repository: Repository, store: LockingStore, result: BackupResult) -> LockReport:
    assert result.kept is not None
    return keep_locked(repository, store, snapshots=[result.kept], index_ids=result.index_ids)


def prune_all(repository: Repository) -> PruneResult:
    return prune(repository, PruneOptions(max_unused=parse_unused("0"), host="h"))


def left_days(store: LockingStore) -> float:
    """For how many days everything there is that may be protected is so."""
    present = [name for name in contents(store) if not name.startswith(FREE)]
    return min((store.ends[name] - store.clock.now_s) / DAY_S for name in present)


def test_what_is_never_protected_is_the_same_everywhere() -> None:
    assert set(FREE) == set(FREE_PREFIXES)


@pytest.mark.parametrize(
    ("reason", "end_s"),
    [
        ("until 2026-11-22 08:20 UTC", 1_795_335_660),
        ("until some day", None),
        ("", None),
    ],
)
def test_errors_tell_the_end_of_a_lock(reason: str, end_s: int | None) -> None:
    """Rounded up, since the text has no seconds."""
    assert LockedError("here", "packs/a", reason).until_s == end_s


@pytest.mark.parametrize(("days", "span"), [(0, 0), (1, 2), (2, 3), (3, 5), (30, 45)])
def test_locks_begin_with_half_as_much_again(days: int, span: int) -> None:
    assert span_days(days) == span


def test_everything_is_created_locked_but_what_is_taken_back(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    result = back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    assert result.kept is not None
    forget_snapshots(repository, [result.kept])
    prune_all(repository)
    names = set(contents(store))
    kinds = {name.split("/")[0] for name in names}
    assert {"config", "keys", "packs", "index", "snapshots", "gc", "forgets"} <= kinds
    assert {name for name in names if name not in store.ends} == {
        name for name in names if name.startswith("forgets/")
    }
    assert left_days(store) == 1.5 * DAYS


def test_a_backup_knows_what_it_has_just_locked(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    result = back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    report = keep_after(repository, store, result)
    # The config and the key slot were made by `init`, whose ledger nobody has.
    assert store.count() == (3, 0)
    assert (report.objects, report.extended, report.failed) == (len(contents(store)), 0, 0)
    assert report.ends_s == store.clock.now_s + span_days(DAYS) * DAY_S
    keep_after(repository, store, result)
    assert store.count() == (0, 0)


def test_nightly_backups_extend_everything_once_in_half_the_time(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    """And the promise holds on each of 60 nights: at least D - 1 days are left."""
    source = write_tree(tmp_path / "source", random_files(1, SIZES))
    first = back_up(repository, source)
    needed = {name for name in contents(store) if not name.startswith("snapshots/")}
    extended: dict[str, int] = {}
    for _ in range(60):
        store.clock.add_days(1)
        assert min(store.ends[name] for name in needed) - store.clock.now_s >= (DAYS - 1) * DAY_S
        report = keep_after(repository, store, back_up(repository, source))
        assert report.failed == 0
        for name in store.extended:
            extended[name] = extended.get(name, 0) + 1
        store.count()
    # 15 days from each extension on; 9 are left on the sixth night.
    assert {name: extended[name] for name in needed} == dict.fromkeys(needed, 10)
    assert first.snapshot is not None
    assert store.ends[layout.snapshot_name(first.snapshot)] < store.clock.now_s  # no prune ran


def test_prune_extends_for_all_kept_snapshots_and_for_nothing_else(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    kept = back_up(repository, write_tree(source, random_files(1, SIZES)))
    gone = back_up(repository, write_tree(source, random_files(2, SIZES)))
    store.clock.add_days(DAYS)
    assert gone.kept is not None
    forget_snapshots(repository, [gone.kept])
    assert prune_all(repository).packs_locked > 0
    before = dict(store.ends)
    report = keep_locked(repository, store)
    assert report.failed == 0
    moved = {name for name, end_s in store.ends.items() if end_s != before[name]}
    assert kept.snapshot is not None
    assert gone.snapshot is not None
    assert layout.snapshot_name(kept.snapshot) in moved
    assert layout.snapshot_name(gone.snapshot) not in moved
    doomed = {layout.pack_name(one) for one in repository.log.read().doomed}
    assert doomed
    assert not doomed & moved
    packs = {name for name in contents(store) if name.startswith(layout.PACKS)}
    assert packs - doomed <= moved
    assert {CONFIG_NAME, layout.key_name(repository.slot_id)} <= moved


def test_the_last_seal_is_extended_and_what_is_older_is_not(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    gone = back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    back_up(repository, write_tree(tmp_path / "source", random_files(2, SIZES)))
    assert gone.kept is not None
    forget_snapshots(repository, [gone.kept])
    prune_all(repository)
    store.clock.add_days(DAYS)
    assert keep_locked(repository, store).failed == 0
    log = repository.log.read()
    assert [name for name in store.extended if name.startswith(layout.GC)] == [
        layout.gc_name(log.seal_number)
    ]


def test_locked_packs_are_carried_over_until_a_prune_after_the_lock(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    gone = back_up(repository, write_tree(source, random_files(1, SIZES)))
    back_up(repository, write_tree(source, random_files(2, SIZES)))
    assert gone.kept is not None
    forget_snapshots(repository, [gone.kept])
    first = prune_all(repository)
    assert (first.packs_removed, first.packs_undeletable, first.bytes_removed) == (0, 0, 0)
    assert first.packs_locked > 1
    end_s = store.clock.now_s + span_days(DAYS) * DAY_S
    assert first.locked_until_ns is not None
    assert 0 <= first.locked_until_ns // 10**9 - end_s <= 60
    doomed = repository.log.read().doomed
    # Another cycle for another reason: the SEAL goes on naming them.
    another = back_up(repository, write_tree(source, random_files(3, SIZES)))
    assert another.kept is not None
    forget_snapshots(repository, [another.kept])
    prune_all(repository)
    assert doomed < repository.log.read().doomed
    assert not check_all(repository).damage
    store.clock.add_days(span_days(DAYS) + 1)
    last = prune_all(repository)
    assert last.packs_locked == 0
    left = {name for name in contents(store) if name.startswith(layout.PACKS)}
    assert not left & {layout.pack_name(one) for one in doomed}
    assert not check_all(repository).damage
    (snapshot,) = [one for one, _ in read_all(repository)]
    assert snapshot.id not in (gone.snapshot, another.snapshot)


def test_a_prune_asks_for_no_deletion_that_it_knows_to_be_refused(
    repository: Repository, store: LockingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    gone = back_up(repository, write_tree(source, random_files(1, SIZES)))
    back_up(repository, write_tree(source, random_files(2, SIZES)))
    assert gone.kept is not None
    forget_snapshots(repository, [gone.kept])
    first = prune_all(repository)
    asked: list[str] = []
    delete = LockingStore.delete

    def counting(self: LockingStore, name: str) -> None:
        asked.append(name)
        delete(self, name)

    monkeypatch.setattr(LockingStore, "delete", counting)
    second = prune_all(repository)
    assert second.packs_locked == first.packs_locked
    assert [name for name in asked if not name.startswith(FREE)] == []


def test_another_host_asks_once_for_what_it_does_not_know(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", random_files(1, SIZES))
    back_up(repository, source)
    with opened(store, tmp_path / "elsewhere") as other:
        needed = keep_locked(other, store).objects
        assert store.count() == (needed + 1, 0)
    with opened(store, tmp_path / "elsewhere") as other:  # it was written down
        keep_locked(other, store)
        assert store.count() == (0, 0)


def test_a_dry_run_only_counts(repository: Repository, store: LockingStore, tmp_path: Path) -> None:
    back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    store.clock.add_days(DAYS)
    before = dict(store.ends)
    would = keep_locked(repository, store, dry_run=True)
    assert store.ends == before
    assert would.extended == len(before)
    assert keep_locked(repository, store).extended == would.extended


def test_a_lost_ledger_costs_requests_and_nothing_else(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    result = back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    keep_after(repository, store, result)
    store.count()
    for wrong in (b"", b"\xff\x00", b"\x93\x01\x02\x03"):
        Path(repository.cache.directory, "locks").write_bytes(wrong)
        with opened(store, tmp_path / "cache") as again:
            report = keep_locked(again, store)
        assert (report.looked_at, report.extended) == (report.objects + 1, 0)


def test_two_processes_write_down_what_both_know(tmp_path: Path) -> None:
    clock, path = SetClock(), str(tmp_path / "locks")
    one, other = LockLedger(path, days=DAYS, clock=clock), LockLedger(path, days=DAYS, clock=clock)
    one.note("packs/a", one.new_end_s)
    other.note("packs/b", other.new_end_s)
    other.note("packs/old", clock.now_s - 1)
    one.save()
    other.save()
    both = LockLedger(path, days=DAYS, clock=clock)
    assert sorted(both.names("")) == ["packs/a", "packs/b"]
    both.drop("packs/a")
    both.save()
    assert LockLedger(path, days=DAYS, clock=clock).names("") == ["packs/b"]


def test_what_cannot_be_extended_is_told(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    store.clock.add_days(DAYS)
    packs = sorted(
        (name for name in contents(store) if name.startswith(layout.PACKS)), key=store.size
    )[::-1]
    store.refused = {packs[0]}
    store.wipe(packs[1])
    report = keep_locked(repository, store)
    failures = {one.name: one.reason for one in report.failures}
    assert failures == {packs[0]: "AccessDenied", packs[1]: "it is missing"}
    assert report.extended == report.objects - 2
    assert report.ends_s is None


def test_many_failures_end_the_attempts(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", random_files(1, SIZES))
    for number in range(30):
        write_tree(source, random_files(number, [1000]))
        back_up(repository, source)
    store.clock.add_days(DAYS)
    store.refused = set(contents(store))
    report = keep_locked(repository, store)
    assert len(report.failures) <= 20 + store.parallelism
    assert report.not_tried > 0
    assert report.failed == report.objects


def test_a_server_that_knows_no_locks_is_asked_for_none(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    """It might take the request for an upload, and overwrite the object."""
    back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    store.clock.add_days(DAYS)
    store.is_silent = True
    report = keep_locked(repository, store)
    assert store.extended == []
    assert report.failed == report.objects
    assert "nothing was extended" in report.failures[0].reason


def test_all_key_slots_are_extended(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    result = back_up(repository, write_tree(tmp_path / "source", random_files(1, SIZES)))
    with opened(store, tmp_path / "elsewhere") as other:
        slot, _ = add_recovery(other)
    store.clock.add_days(DAYS)
    keep_after(repository, store, result)
    assert layout.key_name(slot.id) in store.extended


def test_nothing_changed_and_no_snapshot_made_extends_the_parent(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", random_files(1, SIZES))
    first = back_up(repository, source)
    store.clock.add_days(DAYS)
    second = back_up(repository, source, skip_if_unchanged=True)
    assert second.snapshot is None
    assert first.snapshot is not None
    assert keep_after(repository, store, second).failed == 0
    assert layout.snapshot_name(first.snapshot) in store.extended
    assert left_days(store) == 1.5 * DAYS
    assert back_up(repository, source, dry_run=True).kept is None


def test_a_partial_snapshot_is_forgotten_since_it_cannot_be_deleted(
    repository: Repository, store: LockingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_session, "CHECKPOINT_BLOBS", 6)
    monkeypatch.setattr(backup_tree, "_TICK", 4)
    source = write_tree(tmp_path / "source", random_files(1, [30_000] * 40))
    result = back_up(repository, source)
    partial = {name for name in contents(store) if name.startswith(layout.SNAPSHOTS)}
    assert len(partial) > 1
    assert [one.id for one in repository.snapshots()] == [result.snapshot]
    assert prune_all(repository).snapshots_removed == len(partial) - 1
    assert not check_all(repository).damage


def test_a_copy_on_a_disk_opens_without_protection(
    repository: Repository, store: LockingStore, tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", random_files(1, SIZES))
    back_up(repository, source)
    copy = MemoryBackend()
    for name, data in contents(store).items():
        copy.create(name, data)
    with Repository.open(
        copy, SECRET, cache_dir=str(tmp_path / "other"), clock=SystemClock()
    ) as other:
        assert other.locks is None
        assert len(list(read_all(other))) == 1
        assert back_up(other, source).snapshot
        with pytest.raises(ValueError, match="not protected"):
            keep_locked(other, store)


def test_init_refuses_storage_without_locks(tmp_path: Path) -> None:
    options = InitOptions(secret=SECRET, object_lock_days=DAYS, host="h")
    backend = MemoryBackend()
    with pytest.raises(ConfigurationError, match="no Object Lock"):
        init_repository(backend, options, clock=SystemClock())
    assert contents(backend) == {}
    location = parse_location(str(tmp_path))
    with pytest.raises(ConfigurationError, match="only storage in S3 has Object Lock"):
        require_object_lock(location, DEFAULT_OPTIONS, DAYS)
    for days in (0, 24_001):
        with pytest.raises(ConfigurationError, match="choose 1 to 24000"):
            require_object_lock(location, DEFAULT_OPTIONS, days)


def test_logs_that_bases_need_stay_locked_and_others_go(
    store: LockingStore, repository: Repository
) -> None:
    """A locked segment that has expired is left to a later prune, without a cycle of its own."""
    server = LogServer()
    server.run(repository, 2)
    server.back_up(repository)
    archive = server.archive(repository)
    store.clock.now_s += 9 * DAY_S
    server.run(repository)
    assert prune_all(repository).log_segments_removed == 0
    cycle = repository.log.read().last
    keep_locked(repository, store)
    ends = {name: store.ends[archive.object_name(server.name(name))] for name in (1, 2, 3, 4)}
    assert ends[3] == ends[4] > ends[1] == ends[2]
    assert prune_all(repository).log_segments_removed == 0
    assert repository.log.read().last == cycle
    store.clock.now_s += 7 * DAY_S
    assert prune_all(repository).log_segments_removed == 2
    assert names_of(repository, server) == [server.name(3), server.name(4)]
