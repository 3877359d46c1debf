"""`benchmark speed`: what people and programs are told of this machine."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from holdfast.benchmark import speed, speed_data, speed_trial
from holdfast.benchmark.speed_data import SpeedData, seeded_data
from support.command_line import Runner
from support.json_keys import (
    SPEED,
    SPEED_DATA,
    SPEED_MEASURE,
    SPEED_PREDICTION,
    SPEED_RATE,
    SPEED_STAGE,
)


@cache
def little_data() -> SpeedData:
    return seeded_data(400_000)


@pytest.fixture
def quick(run: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs `benchmark speed` with as little as possible."""
    monkeypatch.setattr(speed, "seeded_data", little_data)
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(speed_trial, "FILES", 100)
    return run.with_base("benchmark", "speed", "--seconds", "0.1", "--blobs", "1000")


def test_tables_and_two_sentences(quick: Runner, tmp_path: Path) -> None:
    out = quick().out
    tables = [table.splitlines() for table in out.split("\n\n")]
    assert tables[0][0].split()[:4] == ["Stage", "What", "One", "thread"]
    stages = [line[:12].strip() for line in tables[0][1:] if not line.startswith(" ")]
    assert stages == [
        "read", "cut", "name", "compress", "decompress", "encrypt", "decrypt", "index", "storage",
        "whole backup",
    ]  # fmt: skip
    assert "level 3: 2." in out, "seeded data is compressible"
    for title, table in zip(("New data", "Unchanged files"), tables[1:3], strict=True):
        assert table[0].startswith(title)
        assert sum(line.endswith("*") for line in table) == 1
    last = tables[3]
    assert [line.split(":")[0] for line in last[:2]] == ["New data", "Unchanged files"]
    assert last[2].endswith(f"an index of 1000 blobs and storage at {tmp_path / 'cache'}")
    assert os.listdir(tmp_path / "cache") == []


def test_keys_of_the_document(quick: Runner) -> None:
    out = quick("--json")
    document = out.document
    assert list(document) == SPEED
    assert list(document["data"]) == SPEED_DATA
    assert {tuple(one) for one in document["measures"]} == {tuple(SPEED_MEASURE)}
    assert list(document["measures"][0]["single"]) == SPEED_RATE
    for name in ("new", "unchanged"):
        assert list(document[name]) == SPEED_PREDICTION
        assert {tuple(one) for one in document[name]["stages"]} == {tuple(SPEED_STAGE)}
        assert document[name]["slowest"] in {one["name"] for one in document[name]["stages"]}
    assert out.err == ""


def test_own_data_and_a_directory_for_scratch_files(quick: Runner, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(bytes(400_000))
    document = quick(
        "--json", "--data", tmp_path / "mine", "--work-dir", tmp_path / "work"
    ).document
    assert (document["data"]["own"], document["data"]["size"]) == (True, 400_000)
    assert document["storage"] == str(tmp_path / "work")
    assert os.listdir(tmp_path / "work") == []
    assert not (tmp_path / "cache").exists()


def test_files_that_cannot_be_read(
    quick: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("good", "bad"):
        (tmp_path / "mine" / name).write_bytes(name.encode() * 1000)
    real = speed_data.open_quietly

    def refuse(path: bytes) -> int:
        if path.endswith(b"bad"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(speed_data, "open_quietly", refuse)
    out = quick("--json", "--data", tmp_path / "mine", code=3)
    assert out.document["data"]["unreadable"] == 1
    assert "bad: permission denied" in out.err
    assert "1 could not be read; the figures leave that out" in out.err


def test_a_repository_is_measured_only_if_the_command_line_names_it(
    quick: Runner, hold: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    before = sorted(repository.rglob("*"))
    monkeypatch.setenv("HOLDFAST_REPOSITORY", str(repository))
    assert quick("--json").document["storage"] == str(tmp_path / "cache")
    document = quick("--json", "-r", repository).document
    assert (document["storage"], document["left"]) == (str(repository), [])
    assert sorted(repository.rglob("*")) == before
    hold("check", "--read-data")


def test_a_place_that_holds_something_else(quick: Runner, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    assert "is not empty" in quick("-r", tmp_path / "used", code=1).err
    assert os.listdir(tmp_path / "used") == ["file"]
    assert not (tmp_path / "cache").exists() or os.listdir(tmp_path / "cache") == []


def test_bad_options(run: Runner, tmp_path: Path) -> None:
    bench = run.with_base("benchmark", "speed")
    assert "0.5 seconds are too few or too many" in bench("--seconds", "0.5", code=2).err
    assert "an index of 5 blobs is too small" in bench("--blobs", "5", code=2).err
    assert "absent cannot be read" in bench("--data", tmp_path / "absent", code=2).err
    (tmp_path / "empty").mkdir()
    assert "holds no data" in bench("--data", tmp_path / "empty", code=2).err
    (tmp_path / "file").write_bytes(b"")
    assert "--work-dir" in bench("--work-dir", tmp_path / "file", code=2).err
