"""The bytes to measure with: seeded ones are always the same, own ones stand for the whole."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.benchmark import speed_data
from holdfast.benchmark.speed_data import SpeedData, own_data, seeded_data
from holdfast.compression import compress
from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.fs.source import list_names
from holdfast.progress import NullProgress

WINDOW, MOST = 64, 1024
NOISE = random.Random(1).randbytes(16 << 10)


class Watcher(NullProgress):
    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)


def read(path: str | Path, progress: Watcher | None = None) -> SpeedData:
    return own_data(
        os.fsencode(path), now_s=lambda: 0.0, most_s=1.0, progress=progress or Watcher()
    )


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_data, "WINDOW", WINDOW)
    monkeypatch.setattr(speed_data, "MOST_BYTES", MOST)
    monkeypatch.setattr(speed_data, "_LEAST_BYTES", MOST)


def check_pieces(data: SpeedData) -> None:
    """Pieces follow each other without gaps."""
    assert [piece.end for piece in data.pieces[:-1]] == [piece.start for piece in data.pieces[1:]]
    assert (data.pieces[0].start, data.pieces[-1].end) == (0, len(data.content))
    assert data.facts.size == len(data.content)


# -- seeded -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeded() -> SpeedData:
    return seeded_data((4 << 20) + 17)


def test_seeded_data_is_the_same_everywhere(seeded: SpeedData) -> None:
    check_pieces(seeded)
    assert zlib.crc32(seeded.content) == 316149699
    assert not seeded.facts.is_own


def test_every_slice_of_seeded_data_is_alike_and_no_two_pieces_are_equal(
    seeded: SpeedData,
) -> None:
    whole = [block for block in seeded.blocks(1 << 20) if len(block) == 1 << 20]
    ratios = [len(block) / len(compress(block, 3)) for block in whole]
    assert 2.2 < min(ratios) <= max(ratios) < 1.2 * min(ratios)
    pieces = [bytes(seeded.content[piece.start : piece.end]) for piece in seeded.pieces]
    assert len(set(pieces)) == len(pieces) > 200


def test_blocks_are_all_of_the_content(seeded: SpeedData) -> None:
    content = bytes(seeded.content)
    blocks = seeded.blocks(4096)
    assert sorted(map(bytes, blocks)) == sorted(
        content[at : at + 4096] for at in range(0, len(content), 4096)
    )


# -- own ----------------------------------------------------------------------------------------


def test_a_small_tree_is_read_whole_in_the_order_of_a_walk(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"second")
    (tmp_path / "a").write_bytes(b"first ")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "z").write_bytes(b" third")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "fifo")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/zz\xff\n")).write_bytes(b"!")
    data = read(tmp_path)
    assert bytes(data.content) == b"first second third!"
    assert (data.facts.files, data.facts.mean_file_bytes) == (4, 19 / 4)
    assert data.facts.is_own
    check_pieces(data)


def test_a_single_file_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert bytes(read(tmp_path / "link").content) == b"content"


sizes = st.lists(st.integers(0, 700), min_size=1, max_size=12).filter(lambda found: sum(found) > 0)


@pytest.mark.usefixtures("small_windows")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes)
def test_windows_are_spread_evenly_over_the_stream_of_all_files(found: list[int]) -> None:
    stream = NOISE[: sum(found)]
    with TemporaryDirectory() as directory:
        at = 0
        for number, size in enumerate(found):
            Path(directory, f"{number:03}").write_bytes(stream[at : at + size])
            at += size
        data = read(directory)
    stride = max(WINDOW, len(stream) * WINDOW // MOST)
    expected = b"".join(stream[s : s + WINDOW] for s in range(0, len(stream), stride))[:MOST]
    assert bytes(data.content) == expected
    check_pieces(data)


def test_holes_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        for at in (1 << 20, 9 << 20):
            file.seek(at)
            file.write(os.urandom(1 << 16))
        file.truncate(1 << 30)
    if (tmp_path / "sparse").stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no holes")
    data = read(tmp_path)
    assert len(data.content) == data.facts.mean_file_bytes <= 1 << 18
    assert bytes(data.content).count(0) < len(data.content) // 2
    assert [piece.offset for piece in data.pieces] == [1 << 20, 9 << 20]


def test_what_cannot_be_read_is_told_once_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "bad").write_bytes(b"bad")
    (tmp_path / "closed").mkdir()
    real_open, real_list = speed_data.open_quietly, list_names

    def refuse_open(path: bytes) -> int:
        if path.endswith(b"bad"):
            raise PermissionError(13, "Permission denied")
        return real_open(path)

    def refuse_list(path: bytes) -> list[bytes]:
        if path.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return real_list(path)

    monkeypatch.setattr(speed_data, "open_quietly", refuse_open)
    monkeypatch.setattr(speed_data, "list_names", refuse_list)
    watcher = Watcher()
    data = read(tmp_path, watcher)
    assert bytes(data.content) == b"good"
    assert data.facts.unreadable == 2
    assert sorted((Path(one.path).name, one.problem) for one in watcher.findings) == [
        ("bad", "permission denied"),
        ("closed", "permission denied"),
    ]


def test_files_that_shrink_or_vanish_between_the_walks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    real = speed_data._sized_files
    walks = 0

    def changing(*arguments: object) -> Iterator[tuple[bytes, int]]:
        nonlocal walks
        walks += 1
        found = list(real(*arguments))  # type: ignore[arg-type]
        if walks == 2:
            (tmp_path / "a").unlink()
            (tmp_path / "b").write_bytes(b"b")
        return iter(found)

    monkeypatch.setattr(speed_data, "_sized_files", changing)
    data = read(tmp_path)
    assert bytes(data.content) == b"b" + b"c" * 10
    assert data.facts.unreadable == 1


def test_a_walk_stops_when_its_time_is_over(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:04}").write_bytes(b"x")
    passed = 0.0

    def now_s() -> float:
        nonlocal passed
        passed += 1
        return passed

    data = own_data(os.fsencode(tmp_path), now_s=now_s, most_s=1.5, progress=Watcher())
    assert 0 < data.facts.files < 1000


def test_nothing_to_read_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("empty", "fifo"):
        with pytest.raises(ConfigurationError, match=f"{name} holds no data that can be read"):
            read(tmp_path / name)
    with pytest.raises(ConfigurationError, match="absent cannot be read: no such file"):
        read(tmp_path / "absent")
