"""Everything together on a small scale: all stages are there, and no scratch file stays."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from holdfast.benchmark import speed, speed_trial
from holdfast.benchmark.speed import SpeedOptions, measure_speed
from holdfast.benchmark.speed_data import SpeedData, seeded_data
from holdfast.benchmark.speed_report import SpeedReport, Stage, Unit
from holdfast.clock import SystemClock
from holdfast.errors import ConfigurationError
from holdfast.progress import NullProgress
from support.repos import contents, new_store


@cache
def little_data(size: int = 400_000) -> SpeedData:
    return seeded_data(size)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little data, few files, and times as short as they can be."""
    monkeypatch.setattr(speed, "seeded_data", little_data)
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(speed_trial, "FILES", 100)


def run(tmp_path: Path, **options: object) -> SpeedReport:
    given = {"work_dir": str(tmp_path / "work"), "seconds": 0.2, "blobs": 1000, **options}
    return measure_speed(SpeedOptions(**given), NullProgress(), SystemClock())  # type: ignore[arg-type]


def test_every_stage_is_measured_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "seeded_data", lambda: little_data(3 << 20))
    found = run(tmp_path)
    assert {measure.stage for measure in found.measures} == set(Stage)
    names = [(measure.stage, measure.name) for measure in found.measures]
    assert len(set(names)) == len(names) == 31
    assert all(measure.single.median > 0 for measure in found.measures)
    by_bytes = [
        measure
        for measure in found.measures
        if measure.unit is Unit.BYTES_PER_S and measure.stage not in (Stage.READ, Stage.BACKUP)
    ]
    assert all(measure.parallel is not None for measure in by_bytes)
    ratios = [found.measure(Stage.COMPRESS, f"level-{level}").ratio for level in (1, 3, 6, 12)]
    assert ratios == sorted(ratios, key=lambda ratio: ratio or 0.0)
    assert (found.data.is_own, found.index_blobs, found.left) == (False, 1000, ())
    assert found.storage == str(tmp_path / "work")
    assert os.listdir(tmp_path / "work") == []
    with pytest.raises(KeyError):
        found.measure(Stage.CUT, "nothing")


def test_own_data_is_read_where_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        (source / str(number)).write_bytes(os.urandom(400_000))
    before = sorted(os.listdir(source))
    found = run(tmp_path, data=os.fsencode(source))
    assert found.data.is_own
    assert (found.data.files, found.data.size) == (6, 2_400_000)
    ratio = found.measure(Stage.COMPRESS, "level-3").ratio
    assert ratio == pytest.approx(1, abs=0.01)
    assert found.measure(Stage.READ, "long-from-disk").single.runs <= 6
    assert sorted(os.listdir(source)) == before


def test_a_byte_is_enough(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    found = run(tmp_path, data=os.fsencode(tmp_path / "file"))
    assert found.data.size == 1
    assert found.new.bytes_per_s > 0
    with pytest.raises(KeyError):
        found.measure(Stage.BACKUP, "new")


def test_a_storage_that_is_named_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    store = new_store()
    before = contents(store)
    options = SpeedOptions(work_dir=str(tmp_path), seconds=0.2, blobs=1000)
    found = measure_speed(options, NullProgress(), SystemClock(), storage=store)
    assert found.storage == store.location
    assert contents(store) == before


def test_scratch_files_go_also_after_an_interruption(tmp_path: Path) -> None:
    class Impatient(NullProgress):
        def update(self, items: int, size: int, current: str = "") -> None:
            if current == "compressing":
                raise KeyboardInterrupt

    options = SpeedOptions(work_dir=str(tmp_path), seconds=0.2, blobs=1000)
    with pytest.raises(KeyboardInterrupt):
        measure_speed(options, Impatient(), SystemClock())
    assert os.listdir(tmp_path) == []


def test_scratch_files_go_if_their_deletion_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = shutil.rmtree, 0

    def interrupted(path: str, *, ignore_errors: bool) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), speed._scratch_directory(str(tmp_path)) as directory:
        Path(directory, "file").write_bytes(b"x")
    assert os.listdir(tmp_path) == []


def test_a_working_directory_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"cannot be used for scratch files: .*--work-dir"):
        run(tmp_path)
    (tmp_path / "work").unlink()
    monkeypatch.setattr(speed, "ROOM", 1 << 60)
    with pytest.raises(ConfigurationError, match=r"has no room for 1\.00 EiB of scratch files"):
        run(tmp_path)
    assert os.listdir(tmp_path / "work") == []


@pytest.mark.parametrize(
    "wrong", [{"seconds": -1.0}, {"seconds": 4000.0}, {"blobs": 1}, {"blobs": 1 << 40}]
)
def test_options_that_make_no_sense(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"too (few|small)"):
        SpeedOptions(work_dir=str(tmp_path), **wrong)  # type: ignore[arg-type]
