"""The tools of the crash tests do what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.backends.base import Backend
from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.errors import AlreadyExistsError, TransientBackendError
from support.faults import (
    CrashingBackend,
    Damage,
    FlakyBackend,
    Moment,
    RecordingBackend,
    SimulatedCrash,
    TornBackend,
    appended,
    bit_flips,
    corrupt,
    damages,
    emptied,
    in_flight,
    power_losses,
    replaced,
    swap,
    truncated,
)


def contents(backend: Backend) -> dict[str, bytes]:
    return {info.name: backend.read(info.name) for info in backend.list("")}


def run(backend: Backend) -> None:
    """Six changes: create, two writes, commit, create, delete."""
    backend.create("a", b"1")
    writer = backend.open_writer("b")
    try:
        writer.write(b"2")
        writer.write(b"3")
        writer.commit()
    finally:
        writer.abort()
    assert backend.read("b") == b"23"
    backend.create("c", b"4")
    backend.delete("a")


STATES = [
    {},
    {"a": b"1"},
    {"a": b"1"},
    {"a": b"1"},
    {"a": b"1", "b": b"23"},
    {"a": b"1", "b": b"23", "c": b"4"},
    {"b": b"23", "c": b"4"},
]
"""What is visible after n of the changes of `run`."""


# -- CrashingBackend ----------------------------------------------------------------------------


def test_a_run_without_crash_tells_the_total() -> None:
    inner = MemoryBackend()
    rehearsal = CrashingBackend(inner, None)
    run(rehearsal)
    assert rehearsal.count == 6
    assert contents(inner) == STATES[6]


@pytest.mark.parametrize("last_happened", [False, True])
@pytest.mark.parametrize("crash_after", range(6))
def test_the_process_dies_at_the_next_change(crash_after: int, last_happened: bool) -> None:
    inner = MemoryBackend()
    crashing = CrashingBackend(inner, crash_after, last_happened=last_happened)
    with pytest.raises(SimulatedCrash):
        run(crashing)
    assert crashing.count == crash_after + 1
    assert contents(inner) == STATES[crash_after + last_happened]


def test_a_dead_process_does_nothing_any_more() -> None:
    inner = MemoryBackend()
    crashing = CrashingBackend(inner, 1)
    crashing.create("a", b"data")
    with pytest.raises(SimulatedCrash):
        crashing.create("b", b"data")
    calls: list[Callable[[], object]] = [
        lambda: crashing.create("c", b""),
        lambda: crashing.open_writer("c"),
        lambda: crashing.read("a"),
        lambda: crashing.read_range("a", 0, 1),
        lambda: crashing.size("a"),
        lambda: crashing.list(""),
        lambda: crashing.delete("a"),
        lambda: crashing.initialize(),
    ]
    for call in calls:
        with pytest.raises(SimulatedCrash):
            call()
    crashing.close()
    assert contents(inner) == {"a": b"data"}


def test_a_dead_process_does_not_clean_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("repository")
    crashing = CrashingBackend(LocalBackend(str(root)), 1)
    writer = crashing.open_writer("a")
    writer.write(b"data")
    with pytest.raises(SimulatedCrash):
        writer.write(b"more")
    writer.abort()
    assert len(list((root / "tmp").iterdir())) == 1


def test_no_handler_of_errors_catches_a_crash() -> None:
    assert not issubclass(SimulatedCrash, Exception)


# -- RecordingBackend, TornBackend --------------------------------------------------------------


def test_a_recording_knows_every_acknowledged_change() -> None:
    inner = MemoryBackend()
    inner.create("old", b"0")
    recording = RecordingBackend(inner)
    run(recording)
    with pytest.raises(AlreadyExistsError):
        recording.create("b", b"again")
    kinds = [(mutation.kind, mutation.name, mutation.data) for mutation in recording.mutations]
    assert kinds == [
        ("create", "a", b"1"),
        ("commit", "b", b"23"),
        ("create", "c", b"4"),
        ("delete", "a", b""),
    ]
    assert recording.initial == {"old": b"0"}


VISIBLE_STATES = [STATES[0], STATES[1], STATES[4], STATES[5], STATES[6]]


@pytest.mark.parametrize("acknowledged", range(5))
def test_a_power_cut_leaves_what_was_acknowledged_and_perhaps_one_more(acknowledged: int) -> None:
    inner = MemoryBackend()
    recording = RecordingBackend(inner)
    run(recording)
    torn = TornBackend(recording, acknowledged)
    assert contents(torn) == VISIBLE_STATES[acknowledged]
    one_more = TornBackend(recording, acknowledged, last_happened=True)
    assert contents(one_more) == VISIBLE_STATES[min(acknowledged + 1, 4)]
    torn.create("new", b"usable")
    assert "new" not in contents(inner)


def test_power_losses_are_all_of_them() -> None:
    recording = RecordingBackend(MemoryBackend())
    run(recording)
    states = [contents(torn) for torn in power_losses(recording)]
    expected = [state for state in VISIBLE_STATES for _ in range(2)][1:]
    assert states[0] == {}
    assert sorted(map(sorted, states)) == sorted(map(sorted, expected))


class MeetingBackend(MemoryBackend):
    """Its creations wait for each other, so that they are all under way at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._meeting = threading.Barrier(count)

    def create(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self._meeting.wait(30)
        super().create(name, data)


def test_of_concurrent_changes_any_may_have_happened() -> None:
    recording = RecordingBackend(MeetingBackend(3))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: recording.create(name, b""), "abc"))
    assert len(in_flight(recording, 0)) == 3
    assert len(in_flight(recording, 2)) == 1
    assert in_flight(recording, 3) == []
    found = {frozenset(contents(torn)) for torn in power_losses(recording)}
    assert found == {frozenset(some) for some in ("", "a", "b", "c", "ab", "ac", "bc", "abc")}


