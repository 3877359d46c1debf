"""Tree packs kept on this machine's disk."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import NotFoundError
from holdfast.repository.tree_cache import BLOCK, KeepingWriter, TreeCache
from support.faults import RecordingBackend

NAME = f"packs/aa/{'aa' * 16}"
DATA = random.Random(1).randbytes(3 * BLOCK + 1000)


class CountingBackend(RecordingBackend):
    """Notes the ranges that are read."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        return super().read_range(name, offset, length)


@pytest.fixture
def backend() -> CountingBackend:
    backend = CountingBackend()
    backend.create(NAME, DATA)
    return backend


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_block_is_fetched_once(backend: CountingBackend, tmp_path: Path) -> None:
    cache = TreeCache(backend, str(tmp_path / "trees"))
    assert cache.read_range(NAME, 10, 20) == DATA[10:30]
    assert cache.read_range(NAME, BLOCK - 100, 100) == DATA[BLOCK - 100 : BLOCK]
    again = TreeCache(backend, str(tmp_path / "trees"))  # another process
    assert again.read_range(NAME, 500, 7) == DATA[500:507]
    assert backend.ranges == [(0, BLOCK)]


def test_neighbours_are_fetched_by_one_request(backend: CountingBackend, tmp_path: Path) -> None:
    cache = TreeCache(backend, str(tmp_path / "trees"))
    cache.read_range(NAME, BLOCK, 1)
    backend.ranges.clear()
    assert cache.read_range(NAME, 100, len(DATA) - 100) == DATA[100:]
    assert backend.ranges == [(0, BLOCK), (2 * BLOCK, 2 * BLOCK)]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, len(DATA)), st.integers(0, 2 * BLOCK)), min_size=1, max_size=5
    )
)
def test_every_range_is_right(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int]]
) -> None:
    backend = MemoryBackend()
    backend.create(NAME, DATA)
    cache = TreeCache(backend, str(tmp_path_factory.mktemp("trees")))
    for offset, length in ranges:
        assert cache.read_range(NAME, offset, length) == DATA[offset : offset + length]


@pytest.mark.parametrize("damage", [b"", DATA[:BLOCK], DATA[:50] + bytes(32)])
def test_a_torn_block_counts_as_absent(
    backend: CountingBackend, tmp_path: Path, damage: bytes
) -> None:
    TreeCache(backend, str(tmp_path)).read_range(NAME, 0, 10)
    (file,) = files(tmp_path)
    file.write_bytes(damage)
    cache = TreeCache(backend, str(tmp_path))
    assert cache.read_range(NAME, 0, 10) == DATA[:10]
    assert len(backend.ranges) == 2


def test_what_is_written_is_kept(backend: CountingBackend, tmp_path: Path) -> None:
    name = f"packs/bb/{'bb' * 16}"
    cache = TreeCache(backend, str(tmp_path))
    writer = KeepingWriter(cache, backend.open_writer(name), name)
    for at in range(0, len(DATA), 300_000):
        writer.write(DATA[at : at + 300_000])
    writer.commit()
    assert backend.read(name) == DATA
    assert TreeCache(backend, str(tmp_path)).read_range(name, 0, len(DATA)) == DATA
    assert backend.ranges == []


def test_an_aborted_pack_is_not_created(backend: CountingBackend, tmp_path: Path) -> None:
    name = f"packs/bb/{'bb' * 16}"
    cache = TreeCache(backend, str(tmp_path))
    writer = KeepingWriter(cache, backend.open_writer(name), name)
    writer.write(DATA)
    writer.abort()
    with pytest.raises(NotFoundError):
        backend.read(name)


def test_blocks_that_were_not_used_for_long_go_first(
    backend: CountingBackend, tmp_path: Path
) -> None:
    cache = TreeCache(backend, str(tmp_path), capacity=2 * BLOCK)
    cache.read_range(NAME, 0, len(DATA))
    for number, file in enumerate(files(tmp_path)):
        os.utime(file, (number, number))
    TreeCache(backend, str(tmp_path)).read_range(NAME, 0, 1)  # used again
    cache.close()
    assert [file.name.split(".")[-1] for file in files(tmp_path)] == ["0", "3"]


def test_a_directory_that_cannot_be_written_costs_requests_only(
    backend: CountingBackend, tmp_path: Path
) -> None:
    place = tmp_path / "trees"
    place.write_text("not a directory")
    cache = TreeCache(backend, str(place))
    for _ in range(2):
        assert cache.read_range(NAME, 5, 5) == DATA[5:10]
    cache.close()


def test_a_missing_pack_is_missing(backend: CountingBackend, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        TreeCache(backend, str(tmp_path)).read_range(f"packs/cc/{'cc' * 16}", 0, 10)
