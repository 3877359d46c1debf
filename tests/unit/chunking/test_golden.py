"""Pinned cuts: a change here makes every existing repository store its sources a second time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.chunking import IMPLEMENTATIONS, FindCuts, gear, noise

VECTORS = json.loads(
    (Path(__file__).parents[2] / "golden" / "chunking.json").read_text(encoding="utf-8")
)


def data_of(kind: str, length: int) -> bytes:
    """Return the vector's stream, made of SHAKE-128, lines of text and zeros."""
    if kind == "noise":
        return noise("golden", length)
    if kind == "rows":
        rows = (
            f"INSERT INTO t VALUES ({i},'{noise(str(i), 8).hex()}',{i % 97});\n"
            for i in range(length // 40)
        )
        return "".join(rows).encode()[:length]
    assert kind == "holes"
    blocks = (
        noise(f"block {i}", 4096) if i % 7 == 0 or i % 61 < 9 else bytes(4096)
        for i in range(length // 4096)
    )
    return b"".join(blocks)


@pytest.mark.parametrize("find_cuts", IMPLEMENTATIONS)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['kind']}-{v['average']}")
def test_cuts_are_the_pinned_ones(find_cuts: FindCuts, vector: dict[str, Any]) -> None:
    data = data_of(vector["kind"], vector["length"])
    chunker = gear(
        find_cuts, vector["average"], bytes.fromhex(vector["key"]), zero_runs=vector["zero_runs"]
    )
    assert chunker.cuts(data, len(data), True) == vector["cuts"]
