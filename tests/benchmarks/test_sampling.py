"""The experiment that compares samples with the whole, on a small tree."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

import sampling


def test_samples_are_compared_with_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(1)
    for version in ("a", "b"):
        (tmp_path / version).mkdir()
        for number in range(60):
            (tmp_path / version / str(number)).write_bytes(draw.randbytes(1000 + number))
    output = tmp_path / "results.json"
    words = ["sampling.py", "--series", "--name", "tiny", "--share", "50", "--seeds", "2"]
    paths = [str(tmp_path / version) for version in ("a", "b")]
    monkeypatch.setattr(
        sys, "argv", [*words, "--chunker", "files", "--output", str(output), *paths]
    )

    sampling.main()
    sampling.main()  # results are added

    assert "| files | unique bytes | " in capsys.readouterr().out
    results = json.loads(output.read_text())
    assert len(results) == 2 * 2 * 4  # runs, seeds, figures
    unique = [one for one in results if one["figure"] == "unique bytes"]
    truth = 2 * sum(1000 + number for number in range(60))
    assert {one["truth"] for one in unique} == {truth}
    assert all(abs(one["estimate"] / truth - 1) < 0.1 for one in unique)


def test_table_tells_how_far_off_each_sample_is() -> None:
    samples = [
        sampling.Comparison(
            data="d", candidate="files", figure="ratio", share=0.1, seed=seed, read_share=0.1,
            truth=2.0, estimate=estimate, error=0.1,
        )
        for seed, estimate in enumerate([2.05, 1.8])
    ]  # fmt: skip

    *_, row = sampling.format_table(samples).splitlines()

    assert row == "| files | ratio | 10% | 2.000 | 1.925 | +2.5 -10.0 | 5.2 | 1 of 2 |"