# -- FlakyBackend -------------------------------------------------------------------------------


def test_failures_come_when_the_schedule_says() -> None:
    inner = MemoryBackend()
    flaky = FlakyBackend(inner, {("create", 1): Moment.BEFORE, ("create", 2): Moment.AFTER})
    flaky.create("a", b"")
    for name in "bc":
        with pytest.raises(TransientBackendError):
            flaky.create(name, b"")
    flaky.create("d", b"")
    assert set(contents(inner)) == {"a", "c", "d"}
    assert flaky.failed == [("create", 1), ("create", 2)]


@pytest.mark.parametrize(("moment", "happened"), [(Moment.BEFORE, False), (Moment.AFTER, True)])
def test_a_commit_may_fail_before_or_after(moment: Moment, happened: bool) -> None:
    inner = MemoryBackend()
    writer = FlakyBackend(inner, {("commit", 0): moment}).open_writer("a")
    writer.write(b"data")
    with pytest.raises(TransientBackendError):
        writer.commit()
    writer.abort()
    assert ("a" in contents(inner)) is happened


def test_a_listing_breaks_off_in_the_middle() -> None:
    inner = MemoryBackend()
    for name in "abcd":
        inner.create(name, b"")
    listing = FlakyBackend(inner, {("list", 0): Moment.AFTER}).list("")
    assert [next(listing).name, next(listing).name] == ["a", "b"]
    with pytest.raises(TransientBackendError):
        next(listing)


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 32, 33, 1000])
def test_every_damage_changes_the_object(size: int) -> None:
    data = bytes(number % 255 + 1 for number in range(size))
    found = set()
    for damage in damages(size):
        backend = MemoryBackend()
        backend.create("a", data)
        corrupt(backend, "a", damage)
        spoilt = backend.read("a")
        assert spoilt != data
        found.add(spoilt)
    labels = [str(damage) for damage in damages(size)]
    assert len(set(labels)) == len(labels)
    assert b"" in found
    assert data + b"\0" in found
    assert bytes(size) in found


def test_an_empty_object_can_only_grow() -> None:
    assert [damage.apply(b"") for damage in damages(0)] == [b"\0", b"holdfast" * 4]


def test_bit_flips_change_one_bit_each() -> None:
    data = bytes(range(20))
    for position, damage in enumerate(bit_flips(20)):
        spoilt = damage.apply(data)
        differing = [at for at in range(20) if spoilt[at] != data[at]]
        assert differing == [position]
        assert (spoilt[position] ^ data[position]).bit_count() == 1
    assert list(bit_flips(0)) == []
    assert len(list(bit_flips(20, step=7))) == 4


def test_truncation_counts_from_either_end() -> None:
    assert truncated(3).apply(b"01234") == b"012"
    assert truncated(-1).apply(b"01234") == b"0123"


def test_objects_can_be_swapped() -> None:
    backend = MemoryBackend()
    backend.create("a", b"1")
    backend.create("b", b"2")
    backend.create("c", b"1")
    swap(backend, "a", "b")
    assert contents(backend) == {"a": b"2", "b": b"1", "c": b"1"}
    with pytest.raises(AssertionError, match="does not change"):
        swap(backend, "b", "c")


@pytest.mark.parametrize("damage", [emptied(), truncated(0), appended(b""), replaced(b"")], ids=str)
def test_damage_that_changes_nothing_fails_the_test(damage: Damage) -> None:
    backend = MemoryBackend()
    backend.create("a", b"")
    with pytest.raises(AssertionError, match="does not change a"):
        corrupt(backend, "a", damage)
    assert backend.read("a") == b""
