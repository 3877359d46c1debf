"""Growth: its arithmetic, its tables, and one run of each axis on next to nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import growth
import scale
import synthetic
from growth import Curve, Point
from growth_lookups import chosen_ids
from growth_works import ADDED_FILES, AXES, Axis, Bed
from measure import Sample

BENCHMARKS = Path(scale.__file__).parent
ROOT = BENCHMARKS.parent
PROGRAM = (sys.executable, "-m", "holdfast_cli")


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process import the packages of this checkout."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'engine'}:{ROOT / 'cli'}")


def sample(cpu_s: float, peak_rss: int = 50_000_000) -> Sample:
    return Sample(wall_s=2 * cpu_s, cpu_s=cpu_s, peak_rss=peak_rss)


def curve(base: float, *costs: tuple[int, float]) -> Curve:
    points = tuple(Point(size, sample(cost)) for size, cost in costs)
    return Curve(work="work", base=sample(base), points=points)


@given(
    slope=st.floats(0.1, 3),
    factor=st.floats(0.2, 10),
    base=st.floats(0, 0.5),
    sizes=st.sets(st.integers(1, 1000), min_size=2, max_size=5),
)
def test_exponent_is_that_of_the_power_law(
    slope: float, factor: float, base: float, sizes: set[int]
) -> None:
    ascending = sorted(sizes)
    costs = [base + factor * size**slope for size in ascending]
    assert growth.exponent(ascending, costs, base) == pytest.approx(slope, abs=1e-6)


def test_exponent_leaves_out_what_cannot_be_told_from_the_base() -> None:
    assert growth.exponent([10, 100, 1000], [0.31, 0.30, 0.33], 0.3) is None
    # The first is noise; between the others cost grows as the square.
    found = growth.exponent([10, 100, 1000], [0.29, 0.4, 10.3], 0.3)
    assert found == pytest.approx(2)


def test_one_cost_above_the_base_is_no_slope() -> None:
    assert growth.exponent([10, 1000], [0.3, 5.0], 0.3) is None


def test_curve_that_bends_upwards_at_its_end_is_marked() -> None:
    linear = curve(0.3, (10, 1.3), (100, 10.3), (1000, 100.3))
    bent = curve(0.3, (10, 1.3), (100, 2.3), (1000, 50.3))
    assert not linear.is_faster_than_linear
    assert bent.exponent is not None
    assert bent.exponent < growth.LINEAR_UP_TO
    assert bent.is_faster_than_linear


def test_costs_of_each_item() -> None:
    points = (Point(1000, sample(1.3, 60_000_000)), Point(11_000, sample(11.3, 61_000_000)))
    found = Curve(work="work", base=sample(0.3), points=points)
    assert found.cpu_us_each == pytest.approx(1000)
    assert found.bytes_each == pytest.approx(100)


def test_difference_counts_its_own_items() -> None:
    whole, part = curve(0.5, (10, 0.8), (100, 1.0)), curve(0.4, (10, 0.5), (100, 0.6))
    found = growth.less("alone", whole, part, items=1000)
    assert [point.sample.cpu_s for point in found.points] == pytest.approx([0.3, 0.4])
    assert found.cpu_us_each == pytest.approx(400)
    assert found.exponent == pytest.approx(math.log10(4 / 3))


def test_table_has_every_figure_and_marks_what_is_steep() -> None:
    curves = [curve(0.3, (10, 1.3), (100, 100.3)), curve(0.3, (10, 0.3), (100, 0.31))]
    steep, flat = growth.format_table("files", curves, markdown=True).splitlines()[2:]
    costs = ("0.30 / 0.60 / 50", "1.30 / 2.60 / 50", "100.3 / 200.6 / 50")
    assert steep == f"| work | {' | '.join(costs)} | **2.00, 2.00** | 1000000.0 | 0 |"
    assert "| – |" in flat
    widths = {
        len(line) for line in growth.format_table("files", curves, markdown=False).splitlines()
    }
    assert len(widths) == 1


def test_outcomes_name_what_is_steep() -> None:
    curves = (curve(0.3, (10, 1.3), (100, 100.3)), curve(0.3, (10, 1.3), (100, 5.3)))
    text = scale.format_outcomes([scale.Outcome("files", "files", curves)], markdown=True)
    assert text.endswith("Faster than linear: work (files).")


def test_look_ups_ask_for_as_many_known_ids_as_unknown_ones() -> None:
    known = {
        ids[at : at + 32]
        for first in (0, synthetic.PACK_BLOBS)
        for ids in [synthetic.ids_of(first)]
        for at in range(0, len(ids), 32)
    }
    chosen = chosen_ids(2 * synthetic.PACK_BLOBS, 2000)
    assert len(chosen) == 2000
    assert sum(blob_id in known for blob_id in chosen) == 1000


@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
def test_axes_are_sound(axis: Axis) -> None:
    assert set(axis.sizes) == set(scale.SIZES)
    for sizes in axis.sizes.values():
        assert len(sizes) >= 2
        assert all(one < other for one, other in pairwise((axis.base, *sizes)))
    for whole, part, items in axis.differences.values():
        assert {whole, part} <= set(axis.works)
        assert items == ADDED_FILES


@pytest.mark.parametrize("kind", synthetic.KINDS)
def test_synthetic_repository_is_sound(kind: str, tmp_path: Path) -> None:
    bed = Bed(tmp_path, PROGRAM, 1000 if kind == "blobs" else 3)
    bed.synthesize(kind)
    bed.holdfast("check")


def test_run_measures_each_work_at_each_size(tmp_path: Path) -> None:
    few = ("first backup", "nothing changed", f"{ADDED_FILES:,} files added")
    files = AXES["files"]
    axis = Axis(
        unit=files.unit,
        base=10,
        sizes={},
        prepare=files.prepare,
        works={name: files.works[name] for name in few},
        differences=files.differences,
    )
    lines: list[str] = []
    outcome = scale.measure_axis("files", axis, [300], PROGRAM, tmp_path, lines.append)
    assert len(lines) == 2 * len(few)
    assert [one.work for one in outcome.curves] == [*few, *files.differences]
    first = outcome.curves[0].points[0]
    assert first.size == 300
    assert first.sample.cpu_s > 0
    assert first.sample.peak_rss > 10_000_000
    assert json.loads(json.dumps(outcome.as_json()))["curves"][0]["points"][0]["size"] == 300
    assert not list(tmp_path.iterdir())


def test_failing_program_ends_the_run_with_its_words(tmp_path: Path) -> None:
    words = ["files", "--size", "10", "--work-dir", str(tmp_path), "--holdfast", "false"]
    ended = subprocess.run(
        [sys.executable, str(BENCHMARKS / "scale.py"), *words], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "false" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_chart_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from growth_chart import draw

    columns = [("files", [curve(0.3, (10, 1.3), (100, 20.3)), curve(0.3, (10, 0.3), (100, 0.3))])]
    draw(columns, tmp_path / "one.svg")
    draw(columns, tmp_path / "other.svg")
    one = (tmp_path / "one.svg").read_bytes()
    assert one == (tmp_path / "other.svg").read_bytes()
    assert b"work (1.30)" in one
