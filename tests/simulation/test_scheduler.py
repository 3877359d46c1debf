"""The simulation's own parts: processes that take turns, and a store that plays tricks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.backends.retry import Retrier, RetryBackend
from holdfast.errors import NotFoundError, TransientBackendError
from simulation.scheduler import InlineExecutor, Operation, Process
from simulation.store import (
    STEP_S,
    Answer,
    Fault,
    HostFaults,
    ProcessBackend,
    ProcessClock,
    SimulatedStore,
    StoreOptions,
)
from support.faults import SimulatedCrash


def new_store(**options: Any) -> SimulatedStore:
    return SimulatedStore(StoreOptions(**options))


def on(
    store: SimulatedStore,
    work: Callable[[ProcessBackend], None],
    fault: Fault | None = None,
    name: str = "process",
) -> Process:
    """Return a process that works on the store and whose first change meets the fault."""

    def body() -> None:
        faults = HostFaults({} if fault is None else {0: fault})
        work(ProcessBackend(store, process, faults))

    process = Process(name, body)
    return process


def run(process: Process) -> None:
    while not process.has_ended:
        process.step()


# -- processes ----------------------------------------------------------------------------------


def test_a_process_runs_from_stop_to_stop() -> None:
    seen: list[str] = []

    def body() -> None:
        seen.append("begin")
        process.stop(Operation("read", "one"))
        seen.append("one")
        process.stop(Operation("read", "two"))
        seen.append("two")

    process = Process("process", body)
    assert seen == []
    process.step()
    assert seen == ["begin"]
    assert process.pending == Operation("read", "one")
    process.step()
    assert seen == ["begin", "one"]
    process.step()
    assert seen == ["begin", "one", "two"]
    assert process.has_ended
    assert process.pending is None


def test_an_error_of_a_process_reaches_who_resumed_it() -> None:
    def body() -> None:
        raise KeyError("found")

    process = Process("process", body)
    with pytest.raises(KeyError, match="found"):
        process.step()
    assert process.has_ended


def test_a_killed_process_does_nothing_more() -> None:
    done: list[str] = []

    def body() -> None:
        try:
            process.stop(Operation("read", "one"))
            done.append("read")
        finally:
            done.append("clean-up")
            process.stop(Operation("delete", "one"))
            done.append("delete")

    process = Process("process", body)
    process.step()
    process.kill()
    assert process.has_ended
    assert done == ["clean-up"]
    process.kill()


def test_a_process_that_has_not_begun_can_be_killed() -> None:
    process = Process("process", lambda: pytest.fail("it ran"))
    process.kill()
    assert process.has_ended


def test_a_stranger_cannot_stop_for_a_process() -> None:
    process = Process("process", lambda: None)
    with pytest.raises(AssertionError, match="thread that the simulation does not know"):
        process.stop(Operation("read", "one"))


def test_jobs_of_a_pool_are_done_when_they_are_submitted() -> None:
    threads: list[threading.Thread] = []

    def fail() -> None:
        raise KeyError("job")

    with InlineExecutor(3, "name") as pool:
        future = pool.submit(lambda: threads.append(threading.current_thread()))
        failed = pool.submit(fail)
    assert threads == [threading.current_thread()]
    assert future.done()
    assert isinstance(failed.exception(), KeyError)


# -- the store ----------------------------------------------------------------------------------


def test_every_operation_is_a_stop() -> None:
    def work(backend: ProcessBackend) -> None:
        backend.create("a", b"1")
        writer = backend.open_writer("b")
        writer.write(b"2")
        writer.commit()
        backend.read("a")
        backend.read_range("b", 0, 1)
        backend.size("b")
        list(backend.list(""))
        backend.delete("a")

    process = on(new_store(), work)
    process.step()
    stops = []
    while process.pending is not None:
        stops.append(str(process.pending))
        process.step()
    assert stops == [
        "create a",
        "commit b",
        "read a",
        "read_range b",
        "size b",
        "page ",
        "delete a",
    ]


def test_others_work_between_two_operations() -> None:
    store = new_store()
    found: list[bytes] = []

    def first(backend: ProcessBackend) -> None:
        with pytest.raises(NotFoundError):
            backend.read("a")
        found.append(backend.read("a"))

    one, two = on(store, first), on(store, lambda backend: backend.create("a", b"1"))
    one.step()
    one.step()
    run(two)
    run(one)
    assert found == [b"1"]


@pytest.mark.parametrize("happens", [True, False])
def test_a_lost_answer(happens: bool) -> None:
    store = new_store()

    def work(backend: ProcessBackend) -> None:
        with pytest.raises(TransientBackendError):
            backend.create("a", b"1")

    run(on(store, work, Fault(happens, Answer.LOST)))
    assert store.names("") == ({"a"} if happens else set())


@pytest.mark.parametrize("happens", [True, False])
def test_a_retry_hides_a_lost_answer(happens: bool) -> None:
    store = new_store()

    def work(backend: ProcessBackend) -> None:
        clock = ProcessClock(store, process, 0)
        retry = RetryBackend(backend, Retrier(clock=clock, sleep=clock.sleep_s, random=lambda: 0.5))
        retry.create("a", b"1")
        retry.delete("a")

    process = on(store, work, Fault(happens, Answer.LOST))
    run(process)
    assert store.names("") == set()
    assert any("Fault" in line for line in store.transcript)


@pytest.mark.parametrize("happens", [True, False])
def test_a_process_dies_over_a_change(happens: bool) -> None:
    store = new_store()

    def work(backend: ProcessBackend) -> None:
        try:
            backend.create("a", b"1")
        except SimulatedCrash:
            backend.delete("a")

    process = on(store, work, Fault(happens, Answer.NEVER))
    run(process)
    assert process.is_dead
    assert store.names("") == ({"a"} if happens else set())


def test_a_late_creation_changes_nothing_that_is_there() -> None:
    store = new_store()
    run(on(store, lambda b: b.create("a", b"1"), Fault(True, Answer.GIVEN, again=3)))
    store.deliver_everything()
    assert store.objects.read("a") == b"1"


def test_a_late_creation_brings_back_what_was_deleted() -> None:
    store = new_store()
    run(on(store, lambda b: b.create("a", b"1"), Fault(True, Answer.GIVEN, again=3)))
    run(on(store, lambda b: b.delete("a")))
    assert store.names("") == set()
    for _ in range(3):
        store.tick()
    assert store.names("") == {"a"}


def test_a_late_deletion() -> None:
    store = new_store()

    def work(backend: ProcessBackend) -> None:
        with pytest.raises(TransientBackendError):
            backend.delete("a")

    store.objects.create("a", b"1")
    run(on(store, work, Fault(False, Answer.LOST, again=2)))
    assert store.names("") == {"a"}
    store.deliver_everything(up_to_delay=1)
    assert store.names("") == {"a"}
    store.deliver_everything(up_to_delay=2)
    assert store.names("") == set()
    store.deliver_everything()


def test_requests_on_forget_marks_are_never_late() -> None:
    store = new_store()
    run(on(store, lambda b: b.create("forgets/a", b"1"), Fault(True, Answer.GIVEN, again=1)))
    run(on(store, lambda b: b.delete("forgets/a")))
    store.deliver_everything()
    assert store.names("") == set()


def test_reads_fail_and_succeed_when_repeated() -> None:
    store = new_store()
    store.objects.create("a", b"1")

    def work() -> None:
        backend = ProcessBackend(store, process, HostFaults({}, frozenset({1})))
        assert backend.read("a") == b"1"
        with pytest.raises(TransientBackendError):
            backend.size("a")
        assert backend.size("a") == 1

    process = Process("process", work)
    run(process)
    assert store.faults_met == 1


@pytest.mark.parametrize(("descending", "expected"), [(False, "bdfg"), (True, "hfcba")])
def test_a_listing_changes_between_its_pages(descending: bool, expected: str) -> None:
    """What is there throughout is found; what comes or goes meanwhile may be or not."""
    store = new_store(page_length=1, descending=descending)
    for name in "bdfh":
        store.objects.create(name, b"")
    found: list[str] = []
    process = on(store, lambda backend: found.extend(info.name for info in backend.list("")))
    for _ in range(3):
        process.step()  # two of the names have been listed
    for name in "acg":
        store.objects.create(name, b"")
    for name in "dh":
        store.objects.delete(name)
    run(process)
    assert "".join(found) == expected


def test_time_passes_with_stops_and_sleeps() -> None:
    store = new_store()
    seen: list[float] = []

    def body() -> None:
        clock = ProcessClock(store, process, 3600)
        seen.append(clock.monotonic_s())
        before_ns = clock.now_ns()
        clock.sleep_s(5)
        seen.append(clock.monotonic_s())
        assert clock.now_ns() - before_ns == pytest.approx((5 + STEP_S) * 1e9)
        assert before_ns - ProcessClock(store, process, 0).now_ns() > 3000e9

    process = Process("process", body)
    process.step()
    assert process.pending == Operation("sleep", "5.0 s")
    run(process)
    assert seen == [0, pytest.approx(5 + STEP_S)]
