"""Archives of log segments: what goes in comes out, nothing is overwritten, nothing is half there."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.backends.base import Backend
from holdfast.backends.local import LocalBackend
from holdfast.backends.memory import MemoryBackend
from holdfast.database_errors import (
    LogConflictError,
    LogSegmentInvalidError,
    LogSegmentNotFoundError,
)
from holdfast.errors import AccessDeniedError, IntegrityError, NotFoundError, OutOfSpaceError
from holdfast.format.config import CONFIG_NAME
from holdfast.format.log_segment import BOX_LENGTH, HEAD_END, is_possible_size
from holdfast.hashing import trailer
from holdfast.repository import layout
from holdfast.repository.log_archive import LogArchive, LogSegment, list_archives
from holdfast.repository.repository import Repository
from support.faults import CrashingBackend, HookedBackend, SimulatedCrash, corrupt, damages, swap
from support.repos import contents, copy_store, init_store, new_store, open_repository

WAL = "0000000100000000000000AB"
SERVER = "7300000000000000001"


@pytest.fixture
def store() -> MemoryBackend:
    return new_store()


@pytest.fixture
def repository(store: MemoryBackend, tmp_path: Path) -> Iterator[Repository]:
    with open_repository(store, tmp_path / "cache") as opened:
        yield opened


def push(archive: LogArchive, name: str, data: bytes) -> bool:
    return archive.push(name, io.BytesIO(data), len(data))


def fetch(archive: LogArchive, name: str) -> bytes:
    pieces: list[bytes] = []
    assert archive.fetch(name, pieces.append) == sum(map(len, pieces))
    return b"".join(pieces)


def archive_at(backend: Backend, cache: Path) -> tuple[Repository, LogArchive]:
    repository = open_repository(backend, cache)
    return repository, LogArchive(repository, "wal", SERVER)


def test_what_goes_in_comes_out(repository: Repository, store: MemoryBackend) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    segments = {
        WAL: random.Random(1).randbytes(3 << 20) + bytes(13 << 20),
        "00000002.history": b"1\t0/3000000\tno recovery target specified\n",
        "0000000100000000000000AA": b"",
        "0000000100000000000000AC.partial": random.Random(2).randbytes((24 << 20) + 1),
        "server-bin.000001 ä/\n": b"x" * (1 << 20),
    }
    for name, data in segments.items():
        assert push(archive, name, data) is True
        assert push(archive, name, data) is False
    listed = archive.segments()
    assert [one.name for one in listed] == sorted(segments)
    sizes = {info.name: info.size for info in store.list(layout.LOGS)}
    assert {archive.object_name(one.name): one.stored_size for one in listed} == sizes
    for name, data in segments.items():
        assert fetch(archive, name) == data
    for size in sizes.values():
        assert is_possible_size(size)
        if size > 1 << 20:
            assert not any(map(is_possible_size, (size - 1, size + 1, size - 100)))
    assert not any(map(is_possible_size, (0, 616, 663)))
    assert archive.remove([WAL, "nothing"]) == 1
    with pytest.raises(LogSegmentNotFoundError) as caught:
        archive.fetch(WAL, bytes)
    assert caught.value.name == WAL


def test_other_bytes_are_refused_and_what_is_there_stays(
    repository: Repository, store: MemoryBackend
) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    data = random.Random(1).randbytes(2 << 20)
    push(archive, WAL, data)
    before = contents(store)
    for other in (data[:-1] + b"\0", data[:-1], data + b"\0", b"", b"\0" + data[1:]):
        with pytest.raises(LogConflictError):
            push(archive, WAL, other)
    assert contents(store) == before


def test_storage_that_overwrites_is_asked_first(store: MemoryBackend, tmp_path: Path) -> None:
    class Overwriting(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            if kind == "commit" and name in {info.name for info in self.inner.list(layout.LOGS)}:
                self.inner.delete(name)
            return action()

    repository, _ = archive_at(Overwriting(store), tmp_path)
    with repository:
        repository.config = msgspec.structs.replace(repository.config, exclusive_create=False)
        archive = LogArchive(repository, "wal", SERVER)
        push(archive, WAL, b"one")
        assert push(archive, WAL, b"one") is False
        with pytest.raises(LogConflictError):
            push(archive, WAL, b"two")
        assert fetch(archive, WAL) == b"one"


@pytest.mark.parametrize("exclusive", [False, True])
def test_storage_that_denies_what_is_not_there(
    store: MemoryBackend, tmp_path: Path, exclusive: bool
) -> None:
    class Reticent(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            try:
                return action()
            except NotFoundError as error:
                raise AccessDeniedError(self.location, name) from error

    class Silent(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            if kind in ("read_range", "size"):
                raise AccessDeniedError(self.location, name)
            return action()

    repository, _ = archive_at(Reticent(store), tmp_path)
    with repository:
        repository.config = msgspec.structs.replace(repository.config, exclusive_create=exclusive)
        archive = LogArchive(repository, "wal", SERVER)
        with pytest.raises(LogSegmentNotFoundError):
            archive.fetch(WAL, bytes)
        assert push(archive, WAL, b"one") is True
        assert push(archive, WAL, b"one") is False
        assert fetch(archive, WAL) == b"one"
    repository, archive = archive_at(Silent(store), tmp_path)
    with repository, pytest.raises(AccessDeniedError):
        archive.fetch(WAL, bytes)


def test_a_file_of_another_length_than_said_is_not_archived(repository: Repository) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    for size in (0, 1, 1 << 20, (2 << 20) - 1, (2 << 20) + 1, 5 << 20):
        with pytest.raises(LogSegmentInvalidError):
            archive.push(WAL, io.BytesIO(bytes(2 << 20)), size)
    assert archive.segments() == []


@pytest.mark.parametrize("name", ["", "A" * 73, "a" * 218])
def test_a_name_that_no_object_can_have_is_refused(repository: Repository, name: str) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    with pytest.raises(LogSegmentInvalidError):
        push(archive, name, b"")
    with pytest.raises(LogSegmentInvalidError):
        archive.fetch(name, bytes)


@pytest.mark.parametrize(
    ("kind", "identity"),
    [("", "1"), ("k" * 17, "1"), ("a\0", "1"), ("wal", ""), ("wal", "ä" * 65)],
)
def test_kinds_and_identities_are_bounded(repository: Repository, kind: str, identity: str) -> None:
    with pytest.raises(ValueError, match=r"not (a kind|the identity)"):
        LogArchive(repository, kind, identity)


def test_servers_are_kept_apart_and_unknown_to_the_storage(
    repository: Repository, store: MemoryBackend
) -> None:
    archives = [
        LogArchive(repository, kind, identity)
        for kind, identity in [("binlog", "shop"), ("wal", "1"), ("wal", SERVER), ("wa", "l\0001")]
    ]
    assert len({archive.id for archive in archives}) == 4
    assert list_archives(repository) == []
    for number, archive in enumerate(archives):
        push(archive, WAL, bytes([number]))
    for number, archive in enumerate(archives):
        assert fetch(archive, WAL) == bytes([number])
    found = [(one.kind, one.identity, one.id) for one in list_archives(repository)]
    assert found == sorted((one.kind, one.identity, one.id) for one in archives)
    for name, data in contents(store).items():
        assert SERVER not in name
        assert SERVER.encode() not in data


def test_sizes_do_not_tell_how_well_each_part_compresses(repository: Repository) -> None:
    """Two segments of the same compressed size, rounded, look alike."""
    archive = LogArchive(repository, "wal", SERVER)
    noise = random.Random(3).randbytes(4 << 20)
    push(archive, "a", noise + bytes(12 << 20))
    push(archive, "b", bytes(12 << 20) + noise)
    pieces = [noise[at : at + 1000] + bytes(3000) for at in range(0, 4 << 20, 1000)]
    push(archive, "c", b"".join(pieces))
    sizes = [segment.stored_size for segment in archive.segments()]
    assert sizes[0] == sizes[1]
    assert sizes[2] < sizes[0] * 1.1


# -- damage -------------------------------------------------------------------------------------


def test_every_damage_is_an_integrity_error(
    repository: Repository, store: MemoryBackend, tmp_path: Path
) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    data = random.Random(1).randbytes(600_000)
    push(archive, WAL, data)
    name = archive.object_name(WAL)
    sound = store.read(name)
    for damage in damages(len(sound), flips=60):
        hurt = copy_store(store)
        corrupt(hurt, name, damage)
        opened, broken = archive_at(hurt, tmp_path / "cache")
        with opened:
            pieces: list[bytes] = []
            with pytest.raises(IntegrityError):
                broken.fetch(WAL, pieces.append)
            # What was handed over before was authentic, and the file is not taken for archived.
            assert data.startswith(b"".join(pieces))
            with pytest.raises(IntegrityError):
                push(broken, WAL, data)
            with pytest.raises((IntegrityError, LogConflictError)):
                push(broken, WAL, data[:-1])
    assert store.read(name) == sound


def test_boxes_cannot_be_left_out_or_moved(repository: Repository, store: MemoryBackend) -> None:
    """Whoever repairs the checksum gains nothing."""
    archive = LogArchive(repository, "wal", SERVER)
    push(archive, WAL, random.Random(1).randbytes(1 << 20))
    name = archive.object_name(WAL)
    body = store.read(name)[:-32]
    box = BOX_LENGTH + 16
    boxes = [body[at : at + box] for at in range(HEAD_END, len(body), box)]
    assert len(boxes) > 3
    count = len(boxes)
    orders = [[0, 1], [1, 0, *range(2, count)], range(count - 1), [*range(count), count - 1]]
    for order in orders:
        forged = body[:HEAD_END] + b"".join(boxes[number] for number in order)
        store.delete(name)
        store.create(name, forged + trailer(forged))
        with pytest.raises(IntegrityError):
            archive.fetch(WAL, bytes)


def test_no_object_passes_for_another(repository: Repository, store: MemoryBackend) -> None:
    archive, other = LogArchive(repository, "wal", SERVER), LogArchive(repository, "wal", "2")
    push(archive, "one", b"1")
    push(archive, "two", b"2")
    push(other, "one", b"3")
    swap(store, archive.object_name("one"), archive.object_name("two"))
    for name in ("one", "two"):
        with pytest.raises(IntegrityError):
            fetch(archive, name)
    swap(store, archive.object_name("one"), other.object_name("one"))
    with pytest.raises(IntegrityError):
        fetch(other, "one")
    store.create(archive.object_name("three"), store.read(CONFIG_NAME))
    with pytest.raises(IntegrityError):
        fetch(archive, "three")


def test_archives_are_recognised_by_any_sound_segment(
    repository: Repository, store: MemoryBackend
) -> None:
    archive, lost = LogArchive(repository, "wal", "1"), LogArchive(repository, "wal", "2")
    for name in ("a", "b"):
        push(archive, name, b"")
        push(lost, name, b"")
    for name in (archive.object_name("a"), lost.object_name("a"), lost.object_name("b")):
        store.delete(name)
        store.create(name, b"noise")
    store.create(layout.log_prefix(lost.id) + "x-Z".lower(), b"not ours")
    store.create(layout.LOGS + "stray", b"not ours")
    with pytest.raises(IntegrityError):
        list_archives(repository)
    problems: list[IntegrityError] = []
    assert [one.identity for one in list_archives(repository, problems)] == ["1"]
    assert [problem.name for problem in problems] == [lost.object_name("a")]


# -- crashes and races --------------------------------------------------------------------------


def test_a_crash_leaves_nothing_or_all(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(600_000)

    def run(backend: Backend) -> None:
        repository, archive = archive_at(backend, tmp_path / "cache")
        with repository:
            push(archive, WAL, data)

    store = new_store()
    rehearsal = CrashingBackend(copy_store(store), None)
    run(rehearsal)
    assert rehearsal.count > 3
    for number in range(rehearsal.count):
        for happened in (False, True):
            inner = copy_store(store)
            with pytest.raises(SimulatedCrash):
                run(CrashingBackend(inner, number, last_happened=happened))
            repository, archive = archive_at(inner, tmp_path / "cache")
            with repository:
                was_there = archive.object_name(WAL) in contents(inner)
                assert was_there == (happened and number == rehearsal.count - 1)
                assert push(archive, WAL, data) is not was_there
                assert fetch(archive, WAL) == data


def test_of_two_pushes_at_once_one_creates_and_the_other_compares(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "repo"))
    init_store(backend)
    with open_repository(backend, tmp_path / "cache") as repository:
        archive = LogArchive(repository, "wal", SERVER)
        for number in range(8):
            contents_of = [b"same" * 300_000] * 4 + [b"othr" * 300_000] * 2
            outcomes: list[object] = [None] * len(contents_of)
            barrier = threading.Barrier(len(contents_of))

            def work(
                index: int,
                data: bytes,
                name: str = f"{number:04}",
                barrier: threading.Barrier = barrier,
                outcomes: list[object] = outcomes,
            ) -> None:
                barrier.wait()
                try:
                    outcomes[index] = push(archive, name, data)
                except LogConflictError:
                    outcomes[index] = "conflict"

            threads = [
                threading.Thread(target=work, args=(index, data))
                for index, data in enumerate(contents_of)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert outcomes.count(True) == 1
            winner = contents_of[outcomes.index(True)]
            for outcome, data in zip(outcomes, contents_of, strict=True):
                assert outcome in ((True, False) if data == winner else ("conflict",))
            assert fetch(archive, f"{number:04}") == winner


_PUSHER = """
import io, sys
from holdfast.backends.local import LocalBackend
from holdfast.repository.log_archive import LogArchive
from support.repos import open_repository
backend, cache = LocalBackend(sys.argv[1]), sys.argv[2]
data = b"0123456789abcdef" * (1 << 18)
with open_repository(backend, cache) as repository:
    archive = LogArchive(repository, "wal", "1")
    for number in range(10_000):
        archive.push(f"{number:06}", io.BytesIO(data), len(data))
        print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "repo"))
    init_store(backend)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    child = subprocess.Popen(
        [sys.executable, "-c", _PUSHER, str(tmp_path / "repo"), str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": path},
    )
    assert child.stdout is not None
    try:
        acknowledged = [int(child.stdout.readline()) for _ in range(5)]
    finally:
        child.send_signal(signal.SIGKILL)
        with child.stdout:
            rest = child.stdout.read().split()
        child.wait()
    acknowledged += map(int, rest)
    data = b"0123456789abcdef" * (1 << 18)
    with open_repository(backend, tmp_path / "cache") as repository:
        archive = LogArchive(repository, "wal", "1")
        names = [segment.name for segment in archive.segments()]
        assert names[: len(acknowledged)] == [f"{number:06}" for number in acknowledged]
        assert all(fetch(archive, name) == data for name in names)
        push(archive, f"{len(names):06}", data)


def test_full_storage_keeps_nothing_of_the_segment(store: MemoryBackend, tmp_path: Path) -> None:
    class Full(HookedBackend):
        def perform(self, kind, name, action):  # type: ignore[no-untyped-def]
            if kind == "commit":
                raise OutOfSpaceError("here", name, "no space left")
            return action()

    repository, archive = archive_at(Full(store), tmp_path)
    with repository:
        with pytest.raises(OutOfSpaceError):
            push(archive, WAL, b"data")
        assert archive.segments() == []


def test_the_listing_says_when_and_how_large(repository: Repository) -> None:
    archive = LogArchive(repository, "wal", SERVER)
    push(archive, "a", bytes(1 << 20))
    (segment,) = archive.segments()
    assert segment == LogSegment("a", segment.stored_size, segment.modified_s)
    assert 616 < segment.stored_size < 2000
