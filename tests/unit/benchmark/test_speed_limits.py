"""What limits a backup: the model against its own laws, and sentences for each kind of limit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.benchmark.speed_limits import megabytes, predict_new, predict_unchanged
from holdfast.benchmark.speed_report import DataFacts, Measure, Rate, Stage, Unit

FACTS = DataFacts(is_own=False, size=64 << 20, files=1000, mean_file_bytes=64_000.0)
USUAL: dict[tuple[Stage, str], tuple[float, float]] = {
    (Stage.READ, "long-from-disk"): (1e9, 0),
    (Stage.READ, "long-from-memory"): (8e9, 0),
    (Stage.READ, "small"): (2e5, 0),
    (Stage.READ, "metadata"): (1e6, 0),
    (Stage.CUT, "files"): (3e9, 6e9),
    (Stage.NAME, "files"): (4e9, 8e9),
    (Stage.INDEX, "look-up-new"): (5e5, 0),
    (Stage.COMPRESS, "level-3"): (3e8, 6e8),
    (Stage.SEAL, "aes-256-gcm"): (3e9, 6e9),
    (Stage.STORAGE, "write"): (5e8, 1e9),
    (Stage.BACKUP, "unchanged"): (1e5, 0),
}
Figures = dict[tuple[Stage, str], tuple[float, float]]


def measures(figures: Figures, ratio: float = 2.0) -> list[Measure]:
    return [
        Measure(
            stage=stage,
            name=name,
            unit=Unit.BYTES_PER_S,
            single=Rate(single, 0.0, 3),
            parallel=Rate(parallel, 0.0, 3) if parallel else None,
            ratio=ratio if stage is Stage.COMPRESS else None,
        )
        for (stage, name), (single, parallel) in figures.items()
    ]


def changed(stage: Stage, name: str, factor: float) -> Figures:
    single, parallel = USUAL[stage, name]
    return {**USUAL, (stage, name): (single * factor, parallel * factor)}


def test_usually_the_processor_limits_by_compressing() -> None:
    found = predict_new(measures(USUAL), FACTS)
    assert found.slowest == "compress"
    assert [stage.name for stage in found.stages] == [
        "disk", "walk", "read", "cut", "name", "look-up", "compress", "seal", "store",
    ]  # fmt: skip
    assert sum(stage.share for stage in found.stages) == pytest.approx(1)
    share = next(stage.share for stage in found.stages if stage.name == "compress")
    assert found.sentence == (
        f"New data: about {megabytes(found.bytes_per_s)}; the processor limits, and "
        f"{round(100 * share)} % of its time goes into compressing at level 3."
    )


@pytest.mark.parametrize(
    ("stage", "name", "slowest", "words"),
    [
        (Stage.READ, "long-from-disk", "disk", "the disk of the files limits"),
        (Stage.STORAGE, "write", "store", "the storage limits, which takes 10 MB/s of compressed"),
        (Stage.CUT, "files", "cut", "the one thread that reads files limits"),
        (Stage.READ, "small", "read", "opening and reading files"),
        (Stage.BACKUP, "unchanged", "walk", "walking through directories"),
        (Stage.INDEX, "look-up-new", "look-up", "looking up chunks"),
        (Stage.SEAL, "aes-256-gcm", "seal", "encrypting"),
    ],
)
def test_a_stage_that_is_a_hundred_times_slower_is_named(
    stage: Stage, name: str, slowest: str, words: str
) -> None:
    found = predict_new(measures(changed(stage, name, 1 / 100)), FACTS)
    assert found.slowest == slowest
    assert words in found.sentence
    assert found.bytes_per_s < predict_new(measures(USUAL), FACTS).bytes_per_s


def test_storage_that_limits_is_relieved_by_compression() -> None:
    slow = changed(Stage.STORAGE, "write", 1 / 100)
    by_ratio = [predict_new(measures(slow, ratio), FACTS).bytes_per_s for ratio in (1.0, 2.0, 4.0)]
    assert by_ratio == pytest.approx([1e7, 2e7, 4e7])


factors = st.lists(st.floats(1e-3, 1e3), min_size=len(USUAL), max_size=len(USUAL))
facts = st.floats(1.0, 1e12).map(lambda mean: replace(FACTS, mean_file_bytes=mean))


def scaled(found: list[float]) -> Figures:
    return {
        name: (single * factor, parallel * factor)
        for (name, (single, parallel)), factor in zip(USUAL.items(), found, strict=True)
    }


@given(factors, facts)
def test_no_backup_is_faster_than_one_of_its_stages(found: list[float], data: DataFacts) -> None:
    prediction = predict_new(measures(scaled(found)), data)
    alone = [stage.bytes_per_s for stage in prediction.stages]
    assert 0 < prediction.bytes_per_s <= min(alone) * (1 + 1e-9)
    assert prediction.slowest in {stage.name for stage in prediction.stages}
    assert min(stage.share for stage in prediction.stages) >= 0
    assert sum(stage.share for stage in prediction.stages) == pytest.approx(1)


@given(factors, st.sampled_from(sorted(USUAL)), st.floats(1.0, 100.0))
def test_a_faster_stage_never_makes_a_backup_slower(
    found: list[float], name: tuple[Stage, str], factor: float
) -> None:
    figures = scaled(found)
    single, parallel = figures[name]
    faster = {**figures, name: (single * factor, parallel * factor)}
    before = predict_new(measures(figures), FACTS).bytes_per_s
    assert predict_new(measures(faster), FACTS).bytes_per_s >= before * (1 - 1e-9)


def test_what_was_not_measured_does_not_limit() -> None:
    without = {key: value for key, value in USUAL.items() if key[0] is not Stage.READ}
    found = predict_new(measures(without), FACTS)
    assert found.slowest == "compress"
    assert "disk" not in {stage.name for stage in found.stages}


def test_unchanged_files() -> None:
    found = predict_unchanged(measures(USUAL), FACTS)
    assert found.bytes_per_s == pytest.approx(1e5 * 64_000)
    assert [(stage.name, round(stage.share, 3)) for stage in found.stages] == [
        ("metadata", 0.1),
        ("compare", 0.9),
    ]
    assert found.slowest == "compare"
    assert found.sentence.startswith("Unchanged files: about 100,000 a second")
    slow = predict_unchanged(measures(changed(Stage.READ, "metadata", 1 / 8)), FACTS)
    assert slow.slowest == "metadata"


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0.0, "0.0 MB/s"),
        (1.26e6, "1.3 MB/s"),
        (9.96e6, "10 MB/s"),
        (9.994e8, "999 MB/s"),
        (9.996e8, "1.0 GB/s"),
        (1.3e10, "13 GB/s"),
    ],
)
def test_speeds_as_people_write_them(speed: float, text: str) -> None:
    assert megabytes(speed) == text
