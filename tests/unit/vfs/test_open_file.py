"""Files at any offset: the right bytes, holes, id pages, damage, and no more work than needed."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError, IntegrityError
from holdfast.format.node import Node, NodeExtra, list_ids
from holdfast.ids import BlobId
from holdfast.vfs.content_map import ContentMap
from holdfast.vfs.open_file import OpenFile
from support.trees import DictSource, file_node


class Source(DictSource):
    """A `DictSource` that answers as `SharedReader` does."""

    def __init__(self, *, chunk_size: int = 100) -> None:
        super().__init__(chunk_size=chunk_size)
        self.most_ahead = 4 << 20
        self.asked: list[BlobId] = []
        self.lengths_asked = 0
        self.ahead: list[BlobId] = []

    def blob_lengths(self, ids: Sequence[BlobId]) -> list[int]:
        self.lengths_asked += len(ids)
        return [self.blob_length(blob_id) for blob_id in ids]

    def read(self, blob_id: BlobId) -> bytes:
        self.asked.append(blob_id)
        if blob_id in self.damaged:
            raise IntegrityError("data", blob_id.hex(), "damaged by the test")
        return self.blobs[blob_id]

    def read_once(self, blob_id: BlobId) -> bytes:
        return self.read(blob_id)

    def read_ahead(self, ids: list[BlobId]) -> None:
        self.ahead += ids


def sparse_file(source: Source, pieces: list[tuple[bool, bytes]]) -> tuple[Node, bytes]:
    """Return a file of data and holes, and what reading it gives."""
    content, whole = b"", b""
    holes: list[int] = []
    for is_hole, data in pieces:
        if is_hole and holes and holes[-2] + holes[-1] == len(whole):
            holes[-1] += len(data)
        elif is_hole:
            holes += [len(whole), len(data)]
        else:
            content += source.add_file(data)
        whole += bytes(len(data)) if is_hole else data
    node = file_node(source, b"f", size=len(whole), content=content)
    extra = NodeExtra(holes=tuple(holes)) if holes else None
    return msgspec.structs.replace(node, extra=extra), whole


def long_file(source: Source, data: bytes, *, depth: int, fan_out: int = 3) -> Node:
    """Return a file whose ids lie in id pages."""
    content = source.add_file(data)
    for _ in range(depth):
        ids = [content[at : at + 32] for at in range(0, len(content), 32)]
        pages = [b"".join(ids[at : at + fan_out]) for at in range(0, len(ids), fan_out)]
        content = b"".join(map(source.add_ids, pages))
    node = file_node(source, b"f", size=len(data), content=content)
    return msgspec.structs.replace(node, extra=NodeExtra(depth=depth))


PIECES = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=400)), max_size=6)
READS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 700)), min_size=1, max_size=8)


@given(PIECES, READS)
def test_any_read_of_any_file(
    pieces: list[tuple[bool, bytes]], reads: list[tuple[int, int]]
) -> None:
    source = Source()
    node, whole = sparse_file(source, pieces)
    file = OpenFile(node, source)
    for offset, length in reads:
        assert file.read(offset, length) == whole[offset : offset + length]


@given(st.integers(0, 3), st.integers(1, 3000), READS)
def test_any_read_of_a_long_file(depth: int, size: int, reads: list[tuple[int, int]]) -> None:
    source = Source(chunk_size=50)
    data = random.Random(size).randbytes(size)
    file = OpenFile(long_file(source, data, depth=depth), source)
    for offset, length in reads:
        assert file.read(offset, length) == data[offset : offset + length]


def test_as_files_do() -> None:
    """The same reads as of a real file, past its end and at its border too."""
    data = random.Random(1).randbytes(1000)
    source = Source()
    file = OpenFile(file_node(source, b"f", data), source)
    with tempfile.TemporaryFile() as real:
        real.write(data)
        real.flush()
        for offset in (0, 1, 99, 100, 101, 999, 1000, 1001, 5000):
            for length in (0, 1, 100, 1000, 10_000):
                assert file.read(offset, length) == os.pread(real.fileno(), length, offset)
    assert file.read(-1, 10) == b""


def test_a_read_touches_no_other_blob() -> None:
    source = Source()
    data = random.Random(2).randbytes(1000)
    node = file_node(source, b"f", data)
    assert OpenFile(node, source).read(350, 100) == data[350:450]
    assert source.asked == node.blob_ids[3:5]


def test_looking_at_an_offset_again_costs_nothing() -> None:
    source = Source(chunk_size=10)
    node = long_file(source, random.Random(3).randbytes(5000), depth=1)
    file = OpenFile(node, source)
    file.read(4000, 1)
    asked = source.lengths_asked
    assert 400 <= asked <= 510
    file.read(4001, 1)
    assert source.lengths_asked == asked
    file.read(100, 1)
    assert source.lengths_asked <= asked + 3  # that leaf again, nothing else


def test_who_goes_on_reading_is_read_ahead_for() -> None:
    source = Source(chunk_size=64 << 10)
    data = random.Random(4).randbytes(8 << 20)
    node = file_node(source, b"f", data)
    file = OpenFile(node, source)
    for at in range(0, 4 << 20, 128 << 10):
        file.read(at, 128 << 10)
    assert len(source.ahead) == len(set(source.ahead))
    assert set(source.ahead) >= set(node.blob_ids[2 : (5 << 20) // (64 << 10)])


def test_who_jumps_is_not() -> None:
    source = Source(chunk_size=64 << 10)
    data = random.Random(5).randbytes(16 << 20)
    node = file_node(source, b"f", data)
    file = OpenFile(node, source)
    file.read(6 << 20, 4096)
    file.read(12 << 20, 4096)
    file.read(3 << 20, 4096)
    assert source.ahead == []


def test_each_reader_of_a_file_is_read_ahead_for() -> None:
    source = Source(chunk_size=64 << 10)
    data = random.Random(10).randbytes(32 << 20)
    node = file_node(source, b"f", data)
    file = OpenFile(node, source)
    for at in range(0, 2 << 20, 128 << 10):
        for start in (0, 8 << 20, 16 << 20, 24 << 20):
            file.read(start + at, 128 << 10)
    for start in (0, 8 << 20, 16 << 20, 24 << 20):
        first = (start + (2 << 20)) >> 16
        assert set(source.ahead) >= set(node.blob_ids[first : first + 4])
    assert len(source.ahead) < 8 * 64


def test_a_file_of_one_blob_asks_for_nothing_else() -> None:
    source = Source(chunk_size=1 << 20)
    for size in (1, 100_000, 300_000):
        data = random.Random(size).randbytes(size)
        file = OpenFile(file_node(source, b"f", data), source)
        assert file.read(5, 1000) == data[5:1005]
    assert source.lengths_asked == 0
    assert source.ahead == []


def test_threads_share_a_file() -> None:
    source = Source(chunk_size=50)
    data = random.Random(7).randbytes(20_000)
    file = OpenFile(long_file(source, data, depth=2), source)

    def work(seed: int) -> bool:
        chosen = random.Random(seed)
        offsets = [chosen.randrange(20_000) for _ in range(100)]
        return all(file.read(at, 333) == data[at : at + 333] for at in offsets)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def damaged_files() -> Iterator[tuple[str, Node]]:
    source = Source()
    short = file_node(source, b"f", b"x" * 250)
    yield "longer than it says", msgspec.structs.replace(short, size=240)
    yield "shorter than it says", msgspec.structs.replace(short, size=260)
    odd = NodeExtra(holes=(1,))
    yield "half a hole", msgspec.structs.replace(short, extra=odd)
    yield "a hole in a blob", msgspec.structs.replace(short, extra=NodeExtra(holes=(50, 10)))


@pytest.mark.parametrize("node", [node for _, node in damaged_files()])
def test_impossible_content_is_an_error_and_no_zeros(node: Node) -> None:
    source = Source()
    file_node(source, b"f", b"x" * 250)
    file = OpenFile(node, source)
    for _ in range(2):  # an error is not forgotten
        with pytest.raises(FormatError):
            file.read(0, 1000)


def test_a_damaged_id_page_is_an_error_each_time() -> None:
    source = Source(chunk_size=50)
    data = random.Random(8).randbytes(5000)
    node = long_file(source, data, depth=1)
    source.damaged.add(node.blob_ids[20])
    file = OpenFile(node, source)
    assert file.read(0, 100) == data[:100]
    for _ in range(2):
        with pytest.raises(IntegrityError):
            file.read(4000, 100)
    assert file.read(0, 100) == data[:100]
    source.damaged.clear()
    assert file.read(4000, 100) == data[4000:4100]


def test_damage_ahead_does_not_disturb_who_reads_before_it() -> None:
    source = Source(chunk_size=50)
    data = random.Random(11).randbytes(5000)
    node = long_file(source, data, depth=2)
    leaf_ids = [leaf for page in node.blob_ids for leaf in list_ids(source.read_ids(page))]
    content = ContentMap(node, source)
    spans = content.between(0, 1000)
    first = next(spans)
    source.damaged.add(leaf_ids[20])
    with pytest.raises(IntegrityError):
        list(content.between(4000, 4100))
    assert [first, *spans] == list(content.between(0, 1000))
    source.damaged = {node.blob_ids[-1]}  # the page that lists id pages
    for _ in range(2):
        with pytest.raises(IntegrityError) as raised:
            list(content.between(4950, 5000))
        assert not isinstance(raised.value, FormatError)
    source.damaged.clear()
    assert sum(length for _, length, _ in content.between(0, 5000)) == 5000


def test_a_damaged_blob_leaves_the_rest_readable() -> None:
    source = Source()
    data = random.Random(9).randbytes(1000)
    node = file_node(source, b"f", data)
    source.damaged.add(node.blob_ids[4])
    file = OpenFile(node, source)
    assert file.read(0, 400) == data[:400]
    with pytest.raises(IntegrityError):
        file.read(300, 200)
    assert file.read(500, 500) == data[500:]


def test_spans_of_nothing() -> None:
    source = Source()
    assert list(ContentMap(file_node(source, b"f"), source).between(0, 10)) == []
