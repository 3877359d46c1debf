"""Prune deletes exactly the log segments that no base backup needs, whatever runs beside it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.backends.base import Backend
from holdfast.backends.memory import MemoryBackend
from holdfast.format.gc import Condemn, LogHorizon, Seal
from holdfast.operations.log_expiry import decided_horizons, find_horizons, needed_objects
from holdfast.operations.prune import Outcome, PruneOptions, prune
from holdfast.operations.prune_delete import finish_deletes
from holdfast.repository import layout, settling
from holdfast.repository.log_state import LogState
from holdfast.repository.repository import Repository
from support.faults import CrashingBackend, SimulatedCrash, bit_flipped, corrupt
from support.logs import LogServer, assert_recoverable, names_of
from support.pruning import Interrupting, forget, prune_all
from support.repos import contents, copy_store, new_store, open_repository


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a pruner that is interrupted."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.1)


@pytest.fixture
def store() -> MemoryBackend:
    return new_store()


def opened(store: Backend, tmp_path: Path, cache: str = "cache") -> Repository:
    return open_repository(store, tmp_path / cache)


def test_exactly_what_is_older_than_the_oldest_base_goes(
    store: MemoryBackend, tmp_path: Path
) -> None:
    server, other = LogServer(), LogServer("7300000000000000002")
    binlogs = LogServer("shop", kind="binlog")
    with opened(store, tmp_path) as repository:
        bases: dict[str, list[str]] = {}
        for one in (server, binlogs):
            for _ in range(3):
                one.run(repository, 3)
                bases.setdefault(one.kind, []).append(one.back_up(repository))
            one.run(repository, 2)
        other.run(repository, 5)  # nobody knows a base of it
        first, second = server.name(3), server.name(8)
        server.push(repository, f"{first}.00000028.backup")
        server.push(repository, f"{second}.00000028.backup")
        server.push(repository, f"{first}.partial")
        server.push(repository, "00000002.history")
        server.push(repository, "notes.txt")

        assert prune_all(repository).log_segments_removed == 3 + 2 + 3  # before the first bases
        assert names_of(repository, server)[0] == "000000010000000000000004"
        forget(repository, [bases["wal"][0], bases["binlog"][0]])
        planned = prune(repository, PruneOptions(dry_run=True))
        sizes = {info.name: info.size for info in store.list(layout.LOGS)}
        done = prune_all(repository)
        gone = {name: size for name, size in sizes.items() if name not in contents(store)}
        assert done.outcome == Outcome.DONE
        assert done.log_segments_removed == planned.log_segments_removed == len(gone) == 8
        assert done.log_bytes_removed == planned.log_bytes_removed == sum(gone.values())

        expected = [server.name(index) for index in range(8, 15)]
        extra = [f"{second}.00000028.backup", "00000002.history", "notes.txt"]
        assert names_of(repository, server) == sorted([*expected, *extra])
        assert names_of(repository, binlogs) == [binlogs.name(index) for index in range(8, 15)]
        assert len(names_of(repository, other)) == 5
        assert prune_all(repository).outcome == Outcome.NOTHING

        assumed = frozenset(bases["wal"])
        planned = prune(repository, PruneOptions(dry_run=True, assume_forgotten=assumed))
        assert planned.log_segments_removed == 0  # without a base nothing goes
        forget(repository, [*bases["wal"], *bases["binlog"]])
        prune_all(repository)
        assert names_of(repository, server) == sorted([*expected, *extra])


def test_logs_alone_are_worth_a_cycle(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.run(repository, 4)
        server.back_up(repository)
        done = prune_all(repository)
        assert (done.outcome, done.packs_removed, done.log_segments_removed) == (Outcome.DONE, 0, 4)
        assert prune_all(repository).outcome == Outcome.NOTHING
        server.push(repository, server.name(1))  # a request that came late
        done = prune_all(repository)
        assert (done.outcome, done.log_segments_removed) == (Outcome.DONE, 1)


def test_a_newer_timeline_below_the_horizon_stays(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        old = server.back_up(repository)
        server.run(repository, 10)
        newer = server.back_up(repository)
        server.switch(repository, 5)  # from `old`, to an earlier moment
        server.run(repository, 3)
        forget(repository, [old])
        prune_all(repository)
        there = names_of(repository, server)
        assert [name for name in there if name.startswith("00000002")] == sorted(
            name for name in server.archived if name.startswith("00000002")
        )
        assert "000000010000000000000005" not in there
        server.back_up(repository)
        forget(repository, [newer])
        prune_all(repository)
        # All that the new timeline left behind goes, and what the old one had below.
        assert min(names_of(repository, server)) == "00000001000000000000000C"
        assert "00000002.history" in names_of(repository, server)
        assert_recoverable(repository, server)


def test_what_cannot_be_understood_is_kept(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.run(repository, 5)
        server.back_up(repository)
        odd = LogServer(server.identity, timeline=1, index=9)
        odd.name = lambda index=None: "nonsense"  # type: ignore[method-assign]
        odd.run = lambda repository, count=1: None  # type: ignore[method-assign]
        odd.back_up(repository)
        assert prune_all(repository).log_segments_removed == 0
        assert len(names_of(repository, server)) == 6


def test_a_server_whose_numbers_began_anew_loses_nothing(
    store: MemoryBackend, tmp_path: Path
) -> None:
    """An expired name comes back with other content, and a base needs it now."""
    server = LogServer("shop", kind="binlog")
    with opened(store, tmp_path) as repository:
        server.run(repository, 9)
        server.back_up(repository)
        prune_all(repository)
        again = LogServer("shop", kind="binlog")
        again.back_up(repository)
        again.run(repository, 3)
        prune_all(repository)
        assert_recoverable(repository, again)
        assert server.name(10) in names_of(repository, server)


def test_nothing_goes_while_a_snapshot_cannot_be_read(store: MemoryBackend, tmp_path: Path) -> None:
    """A SEAL is there, its deletions are not done, and a snapshot is damaged since."""
    server = LogServer()
    with opened(store, tmp_path) as repository:
        server.run(repository, 4)
        made = server.back_up(repository)

    def stop() -> None:
        raise SimulatedCrash

    with (
        pytest.raises(SimulatedCrash),
        opened(Interrupting(store, "delete", layout.LOGS, stop), tmp_path) as repository,
    ):
        prune_all(repository)
    sound = copy_store(store)
    corrupt(store, layout.snapshot_name(made), bit_flipped(200))
    with opened(store, tmp_path, "other") as repository:
        left = names_of(repository, server)
        assert finish_deletes(repository).log_segments == 0
        assert names_of(repository, server) == left
        assert left[0] < server.name(5)
    with opened(sound, tmp_path, "other") as repository:
        assert finish_deletes(repository).log_segments > 0
        assert names_of(repository, server) == [server.name(5)]


def test_what_bases_need_is_kept_locked(store: MemoryBackend, tmp_path: Path) -> None:
    server, other = LogServer(), LogServer("2")
    with opened(store, tmp_path) as repository:
        server.run(repository, 3)
        server.back_up(repository)
        server.run(repository, 2)
        server.push(repository, "00000002.history")
        other.run(repository)
        names = {server.archive(repository).object_name(one) for one in server.archived}
        unneeded = {server.archive(repository).object_name(server.name(one)) for one in (1, 2, 3)}
        assert set(needed_objects(repository, repository.snapshots())) == names - unneeded


# -- beside others ------------------------------------------------------------------------------


def _two_generations(store: MemoryBackend, tmp_path: Path) -> LogServer:
    """A forgotten base, segments that only it needed, and a base that stays."""
    server = LogServer()
    with opened(store, tmp_path) as repository:
        old = server.back_up(repository)
        server.run(repository, 3)
        server.back_up(repository)
        forget(repository, [old])
    return server


def _operations(store: MemoryBackend, tmp_path: Path) -> int:
    rehearsal = CrashingBackend(copy_store(store), None)
    with opened(rehearsal, tmp_path, "rehearsal") as repository:
        assert prune_all(repository).log_segments_removed > 0
    return rehearsal.count


def test_a_base_that_begins_while_prune_runs(store: MemoryBackend, tmp_path: Path) -> None:
    """At each step of prune a whole new base is taken and the older ones are forgotten."""
    start = _two_generations(store, tmp_path)
    kinds = [("create", layout.GC, skip) for skip in range(3)]
    kinds += [("list", layout.LOGS, 0), ("delete", layout.LOGS, 0)]
    kinds += [("list", layout.SNAPSHOTS, 2), ("list", layout.FORGETS, 3)]
    for number, (kind, prefix, skip) in enumerate(kinds):
        mine = copy_store(store)
        server = LogServer(index=start.index, archived=set(start.archived))

        def act(
            mine: MemoryBackend = mine, server: LogServer = server, number: int = number
        ) -> None:
            with opened(mine, tmp_path, f"other{number}") as other:
                server.run(other, 2)
                older = {one.id for one in other.snapshots()}
                server.back_up(other)
                forget(other, older)
                server.run(other)

        hooked = Interrupting(mine, kind, prefix, act, skip=skip)
        with opened(hooked, tmp_path, f"cache{number}") as repository:
            prune_all(repository, wait_s=0)
            assert hooked.happened, (kind, prefix, skip)
            assert_recoverable(repository, server)
            prune_all(repository, wait_s=0)
            assert_recoverable(repository, server)
            assert len(repository.snapshots()) == 1
            assert names_of(repository, server)[0] == server.name(start.index + 2)


def test_prune_while_a_base_is_running(store: MemoryBackend, tmp_path: Path) -> None:
    """A slow base; meanwhile another one is taken, all others are forgotten, and prune runs."""
    server = _two_generations(store, tmp_path)
    runs = itertools.count()

    def meanwhile() -> None:
        if next(runs):
            return
        with opened(store, tmp_path, "other") as other:
            server.run(other, 2)
            older = {one.id for one in other.snapshots()}
            server.back_up(other)
            forget(other, older)
            prune_all(other, wait_s=0)
            prune_all(other, wait_s=0)

    with opened(store, tmp_path, "slow") as repository:
        server.back_up(repository, meanwhile)
        assert_recoverable(repository, server)
        prune_all(repository)
        assert_recoverable(repository, server)
        assert len(repository.snapshots()) == 2


def test_prune_dies_at_every_step(store: MemoryBackend, tmp_path: Path) -> None:
    start = _two_generations(store, tmp_path)
    expected: list[str] | None = None
    for number in range(_operations(store, tmp_path)):
        mine = copy_store(store)
        server = LogServer(index=start.index, archived=set(start.archived))
        with (
            pytest.raises(SimulatedCrash),
            opened(
                CrashingBackend(mine, number, last_happened=bool(number % 2)),
                tmp_path,
                f"c{number}",
            ) as repository,
        ):
            prune_all(repository)
        with opened(mine, tmp_path, "next") as repository:
            assert_recoverable(repository, server)
            prune_all(repository)
            assert_recoverable(repository, server)
            expected = expected or names_of(repository, server)
            assert names_of(repository, server) == expected
    assert expected is not None
    assert expected[0] == start.name(5)


def test_an_empty_seal_lets_nothing_more_expire(store: MemoryBackend, tmp_path: Path) -> None:
    """A pruner dies after its CLOSE; a writer seals the cycle; no segment has gone."""
    server = _two_generations(store, tmp_path)
    before = set(server.archived)

    def stop() -> None:
        raise SimulatedCrash

    with (
        pytest.raises(SimulatedCrash),
        opened(Interrupting(store, "create", layout.GC, stop, skip=2), tmp_path) as repository,
    ):
        prune_all(repository)
    with opened(store, tmp_path, "other") as repository:
        server.back_up(repository)
        state = repository.log.read()
        assert isinstance(state.seal, Seal)
        assert (state.is_open, state.seal.logs) == (False, ())
        assert before <= set(names_of(repository, server))
        done = prune_all(repository)
        assert done.log_segments_removed == 4
        assert_recoverable(repository, server)


def test_an_empty_seal_carries_on_what_has_expired(store: MemoryBackend, tmp_path: Path) -> None:
    """Copies must know it as long as a deletion of the cycle before may still be under way."""
    server = _two_generations(store, tmp_path)

    def stop() -> None:
        raise SimulatedCrash

    with opened(store, tmp_path) as repository:
        prune_all(repository)
        sealed = repository.log.read().seal
        older = {one.id for one in repository.snapshots()}
        server.back_up(repository)
        forget(repository, older)
    with (
        pytest.raises(SimulatedCrash),
        opened(Interrupting(store, "create", layout.GC, stop, skip=2), tmp_path) as repository,
    ):
        prune_all(repository)
    with opened(store, tmp_path, "other") as repository:
        server.back_up(repository)
        seal = repository.log.read().seal
        assert sealed is not None
        assert seal is not None
        assert seal.time_ns > sealed.time_ns
        assert seal.logs == sealed.logs != ()


def test_a_base_that_begins_after_the_condemn_and_ends_after_the_seal(
    store: MemoryBackend, tmp_path: Path
) -> None:
    """What is visible after the CLOSE is not enough: the only base there began later than it."""
    server = _two_generations(store, tmp_path)

    def stop() -> None:
        raise SimulatedCrash

    with (
        pytest.raises(SimulatedCrash),
        opened(Interrupting(store, "create", layout.GC, stop, skip=1), tmp_path) as repository,
    ):
        prune_all(repository)
    runs = itertools.count()

    def meanwhile() -> None:
        assert next(runs) == 0  # it is not void
        with opened(store, tmp_path, "other") as other:
            server.run(other, 2)
            older = {one.id for one in other.snapshots()}
            server.back_up(other)
            forget(other, older)
            assert other.log.read().is_open
            # It ends the open cycle, and begins one of its own that finds the slow base's session.
            prune_all(other)

    with opened(store, tmp_path, "slow") as repository:
        server.back_up(repository, meanwhile)
        assert_recoverable(repository, server)
        assert len(repository.snapshots()) == 2


def test_a_seal_says_the_lower_of_two_horizons(store: MemoryBackend, tmp_path: Path) -> None:
    server = LogServer(index=20)
    with opened(store, tmp_path) as repository:
        server.back_up(repository)
        (now,) = find_horizons(repository, repository.snapshots())

        def said(condemn: str | None, before: str | None) -> list[str]:
            entry: dict[str, Any] = {"previous_hash": bytes(32), "time_ns": 0, "host": ""}
            seal = Seal(
                **entry, live=b"", doomed=b"", index_ids=b"", superseded=b"", forgotten=b"",
                logs=_horizons(now, before),
            )  # fmt: skip
            log = LogState(
                seal=seal,
                condemn=Condemn(**entry, packs=b"", index_ids=b"", logs=_horizons(now, condemn)),
            )
            decided = decided_horizons(repository, log, repository.snapshots())
            return [one.first for one in decided]

        low, high = server.name(7), server.name(40)
        assert said(low, None) == [low]
        assert said(high, None) == [now.first] == [server.name(20)]
        assert said(low, high) == [low]
        assert said(None, low) == [low]
        assert said(None, None) == []


def _horizons(pattern: LogHorizon, first: str | None) -> tuple[LogHorizon, ...]:
    return () if first is None else (msgspec.structs.replace(pattern, first=first),)
