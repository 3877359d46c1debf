"""Probes: an honest storage passes all, and each lie is seen by the probe that looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.backends.names import PROBE
from holdfast.errors import BackendError, TransientBackendError
from holdfast.hashing import Bytes
from holdfast.operations.probe import (
    PROBES,
    RACERS,
    Scratch,
    probe_create_raced,
    probe_create_twice,
    probe_exclusive_create,
    scratch_on,
    sweep_leftovers,
)
from support.liars import (
    AppendOnly,
    Ghosts,
    Hoarding,
    LastWins,
    LateListing,
    LateReads,
    NoEmptyObjects,
    Overwriting,
    Padding,
    Racy,
    ShortNames,
    WrongRanges,
)
from support.sessions import FakeClock


def broken(backend: Backend) -> dict[str, str]:
    """Promises that the probes see broken -> what they saw."""
    with scratch_on(backend) as scratch:
        found = [probe(scratch) for _, probe in PROBES]
    return {one.promise: one.seen for one in found if not one.holds}


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_honest_storage_keeps_every_promise(kind: str, tmp_path: Path) -> None:
    backend: Backend = MemoryBackend()
    if kind == "directory":
        backend = LocalBackend(str(tmp_path / "store"))
        backend.initialize()
    assert broken(backend) == {}
    assert probe_exclusive_create(backend)
    assert probe_exclusive_create(backend, quick=True)
    assert list(backend.list("")) == []
    backend.initialize()  # it counts as empty still


def test_promises_are_called_what_the_probes_call_them() -> None:
    with scratch_on(MemoryBackend()) as scratch:
        assert [name for name, _ in PROBES] == [probe(scratch).promise for _, probe in PROBES]


@pytest.mark.parametrize(
    ("backend", "promises"),
    [
        (Overwriting(), {"create-if-absent", "create-raced"}),
        (Racy(), {"create-raced"}),
        (LastWins(), {"create-if-absent", "create-raced"}),
        (WrongRanges(), {"ranges"}),
        (LateListing(), {"list-after-write", "list-after-delete", "long-name"}),
        (Ghosts(), {"list-after-delete"}),
        (Hoarding(), {"list-after-delete", "read-after-delete"}),
        (ShortNames(), {"long-name"}),
        (NoEmptyObjects(), {"empty-object"}),
        (Padding(), {"sizes", "ranges"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_lie_is_seen(backend: Backend, promises: set[str]) -> None:
    assert set(broken(backend)) == promises


def test_reads_that_come_late_are_seen() -> None:
    assert "read-after-write" in broken(LateReads())
    assert not probe_exclusive_create(LateReads())


def test_what_is_seen_says_how_many() -> None:
    seen = broken(Overwriting())
    assert seen["create-if-absent"] == "replaced"
    assert seen["create-raced"] == "of 16 at once these succeeded: 16, 16, 16, 16"
    assert broken(WrongRanges())["ranges"].startswith("wrong bytes: middle, end, across the end")


@pytest.mark.parametrize("quick", [False, True])
def test_only_exclusive_creation_is_called_so(quick: bool) -> None:
    assert not probe_exclusive_create(Overwriting(), quick=quick)
    assert not probe_exclusive_create(LastWins(), quick=quick)
    assert not probe_exclusive_create(Racy(), quick=quick)
    assert probe_exclusive_create(WrongRanges(), quick=quick)


def test_a_race_is_found_by_racing_only() -> None:
    with scratch_on(Racy()) as scratch:
        assert probe_create_twice(scratch).holds
        assert not probe_create_raced(scratch).holds


class Counting(MemoryBackend):
    """A server that counts requests."""

    requests = 0

    @property
    def is_remote(self) -> bool:
        return True

    def create(self, name: str, data: Bytes) -> None:
        self.requests += 1
        super().create(name, data)

    def read(self, name: str) -> bytes:
        self.requests += 1
        return super().read(name)

    def delete(self, name: str) -> None:
        self.requests += 1
        super().delete(name)


def test_what_a_probe_before_each_prune_costs() -> None:
    backend = Counting()
    probe_exclusive_create(backend, quick=True)
    assert backend.requests == 10
    backend.requests = 0
    probe_exclusive_create(backend)
    assert backend.requests == 4 + 4 * (RACERS + 2)


class Failing(MemoryBackend):
    """Reads nothing."""

    def read(self, name: str) -> bytes:
        raise TransientBackendError(self.location, name, "busy")


def test_a_probe_that_fails_leaves_nothing() -> None:
    backend = Failing()
    with pytest.raises(TransientBackendError):
        probe_exclusive_create(backend)
    assert list(backend.list("")) == []


def test_what_cannot_be_deleted_is_known() -> None:
    backend = AppendOnly()
    with scratch_on(backend) as scratch:
        name = scratch.create(b"x")
    assert scratch.left == [name]
    assert name.startswith(PROBE)


def test_leftovers_of_the_day_before_are_swept() -> None:
    clock = FakeClock()
    backend = MemoryBackend(clock=clock)
    old = Scratch(backend).create(b"of a probe that died")
    clock.wall_ns += 24 * 3600 * 10**9
    young = Scratch(backend).create(b"of a probe at work")
    backend.create("packs/x", b"no scratch object")
    assert sweep_leftovers(backend) == 1
    assert {info.name for info in backend.list("")} == {young, "packs/x"}
    assert old != young


def test_leftovers_that_cannot_be_deleted_stay() -> None:
    clock = FakeClock()
    backend = AppendOnly(clock=clock)
    Scratch(backend).create(b"x")
    clock.wall_ns += 48 * 3600 * 10**9
    Scratch(backend).create(b"x")
    assert sweep_leftovers(backend) == 0
    with pytest.raises(BackendError):
        backend.delete("probe/x")
