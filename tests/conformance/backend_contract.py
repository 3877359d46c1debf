"""The contract of `holdfast.backends.base`, clause by clause, for every backend and wrapper.

Subclass `BackendContract` and give it a fixture `backend`: a fresh, initialized, empty store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest

from holdfast.backends.base import Backend
from holdfast.errors import AlreadyExistsError, NotFoundError, RepositoryExistsError

_Result = TypeVar("_Result")

BAD_NAMES = [
    *("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "A", "a.part", "a_b", "a b", "é", "a\n"),
    *("a\0", "a" * 256, "lost+found"),
]
BAD_PREFIXES = ["a", "/", "a//", "A/", "../", "a/b", "a/\n"]


def listed(backend: Backend, prefix: str = "") -> dict[str, int]:
    """Return name -> size of a listing, which names nothing twice."""
    infos = list(backend.list(prefix))
    sizes = {info.name: info.size for info in infos}
    assert len(sizes) == len(infos)
    return sizes


def run_together(count: int, task: Callable[[int], _Result]) -> list[_Result]:
    """Run `task(0)` … `task(count - 1)` in threads that start at one moment; return the results."""
    barrier = threading.Barrier(count)

    def wait_and_run(number: int) -> _Result:
        barrier.wait()
        return task(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_run, range(count)))


class BackendContract:
    """Every clause of the contract as a test."""

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError

    # -- create and read ------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "data", [b"", b"x", bytes(range(256)) * 17], ids=["empty", "x", "4352"]
    )
    def test_what_is_created_is_read(self, backend: Backend, data: bytes) -> None:
        backend.create("packs/3f/3f9a", data)
        assert backend.read("packs/3f/3f9a") == data
        assert backend.size("packs/3f/3f9a") == len(data)
        assert listed(backend) == {"packs/3f/3f9a": len(data)}

    def test_any_buffer_can_be_created_and_reused_afterwards(self, backend: Backend) -> None:
        buffer = bytearray(b"0123456789")
        backend.create("a", buffer)
        backend.create("b", memoryview(buffer)[2:5])
        buffer[:] = b"##########"
        assert backend.read("a") == b"0123456789"
        assert backend.read("b") == b"234"

    def test_read_returns_bytes(self, backend: Backend) -> None:
        backend.create("a", bytearray(b"abc"))
        assert type(backend.read("a")) is bytes
        assert type(backend.read_range("a", 1, 1)) is bytes

    def test_large_object(self, backend: Backend) -> None:
        data = bytes(range(251)) * 83_000  # 20.8 MB
        backend.create("packs/00/large", data)
        assert backend.size("packs/00/large") == len(data)
        assert backend.read("packs/00/large") == data
        assert backend.read_range("packs/00/large", 20_000_001, 77) == data[20_000_001:20_000_078]

    def test_many_objects(self, backend: Backend) -> None:
        expected = {f"packs/{number % 16:02x}/{number:04x}": number % 7 for number in range(800)}
        for name, size in expected.items():
            backend.create(name, b"z" * size)
        assert listed(backend) == expected
        of_shard = {name: size for name, size in expected.items() if name.startswith("packs/0a/")}
        assert listed(backend, "packs/0a/") == of_shard

    # -- names ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", ["a", "-", "0", "config", "gc/0", "a" * 255, "-/--/---"])
    def test_names_that_are_allowed(self, backend: Backend, name: str) -> None:
        backend.create(name, b"data")
        assert backend.read(name) == b"data"
        assert listed(backend) == {name: 4}

    def test_deep_names(self, backend: Backend) -> None:
        name = "/".join(["d"] * 100)
        backend.create(name, b"deep")
        assert backend.read(name) == b"deep"
        assert listed(backend) == {name: 4}
        assert listed(backend, "d/" * 99) == {name: 4}
        assert listed(backend, "d/" * 100) == {}

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_other_names_are_bugs_of_the_caller(self, backend: Backend, name: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: backend.create(name, b""),
            lambda: backend.open_writer(name),
            lambda: backend.read(name),
            lambda: backend.read_range(name, 0, 1),
            lambda: backend.size(name),
            lambda: backend.delete(name),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="not the name of an object"):
                call()
        assert listed(backend) == {}

    # -- ranges ---------------------------------------------------------------------------------

    def test_ranges_end_where_the_object_ends(self, backend: Backend) -> None:
        data = b"0123456789"
        backend.create("packs/a", data)
        for offset in (0, 1, 5, 9, 10, 11, 10**6, 2**63 - 1, 2**64):
            for length in (0, 1, 4, 10, 11, 2**40, 2**64):
                expected = data[offset : offset + length]
                assert backend.read_range("packs/a", offset, length) == expected

    def test_every_range_of_an_empty_object_is_empty(self, backend: Backend) -> None:
        backend.create("a", b"")
        assert backend.read_range("a", 0, 0) == b""
        assert backend.read_range("a", 0, 5) == b""
        assert backend.read_range("a", 3, 5) == b""

    def test_negative_ranges_are_bugs_of_the_caller(self, backend: Backend) -> None:
        backend.create("a", b"0123456789")
        for offset, length in [(-1, 5), (0, -1)]:
            with pytest.raises(ValueError, match="not a range"):
                backend.read_range("a", offset, length)

    def test_many_threads_read_ranges_of_many_objects(self, backend: Backend) -> None:
        contents = {f"packs/{number:02d}": bytes([number]) * 5000 for number in range(50)}
        for name, data in contents.items():
            backend.create(name, data)

        def read_all(thread: int) -> bool:
            order = sorted(contents, key=lambda name: hash((name, thread)))
            return all(
                backend.read_range(name, offset, 100) == contents[name][:100]
                for name in order
                for offset in (0, 700, 4900)
            )

        assert run_together(8, read_all) == [True] * 8

    # -- objects that are not there -------------------------------------------------------------

    def test_absent_objects_are_not_found(self, backend: Backend) -> None:
        backend.create("packs/aa/here", b"data")
        for name in ["config", "packs", "packs/aa", "packs/aa/gone", "packs/aa/here/below", "x/y"]:
            calls: list[Callable[[], object]] = [
                partial(backend.read, name),
                partial(backend.read_range, name, 0, 0),
                partial(backend.read_range, name, 0, 9),
                partial(backend.size, name),
                partial(backend.delete, name),
            ]
            for call in calls:
                with pytest.raises(NotFoundError) as caught:
                    call()
                assert caught.value.name == name
                assert caught.value.location == backend.location
        assert listed(backend) == {"packs/aa/here": 4}

    # -- exclusive creation ---------------------------------------------------------------------

    def test_nothing_is_overwritten(self, backend: Backend) -> None:
        backend.create("gc/0", b"first")
        with pytest.raises(AlreadyExistsError) as caught:
            backend.create("gc/0", b"second, longer")
        assert caught.value.name == "gc/0"
        assert backend.read("gc/0") == b"first"
        assert listed(backend) == {"gc/0": 5}

    def test_equal_content_is_no_excuse(self, backend: Backend) -> None:
        backend.create("gc/0", b"same")
        with pytest.raises(AlreadyExistsError):
            backend.create("gc/0", b"same")

    def test_of_concurrent_creations_exactly_one_succeeds(self, backend: Backend) -> None:
        for round_number in range(12):
            name = f"gc/{round_number}"

            def compete(number: int, name: str = name) -> int | None:
                try:
                    backend.create(name, b"%d" % number)
                except AlreadyExistsError:
                    return None
                return number

            winners = [number for number in run_together(16, compete) if number is not None]
            assert len(winners) == 1
            assert backend.read(name) == b"%d" % winners[0]
        assert len(listed(backend)) == 12

    def test_of_concurrent_commits_exactly_one_succeeds(self, backend: Backend) -> None:
        def compete(number: int) -> int | None:
            writer = backend.open_writer("packs/aa/contested")
            writer.write(b"%d" % number)
            try:
                writer.commit()
            except AlreadyExistsError:
                return None
            finally:
                writer.abort()
            return number

        winners = [number for number in run_together(16, compete) if number is not None]
        assert len(winners) == 1
        assert backend.read("packs/aa/contested") == b"%d" % winners[0]

    def test_different_names_do_not_compete(self, backend: Backend) -> None:
        def create_all(number: int) -> None:
            for turn in range(10):
                backend.create(f"packs/{turn:02x}/{number}", b"%d" % number)

        run_together(8, create_all)
        assert len(listed(backend)) == 80

    # -- writers --------------------------------------------------------------------------------

    @pytest.mark.parametrize("sizes", [[], [0], [1], [0, 3, 0, 1], [1000] * 40, [9_000_000, 1]])
    def test_pieces_make_the_whole(self, backend: Backend, sizes: list[int]) -> None:
        pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
        writer = backend.open_writer("packs/aa/pieces")
        for piece in pieces:
            writer.write(piece)
        writer.commit()
        assert backend.read("packs/aa/pieces") == b"".join(pieces)
        assert listed(backend) == {"packs/aa/pieces": sum(sizes)}

    def test_a_buffer_may_be_reused_after_write(self, backend: Backend) -> None:
        buffer = bytearray(b"one")
        writer = backend.open_writer("a")
        writer.write(buffer)
        buffer[:] = b"two"
        writer.write(memoryview(buffer))
        buffer[:] = b"###"
        writer.commit()
        assert backend.read("a") == b"onetwo"

    def test_nothing_is_visible_before_commit(self, backend: Backend) -> None:
        writer = backend.open_writer("packs/aa/early")
        writer.write(b"x" * 100_000)
        assert listed(backend) == {}
        with pytest.raises(NotFoundError):
            backend.read("packs/aa/early")
        writer.commit()
        assert listed(backend) == {"packs/aa/early": 100_000}

    def test_abort_leaves_nothing(self, backend: Backend) -> None:
        writer = backend.open_writer("packs/aa/aborted")
        writer.write(b"data")
        writer.abort()
        writer.abort()
        assert listed(backend) == {}
        backend.create("packs/aa/aborted", b"later")
        assert backend.read("packs/aa/aborted") == b"later"

    def test_abort_after_commit_is_harmless(self, backend: Backend) -> None:
        writer = backend.open_writer("a")
        writer.write(b"data")
        writer.commit()
        writer.abort()
        assert backend.read("a") == b"data"

    def test_an_ended_writer_is_not_used_again(self, backend: Backend) -> None:
        committed = backend.open_writer("committed")
        committed.write(b"data")
        committed.commit()
        aborted = backend.open_writer("aborted")
        aborted.abort()
        for writer in (committed, aborted):
            with pytest.raises(ValueError, match="closed"):
                writer.write(b"more")
            with pytest.raises(ValueError, match="closed"):
                writer.commit()
        assert listed(backend) == {"committed": 4}
        assert backend.read("committed") == b"data"

    def test_commit_overwrites_nothing(self, backend: Backend) -> None:
        writer = backend.open_writer("a")
        writer.write(b"late")
        backend.create("a", b"early")
        with pytest.raises(AlreadyExistsError):
            writer.commit()
        writer.abort()
        assert backend.read("a") == b"early"
        assert listed(backend) == {"a": 5}

    def test_a_taken_name_is_refused_by_commit_at_the_latest(self, backend: Backend) -> None:
        def write() -> None:
            writer = backend.open_writer("a")
            writer.write(b"late")
            writer.commit()

        backend.create("a", b"early")
        with pytest.raises(AlreadyExistsError):
            write()
        assert backend.read("a") == b"early"

    def test_writers_do_not_disturb_each_other(self, backend: Backend) -> None:
        writers = [backend.open_writer(f"packs/{number}") for number in range(5)]
        for _ in range(20):
            for number, writer in enumerate(writers):
                writer.write(b"%d" % number)
        for writer in reversed(writers):
            writer.commit()
        for number in range(5):
            assert backend.read(f"packs/{number}") == b"%d" % number * 20

    # -- list -----------------------------------------------------------------------------------

    def test_list_by_prefix(self, backend: Backend) -> None:
        for name in ["config", "keys/a", "keys/b", "keys-old/a", "packs/aa/1", "packs/ab/2"]:
            backend.create(name, name.encode())
        assert set(listed(backend, "keys/")) == {"keys/a", "keys/b"}
        assert set(listed(backend, "packs/")) == {"packs/aa/1", "packs/ab/2"}
        assert set(listed(backend, "packs/aa/")) == {"packs/aa/1"}
        assert set(listed(backend, "snapshots/")) == set()
        assert set(listed(backend, "config/")) == set()
        assert len(listed(backend, "")) == 6

    @pytest.mark.parametrize("prefix", BAD_PREFIXES)
    def test_other_prefixes_are_bugs_of_the_caller(self, backend: Backend, prefix: str) -> None:
        with pytest.raises(ValueError, match="not a prefix of names"):
            backend.list(prefix)

    def test_listed_times_do_not_go_back(self, backend: Backend) -> None:
        backend.create("a", b"")
        backend.create("b", b"")
        times = {info.name: info.modified_s for info in backend.list("")}
        assert 1.0e9 < times["a"] <= times["b"]

    def test_objects_may_be_deleted_and_created_while_they_are_listed(
        self, backend: Backend
    ) -> None:
        names = {f"packs/{number % 8}/{number:03d}" for number in range(80)}
        for name in names:
            backend.create(name, b"data")
        seen = []
        for info in backend.list("packs/"):
            seen.append(info.name)
            backend.delete(info.name)
            if info.name in names:
                backend.create(f"keys/{len(seen)}", b"new")
        assert set(seen) == names
        assert len(seen) == 80
        assert len(listed(backend, "keys/")) == 80

    def test_what_stays_is_always_listed(self, backend: Backend) -> None:
        staying = {f"packs/aa/stay-{number}" for number in range(60)}
        for name in staying:
            backend.create(name, b"data")
        is_done = threading.Event()

        def churn(number: int) -> None:
            turn = 0
            while not is_done.is_set():
                name = f"packs/{'aa' if turn % 2 else 'bb'}/churn-{number}-{turn}"
                backend.create(name, b"")
                backend.delete(name)
                turn += 1

        with ThreadPoolExecutor(3) as pool:
            churning = [pool.submit(churn, number) for number in range(3)]
            try:
                for _ in range(30):
                    seen = set(listed(backend, "packs/"))
                    assert staying <= seen
                    assert all("churn" in name for name in seen - staying)
            finally:
                is_done.set()
            for future in churning:
                future.result()
        assert set(listed(backend)) == staying

    # -- delete ---------------------------------------------------------------------------------

    def test_deleted_objects_are_gone(self, backend: Backend) -> None:
        backend.create("packs/aa/a", b"data")
        backend.create("packs/aa/b", b"other")
        assert backend.read_range("packs/aa/a", 0, 2) == b"da"
        backend.delete("packs/aa/a")
        for call in (backend.read, backend.size, backend.delete):
            with pytest.raises(NotFoundError):
                call("packs/aa/a")
        with pytest.raises(NotFoundError):
            backend.read_range("packs/aa/a", 0, 2)
        assert listed(backend) == {"packs/aa/b": 5}
        assert backend.read("packs/aa/b") == b"other"

    def test_of_concurrent_deletions_exactly_one_succeeds(self, backend: Backend) -> None:
        backend.create("a", b"")

        def compete(_: int) -> bool:
            try:
                backend.delete("a")
            except NotFoundError:
                return False
            return True

        assert sum(run_together(8, compete)) == 1

    # -- the store ------------------------------------------------------------------------------

    def test_an_empty_store_can_be_initialized_again(self, backend: Backend) -> None:
        backend.initialize()
        assert listed(backend) == {}

    def test_an_initialized_store_with_objects_is_refused(self, backend: Backend) -> None:
        backend.create("config", b"data")
        with pytest.raises(RepositoryExistsError):
            backend.initialize()
        assert listed(backend) == {"config": 4}

    def test_it_says_where_it_is(self, backend: Backend) -> None:
        assert backend.location
        assert isinstance(backend.is_remote, bool)

    def test_close_can_be_repeated(self, backend: Backend) -> None:
        backend.create("a", b"data")
        assert backend.read_range("a", 0, 1) == b"d"
        backend.close()
        backend.close()
