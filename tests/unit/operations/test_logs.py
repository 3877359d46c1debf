"""Archived logs as others see them: surveys, check, figures, and copies to other repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.database_errors import LogConflictError
from holdfast.errors import IntegrityError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.check import CheckOptions, CheckResult, check
from holdfast.operations.logs import reach_of_snapshot, survey_logs
from holdfast.operations.prune import prune
from holdfast.operations.stats import repository_stats
from holdfast.policy.log_reach import LogGap
from holdfast.policy.subset import ALL_DATA, DataSubset
from holdfast.repository import layout, settling
from holdfast.repository.repository import Repository
from support.copying import copy_all, mirror_of, other_store, secret_of
from support.faults import bit_flipped, corrupt, truncated
from support.logs import LogServer, assert_recoverable, names_of
from support.pruning import Interrupting, forget, prune_all
from support.repos import check_all, contents, new_store, open_repository


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a pruner that is interrupted."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.1)


@pytest.fixture
def store() -> MemoryBackend:
    return new_store()


def opened(store: Backend, tmp_path: Path, cache: str = "cache") -> Repository:
    return open_repository(store, tmp_path / cache)


def check_some(repository: Repository, subset: DataSubset | None) -> CheckResult:
    return check(repository, CheckOptions(read_data=subset))


def test_a_survey_tells_how_far_each_base_reaches(store: MemoryBackend, tmp_path: Path) -> None:
    server, binlogs, idle = LogServer("1"), LogServer("shop", kind="binlog"), LogServer("2")
    with opened(store, tmp_path) as repository:
        assert survey_logs(repository) == []
        server.run(repository, 2)
        first = server.back_up(repository)
        server.run(repository, 3)
        server.index += 2  # two segments are lost
        second = server.back_up(repository)
        server.run(repository, 2)
        server.switch(repository, 10)
        server.run(repository, 2)
        binlogs.back_up(repository)
        idle.run = lambda repository, count=1: None  # type: ignore[method-assign]
        idle.back_up(repository)  # takes its log along, and archives none
        found = {(one.kind, one.identity): one for one in survey_logs(repository)}
        assert list(found) == [("binlog", "shop"), ("wal", "1"), ("wal", "2")]

        log = found["wal", "1"]
        one = LogServer("1")
        gap = LogGap(one.name(7), one.name(8), 2)
        assert (log.complete[0], log.complete[-1], log.gaps) == (
            one.name(1),
            server.name(11),
            [gap],
        )
        assert [base.base.snapshot_id for base in log.bases] == [first, second]
        assert (log.bases[0].reach.last, log.bases[0].reach.gap) == (one.name(6), gap)
        assert (log.bases[1].reach.last, log.bases[1].reach.gap) == (server.name(11), None)
        assert log.bases[1].until_s == log.segments[-1].modified_s
        assert log.has_gap
        assert not found["binlog", "shop"].has_gap
        assert found["wal", "2"].segments == []
        assert found["wal", "2"].bases[0].reach.last is None

        snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
        alone = reach_of_snapshot(repository, snapshots[second], timeline=1)
        assert alone is not None
        assert alone.reach.last == one.name(11)


def test_check_finds_damage_and_gaps(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.back_up(repository)
        server.run(repository, 6)
        archive = server.archive(repository)
        sound = check_all(repository)
        assert (sound.ok, sound.findings) == (True, [])
        assert (sound.log_segments, sound.log_segments_read) == (7, 7)
        assert check_some(repository, None).log_segments_read == 0
        parts = [check_some(repository, DataSubset(part=n, parts=3)) for n in (1, 2, 3)]
        assert sum(part.log_segments_read for part in parts) == 7

        archive.remove([server.name(4)])
        (finding,) = check_some(repository, None).findings
        assert server.name(4) in finding.problem
        assert server.name(3) in finding.problem
        assert check_some(repository, None).ok

        flipped, cut = archive.object_name(server.name(2)), archive.object_name(server.name(5))
        corrupt(store, flipped, bit_flipped(-40))
        assert check_some(repository, None).ok
        assert [one.name for one in check_all(repository).damage] == [flipped]
        corrupt(store, cut, truncated(650))
        damage = check_some(repository, None).damage
        assert [(one.kind, one.name) for one in damage] == [("log segment", cut)]
        assert {one.name for one in check_all(repository).damage} == {flipped, cut}
        for name in list(contents(store)):
            if name.startswith(layout.LOGS):
                corrupt(store, name, bit_flipped(100))
        result = check_some(repository, None)
        assert not result.ok  # nobody can tell whose these are
        with pytest.raises(IntegrityError):
            survey_logs(repository)


def test_a_damaged_history_is_reported(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.back_up(repository)
        server.switch(repository, 1)
        server.run(repository)
        name = server.archive(repository).object_name("00000002.history")
        corrupt(store, name, bit_flipped(-40))
        assert [one.name for one in check_some(repository, None).damage] == [name]


def test_figures_count_logs_beside_the_rest(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.run(repository, 3)
        server.back_up(repository)
        server.run(repository, 2)
        stored = sum(info.size for info in store.list(layout.LOGS))
        everything = repository_stats(repository)
        some = repository_stats(repository, repository.snapshots())
        assert (everything.log_segments, everything.log_bytes) == (6, stored)
        assert (some.log_segments, some.log_bytes) == (3, stored // 2)
        assert some.stored_bytes <= everything.stored_bytes < stored


# -- copies -------------------------------------------------------------------------------------


class Pair:
    """A server that is backed up to one repository, which is copied to another."""

    def __init__(self, path: Path, *, mirror: bool) -> None:
        self.path, self.mirror = path, mirror
        self.store = new_store()
        self.there = mirror_of(self.store, path / "cache") if mirror else other_store()
        self.server = LogServer()

    def source(self) -> Repository:
        return open_repository(self.store, self.path / "cache")

    def destination(self, backend: Backend | None = None, cache: str = "there") -> Repository:
        secret = secret_of(mirror=self.mirror)
        return open_repository(backend or self.there, self.path / cache, secret)


@pytest.fixture(params=[False, True], ids=["rekey", "mirror"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path, mirror=request.param)


def bases(repository: Repository) -> list[Snapshot]:
    return repository.snapshots()


def test_logs_come_along_with_their_bases(pair: Pair) -> None:
    server = pair.server
    with pair.source() as source, pair.destination() as destination:
        server.run(source, 2)
        first = server.back_up(source)
        server.run(source, 3)
        server.push(source, "00000002.history")
        LogServer("2").run(source)  # without a base
        dry = copy_all(source, destination, dry_run=True).logs
        assert names_of(destination, server) == []
        done = copy_all(source, destination).logs
        needed = [name for name in names_of(source, server) if name >= server.name(3)]
        assert names_of(destination, server) == needed
        assert done.segments == dry.segments == len(needed) == 5
        assert done.stored_bytes == dry.stored_bytes > 0
        archive = server.archive(destination)
        for name in needed:
            pieces: list[bytes] = []
            archive.fetch(name, pieces.append)
            assert b"".join(pieces) == name.encode()
        assert (archive.id == server.archive(source).id) == pair.mirror

        # The next night: only what is new, also if all snapshots are there.
        server.run(source, 2)
        assert copy_all(source, destination).logs.segments == 2
        second = server.back_up(source)
        forget(source, [first])
        prune_all(source)
        assert copy_all(source, destination).logs.segments == 1
        assert copy_all(source, destination, [second]).logs.segments == 0
        assert check_all(destination).ok
        assert_recoverable(destination, server)


def test_damaged_segments_are_left_out_and_told(pair: Pair) -> None:
    server = pair.server
    with pair.source() as source, pair.destination() as destination:
        server.back_up(source)
        server.run(source, 3)
        damaged = server.archive(source).object_name(server.name(2))
        corrupt(pair.store, damaged, bit_flipped(-40))
        other = LogServer()
        other.push(destination, server.name(3), b"of another server")
        server.archive(source)
        result = copy_all(source, destination)
        assert not result.ok
        assert [problem.name for problem in result.logs.problems] == [damaged]
        assert names_of(destination, server) == [server.name(index) for index in (1, 3, 4)]
        assert len(bases(destination)) == 1

        def meanwhile() -> None:
            with pair.destination(cache="third") as third:
                LogServer().push(third, server.name(2), b"of another server")

        server.archive(source).remove([server.name(2)])
        server.push(source, server.name(2))
        hooked = Interrupting(pair.there, "open_writer", layout.LOGS, meanwhile)
        with pair.destination(hooked, "fourth") as fourth:
            (problem,) = copy_all(source, fourth).logs.problems
        assert isinstance(problem, LogConflictError)


def test_logs_of_bases_that_were_forgotten_there_are_not_copied(pair: Pair) -> None:
    server = pair.server
    with pair.source() as source, pair.destination() as destination:
        server.back_up(source)
        copy_all(source, destination)
        forget(destination, [one.id for one in bases(destination)])
        server.run(source, 2)
        result = copy_all(source, destination)
        assert (result.skipped, result.logs.segments) == (1, 0)


def test_what_prune_gave_up_is_not_brought_back(pair: Pair) -> None:
    """An old base is copied after the destination has pruned behind newer ones."""
    server = pair.server
    with pair.source() as source, pair.destination() as destination:
        old = server.back_up(source)
        server.run(source, 3)
        new = server.back_up(source)
        copy_all(source, destination, [new])
        server.push(destination, server.name(2))  # archived here too, and pruned
        assert prune_all(destination).log_segments_removed == 1
        result = copy_all(source, destination, [old])
        assert (result.logs.expired, result.ok) == (4, True)
        assert server.name(2) not in names_of(destination, server)
        assert len(bases(destination)) == 2


def test_prune_at_the_destination_while_logs_are_copied(pair: Pair) -> None:
    """At each step of the copy of an older base the destination is pruned behind a newer one."""
    server = pair.server
    with pair.source() as source:
        old = server.back_up(source)
        server.run(source, 3)
        server.back_up(source)
        server.run(source)
    cases = [("list", layout.LOGS), ("open_writer", layout.LOGS), ("commit", layout.LOGS)]
    cases += [("create", layout.SNAPSHOTS), ("list", layout.GC), ("create", layout.SESSIONS)]
    for number, (kind, prefix) in enumerate(cases):
        mine = Pair(pair.path, mirror=pair.mirror)
        mine.store = pair.store
        mine.there = mirror_of(pair.store, pair.path / "cache") if pair.mirror else other_store()
        with pair.source() as source, mine.destination(cache=f"a{number}") as destination:
            newest = [one.id for one in source.snapshots() if one.id != old]
            copy_all(source, destination, newest)

        def act(mine: Pair = mine, number: int = number) -> None:
            with mine.destination(cache=f"b{number}") as other:
                prune_all(other, wait_s=0)

        hooked = Interrupting(mine.there, kind, prefix, act)
        with pair.source() as source, mine.destination(hooked, f"c{number}") as destination:
            result = copy_all(source, destination, [old])
            assert hooked.happened, (kind, prefix)
            prune_all(destination, wait_s=0)
            assert len(bases(destination)) == 2
            if not result.logs.expired:
                assert_recoverable(destination, server)


def test_a_check_beside_a_prune_sees_no_damage(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        old = server.back_up(repository)
        server.run(repository, 3)
        server.back_up(repository)
        forget(repository, [old])

    def act() -> None:
        with opened(store, tmp_path, "other") as other:
            prune(other)

    hooked = Interrupting(store, "read_range", layout.LOGS, act, skip=1)
    with opened(hooked, tmp_path) as repository:
        result = check(repository, CheckOptions(read_data=ALL_DATA))
        assert hooked.happened
        assert (result.ok, result.findings) == (True, [])
